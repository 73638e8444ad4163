//! Phones register and call through the node to Kamailio.

use super::baresip::Baresip;
use super::pbx::Pbx;
use super::sipp::{Over, Run};
use crate::support::Net;
use crate::support::node::Node;

/// A node with two instances, `harbor` and `lighthouse`, each on a Kamailio of its own.
fn two_instances(net: Net) -> (Node, Pbx, Pbx) {
    let harbor = Pbx::start(net, 11, "harbor");
    let lighthouse = Pbx::start(net, 12, "lighthouse");
    let node = Node::start(net);
    node.add_instance("harbor", &harbor.address(), "udp");
    node.add_instance("lighthouse", &lighthouse.address(), "tcp");
    (node, harbor, lighthouse)
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
