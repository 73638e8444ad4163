//! What every store must do: one set of tests, run by each implementation on an empty store of its
//! own.

use super::{AuditQuery, Commit, Entry, NewAudit, Store, StoreError};
use std::sync::Arc;

/// Makes a test of each duty; `$open` gives an empty store and whatever keeps it alive.
macro_rules! store_suite {
    ($open:expr) => {
        $crate::control::store::suite::store_suite! { $open;
            commits_count_revisions
            changes_tell_of_deletions
            a_failed_comparison_writes_nothing
            of_racing_commits_one_wins
            every_commit_has_its_audit_entry
            the_audit_is_paged_and_filtered
            a_watch_hears_of_every_commit
        }
    };
    ($open:expr; $($duty:ident)*) => { $(
        #[tokio::test]
        async fn $duty() {
            let (store, _keep) = $open;
            $crate::control::store::suite::$duty(std::sync::Arc::new(store)).await;
        }
    )* };
}
pub(crate) use store_suite;

pub(crate) fn note(object: &str) -> NewAudit {
    NewAudit {
        at: 1_700_000_000,
        who: "ann".into(),
        action: "write".into(),
        object: object.into(),
        before: None,
        after: Some(serde_json::json!({ "n": 1 })),
    }
}

pub(crate) fn write(key: &str, value: Option<&str>) -> Commit {
    Commit { compare: Vec::new(), write: vec![(key.into(), value.map(Into::into))], audit: vec![note(key)] }
}

fn entry(key: &str, value: Option<&str>, revision: u64) -> Entry {
    Entry { key: key.into(), value: value.map(Into::into), revision }
}

pub(crate) async fn commits_count_revisions(store: Arc<dyn Store>) {
    // R74
    assert_eq!(store.all().await.unwrap().revision, 0);
    assert_eq!(store.commit(write("b", Some("1"))).await, Ok(1));
    assert_eq!(store.commit(write("a", Some("2"))).await, Ok(2));
    assert_eq!(store.commit(write("b", Some("3"))).await, Ok(3));
    let all = store.all().await.unwrap();
    assert_eq!((all.revision, all.entries), (3, vec![entry("a", Some("2"), 2), entry("b", Some("3"), 3)]));
}

pub(crate) async fn changes_tell_of_deletions(store: Arc<dyn Store>) {
    for (key, value) in [("a", Some("1")), ("b", Some("2")), ("c", Some("3")), ("a", None)] {
        store.commit(write(key, value)).await.unwrap();
    }
    let changes = store.changes(1).await.unwrap();
    let expected = vec![entry("a", None, 4), entry("b", Some("2"), 2), entry("c", Some("3"), 3)];
    assert_eq!((changes.revision, changes.entries), (4, expected));
    assert_eq!(store.changes(4).await.unwrap().entries, []);
    assert_eq!(store.all().await.unwrap().entries.len(), 2);
}

pub(crate) async fn a_failed_comparison_writes_nothing(store: Arc<dyn Store>) {
    store.commit(write("a", Some("1"))).await.unwrap();
    let mut both = write("b", Some("2"));
    both.compare = vec![("a".into(), 1), ("b".into(), 5)];
    assert_eq!(store.commit(both.clone()).await, Err(StoreError::Conflict { key: "b".into(), revision: 0 }));
    assert_eq!(store.all().await.unwrap().revision, 1);
    assert_eq!(store.audit(AuditQuery::default()).await.unwrap().entries.len(), 1);
    both.compare = vec![("a".into(), 1), ("b".into(), 0)];
    assert_eq!(store.commit(both.clone()).await, Ok(2));
    assert_eq!(store.commit(both).await, Err(StoreError::Conflict { key: "b".into(), revision: 2 }));
    // A deleted key does not exist: it compares as 0, and no stale write brings it back (R74).
    store.commit(write("b", None)).await.unwrap();
    let mut stale = write("b", Some("again"));
    stale.compare = vec![("b".into(), 2)];
    assert_eq!(store.commit(stale).await, Err(StoreError::Conflict { key: "b".into(), revision: 0 }));
}

pub(crate) async fn of_racing_commits_one_wins(store: Arc<dyn Store>) {
    let race = (0..20).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut commit = write("a", Some(&n.to_string()));
            commit.compare = vec![("a".into(), 0)];
            store.commit(commit).await.is_ok()
        })
    });
    let mut won = 0;
    for racer in race.collect::<Vec<_>>() {
        won += u32::from(racer.await.unwrap());
    }
    assert_eq!(won, 1);
}

pub(crate) async fn every_commit_has_its_audit_entry(store: Arc<dyn Store>) {
    // R77
    let silent = Commit { audit: Vec::new(), ..write("a", Some("1")) };
    assert_eq!(store.commit(silent).await, Err(StoreError::Unaudited));
    assert_eq!(store.all().await.unwrap().revision, 0);
    store.commit(write("a", Some("1"))).await.unwrap();
    let page = store.audit(AuditQuery::default()).await.unwrap();
    let [only] = page.entries.as_slice() else { panic!("{page:?}") };
    assert_eq!((only.revision, only.at, only.who.as_str(), only.object.as_str()), (1, 1_700_000_000, "ann", "a"));
    assert_eq!((&only.before, &only.after), (&None, &Some(serde_json::json!({ "n": 1 }))));
}

pub(crate) async fn the_audit_is_paged_and_filtered(store: Arc<dyn Store>) {
    // R77
    for n in 0..25 {
        store.commit(write(if n % 5 == 0 { "Five" } else { "other" }, Some("1"))).await.unwrap();
    }
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = store.audit(AuditQuery { before, limit: 10, object: None }).await.unwrap();
        seen.extend(page.entries.iter().map(|entry| entry.id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted_by(|a, b| a > b));
    let five = AuditQuery { object: Some("five".into()), limit: 5, before: None };
    let page = store.audit(five).await.unwrap();
    assert_eq!((page.entries.len(), page.next), (5, None));
}

pub(crate) async fn a_watch_hears_of_every_commit(store: Arc<dyn Store>) {
    let mut watch = store.watch();
    assert_eq!(*watch.borrow_and_update(), 0);
    store.commit(write("a", Some("1"))).await.unwrap();
    watch.changed().await.unwrap();
    assert_eq!(*watch.borrow_and_update(), 1);
}
