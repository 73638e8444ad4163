//! A map that shares what did not change: the store of instances and names in a snapshot.
//!
//! A trie over 32-bit keys, four bits a level from the top, with up to [`LEAF`] entries side by side at its ends.
//! Copies share everything; changing one copies the way to one leaf, so that a new table of 1,000,000 instances
//! costs what changed, and so does comparing it with the one before and dropping that. Entries whose keys are equal
//! (hashes) lie side by side and are told apart by the caller. Called by `instances`, `names` and `resolved`.

use std::sync::Arc;

/// Bits of the key that a level looks at.
const BITS: u32 = 4;
/// Bits of a key.
const WHOLE: u32 = 32;
/// Entries at one end before it is divided, unless their keys are equal.
const LEAF: usize = 16;

/// What can be kept.
pub(super) trait Keyed: Clone {
    /// Where it is kept; entries come in the order of their keys.
    fn key(&self) -> u32;
}

/// The map.
#[derive(Clone)]
pub(super) struct Trie<E> {
    root: Node<E>,
    /// No key has a bit above these, and the root looks at the highest of them: ids are small numbers.
    bits: u32,
    length: usize,
}

#[derive(Clone)]
enum Node<E> {
    Leaf(Arc<[E]>),
    /// Which of the sixteen ways are there, and what is behind them.
    Branch(u16, Arc<[Node<E>]>),
}

impl<E> Default for Trie<E> {
    fn default() -> Self {
        Self { root: Node::Leaf(Arc::default()), bits: BITS, length: 0 }
    }
}

impl<E: Keyed> FromIterator<E> for Trie<E> {
    fn from_iter<T: IntoIterator<Item = E>>(entries: T) -> Self {
        let mut entries: Vec<E> = entries.into_iter().collect();
        entries.sort_by_key(Keyed::key);
        let bits = entries.last().map_or(BITS, |last| bits_of(last.key()));
        Self { length: entries.len(), root: Node::of(&entries, bits), bits }
    }
}

impl<E: Keyed> Trie<E> {
    /// How many entries there are.
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    /// The entry at a key that is the one.
    pub(super) fn get(&self, key: u32, is: impl Fn(&E) -> bool) -> Option<&E> {
        let (mut node, mut shift) = (&self.root, self.bits);
        if bits_of(key) > shift {
            return None;
        }
        loop {
            match node {
                Node::Leaf(entries) => {
                    let from = entries.partition_point(|entry| entry.key() < key);
                    return entries.get(from..)?.iter().take_while(|entry| entry.key() == key).find(|entry| is(entry));
                }
                Node::Branch(ways, below) => {
                    shift -= BITS;
                    node = below.get(place(*ways, key, shift).ok()?)?;
                }
            }
        }
    }

    /// Puts an entry in the place of the one that `is` it, or beside the others.
    pub(super) fn put(&mut self, entry: E, is: impl Fn(&E) -> bool) -> Option<E> {
        self.widen(bits_of(entry.key()));
        let replaced = self.root.put(self.bits, entry, &is);
        self.length += usize::from(replaced.is_none());
        replaced
    }

    /// Takes the entry at a key out that is the one.
    pub(super) fn take(&mut self, key: u32, is: impl Fn(&E) -> bool) -> Option<E> {
        // Looked for first: nothing is copied for what is not there.
        self.get(key, &is)?;
        let taken = self.root.take(self.bits, key, &is)?;
        self.length -= 1;
        Some(taken)
    }

    /// Makes room for keys of so many bits.
    fn widen(&mut self, bits: u32) {
        while self.bits < bits {
            if let Node::Branch(..) = self.root {
                self.root = Node::Branch(1, [self.root.clone()].into());
            }
            self.bits += BITS;
        }
    }

