use super::*;
use crate::control::error::Kind;
use crate::control::store::Store;
use crate::control::store::absent::Absent;
use crate::control::store::sqlite::Sqlite;
use crate::control::usage::InUse;
use crate::ids::{BackendId, InstanceId};
use crate::model::{self, Backend, State};
use crate::route::problem::Code;
use crate::route::testing;

/// Every instance has two calls and three bindings of two accounts.
struct Busy;

impl Usage for Busy {
    fn of(&self, _: InstanceId) -> InUse {
        InUse { calls: 2, bindings: 3, accounts: vec!["anna".into(), "ben".into()] }
    }
}

struct World {
    service: Service,
    ann: Actor,
    folder: tempfile::TempDir,
}

fn on(store: Arc<dyn Store>) -> Service {
    let clock = Clock::start();
    Service::new(Arc::new(Rows::new(store)), Arc::new(Status::new(clock)), Arc::new(Busy), clock)
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("store.sqlite")).unwrap();
    World { service: on(Arc::new(store)), ann: Actor("ann".into()), folder }
}

fn instance(name: &str) -> model::Instance {
    let mut row = testing::unbooked(0, name);
    row.backends[0] = backend(0, "198.51.100.1:5060");
    row
}

fn backend(id: u16, address: &str) -> Backend {
    Backend { id: BackendId(id), address: address.into(), ..testing::unbooked(1, "x").backends[0].clone() }
}

fn proxy(name: &str, last: u16) -> model::Proxy {
    let mut row = testing::proxy(last, name);
    row.id = crate::ids::ProxyId(0);
    row.listeners.iter_mut().for_each(|listener| listener.number = 0);
    row
}

fn create(name: &str) -> Change {
    Change::CreateInstance { row: instance(name) }
}

impl World {
    async fn make(&self, change: Change) -> Result<Applied, ServiceError> {
        self.service.apply(&self.ann, vec![change.into()]).await
    }

    async fn instance(&self, name: &str) -> Versioned<model::Instance> {
        self.service.instance(name).await.unwrap()
    }

    async fn audit(&self) -> Vec<crate::control::store::AuditEntry> {
        self.service.audit(AuditQuery::default()).await.unwrap().entries
    }
}

fn codes(error: &ServiceError) -> Vec<(&str, Code)> {
    error.problems().iter().map(|problem| (problem.field.as_str(), problem.code)).collect()
}

#[tokio::test]
async fn a_customer_is_an_instance_and_its_name_is_one_in_any_case() {
    // R1 R3
    let world = world();
    let made = world.service.change_instance(&world.ann, create("Acme").into()).await.unwrap();
    assert_eq!((made.row.id, made.row.name.as_str(), made.revision), (InstanceId(1), "Acme", 1));
    let refused = world.make(create("aCME")).await.unwrap_err();
    assert_eq!((refused.kind(), codes(&refused)), (Kind::Conflict, vec![("name", Code::NameTaken)]));
    assert_eq!(world.instance("ACME").await.row.name, "Acme", "the spelling given is kept");
    assert_eq!(world.service.instances().await.unwrap().1.len(), 1);
}

#[tokio::test]
async fn names_of_instances_and_proxies_are_one_space_with_reserved_ones() {
    // R13
    let world = world();
    for reserved in ["controller", "pg", "WWW", "api", "Admin"] {
        let refused = world.make(create(reserved)).await.unwrap_err();
        assert_eq!(
            (refused.kind(), codes(&refused)),
            (Kind::Conflict, vec![("name", Code::NameReserved)]),
            "{reserved}"
        );
        assert!(world.make(Change::CreateProxy { row: proxy(reserved, 1) }).await.is_err());
    }
    world.make(Change::CreateProxy { row: proxy("front", 1) }).await.unwrap();
    world.make(create("acme")).await.unwrap();
    let refused = world.make(create("Front")).await.unwrap_err();
    assert!(codes(&refused).contains(&("name", Code::NameTaken)), "{refused}");
    let refused = world.make(Change::CreateProxy { row: proxy("ACME", 2) }).await.unwrap_err();
    assert!(codes(&refused).contains(&("name", Code::NameTaken)), "{refused}");
    let mut twice = proxy("second", 2);
    twice.fqdn = "acme.pbx.example".into();
    let refused = world.make(Change::CreateProxy { row: twice }).await.unwrap_err();
    assert_eq!(codes(&refused), [("fqdn", Code::NameTaken)]);
}

