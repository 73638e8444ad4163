//! How long a change of one of 100,000 instances takes: to be answered by the control plane (validated,
//! committed to disk), and from that answer until the data plane serves it. Prints percentiles.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "no product code")]

mod common;

use nantucket::clock::Clock;
use nantucket::control::change::{Actor, Change};
use nantucket::control::resolve::System;
use nantucket::control::rows::Rows;
use nantucket::control::service::Service;
use nantucket::control::status::Status;
use nantucket::control::store::sqlite::Sqlite;
use nantucket::control::usage::Idle;
use nantucket::control::watch::{Watch, Wiring};
use nantucket::ids::{BackendId, InstanceId, ProxyId};
use nantucket::route::cell::Cell;
use nantucket::route::snapshot::Snapshot;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// `cargo bench --bench live -- 10000` measures another number.
const INSTANCES: u32 = 100_000;
const CHANGES: u32 = 300;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let count: u32 = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(INSTANCES);
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::start();
    let store = Arc::new(Sqlite::open(&folder.path().join("store.sqlite")).unwrap());
    let (rows, status) = (Arc::new(Rows::new(store)), Arc::new(Status::new(clock)));
    let cell = Arc::new(Cell::new(Snapshot::default()));
    let service = Service::new(Arc::clone(&rows), Arc::clone(&status), Arc::new(Idle), clock);
    let ann = Actor("ann".into());

    let table = common::table(count);
    let mut changes: Vec<_> = table.instances.iter().map(|row| create(unbooked((**row).clone()))).collect();
    changes.extend(table.proxies.iter().map(|row| {
        let mut row = (**row).clone();
        row.id = ProxyId(0);
        Change::CreateProxy { row }.into()
    }));
    let began = Instant::now();
    service.apply(&ann, changes).await.unwrap();
    println!("{count} instances in one commit: {:?}", began.elapsed());

    let (swapped, mut swaps) = tokio::sync::watch::channel((0, Instant::now()));
    let mut watch = Watch::new(Wiring {
        rows,
        cell: Arc::clone(&cell),
        handles: Arc::default(),
        status,
        clock,
        lookup: Arc::new(System),
        last_good: folder.path().join("lastgood.json"),
        on_change: Box::new(move |_, snapshot| _ = swapped.send((snapshot.revision, Instant::now()))),
    });
    let began = Instant::now();
    watch.start().await.unwrap();
    println!("first table served: {:?}", began.elapsed());
    let stop = CancellationToken::new();
    let running = tokio::spawn(watch.run(stop.clone()));

    let (mut answered, mut live) = (Vec::new(), Vec::new());
    for n in 0..CHANGES {
        let mut row = unbooked(common::instance(n * 331 % count + 1));
        row.backends.iter_mut().for_each(|backend| backend.weight = 2 + u16::try_from(n).unwrap());
        let change = Change::UpdateInstance { name: row.name.clone(), row };
        let asked = Instant::now();
        let revision = service.apply(&ann, vec![change.into()]).await.unwrap().revision;
        let answer = Instant::now();
        let (_, served) = *swaps.wait_for(|(served, _)| *served >= revision).await.unwrap();
        answered.push(answer - asked);
        live.push(served.saturating_duration_since(answer));
    }
    print("answered after", answered);
    print("live after the answer", live);
    stop.cancel();
    running.await.unwrap();
}

/// A row that needs no licence.
fn unbooked(mut row: nantucket::model::Instance) -> nantucket::model::Instance {
    row.licence.booked = nantucket::model::Seats::default();
    row
}

fn create(mut row: nantucket::model::Instance) -> nantucket::control::change::Asked {
    row.id = InstanceId(0);
    row.backends.iter_mut().for_each(|backend| backend.id = BackendId(0));
    Change::CreateInstance { row }.into()
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len() - 1)).unwrap();
    println!("{what}: median {:?}, 95 % {:?}, 99 % {:?}, most {:?}", at(50), at(95), at(99), at(100));
}
