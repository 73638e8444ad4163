//! What one message costs before and after the engine: read, judge, edit, write.
#![allow(missing_docs, clippy::unwrap_used, reason = "no product code")]

mod common;

use common::{Hop, in_dialog, invite, register};
use criterion::{Criterion, criterion_group, criterion_main};
use nantucket::sip::check;
use nantucket::sip::limits::Limits;
use nantucket::sip::view::{Index, View};
use std::hint::black_box;

fn view(c: &mut Criterion) {
    let mut group = c.benchmark_group("view");
    let mut index = Index::new();
    for (name, message) in [("register", register(1)), ("invite", invite(1))] {
        group.bench_function(name, |b| {
            b.iter(|| View::read(black_box(&message), &mut index, &Limits::DEFAULT).unwrap().rows().len());
        });
        group.bench_function(format!("{name} and check"), |b| {
            b.iter(|| {
                let view = View::read(black_box(&message), &mut index, &Limits::DEFAULT).unwrap();
                check::request(&view, check::Channel::Whole, &Limits::DEFAULT)
            });
        });
    }
}

fn edit(c: &mut Criterion) {
    let mut group = c.benchmark_group("edit");
    let mut hop = Hop::new();
    let route = hop.route();
    for (name, message) in [("register", register(1)), ("invite", invite(1)), ("bye", in_dialog("BYE", 2, &route))] {
        group.bench_function(name, |b| b.iter(|| hop.forward(black_box(&message))));
    }
}

criterion_group!(benches, view, edit);
criterion_main!(benches);
