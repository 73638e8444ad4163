//! A map with changes laid over it, so that a draft of the table costs what it changes.

use std::borrow::Borrow;
use std::collections::BTreeMap;

/// A base map, and what differs from it; `None` is a removed key.
pub(super) struct Overlay<'a, K, V> {
    base: &'a BTreeMap<K, V>,
    over: BTreeMap<K, Option<V>>,
}

impl<'a, K: Ord, V> Overlay<'a, K, V> {
    pub(super) fn new(base: &'a BTreeMap<K, V>) -> Self {
        Self { base, over: BTreeMap::new() }
    }

    pub(super) fn set(&mut self, key: K, value: Option<V>) {
        self.over.insert(key, value);
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        match self.over.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.base.get(key),
        }
    }

    pub(super) fn before<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&'a V>
    where
        K: Borrow<Q>,
    {
        self.base.get(key)
    }

    /// Whether a key was set.
    pub(super) fn is_changed<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.over.contains_key(key)
    }

    /// Every value, changed ones as they are now.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        let untouched = self.base.iter().filter(|(key, _)| !self.over.contains_key(*key)).map(|(_, value)| value);
        untouched.chain(self.over.values().flatten())
    }

    /// As [`Self::values`], with the keys.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&K, &V)> {
        let untouched = self.base.iter().filter(|(key, _)| !self.over.contains_key(*key));
        untouched.chain(self.over.iter().filter_map(|(key, value)| value.as_ref().map(|value| (key, value))))
    }

    /// The keys that were set, with what was and what is.
    pub(super) fn changed(&self) -> impl Iterator<Item = (&K, Option<&'a V>, Option<&V>)> {
        self.over.iter().map(|(key, value)| (key, self.base.get(key), value.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_lie_over_the_base() {
        let base = BTreeMap::from([(1, 'a'), (2, 'b'), (3, 'c')]);
        let mut overlay = Overlay::new(&base);
        overlay.set(2, None);
        overlay.set(3, Some('C'));
        overlay.set(4, Some('d'));
        assert_eq!(
            (1..=4).map(|key| overlay.get(&key).copied()).collect::<Vec<_>>(),
            [Some('a'), None, Some('C'), Some('d')]
        );
        assert_eq!(overlay.values().collect::<String>(), "aCd");
        assert_eq!(overlay.entries().map(|(key, _)| *key).collect::<Vec<_>>(), [1, 3, 4]);
        let changed: Vec<_> = overlay.changed().collect();
        assert_eq!(changed, [(&2, Some(&'b'), None), (&3, Some(&'c'), Some(&'C')), (&4, None, Some(&'d'))]);
        assert_eq!(overlay.before(&2), Some(&'b'));
        assert_eq!((overlay.is_changed(&2), overlay.is_changed(&1)), (true, false));
    }
}
