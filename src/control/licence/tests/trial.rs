//! Dry runs, the report and the state of the licences.

use super::{World, cloud, create};
use crate::control::licence::testing::volume;
use crate::control::licence::view::{Supposed, SupposedBooking};
use crate::model::{Licensing, Seats, State};
use std::sync::atomic::Ordering::Relaxed;

fn full(full: u32) -> Seats {
    Seats { full, light: 0 }
}

#[tokio::test]
async fn a_dry_run_says_who_would_be_refused_and_changes_nothing() {
    // R20 R67
    let world = World::with_pool(10, 0).await;
    world.make(create("acme", State::On, cloud(10, 0))).await.unwrap();
    world.live.0.store(8, Relaxed);
    let before = world.revision().await;
    let lower = |booked| Supposed {
        booking: Some(SupposedBooking { instance: "acme".into(), licence: cloud(booked, 0) }),
        ..Supposed::default()
    };
    for (booked, refused) in [(9, 0), (8, 0), (7, 1), (0, 8)] {
        let run = world.service.dry_run(&lower(booked)).await.unwrap();
        assert_eq!(run.refused, refused, "{booked}");
        assert_eq!((run.instances[0].used, run.instances[0].after), (full(8), full(booked)));
        assert!(run.problems.is_empty(), "{:?}", run.problems);
    }
    let run = world.service.dry_run(&lower(11)).await.unwrap();
    assert_eq!(run.problems.len(), 1, "R18");
    // Who came last is named first, those that are known by name.
    let run = world.service.dry_run(&lower(6)).await.unwrap();
    assert_eq!((run.refused, run.instances[0].users.as_slice()), (2, &["u7".to_owned(), "u6".into()][..]));
    // Another mode.
    let community = SupposedBooking { instance: "acme".into(), licence: Licensing::default() };
    let run = world.service.dry_run(&Supposed { booking: Some(community), ..Supposed::default() }).await.unwrap();
    assert_eq!((run.refused, run.problems.len()), (5, 1), "R26");
    // Another licence, another machine.
    let smaller = Supposed { document: Some(volume(4, 0)), ..Supposed::default() };
    assert_eq!(world.service.dry_run(&smaller).await.unwrap().refused, 0, "a smaller licence cuts nobody (R22)");
    let run = world.service.dry_run(&Supposed { moved: true, ..Supposed::default() }).await.unwrap();
    assert_eq!((run.refused, run.instances[0].softphones_refused), (8, true), "R58");
    assert!(run.notes[0].contains("VOL-10-0"), "{:?}", run.notes);
    assert_eq!(world.revision().await, before);
}

#[tokio::test]
async fn the_report_adds_up() {
    // R25 R24
    let world = World::with_pool(100, 10).await;
    world.make(create("on", State::On, cloud(30, 4))).await.unwrap();
    world.make(create("off", State::Off, cloud(20, 0))).await.unwrap();
    world.make(create("own", State::On, Licensing::default())).await.unwrap();
    world.live.0.store(2, Relaxed);
    let report = world.service.licence_report().await.unwrap().report;
    let figures = report.full;
    assert_eq!((figures.licensed, figures.unassigned), (100, 70));
    assert_eq!((figures.assigned_unused, figures.assigned_used), (28, 2));
    assert_eq!((report.light.unassigned, report.light.assigned_unused), (6, 4));
    let state = world.service.licence_state().await.unwrap();
    let pool = state.pool.unwrap();
    assert_eq!((pool.licensed.full, pool.booked.full, pool.unassigned.full, state.community), (100, 30, 70, 1));
}
