//! The rules of modes and pool, through the operations of the control plane.

mod moves;
mod trial;

use super::testing::volume;
use crate::clock::Clock;
use crate::control::change::{Actor, Applied, Change};
use crate::control::error::{Kind, ServiceError};
use crate::control::rows::Rows;
use crate::control::service::Service;
use crate::control::status::Status;
use crate::control::store::sqlite::Sqlite;
use crate::control::usage::{InUse, Registered, Usage};
use crate::ids::InstanceId;
use crate::model::{self, Instance, Licensing, Mode, Seats, State};
use crate::route::problem::Code;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Every instance has so many full users with a seat.
#[derive(Default)]
struct Live(AtomicU32);

impl Usage for Live {
    fn of(&self, _: InstanceId) -> InUse {
        InUse::default()
    }

    fn seats(&self, _: InstanceId) -> Seats {
        Seats { full: self.0.load(Relaxed), light: 0 }
    }

    fn registered(&self, _: InstanceId) -> Vec<Registered> {
        (0..self.0.load(Relaxed)).map(|n| Registered { user: format!("u{n}"), kind: model::Kind::Full }).collect()
    }
}

struct World {
    service: Service,
    live: Arc<Live>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("store.sqlite")).unwrap();
        let (clock, live) = (Clock::start(), Arc::new(Live::default()));
        let usage: Arc<dyn Usage> = Arc::clone(&live) as _;
        let rows = Arc::new(Rows::new(Arc::new(store)));
        let service = Service::new(rows, Arc::new(Status::new(clock)), usage, clock);
        Self { service, live, _folder: folder }
    }

    async fn make(&self, change: Change) -> Result<Applied, ServiceError> {
        self.service.apply(&Actor("ann".into()), vec![change.into()]).await
    }

    async fn with_pool(full: u32, light: u32) -> Self {
        let world = Self::new();
        world.make(install(volume(full, light))).await.unwrap();
        world
    }

    async fn book(&self, name: &str, full: u32, light: u32) -> Result<Applied, ServiceError> {
        self.make(Change::SetLicence { name: name.into(), licence: cloud(full, light) }).await
    }

    async fn switch(&self, name: &str, state: State) -> Result<Applied, ServiceError> {
        self.make(Change::SetState { name: name.into(), state }).await
    }

    async fn revision(&self) -> u64 {
        self.service.instances().await.unwrap().0
    }
}

fn cloud(full: u32, light: u32) -> Licensing {
    Licensing { mode: Mode::Cloud, booked: Seats { full, light }, ..Licensing::default() }
}

fn install(document: String) -> Change {
    Change::InstallLicence { document, confirm: false }
}

fn create(name: &str, state: State, licence: Licensing) -> Change {
    Change::CreateInstance { row: Instance { state, licence, ..Instance::named(name) } }
}

#[track_caller]
fn refused(result: Result<Applied, ServiceError>, code: Code, says: &str) {
    let error = result.unwrap_err();
    let [problem] = error.problems() else { panic!("{error}") };
    assert_eq!((problem.code, error.kind()), (code, Kind::Conflict), "{problem}");
    assert!(problem.reason.contains(says), "{problem}");
}

#[tokio::test]
async fn the_pool_is_booked_to_its_last_user_and_no_further() {
    // R18 R20 R48
    let world = World::with_pool(10, 4).await;
    world.make(create("one", State::On, cloud(8, 0))).await.unwrap();
    let before = world.revision().await;
    let asked = world.make(create("two", State::On, cloud(5, 0))).await;
    refused(
        asked,
        Code::PoolExhausted,
        "asks for 5 full users, and other instances have booked 8 of the 10 licensed: 3 are missing (R18)",
    );
    let asked = world.make(create("two", State::On, cloud(3, 0))).await;
    refused(asked, Code::PoolExhausted, ": 1 are missing (R18)");
    assert_eq!(world.revision().await, before, "nothing changed");
    world.make(create("two", State::On, cloud(2, 0))).await.unwrap();
    refused(
        world.book("two", 3, 0).await,
        Code::PoolExhausted,
        "asks for 3 full users, and other instances have booked 8 of the 10 licensed: 1 are missing (R18)",
    );
    // Light users are a pool of their own.
    refused(
        world.book("two", 2, 5).await,
        Code::PoolExhausted,
        "asks for 5 light users, and other instances have booked 0 of the 4 licensed: 1 are missing (R18)",
    );
    world.book("two", 2, 4).await.unwrap();
}

#[tokio::test]
async fn users_come_back_to_the_pool() {
    // R19
    let world = World::with_pool(10, 0).await;
    world.make(create("one", State::On, cloud(10, 0))).await.unwrap();
    world.make(create("two", State::On, cloud(0, 0))).await.unwrap();
    world.book("one", 9, 0).await.unwrap();
    refused(world.book("two", 2, 0).await, Code::PoolExhausted, ": 1 are missing");
    world.book("two", 1, 0).await.unwrap();
    let community = Change::SetLicence { name: "one".into(), licence: Licensing::default() };
    world.make(community).await.unwrap();
    world.book("two", 10, 0).await.unwrap();
    world.make(Change::DeleteInstance { name: "two".into() }).await.unwrap();
    world.book("one", 10, 0).await.unwrap();
}

