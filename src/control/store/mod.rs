//! Where rows are kept: a revisioned key-value store with watch, compare-and-commit and audit.
//!
//! It knows no rows, only keys and JSON texts: what they mean is `rows`' business. One trait, so that
//! SQLite and a shared store pass the same tests (`suite`). Called by `rows` and `service`.

pub mod absent;
mod lane;
mod migrate;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod suite;

use serde::{Deserialize, Serialize};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;
use utoipa::ToSchema;

/// What an asynchronous call of a store returns.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A revisioned key-value store. Revisions count commits: 1, 2, 3, …; 0 is the empty store.
pub trait Store: Send + Sync {
    /// Every live entry, at one revision.
    fn all(&self) -> Reply<'_, Entries>;

    /// What was written after a revision: the last version of every key changed since, deleted ones
    /// without a value. [`StoreError::Compacted`] if that is too long ago: read [`Store::all`].
    fn changes(&self, after: u64) -> Reply<'_, Entries>;

    /// Writes everything or nothing. [`StoreError::Conflict`] if a comparison fails. When it returns
    /// `Ok`, the commit survives a crash.
    fn commit(&self, commit: Commit) -> Reply<'_, u64>;

    /// Audit entries, newest first.
    fn audit(&self, query: AuditQuery) -> Reply<'_, AuditPage>;

    /// The newest revision, as a hint that there are changes to be read.
    fn watch(&self) -> watch::Receiver<u64>;
}

/// Entries at one revision.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Entries {
    /// The store's revision they are of.
    pub revision: u64,
    /// In the order of their keys.
    pub entries: Vec<Entry>,
}

/// One key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Its value; `None` where it was deleted.
    pub value: Option<String>,
    /// The revision that wrote it.
    pub revision: u64,
}

/// What to write, under which conditions, and what to remember about it.
#[derive(Clone, PartialEq, Debug)]
pub struct Commit {
    /// Keys and the revision each must be at; 0 means it must not exist.
    pub compare: Vec<(String, u64)>,
    /// Keys and their new values; `None` deletes.
    pub write: Vec<(String, Option<String>)>,
    /// Written in the same transaction (R77); a commit without an entry is refused.
    pub audit: Vec<NewAudit>,
}

/// An audit entry to be written.
#[derive(Clone, PartialEq, Debug)]
pub struct NewAudit {
    /// Unix seconds.
    pub at: u64,
    /// Who.
    pub who: String,
    /// What was done, as in `update-instance`.
    pub action: String,
    /// To which row, as in `instance/acme`.
    pub object: String,
    /// The row before, secrets left out.
    pub before: Option<serde_json::Value>,
    /// The row after, secrets left out.
    pub after: Option<serde_json::Value>,
}

/// An audit entry (R77).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its number, growing without end.
    pub id: u64,
    /// The revision it came with.
    pub revision: u64,
    /// Unix seconds.
    pub at: u64,
    /// Who.
    pub who: String,
    /// What was done, as in `update-instance`.
    pub action: String,
    /// To which row, as in `instance/acme`.
    pub object: String,
    /// The row before, secrets left out.
    pub before: Option<serde_json::Value>,
    /// The row after, secrets left out.
    pub after: Option<serde_json::Value>,
}

/// Which audit entries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditQuery {
    /// Only entries with a smaller id (the `next` of the page before).
    pub before: Option<u64>,
    /// Only entries of this row, as in `instance/acme`.
    pub object: Option<String>,
    /// How many at most; 0 means 100, more than 1000 means 1000.
    pub limit: u32,
}

/// One page of the audit.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// Newest first.
    pub entries: Vec<AuditEntry>,
    /// `before` of the next page; absent on the last.
    pub next: Option<u64>,
}

/// Why a store did not do it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// A compared key is at another revision; nothing was written.
    #[error("{key} is at revision {revision}")]
    Conflict {
        /// The key.
        key: String,
        /// Its revision now; 0 if it does not exist.
        revision: u64,
    },
    /// The changes asked for are no longer known.
    #[error("changes before revision {oldest} are forgotten")]
    Compacted {
        /// The oldest revision after which changes are known.
        oldest: u64,
    },
    /// A commit without an audit entry (R77).
    #[error("a change without an audit entry")]
    Unaudited,
    /// Too much is waiting; try again.
    #[error("the store has too much to do")]
    Busy,
    /// The store is away or broken; the text says how.
    #[error("the store is not available: {0}")]
    Unavailable(Arc<str>),
}
