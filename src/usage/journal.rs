//! What is kept of the use of licences: `usage.sqlite` in the data directory, apart from the table.
//!
//! The ledger of marks is append-only, by triggers. Events are kept up to a bound, the oldest go first. Beside them
//! stand which warnings were given and how far each webhook has come, written in the same transaction, so that a
//! crash neither loses nor repeats one. Every call blocks: callers use [`Journal::call`].

use super::event::{Event, Recorded, Topic};
use super::months::{Mark, Month};
use crate::ids::InstanceId;
use crate::model::Kind;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use utoipa::ToSchema;

/// The file's name.
pub const FILE: &str = "usage.sqlite";
/// Events that are kept.
const EVENTS: u64 = 100_000;
/// Marks and events of one answer at most.
const MOST: u32 = 1_000;
const VERSION: i64 = 1;
/// Marks the file as ours (`PRAGMA application_id`): "NANU".
const APPLICATION: i64 = 0x4E41_4E55;

const SCHEMA: &str = "
    CREATE TABLE mark (
        id INTEGER PRIMARY KEY, month INTEGER NOT NULL, instance INTEGER NOT NULL, name TEXT NOT NULL,
        kind INTEGER NOT NULL, used INTEGER NOT NULL, licensed INTEGER NOT NULL, at INTEGER NOT NULL);
    CREATE INDEX mark_month ON mark (month, instance, kind, used);
    CREATE TRIGGER mark_stays BEFORE UPDATE ON mark BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
    CREATE TRIGGER mark_keeps BEFORE DELETE ON mark BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
    CREATE TABLE event (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, topic TEXT NOT NULL, instance TEXT, body TEXT NOT NULL);
    CREATE INDEX event_topic ON event (topic, id);
    CREATE TABLE given (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE hook (url TEXT PRIMARY KEY, delivered INTEGER NOT NULL) WITHOUT ROWID;";

/// Why the journal did not do it.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file belongs to another program or a later version.
    #[error("the file is of another program or a later version")]
    Foreign,
    /// The store is away or broken.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// An event in it cannot be read.
    #[error("an event cannot be read: {0}")]
    Event(#[from] serde_json::Error),
    /// The file cannot be made.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// The work was cut short.
    #[error("the work was cut short")]
    Cut,
}

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Only events with a smaller id (the `next` of the page before).
    pub before: Option<u64>,
    /// Only of this topic.
    pub topic: Option<Topic>,
    /// Only about the instance of this name.
    pub instance: Option<String>,
    /// How many at most.
    pub limit: u32,
}

/// One page of events.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// Newest first.
    pub items: Vec<Recorded>,
    /// `before` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Which marks.
#[derive(Clone, Debug, Default)]
pub struct MonthQuery {
    /// From this month on.
    pub from: Option<Month>,
    /// Up to this month.
    pub to: Option<Month>,
    /// Only of this instance.
    pub instance: Option<InstanceId>,
    /// Only of those that had this name.
    pub name: Option<String>,
}

/// What is to be written down in one piece.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes {
    /// Marks that were raised.
    pub marks: Vec<Mark>,
    /// What happened, and when in Unix seconds.
    pub events: Vec<(u64, Event)>,
    /// Which warnings were given; `None` forgets.
    pub given: Vec<(String, Option<u64>)>,
}

impl Notes {
    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.events.is_empty() && self.given.is_empty()
    }
}

/// The file.
#[derive(Debug)]
pub struct Journal(Mutex<Connection>);

