//! A map that keeps the newest entries and forgets the oldest: memory is bounded without a clock.
//!
//! Called by `endpoint` and `pbx` for what a retransmission may still ask for.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// At most `room` entries.
pub struct Recent<K, V> {
    entries: HashMap<K, V>,
    order: VecDeque<K>,
    room: usize,
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    /// An empty map for `room` entries.
    pub fn new(room: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), room }
    }

    /// Puts an entry in, as the newest if the key is new; gives back the one it pushed out.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.entries.insert(key.clone(), value).is_some() {
            return None;
        }
        self.order.push_back(key);
        if self.order.len() <= self.room {
            return None;
        }
        self.order.pop_front().and_then(|oldest| self.entries.remove(&oldest))
    }

    /// Looks one up.
    pub fn find(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    /// Looks one up to change it.
    pub fn find_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// Takes one out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let value = self.entries.remove(key)?;
        self.order.retain(|kept| kept != key);
        Some(value)
    }

    /// Every value.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let mut recent = Recent::new(2);
        assert_eq!(recent.insert("a", 1), None);
        assert_eq!(recent.insert("b", 2), None);
        assert_eq!(recent.insert("a", 3), None);
        assert_eq!(recent.insert("c", 4), Some(3));
        assert_eq!((recent.find(&"a"), recent.find(&"b"), recent.find(&"c")), (None, Some(&2), Some(&4)));
        assert_eq!(recent.remove(&"b"), Some(2));
        assert_eq!(recent.insert("d", 5), None);
        assert_eq!(recent.values().sum::<i32>(), 9);
    }
}