#[tokio::test]
async fn only_instances_that_are_on_count() {
    // R24
    let world = World::with_pool(10, 0).await;
    world.make(create("one", State::On, cloud(8, 0))).await.unwrap();
    world.make(create("two", State::Off, cloud(5, 0))).await.unwrap();
    let started = world.switch("two", State::On).await;
    refused(
        started,
        Code::PoolExhausted,
        "starts with 5 full users, and other instances have booked 8 of the 10 licensed: 3 are missing (R24)",
    );
    assert_eq!(world.service.instance("two").await.unwrap().row.state, State::Off);
    world.switch("one", State::Off).await.unwrap();
    world.switch("two", State::On).await.unwrap();
    let started = world.switch("one", State::On).await;
    refused(
        started,
        Code::PoolExhausted,
        "starts with 8 full users, and other instances have booked 5 of the 10 licensed: 3 are missing (R24)",
    );
}

#[tokio::test]
async fn a_smaller_licence_cuts_nobody_and_nothing_grows() {
    // R21 R22
    let world = World::with_pool(10, 0).await;
    world.make(create("one", State::On, cloud(6, 0))).await.unwrap();
    world.make(create("two", State::On, cloud(4, 0))).await.unwrap();
    world.make(install(volume(7, 0))).await.unwrap();
    assert_eq!(world.service.instance("one").await.unwrap().row.licence.booked.full, 6, "as it was");
    refused(
        world.book("two", 5, 0).await,
        Code::PoolOverAllocated,
        "over-allocated by 3: no booking may grow until it is not (R22)",
    );
    world.book("two", 3, 0).await.unwrap();
    refused(
        world.book("two", 4, 0).await,
        Code::PoolOverAllocated,
        "over-allocated by 2: no booking may grow until it is not (R22)",
    );
    // What takes nothing is not asked for.
    let mut row = (*world.service.instance("one").await.unwrap().row).clone();
    row.display_name = "One".into();
    world.make(Change::UpdateInstance { name: "one".into(), row }).await.unwrap();
    world.make(install(volume(11, 0))).await.unwrap();
    world.book("two", 5, 0).await.unwrap();
    refused(world.book("two", 6, 0).await, Code::PoolExhausted, ": 1 are missing (R18)");
}

#[tokio::test]
async fn there_are_three_community_instances_with_and_without_a_licence() {
    // R15 R17
    for world in [World::new(), World::with_pool(10, 0).await] {
        for name in ["one", "two", "three"] {
            world.make(create(name, State::On, Licensing::default())).await.unwrap();
        }
        let fourth = world.make(create("four", State::Off, Licensing::default())).await;
        refused(fourth, Code::CommunityInstances, "there are 3 community instances already, and 3 are allowed (R15)");
        world.make(create("four", State::Off, cloud(0, 0))).await.unwrap();
        let fourth = world.make(Change::SetLicence { name: "four".into(), licence: Licensing::default() }).await;
        refused(fourth, Code::CommunityInstances, "R15");
        world.make(Change::DeleteInstance { name: "two".into() }).await.unwrap();
        world.make(Change::SetLicence { name: "four".into(), licence: Licensing::default() }).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_becomes_community_with_more_users_than_it_has() {
    // R26 R16
    let world = World::with_pool(10, 0).await;
    world.make(create("one", State::On, cloud(5, 0))).await.unwrap();
    let community = || Change::SetLicence { name: "one".into(), licence: Licensing::default() };
    world.live.0.store(4, Relaxed);
    refused(world.make(community()).await, Code::ModeTooSmall, "4 users, but 3 are licensed in mode community (R26)");
    assert_eq!(world.service.instance("one").await.unwrap().row.licence.mode, Mode::Cloud);
    world.live.0.store(3, Relaxed);
    world.make(community()).await.unwrap();
}

#[tokio::test]
async fn what_belongs_to_another_mode_is_refused() {
    // R14 R18 R23
    let world = World::with_pool(10, 0).await;
    let booked = Licensing { booked: Seats { full: 1, light: 0 }, ..Licensing::default() };
    let error = world.make(create("one", State::Off, booked)).await.unwrap_err();
    assert_eq!((error.kind(), error.problems()[0].code), (Kind::Invalid, Code::ModeMismatch));
    let server = Licensing { server: Some("S-1".into()), ..cloud(1, 0) };
    let error = world.make(create("one", State::Off, server)).await.unwrap_err();
    assert_eq!((error.kind(), error.problems()[0].field.as_str()), (Kind::Invalid, "licence.server"));
}

#[tokio::test]
async fn a_document_that_is_changed_is_refused_and_nothing_changes() {
    // R64
    let world = World::with_pool(10, 0).await;
    let before = world.revision().await;
    let genuine = volume(20, 0);
    let at = genuine.find('\n').unwrap() + 9;
    let mut forged = genuine.into_bytes();
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    let document = String::from_utf8(forged).unwrap();
    let error = world.make(install(document)).await.unwrap_err();
    assert_eq!((error.kind(), error.problems()[0].code), (Kind::Invalid, Code::DocumentDamaged));
    assert_eq!(world.revision().await, before);
}
