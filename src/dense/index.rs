//! Finds the entries of a table by their hash: eight bytes for each. It grows by one bucket with each entry, not all
//! at once (linear hashing, W. Litwin, VLDB 1980).

use super::NONE;
use super::chunks::Chunks;
use std::iter::successors;

/// Places of a table in chains by hash. It knows no keys: who asks compares them.
#[derive(Default, Debug)]
pub struct Index {
    heads: Chunks<u32, 8>,
    /// Behind each place, the next one of its chain.
    links: Chunks<u32, 8>,
    /// Before each place, the one that it is behind.
    backs: Option<Chunks<u32, 8>>,
    len: usize,
}

impl Index {
    /// An index from which a place is taken in one step, however many have the same hash; four bytes more for each.
    /// What is taken out has to be in it.
    pub fn with_backs() -> Self {
        Self { backs: Some(Chunks::default()), ..Self::default() }
    }

    /// Adds a place that is not there yet. `hash_of` tells the hash of each that is.
    pub fn insert(&mut self, hash: u64, at: u32, hash_of: impl Fn(u32) -> u64) {
        if self.len >= self.heads.len() {
            self.split(hash_of);
        }
        while self.links.len() <= at as usize {
            self.links.push(NONE);
            self.backs.iter_mut().for_each(|backs| backs.push(NONE));
        }
        self.link(self.bucket(hash), at);
        self.len += 1;
    }

    /// Takes a place out; false if it is not there.
    pub fn remove(&mut self, hash: u64, at: u32) -> bool {
        let bucket = self.bucket(hash);
        let next = self.next(at);
        if self.head(bucket) == at {
            self.set_head(bucket, next);
            self.set_back(next, NONE);
        } else {
            let before = match &self.backs {
                Some(backs) => backs.get(at as usize).copied().filter(|before| *before != NONE),
                None => self.chain(bucket).find(|place| self.next(*place) == at),
            };
            let Some(before) = before else { return false };
            self.set_next(before, next);
            self.set_back(next, before);
        }
        self.set_next(at, NONE);
        self.set_back(at, NONE);
        self.len -= 1;
        true
    }

    /// The place with this hash that it is.
    #[inline]
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.head(self.bucket(hash));
        while at != NONE {
            if is_it(at) {
                return Some(at);
            }
            at = self.next(at);
        }
        None
    }

    /// The places that may have this hash.
    pub fn all(&self, hash: u64) -> impl Iterator<Item = u32> {
        self.chain(self.bucket(hash))
    }

    fn chain(&self, bucket: usize) -> impl Iterator<Item = u32> {
        let place = |at: u32| (at != NONE).then_some(at);
        successors(place(self.head(bucket)), move |at| place(self.next(*at)))
    }

    /// The bucket of a hash: of as many buckets as there are, not of a power of two.
    #[inline]
    const fn bucket(&self, hash: u64) -> usize {
        let count = self.heads.len();
        let mask = count.next_power_of_two() - 1;
        let bucket = hash as usize & mask;
        if bucket < count { bucket } else { bucket & (mask >> 1) }
    }

    /// One more bucket: it takes its part of the one that it was a part of.
    fn split(&mut self, hash_of: impl Fn(u32) -> u64) {
        let new = self.heads.len();
        self.heads.push(NONE);
        if new == 0 {
            return;
        }
        let old = new - (1 << new.ilog2());
        let mut at = self.head(old);
        self.set_head(old, NONE);
        while at != NONE {
            let next = self.next(at);
            self.link(self.bucket(hash_of(at)), at);
            at = next;
        }
    }

    #[inline]
    fn link(&mut self, bucket: usize, at: u32) {
        let next = self.head(bucket);
        self.set_next(at, next);
        self.set_back(next, at);
        self.set_back(at, NONE);
        self.set_head(bucket, at);
    }

    #[inline]
    fn head(&self, bucket: usize) -> u32 {
        self.heads.get(bucket).copied().unwrap_or(NONE)
    }

    #[inline]
    fn set_head(&mut self, bucket: usize, at: u32) {
        if let Some(head) = self.heads.get_mut(bucket) {
            *head = at;
        }
    }

    #[inline]
    fn next(&self, at: u32) -> u32 {
        self.links.get(at as usize).copied().unwrap_or(NONE)
    }

    #[inline]
    fn set_back(&mut self, at: u32, before: u32) {
        if let Some(back) = self.backs.as_mut().and_then(|backs| backs.get_mut(at as usize)) {
            *back = before;
        }
    }

    #[inline]
    fn set_next(&mut self, at: u32, next: u32) {
        if let Some(link) = self.links.get_mut(at as usize) {
            *link = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const fn hash(at: u32) -> u64 {
        // Some have the same one.
        (at as u64 / 3).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn it_finds_what_is_in_it() {
        for index in [Index::default(), Index::with_backs()] {
            agrees(index);
        }
    }

    fn agrees(mut index: Index) {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut model = BTreeSet::new();
        assert_eq!((index.find(1, |_| true), index.remove(1, 0)), (None, false));
        for _ in 0..20_000 {
            let at = rng.u32(0..3_000);
            if model.insert(at) {
                index.insert(hash(at), at, hash);
            } else if rng.bool() {
                model.remove(&at);
                assert!(index.remove(hash(at), at));
            }
            assert_eq!((index.len, index.heads.len() >= index.len), (model.len(), true));
            let at = rng.u32(0..3_000);
            assert_eq!(index.find(hash(at), |place| place == at).is_some(), model.contains(&at));
        }
        for at in 0..3_000 {
            assert_eq!(index.all(hash(at)).any(|place| place == at), model.contains(&at));
        }
    }

    #[test]
    fn chains_are_short() {
        let mut index = Index::default();
        for at in 0..100_000 {
            index.insert(hash(3 * at), at, |at| hash(3 * at));
        }
        let longest = (0..index.heads.len()).map(|bucket| index.chain(bucket).count()).max().unwrap();
        assert!(longest <= 16, "{longest}");
    }
}
