//! Machines that change and time that passes, over a store that stays.

use crate::clock::Clock;
use crate::control::change::{Actor, Change};
use crate::control::error::{Kind, ServiceError};
use crate::control::licence::testing::{ISSUED, signed, signed_by, volume};
use crate::control::licence::view::{BindingState, Install, StandingView};
use crate::control::licence::{Premises, Settled};
use crate::control::rows::Rows;
use crate::control::service::Service;
use crate::control::status::Status;
use crate::control::store::AuditQuery;
use crate::control::store::sqlite::Sqlite;
use crate::control::usage::Idle;
use crate::licence::HardwareId;
use crate::licence::book::Notice;
use crate::licence::clock::HighWater;
use crate::licence::hardware::Machine;
use crate::licence::key::{Keys, Signer};
use crate::licence::terms::{Confirmation, Contract, Detachment, Pack, Server, Terms};
use crate::model::{Instance, Licensing, Mode, Seats, State};
use crate::route::problem::Code;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const START: u64 = ISSUED + 1_000;
const HOUR: u64 = 3_600;
const MINUTE: u64 = 60;

/// A control plane on a machine, over the store of a folder.
struct Node {
    service: Service,
    wall: Arc<AtomicU64>,
    here: HardwareId,
}

impl Node {
    fn on(folder: &Path, key: u8, now: u64) -> Self {
        let store = Sqlite::open(&folder.join("store.sqlite")).unwrap();
        let (wall, told) = (Arc::new(AtomicU64::new(now)), Arc::<HighWater>::default());
        let time = Arc::clone(&wall);
        let machine = Machine { cpu: Vec::new(), key: [key; 32] };
        let here = machine.id();
        let premises = Premises::new(machine, Keys::demo(), told, Box::new(move || time.load(Relaxed)));
        let rows = Arc::new(Rows::at(Arc::new(store), Arc::new(premises)));
        let clock = Clock::start();
        let service = Service::new(rows, Arc::new(Status::new(clock)), Arc::new(Idle), clock);
        Self { service, wall, here }
    }

    fn set(&self, now: u64) {
        self.wall.store(now, Relaxed);
    }

    async fn settle(&self) -> Settled {
        self.service.settle_licences().await.unwrap()
    }

    async fn install(&self, document: String, confirm: bool) -> Result<(), ServiceError> {
        let install = Install { document, confirm };
        self.service.install_licences(&Actor("ann".into()), &install).await.map(drop)
    }

    async fn make(&self, change: Change) -> Result<(), ServiceError> {
        self.service.apply(&Actor("ann".into()), vec![change.into()]).await.map(drop)
    }

    async fn state(&self, id: &str) -> BindingState {
        self.service.licence(id).await.unwrap().binding.unwrap().state
    }

    /// Standing and softphones of an instance.
    async fn standing(&self, name: &str) -> (StandingView, bool) {
        let state = self.service.licence_state().await.unwrap();
        let found = state.instances.into_iter().find(|it| it.name == name).unwrap();
        (found.standing, found.softphones)
    }

    async fn actions(&self, object: &str) -> Vec<String> {
        let query = AuditQuery { object: Some(object.into()), ..AuditQuery::default() };
        self.service.audit(query).await.unwrap().entries.into_iter().map(|entry| entry.action).collect()
    }
}

fn cloud(name: &str, full: u32) -> Change {
    let licence = Licensing { mode: Mode::Cloud, booked: Seats { full, light: 0 }, ..Licensing::default() };
    Change::CreateInstance { row: Instance { state: State::On, licence, ..Instance::named(name) } }
}

#[track_caller]
fn code(result: Result<(), ServiceError>) -> Code {
    let error = result.unwrap_err();
    error.problems()[0].code
}

