//! R75, P06, L02: requests inside a dialog follow their token, whatever became of table and process.

use crate::engine::contract::{Dest, SendError};
use crate::engine::testing::*;
use crate::ids::InstanceId;
use crate::model::State;
use crate::route::testing::{compiled, instance, proxy, table};

fn call(b: &mut Bench) -> Sent {
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let ok = b.one(inside(PBX), &invite.answered(200, "Contact: <sip:eve@198.51.0.1:5060>\r\n"));
    b.one(udp(PHONE), &in_dialog("ACK", "a", "i", &ok));
    ok
}

#[test]
fn they_reach_the_target_they_were_set_up_with() {
    // R75
    let mut b = Bench::new();
    let ok = call(&mut b);
    let mut acme = instance(1, "acme");
    acme.backends[0].address = "198.51.0.77:5060".into();
    b.snapshot = compiled(&table([acme], [proxy(1, "edge")]));
    for method in ["INVITE", "UPDATE", "REFER", "BYE"] {
        let sent = b.send(udp(PHONE), &in_dialog(method, method, "i", &ok));
        assert_eq!((sent[0].method(), sent[0].peer()), (method, PBX.parse().unwrap()));
    }
    let fresh = b.invite(udp(PHONE), &request("INVITE", "j", ""));
    assert_eq!(fresh.peer(), "198.51.0.77:5060".parse().unwrap());
}

#[test]
fn they_survive_a_restart() {
    // R75 P04
    let mut b = Bench::new();
    let ok = call(&mut b);
    let path = b.register(udp(PHONE));
    let mut again = Bench::with(&rows(), crate::engine::config::Config { seed: 99, boot: 5, ..config() });
    let bye = again.one(udp(PHONE), &in_dialog("BYE", "b", "i", &ok));
    assert_eq!((bye.start(), bye.peer()), ("BYE sip:eve@198.51.0.1:5060 SIP/2.0", PBX.parse().unwrap()));
    let out = again.invite(inside(PBX), &from_pbx("INVITE", "p", &path));
    assert!(matches!(out.to, Dest::Flow(flow) if flow.peer() == PHONE.parse().unwrap()));
}

#[test]
fn the_pbx_finds_the_phone_by_the_record_route() {
    // P06 R75
    let mut b = Bench::new();
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    b.one(inside(PBX), &invite.answered(200, "Contact: <sip:eve@198.51.0.1>\r\n"));
    let routes = invite.rows("Record-Route");
    let bye = from_pbx("BYE", "b", &routes.join(", "))
        .replace("To: <sip:bob@acme>", "To: <sip:bob@acme>;tag=f1")
        .replace("tag=e", "tag=pbx")
        .replace("call-b", "call-i");
    // A backend that left the table is still the one of its call.
    let mut acme = instance(1, "acme");
    acme.backends[0].address = "198.51.0.77:5060".into();
    b.snapshot = compiled(&table([acme], [proxy(1, "edge")]));
    let out = b.one(inside(PBX), &bye);
    assert!(matches!(out.to, Dest::Flow(flow) if flow.peer() == PHONE.parse().unwrap()));
    assert_eq!(b.shared.calls(InstanceId(1)).len(), 1);
    b.one(udp(PHONE), &out.answered(200, ""));
    assert!(b.shared.calls(InstanceId(1)).is_empty());
}

#[test]
fn a_bye_that_is_challenged_leaves_the_call_and_one_that_fails_ends_it() {
    let mut b = Bench::new();
    let ok = call(&mut b);
    let bye = b.one(udp(PHONE), &in_dialog("BYE", "b", "i", &ok));
    b.one(inside(PBX), &bye.answered(407, ""));
    assert_eq!(b.shared.calls(InstanceId(1)).len(), 1);
    let bye = b.one(udp(PHONE), &in_dialog("BYE", "c", "i", &ok));
    b.one(inside(PBX), &bye.answered(481, ""));
    assert!(b.shared.calls(InstanceId(1)).is_empty());
}

#[test]
fn an_instance_that_is_off_has_no_dialogs() {
    // R34
    let mut b = Bench::new();
    let ok = call(&mut b);
    b.register(udp(PHONE));
    let mut acme = instance(1, "acme");
    acme.state = State::Stopping;
    b.snapshot = compiled(&table([acme], [proxy(1, "edge")]));
    b.snapshot.revision = 2;
    assert_eq!(b.one(udp(PHONE), &in_dialog("INVITE", "x", "i", &ok)).status(), 480);
    b.pass(1_000);
    assert!(b.shared.calls(InstanceId(1)).is_empty() && b.shared.bindings(InstanceId(1)).is_empty());
}

#[test]
fn a_token_of_one_instance_does_not_open_another() {
    // R10, 3.3-8
    let mut b = Bench::new();
    let ok = call(&mut b);
    let text = in_dialog("INVITE", "x", "i", &ok);
    let target = text.split(' ').nth(1).unwrap().to_owned();
    let refused = b.one(udp(PHONE), &text.replacen(&target, "sip:joe@globex", 1));
    assert_eq!(refused.status(), 403);
    assert!(refused.row("Warning").contains("instance-mismatch"));
}

#[test]
fn a_backend_that_is_gone_is_503_and_no_other_is_asked() {
    // R75
    let mut b = Bench::new();
    let ok = call(&mut b);
    let bye = b.one(udp(PHONE), &in_dialog("BYE", "b", "i", &ok));
    let sent = b.fail(&bye, SendError::Connect);
    assert_eq!((sent.len(), sent[0].status()), (1, 503));
}

#[test]
fn a_request_that_comes_round_unchanged_is_a_loop() {
    // L02
    let mut b = Bench::new();
    let out = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    // The PBX sends it back to us from outside, Request-URI and all.
    let back = out
        .text
        .split("\r\n")
        .filter(|row| !row.starts_with("Record-Route"))
        .collect::<Vec<_>>()
        .join("\r\n")
        .replacen("Via:", "Via: SIP/2.0/UDP 203.0.113.5;branch=z9hG4bKround\r\nVia:", 1);
    let refused = b.one(udp("203.0.113.5:5060"), &back);
    assert_eq!(refused.status(), 482);
}
