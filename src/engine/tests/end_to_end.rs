//! A registration, a call out and a call in, from the first byte to the last timer.

use crate::engine::contract::Dest;
use crate::engine::testing::*;
use crate::ids::{InstanceId, Transport};

#[test]
fn a_registration_is_passed_on_and_learned() {
    // P01 P02 P14 R70
    let mut b = Bench::new();
    let register = b.one(udp(PHONE), &request("REGISTER", "r1", "Supported: outbound\r\nUser-Agent: X\r\n"));
    let address = PBX.parse().unwrap();
    assert_eq!(register.to, Dest::Backend { instance: InstanceId(1), address, transport: Transport::Udp });
    assert_eq!(register.start(), "REGISTER sip:acme SIP/2.0");
    assert!(register.row("Path").ends_with("@198.51.100.1:5070;lr;ob>"));
    assert_eq!(register.row("Supported"), "outbound, path");
    let ok = b.one(inside(PBX), &register.answered(200, "Contact: <sip:bob@10.0.0.5:5060>;expires=60\r\n"));
    assert_eq!((ok.start(), ok.peer()), ("SIP/2.0 200 Because", PHONE.parse().unwrap()));
    assert_eq!(ok.rows("Via"), ["SIP/2.0/UDP 10.0.0.5:5060;rport=40000;branch=z9hG4bKr1;received=203.0.113.9"]);
    let [binding] = &b.shared.bindings(InstanceId(1))[..] else { panic!() };
    assert_eq!((&*binding.account, &*binding.contact), ("bob", "sip:bob@10.0.0.5:5060"));
    assert_eq!((binding.flow, binding.expires), (Some(udp(PHONE)), EPOCH + 60));
    assert_eq!(b.snapshot.by_id(InstanceId(1)).unwrap().stats.bindings.read(), 1);
    assert!(b.pass(61_000).is_empty());
    assert!(b.shared.bindings(InstanceId(1)).is_empty());
    assert_eq!(b.engine.counts(), (0, 0, 0));
}

#[test]
fn a_call_out_lives_by_its_tokens() {
    // C04 F09 R75
    let mut b = Bench::new();
    let sent = b.send(udp(PHONE), &request("INVITE", "i1", ""));
    let [invite, trying] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(trying.start(), "SIP/2.0 100 Trying");
    let ok = b.one(inside(PBX), &invite.answered(200, "Contact: <sip:eve@198.51.0.1>\r\n"));
    let [call] = &b.shared.calls(InstanceId(1))[..] else { panic!() };
    assert_eq!((&*call.from, &*call.to, call.from_instance), ("bob", "eve", false));

    let routes = ok.rows("Record-Route");
    let in_dialog = |method: &str, branch: &str| {
        let target = ok.row("Contact").trim_matches(['<', '>']);
        request(method, branch, &format!("Route: {}\r\nRoute: {}\r\n", routes[1], routes[0]))
            .replace("sip:eve@acme SIP/2.0", &format!("{target} SIP/2.0"))
            .replace("To: <sip:eve@acme>", "To: <sip:eve@acme>;tag=pbx")
            .replace(&format!("call-{branch}"), "call-i1")
    };
    let ack = b.one(udp(PHONE), &in_dialog("ACK", "a1"));
    assert_eq!((ack.start(), ack.peer()), ("ACK sip:eve@198.51.0.1 SIP/2.0", PBX.parse().unwrap()));
    assert!(ack.rows("Route").is_empty());
    assert_eq!(b.one(udp(PHONE), &in_dialog("ACK", "a1")).text, ack.text);

    let bye = b.one(udp(PHONE), &in_dialog("BYE", "b1"));
    assert_eq!(bye.start(), "BYE sip:eve@198.51.0.1 SIP/2.0");
    assert_eq!(b.one(inside(PBX), &bye.answered(200, "")).start(), "SIP/2.0 200 Because");
    assert!(b.shared.calls(InstanceId(1)).is_empty());
    assert!(b.pass(70_000).is_empty());
    assert_eq!(b.engine.counts(), (0, 0, 0));
}

#[test]
fn a_call_in_goes_over_the_flow_of_its_token() {
    // P05 X09 R8
    let mut b = Bench::new();
    let register = b.one(tcp(PHONE, 3), &request("REGISTER", "r1", ""));
    let path = register.row("Path").to_owned();
    b.send(inside(PBX), &register.answered(200, "Contact: <sip:bob@10.0.0.5:5060>;expires=60\r\n"));
    let invite = format!(
        "INVITE sip:bob@10.0.0.5:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bKp1\r\nRoute: {path}\r\n\
         From: <sip:eve@acme>;tag=e\r\nTo: <sip:bob@acme>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:eve@{PBX}>\r\nContent-Length: 0\r\n\r\n"
    );
    let sent = b.send(inside(PBX), &invite);
    let [out, trying] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(trying.peer(), PBX.parse().unwrap());
    assert!(matches!(out.to, Dest::Flow(flow) if flow.transport() == Transport::Tcp), "{:?}", out.to);
    assert!(!out.text.contains("198.51."), "an inside address is told: {}", out.text);
    let ringing = b.one(tcp(PHONE, 3), &out.answered(180, ""));
    assert_eq!(ringing.rows("Via"), [format!("SIP/2.0/UDP {PBX};branch=z9hG4bKp1")]);
    let ok = b.one(tcp(PHONE, 3), &out.answered(200, "Contact: <sip:bob@10.0.0.5:5060>\r\n"));
    assert_eq!(ok.row("Contact"), "<sip:bob@10.0.0.5:5060>");
    assert!(b.shared.calls(InstanceId(1))[0].from_instance);
}
