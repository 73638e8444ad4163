use super::*;
use crate::control::change::{Actor, Change};
use crate::control::resolve::tests::Told;
use crate::control::service::Service;
use crate::control::store::absent::Absent;
use crate::control::store::sqlite::Sqlite;
use crate::control::store::suite::write;
use crate::control::store::{Entries, Store};
use crate::control::usage::Idle;
use crate::ids::{InstanceId, ProxyId};
use crate::model::{self, State};
use crate::route::snapshot::Host;
use crate::route::testing;
use std::path::Path;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A swap as the pipeline told it: revision, instances added, removed, changed.
type Told3 = (u64, [usize; 3]);

struct World {
    store: Arc<dyn Store>,
    service: Service,
    cell: Arc<Cell>,
    status: Arc<Status>,
    dns: Arc<Told>,
    watch: Option<Watch>,
    swaps: mpsc::UnboundedReceiver<Told3>,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

impl World {
    fn new(store: Arc<dyn Store>, folder: &Path) -> Self {
        let clock = Clock::start();
        let (rows, status) = (Arc::new(Rows::new(Arc::clone(&store))), Arc::new(Status::new(clock)));
        let (cell, dns) = (Arc::new(Cell::new(Snapshot::default())), Arc::new(Told::default()));
        let (told, swaps) = mpsc::unbounded_channel();
        let on_change: OnChange = Box::new(move |diff, snapshot| {
            let counts = [diff.added.len(), diff.removed.len(), diff.changed.len()];
            _ = told.send((snapshot.revision, counts));
        });
        let watch = Watch::new(Wiring {
            rows: Arc::clone(&rows),
            cell: Arc::clone(&cell),
            handles: Arc::default(),
            status: Arc::clone(&status),
            clock,
            lookup: Arc::clone(&dns) as Arc<dyn Lookup>,
            last_good: folder.join("lastgood.json"),
            on_change,
        });
        let service = Service::new(rows, Arc::clone(&status), Arc::new(Idle), clock);
        let stop = CancellationToken::new();
        Self { store, service, cell, status, dns, watch: Some(watch), swaps, stop, running: None }
    }

    fn sqlite(folder: &Path) -> Self {
        Self::new(Arc::new(Sqlite::open(&folder.join("store.sqlite")).unwrap()), folder)
    }

    async fn start(&mut self) -> Source {
        let mut watch = self.watch.take().unwrap();
        let source = watch.start().await.unwrap();
        self.running = Some(tokio::spawn(watch.run(self.stop.clone())));
        source
    }

    async fn end(mut self) {
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap();
    }

    async fn make(&self, changes: Vec<Change>) -> u64 {
        let changes = changes.into_iter().map(Into::into).collect();
        self.service.apply(&Actor("ann".into()), changes).await.unwrap().revision
    }

    /// Waits until a revision is served.
    async fn served(&mut self, revision: u64) {
        while self.cell.load().revision < revision {
            self.swaps.recv().await.unwrap();
        }
    }
}

fn instance(name: &str, address: &str) -> model::Instance {
    let mut row = testing::unbooked(0, name);
    row.backends[0].id = crate::ids::BackendId(0);
    row.backends[0].address = address.into();
    row
}

fn create(name: &str) -> Change {
    Change::CreateInstance { row: instance(name, "198.51.100.1") }
}

#[tokio::test]
async fn a_change_is_served_and_told_without_a_restart() {
    // R73
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::sqlite(folder.path());
    let mut front = testing::proxy(0, "front");
    front.listeners.iter_mut().for_each(|listener| listener.bind.set_ip([127, 0, 0, 1].into()));
    world.make(vec![create("one"), create("two"), Change::CreateProxy { row: front }]).await;
    assert_eq!(world.start().await, Source::Store);
    assert_eq!(world.swaps.recv().await, Some((1, [2, 0, 0])));
    let mut reader = world.cell.reader();
    let two = Arc::clone(reader.load().by_id(InstanceId(2)).unwrap());

    let mut moved = instance("one", "198.51.100.9");
    moved.limits.transactions = 5;
    for (change, counts) in [
        (Change::PutInstance { row: moved }, [0, 0, 1]),
        (Change::SetState { name: "one".into(), state: State::Off }, [0, 0, 1]),
        (Change::RenameInstance { name: "one".into(), to: "uno".into(), keep_until: None }, [0, 0, 1]),
        (create("three"), [1, 0, 0]),
        (Change::DeleteInstance { name: "uno".into() }, [0, 1, 0]),
    ] {
        let revision = world.make(vec![change]).await;
        assert_eq!(world.swaps.recv().await, Some((revision, counts)));
        assert_eq!(reader.load().revision, revision);
        // R35: what was not touched is the very same.
        assert!(Arc::ptr_eq(&two, reader.load().by_id(InstanceId(2)).unwrap()));
    }
    let snapshot = world.cell.load();
    let front = snapshot.proxy_by_id(ProxyId(1)).unwrap();
    assert_eq!(snapshot.resolve_host(front, b"uno", 0), Host::Unknown);
    assert!(matches!(snapshot.resolve_host(front, b"THREE", 0), Host::Instance { .. }));
    let table = world.service.table();
    assert_eq!((table.revision, table.serving, table.source, table.problems.len()), (6, 6, Source::Store, 0));
    assert_eq!((table.instances, table.proxies, table.hash.len()), (2, 1, 64));
    world.end().await;
}

#[tokio::test]
async fn a_burst_of_changes_is_a_few_swaps_and_the_last_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::sqlite(folder.path());
    world.start().await;
    for n in 0..200 {
        world.make(vec![create(&format!("i{n}"))]).await;
    }
    world.served(200).await;
    let mut swaps = 0;
    let mut seen = 0;
    while let Ok((revision, _)) = world.swaps.try_recv() {
        assert!(revision > seen);
        (swaps, seen) = (swaps + 1, revision);
    }
    assert!(swaps < 150, "{swaps} swaps for 200 changes");
    assert_eq!(world.cell.load().instances.len(), 200);
    world.end().await;
}

