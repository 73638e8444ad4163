//! What sealing and opening a token costs.
#![allow(missing_docs, clippy::unwrap_used, reason = "no product code")]

mod common;

use common::{Hop, NOW};
use criterion::{Criterion, criterion_group, criterion_main};
use nantucket::engine::token::{FlowRef, Token};
use nantucket::ids::InstanceId;
use std::hint::black_box;

fn token(c: &mut Criterion) {
    let mut group = c.benchmark_group("token");
    let hop = Hop::new();
    let flow = FlowRef::from(&hop.flow);
    for (name, token) in [
        ("to client", Token::ToClient { instance: InstanceId(42), flow }),
        ("mask", Token::Mask { instance: InstanceId(42), text: b"sip:200@10.0.0.1:5060;transport=udp;lr" }),
    ] {
        let (mut text, mut scratch) = (Vec::new(), Vec::new());
        group.bench_function(format!("seal {name}"), |b| {
            b.iter(|| {
                text.clear();
                hop.ring.seal(black_box(&token), NOW, &mut text).unwrap();
            });
        });
        group.bench_function(format!("open {name}"), |b| {
            b.iter(|| hop.ring.open(black_box(&text), NOW, &mut scratch).unwrap().instance());
        });
    }
}

criterion_group!(benches, token);
criterion_main!(benches);
