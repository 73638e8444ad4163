//! What has to be written down about seats before it counts, in the order in which it happened.
//!
//! The shards put changes in while they hold the room they happened in, so that the order is that of the facts;
//! whoever keeps the durable claims takes them out in batches and tells the shards that wait. Not a store.

use crate::ids::{InstanceId, Shard};
use crate::licence::ledger::Change;
use crate::stats::JournalStats;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Entries that may wait before no new claim is made.
pub const BOUND: usize = 8_192;
/// Entries that may wait at all: ends of claims are noted beyond [`BOUND`] as well.
const LAST: usize = 16 * BOUND;

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Whose claim.
    pub instance: InstanceId,
    /// What happened to it.
    pub change: Change,
}

/// The shard that waits with a ticket: its lowest byte.
pub const fn shard_of(ticket: u64) -> Shard {
    Shard(ticket as u8)
}

/// The queue to the keeper of claims.
#[derive(Default, Debug)]
pub struct Journal {
    queue: Mutex<VecDeque<Entry>>,
    broken: AtomicBool,
    stats: Arc<JournalStats>,
}

impl Journal {
    /// An empty journal with these counters.
    pub fn new(stats: Arc<JournalStats>) -> Self {
        Self { stats, ..Self::default() }
    }

    /// Whether a new claim can be written down.
    pub fn can_save(&self) -> bool {
        !self.broken.load(Relaxed) && self.stats.waiting.read() < BOUND as u64
    }

    /// Says whether the last attempt to write failed.
    pub fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Relaxed);
    }

    /// Adds what happened in an instance.
    pub fn put(&self, instance: InstanceId, changes: impl Iterator<Item = Change>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            if queue.len() < LAST {
                queue.push_back(Entry { instance, change });
            } else {
                self.stats.lost.inc();
            }
        }
        self.stats.waiting.set(queue.len() as u64);
    }

    /// Takes out the oldest entries, at most `most`.
    pub fn take(&self, most: usize) -> Vec<Entry> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let count = most.min(queue.len());
        let taken = queue.drain(..count).collect();
        self.stats.waiting.set(queue.len() as u64);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::licence::ledger::Name;

    fn delete(n: usize) -> Change {
        Change::Delete { account: Name::from(n.to_string().as_bytes()) }
    }

    #[test]
    fn entries_come_out_in_their_order() {
        let journal = Journal::default();
        journal.put(InstanceId(1), [delete(1), delete(2)].into_iter());
        journal.put(InstanceId(2), [Change::Clear].into_iter());
        let taken: Vec<_> = journal.take(2).into_iter().map(|entry| entry.change).collect();
        assert_eq!(taken, [delete(1), delete(2)]);
        assert_eq!(journal.take(2), [Entry { instance: InstanceId(2), change: Change::Clear }]);
        assert_eq!((journal.take(2), journal.stats.waiting.read()), (vec![], 0));
    }

    #[test]
    fn a_full_journal_takes_no_claim_and_still_some_ends() {
        // R69
        let journal = Journal::default();
        journal.put(InstanceId(1), (1..BOUND).map(delete));
        assert!(journal.can_save());
        journal.put(InstanceId(1), [delete(0)].into_iter());
        assert!(!journal.can_save());
        journal.put(InstanceId(1), (BOUND..LAST).map(delete));
        assert_eq!(journal.stats.lost.read(), 0);
        journal.put(InstanceId(1), [delete(0)].into_iter());
        assert_eq!((journal.stats.lost.read(), journal.stats.waiting.read()), (1, LAST as u64));
        journal.take(LAST - BOUND + 1);
        assert!(journal.can_save());
        journal.set_broken(true);
        assert!(!journal.can_save());
    }
}
