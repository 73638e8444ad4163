//! C01 to C07: CANCEL and ACK.

use crate::engine::contract::Input;
use crate::engine::testing::*;
use crate::ids::{ConnId, Flow, InstanceId, Shard};
use crate::reason::Drop;

fn cancel(branch: &str) -> String {
    request("CANCEL", branch, "")
}

#[test]
fn a_cancel_is_answered_at_once_and_goes_on_with_the_invites_identity() {
    // C01
    let mut b = Bench::new();
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    b.one(inside(PBX), &invite.answered(180, ""));
    let sent = b.send(udp(PHONE), &cancel("i"));
    let [ok, out] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((ok.status(), ok.row("CSeq")), (200, "1 CANCEL"));
    assert_eq!(out.start(), invite.start().replace("INVITE", "CANCEL"));
    assert_eq!((out.rows("Via"), out.to), (vec![invite.rows("Via")[0]], invite.to));
    for row in ["From", "To", "Call-ID"] {
        assert_eq!(out.row(row), invite.row(row));
    }
    assert_eq!((out.row("CSeq"), out.rows("Route")), ("1 CANCEL", invite.rows("Route")));

    b.none(inside(PBX), &out.answered(200, ""));
    assert!(b.pass(10_000).is_empty(), "an answered CANCEL is not repeated");
    assert_eq!(b.one(udp(PHONE), &cancel("i")), *ok, "once");
    let sent = b.send(inside(PBX), &invite.answered(487, ""));
    assert_eq!((sent[1].status(), sent[1].rows("To").len()), (487, 1));
    b.none(udp(PHONE), &ack("i", &sent[1]));
    b.pass(5_000);
    assert_eq!(b.one(udp(PHONE), &cancel("i")), *ok, "also when the INVITE is over");
    b.pass(32_000);
    assert_eq!((b.engine.counts(), b.stats(1).transactions.read()), ((0, 0, 0), 0));
}

#[test]
fn a_cancel_finds_its_invite_at_another_shard() {
    // C01 C02
    let mut b = Bench::new();
    b.engine.config.shards = 3;
    let invite = b.invite(tcp(PHONE, 1), &request("INVITE", "i", ""));
    b.one(inside(PBX), &invite.answered(180, ""));
    // The phone came back at shard 1; what is known here is cancelled, what is not goes on to the next.
    let Flow::Stream { listener, transport, local, peer, .. } = tcp(PHONE, 2) else { panic!("no stream") };
    let elsewhere = Flow::Stream { listener, conn: ConnId::new(0, Shard(1), 2), transport, local, peer };
    let handed = cancel("i");
    let sent = b.input(Input::HandedOver { flow: elsewhere, bytes: handed.as_bytes() });
    assert_eq!((sent[0].status(), sent[1].method()), (200, "CANCEL"));
    b.shared.registry.streams.watch(ConnId::new(0, Shard(1), 2));
    assert!(b.shared.registry.bind_stream(ConnId::new(0, Shard(1), 2), InstanceId(1)));
    // Shard 0 is the one after the last: it says so.
    let unknown = cancel("x");
    let sent = b.input(Input::HandedOver { flow: elsewhere, bytes: unknown.as_bytes() });
    assert_eq!(sent[0].status(), 481);
    // At the shard of its own connection it begins its round, and nobody is answered yet; but not where nobody is
    // registered over it.
    assert_eq!(b.one(tcp(PHONE, 2), &unknown).status(), 481);
    b.shared.registry.streams.watch(ConnId::new(0, Shard(0), 3));
    assert!(b.shared.registry.bind_stream(ConnId::new(0, Shard(0), 3), InstanceId(1)));
    b.none(tcp(PHONE, 3), &cancel("y"));
    assert_eq!(b.handed.last().map(|(shard, _)| *shard), Some(Shard(1)));
    // Nothing else is taken from another shard.
    let invite = request("INVITE", "j", "");
    assert!(b.input(Input::HandedOver { flow: elsewhere, bytes: invite.as_bytes() }).is_empty());
}

#[test]
fn a_cancel_before_the_first_provisional_waits_for_it() {
    // C01 T14
    let mut b = Bench::new();
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    assert_eq!(b.one(udp(PHONE), &cancel("i")).status(), 200);
    let out = b.one(inside(PBX), &invite.answered(100, ""));
    assert_eq!((out.method(), out.branch()), ("CANCEL", invite.branch()));
    let repeats: Vec<u64> = b.pass(4_000).iter().map(|(at, s)| (assert_eq!(s.method(), "CANCEL"), *at).1).collect();
    assert_eq!(repeats, [500, 1_500, 3_500], "Timer E of the CANCEL");
}

