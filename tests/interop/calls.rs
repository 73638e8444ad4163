//! Phones register and call through the node to Kamailio.

use super::baresip::Baresip;
use super::pbx::Pbx;
use super::sipp::{Over, Run};
use crate::support::node::Node;
use crate::support::{Net, PATIENCE, licence, until};
use serde_json::json;
use std::net::Ipv4Addr;

/// A node with two instances, `harbor` and `lighthouse`, each on a Kamailio of its own.
fn two_instances(net: Net) -> (Node, Pbx, Pbx) {
    let harbor = Pbx::start(net, 11, "harbor");
    let lighthouse = Pbx::start(net, 12, "lighthouse");
    let node = Node::start(net);
    node.add_instance("harbor", &harbor.address(), "udp");
    node.add_instance("lighthouse", &lighthouse.address(), "tcp");
    (node, harbor, lighthouse)
}

/// `bob` of `harbor` registers over UDP.
fn bob_registers(net: Net, sip: &str) {
    Run::new("register", net.ip(30), 5080, Over::Udp).to(sip).account("bob", "harbor", "").start().finish();
}

/// `alice` of `harbor` calls `bob`, who answers; she holds the call and hangs up.
fn alice_calls_bob(from: Ipv4Addr, over: Over, net: Net, sip: &str) {
    let answers = Run::new("answer", net.ip(30), 5080, Over::Udp).start();
    Run::new("call", from, 5080, over).to(sip).account("alice", "harbor", "bob").start().finish();
    answers.finish();
}

// R4 R10 P01 P05 F10
#[test]
fn sipp_registers_and_calls_over_udp_and_tcp() {
    let net = Net::new();
    let (node, _harbor, _lighthouse) = two_instances(net);
    let sip = node.sip();
    // The same account names in both instances; one instance is reached over UDP, the other over TCP.
    for (n, domain) in [(30, "harbor"), (40, "lighthouse")] {
        Run::new("register", net.ip(n), 5080, Over::Udp).to(&sip).account("bob", domain, "").start().finish();
        Run::new("register", net.ip(n + 1), 5080, Over::Tcp).to(&sip).account("alice", domain, "").start().finish();
    }
    for (n, domain) in [(30, "harbor"), (40, "lighthouse")] {
        for (from, over) in [(n + 1, Over::Udp), (n + 2, Over::Tcp)] {
            let answers = Run::new("answer", net.ip(n), 5080, Over::Udp).start();
            Run::new("call", net.ip(from), 5080, over)
                .to(&sip)
                .calls(1, 1, 100)
                .account("alice", domain, "bob")
                .start()
                .finish();
            answers.finish();
        }
    }
}

// R4 P05 X05
#[test]
fn baresip_phones_call_hold_and_hang_up() {
    let net = Net::new();
    let (node, _harbor, _lighthouse) = two_instances(net);
    let sip = node.sip();
    for (n, domain) in [(50, "harbor"), (60, "lighthouse")] {
        let mut alice = Baresip::start(net.ip(n), "alice", domain, &sip, "udp");
        let mut bob = Baresip::start(net.ip(n + 1), "bob", domain, &sip, "tcp");
        alice.command("dial", &format!("sip:bob@{domain}"));
        alice.wait_event("CALL_ESTABLISHED");
        bob.wait_event("CALL_ESTABLISHED");
        alice.command("hold", "");
        alice.wait_event("CALL_REMOTE_SDP");
        alice.command("resume", "");
        alice.wait_event("CALL_REMOTE_SDP");
        // The one who was called hangs up: a request that begins at the far end.
        bob.command("hangup", "");
        alice.wait_event("CALL_CLOSED");
        // And the other way round, over the connection the phone opened.
        bob.command("dial", &format!("sip:alice@{domain}"));
        bob.wait_event("CALL_ESTABLISHED");
        bob.command("hangup", "");
        alice.wait_event("CALL_CLOSED");
    }
}

