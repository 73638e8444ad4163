//! What the engine takes for one hop there and back, its timers with it: a REGISTER, a request in a
//! dialog, a call.
#![allow(missing_docs, reason = "no product code")]

mod common;

use common::line::Line;
use common::{Hop, in_dialog, invite, register};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const OK: &[u8] = b"SIP/2.0 200 OK";

fn hop(c: &mut Criterion) {
    let mut group = c.benchmark_group("hop");
    let (phone, route) = (Hop::new().flow, Hop::new().route());
    let mut serial = 0;
    let mut next = || {
        serial += 1;
        serial
    };
    let mut line = Line::new();
    group.bench_function("register and 200", |b| {
        let contacts = b"Contact: <sip:100@192.168.1.5:5062;ob>;expires=600\r\n";
        b.iter_batched(
            || register(next()),
            |message| {
                line.feed(phone, &message);
                line.answer(Line::inside(), OK, contacts);
                line.pass(40_000);
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("info and 200", |b| {
        b.iter_batched(
            || in_dialog("INFO", next(), &route),
            |message| {
                line.feed(phone, &message);
                line.answer(Line::inside(), OK, b"");
                line.pass(40_000);
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("invite, 100, 180, 200", |b| {
        b.iter_batched(
            || invite(next()),
            |message| {
                line.feed(phone, &message);
                line.answer(Line::inside(), b"SIP/2.0 180 Ringing", b"");
                line.answer(Line::inside(), OK, b"Contact: <sip:200@10.0.0.1:5060>\r\n");
                line.pass(40_000);
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, hop);
criterion_main!(benches);