#[test]
fn a_cancelled_call_that_stays_silent_ends_with_487() {
    // C01
    let mut b = Bench::new();
    b.invite(udp(PHONE), &request("INVITE", "i", ""));
    b.one(udp(PHONE), &cancel("i"));
    let last = b.pass(32_000).pop().unwrap().1;
    assert_eq!(last.status(), 487);
}

#[test]
fn a_cancel_for_nothing_gets_481_and_contacts_nobody() {
    // C02 C03
    let mut b = Bench::new();
    let rows = "Require: nothing\r\nProxy-Require: nothing\r\n";
    let refused = b.one(udp(PHONE), &request("CANCEL", "x", rows));
    assert_eq!(refused.status(), 481);
    b.one(udp(PHONE), &request("OPTIONS", "o", ""));
    assert_eq!(b.one(udp(PHONE), &cancel("o")).status(), 481, "only an INVITE can be cancelled");
    assert_eq!(b.engine.counts().0, 1);
}

#[test]
fn a_cancel_that_crosses_the_200_changes_nothing() {
    // C06
    let mut b = Bench::new();
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    b.one(inside(PBX), &invite.answered(180, ""));
    b.send(udp(PHONE), &cancel("i"));
    assert_eq!(b.one(inside(PBX), &invite.answered(200, "")).status(), 200);
    assert_eq!(b.one(udp(PHONE), &cancel("i")).status(), 200);
    b.pass(32_000);
    assert_eq!(b.engine.counts(), (0, 0, 0));
}

#[test]
fn an_ack_for_a_2xx_follows_its_route_and_is_never_counted() {
    // C04 C07
    let mut b = Bench::new();
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let ok = b.one(inside(PBX), &invite.answered(200, "Contact: <sip:eve@198.51.0.1>\r\n"));
    let before = b.engine.counts();
    let text = in_dialog("ACK", "a", "i", &ok);
    let ack = b.one(udp(PHONE), &text);
    assert_eq!((ack.start(), ack.peer()), ("ACK sip:eve@198.51.0.1 SIP/2.0", PBX.parse().unwrap()));
    assert_ne!(ack.branch(), invite.branch());
    assert_eq!(b.one(udp(PHONE), &text), ack, "the same each time");
    assert_ne!(b.one(udp(PHONE), &text.replace("z9hG4bKa", "z9hG4bKb")).branch(), ack.branch());
    assert_eq!((b.engine.counts(), ack.ticket), (before, 0));
    // A response to it would be nobody's.
    b.none(inside(PBX), &ack.answered(200, ""));
    assert_eq!(b.dropped(Drop::UnmatchedResponse), 1);
    // A client that keeps the branch of the INVITE is understood.
    let same = in_dialog("ACK", "i", "i", &ok);
    assert_eq!(b.one(udp(PHONE), &same).method(), "ACK");
}

#[test]
fn an_ack_without_a_token_goes_nowhere() {
    // C04, trap 13
    let mut b = Bench::new();
    b.none(udp(PHONE), &request("ACK", "a", ""));
    assert_eq!(b.dropped(Drop::UnmatchedAck), 1);
    b.none(udp(PHONE), &request("ACK", "a", "Route: <sip:10.9.9.9;lr>\r\n"));
    assert_eq!(b.dropped(Drop::RefusedAck), 1);
    b.none(inside(PBX), &request("ACK", "a", ""));
    assert_eq!(b.dropped(Drop::RefusedAck), 2);
}

#[test]
fn the_ack_for_a_refusal_of_ours_is_absorbed() {
    // C05
    let mut b = Bench::new();
    let refused = b.one(udp(PHONE), &request("INVITE", "i", "").replace("sip:eve@acme SIP", "sip:eve@nobody SIP"));
    assert_eq!(refused.status(), 404);
    b.none(udp(PHONE), &ack("i", &refused).replace("sip:eve@acme SIP", "sip:eve@nobody SIP"));
    assert_eq!((b.dropped(Drop::UnmatchedAck), b.dropped(Drop::RefusedAck)), (0, 0));
}
