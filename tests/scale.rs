//! What the table costs at scale: bytes for each instance, and what one change allocates in a small and in a large
//! table.
//!
//! A test binary of its own, because it counts every byte the thread that measures has allocated and not given back.
//! `tests/run` has 20,000 instances, `tests/run soak` 1,000,000; the latter's figures are the ones to quote.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "../benches/common/mod.rs"]
mod common;

use allocation_counter::measure;
use common::{NOW, instance, table};
use nantucket::ids::InstanceId;
use nantucket::model;
use nantucket::route::handles::Handles;
use nantucket::route::patch::Patch;
use nantucket::route::resolved::Resolved;
use nantucket::route::snapshot::Snapshot;
use nantucket::route::{compile, compile_patch, diff};
use std::sync::Arc;
use std::time::Instant;

/// Bytes an instance may cost in the snapshot: with its target, its name, its counters and its health.
const BOUND: i64 = 700;
/// Bytes that a change of one instance may allocate on its way to be served.
const CHANGE: u64 = 32 * 1024;

fn instances() -> u32 {
    if std::env::var_os("NANTUCKET_LONG").is_some() { 1_000_000 } else { 20_000 }
}

fn compiled(count: u32, handles: &Handles) -> (Snapshot, i64) {
    let rows = table(count);
    let mut snapshot = None;
    let spent = measure(|| snapshot = Some(compile(&rows, handles, &Resolved::default(), NOW).0));
    (snapshot.unwrap(), spent.bytes_current)
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a measurement is real time")]
fn an_instance_costs_so_many_bytes() {
    let count = instances();
    let handles = Handles::default();
    let begun = Instant::now();
    let (snapshot, bytes) = compiled(count, &handles);
    assert_eq!(snapshot.instances.len(), count as usize);
    let each = bytes / i64::from(count);
    println!("{count} instances: {each} bytes for each; rows made and compiled in {:?}", begun.elapsed());
    assert!(each <= BOUND, "{each} bytes for an instance");
}

/// The bytes that changes of one instance allocate: another weight, another name, one more, one less.
fn changes(count: u32) -> [u64; 4] {
    let handles = Handles::default();
    let (mut snapshot, _) = compiled(count, &handles);
    let book = table(1).book;
    let mut revision = 1;
    let mut change = |what: &str, id: u32, row: Option<model::Instance>| {
        revision += 1;
        let instances = vec![(InstanceId(id), row.map(Arc::new))];
        let patch = Patch { revision, instances, book: Arc::clone(&book), ..Patch::default() };
        let spent = measure(|| {
            let new = compile_patch(patch, &handles, &Resolved::default(), NOW).snapshot;
            let diff = diff(&snapshot, &new);
            assert_eq!(diff.added.len() + diff.removed.len() + diff.changed.len(), 1, "{what}");
            // The table before is taken apart here, too.
            snapshot = new;
        });
        println!("{what} in {count}: {} bytes in {} allocations", spent.bytes_total, spent.count_total);
        spent.bytes_total
    };
    let mut weighted = instance(count / 2);
    weighted.backends[0].weight = 7;
    let renamed = model::Instance { name: "another".into(), ..instance(count / 3) };
    let more = model::Instance { name: "one-more".into(), ..instance(count + 1) };
    [
        change("another weight", count / 2, Some(weighted)),
        change("another name", count / 3, Some(renamed)),
        change("one more", count + 1, Some(more)),
        change("one less", count / 4, None),
    ]
}

#[test]
fn a_change_costs_what_it_changes() {
    let (small, large) = (changes(100), changes(instances()));
    for (small, large) in small.into_iter().zip(large) {
        assert!(large <= CHANGE, "{large} bytes for a change");
        // One level of the map more for sixteen times as many.
        assert!(large <= small + 8 * 1024, "{large} bytes for a change, {small} in a table of 100");
    }
}