    /// All entries in the order of their keys.
    pub(super) fn iter(&self) -> Iter<'_, E> {
        let mut all = Iter { ways: Vec::new(), leaf: [].iter() };
        all.enter(&self.root);
        all
    }

    /// Whether both are one, without looking inside.
    #[cfg(test)]
    pub(super) fn is(&self, other: &Self) -> bool {
        self.root.is(&other.root)
    }

    /// What differs between two versions: entries that are on one side only, or on both where they may differ. What
    /// both share is not looked at. `one` says whether two entries of one key stand for the same.
    pub(super) fn differences<'a>(
        &'a self,
        other: &'a Self,
        one: &impl Fn(&E, &E) -> bool,
        tell: &mut impl FnMut(Option<&'a E>, Option<&'a E>),
    ) {
        if self.bits == other.bits {
            return self.root.differences(&other.root, one, tell);
        }
        // One has keys of more bits: a table grows so seldom that all of it may be looked at then.
        let (mut ours, mut others) = (Vec::new(), Vec::new());
        self.root.collect(&mut ours);
        other.root.collect(&mut others);
        compare(&ours, &others, one, tell);
    }
}

/// How many bits a map has that holds a key.
fn bits_of(key: u32) -> u32 {
    (WHOLE - key.leading_zeros()).max(BITS).next_multiple_of(BITS)
}

/// Where a branch has the way of a key, or where it would have it.
fn place(ways: u16, key: u32, shift: u32) -> Result<usize, usize> {
    let bit = 1u16 << (key >> shift & 0xF);
    let before = (ways & (bit - 1)).count_ones() as usize;
    if ways & bit == 0 { Err(before) } else { Ok(before) }
}

impl<E: Keyed> Node<E> {
    /// The node of entries in the order of their keys, which agree above `shift`.
    fn of(entries: &[E], shift: u32) -> Self {
        let alike = entries.first().map(Keyed::key) == entries.last().map(Keyed::key);
        if entries.len() <= LEAF || alike {
            return Self::Leaf(entries.into());
        }
        let below = shift - BITS;
        let way = |entry: &E| entry.key() >> below & 0xF;
        let parts = entries.chunk_by(|a, b| way(a) == way(b));
        let ways = parts.clone().filter_map(<[E]>::first).fold(0, |ways, first| ways | 1 << way(first));
        Self::Branch(ways, parts.map(|part| Self::of(part, below)).collect())
    }

    fn put(&mut self, shift: u32, entry: E, is: &impl Fn(&E) -> bool) -> Option<E> {
        let key = entry.key();
        match self {
            Self::Leaf(entries) => {
                let from = entries.partition_point(|known| known.key() < key);
                let same = entries.iter().skip(from).take_while(|known| known.key() == key).position(is);
                if let Some(slot) = same.and_then(|n| Arc::make_mut(entries).get_mut(from + n)) {
                    return Some(std::mem::replace(slot, entry));
                }
                let (before, after) = entries.split_at(from);
                if entries.len() < LEAF {
                    *entries = before.iter().cloned().chain([entry]).chain(after.iter().cloned()).collect();
                } else {
                    let all: Vec<E> = before.iter().cloned().chain([entry]).chain(after.iter().cloned()).collect();
                    *self = Self::of(&all, shift);
                }
                None
            }
            Self::Branch(ways, below) => match place(*ways, key, shift - BITS) {
                Ok(n) => Arc::make_mut(below).get_mut(n)?.put(shift - BITS, entry, is),
                Err(n) => {
                    let (before, after) = below.split_at(n);
                    let leaf = Self::Leaf([entry].into());
                    *below = before.iter().cloned().chain([leaf]).chain(after.iter().cloned()).collect();
                    *ways |= 1 << (key >> (shift - BITS) & 0xF);
                    None
                }
            },
        }
    }

