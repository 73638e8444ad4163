//! Hours in small: calls, registrations and requests without a pause, and memory that stays.
//!
//! `tests/run` runs the short form; `tests/run soak` sets `NANTUCKET_LONG` for the long one.

use super::pbx::Pbx;
use super::sipp::{Over, Run};
use super::web::WebSide;
use crate::support::node::Node;
use crate::support::{Net, licence};
use serde_json::json;

// T19
#[test]
fn memory_stays_flat_while_calls_and_requests_go_on() {
    let long = std::env::var_os("NANTUCKET_LONG").is_some();
    // Rounds of calls at 40 a second; registrations and requests beside them.
    let (rounds, calls) = if long { (8, 600) } else { (3, 60) };
    let net = Net::new();
    let pbx = Pbx::start(net, 11, "harbor");
    let side = WebSide::start(net, 21);
    let node = Node::start(net);
    node.must(
        "POST",
        "/instances",
        Some(json!({
            "name": "harbor",
            "licence": licence::cloud(),
            "state": "on",
            "backends": [{"address": pbx.address(), "profile": "kamailio"}],
            "web": {"url": side.url()},
        })),
    );
    node.wait_live();
    let sip = node.sip();
    Run::new("register", net.ip(30), 5080, Over::Udp).to(&sip).account("bob", "harbor", "").start().finish();

    let mut resident = Vec::new();
    for _ in 0..rounds {
        let answers = Run::new("answer", net.ip(30), 5080, Over::Udp).calls(calls, 40, 0).start();
        let over_udp = Run::new("call", net.ip(31), 5080, Over::Udp)
            .to(&sip)
            .calls(calls / 2, 20, 100)
            .account("alice", "harbor", "bob")
            .start();
        let over_tcp = Run::new("call", net.ip(32), 5080, Over::Tcp)
            .to(&sip)
            .calls(calls / 2, 20, 100)
            .account("alice", "harbor", "bob")
            .start();
        let registrations = Run::new("register", net.ip(33), 5080, Over::Udp)
            .to(&sip)
            .calls(calls * 2, 80, 0)
            .account("carol", "harbor", "")
            .start();
        super::web::fetch_many(&node, "harbor", calls);
        over_udp.finish();
        over_tcp.finish();
        registrations.finish();
        answers.finish();
        resident.push(resident_kb(node.pid()));
    }
    println!("resident after each round, kB: {resident:?}");
    // The first round fills what is reused, transactions linger for 32 s after their end; later ones
    // must not add to what the bounds allow.
    let (first, last) = (resident[rounds / 2], resident[rounds - 1]);
    assert!(last < first + first / 10 + 4_096, "memory grows: {resident:?} kB\n{}", node.printed());
}

/// Resident memory of a process in kB, from `/proc`.
fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