impl Journal {
    /// Opens the file, made readable by its owner only if there is none.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        Self::prepare(connection)
    }

    /// One that is gone with the process: where the file cannot be used, and for tests.
    pub fn in_memory() -> Result<Self, JournalError> {
        Self::prepare(Connection::open_in_memory()?)
    }

    fn prepare(mut connection: Connection) -> Result<Self, JournalError> {
        let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let application: i64 = write.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version: i64 = write.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match (application, version) {
            (0, 0) => {
                write.execute_batch(SCHEMA)?;
                write.pragma_update(None, "application_id", APPLICATION)?;
                write.pragma_update(None, "user_version", VERSION)?;
            }
            (APPLICATION, VERSION) => {}
            _ => return Err(JournalError::Foreign),
        }
        write.commit()?;
        Ok(Self(Mutex::new(connection)))
    }

    /// Works with it on a thread that may block.
    pub async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let journal = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&journal)).await.unwrap_or(Err(JournalError::Cut))
    }

    /// Events, newest first.
    pub fn events(&self, query: &EventQuery) -> Result<EventPage, JournalError> {
        let limit = query.limit.clamp(1, MOST);
        let sql = "SELECT id, at, body FROM event
                   WHERE id < ?1 AND (?2 IS NULL OR topic = ?2) AND (?3 IS NULL OR instance = ?3 COLLATE NOCASE)
                   ORDER BY id DESC LIMIT ?4";
        let before = query.before.unwrap_or(u64::MAX >> 1).min(u64::MAX >> 1);
        let topic = query.topic.map(Topic::word);
        let lock = self.lock();
        let mut statement = lock.prepare_cached(sql)?;
        let rows = statement.query_map(params![before, topic, query.instance, limit + 1], row)?;
        let mut items = rows.map(|row| recorded(row?)).collect::<Result<Vec<_>, _>>()?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        Ok(EventPage { next: items.last().filter(|_| more).map(|last| last.id), items })
    }

    /// The highest mark of every month, instance and kind, in that order.
    pub fn months(&self, query: &MonthQuery) -> Result<Vec<Mark>, JournalError> {
        // SQLite takes the other columns from the row that has the maximum.
        let sql = "SELECT month, name, instance, kind, MAX(used), licensed, at FROM mark
                   WHERE month >= ?1 AND month <= ?2 AND (?3 IS NULL OR instance = ?3)
                   AND (?4 IS NULL OR name = ?4 COLLATE NOCASE)
                   GROUP BY month, instance, kind ORDER BY month, instance, kind";
        let from = query.from.map_or(0, Month::number);
        let to = query.to.map_or(u32::MAX, Month::number);
        let instance = query.instance.map(|id| id.0);
        let lock = self.lock();
        let mut statement = lock.prepare_cached(sql)?;
        let rows = statement.query_map(params![from, to, instance, query.name], mark)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes down in one piece; returns the id of the newest event.
    pub fn note(&self, notes: &Notes) -> Result<u64, JournalError> {
        let mut lock = self.lock();
        let write = lock.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut put = write.prepare_cached(
            "INSERT INTO mark (month, instance, name, kind, used, licensed, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for Mark { month, name, instance, kind, used, licensed, at } in &notes.marks {
            put.execute(params![month.number(), instance.0, name, *kind as u8, used, licensed, at])?;
        }
        drop(put);
        let mut put = write.prepare_cached("INSERT INTO event (at, topic, instance, body) VALUES (?1, ?2, ?3, ?4)")?;
        for (at, event) in &notes.events {
            put.execute(params![at, event.topic().word(), event.instance(), serde_json::to_string(event)?])?;
        }
        drop(put);
        for (key, value) in &notes.given {
            match value {
                Some(value) => {
                    write.prepare_cached("INSERT OR REPLACE INTO given VALUES (?1, ?2)")?.execute(params![key, value])
                }
                None => write.prepare_cached("DELETE FROM given WHERE key = ?1")?.execute(params![key]),
            }?;
        }
        let newest = newest(&write)?;
        if !notes.events.is_empty() {
            write.execute("DELETE FROM event WHERE id <= ?1", [newest.saturating_sub(EVENTS)])?;
        }
        write.commit()?;
        Ok(newest)
    }

    /// The id of the newest event; 0 where there was none.
    pub(super) fn newest(&self) -> Result<u64, JournalError> {
        Ok(newest(&self.lock())?)
    }

    /// Which warnings were given.
    pub(super) fn given(&self) -> Result<Vec<(String, u64)>, JournalError> {
        let lock = self.lock();
        let mut statement = lock.prepare("SELECT key, value FROM given")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How far a webhook has come; a new one starts at the newest event.
    pub(super) fn delivered(&self, url: &str) -> Result<u64, JournalError> {
        let lock = self.lock();
        let known = lock.query_row("SELECT delivered FROM hook WHERE url = ?1", [url], |row| row.get(0)).optional()?;
        if let Some(delivered) = known {
            return Ok(delivered);
        }
        let newest = newest(&lock)?;
        lock.execute("INSERT INTO hook VALUES (?1, ?2)", params![url, newest])?;
        Ok(newest)
    }

    /// Notes that a webhook is done with an event and all before it.
    pub(super) fn set_delivered(&self, url: &str, id: u64) -> Result<(), JournalError> {
        self.lock().prepare_cached("UPDATE hook SET delivered = ?2 WHERE url = ?1")?.execute(params![url, id])?;
        Ok(())
    }

    /// Forgets webhooks that are no more.
    pub(super) fn keep_hooks(&self, urls: &[String]) -> Result<(), JournalError> {
        let lock = self.lock();
        let known: Vec<String> =
            lock.prepare("SELECT url FROM hook")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for url in known.iter().filter(|url| !urls.contains(url)) {
            lock.execute("DELETE FROM hook WHERE url = ?1", [url])?;
        }
        Ok(())
    }

    /// What waits behind an event, of these topics (none: all): the next of them, and how many there are. More than
    /// `bound` are passed over, the oldest first, and their number is returned too.
    pub(super) fn waiting(&self, after: u64, topics: &[Topic], bound: u64) -> Result<Waiting, JournalError> {
        let lock = self.lock();
        let words: Vec<String> = topics.iter().map(|topic| format!("'{}'", topic.word())).collect();
        let filter = if words.is_empty() { String::new() } else { format!("AND topic IN ({})", words.join(",")) };
        let sql = format!("SELECT COUNT(*) FROM event WHERE id > ?1 {filter}");
        let count: u64 = lock.prepare_cached(&sql)?.query_row([after], |row| row.get(0))?;
        let passed = count.saturating_sub(bound);
        let sql = format!("SELECT id, at, body FROM event WHERE id > ?1 {filter} ORDER BY id LIMIT 1 OFFSET ?2");
        let next = lock.prepare_cached(&sql)?.query_row(params![after, passed], row).optional()?;
        Ok(Waiting { next: next.map(recorded).transpose()?, count: count - passed, passed })
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a webhook has before it.
#[derive(Debug, PartialEq)]
pub(super) struct Waiting {
    pub(super) next: Option<Recorded>,
    /// How many wait, `next` among them.
    pub(super) count: u64,
    /// How many were passed over.
    pub(super) passed: u64,
}

fn newest(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'event'";
    Ok(connection.query_row(sql, [], |row| row.get(0)).optional()?.unwrap_or(0))
}

type Raw = (u64, u64, String);

fn row(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn recorded((id, at, body): Raw) -> Result<Recorded, JournalError> {
    let event: Event = serde_json::from_str(&body)?;
    Ok(Recorded { id, at, text: event.text(), event })
}

fn mark(row: &Row<'_>) -> rusqlite::Result<Mark> {
    let month = Month::from_number(row.get(0)?).unwrap_or_default();
    let kind = if row.get::<_, u8>(3)? == Kind::Light as u8 { Kind::Light } else { Kind::Full };
    Ok(Mark {
        month,
        name: row.get(1)?,
        instance: InstanceId(row.get(2)?),
        kind,
        used: row.get(4)?,
        licensed: row.get(5)?,
        at: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::event::Counted;

    fn warning(instance: &str, percent: u8) -> Event {
        let (instance_id, kind) = (InstanceId(1), Counted::Full);
        Event::SeatsWarning { instance: instance.into(), instance_id, kind, percent, used: 9, licensed: 10 }
    }

    fn raised(month: u32, instance: u32, kind: Kind, used: u64) -> Mark {
        let month = Month::from_number(month).unwrap();
        Mark { month, name: format!("i{instance}"), instance: InstanceId(instance), kind, used, licensed: 10, at: used }
    }

    fn events(journal: &Journal, events: &[Event]) -> u64 {
        let events = events.iter().map(|event| (5, event.clone())).collect();
        journal.note(&Notes { events, ..Notes::default() }).unwrap()
    }

    #[test]
    fn the_ledger_is_append_only_and_survives() {
        // R72
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let journal = Journal::open(&path).unwrap();
        let marks = vec![
            raised(202_611, 2, Kind::Full, 1),
            raised(202_611, 1, Kind::Full, 1),
            raised(202_611, 1, Kind::Full, 7),
            raised(202_611, 1, Kind::Light, 2),
            raised(202_612, 1, Kind::Full, 3),
        ];
        journal.note(&Notes { marks: marks.clone(), ..Notes::default() }).unwrap();
        let highest = [&marks[2], &marks[3], &marks[0], &marks[4]].map(Clone::clone);
        assert_eq!(journal.months(&MonthQuery::default()).unwrap(), highest);
        for sql in ["UPDATE mark SET used = 0", "DELETE FROM mark"] {
            let error = journal.lock().execute(sql, []).unwrap_err().to_string();
            assert!(error.contains("append-only"), "{error}");
        }
        drop(journal);
        let again = Journal::open(&path).unwrap();
        assert_eq!(again.months(&MonthQuery::default()).unwrap(), highest);
        let november = Month::from_number(202_611);
        let part = |query| again.months(&query).unwrap().len();
        assert_eq!(part(MonthQuery { to: november, ..MonthQuery::default() }), 3);
        assert_eq!(part(MonthQuery { from: Month::from_number(202_612), ..MonthQuery::default() }), 1);
        assert_eq!(part(MonthQuery { instance: Some(InstanceId(2)), ..MonthQuery::default() }), 1);
        assert_eq!(part(MonthQuery { name: Some("I2".into()), ..MonthQuery::default() }), 1);
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&path.metadata().unwrap()) & 0o777, 0o600);
    }

    #[test]
    fn events_are_read_newest_first_part_by_part() {
        let journal = Journal::in_memory().unwrap();
        let over = Event::OverAllocated { kind: Kind::Light, by: 2 };
        events(&journal, &[warning("acme", 80), over, warning("Beta", 80), warning("acme", 90)]);
        let page = |query: EventQuery| {
            let page = journal.events(&query).unwrap();
            (page.items.iter().map(|it| it.id).collect::<Vec<_>>(), page.next)
        };
        let all = EventQuery { limit: 10, ..EventQuery::default() };
        assert_eq!(page(all.clone()), (vec![4, 3, 2, 1], None));
        assert_eq!(page(EventQuery { limit: 3, ..all.clone() }), (vec![4, 3, 2], Some(2)));
        assert_eq!(page(EventQuery { limit: 3, before: Some(2), ..all.clone() }), (vec![1], None));
        assert_eq!(page(EventQuery { topic: Some(Topic::OverAllocated), ..all.clone() }), (vec![2], None));
        assert_eq!(page(EventQuery { instance: Some("beta".into()), ..all }), (vec![3], None));
    }

    #[test]
    fn a_hook_has_before_it_what_came_after_it() {
        let journal = Journal::in_memory().unwrap();
        events(&journal, &[warning("a", 80)]);
        assert_eq!(journal.delivered("https://x").unwrap(), 1, "a new one starts now");
        let over = Event::OverAllocated { kind: Kind::Light, by: 2 };
        events(&journal, &[warning("a", 90), over, warning("a", 100)]);
        let waiting = |after, topics: &[Topic], bound| {
            let Waiting { next, count, passed } = journal.waiting(after, topics, bound).unwrap();
            (next.map(|it| it.id), count, passed)
        };
        assert_eq!(waiting(1, &[], 3), (Some(2), 3, 0));
        assert_eq!(waiting(1, &[], 2), (Some(3), 2, 1), "the oldest is passed over");
        assert_eq!(waiting(1, &[Topic::OverAllocated], 3), (Some(3), 1, 0));
        assert_eq!(waiting(4, &[], 3), (None, 0, 0));
        journal.set_delivered("https://x", 3).unwrap();
        assert_eq!(journal.delivered("https://x").unwrap(), 3);
        journal.keep_hooks(&[]).unwrap();
        assert_eq!(journal.delivered("https://x").unwrap(), 4);
    }

    #[test]
    fn events_and_what_was_given_are_one_piece() {
        let journal = Journal::in_memory().unwrap();
        let given = vec![("a".to_owned(), Some(3)), ("b".to_owned(), Some(1)), ("b".to_owned(), None)];
        journal.note(&Notes { events: vec![(1, warning("a", 80))], given, ..Notes::default() }).unwrap();
        assert_eq!((journal.given().unwrap(), journal.newest().unwrap()), (vec![("a".into(), 3)], 1));
    }

    #[test]
    fn the_oldest_events_go_first() {
        // T19
        let journal = Journal::in_memory().unwrap();
        let sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?1)
                   INSERT INTO event (at, topic, body) SELECT x, 'licence', '{}' FROM n";
        journal.lock().execute(sql, [EVENTS]).unwrap();
        events(&journal, &[warning("a", 80)]);
        let (count, first): (u64, u64) = journal
            .lock()
            .query_row("SELECT COUNT(*), MIN(id) FROM event", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!((count, first), (EVENTS, 2));
    }

    #[test]
    fn what_is_foreign_is_left_alone() {
        let other = Connection::open_in_memory().unwrap();
        other.pragma_update(None, "user_version", VERSION + 1).unwrap();
        assert!(matches!(Journal::prepare(other), Err(JournalError::Foreign)));
    }
}
