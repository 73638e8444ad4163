//! X03 to X06, F17: the way back, and what a transport needs.

use crate::engine::contract::Dest;
use crate::engine::testing::*;
use crate::ids::{Flow, Transport};

#[test]
fn the_way_back_is_the_way_it_came() {
    // X04
    let mut b = Bench::new();
    let sent = b.send(udp(PHONE), &request("INVITE", "i", ""));
    assert_eq!(sent[1].to, Dest::Reply { flow: udp(PHONE), fallback: None });
    let ok = b.one(inside(PBX), &sent[0].answered(200, ""));
    assert_eq!(ok.to, sent[1].to);
}

#[test]
fn without_rport_it_is_the_port_of_sent_by() {
    // X03 X04
    for (sent_by, port, received) in [
        ("10.0.0.5:5066", 5066, true),
        ("10.0.0.5", 5060, true),
        ("203.0.113.9:40000", 40_000, false),
        ("phone.local", 5060, true),
    ] {
        let mut b = Bench::new();
        let text = request("OPTIONS", "o", "").replace("10.0.0.5:5060;rport", sent_by);
        let out = b.one(udp(PHONE), &text);
        assert_eq!(out.rows("Via")[1].contains("received=203.0.113.9"), received, "{sent_by}");
        assert!(!out.rows("Via")[1].contains("rport"));
        let ok = b.one(inside(PBX), &out.answered(200, ""));
        assert_eq!(ok.peer(), format!("203.0.113.9:{port}").parse().unwrap(), "{sent_by}");
    }
}

#[test]
fn rport_is_filled_with_received_beside_it() {
    // X03
    let mut b = Bench::new();
    let text = request("OPTIONS", "o", "").replace("10.0.0.5:5060;rport", "203.0.113.9:40000;rport");
    let out = b.one(udp(PHONE), &text);
    let via = out.rows("Via")[1];
    assert!(via.contains(";rport=40000") && via.contains(";received=203.0.113.9"), "{via}");
    // What a client wrote into them itself is not believed.
    let text = request("OPTIONS", "p", "").replace(";rport", ";rport=9;received=198.51.0.1;maddr=198.51.0.1");
    let out = b.one(udp(PHONE), &text);
    let via = out.rows("Via")[1];
    assert!(via.contains(";rport=40000") && via.contains(";received=203.0.113.9"), "{via}");
    assert_eq!(b.one(inside(PBX), &out.answered(200, "")).peer(), PHONE.parse().unwrap());
}

#[test]
fn a_stream_is_answered_on_itself_with_a_way_to_call_back() {
    // X05
    let mut b = Bench::new();
    let text = request("OPTIONS", "o", "").replace("UDP 10.0.0.5:5060", "TCP 10.0.0.5:5099");
    let out = b.one(tcp(PHONE, 8), &text);
    let ok = b.one(inside(PBX), &out.answered(200, ""));
    let fallback = Some("203.0.113.9:5099".parse().unwrap());
    assert_eq!(ok.to, Dest::Reply { flow: tcp(PHONE, 8), fallback });
    let Flow::Stream { listener, conn, local, peer, .. } = tcp(PHONE, 8) else { panic!() };
    let socket = Flow::Stream { listener, conn, transport: Transport::Wss, local, peer };
    let text = request("OPTIONS", "w", "").replace("UDP 10.0.0.5:5060", "WSS df7jal23ls0d.invalid");
    let out = b.one(socket, &text);
    let ok = b.one(inside(PBX), &out.answered(200, ""));
    assert_eq!(ok.to, Dest::Reply { flow: socket, fallback: None }, "a browser cannot be called back");
}

#[test]
fn a_stream_out_has_a_content_length() {
    // F17
    let mut acme = crate::route::testing::instance(1, "acme");
    acme.backends[0].transport = Transport::Tcp;
    let rows = crate::route::testing::table([acme], [crate::route::testing::proxy(1, "edge")]);
    let mut b = Bench::with(&rows, config());
    let text = request("MESSAGE", "m", "").replace("Content-Length: 0\r\n\r\n", "\r\nhello");
    let out = b.one(udp(PHONE), &text);
    assert!(out.row("Content-Length") == "5" && out.text.ends_with("\r\n\r\nhello"), "{}", out.text);
    assert!(b.pass(3_000).is_empty(), "no retransmission over a stream");
}

