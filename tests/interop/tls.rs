//! Phones over TLS, through the node to Kamailio.

use super::baresip::{Baresip, Media};
use super::linphone::{Linphone, Proxy};
use super::pbx::Pbx;
use crate::support::Net;
use crate::support::node::Node;
use serde_json::json;
use std::net::TcpListener;

// R4 R79 P05
#[test]
fn baresip_phones_call_with_srtp_end_to_end() {
    let net = Net::new();
    let pbx = Pbx::start(net, 11, "harbor");
    let node = Node::start(net);
    node.add_instance("harbor", &pbx.address(), "udp");
    let sip = node.sip();
    let mut alice = Baresip::start_with(net.ip(50), "alice", "harbor", &sip, "tcp", Media::Srtp);
    let mut bob = Baresip::start_with(net.ip(51), "bob", "harbor", &sip, "tcp", Media::Srtp);
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
    }
}

/// linphone copies a Record-Route row of two values as three: its calls end when one is held, where the proxy's pair
/// is in one row.
// R4 F08 F10
#[test]
fn linphone_calls_pauses_resumes_and_hangs_up() {
    let net = Net::new();
    let pbx = Pbx::start(net, 11, "harbor");
    let node = Node::start(net);
    node.add_instance("harbor", &pbx.address(), "udp");
    // It finds the proxy by the one name that every machine knows.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (bind, advertise) = (format!("127.0.0.1:{port}"), format!("localhost:{port}"));
    let listener = json!({"number": 1, "service": "sip-tcp", "bind": bind, "advertise": advertise});
    node.must("PATCH", "/proxies/main", Some(json!({"listeners": [listener]})));
    node.wait_live();
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