#[tokio::test]
async fn a_row_that_changed_since_it_was_read_is_not_overwritten() {
    let world = world();
    world.make(create("acme")).await.unwrap();
    let set = |state| Change::SetState { name: "acme".into(), state };
    let first = world.service.change_instance(&world.ann, Asked { change: set(State::Off), if_match: Some(1) }).await;
    assert_eq!(first.unwrap().revision, 2);
    let stale = world.service.apply(&world.ann, vec![Asked { change: set(State::On), if_match: Some(1) }]).await;
    assert!(matches!(&stale, Err(ServiceError::Stale { row, revision: 2 }) if row == "instance/acme"), "{stale:?}");
    assert_eq!(world.instance("acme").await.row.state, State::Off);
    assert_eq!(world.make(set(State::On)).await.unwrap().revision, 3);
    assert_eq!(world.make(set(State::On)).await.unwrap().revision, 3, "no change, no commit");
    assert_eq!(world.audit().await.len(), 3);
}

#[tokio::test]
async fn a_deleted_instance_never_comes_back_and_its_id_is_never_given_again() {
    // R74
    let world = world();
    world.make(create("acme")).await.unwrap();
    let before = world.instance("acme").await;
    world.make(Change::DeleteInstance { name: "ACME".into() }).await.unwrap();
    let stale = Change::UpdateInstance { name: "acme".into(), row: (*before.row).clone() };
    assert_eq!(world.make(stale).await.unwrap_err().kind(), Kind::NotFound);
    let put = Change::PutInstance { row: (*before.row).clone() };
    assert_eq!(codes(&world.make(put).await.unwrap_err()), [("id", Code::IdInvalid)]);
    let put = Asked { change: Change::PutInstance { row: instance("acme") }, if_match: Some(before.revision) };
    assert_eq!(world.service.apply(&world.ann, vec![put]).await.unwrap_err().kind(), Kind::NotFound);
    world.make(create("acme")).await.unwrap();
    assert_eq!(world.instance("acme").await.row.id, InstanceId(2));
    world.make(Change::DeleteInstance { name: "acme".into() }).await.unwrap();
    let World { service, ann, folder } = world;
    drop(service);
    let again = on(Arc::new(Sqlite::open(&folder.path().join("store.sqlite")).unwrap()));
    let made = again.change_instance(&ann, create("other").into()).await.unwrap();
    assert_eq!(made.row.id, InstanceId(3), "nor after a restart");
}

