//! The SQLite schema and its way from every earlier version to this one (`PRAGMA user_version`).
//!
//! A step that was released is never changed; a new one is added at the end, and the fixture of the
//! version before it goes into `fixtures/`.

use rusqlite::{Connection, TransactionBehavior};

/// Marks the file as ours (`PRAGMA application_id`): "NANT".
const APPLICATION: i64 = 0x4E41_4E54;

/// Step n leads from version n to version n + 1.
const STEPS: &[&str] = &[
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
     INSERT INTO meta VALUES ('revision', 0), ('compacted', 0);
     CREATE TABLE entry (key TEXT PRIMARY KEY, value TEXT, revision INTEGER NOT NULL) WITHOUT ROWID;
     CREATE INDEX entry_revision ON entry (revision);
     CREATE TABLE audit (
         id INTEGER PRIMARY KEY AUTOINCREMENT, revision INTEGER NOT NULL, at INTEGER NOT NULL, who TEXT NOT NULL,
         action TEXT NOT NULL, object TEXT NOT NULL, before TEXT, after TEXT);",
    "CREATE INDEX audit_object ON audit (object COLLATE NOCASE, id);
     CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
     CREATE TRIGGER audit_keeps BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;",
];

/// Why a file is not brought up to date.
#[derive(Debug, thiserror::Error)]
pub(super) enum MigrateError {
    #[error("the file belongs to another program (application id {0:#x})")]
    Foreign(i64),
    #[error("the file is of a later version of this program (schema {found}, known {known})")]
    Later { found: usize, known: usize },
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Brings a file up to date, each step in a transaction of its own; returns how many steps it took.
pub(super) fn migrate(connection: &mut Connection) -> Result<usize, MigrateError> {
    let mut taken = 0;
    loop {
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let application: i64 = step.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version: usize = step.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if application != APPLICATION && (application != 0 || version != 0) {
            return Err(MigrateError::Foreign(application));
        }
        if version > STEPS.len() {
            return Err(MigrateError::Later { found: version, known: STEPS.len() });
        }
        let Some(sql) = STEPS.get(version) else { return Ok(taken) };
        step.execute_batch(sql)?;
        step.pragma_update(None, "application_id", APPLICATION)?;
        step.pragma_update(None, "user_version", version + 1)?;
        step.commit()?;
        taken += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(connection: &Connection) -> Vec<String> {
        let mut query =
            connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    fn fresh() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        assert_eq!(migrate(&mut connection).unwrap(), STEPS.len());
        connection
    }

    #[test]
    fn the_first_version_comes_up_with_all_it_holds() {
        // Every released version has its fixture here; each must end as a new file starts.
        let released = [include_str!("fixtures/v1.sql")];
        for (fixture, version) in released.into_iter().zip(1..) {
            let mut old = Connection::open_in_memory().unwrap();
            old.execute_batch(fixture).unwrap();
            assert_eq!(migrate(&mut old).unwrap(), STEPS.len() - version);
            assert_eq!(schema(&old), schema(&fresh()));
            let text = |sql: &str| old.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
            assert_eq!(text("SELECT value FROM entry WHERE key = 'instance/00000001'"), "{\"name\":\"acme\"}");
            assert_eq!(
                text("SELECT group_concat(who || ' ' || action, ', ') FROM audit"),
                "ann create-instance, bob delete-instance"
            );
            assert_eq!(text("SELECT value || '' FROM meta WHERE key = 'revision'"), "3");
            assert_eq!(migrate(&mut old).unwrap(), 0, "a second start has nothing to do");
        }
    }

    #[test]
    fn what_is_later_or_foreign_is_left_alone() {
        let mut later = fresh();
        later.pragma_update(None, "user_version", STEPS.len() + 1).unwrap();
        assert!(matches!(migrate(&mut later), Err(MigrateError::Later { .. })));
        let mut foreign = Connection::open_in_memory().unwrap();
        foreign.pragma_update(None, "user_version", 1).unwrap();
        assert!(matches!(migrate(&mut foreign), Err(MigrateError::Foreign(0))));
    }
}