/// A machine whose licence moved to another one at `START`: accepted there, not confirmed.
async fn moved(folder: &Path) -> Node {
    let old = Node::on(folder, 1, START);
    old.install(volume(10, 0), false).await.unwrap();
    old.make(cloud("acme", 5)).await.unwrap();
    assert_eq!(old.standing("acme").await, (StandingView::Active, true));
    drop(old);

    let node = Node::on(folder, 2, START);
    let settled = node.settle().await;
    assert_eq!(settled.notices, [Notice::Unlicensed { licence: "VOL-10-0".into() }]);
    node
}

#[tokio::test]
async fn a_changed_machine_is_unlicensed_until_the_key_is_entered_twice() {
    // R57 R58 R59 R77
    let folder = tempfile::tempdir().unwrap();
    let node = moved(folder.path()).await;
    assert_eq!(node.state("VOL-10-0").await, BindingState::Unlicensed);
    assert_eq!(node.standing("acme").await, (StandingView::Unlicensed, false));
    assert_eq!(node.actions("installation").await, ["move-installation"]);
    assert_eq!(node.actions("licence/VOL-10-0").await[0], "unlicense-licence");
    assert!(node.settle().await.notices.is_empty(), "told once");

    let before = node.service.instances().await.unwrap().0;
    let error = node.install(volume(10, 0), false).await.unwrap_err();
    assert_eq!((error.kind(), error.problems()[0].code), (Kind::Conflict, Code::BoundElsewhere));
    assert!(error.to_string().contains("is bound to another machine"), "{error}");
    assert_eq!(node.service.instances().await.unwrap().0, before, "nothing changed");

    node.install(volume(10, 0), true).await.unwrap();
    assert_eq!(node.state("VOL-10-0").await, BindingState::Temporary);
    assert_eq!(node.standing("acme").await, (StandingView::Active, false), "soft clients wait for the backup (R62)");
}

#[tokio::test]
async fn a_temporary_binding_lasts_240_hours_and_not_a_minute_more() {
    // R60 R63
    let folder = tempfile::tempdir().unwrap();
    let node = moved(folder.path()).await;
    node.install(volume(10, 0), true).await.unwrap();
    let end = START + 240 * HOUR;
    let due = node.settle().await.due.unwrap();
    assert_eq!(due, end - 7 * 24 * HOUR - START, "the first warning");
    for days in [7, 3, 1] {
        node.set(end - days * 24 * HOUR - 1);
        assert!(node.settle().await.notices.is_empty(), "{days}");
        node.set(end - days * 24 * HOUR);
        assert_eq!(node.settle().await.notices, [Notice::Ending { licence: "VOL-10-0".into(), days, until: end }]);
        assert_eq!(node.actions("licence/VOL-10-0").await[0], "warn-licence");
    }
    node.set(end - HOUR);
    node.install(volume(10, 0), true).await.unwrap();
    node.set(START + 239 * HOUR + 59 * MINUTE);
    assert!(node.settle().await.notices.is_empty());
    assert_eq!(node.standing("acme").await.0, StandingView::Active, "entering the key again starts nothing anew");
    // A clock set back, and a restart with it.
    drop(node);
    let node = Node::on(folder.path(), 2, START - 24 * HOUR);
    node.settle().await;
    assert_eq!(node.service.licence("VOL-10-0").await.unwrap().binding.unwrap().deadline, Some(end));
    node.set(START + 240 * HOUR + MINUTE);
    assert_eq!(node.settle().await.notices, [Notice::Deactivated { licence: "VOL-10-0".into() }]);
    assert_eq!(node.state("VOL-10-0").await, BindingState::Deactivated);
    assert_eq!(node.standing("acme").await, (StandingView::Deactivated, false));
    assert_eq!(node.actions("licence/VOL-10-0").await[0], "deactivate-licence");
    node.set(START);
    assert_eq!(node.standing("acme").await.0, StandingView::Deactivated, "a clock set back revives nothing");
}