#[tokio::test]
async fn a_rename_keeps_the_old_name_for_thirty_days_and_follows_it_into_proxies() {
    // R7
    let world = world();
    world.make(create("old")).await.unwrap();
    world.make(create("other")).await.unwrap();
    let mut front = proxy("front", 1);
    front.instances = Some(vec!["OLD".into(), "other".into()]);
    front.default_instance = Some("old".into());
    world.make(Change::CreateProxy { row: front }).await.unwrap();
    let rename = |to: &str, keep_until| Change::RenameInstance { name: "old".into(), to: to.into(), keep_until };

    let preview = world.service.preview_rename("old", "new", None).await.unwrap();
    assert_eq!((preview.from.as_str(), preview.to.as_str(), preview.accounts.len()), ("old", "new", 2));
    assert_eq!(
        (preview.bindings, preview.calls, preview.proxies, preview.problems),
        (3, 2, vec!["front".into()], vec![])
    );

    let mut sneaky = instance("new");
    sneaky.id = InstanceId(1);
    let refused = world.make(Change::UpdateInstance { name: "old".into(), row: sneaky }).await.unwrap_err();
    assert_eq!(codes(&refused), [("name", Code::RenameExplicit)]);
    let refused = world.make(rename("other", None)).await.unwrap_err();
    assert_eq!(codes(&refused).first(), Some(&("name", Code::NameTaken)));
    assert_eq!(codes(&world.make(rename("a_b", None)).await.unwrap_err()), [("name", Code::NameInvalid)]);

    world.make(rename("new", None)).await.unwrap();
    let now = world.service.clock.now().unix;
    let renamed = world.instance("new").await;
    assert_eq!(renamed.row.id, InstanceId(1));
    let [former] = renamed.row.former_names.as_slice() else { panic!("{:?}", renamed.row) };
    assert_eq!(former.name, "old");
    assert!((now + KEEP_NAME - 5..=now + KEEP_NAME).contains(&former.until));
    let front = world.service.proxy("front").await.unwrap();
    assert_eq!(front.row.instances.as_deref(), Some(&["new".to_owned(), "other".into()][..]));
    assert_eq!(front.row.default_instance.as_deref(), Some("new"));

    assert_eq!(world.service.instance("old").await.unwrap_err().kind(), Kind::NotFound);
    let refused = world.make(create("Old")).await.unwrap_err();
    assert_eq!(codes(&refused), [("name", Code::NameTaken)], "a former name is taken until its date");
    let back = Change::RenameInstance { name: "new".into(), to: "OLD".into(), keep_until: Some(0) };
    world.make(back).await.unwrap();
    assert_eq!(world.instance("old").await.row.former_names, [], "back again, and keeping nothing");
    world.make(create("new")).await.unwrap();
}

#[tokio::test]
async fn every_change_is_recorded_with_who_what_before_and_after() {
    // R77
    let world = world();
    world.make(create("acme")).await.unwrap();
    world.make(Change::SetState { name: "acme".into(), state: State::Off }).await.unwrap();
    world.make(create("acme")).await.unwrap_err();
    world.make(Change::PutCertificate { row: testing::certificate("own", &["pbx.example"]) }).await.unwrap();
    let audit = world.audit().await;
    let brief: Vec<_> =
        audit.iter().map(|entry| (entry.revision, &*entry.who, &*entry.action, &*entry.object)).collect();
    assert_eq!(
        brief,
        [
            (3, "ann", "create-certificate", "certificate/own"),
            (2, "ann", "set-state", "instance/acme"),
            (1, "ann", "create-instance", "instance/acme"),
        ]
    );
    let state = |value: &Option<serde_json::Value>| value.as_ref().map(|row| row["state"].as_str().unwrap().to_owned());
    assert_eq!((state(&audit[1].before), state(&audit[1].after)), (Some("on".into()), Some("off".into())));
    assert_eq!((&audit[2].before, state(&audit[2].after)), (&None, Some("on".into())));
    let text = serde_json::to_string(&audit).unwrap();
    assert!(!text.contains("PRIVATE KEY") && text.contains("(secret)"), "keys are not recorded");
    assert!(world.service.certificate("OWN").await.unwrap().row.key.contains("PRIVATE KEY"));
}

#[tokio::test]
async fn a_state_change_touches_its_own_row_only() {
    // R34 R35
    let world = world();
    world.service.apply(&world.ann, vec![create("one").into(), create("two").into()]).await.unwrap();
    let two = world.instance("two").await;
    for (state, n) in [State::Stopping, State::Off, State::Starting, State::Failed, State::On].into_iter().zip(2..) {
        let one = world.make(Change::SetState { name: "one".into(), state }).await.unwrap();
        assert_eq!((one.revision, one.instances), (n, vec![InstanceId(1)]));
        assert_eq!(world.instance("one").await.row.state, state);
        assert!(Arc::ptr_eq(&two.row, &world.instance("two").await.row));
    }
}

