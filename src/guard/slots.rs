//! A set-associative table of atomics: fixed in size, read without a lock. What it is for is its users' business.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Slots that one key may be in.
pub(super) const WAYS: usize = 4;

/// One entry. Its key is a whole hash, so that two sources are never taken for one another.
#[derive(Default, Debug)]
pub(super) struct Slot {
    pub(super) key: AtomicU64,
    /// The moment it is worth nothing any more, in milliseconds.
    pub(super) until: AtomicU64,
    /// What its user keeps of it.
    pub(super) value: AtomicU64,
}

/// The table.
pub(super) struct Slots(Box<[Slot]>);

impl Slots {
    pub(super) fn new(capacity: usize) -> Self {
        Self((0..capacity.next_power_of_two().max(WAYS)).map(|_| Slot::default()).collect())
    }

    /// The live entry of a key.
    pub(super) fn find(&self, key: u64, now: u64) -> Option<&Slot> {
        self.set(key).iter().find(|slot| slot.key.load(Relaxed) == key && slot.until.load(Relaxed) > now)
    }

    /// Where a key is, or is to be put: its own slot, or that of the entry that ends soonest.
    pub(super) fn place(&self, key: u64) -> Option<&Slot> {
        let set = self.set(key);
        let own = set.iter().find(|slot| slot.key.load(Relaxed) == key);
        own.or_else(|| set.iter().min_by_key(|slot| slot.until.load(Relaxed)))
    }

    /// Puts an entry in; true if that ended another one that was still worth something.
    pub(super) fn put(&self, key: u64, until: u64, value: u64, now: u64) -> bool {
        let Some(slot) = self.place(key) else { return false };
        let lost = slot.key.load(Relaxed) != key && slot.until.load(Relaxed) > now;
        // A reader between these lines finds nothing, at worst.
        slot.until.store(0, Relaxed);
        slot.value.store(value, Relaxed);
        slot.key.store(key, Relaxed);
        slot.until.store(until, Relaxed);
        lost
    }

    /// Takes an entry out.
    pub(super) fn remove(&self, key: u64) {
        if let Some(slot) = self.set(key).iter().find(|slot| slot.key.load(Relaxed) == key) {
            slot.until.store(0, Relaxed);
        }
    }

    fn set(&self, key: u64) -> &[Slot] {
        let sets = self.0.len() / WAYS;
        let at = usize::try_from(key % sets.max(1) as u64).unwrap_or(0) * WAYS;
        self.0.get(at..at + WAYS).unwrap_or_default()
    }
}
