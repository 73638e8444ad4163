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
    for n in 0..70 {
        assert_eq!(b.one(udp(PHONE), &options(n)).method(), "OPTIONS", "{n}");
    }
    for n in 70..1_000 {
        let refused = b.one(udp(PHONE), &options(n));
        assert_eq!((refused.status(), refused.row("Retry-After")), (503, "10"), "{n}");
    }
    assert_eq!(b.shared.stats.shards.sum().server_transactions.read(), 70, "an eighth is for dialogs");
    assert_eq!(b.engine.counts().0, 71, "the call is answered");
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
    assert_eq!(b.stats(1).transactions.read(), 7, "what is answered is no part of it");
    assert_eq!(b.one(udp(PHONE), &options(10)).method(), "OPTIONS");
    assert_eq!(b.one(udp(PHONE), &options(11)).status(), 503);
    b.pass(32_000);
    assert_eq!(b.stats(1).transactions.read(), 0);
    assert_eq!(b.one(udp(PHONE), &options(8)).method(), "OPTIONS");
}

#[test]
fn answers_are_forgotten_oldest_first_and_nobody_is_refused() {
    // T17 T19
    let mut b = Bench::with(&rows(), Config { transactions: 16, answered_bytes: 20_000, ..config() });
    let waits = b.one(udp(PHONE), &options(1_000));
    for n in 0..200 {
        let out = b.one(udp(PHONE), &options(n));
        assert_eq!((out.method(), b.one(inside(PBX), &out.answered(200, "")).status()), ("OPTIONS", 200), "{n}");
    }
    let (kept, forgotten) =
        (b.shared.stats.shards.sum().answered_servers.read(), b.shared.stats.server_answers_forgotten.read());
    assert!((30..90).contains(&kept) && kept + forgotten == 200, "{kept} {forgotten}");
    assert!((19_000..=20_000).contains(&b.shared.stats.shards.sum().answered_bytes.read()));
    assert_eq!((b.shared.stats.shards.sum().server_transactions.read(), b.stats(1).transactions.read()), (1, 1));
    for n in [199, 200 - kept as usize] {
        assert_eq!(b.one(udp(PHONE), &options(n)).status(), 200, "{n} is answered by us");
    }
    let again = b.one(udp(PHONE), &options(199 - kept as usize));
    assert_eq!(again.method(), "OPTIONS", "what is forgotten is a request like any other");
    assert_eq!(b.one(inside(PBX), &waits.answered(200, "")).status(), 200, "what waits is not forgotten");
    b.pass(40_000);
    assert_eq!((b.engine.counts(), b.shared.stats.shards.sum().answered_bytes.read()), ((0, 0, 0), 0));
}

#[test]
fn answered_calls_are_forgotten_oldest_first_and_those_that_ring_stay() {
    // T08 T19
    let mut b = Bench::with(&rows(), Config { transactions: 16, answered_bytes: 10 * 2_048, ..config() });
    let rings = b.invite(udp(PHONE), &request("INVITE", "rings", ""));
    b.one(inside(PBX), &rings.answered(180, ""));
    let contact = "Contact: <sip:eve@198.51.0.1>\r\n";
    let out: Vec<Sent> = (0..30)
        .map(|n| {
            let out = b.invite(udp(PHONE), &request("INVITE", &format!("i{n}"), ""));
            assert_eq!(b.one(inside(PBX), &out.answered(200, contact)).status(), 200, "{n}");
            out
        })
        .collect();
    let s = &b.shared.stats;
    assert_eq!((s.server_answers_forgotten.read(), s.client_answers_forgotten.read()), (20, 20));
    assert_eq!((b.engine.counts().0, b.engine.counts().1, s.shards.sum().setups.read()), (11, 11, 1));
    assert_eq!(b.one(inside(PBX), &out[20].answered(200, contact)).status(), 200, "a 2xx comes again");
    assert!(b.send(inside(PBX), &out[19].answered(200, contact)).is_empty(), "the call of this one is forgotten");
    assert_eq!(b.one(inside(PBX), &rings.answered(200, contact)).status(), 200);
    b.pass(40_000);
    assert_eq!(b.engine.counts(), (0, 0, 0));
}

#[test]
fn an_answer_is_sent_where_there_is_no_room_to_keep_it() {
    // T15
    let mut b = Bench::with(&rows(), Config { answered_bytes: 0, ..config() });
    for (n, status) in [200, 486, 200].into_iter().enumerate() {
        let out = b.invite(udp(PHONE), &request("INVITE", &format!("i{n}"), ""));
        let sent = b.send(inside(PBX), &out.answered(status, "Contact: <sip:eve@198.51.0.1>\r\n"));
        assert!(sent.iter().any(|it| it.text.starts_with(&format!("SIP/2.0 {status}"))), "{status}: {sent:?}");
    }
}

