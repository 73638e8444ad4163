//! What the table costs: compiling it whole, compiling one change of it, and asking for a name, in small and large
//! tables.
#![allow(missing_docs, clippy::unwrap_used, reason = "no product code")]

mod common;

use common::{NOW, table};
use criterion::{Criterion, criterion_group, criterion_main};
use nantucket::ids::ProxyId;
use nantucket::route::handles::Handles;
use nantucket::route::patch::Patch;
use nantucket::route::resolved::Resolved;
use nantucket::route::snapshot::Host;
use nantucket::route::{compile, compile_patch, diff};
use std::hint::black_box;
use std::sync::Arc;

fn compiling(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    for count in [10_000, 1_000_000] {
        let rows = table(count);
        group.bench_function(format!("{count} instances"), |b| {
            b.iter(|| compile(black_box(&rows), &Handles::default(), &Resolved::default(), NOW).0.instances.len());
        });
        let handles = Handles::default();
        let mut served = compile(&rows, &handles, &Resolved::default(), NOW).0;
        let (mut number, mut weight) = (0, 1);
        // With the difference to the table before, and taking that apart.
        group.bench_function(format!("one change of {count}"), |b| {
            b.iter(|| {
                number = (number + 7_919) % count;
                weight = weight % 1000 + 1;
                let mut row = common::instance(number + 1);
                row.backends.iter_mut().for_each(|backend| backend.weight = weight);
                let instances = vec![(row.id, Some(Arc::new(row)))];
                let patch = Patch { revision: 2, instances, book: Arc::clone(&rows.book), ..Patch::default() };
                let new = compile_patch(black_box(patch), &handles, &Resolved::default(), NOW).snapshot;
                let changed = diff(&served, &new).changed.len();
                served = new;
                changed
            });
        });
    }
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("lookup");
    for count in [10, 10_000, 1_000_000] {
        // Each time another one, so that nothing of it is in the caches where there are many: with its counters, as a
        // request does.
        let snapshot = common::snapshot(count);
        let proxy = snapshot.proxy_by_id(ProxyId(1)).unwrap();
        let hosts: Vec<String> =
            (0..100_000u64).map(|n| format!("t{}.pbx.example", n * 7_919 % u64::from(count) + 1)).collect();
        let mut turn = 0;
        group.bench_function(format!("an instance and its counters, of {count}"), |b| {
            b.iter(|| {
                turn = (turn + 1) % hosts.len();
                let host = hosts.get(turn).unwrap();
                let Host::Instance { id, .. } = snapshot.resolve_host(proxy, black_box(host.as_bytes()), NOW) else {
                    return;
                };
                snapshot.by_id(id).unwrap().stats.requests.inc();
            });
        });
    }
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