#[test]
fn a_stream_that_lost_its_frame_is_answered_and_closed() {
    // V10
    let mut b = Bench::new();
    let text = request("OPTIONS", "o", "").replace("Content-Length: 0\r\n", "");
    assert_eq!(b.one(tcp(PHONE, 1), &text).status(), 400);
    assert_eq!(b.closed, [tcp(PHONE, 1)]);
    b.one(udp(PHONE), &text);
    assert_eq!(b.closed.len(), 1);
}

#[test]
fn a_stream_of_something_else_is_closed() {
    // V10
    let mut b = Bench::new();
    let text = "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
    b.none(udp(PHONE), text);
    assert!(b.closed.is_empty());
    b.none(tcp(PHONE, 1), text);
    assert_eq!(b.closed, [tcp(PHONE, 1)]);
}

#[test]
fn ipv6_on_both_sides() {
    // X13 F10
    let mut acme = crate::route::testing::instance(1, "acme");
    acme.backends[0].address = "[2001:db8:1::9]:5060".into();
    let rows = crate::route::testing::table([acme], [crate::route::testing::proxy(1, "edge")]);
    let mut b = Bench::with(&rows, config());
    let Flow::Udp { listener, .. } = udp(PHONE) else { panic!() };
    let flow = Flow::Udp {
        listener,
        local: "[2001:db8:2::1]:5060".parse().unwrap(),
        peer: "[2001:db8:3::7]:5555".parse().unwrap(),
    };
    let text = request("INVITE", "i", "").replace("10.0.0.5:5060;rport", "phone.invalid;rport");
    let out = b.invite(flow, &text);
    assert!(out.row("Via").starts_with("SIP/2.0/UDP [2001:db8::1]:40000;"), "{}", out.row("Via"));
    assert!(out.rows("Via")[1].contains(";received=2001:db8:3::7"), "{}", out.rows("Via")[1]);
    assert!(out.row("Record-Route").contains("@[2001:db8::1]:5070;lr>"), "{}", out.row("Record-Route"));
    let peer = inside("[2001:db8:1::9]:5060");
    assert_eq!(b.one(peer, &out.answered(180, "")).peer(), flow.peer());
}

#[test]
fn an_oversized_datagram_stays_on_udp_and_is_counted() {
    // X02
    let mut b = Bench::new();
    b.one(udp(PHONE), &request("MESSAGE", "m", &format!("X-Long: {}\r\n", "x".repeat(1_200))));
    assert_eq!(b.shared.stats.oversized_datagrams.read(), 1);
}

#[test]
fn a_sips_request_goes_over_tls_or_not_at_all() {
    // F13
    let mut rows = rows();
    let mut secure = (*rows.instances[0]).clone();
    let phone = |transport| match tcp(PHONE, 8) {
        Flow::Stream { listener, conn, local, peer, .. } => Flow::Stream { listener, conn, transport, local, peer },
        Flow::Udp { .. } => unreachable!(),
    };
    let sips = request("INVITE", "i", "").replace("INVITE sip:", "INVITE sips:").replace("/UDP", "/TLS");
    let mut b = Bench::new();
    let refused = b.one(phone(Transport::Tls), &sips);
    assert_eq!(refused.start(), "SIP/2.0 480 SIPS Not Allowed");
    assert!(refused.row("Warning").starts_with("380 nantucket \"sips-not-allowed: "), "{}", refused.text);

    secure.backends[0].transport = Transport::Tls;
    rows.instances[0] = std::sync::Arc::new(secure);
    let mut b = Bench::with(&rows, config());
    let sent = b.send(phone(Transport::Tls), &sips);
    assert!(sent[0].start().starts_with("INVITE sips:"), "{}", sent[0].text);
    // A sip URI is not turned into one.
    let sent = b.send(phone(Transport::Tls), &request("INVITE", "j", "").replace("/UDP", "/TLS"));
    assert!(sent[0].start().starts_with("INVITE sip:"), "{}", sent[0].text);
}