#[tokio::test]
async fn a_broken_row_is_reported_and_a_broken_whole_refused() {
    // R74
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::sqlite(folder.path());
    world.make(vec![create("one"), create("two")]).await;
    world.start().await;
    world.served(1).await;
    let broken = serde_json::json!({ "row": testing::unbooked(1, "a_b"), "next": 2 }).to_string();
    world.store.commit(write("instance/0000000001", Some(&broken))).await.unwrap();
    world.served(2).await;
    assert_eq!(world.cell.load().instances.len(), 1);
    let problems = world.service.table().problems;
    assert_eq!(
        problems.iter().map(|p| (p.row.as_str(), p.code)).collect::<Vec<_>>(),
        [("instance/a_b", Code::NameInvalid)]
    );
    // With the second broken too, nothing sound is left: the table of before stays.
    let worse = broken.replace("\"id\":1", "\"id\":2").replace("a_b", "c_d");
    let mut commit = write("instance/0000000002", Some(&worse));
    commit.write.push(("instance/0000000003".into(), Some("nonsense".into())));
    world.store.commit(commit).await.unwrap();
    let refused = |problems: &[Problem]| problems.iter().any(|problem| problem.code == Code::TableBroken);
    while !refused(&world.service.table().problems) {
        tokio::task::yield_now().await;
    }
    assert!(world.service.table().problems.iter().any(|problem| problem.row == "instance/0000000003"));
    assert_eq!((world.cell.load().revision, world.cell.load().instances.len()), (2, 1));
    // Mended, it is served.
    let mended = broken.replace("a_b", "one");
    world.store.commit(write("instance/0000000001", Some(&mended))).await.unwrap();
    world.served(4).await;
    assert!(!refused(&world.service.table().problems));
    world.end().await;
}

#[tokio::test]
async fn without_its_store_a_node_serves_the_last_good_table() {
    // R76
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::sqlite(folder.path());
    world.dns.set("pbx.internal", &["192.0.2.7"]);
    let named = Change::CreateInstance { row: instance("named", "pbx.internal:5080") };
    world.make(vec![create("one"), named]).await;
    world.start().await;
    world.make(vec![create("two")]).await;
    world.served(2).await;
    world.end().await;

    let away = Absent::new(StoreError::Unavailable("gone".into()));
    let mut world = World::new(Arc::new(away), folder.path());
    assert_eq!(world.start().await, Source::LastGood);
    let snapshot = world.cell.load();
    assert_eq!((snapshot.revision, snapshot.instances.len()), (2, 3));
    let named = snapshot.by_id(InstanceId(2)).unwrap();
    assert_eq!(named.backends[0].address.to_string(), "192.0.2.7:5080", "addresses are remembered, DNS is away too");
    let table = world.service.table();
    assert_eq!((table.source, table.serving), (Source::LastGood, 2));
    assert!(table.age < 60, "{}", table.age);
    assert_eq!(table.problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), [Code::StoreUnavailable]);
    world.end().await;

    std::fs::write(folder.path().join("lastgood.json"), "{}").unwrap();
    let away = Absent::new(StoreError::Unavailable("gone".into()));
    let mut world = World::new(Arc::new(away), folder.path());
    let error = world.watch.take().unwrap().start().await.unwrap_err().to_string();
    assert!(error.contains("gone") && error.contains("damaged"), "{error}");
}

