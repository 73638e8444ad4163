//! Which challenge was sent where: what proves that credentials come from the address they seem to come from. A table of
//! fixed size without a lock; what is forgotten makes a failure unproven, never a ban wrong.

use crate::clock::Tick;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Challenges remembered.
const NONCES: usize = 65_536;
const WAYS: usize = 4;
const TIME_BITS: u32 = 40;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// For how many milliseconds.
const FRESH: u64 = 300_000;

/// The challenges of late, with the source each was sent to.
pub(super) struct Nonces(Box<[AtomicU64]>);

impl Nonces {
    pub(super) fn new() -> Self {
        Self((0..NONCES).map(|_| AtomicU64::new(0)).collect())
    }

    /// Notes one by the hash of source and nonce.
    pub(super) fn sent(&self, hash: u64, now: Tick) {
        let time = now.0 & TIME_MASK;
        let set = self.set(hash);
        let own = set.iter().find(|slot| slot.load(Relaxed) & !TIME_MASK == hash & !TIME_MASK);
        if let Some(slot) = own.or_else(|| set.iter().min_by_key(|slot| slot.load(Relaxed) & TIME_MASK)) {
            slot.store(hash & !TIME_MASK | time.max(1), Relaxed);
        }
    }

    /// Whether it was sent there a short while ago.
    pub(super) fn is_fresh(&self, hash: u64, now: Tick) -> bool {
        self.set(hash).iter().map(|slot| slot.load(Relaxed)).any(|value| {
            let time = value & TIME_MASK;
            time != 0 && value & !TIME_MASK == hash & !TIME_MASK && (now.0 & TIME_MASK).saturating_sub(time) < FRESH
        })
    }

    fn set(&self, hash: u64) -> &[AtomicU64] {
        let sets = self.0.len() / WAYS;
        let at = usize::try_from(hash & TIME_MASK).unwrap_or(0) % sets.max(1) * WAYS;
        self.0.get(at..at + WAYS).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldhash::fast::RandomState;
    use std::hash::BuildHasher;

    #[test]
    fn a_challenge_is_known_where_it_was_sent_and_for_a_while() {
        let nonces = Nonces::new();
        nonces.sent(0x1234_5678_9abc_def0, Tick(1_000));
        assert!(nonces.is_fresh(0x1234_5678_9abc_def0, Tick(1_000 + FRESH - 1)));
        assert!(!nonces.is_fresh(0x1234_5678_9abc_def0, Tick(1_000 + FRESH)));
        assert!(!nonces.is_fresh(0x2234_5678_9abc_def0, Tick(1_001)));
    }

    #[test]
    fn a_flood_of_challenges_makes_nothing_grow_and_nothing_wrong() {
        let (nonces, hasher) = (Nonces::new(), RandomState::default());
        (0..1_000_000u64).for_each(|n| nonces.sent(hasher.hash_one(n), Tick(1 + n / 100)));
        assert_eq!(nonces.0.len(), NONCES);
        let wrong = (2_000_000..2_100_000u64).filter(|n| nonces.is_fresh(hasher.hash_one(n), Tick(10_001))).count();
        // A quarter of a 16-millionth each.
        assert!(wrong <= 2, "{wrong}");
    }
}
