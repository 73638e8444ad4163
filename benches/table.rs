//! What the table costs: compiling 10,000 instances, compiling one change of them, and asking for a name.
#![allow(missing_docs, clippy::unwrap_used, reason = "no product code")]

mod common;

use common::{NOW, table};
use criterion::{Criterion, criterion_group, criterion_main};
use nantucket::ids::ProxyId;
use nantucket::route::compile;
use nantucket::route::handles::Handles;
use nantucket::route::resolved::Resolved;
use std::hint::black_box;
use std::sync::Arc;

fn compiling(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    let rows = table(10_000);
    group.bench_function("10,000 instances", |b| {
        b.iter(|| compile(black_box(&rows), &Handles::default(), &Resolved::default(), NOW).0.instances.len());
    });
    let handles = Handles::default();
    compile(&rows, &handles, &Resolved::default(), NOW);
    let mut changed = rows.clone();
    let mut weight = 1;
    group.bench_function("one change of 10,000", |b| {
        b.iter(|| {
            weight = weight % 1000 + 1;
            let mut row = common::instance(5_000);
            row.backends.iter_mut().for_each(|backend| backend.weight = weight);
            *changed.instances.get_mut(4_999).unwrap() = Arc::new(row);
            compile(black_box(&changed), &handles, &Resolved::default(), NOW).0.instances.len()
        });
    });
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("lookup");
    let snapshot = common::snapshot(10_000);
    let proxy = snapshot.proxy_by_id(ProxyId(1)).unwrap();
    for (name, host) in [
        ("bare name", "T4711"),
        ("complete name", "t4711.pbx.example"),
        ("the proxy", "front.pbx.example"),
        ("unknown", "nobody.example.com"),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| snapshot.resolve_host(proxy, black_box(host.as_bytes()), NOW));
        });
    }
}

criterion_group!(benches, compiling, lookup);
criterion_main!(benches);