#[tokio::test]
async fn the_vendors_confirmation_is_for_good_before_and_after_the_deadline() {
    // R61
    for late in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let node = moved(folder.path()).await;
        node.install(volume(10, 0), true).await.unwrap();
        if late {
            node.set(START + 241 * HOUR);
            node.settle().await;
            assert_eq!(node.state("VOL-10-0").await, BindingState::Deactivated);
        }
        let other = Confirmation { licence: "VOL-10-0".into(), hardware: Machine::default().id(), revoked: None };
        assert_eq!(code(node.install(signed("C-0", Terms::Confirmation(other)), false).await), Code::OtherHardware);
        let confirmation = Confirmation { licence: "VOL-10-0".into(), hardware: node.here, revoked: None };
        node.install(signed("C-1", Terms::Confirmation(confirmation)), false).await.unwrap();
        assert_eq!(node.state("VOL-10-0").await, BindingState::Permanent);
        assert_eq!(node.standing("acme").await, (StandingView::Active, true));
        assert!(node.settle().await.notices.is_empty());
        drop(node);
        // The old machine is revoked.
        let old = Node::on(folder.path(), 1, START + 242 * HOUR);
        old.settle().await;
        assert_eq!(old.state("VOL-10-0").await, BindingState::Unlicensed);
        assert_eq!(code(old.install(volume(10, 0), true).await), Code::HardwareRevoked);
    }
}

#[tokio::test]
async fn a_backup_from_before_the_move_gives_soft_clients_back() {
    // R62
    let folder = tempfile::tempdir().unwrap();
    let old = Node::on(folder.path(), 1, START);
    old.install(volume(10, 0), false).await.unwrap();
    old.make(cloud("acme", 5)).await.unwrap();
    let backup = old.service.export_licences().await.unwrap();
    let text = serde_json::to_string(&backup).unwrap();
    let node = Node::on(folder.path(), 2, START);
    node.settle().await;
    node.install(volume(10, 0), true).await.unwrap();
    assert_eq!(node.standing("acme").await, (StandingView::Active, false));
    let who = Actor("ann".into());
    node.service.restore_licences(&who, serde_json::from_str(&text).unwrap()).await.unwrap();
    assert_eq!(node.standing("acme").await, (StandingView::Active, true));
    assert_eq!(node.state("VOL-10-0").await, BindingState::Temporary);
    assert_eq!(node.actions("licence/VOL-10-0").await[0], "restore-licences");
    // A forged one is refused whole.
    let stranger = Signer::new("stranger", &[9; 32]).unwrap();
    let server = server("S-9", "8.0");
    let forged = crate::licence::Document::parse(&signed_by("S-9", server, &stranger)).unwrap();
    let licence = serde_json::json!({ "document": forged });
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["book"]["licences"].as_array_mut().unwrap().push(licence);
    let refused = node.service.restore_licences(&who, serde_json::from_value(value).unwrap()).await.map(drop);
    assert_eq!(code(refused), Code::DocumentUnknownKey);
}

fn server(_: &str, release: &str) -> Terms {
    Terms::Server(Server {
        edition: crate::licence::edition::Edition::Vm,
        included: 1,
        entitlement: release.parse().unwrap(),
        rights: Vec::new(),
        hardware: None,
    })
}

fn pack(release: &str) -> Terms {
    let entitlement = release.parse().unwrap();
    Terms::Pack(Pack { kind: crate::model::Kind::Full, count: 10, entitlement, server: None })
}

fn contract(release: &str) -> Terms {
    let (from, until) = (ISSUED, ISSUED + 1_000 * 24 * HOUR);
    Terms::Contract(Contract { server: "S-1".into(), release: release.parse().unwrap(), from, until })
}

