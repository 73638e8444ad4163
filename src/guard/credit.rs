//! Where phones are registered from: the credit of a source. One hash and a few loads to ask; no lock, no allocation.

use super::slots::Slots;
use std::sync::atomic::Ordering::Relaxed;

/// Sources that are remembered.
const SOURCES: usize = 131_072;

/// Sources with live registrations, and about how many accounts each has.
pub(super) struct Credit(Slots);

impl Credit {
    pub(super) fn new() -> Self {
        Self(Slots::new(SOURCES))
    }

    /// An account registered from a source until some moment.
    pub(super) fn note(&self, source: u64, account: u64, until: u64, now: u64) {
        let bit = bit(account);
        match self.0.find(source, now) {
            Some(slot) => {
                slot.value.fetch_or(bit, Relaxed);
                slot.until.fetch_max(until, Relaxed);
            }
            None => _ = self.0.put(source, until, bit, now),
        }
    }

    /// About how many accounts are registered from a source; exact for a few, and never 0 if there is one.
    pub(super) fn accounts(&self, source: u64, now: u64) -> u32 {
        self.0.find(source, now).map_or(0, |slot| about(slot.value.load(Relaxed)))
    }

    /// Whether there is any, for the way of every message.
    pub(super) fn has(&self, source: u64, now: u64) -> bool {
        self.0.find(source, now).is_some()
    }
}

/// The bit that stands for an account.
pub(super) const fn bit(hash: u64) -> u64 {
    1 << (hash & 63)
}

/// How many different ones make this many bits, most likely (linear counting). A full mask is many.
pub(super) fn about(mask: u64) -> u32 {
    let free = mask.count_zeros();
    if free == 0 {
        return 300;
    }
    (64.0 * (64.0 / f64::from(free)).ln()).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    #[test]
    fn the_estimate_is_near() {
        assert_eq!((about(0), about(1), about(0b111)), (0, 1, 3));
        // With the same outcome each time.
        let hasher = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
        for n in [5u32, 10, 20, 50, 100] {
            let mask = (0..n).fold(0, |mask, n| mask | bit(hasher.hash_one(n)));
            let seen = about(mask);
            assert!(seen >= n / 2 && (seen <= 2 * n || n > 50), "{n} looks like {seen}");
        }
        assert_eq!(about(u64::MAX), 300);
    }

    #[test]
    fn credit_ends_with_the_last_registration() {
        let credit = Credit::new();
        credit.note(7, 1, 1_000, 0);
        credit.note(7, 2, 500, 0);
        assert_eq!((credit.accounts(7, 999), credit.accounts(7, 1_000), credit.accounts(8, 0)), (2, 0, 0));
        credit.note(7, 3, 9_000, 8_000);
        assert_eq!(credit.accounts(7, 8_500), 1, "what was before counts no more");
    }
}