#[test]
fn branches_that_are_answered_leave_room_for_others() {
    // T15 T19
    let mut b = Bench::with(&rows(), Config { transactions: 16, ..config() });
    let out: Vec<Sent> = (0..100)
        .map(|n| {
            let out = b.one(udp(PHONE), &options(n));
            assert_eq!(b.one(inside(PBX), &out.answered(200, "")).status(), 200, "{n}");
            out
        })
        .collect();
    let drops = |b: &Bench| b.shared.stats.dropped(crate::reason::Drop::UnmatchedResponse);
    assert_eq!((b.engine.counts().1, b.shared.stats.client_answers_forgotten.read()), (32, 68));
    assert!(b.send(inside(PBX), &out[68].answered(200, "")).is_empty() && drops(&b) == 0, "absorbed");
    assert!(b.send(inside(PBX), &out[67].answered(200, "")).is_empty() && drops(&b) == 1, "nobody waits for it");
    b.pass(5_000);
    assert_eq!(b.engine.counts().1, 0, "K runs for T4");
    // Failed calls are kept for longer (D): there is nothing to be forgotten for them.
    for n in 0..40 {
        let out = b.invite(udp(PHONE), &request("INVITE", &format!("i{n}"), ""));
        let sent = b.send(inside(PBX), &out.answered(486, ""));
        assert!(sent.iter().any(|sent| sent.status() == 486), "{n}");
    }
    assert_eq!(b.engine.counts().1, 32);
    b.pass(40_000);
    assert_eq!(b.engine.counts(), (0, 0, 0));
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
    assert!(b.shared.stats.shards.sum().kept_bytes.read() < 125_000);
    b.pass(40_000);
    assert_eq!(b.shared.stats.shards.sum().kept_bytes.read(), 0);
}

#[test]
fn gauges_follow_and_return_to_zero() {
    let mut b = Bench::new();
    let out = b.one(udp(PHONE), &request("OPTIONS", "o", ""));
    b.one(inside(PBX), &out.answered(200, ""));
    let s = b.shared.stats.shards.sum();
    assert_eq!((s.server_transactions.read(), s.answered_servers.read(), s.answered_clients.read()), (0, 1, 1));
    assert!(s.answered_bytes.read() > 200 && s.kept_bytes.read() == 0);
    b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let s = b.shared.stats.shards.sum();
    assert_eq!((s.server_transactions.read(), s.client_transactions.read(), s.timers.read()), (1, 1, 4));
    assert!(s.kept_bytes.read() > 500 && s.setups.read() == 1);
    let shared = std::sync::Arc::clone(&b.shared);
    let instance = std::sync::Arc::clone(&b.snapshot.instances[0].stats);
    drop(b);
    let s = shared.stats.shards.sum();
    let live = [&s.server_transactions, &s.client_transactions, &s.timers, &s.kept_bytes, &s.setups].map(|g| g.read());
    let answered = [&s.answered_servers, &s.answered_clients, &s.answered_bytes].map(|g| g.read());
    assert_eq!(
        (live, answered, instance.transactions.read()),
        ([0; 5], [0; 3], 0),
        "a shard that ends takes its share along"
    );
}

#[test]
fn a_call_is_being_set_up_until_its_final_answer() {
    let mut b = Bench::new();
    let (answered, refused, cancelled) =
        (request("INVITE", "a", ""), request("INVITE", "r", ""), request("INVITE", "c", ""));
    let out = [&answered, &refused, &cancelled].map(|text| b.invite(udp(PHONE), text));
    b.one(udp(PHONE), &request("OPTIONS", "o", ""));
    assert_eq!(b.shared.stats.shards.sum().setups.read(), 3);
    b.one(inside(PBX), &out[0].answered(180, ""));
    assert_eq!(b.shared.stats.shards.sum().setups.read(), 3);
    b.one(inside(PBX), &out[0].answered(200, "Contact: <sip:eve@10.0.0.9>\r\n"));
    b.send(inside(PBX), &out[1].answered(486, ""));
    assert_eq!((b.shared.stats.shards.sum().setups.read(), b.stats(1).calls.read()), (1, 1));
    b.one(inside(PBX), &out[2].answered(180, ""));
    b.send(udp(PHONE), &request("CANCEL", "c", ""));
    b.send(inside(PBX), &out[2].answered(487, ""));
    assert_eq!(b.shared.stats.shards.sum().setups.read(), 0);
}
