//! The embedded store: one SQLite file, one thread that writes, one that reads.
//!
//! WAL with `synchronous=FULL`: a commit that was acknowledged is on the disk. Both threads have a
//! bounded queue; what does not fit is refused as busy. Deleted keys stay as empty entries, so that
//! [`Store::changes`] tells of them, until they are [`KEEP`] revisions old.

use super::lane::Lane;
use super::migrate::migrate;
use super::{AuditEntry, AuditPage, AuditQuery, Commit, Entries, Entry, NewAudit, Reply, Store, StoreError};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// For how many revisions a deleted key is remembered.
const KEEP: u64 = 10_000;
/// How often (in revisions) older ones are removed.
const COMPACT_EVERY: u64 = 1_000;

/// A store in one file.
pub struct Sqlite {
    writer: Lane,
    reader: Lane,
    newest: watch::Sender<u64>,
}

impl Sqlite {
    /// Opens the file, makes it (readable by its owner only) if there is none, and brings it up to
    /// date. Blocks: it is called once, at start.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_inner(path).map_err(|reason| StoreError::Unavailable(format!("{}: {reason}", path.display()).into()))
    }

    fn open_inner(path: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        use std::os::unix::fs::OpenOptionsExt;
        std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let mut writer = connect(path)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        migrate(&mut writer)?;
        let revision = meta(&writer, "revision")?;
        let reader = connect(path)?;
        Ok(Self {
            writer: Lane::start("store-writer", writer)?,
            reader: Lane::start("store-reader", reader)?,
            newest: watch::Sender::new(revision),
        })
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // In KiB: the whole table of a large installation.
    connection.pragma_update(None, "cache_size", -16_384)?;
    Ok(connection)
}

impl Store for Sqlite {
    fn all(&self) -> Reply<'_, Entries> {
        self.reader.run(|connection| {
            let read = connection.transaction()?;
            let revision = meta(&read, "revision")?;
            let sql = "SELECT key, value, revision FROM entry WHERE value IS NOT NULL ORDER BY key";
            let entries = read.prepare_cached(sql)?.query_map([], entry)?.collect::<Result<_, _>>()?;
            Ok(Entries { revision, entries })
        })
    }

    fn changes(&self, after: u64) -> Reply<'_, Entries> {
        self.reader.run(move |connection| {
            let read = connection.transaction()?;
            let oldest = meta(&read, "compacted")?;
            if after < oldest {
                return Err(StoreError::Compacted { oldest });
            }
            let revision = meta(&read, "revision")?;
            // Sorted here: asked for the order of keys, SQLite would walk all of them.
            let sql = "SELECT key, value, revision FROM entry INDEXED BY entry_revision WHERE revision > ?1";
            let mut entries: Vec<_> = read.prepare_cached(sql)?.query_map([after], entry)?.collect::<Result<_, _>>()?;
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(Entries { revision, entries })
        })
    }

    fn commit(&self, commit: Commit) -> Reply<'_, u64> {
        let newest = self.newest.clone();
        self.writer.run(move |connection| {
            if commit.audit.is_empty() {
                return Err(StoreError::Unaudited);
            }
            let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let revision = write_all(&write, &commit)?;
            write.commit()?;
            newest.send_replace(revision);
            Ok(revision)
        })
    }

    fn audit(&self, query: AuditQuery) -> Reply<'_, AuditPage> {
        self.reader.run(move |connection| audit_page(connection, &query))
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

fn write_all(write: &Transaction<'_>, commit: &Commit) -> Result<u64, StoreError> {
    for (key, expected) in &commit.compare {
        let sql = "SELECT revision FROM entry WHERE key = ?1 AND value IS NOT NULL";
        let revision: u64 = write.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()?.unwrap_or(0);
        if revision != *expected {
            return Err(StoreError::Conflict { key: key.clone(), revision });
        }
    }
    let revision = meta(write, "revision")? + 1;
    let mut put = write.prepare_cached("INSERT OR REPLACE INTO entry (key, value, revision) VALUES (?1, ?2, ?3)")?;
    for (key, value) in &commit.write {
        put.execute(params![key, value, revision])?;
    }
    let mut note = write.prepare_cached(
        "INSERT INTO audit (revision, at, who, action, object, before, after) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for NewAudit { at, who, action, object, before, after } in &commit.audit {
        let text = |value: &Option<serde_json::Value>| value.as_ref().map(ToString::to_string);
        note.execute(params![revision, at, who, action, object, text(before), text(after)])?;
    }
    set_meta(write, "revision", revision)?;
    if revision % COMPACT_EVERY == 0 && revision > KEEP {
        let oldest = revision - KEEP;
        write.execute("DELETE FROM entry WHERE value IS NULL AND revision <= ?1", [oldest])?;
        set_meta(write, "compacted", oldest)?;
    }
    Ok(revision)
}

fn meta(connection: &Connection, key: &str) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?.query_row([key], |row| row.get(0))
}

fn set_meta(connection: &Connection, key: &str, value: u64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE meta SET value = ?2 WHERE key = ?1")?.execute(params![key, value]).map(|_| ())
}

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry { key: row.get(0)?, value: row.get(1)?, revision: row.get(2)? })
}

fn audit_page(connection: &Connection, query: &AuditQuery) -> Result<AuditPage, StoreError> {
    let limit = match query.limit {
        0 => 100,
        n => n.min(1_000),
    };
    let sql = "SELECT id, revision, at, who, action, object, before, after FROM audit
               WHERE id < ?1 AND (?2 IS NULL OR object = ?2 COLLATE NOCASE) ORDER BY id DESC LIMIT ?3";
    let before = query.before.unwrap_or(u64::MAX >> 1);
    let mut entries = connection
        .prepare_cached(sql)?
        .query_map(params![before, query.object, limit + 1], |row| {
            let json = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
            Ok(AuditEntry {
                id: row.get(0)?,
                revision: row.get(1)?,
                at: row.get(2)?,
                who: row.get(3)?,
                action: row.get(4)?,
                object: row.get(5)?,
                before: json(row.get(6)?),
                after: json(row.get(7)?),
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let more = entries.len() > limit as usize;
    entries.truncate(limit as usize);
    Ok(AuditPage { next: entries.last().filter(|_| more).map(|last| last.id), entries })
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(Arc::from(error.to_string()))
    }
}

#[cfg(test)]
mod tests;