    fn take(&mut self, shift: u32, key: u32, is: &impl Fn(&E) -> bool) -> Option<E> {
        match self {
            Self::Leaf(entries) => {
                let at = entries.iter().position(|entry| entry.key() == key && is(entry))?;
                let taken = entries.get(at).cloned();
                *entries = entries.iter().zip(0..).filter(|(_, n)| *n != at).map(|(entry, _)| entry.clone()).collect();
                taken
            }
            Self::Branch(ways, below) => {
                let n = place(*ways, key, shift - BITS).ok()?;
                let child = Arc::make_mut(below).get_mut(n)?;
                let taken = child.take(shift - BITS, key, is);
                if matches!(child, Self::Leaf(entries) if entries.is_empty()) {
                    *below = below.iter().zip(0..).filter(|(_, m)| *m != n).map(|(node, _)| node.clone()).collect();
                    *ways &= !(1 << (key >> (shift - BITS) & 0xF));
                }
                if let [Self::Leaf(_)] | [] = &**below {
                    *self = below.first().cloned().unwrap_or(Self::Leaf(Arc::default()));
                }
                taken
            }
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leaf(a), Self::Leaf(b)) => Arc::ptr_eq(a, b),
            (Self::Branch(_, a), Self::Branch(_, b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    fn differences<'a>(
        &'a self,
        other: &'a Self,
        one: &impl Fn(&E, &E) -> bool,
        tell: &mut impl FnMut(Option<&'a E>, Option<&'a E>),
    ) {
        if self.is(other) {
            return;
        }
        let (Self::Branch(mine, below), Self::Branch(theirs, beside)) = (self, other) else {
            let (mut ours, mut others) = (Vec::new(), Vec::new());
            self.collect(&mut ours);
            other.collect(&mut others);
            return compare(&ours, &others, one, tell);
        };
        let (mut below, mut beside) = (below.iter(), beside.iter());
        for way in 0..1 << BITS {
            let has = |ways: u16| ways >> way & 1 == 1;
            let ours = if has(*mine) { below.next() } else { None };
            let others = if has(*theirs) { beside.next() } else { None };
            match (ours, others) {
                (Some(ours), Some(others)) => ours.differences(others, one, tell),
                (Some(ours), None) => ours.each(&mut |entry| tell(Some(entry), None)),
                (None, Some(others)) => others.each(&mut |entry| tell(None, Some(entry))),
                (None, None) => {}
            }
        }
    }

    fn each<'a>(&'a self, tell: &mut impl FnMut(&'a E)) {
        match self {
            Self::Leaf(entries) => entries.iter().for_each(tell),
            Self::Branch(_, below) => below.iter().for_each(|node| node.each(tell)),
        }
    }

    fn collect<'a>(&'a self, into: &mut Vec<&'a E>) {
        self.each(&mut |entry| into.push(entry));
    }
}

/// Compares entries in the order of their keys, side by side.
fn compare<'a, E: Keyed>(
    ours: &[&'a E],
    others: &[&'a E],
    one: &impl Fn(&E, &E) -> bool,
    tell: &mut impl FnMut(Option<&'a E>, Option<&'a E>),
) {
    let alike = |entries: &[&'a E], key: u32| {
        let from = entries.partition_point(|entry| entry.key() < key);
        let to = entries.partition_point(|entry| entry.key() <= key);
        from..to
    };
    for entry in ours {
        let peers = others.get(alike(others, entry.key())).unwrap_or_default();
        tell(Some(entry), peers.iter().find(|peer| one(entry, peer)).copied());
    }
    for entry in others {
        let peers = ours.get(alike(ours, entry.key())).unwrap_or_default();
        if !peers.iter().any(|peer| one(peer, entry)) {
            tell(None, Some(entry));
        }
    }
}

/// All entries of a [`Trie`].
pub(super) struct Iter<'a, E> {
    ways: Vec<std::slice::Iter<'a, Node<E>>>,
    leaf: std::slice::Iter<'a, E>,
}

impl<'a, E> Iter<'a, E> {
    fn enter(&mut self, node: &'a Node<E>) {
        match node {
            Node::Leaf(entries) => self.leaf = entries.iter(),
            Node::Branch(_, below) => self.ways.push(below.iter()),
        }
    }
}

impl<'a, E> Iterator for Iter<'a, E> {
    type Item = &'a E;

