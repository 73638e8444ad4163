//! What each request that came before belongs to, by its key.

use super::Place;
use crate::dense::{Arena, Index};
use crate::engine::transaction::key::Key;

/// The keys of the transactions that are open and of those that are finished.
#[derive(Default)]
pub struct Keys {
    all: Arena<Known, 8>,
    index: Index,
}

struct Known {
    /// The halves of the key: as one number it would take more room.
    key: [u64; 2],
    place: Place,
}

impl Keys {
    /// Notes where a transaction is now.
    pub fn set(&mut self, key: Key, place: Place) {
        let halves = halves(key);
        if let Some(known) = self.find(halves).and_then(|at| self.all.get_mut(at)) {
            known.place = place;
            return;
        }
        let at = self.all.insert(Known { key: halves, place });
        let all = &self.all;
        self.index.insert(halves[0], at, |at| all.get(at).map_or(0, |known| known.key[0]));
    }

    /// Forgets a transaction.
    pub fn remove(&mut self, key: Key) {
        let halves = halves(key);
        if let Some(at) = self.find(halves) {
            self.index.remove(halves[0], at);
            self.all.remove(at);
        }
    }

    /// Forgets a transaction if nothing is left of it but the answer of this name; otherwise where it is.
    pub fn remove_answer(&mut self, key: Key, name: u32) -> Option<Place> {
        let halves = halves(key);
        let at = self.find(halves)?;
        match self.all.get(at)?.place {
            Place::Finished(answer) if answer == name => {
                self.index.remove(halves[0], at);
                self.all.remove(at);
                None
            }
            place => Some(place),
        }
    }

    /// Where the transaction with this key is.
    #[inline]
    pub fn get(&self, key: Key) -> Option<Place> {
        self.find(halves(key)).and_then(|at| self.all.get(at)).map(|known| known.place)
    }

    #[inline]
    fn find(&self, key: [u64; 2]) -> Option<u32> {
        // A key is a hash with seeds of the process.
        self.index.find(key[0], |at| self.all.get(at).is_some_and(|known| known.key == key))
    }
}

#[inline]
const fn halves(key: Key) -> [u64; 2] {
    [key.0 as u64, (key.0 >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::super::ServerId;
    use super::*;

    #[test]
    fn a_key_is_known_until_it_is_forgotten() {
        let (key, other) = (Key(7 << 64 | 1), Key(1));
        let mut keys = Keys::default();
        keys.set(key, Place::Open(ServerId { index: 3, generation: 4 }));
        keys.set(other, Place::Finished(9));
        keys.set(key, Place::Finished(5));
        assert!(matches!((keys.get(key), keys.get(other)), (Some(Place::Finished(5)), Some(Place::Finished(9)))));
        assert!(matches!(keys.remove_answer(key, 9), Some(Place::Finished(5))));
        assert!(keys.remove_answer(key, 5).is_none() && keys.remove_answer(key, 5).is_none());
        assert!(keys.get(key).is_none() && keys.get(other).is_some() && keys.all.len() == 1);
        assert_eq!(size_of::<Option<Known>>(), 32);
    }
}