#[tokio::test]
async fn a_detached_pack_is_not_used_with_a_newer_server_licence() {
    // R53 R54 R55 R56
    let folder = tempfile::tempdir().unwrap();
    let node = Node::on(folder.path(), 1, START);
    for (id, terms) in [("S-1", server("S-1", "6.7")), ("P-1", pack("6.7")), ("P-2", pack("6.7"))] {
        node.install(signed(id, terms), false).await.unwrap();
    }
    let attach = |id: &str| Change::AttachLicence { id: id.into(), server: "S-1".into() };
    node.make(attach("P-1")).await.unwrap();
    node.make(attach("P-2")).await.unwrap();
    let licence = Licensing { mode: Mode::Dedicated, server: Some("S-1".into()), ..Licensing::default() };
    let row = Instance { state: State::On, version: "6.7".into(), licence: licence.clone(), ..Instance::named("acme") };
    node.make(Change::CreateInstance { row: row.clone() }).await.unwrap();
    let users = async || node.service.licence("S-1").await.unwrap().users.unwrap().full;
    assert_eq!(users().await, 21);

    node.install(signed("U-1", contract("8.0")), false).await.unwrap();
    assert_eq!(node.service.licence("P-2").await.unwrap().entitlement.as_deref(), Some("8.0"));
    let detachment = Detachment { licence: "P-2".into(), server: "S-1".into() };
    node.install(signed("D-1", Terms::Detachment(detachment)), false).await.unwrap();
    assert_eq!(users().await, 11);
    node.install(signed("U-2", contract("8.2")), false).await.unwrap();
    assert_eq!(node.service.licence("S-1").await.unwrap().entitlement.as_deref(), Some("8.2"));
    assert_eq!(node.service.licence("P-2").await.unwrap().entitlement.as_deref(), Some("8.0"), "for ever");
    assert_eq!(code(node.make(attach("P-2")).await), Code::EntitlementTooLow);

    // The instance runs at most what the server licence entitles to.
    let at = |version: &str| {
        let row = Instance { version: version.into(), ..row.clone() };
        Change::UpdateInstance { name: "acme".into(), row }
    };
    node.make(at("8.2")).await.unwrap();
    assert_eq!(code(node.make(at("8.3")).await), Code::VersionNotEntitled);
    // One server licence, one environment.
    let second = Instance { licence, ..Instance::named("second") };
    assert_eq!(code(node.make(Change::CreateInstance { row: second }).await), Code::ServerLicenceUsed);
    let missing = node.make(Change::RemoveLicence { id: "S-7".into() }).await.unwrap_err();
    assert_eq!(missing.kind(), Kind::NotFound);
    assert_eq!(code(node.make(Change::RemoveLicence { id: "S-1".into() }).await), Code::ServerLicenceUsed);
}

#[tokio::test]
async fn with_a_vendors_key_demo_licences_count_no_more() {
    // R64 R77
    let folder = tempfile::tempdir().unwrap();
    let node = Node::on(folder.path(), 1, START);
    node.install(volume(10, 0), false).await.unwrap();
    node.make(cloud("acme", 5)).await.unwrap();
    let vendor = Signer::new("vendor", &[7; 32]).unwrap();
    let public = vendor.public();
    let before = node.service.instances().await.unwrap().0;
    assert!(node.service.accept_keys(Keys::new([("vendor", public.as_str())]).unwrap()).await.unwrap());
    assert!(node.service.instances().await.unwrap().0 > before, "whoever follows the store is told");
    assert_eq!(node.standing("acme").await.0, StandingView::Unlicensed);
    let state = node.service.licence_state().await.unwrap();
    assert!(state.warnings[0].contains("document-demo-key"), "{:?}", state.warnings);
    assert_eq!(code(node.install(volume(20, 0), false).await), Code::DocumentDemoKey);
    assert_eq!(node.actions("installation").await, ["accept-keys"]);
    let Terms::Volume(terms) = crate::licence::Document::parse(&volume(20, 0)).unwrap().body().terms.clone() else {
        panic!()
    };
    node.install(signed_by("REAL", Terms::Volume(terms), &vendor), false).await.unwrap();
    assert_eq!(node.standing("acme").await.0, StandingView::Active);
    assert!(!node.service.accept_keys(Keys::new([("vendor", public.as_str())]).unwrap()).await.unwrap());
}
