//! Claims in one SQLite file. WAL with `synchronous=FULL`: what was acknowledged is on the disk.

use super::batch::Batch;
use super::{Error, Store};
use crate::engine::registry::Kept;
use crate::ids::InstanceId;
use crate::licence::ledger::{Name, Record};
use crate::model::Kind;
use rusqlite::{Connection, Row, TransactionBehavior, params};
use std::path::Path;
use std::time::Duration;

/// Marks the file as ours (`PRAGMA application_id`): "NANS".
const APPLICATION: i64 = 0x4E41_4E53;
const VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE claim (
        instance INTEGER NOT NULL, account BLOB NOT NULL, user BLOB NOT NULL, light INTEGER NOT NULL,
        device BLOB, ttl INTEGER NOT NULL, PRIMARY KEY (instance, account)) WITHOUT ROWID;
    CREATE TABLE alive (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL);
    INSERT INTO alive VALUES (1, 0);";

/// The file.
pub struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Opens the file, or makes it, readable by its owner only.
    pub fn open(path: &Path) -> Result<Self, Error> {
        use std::os::unix::fs::OpenOptionsExt;
        std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(1))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let begin = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let application: i64 = begin.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version: i64 = begin.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match (application, version) {
            (APPLICATION, VERSION) => {}
            (0, 0) => {
                begin.execute_batch(SCHEMA)?;
                begin.pragma_update(None, "application_id", APPLICATION)?;
                begin.pragma_update(None, "user_version", VERSION)?;
            }
            _ => return Err(Error::Foreign { application, version }),
        }
        begin.commit()?;
        Ok(Self { connection })
    }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<(Vec<Kept>, u64), Error> {
        let read = self.connection.transaction()?;
        let alive = read.query_row("SELECT at FROM alive", [], |row| row.get(0))?;
        let sql = "SELECT instance, account, user, light, device, ttl FROM claim";
        let kept = read.prepare(sql)?.query_map([], kept)?.collect::<Result<_, _>>()?;
        Ok((kept, alive))
    }

    fn write(&mut self, batch: &Batch, alive: u64) -> Result<(), Error> {
        let write = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for instance in &batch.cleared {
            write.prepare_cached("DELETE FROM claim WHERE instance = ?1")?.execute([instance.0])?;
        }
        for ((instance, account), record) in &batch.claims {
            match record {
                Some(Record { user, kind, device, ttl }) => {
                    let sql = "INSERT OR REPLACE INTO claim VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                    let is_light = *kind == Kind::Light;
                    let row = params![instance.0, &**account, &**user, is_light, device.as_deref(), ttl];
                    write.prepare_cached(sql)?.execute(row)?;
                }
                None => {
                    let sql = "DELETE FROM claim WHERE instance = ?1 AND account = ?2";
                    write.prepare_cached(sql)?.execute(params![instance.0, &**account])?;
                }
            }
        }
        write.prepare_cached("UPDATE alive SET at = ?1")?.execute([alive])?;
        Ok(write.commit()?)
    }
}

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let name = |bytes: Vec<u8>| Name::from(bytes);
    let kind = if row.get(3)? { Kind::Light } else { Kind::Full };
    let device = row.get::<_, Option<Vec<u8>>>(4)?.map(Vec::into_boxed_slice);
    let record = Record { user: name(row.get(2)?), kind, device, ttl: row.get(5)? };
    Ok(Kept { instance: InstanceId(row.get(0)?), account: name(row.get(1)?), record })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::registry::journal::Entry;
    use crate::licence::ledger::Change;

    fn put(account: &[u8], kind: Kind, ttl: u32) -> Change {
        let device = (kind == Kind::Light).then(|| b"<urn:uuid:1>"[..].into());
        let record = Record { user: Name::from(&b"ann"[..]), kind, device, ttl };
        Change::Put { account: Name::from(account), record, ticket: None }
    }

    fn write(store: &mut Sqlite, changes: impl IntoIterator<Item = (u32, Change)>, alive: u64) {
        let mut batch = Batch::default();
        for (instance, change) in changes {
            batch.add(Entry { instance: InstanceId(instance), change });
        }
        store.write(&batch, alive).unwrap();
    }

    #[test]
    fn what_was_written_is_read_back() {
        // R66
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seats.sqlite");
        let mut store = Sqlite::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), (vec![], 0));
        let changes =
            [(1, put(b"10", Kind::Full, 60)), (1, put(b"\xff", Kind::Light, 61)), (2, put(b"x", Kind::Full, 1))];
        write(&mut store, changes, 7);
        let mut store = Sqlite::open(&path).unwrap();
        let (mut kept, alive) = store.load().unwrap();
        kept.sort_by_key(|kept| (kept.instance, kept.account.clone()));
        let shown: Vec<_> = kept.iter().map(|k| (k.instance.0, &*k.account, k.record.kind, k.record.ttl)).collect();
        assert_eq!(shown, [(1, &b"10"[..], Kind::Full, 60), (1, b"\xff", Kind::Light, 61), (2, b"x", Kind::Full, 1)]);
        assert_eq!(
            (kept[1].record.device.as_deref(), &*kept[1].record.user, alive),
            (Some(&b"<urn:uuid:1>"[..]), &b"ann"[..], 7)
        );
        write(
            &mut store,
            [
                (1, Change::Clear),
                (1, put(b"11", Kind::Full, 2)),
                (2, Change::Delete { account: Name::from(&b"x"[..]) }),
            ],
            9,
        );
        let (kept, alive) = store.load().unwrap();
        assert_eq!((kept.len(), &*kept[0].account, alive), (1, &b"11"[..], 9));
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seats.sqlite");
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
        assert!(matches!(Sqlite::open(&path), Err(Error::Foreign { version: 9, .. })));
        std::fs::write(&path, "this is no database, and long enough to be looked at as one").unwrap();
        assert!(matches!(Sqlite::open(&path), Err(Error::Sqlite(_))));
    }
}
