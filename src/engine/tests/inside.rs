//! P04, P05, R8: requests from an instance.

use crate::engine::contract::{Dest, Input, SendError};
use crate::engine::testing::*;
use crate::ids::InstanceId;
use crate::model::Profile;
use crate::route::testing::{instance, proxy, table};

#[test]
fn it_goes_over_the_flow_of_the_path_and_no_other() {
    // P05 X09
    for flow in [udp(PHONE), tcp(PHONE, 5)] {
        let mut b = Bench::new();
        let path = b.register(flow);
        let out = b.invite(inside(PBX), &from_pbx("INVITE", "p", &path));
        let Dest::Flow(used) = out.to else { panic!("{out:?}") };
        assert_eq!((used.listener(), used.transport()), (flow.listener(), flow.transport()));
        match (used, flow) {
            (crate::ids::Flow::Stream { conn, .. }, crate::ids::Flow::Stream { conn: other, .. }) => {
                assert_eq!(conn, other);
            }
            _ => assert_eq!(used.peer(), flow.peer()),
        }
        assert_eq!(out.start(), "INVITE sip:bob@10.0.0.5:5060 SIP/2.0");
        assert!(out.rows("Route").is_empty());
    }
}

#[test]
fn without_a_token_it_is_refused() {
    // F04
    let mut b = Bench::new();
    for (rows, code) in [
        ("", "no-token"),
        ("Route: <sip:203.0.113.9;lr>\r\n", "no-token"),
        ("Route: <sip:198.51.100.1:5070;lr>\r\n", "no-token"),
    ] {
        let refused = b.one(inside(PBX), &request("INVITE", "x", rows));
        assert_eq!(refused.status(), 403);
        assert!(refused.row("Warning").contains(code), "{refused:?}");
    }
    assert_eq!(b.engine.counts().0, 0);
}

#[test]
fn a_flipped_bit_is_refused() {
    // P04 F03
    let mut b = Bench::new();
    let path = b.register(udp(PHONE));
    let text = from_pbx("INVITE", "p", &path);
    for at in [6, 20, 40] {
        let old = path.as_bytes()[at] as char;
        let new = if old == 'A' { 'B' } else { 'A' };
        let mut forged = path.clone();
        forged.replace_range(at..at + 1, &new.to_string());
        let refused = b.one(inside(PBX), &text.replace(&path, &forged));
        assert_eq!(refused.status(), 403);
        assert!(refused.row("Warning").contains("bad-token"), "{refused:?}");
    }
}

#[test]
fn an_address_that_is_not_the_instances_is_refused() {
    // P05, another instance's PBX with a stolen token
    let mut b = Bench::new();
    let path = b.register(udp(PHONE));
    let refused = b.one(inside("198.51.0.2:5060"), &from_pbx("INVITE", "p", &path));
    assert_eq!(refused.status(), 403);
    assert!(refused.row("Warning").contains("foreign-source"));
    // From another port of its own host it is the instance.
    assert_eq!(b.send(inside("198.51.0.1:33333"), &from_pbx("INVITE", "p", &path)).len(), 2);
}

#[test]
fn a_token_from_inside_is_worth_nothing_outside() {
    // F04, 3.3-8
    let mut b = Bench::new();
    let path = b.register(udp(PHONE));
    let refused = b.one(udp("203.0.113.200:1"), &from_pbx("INVITE", "p", &path));
    assert_eq!(refused.status(), 403);
}

#[test]
fn a_flow_that_is_gone_is_told_as_the_profile_wants_it() {
    // P04 P07
    for (profile, status) in [(Profile::Kamailio, 430), (Profile::AsteriskPjsip, 480), (Profile::AsteriskSip, 480)] {
        let mut acme = instance(1, "acme");
        acme.backends[0].profile = profile;
        let mut b = Bench::with(&table([acme], [proxy(1, "edge")]), config());
        let path = b.register(tcp(PHONE, 5));
        assert_eq!(b.shared.bindings(InstanceId(1)).len(), 1);
        let out = b.invite(inside(PBX), &from_pbx("INVITE", "p", &path));
        assert!(b.fail(&out, SendError::FlowGone).is_empty(), "it may be on its way back");
        assert!(b.shared.bindings(InstanceId(1)).is_empty(), "what was bound to it is void");
        let sent = b.pass(10_000);
        assert_eq!((sent.len(), sent[0].0, sent[0].1.status()), (1, 10_000, status));
        let options = b.one(inside(PBX), &from_pbx("OPTIONS", "o", &path));
        assert_eq!(options.status(), status, "one that is gone for longer is not asked for");
    }
}

