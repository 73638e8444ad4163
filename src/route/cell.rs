//! Where the current snapshot is kept: swapped whole, read through a cache per worker.
//!
//! It compares revisions and hashes; it does not compile or save anything. `control::watch` stores,
//! `driver`, `http` and `observe` read.

use super::snapshot::Snapshot;
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, PoisonError};

/// The current snapshot of the process.
pub struct Cell {
    current: Arc<ArcSwap<Snapshot>>,
    /// The newest revision ever offered; equal tables raise it without a swap.
    seen: Mutex<u64>,
}

/// What became of an offered snapshot.
pub enum Stored {
    /// It is the current one now.
    Swapped {
        /// The one before.
        old: Arc<Snapshot>,
    },
    /// It says the same as the current one, which stays.
    Unchanged,
    /// It is older than one seen before (R74), and dropped.
    Older {
        /// The newest revision seen.
        newest: u64,
    },
}

impl Cell {
    /// A cell that starts with a snapshot.
    pub fn new(snapshot: Snapshot) -> Self {
        let seen = Mutex::new(snapshot.revision);
        Self { current: Arc::new(ArcSwap::from_pointee(snapshot)), seen }
    }

    /// Offers a snapshot. An older revision never replaces a newer one (R74), equal tables swap
    /// nothing.
    pub fn store(&self, snapshot: Arc<Snapshot>) -> Stored {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if snapshot.revision < *seen {
            return Stored::Older { newest: *seen };
        }
        *seen = snapshot.revision;
        let current = self.current.load();
        if current.hash == snapshot.hash && current.resolution == snapshot.resolution {
            return Stored::Unchanged;
        }
        Stored::Swapped { old: self.current.swap(snapshot) }
    }

    /// The current snapshot, for whoever asks now and then.
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The newest revision seen: that of the current snapshot, or of a later one that says the same.
    pub fn revision(&self) -> u64 {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader with a cache of its own, for a worker that asks for every packet.
    pub fn reader(&self) -> Reader {
        Reader { cache: arc_swap::Cache::new(Arc::clone(&self.current)) }
    }
}

/// One worker's view of the cell: while nothing is swapped, a read is one atomic load.
#[derive(Clone)]
pub struct Reader {
    cache: arc_swap::Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
}

impl Reader {
    /// The current snapshot.
    pub fn load(&mut self) -> &Arc<Snapshot> {
        self.cache.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(revision: u64, hash: u8) -> Arc<Snapshot> {
        Arc::new(Snapshot { revision, hash: [hash; 32], ..Snapshot::default() })
    }

    #[test]
    fn an_older_revision_never_replaces_a_newer_one() {
        // R74
        let cell = Cell::new(Snapshot::default());
        assert!(matches!(cell.store(snapshot(5, 1)), Stored::Swapped { old } if old.revision == 0));
        assert!(matches!(cell.store(snapshot(4, 2)), Stored::Older { newest: 5 }));
        assert_eq!(cell.load().revision, 5);
        assert!(matches!(cell.store(snapshot(6, 2)), Stored::Swapped { .. }));
    }

    #[test]
    fn an_equal_table_swaps_nothing_but_its_revision_counts() {
        // R74
        let cell = Cell::new(Snapshot::default());
        cell.store(snapshot(5, 1));
        let before = cell.load();
        assert!(matches!(cell.store(snapshot(9, 1)), Stored::Unchanged));
        assert!(Arc::ptr_eq(&before, &cell.load()));
        assert!(matches!(cell.store(snapshot(7, 3)), Stored::Older { newest: 9 }));
        assert_eq!(cell.revision(), 9);
    }

    #[test]
    fn new_addresses_of_the_same_rows_are_swapped_in() {
        let cell = Cell::new(Snapshot::default());
        cell.store(snapshot(5, 1));
        let moved = Snapshot { revision: 5, hash: [1; 32], resolution: [9; 32], ..Snapshot::default() };
        assert!(matches!(cell.store(Arc::new(moved)), Stored::Swapped { .. }));
    }

    #[test]
    fn a_reader_follows() {
        // R73
        let cell = Cell::new(Snapshot::default());
        let mut reader = cell.reader();
        assert_eq!(reader.load().revision, 0);
        cell.store(snapshot(3, 1));
        assert_eq!(reader.load().revision, 3);
    }
}