#[tokio::test]
async fn a_backend_keeps_its_id_and_no_id_is_given_twice() {
    let world = world();
    world.make(create("acme")).await.unwrap();
    let update = |backends: Vec<Backend>| {
        let row = model::Instance { backends, ..instance("acme") };
        world.service.change_instance(&world.ann, Change::UpdateInstance { name: "acme".into(), row }.into())
    };
    let ids = |row: Versioned<model::Instance>| row.row.backends.iter().map(|b| b.id.0).collect::<Vec<_>>();
    let (a, b) = ("198.51.100.1:5060", "198.51.100.2:5060");
    assert_eq!(ids(update(vec![backend(0, b), backend(0, a)]).await.unwrap()), [2, 1]);
    assert_eq!(ids(update(vec![backend(0, b)]).await.unwrap()), [2]);
    assert_eq!(ids(update(vec![backend(0, a), backend(2, b)]).await.unwrap()), [3, 2], "1 is used up");
    let refused = update(vec![backend(1, a)]).await.unwrap_err();
    assert_eq!(codes(&refused), [("backends[0].id", Code::IdInvalid)]);
    assert_eq!(ids(update(vec![backend(9, a), backend(0, b)]).await.unwrap()), [9, 2]);
    let third = "198.51.100.3:5060";
    assert_eq!(ids(update(vec![backend(0, third)]).await.unwrap()), [10]);
}

#[tokio::test]
async fn a_set_of_changes_is_made_as_a_whole_or_not_at_all() {
    let world = world();
    let mut front = proxy("front", 1);
    front.default_instance = Some("two".into());
    let bad = vec![create("one").into(), create("ONE").into(), Change::CreateProxy { row: front.clone() }.into()];
    let refused = world.service.apply(&world.ann, bad).await.unwrap_err();
    assert_eq!(codes(&refused), [("name", Code::NameTaken), ("default_instance", Code::ReferenceUnknown)]);
    assert_eq!(refused.kind(), Kind::Invalid);
    assert_eq!(world.service.instances().await.unwrap().0, 0);
    // A row may refer to one that comes later in the set.
    let good = vec![Change::CreateProxy { row: front }.into(), create("one").into(), create("two").into()];
    let applied = world.service.apply(&world.ann, good).await.unwrap();
    assert_eq!((applied.revision, applied.instances.len(), applied.proxies.len()), (1, 2, 1));
    assert_eq!(world.audit().await.len(), 3);
}

#[tokio::test]
async fn what_others_name_is_not_deleted() {
    let world = world();
    world.make(create("acme")).await.unwrap();
    world.make(Change::PutCertificate { row: testing::certificate("own", &["pbx.example"]) }).await.unwrap();
    let mut front = proxy("front", 1);
    front.default_instance = Some("acme".into());
    front.certificate = Some("Own".into());
    world.make(Change::CreateProxy { row: front }).await.unwrap();
    for change in [Change::DeleteInstance { name: "acme".into() }, Change::DeleteCertificate { name: "own".into() }] {
        let refused = world.make(change).await.unwrap_err();
        assert_eq!((refused.kind(), codes(&refused)), (Kind::Conflict, vec![("", Code::InUse)]));
    }
    let all = [
        Change::DeleteCertificate { name: "own".into() },
        Change::DeleteInstance { name: "acme".into() },
        Change::DeleteProxy { name: "front".into() },
    ];
    world.service.apply(&world.ann, all.into_iter().map(Into::into).collect()).await.unwrap();
}

