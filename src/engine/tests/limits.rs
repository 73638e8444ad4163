//! T19: bounds, tried at the number itself, one below and one above.

use crate::engine::config::Config;
use crate::engine::contract::Input;
use crate::engine::testing::*;
use crate::route::testing::{instance, proxy, table};

fn options(n: usize) -> String {
    request("OPTIONS", &format!("o{n}"), "")
}

#[test]
fn a_flood_meets_the_shards_bound_and_calls_go_on() {
    // T19
    let mut b = Bench::with(&rows(), Config { transactions: 80, fall: 1_000, ..config() });
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let ok = b.one(inside(PBX), &invite.answered(200, "Contact: <sip:eve@198.51.0.1>\r\n"));
    for n in 1..70 {
        assert_eq!(b.one(udp(PHONE), &options(n)).method(), "OPTIONS", "{n}");
    }
    for n in 70..1_000 {
        let refused = b.one(udp(PHONE), &options(n));
        assert_eq!((refused.status(), refused.row("Retry-After")), (503, "10"), "{n}");
    }
    assert_eq!(b.engine.counts().0, 70, "an eighth is for dialogs");
    assert_eq!(b.shared.stats.refused(crate::reason::Refusal::NodeBusy), 930);
    for n in 0..10 {
        let sent = b.send(udp(PHONE), &in_dialog("INFO", &format!("in{n}"), "i", &ok));
        assert_eq!(sent[0].method(), "INFO", "{n}");
    }
    assert_eq!(b.one(udp(PHONE), &in_dialog("BYE", "in", "i", &ok)).status(), 503, "the eighth has an end too");
    b.pass(40_000);
    assert_eq!(b.engine.counts(), (0, 0, 0));
    assert_eq!(b.one(udp(PHONE), &options(1)).method(), "OPTIONS");
}

#[test]
fn an_instance_has_so_many_connections_and_no_more() {
    // T19 X09
    let mut b = Bench::with(&rows(), Config { connections: 2, ..config() });
    let register = |b: &mut Bench, serial: u32, branch: &str| {
        let out = b.one(tcp(PHONE, serial), &request("REGISTER", branch, ""));
        if out.method() == "REGISTER" {
            let contact = format!("{};expires=600\r\n", out.rows("Contact")[0]);
            assert_eq!(b.one(inside(PBX), &out.answered(200, &format!("Contact: {contact}"))).status(), 200);
        }
        out
    };
    for serial in [1, 2] {
        assert_eq!(register(&mut b, serial, &format!("r{serial}")).method(), "REGISTER");
    }
    let refused = register(&mut b, 3, "r3");
    assert_eq!((refused.status(), refused.row("Retry-After")), (503, "10"));
    assert!(refused.row("Warning").contains("instance-connections: "), "{refused:?}");
    assert_eq!(register(&mut b, 2, "again").method(), "REGISTER", "what has one keeps it");
    assert_eq!(b.stats(1).connections.read(), 2);
    b.input(Input::FlowClosed { flow: tcp(PHONE, 1) });
    b.input(Input::FlowClosed { flow: tcp(PHONE, 1) });
    assert_eq!((b.stats(1).connections.read(), register(&mut b, 3, "r4").method()), (1, "REGISTER"));
}

#[test]
fn an_instance_has_its_share_and_others_theirs() {
    // T19
    let mut acme = instance(1, "acme");
    acme.limits.transactions = 8;
    let mut b =
        Bench::with(&table([acme, instance(2, "globex")], [proxy(1, "edge")]), Config { fall: 1_000, ..config() });
    let mut out = Vec::new();
    for n in 0..8 {
        out.push(b.one(udp(PHONE), &options(n)));
        assert_eq!(out[n].method(), "OPTIONS");
        assert_eq!(b.stats(1).transactions.read(), n as u64 + 1);
    }
    let refused = b.one(udp(PHONE), &options(8));
    assert_eq!(refused.status(), 503);
    assert!(refused.row("Warning").contains("instance-busy: ") && refused.row("Retry-After") == "10");
    assert_eq!(b.one(udp(PHONE), &options(9).replace("acme", "globex")).method(), "OPTIONS");
    b.one(inside(PBX), &out[0].answered(200, ""));
    b.pass(32_000);
    assert_eq!(b.stats(1).transactions.read(), 0);
    assert_eq!(b.one(udp(PHONE), &options(8)).method(), "OPTIONS");
}

