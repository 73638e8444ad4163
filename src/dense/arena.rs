//! A table whose entries are named by their place; a place is used again.

use super::NONE;
use super::chunks::Chunks;

#[derive(Debug)]
enum Slot<T> {
    Full(T),
    /// The next free place.
    Free(u32),
}

impl<T> Slot<T> {
    #[inline]
    const fn full(&self) -> Option<&T> {
        match self {
            Self::Full(value) => Some(value),
            Self::Free(_) => None,
        }
    }
}

/// Entries in chunks of `1 << BITS`.
#[derive(Debug)]
pub struct Arena<T, const BITS: u32 = 6> {
    slots: Chunks<Slot<T>, BITS>,
    free: u32,
    len: usize,
}

impl<T, const BITS: u32> Default for Arena<T, BITS> {
    fn default() -> Self {
        Self { slots: Chunks::default(), free: NONE, len: 0 }
    }
}

impl<T, const BITS: u32> Arena<T, BITS> {
    /// The place that the next entry will have.
    #[inline]
    pub const fn next_place(&self) -> u32 {
        if self.free == NONE { self.slots.len() as u32 } else { self.free }
    }

    /// Adds an entry. Its place.
    pub fn insert(&mut self, value: T) -> u32 {
        let at = self.next_place();
        match self.slots.get_mut(at as usize) {
            Some(slot) => {
                if let Slot::Free(next) = *slot {
                    self.free = next;
                }
                *slot = Slot::Full(value);
            }
            None => self.slots.push(Slot::Full(value)),
        }
        self.len += 1;
        at
    }

    /// Takes an entry out.
    pub fn remove(&mut self, at: u32) -> Option<T> {
        let slot = self.slots.get_mut(at as usize)?;
        slot.full()?;
        let Slot::Full(value) = std::mem::replace(slot, Slot::Free(self.free)) else { return None };
        self.free = at;
        self.len -= 1;
        Some(value)
    }

    /// The entry at a place.
    #[inline]
    pub fn get(&self, at: u32) -> Option<&T> {
        self.slots.get(at as usize)?.full()
    }

    /// As [`Self::get`], to change it.
    #[inline]
    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        match self.slots.get_mut(at as usize)? {
            Slot::Full(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    /// All, with their places.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(self.slots.iter()).filter_map(|(at, slot)| slot.full().map(|value| (at, value)))
    }

    /// As [`Self::iter`], to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        (0..).zip(self.slots.iter_mut()).filter_map(|(at, slot)| match slot {
            Slot::Full(value) => Some((at, value)),
            Slot::Free(_) => None,
        })
    }

    /// Takes all out.
    pub fn take(&mut self) -> impl Iterator<Item = T> + use<T, BITS> {
        (self.free, self.len) = (NONE, 0);
        self.slots.take().filter_map(|slot| match slot {
            Slot::Full(value) => Some(value),
            Slot::Free(_) => None,
        })
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again() {
        let mut arena = Arena::<String, 2>::default();
        let places: Vec<u32> = (0..9).map(|n| arena.insert(n.to_string())).collect();
        assert_eq!(places, (0..9).collect::<Vec<_>>());
        assert_eq!(
            (arena.remove(3).as_deref(), arena.remove(3), arena.remove(7).as_deref()),
            (Some("3"), None, Some("7"))
        );
        assert_eq!((arena.get(3), arena.len(), arena.next_place()), (None, 7, 7));
        assert_eq!((arena.insert("a".into()), arena.insert("b".into()), arena.insert("c".into())), (7, 3, 9));
        let all: Vec<(u32, &str)> = arena.iter().map(|(at, text)| (at, text.as_str())).collect();
        assert_eq!((all[3], all[7], all[9], all.len()), ((3, "b"), (7, "a"), (9, "c"), 10));
        assert_eq!((arena.take().count(), arena.len(), arena.next_place()), (10, 0, 0));
    }
}