// R75 F03
#[test]
fn calls_survive_a_killed_node() {
    let net = Net::new();
    let pbx = Pbx::start(net, 11, "harbor");
    let mut node = Node::start(net);
    node.add_instance("harbor", &pbx.address(), "udp");
    let sip = node.sip();
    bob_registers(net, &sip);
    let answers = Run::new("answer", net.ip(30), 5080, Over::Udp).start();
    let calls = Run::new("call", net.ip(31), 5080, Over::Udp)
        .to(&sip)
        .calls(1, 1, 4_000)
        .account("alice", "harbor", "bob")
        .start();
    // Two REGISTERs, two INVITEs in and one out, the ACK in and out: from here on the call is up. An
    // ACK that dies with the process would be lost to any proxy.
    let forwarded = "nantucket_sip_messages_total{kind=\"request\",step=\"forwarded\"}";
    until("the call is up", PATIENCE, || node.metric(forwarded).is_some_and(|count| count >= 7.0));
    // The re-INVITE and the BYE of this call meet another process.
    node.restart("KILL");
    calls.finish();
    answers.finish();
    // And the phone's binding still leads to it.
    alice_calls_bob(net.ip(32), Over::Tcp, net, &sip);
}

// T13 F15 X06
#[test]
fn a_dead_target_is_passed_over_at_once() {
    let net = Net::new();
    let pbx = Pbx::start(net, 12, "harbor");
    let node = Node::start(net);
    // Nobody listens at the first one: the kernel says so, and the second one is tried.
    node.must(
        "POST",
        "/instances",
        Some(json!({
            "name": "harbor",
            "licence": licence::cloud(),
            "state": "on",
            "backends": [
                {"address": format!("{}:5060", net.ip(11)), "priority": 0, "profile": "kamailio"},
                {"address": pbx.address(), "priority": 1, "profile": "kamailio"},
            ],
        })),
    );
    node.wait_live();
    let sip = node.sip();
    bob_registers(net, &sip);
    alice_calls_bob(net.ip(31), Over::Udp, net, &sip);
}

/// A PBX that is given no Path reaches a phone by the Contact it was given.
// P05 R8
#[test]
fn contact_mode_serves_a_pbx_without_path() {
    let net = Net::new();
    let pbx = Pbx::start_without_path(net, 11, "harbor");
    let node = Node::start(net);
    node.must(
        "POST",
        "/instances",
        Some(json!({
            "name": "harbor",
            "licence": licence::cloud(),
            "state": "on",
            "backends": [{"address": pbx.address(), "profile": "contact"}],
        })),
    );
    node.wait_live();
    let sip = node.sip();
    for over in [Over::Udp, Over::Tcp] {
        let mut bob = Baresip::start(net.ip(50), "bob", "harbor", &sip, "tcp");
        Run::new("call-once", net.ip(31), 5080, over).to(&sip).account("alice", "harbor", "bob").start().finish();
        bob.wait_event("CALL_ESTABLISHED");
        bob.wait_event("CALL_CLOSED");
    }
}

// X13
#[test]
fn phones_call_over_ipv6() {
    let net = Net::new();
    let pbx = Pbx::start(net, 11, "harbor");
    let node = Node::start(net);
    node.must(
        "PATCH",
        "/proxies/main",
        Some(json!({"listeners": [
            {"number": 1, "service": "sip-udp", "bind": "[::1]:5060"},
            {"number": 2, "service": "sip-tcp", "bind": "[::1]:5060"},
        ]})),
    );
    node.add_instance("harbor", &pbx.address(), "udp");
    let sip = "[::1]:5060";
    Run::v6("register", 5080, Over::Udp).to(sip).account("bob", "harbor", "").start().finish();
    for (port, over) in [(5082, Over::Udp), (5084, Over::Tcp)] {
        let answers = Run::v6("answer", 5080, Over::Udp).start();
        Run::v6("call", port, over).to(sip).calls(1, 1, 100).account("alice", "harbor", "bob").start().finish();
        answers.finish();
    }
}
