//! What the seats of an instance cost: a phone refreshes, a new one is let in and gone again.
#![allow(missing_docs, clippy::unwrap_used, reason = "no product code")]

mod common;

use common::seats::Office;
use criterion::{Criterion, criterion_group, criterion_main};

fn ledger(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger");
    for users in [20, 10_000] {
        let mut office = Office::of(users);
        group.bench_function(format!("refresh, {users} users"), |b| b.iter(|| office.refresh()));
        group.bench_function(format!("come and go, {users} users"), |b| b.iter(|| office.come_and_go()));
    }
}

criterion_group!(benches, ledger);
criterion_main!(benches);