    fn next(&mut self) -> Option<&'a E> {
        loop {
            if let Some(entry) = self.leaf.next() {
                return Some(entry);
            }
            match self.ways.last_mut()?.next() {
                Some(node) => self.enter(node),
                None => _ = self.ways.pop(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Few keys, so that some entries share one.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    struct Entry(u32, u8, u16);

    impl Keyed for Entry {
        fn key(&self) -> u32 {
            self.0
        }
    }

    fn any_key() -> impl Strategy<Value = u32> {
        prop_oneof![0u32..40, (0u32..40).prop_map(|n| n << 27), (0u32..6).prop_map(|n| n * 0x1111_1111)]
    }

    type Step = (u32, u8, Option<u16>);

    fn any_steps() -> impl Strategy<Value = Vec<Step>> {
        proptest::collection::vec((any_key(), 0u8..3, proptest::option::of(any::<u16>())), 0..200)
    }

    fn make(trie: &mut Trie<Entry>, model: &mut BTreeMap<(u32, u8), u16>, steps: &[Step]) {
        for &(key, part, value) in steps {
            let is = |entry: &Entry| entry.1 == part;
            match value {
                Some(value) => assert_eq!(
                    trie.put(Entry(key, part, value), is).map(|entry| entry.2),
                    model.insert((key, part), value)
                ),
                None => assert_eq!(trie.take(key, is).map(|entry| entry.2), model.remove(&(key, part))),
            }
            assert_eq!(trie.get(key, is).map(|entry| entry.2), model.get(&(key, part)).copied());
            assert_eq!(trie.len(), model.len());
        }
    }

    fn all(trie: &Trie<Entry>) -> Vec<Entry> {
        let mut all: Vec<_> = trie.iter().copied().collect();
        assert!(all.is_sorted_by_key(Keyed::key));
        all.sort_unstable();
        all
    }

    proptest! {
        #[test]
        fn it_is_a_map_whose_versions_stay(first in any_steps(), second in any_steps()) {
            let (mut old, mut model) = (Trie::default(), BTreeMap::new());
            make(&mut old, &mut model, &first);
            let before = model.clone();
            let mut new = old.clone();
            make(&mut new, &mut model, &second);
            let of = |model: &BTreeMap<(u32, u8), u16>| -> Vec<_> {
                model.iter().map(|((key, part), value)| Entry(*key, *part, *value)).collect()
            };
            prop_assert_eq!(all(&old), of(&before), "the version before is as it was");
            prop_assert_eq!(all(&new), of(&model));
            prop_assert_eq!(all(&of(&model).into_iter().rev().collect()), of(&model));
            let mut made = before;
            old.differences(&new, &|a, b| a.1 == b.1, &mut |old, new| match (old, new) {
                (_, Some(new)) => {
                    assert_eq!(made.insert((new.0, new.1), new.2), old.map(|old| old.2));
                }
                (Some(old), None) => assert!(made.remove(&(old.0, old.1)).is_some()),
                (None, None) => unreachable!(),
            });
            prop_assert_eq!(made, model);
        }
    }

    #[test]
    fn a_map_of_small_keys_is_shallow_and_grows() {
        let depth = |trie: &Trie<Entry>| {
            let (mut node, mut depth) = (&trie.root, 0);
            while let Node::Branch(_, below) = node {
                (node, depth) = (below.first().unwrap(), depth + 1);
            }
            depth
        };
        let mut trie = Trie::default();
        (0..10_000).for_each(|n| _ = trie.put(Entry(n, 0, 0), |_| true));
        assert_eq!((trie.bits, depth(&trie)), (16, 3));
        let before = trie.clone();
        assert!(trie.get(70_000, |_| true).is_none() && trie.take(u32::MAX, |_| true).is_none());
        trie.put(Entry(70_000, 0, 0), |_| true);
        assert_eq!((trie.bits, before.bits, trie.len()), (20, 16, 10_001));
        assert!((0..10_000).chain([70_000]).all(|n| trie.get(n, |_| true).is_some()));
        let mut new = 0;
        before.differences(&trie, &|_, _| true, &mut |old, _| new += usize::from(old.is_none()));
        assert_eq!(new, 1);
    }

    #[test]
    fn a_change_copies_the_way_to_it_and_is_found_at_that_cost() {
        let mut trie: Trie<Entry> = (0..100_000).map(|n| Entry(n, 0, 0)).collect();
        let before = trie.clone();
        let spent = allocation_counter::measure(|| _ = trie.put(Entry(70_000, 0, 1), |_| true));
        assert!(spent.bytes_total < 4_096, "{} bytes", spent.bytes_total);
        let mut told = Vec::new();
        before.differences(&trie, &|_, _| true, &mut |old, new| told.push((old.copied(), new.copied())));
        assert!(told.len() <= LEAF && told.contains(&(Some(Entry(70_000, 0, 0)), Some(Entry(70_000, 0, 1)))));
    }
}