#[test]
fn a_connection_that_ends_fails_what_was_sent_over_it_when_nobody_comes_back() {
    // X06 P04 P07
    let mut b = Bench::new();
    let path = b.register(tcp(PHONE, 5));
    b.pass(5_000);
    let out = b.invite(inside(PBX), &from_pbx("INVITE", "p", &path));
    b.one(inside(PBX), &from_pbx("OPTIONS", "o", &path));
    b.one(tcp(PHONE, 5), &out.answered(180, ""));
    assert!(b.input(Input::FlowClosed { flow: tcp(PHONE, 5) }).is_empty());
    assert_eq!(b.stats(1).waiting.read(), 2);
    assert!(b.pass(9_999).iter().all(|(_, sent)| sent.status() == 100), "RFC 4320");
    let sent = b.pass(1);
    assert_eq!(sent.iter().map(|(_, sent)| sent.status()).collect::<Vec<_>>(), [430, 430]);
    assert_eq!((b.stats(1).waiting.read(), b.shared.stats.waited_in_vain.read()), (0, 2));
    assert_eq!(b.engine.counts().1, 0);
    b.pass(32_000);
    assert_eq!(b.engine.counts(), (0, 0, 0));
}

#[test]
fn a_connection_that_ends_leaves_an_accepted_call_alone() {
    // T07 X05
    let mut b = Bench::new();
    let text = request("INVITE", "i", "").replace("UDP 10.0.0.5:5060", "TCP 10.0.0.5:5060");
    let invite = b.invite(tcp(PHONE, 5), &text);
    let ok = b.one(inside(PBX), &invite.answered(200, ""));
    b.input(Input::FlowClosed { flow: tcp(PHONE, 5) });
    let again = b.one(inside(PBX), &invite.answered(200, ""));
    assert_eq!(again, ok, "the repetition goes out, over a new connection if need be");
    assert!(matches!(again.to, Dest::Reply { fallback: Some(_), .. }));
}

#[test]
fn an_options_to_ourselves_is_answered() {
    let mut b = Bench::new();
    let text = request("OPTIONS", "o", "").replace("sip:eve@acme SIP", "sip:198.51.100.1:5070 SIP");
    assert_eq!(b.one(inside(PBX), &text).status(), 200);
    let other = request("OPTIONS", "o", "").replace("sip:eve@acme SIP", "sip:bob@198.51.100.1:5070 SIP");
    assert_eq!(b.one(inside(PBX), &other).status(), 403);
}

#[test]
fn nothing_of_the_inside_is_told() {
    // R8
    let mut b = Bench::new();
    let path = b.register(udp(PHONE));
    let text = from_pbx("INVITE", "p", &path).replace(
        "From:",
        "Via: SIP/2.0/UDP 10.20.30.40;branch=z9hG4bKdeep\r\nRecord-Route: <sip:10.20.30.40;lr>\r\nFrom:",
    );
    let out = b.invite(inside(PBX), &text);
    for private in ["198.51.", "10.20.30.40"] {
        assert!(!out.text.contains(private), "{private} in {}", out.text);
    }
    let ok = b.one(udp(PHONE), &out.answered(200, "Contact: <sip:bob@10.0.0.5>\r\n"));
    assert_eq!(
        ok.rows("Via"),
        ["SIP/2.0/UDP 198.51.0.1:5060;branch=z9hG4bKp", "SIP/2.0/UDP 10.20.30.40;branch=z9hG4bKdeep"]
    );
}