#[tokio::test]
async fn nothing_is_compiled_twice() {
    // R74
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::sqlite(folder.path());
    world.make(vec![create("one")]).await;
    let mut watch = world.watch.take().unwrap();
    watch.start().await.unwrap();
    assert!(!watch.follow(false).await, "the start served it");
    world.make(vec![create("two")]).await;
    assert!(watch.follow(false).await);
    assert!(!watch.follow(false).await);
    let broken = serde_json::json!({ "row": testing::unbooked(1, "a_b"), "next": 2 }).to_string();
    let mut commit = write("instance/0000000001", Some(&broken));
    commit.write.push(("instance/0000000002".into(), None));
    world.store.commit(commit).await.unwrap();
    assert!(watch.follow(false).await);
    assert!(!watch.follow(false).await, "a refused table is not tried again and again");
    assert_eq!(world.cell.load().instances.len(), 2);
    assert!(watch.follow(true).await, "unless a host name stands for something else now");
}

/// A store that can be taken away and given back, or rolled back.
struct Moody {
    inner: Sqlite,
    mood: std::sync::Mutex<Mood>,
}

#[derive(Clone, Copy)]
enum Mood {
    Well,
    Away,
}

impl Store for Moody {
    fn all(&self) -> crate::control::store::Reply<'_, Entries> {
        self.inner.all()
    }

    fn changes(&self, after: u64) -> crate::control::store::Reply<'_, Entries> {
        match *self.mood.lock().unwrap() {
            Mood::Well => self.inner.changes(after),
            Mood::Away => Box::pin(std::future::ready(Err(StoreError::Unavailable("away".into())))),
        }
    }

    fn commit(&self, commit: crate::control::store::Commit) -> crate::control::store::Reply<'_, u64> {
        self.inner.commit(commit)
    }

    fn audit(
        &self,
        query: crate::control::store::AuditQuery,
    ) -> crate::control::store::Reply<'_, crate::control::store::AuditPage> {
        self.inner.audit(query)
    }

    fn watch(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.watch()
    }
}

#[tokio::test]
async fn a_store_that_goes_away_and_comes_back_is_followed_again() {
    // R76
    let folder = tempfile::tempdir().unwrap();
    let inner = Sqlite::open(&folder.path().join("store.sqlite")).unwrap();
    let store = Arc::new(Moody { inner, mood: std::sync::Mutex::new(Mood::Well) });
    let mut world = World::new(Arc::clone(&store) as Arc<dyn Store>, folder.path());
    world.make(vec![create("one")]).await;
    world.start().await;
    *store.mood.lock().unwrap() = Mood::Away;
    let row = serde_json::json!({ "row": testing::unbooked(2, "two"), "next": 2 }).to_string();
    store.commit(write("instance/0000000002", Some(&row))).await.unwrap();
    let away = |world: &World| world.status.read().problems.iter().any(|p| p.code == Code::StoreUnavailable);
    while !away(&world) {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.cell.load().revision, 1, "what is served stays");
    *store.mood.lock().unwrap() = Mood::Well;
    world.served(2).await;
    while away(&world) {
        tokio::task::yield_now().await;
    }
    world.end().await;
}

#[tokio::test]
async fn a_store_that_is_older_than_what_is_served_is_not_followed() {
    // R74
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::sqlite(folder.path());
    world.make(vec![create("one")]).await;
    let newer = model::Table { revision: 7, ..testing::table([], []) };
    world.cell.store(Arc::new(testing::compiled(&newer)));
    world.start().await;
    let told = |world: &World| world.status.read().problems.iter().any(|p| p.code == Code::TableOlder);
    while !told(&world) {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.cell.load().instances.len(), 0);
    world.end().await;
}

#[tokio::test]
async fn host_names_are_resolved_beside_the_table() {
    // X12
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::sqlite(folder.path());
    world.start().await;
    world.dns.set("pbx.internal", &["192.0.2.7"]);
    world.make(vec![Change::CreateInstance { row: instance("named", "pbx.internal") }]).await;
    let address =
        |world: &World| world.cell.load().instances.iter().next()?.backends.first().map(|b| b.address.to_string());
    while address(&world).as_deref() != Some("192.0.2.7:5060") {
        world.swaps.recv().await.unwrap();
    }
    assert_eq!(world.cell.load().revision, 1);
    assert!(world.dns.asked.lock().unwrap().iter().all(|host| host == "pbx.internal"));
    world.end().await;
}