#[test]
fn an_emergency_call_passes_where_others_are_refused() {
    // R71
    let mut acme = instance(1, "acme");
    acme.limits.transactions = 8;
    let mut b = Bench::with(&table([acme], [proxy(1, "edge")]), Config { fall: 1_000, ..config() });
    for n in 0..8 {
        assert_eq!(b.one(udp(PHONE), &options(n)).method(), "OPTIONS");
    }
    let call = |id: &str, to: &str| request("INVITE", id, "").replacen("sip:eve@acme", to, 1);
    assert_eq!(b.one(udp(PHONE), &call("eve", "sip:eve@acme")).status(), 503);
    assert_eq!(b.one(udp(PHONE), &call("1120", "sip:1120@acme")).status(), 503);
    let sent = b.send(udp(PHONE), &call("112", "sip:112@acme"));
    assert!(sent.iter().any(|sent| sent.method() == "INVITE"), "{sent:?}");
    assert_eq!(b.one(udp(PHONE), &call("110", "sip:110@acme")).status(), 503, "the eighth has an end too");
}

#[test]
fn kept_bytes_are_bounded() {
    // T19
    let mut b = Bench::with(&rows(), Config { kept_bytes: 100_000, ..config() });
    let big = |n| request("MESSAGE", &format!("m{n}"), &format!("X-Long: {}\r\n", "x".repeat(10_000)));
    let taken = (0..100).filter(|n| b.one(udp(PHONE), &big(*n)).method() == "MESSAGE").count();
    assert!((3..10).contains(&taken), "{taken}");
    assert!(b.shared.stats.kept_bytes.read() < 125_000);
    b.pass(40_000);
    assert_eq!(b.shared.stats.kept_bytes.read(), 0);
}

#[test]
fn gauges_follow_and_return_to_zero() {
    let mut b = Bench::new();
    b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let s = &b.shared.stats;
    assert_eq!((s.server_transactions.read(), s.client_transactions.read(), s.timers.read()), (1, 1, 2));
    assert!(s.kept_bytes.read() > 500 && s.setups.read() == 1);
    let shared = std::sync::Arc::clone(&b.shared);
    let instance = std::sync::Arc::clone(&b.snapshot.instances[0].stats);
    drop(b);
    let s = &shared.stats;
    let left = [&s.server_transactions, &s.client_transactions, &s.timers, &s.kept_bytes, &s.setups].map(|g| g.read());
    assert_eq!((left, instance.transactions.read()), ([0; 5], 0), "a shard that ends takes its share along");
}

#[test]
fn a_call_is_being_set_up_until_its_final_answer() {
    let mut b = Bench::new();
    let (answered, refused, cancelled) =
        (request("INVITE", "a", ""), request("INVITE", "r", ""), request("INVITE", "c", ""));
    let out = [&answered, &refused, &cancelled].map(|text| b.invite(udp(PHONE), text));
    b.one(udp(PHONE), &request("OPTIONS", "o", ""));
    assert_eq!(b.shared.stats.setups.read(), 3);
    b.one(inside(PBX), &out[0].answered(180, ""));
    assert_eq!(b.shared.stats.setups.read(), 3);
    b.one(inside(PBX), &out[0].answered(200, "Contact: <sip:eve@10.0.0.9>\r\n"));
    b.send(inside(PBX), &out[1].answered(486, ""));
    assert_eq!((b.shared.stats.setups.read(), b.stats(1).calls.read()), (1, 1));
    b.one(inside(PBX), &out[2].answered(180, ""));
    b.send(udp(PHONE), &request("CANCEL", "c", ""));
    b.send(inside(PBX), &out[2].answered(487, ""));
    assert_eq!(b.shared.stats.setups.read(), 0);
}
