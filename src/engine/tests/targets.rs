//! F15, T09, T13, X06: which targets are tried, and what the caller hears when they fail.

use crate::engine::contract::{Input, SendError};
use crate::engine::testing::*;
use crate::ids::{BackendId, Transport};
use crate::model::{self, Table};
use crate::route::testing::{instance, proxy, table};

const FIRST: &str = "198.51.0.1:5060";
const SECOND: &str = "198.51.0.51:5060";

/// `acme` with two targets, the first preferred.
fn two() -> Table {
    let mut acme = instance(1, "acme");
    acme.backends.push(model::Backend {
        id: BackendId(2),
        address: SECOND.into(),
        priority: 1,
        ..acme.backends[0].clone()
    });
    table([acme], [proxy(1, "edge")])
}

fn bench() -> Bench {
    Bench::with(&two(), config())
}

#[test]
fn a_503_is_tried_elsewhere_with_a_new_branch() {
    // F15 T13
    let mut b = bench();
    let first = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    assert_eq!(first.peer(), FIRST.parse().unwrap());
    let sent = b.send(inside(FIRST), &first.answered(503, ""));
    let [ack, second] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((ack.method(), ack.peer()), ("ACK", FIRST.parse().unwrap()));
    assert_eq!((second.method(), second.peer()), ("INVITE", SECOND.parse().unwrap()));
    assert_ne!(second.branch(), first.branch());
    assert_eq!(b.one(inside(SECOND), &second.answered(200, "")).status(), 200);
    assert_eq!(b.shared.stats.failovers.read(), 1);
}

#[test]
fn a_503_of_all_is_told_as_500() {
    // T09
    let mut b = bench();
    let first = b.one(udp(PHONE), &request("OPTIONS", "o", ""));
    let second = b.one(inside(FIRST), &first.answered(503, "X-Which: first\r\n"));
    let last = b.one(inside(SECOND), &second.answered(503, ""));
    assert_eq!(last.start(), "SIP/2.0 500 Server Internal Error");
}

#[test]
fn the_best_of_several_is_told() {
    // T09
    let mut b = bench();
    let first = b.one(udp(PHONE), &request("OPTIONS", "o", ""));
    let second = b.one(inside(FIRST), &first.answered(503, ""));
    assert_eq!(b.one(inside(SECOND), &second.answered(404, "")).status(), 404);
    let first = b.one(udp(PHONE), &request("OPTIONS", "p", ""));
    let second = b.one(inside(FIRST), &first.answered(503, ""));
    // The second one cannot be reached: what the first said is told.
    let last = b.fail(&second, SendError::Connect);
    assert_eq!(last[0].start(), "SIP/2.0 500 Server Internal Error");
}

#[test]
fn an_icmp_error_ends_the_branch_at_once() {
    // X06 T13
    let mut b = bench();
    let first = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let quoted = &first.text.as_bytes()[..200];
    let elsewhere = b.input(Input::Unreachable { peer: "192.0.2.200:9".parse().unwrap(), quoted });
    assert!(elsewhere.is_empty(), "an error from elsewhere ends nothing");
    let sent = b.input(Input::Unreachable { peer: first.peer(), quoted });
    assert_eq!((sent.len(), sent[0].peer()), (1, SECOND.parse().unwrap()));
    let again = b.input(Input::Unreachable { peer: first.peer(), quoted });
    assert!(again.is_empty(), "its branch is over");
    let sent = b.input(Input::Unreachable { peer: sent[0].peer(), quoted: sent[0].text.as_bytes() });
    assert_eq!(sent[0].status(), 503);
    assert!(sent[0].row("Warning").contains("unreachable: ") && sent[0].row("Retry-After") == "10");
}

#[test]
fn an_error_that_quotes_nothing_of_ours_does_nothing() {
    // X06
    let mut b = bench();
    b.invite(udp(PHONE), &request("INVITE", "i", ""));
    for quoted in [&b""[..], b"INVITE", b"z9hG4bKNt00t000000", &[0xff; 64]] {
        assert!(b.input(Input::Unreachable { peer: FIRST.parse().unwrap(), quoted }).is_empty());
    }
}

#[test]
fn silence_moves_on_and_a_late_answer_is_cancelled() {
    // F15 T14
    let mut b = bench();
    let first = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let sent = b.pass(6_000);
    let (at, second) = sent.last().unwrap();
    assert_eq!((*at, second.method(), second.peer()), (6_000, "INVITE", SECOND.parse().unwrap()));
    let late = b.one(inside(FIRST), &first.answered(180, ""));
    assert_eq!((late.method(), late.branch()), ("CANCEL", first.branch()), "cancelled, and not passed");
    assert_eq!(b.one(inside(SECOND), &second.answered(180, "")).status(), 180);
    // The one that was given up answers all the same: the call is its, and the other one is cancelled.
    let sent = b.send(inside(FIRST), &first.answered(200, ""));
    assert_eq!(
        sent.iter().map(|s| (s.status(), s.peer().to_string())).collect::<Vec<_>>(),
        [(0, SECOND.to_owned()), (200, PHONE.to_owned())]
    );
    assert_eq!(sent[0].method(), "CANCEL");
    assert_eq!(b.one(inside(SECOND), &second.answered(487, "")).method(), "ACK", "and its 487 goes no further");
    b.pass(40_000);
    assert_eq!(b.engine.counts(), (0, 0, 0));
}

