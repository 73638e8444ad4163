//! A store that could not be opened: it answers why. With it the node serves its last good table
//! (R76), and the API says what is wrong.

use super::{AuditPage, AuditQuery, Commit, Entries, Reply, Store, StoreError};
use tokio::sync::watch;

/// Nothing to read, nowhere to write.
pub struct Absent {
    why: StoreError,
    never: watch::Sender<u64>,
}

impl Absent {
    /// Answers everything with `why`.
    pub fn new(why: StoreError) -> Self {
        Self { why, never: watch::Sender::new(0) }
    }

    fn refuse<T: Send + 'static>(&self) -> Reply<'_, T> {
        Box::pin(std::future::ready(Err(self.why.clone())))
    }
}

impl Store for Absent {
    fn all(&self) -> Reply<'_, Entries> {
        self.refuse()
    }

    fn changes(&self, _: u64) -> Reply<'_, Entries> {
        self.refuse()
    }

    fn commit(&self, _: Commit) -> Reply<'_, u64> {
        self.refuse()
    }

    fn audit(&self, _: AuditQuery) -> Reply<'_, AuditPage> {
        self.refuse()
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.never.subscribe()
    }
}
