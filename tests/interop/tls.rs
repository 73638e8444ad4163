//! Phones over TLS, through the node to Kamailio.

use super::baresip::{Baresip, Media};
use super::linphone::{Linphone, Proxy};
use super::pbx::Pbx;
use super::sipp::{Over, Run};
use super::stunnel::Stunnel;
use crate::support::node::Node;
use crate::support::sip::{Peer, request, status};
use crate::support::{Net, PATIENCE, licence, until};
use serde_json::json;
use std::net::{Ipv6Addr, TcpListener};

/// The node's only listener for phones.
fn listen_on(node: &Node, bind: &str, advertise: Option<&str>) {
    let listener = json!({"number": 1, "service": "sip-tls", "bind": bind, "advertise": advertise});
    node.must("PATCH", "/proxies/main", Some(json!({"listeners": [listener]})));
    node.wait_live();
    node.wait_listening(bind);
}

// R4 R78 R79 P05 F11 F12
#[test]
fn baresip_phones_call_over_tls_with_srtp_end_to_end() {
    let net = Net::new();
    let pbx = Pbx::start(net, 11, "harbor");
    let node = Node::start(net);
    node.add_instance("harbor", &pbx.address(), "udp");
    let sip = format!("{}:5061", node.ip());
    // Nothing of the tests is in DNS.
    listen_on(&node, &sip, Some(&sip));
    // It cannot read a route that begins with `sips:`.
    node.must("PATCH", "/proxies/main", Some(json!({"tls_routes": "transport"})));
    node.wait_live();
    let mut alice = Baresip::start_with(net.ip(50), "alice", "harbor", &sip, "tls", Media::Srtp);
    let mut bob = Baresip::start_with(net.ip(51), "bob", "harbor", &sip, "tls", Media::Srtp);
    alice.command("dial", "sip:bob@harbor");
    alice.wait_event("CALL_ESTABLISHED");
    bob.wait_event("CALL_ESTABLISHED");
    alice.command("hold", "");
    alice.wait_event("CALL_REMOTE_SDP");
    alice.command("resume", "");
    alice.wait_event("CALL_REMOTE_SDP");
    // The one who was called hangs up.
    bob.command("hangup", "");
    alice.wait_event("CALL_CLOSED");
    // And the one who calls.
    bob.command("dial", "sip:alice@harbor");
    bob.wait_event("CALL_ESTABLISHED");
    alice.wait_event("CALL_ESTABLISHED");
    bob.command("hangup", "");
    alice.wait_event("CALL_CLOSED");
    for phone in [&alice, &bob] {
        phone.wait_line("SRTP is Enabled (cryptosuite=AES_CM_128_HMAC_SHA1_80)");
        phone.wait_line("m=audio");
        let printed = phone.printed();
        assert!(!printed.contains(" RTP/AVP "), "media in the clear was offered or answered:\n{printed}");
        // Every message it saw, with the transport and both ends.
        let seen: Vec<_> = printed.lines().filter(|line| line.contains(" -> ") && line.contains(&sip)).collect();
        let over_tls = seen.iter().filter(|line| line.starts_with("TLS ")).count();
        assert!(over_tls > 20 && over_tls == seen.len(), "{over_tls} of {} messages over TLS:\n{printed}", seen.len());
    }
}

/// linphone copies a Record-Route row of two values as three: its calls end when one is held, where the proxy's pair
/// is in one row.
// R4 R78 F08 F10 S02
#[test]
fn linphone_calls_over_tls_pauses_resumes_and_hangs_up() {
    let net = Net::new();
    let pbx = Pbx::start(net, 11, "harbor");
    let node = Node::start(net);
    node.add_instance("harbor", &pbx.address(), "udp");
    // It finds the proxy by the one name that every machine knows.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    listen_on(&node, &format!("127.0.0.1:{port}"), Some(&format!("localhost:{port}")));
    let certificate = node.certificate();
    let proxy = Proxy { name: "localhost", port, certificate: &certificate };
    let mut alice = Linphone::start(net.ip(50), "alice", "harbor", &proxy);
    let mut bob = Linphone::start(net.ip(51), "bob", "harbor", &proxy);

    alice.command("call sip:bob@harbor");
    bob.wait_line("Receiving new incoming call from sip:alice@harbor");
    bob.command("answer");
    alice.wait_line("Call 1 with sip:bob@harbor connected.");
    alice.wait_line("Media streams established with sip:bob@harbor for call 1 (audio).");
    alice.command("pause");
    alice.wait_line("Call 1 with sip:bob@harbor is now paused.");
    bob.wait_line("Call 1 has been paused by sip:alice@harbor.");
    alice.command("resume");
    alice.wait_line("to LinphoneCallResuming");
    bob.wait_line("from state LinphoneCallPausedByRemote to LinphoneCallStreamsRunning");
    bob.command("terminate");
    alice.wait_line("Call 1 with sip:bob@harbor ended");

    // And the other way round.
    bob.command("call sip:alice@harbor");
    alice.wait_line("Receiving new incoming call from sip:bob@harbor");
    alice.command("answer");
    bob.wait_line("Call 2 with sip:alice@harbor connected.");
    bob.command("terminate");
    alice.wait_line("Call 2 with sip:bob@harbor ended");
    for phone in [&alice, &bob] {
        phone.wait_line("Negotiated media encryption is LinphoneMediaEncryptionSRTP");
    }
}