#[test]
fn a_late_refusal_of_one_that_was_given_up_goes_no_further() {
    // T05 F15
    for status in [404, 486, 503, 603] {
        let mut b = bench();
        let first = b.invite(udp(PHONE), &request("INVITE", "i", ""));
        let second = b.pass(6_000).pop().unwrap().1;
        assert_eq!(b.one(inside(FIRST), &first.answered(status, "")).method(), "ACK");
        assert_eq!(b.one(inside(SECOND), &second.answered(200, "")).status(), 200);
    }
}

#[test]
fn a_refusal_is_not_tried_elsewhere() {
    // F15
    for status in [404, 486, 500, 603] {
        let mut b = bench();
        let first = b.one(udp(PHONE), &request("OPTIONS", "o", ""));
        assert_eq!(b.one(inside(FIRST), &first.answered(status, "")).status(), status);
    }
}

#[test]
fn failures_in_a_row_take_a_target_out_and_none_left_is_503_at_once() {
    // F06
    let mut b = Bench::new();
    for n in 0..3 {
        let out = b.one(udp(PHONE), &request("OPTIONS", &format!("o{n}"), ""));
        let sent = b.fail(&out, SendError::Connect);
        assert_eq!(sent[0].status(), 503);
        assert_eq!(b.snapshot.instances[0].backends[0].health.is_up(), n < 2);
    }
    let refused = b.one(udp(PHONE), &request("INVITE", "i", ""));
    assert_eq!((refused.status(), refused.row("Retry-After")), (503, "10"));
    assert!(refused.row("Warning").contains("no-target: "));
    b.snapshot.instances[0].backends[0].health.success(1);
    assert_eq!(b.send(udp(PHONE), &request("INVITE", "i", "")).len(), 2);
}

#[test]
fn an_answer_of_any_kind_is_a_sign_of_health() {
    let mut b = Bench::new();
    for n in 0..5 {
        let out = b.one(udp(PHONE), &request("OPTIONS", &format!("o{n}"), ""));
        if n % 2 == 0 {
            b.fail(&out, SendError::Connect);
        } else {
            b.one(inside(PBX), &out.answered(500, ""));
        }
    }
    assert!(b.snapshot.instances[0].backends[0].health.is_up());
}

#[test]
fn requests_nobody_answers_do_not_take_a_living_target_out() {
    let mut b = Bench::new();
    for n in 0..9 {
        b.one(udp(PHONE), &request("MESSAGE", &format!("m{n}"), ""));
    }
    b.pass(10_000);
    let out = b.one(udp(PHONE), &request("OPTIONS", "o", ""));
    b.one(inside(PBX), &out.answered(200, ""));
    b.pass(22_000);
    assert_eq!((b.engine.counts().1, b.snapshot.instances[0].backends[0].health.is_up()), (0, true));
    for n in 0..3 {
        b.one(udp(PHONE), &request("MESSAGE", &format!("n{n}"), ""));
    }
    b.pass(32_000);
    assert!(!b.snapshot.instances[0].backends[0].health.is_up(), "a silent one is out");
}

#[test]
fn a_connection_of_a_pbx_that_breaks_before_any_answer_fails_over() {
    // X06 T13
    let mut rows = two();
    let mut acme = (*rows.instances[0]).clone();
    acme.backends[0].transport = Transport::Tcp;
    rows.instances[0] = acme.into();
    let mut b = Bench::with(&rows, config());
    let first = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    assert!(first.row("Via").starts_with("SIP/2.0/TCP 198.51.100.1:5070;"), "a stream names the shared address");
    let flow = crate::ids::Flow::Stream {
        listener: crate::ids::ListenerId::INSIDE_V4,
        conn: crate::ids::ConnId::new(0, crate::ids::Shard(0), 9),
        transport: Transport::Tcp,
        local: "198.51.100.1:33333".parse().unwrap(),
        peer: FIRST.parse().unwrap(),
    };
    let sent = b.input(Input::FlowClosed { flow });
    assert_eq!((sent.len(), sent[0].peer()), (1, SECOND.parse().unwrap()));
}

#[test]
fn a_datagram_that_could_not_be_sent_is_sent_again() {
    // T15
    let mut b = bench();
    let first = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    assert!(b.fail(&first, SendError::Refused).is_empty());
    assert_eq!(b.pass(500)[0].1.text, first.text);
}

#[test]
fn a_table_that_changed_meanwhile_is_the_one_that_counts() {
    // R73 F15
    let mut b = bench();
    let first = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let mut rows = two();
    let mut acme = (*rows.instances[0]).clone();
    acme.backends[1].address = "198.51.0.99:5060".into();
    rows.instances[0] = acme.into();
    b.snapshot = crate::route::testing::compiled(&rows);
    let sent = b.send(inside(FIRST), &first.answered(503, ""));
    assert_eq!(sent[1].peer(), "198.51.0.99:5060".parse().unwrap());
}