#[tokio::test]
async fn a_plan_says_what_would_happen_and_does_nothing() {
    let world = world();
    for name in ["keep", "move", "stop", "gone", "name"] {
        world.make(create(name)).await.unwrap();
    }
    world.make(Change::CreateProxy { row: proxy("front", 1) }).await.unwrap();
    let before = world.service.instances().await.unwrap().0;
    let mut moved = instance("move");
    moved.backends[0].address = "198.51.100.77".into();
    let mut keep = instance("keep");
    keep.display_name = "Kept".into();
    let mut front = proxy("front", 1);
    front.listeners[0].bind = "192.0.2.1:5070".parse().unwrap();
    let changes = [
        create("new"),
        create("bad_name"),
        Change::PutInstance { row: moved },
        Change::PutInstance { row: keep },
        Change::SetState { name: "stop".into(), state: State::Off },
        Change::DeleteInstance { name: "gone".into() },
        Change::RenameInstance { name: "name".into(), to: "named".into(), keep_until: None },
        Change::PutProxy { row: front },
    ];
    let plan = world.service.plan(changes.into_iter().map(Into::into).collect()).await.unwrap();
    let names = |touched: &[crate::control::plan::Touched]| touched.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&plan.added), ["new", "bad_name"]);
    assert_eq!(names(&plan.removed), ["gone"]);
    assert_eq!(names(&plan.retargeted), ["move"]);
    assert_eq!(
        (plan.retargeted[0].before.as_str(), plan.retargeted[0].after.as_str()),
        ("udp 198.51.100.1:5060", "udp 198.51.100.77")
    );
    assert_eq!(
        (names(&plan.state), plan.state[0].before.as_str(), plan.state[0].after.as_str()),
        (vec!["stop".into()], "on", "off")
    );
    assert_eq!((names(&plan.renamed), names(&plan.changed)), (vec!["named".into()], vec!["keep".into()]));
    assert_eq!(plan.proxies_changed, ["front"]);
    assert_eq!(
        (plan.listeners_opened.as_slice(), plan.listeners_closed.as_slice()),
        (&["sip-udp 192.0.2.1:5070".into()][..], &["sip-udp 192.0.2.1:5060".into()][..])
    );
    assert_eq!((plan.calls, plan.bindings), (6, 9), "of the three that are removed, stopped and moved");
    let problems: Vec<_> = plan.problems.iter().map(|p| (p.row.as_str(), p.code)).collect();
    assert_eq!(problems, [("instance/bad_name", Code::NameInvalid)]);
    assert_eq!(world.service.instances().await.unwrap().0, before);
}

#[tokio::test]
async fn two_nodes_on_one_store_give_no_name_and_no_id_twice() {
    // R3
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&folder.path().join("store.sqlite")).unwrap());
    let nodes = [Arc::new(on(Arc::clone(&store))), Arc::new(on(store))];
    let mut tasks = Vec::new();
    for n in 0..20 {
        for (node, service) in nodes.iter().enumerate() {
            let service = Arc::clone(service);
            tasks.push(tokio::spawn(async move {
                let same = service.apply(&Actor("x".into()), vec![create(&format!("same-{n}")).into()]).await.is_ok();
                let own =
                    service.apply(&Actor("x".into()), vec![create(&format!("own-{node}-{n}")).into()]).await.is_ok();
                (same, own)
            }));
        }
    }
    let (mut same, mut own) = (0, 0);
    for task in tasks {
        let (s, o) = task.await.unwrap();
        same += u32::from(s);
        own += u32::from(o);
    }
    assert_eq!((same, own), (20, 40));
    let (_, rows) = nodes[0].instances().await.unwrap();
    let ids: std::collections::BTreeSet<_> = rows.iter().map(|row| row.row.id).collect();
    assert_eq!((rows.len(), ids.len()), (60, 60));
}

#[tokio::test]
async fn without_its_store_the_control_plane_says_so() {
    // R76
    let service = on(Arc::new(Absent::new(StoreError::Unavailable("disk on fire".into()))));
    let refused = service.apply(&Actor("ann".into()), vec![create("acme").into()]).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (Kind::Unavailable, "store-unavailable"));
    assert!(refused.to_string().contains("disk on fire"));
}