// R4 R78 S05 P05
#[test]
fn sipp_registers_and_calls_both_ways_behind_stunnel() {
    let net = Net::new();
    let pbx = Pbx::start(net, 11, "harbor");
    let node = Node::start(net);
    node.add_instance("harbor", &pbx.address(), "udp");
    let address = format!("{}:5061", node.ip());
    listen_on(&node, &address, None);
    let [alice, bob] = [40, 41].map(|n| Stunnel::start((net.ip(n), 5060), &address, &node.certificate(), &node.fqdn()));
    // Bob's calls come over the connection he registered on; so do the requests within them.
    let _stays = Run::new("stay", net.ip(30), 5080, Over::Tcp)
        .to(&bob.address())
        .calls_go_to("answer")
        .account("bob", "harbor", "")
        .start();
    until("bob is registered", PATIENCE, || node.seats("harbor") == 1);
    Run::new("call", net.ip(31), 5080, Over::Tcp)
        .to(&alice.address())
        .calls(5, 2, 100)
        .account("alice", "harbor", "bob")
        .start()
        .finish();
    for stunnel in [&alice, &bob] {
        let printed = stunnel.printed();
        assert!(printed.contains("TLSv1.3"), "{printed}");
    }
}

/// Nothing between node and PBX is in the clear, each shows the other who it is, and calls go both ways.
// R8 S01 X10
#[test]
fn a_pbx_is_reached_over_tls_both_sides_verified() {
    let net = Net::new();
    let own = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let (theirs, ours) = (own("pbx.harbor.test"), own("main.pbx.test"));
    let keys = (theirs.cert.pem(), theirs.signing_key.serialize_pem());
    let pbx = Pbx::start_tls(net, 11, "harbor", (&keys.0, &keys.1), &ours.cert.pem());
    let node = Node::start(net);
    let row = json!({"name": "edge", "chain": ours.cert.pem(), "key": ours.signing_key.serialize_pem()});
    node.must("POST", "/certificates", Some(row));
    let backend = |name: &str| {
        json!([{
            "address": format!("{}:5061", pbx.ip),
            "transport": "tls",
            "profile": "kamailio",
            "tls": {"verify": true, "authorities": keys.0, "name": name, "certificate": "edge"},
        }])
    };
    // Its certificate names another domain than this.
    let row = json!({"name": "harbor", "licence": licence::cloud(), "state": "on", "backends": backend("harbor.test")});
    node.must("POST", "/instances", Some(row));
    node.wait_live();
    let sip = node.sip();
    let stranger = Peer::open((net.ip(30), 0));
    stranger.send(&sip, request("REGISTER", "sip:bob@harbor", &stranger.via(), 1, "", ""));
    assert_eq!(status(&stranger.last()), 503, "{}", node.printed());
    node.must("PATCH", "/instances/harbor", Some(json!({"backends": backend("pbx.harbor.test")})));
    node.wait_live();

    Run::new("register", net.ip(30), 5080, Over::Udp).to(&sip).account("bob", "harbor", "").start().finish();
    for over in [Over::Udp, Over::Tcp] {
        let answers = Run::new("answer", net.ip(30), 5080, Over::Udp).calls(3, 2, 100).start();
        Run::new("call", net.ip(31), 5080, over)
            .to(&sip)
            .calls(3, 2, 100)
            .account("alice", "harbor", "bob")
            .start()
            .finish();
        answers.finish();
    }
}

// R78 X13
#[test]
fn phones_call_over_tls_and_ipv6() {
    let net = Net::new();
    let pbx = Pbx::start(net, 11, "harbor");
    let node = Node::start(net);
    node.add_instance("harbor", &pbx.address(), "udp");
    let address = "[::1]:5061";
    listen_on(&node, address, None);
    let at = |port| Stunnel::start((Ipv6Addr::LOCALHOST, port), address, &node.certificate(), &node.fqdn());
    let (alice, bob) = (at(5161), at(5162));
    let _stays =
        Run::v6("stay", 5180, Over::Tcp).to(&bob.address()).calls_go_to("answer").account("bob", "harbor", "").start();
    until("bob is registered", PATIENCE, || node.seats("harbor") == 1);
    Run::v6("call", 5182, Over::Tcp)
        .to(&alice.address())
        .calls(1, 1, 100)
        .account("alice", "harbor", "bob")
        .start()
        .finish();
}
