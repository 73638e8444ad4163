//! T01 to T18: transactions and the response context.

use crate::engine::contract::{Dest, Input};
use crate::engine::testing::*;
use crate::ids::{ListenerId, Shard};
use crate::reason::Drop;

#[test]
fn an_invite_gets_100_at_once_and_none_is_passed_on() {
    // T01
    let mut b = Bench::new();
    let sent = b.send(udp(PHONE), &request("INVITE", "i", ""));
    assert_eq!((sent[1].status(), sent[1].rows("To")), (100, vec!["<sip:eve@acme>"]));
    b.none(inside(PBX), &sent[0].answered(100, ""));
    assert_eq!(b.one(inside(PBX), &sent[0].answered(180, "")).status(), 180);
}

#[test]
fn a_non_invite_gets_its_100_after_3500_ms_and_no_other_provisional() {
    // T02
    for flow in [udp(PHONE), tcp(PHONE, 1)] {
        let mut b = Bench::new();
        let options = b.one(flow, &request("OPTIONS", "o", ""));
        let early: Vec<u64> = b.pass(3_499).iter().filter(|(_, s)| s.status() == 100).map(|(at, _)| *at).collect();
        assert!(early.is_empty());
        b.none(inside(PBX), &options.answered(183, ""));
        assert_eq!(b.dropped(Drop::Provisional), 1);
        let trying = b.pass(1);
        assert!(trying.iter().any(|(_, s)| s.status() == 100), "{trying:?}");
        assert_eq!(b.one(inside(PBX), &options.answered(200, "")).status(), 200);
    }
}

#[test]
fn a_non_invite_that_times_out_is_not_answered_and_a_late_answer_not_passed() {
    // T03
    let mut b = Bench::new();
    let options = b.one(udp(PHONE), &request("OPTIONS", "o", ""));
    let sent = b.pass(32_000);
    assert!(sent.iter().all(|(_, s)| s.status() == 100 || s.method() == "OPTIONS"), "{sent:?}");
    assert_eq!(b.engine.counts(), (0, 0, 0));
    b.none(inside(PBX), &options.answered(200, ""));
    assert_eq!(b.dropped(Drop::UnmatchedResponse), 1);
    // A 408 of the PBX goes no further either.
    let options = b.one(udp(PHONE), &request("OPTIONS", "p", ""));
    b.none(inside(PBX), &options.answered(408, ""));
}

#[test]
fn an_invite_that_times_out_is_answered_408() {
    // T13 T15
    let mut b = Bench::new();
    b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let before = b.pass(31_999);
    assert!(before.iter().all(|(_, s)| s.method() == "INVITE"));
    let at: Vec<u64> = before.iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [500, 1_500, 3_500, 7_500, 15_500, 31_500], "Timer A");
    let after = b.pass(1);
    assert_eq!(after[0].1.status(), 408);
    assert!(after[0].1.row("Warning").contains("timeout: "));
}

#[test]
fn timer_e_and_k_over_udp() {
    // T15
    let mut b = Bench::new();
    let options = b.one(udp(PHONE), &request("OPTIONS", "o", ""));
    let at: Vec<u64> = b.pass(20_000).iter().filter(|(_, s)| s.method() == "OPTIONS").map(|(at, _)| *at).collect();
    assert_eq!(at, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500]);
    b.one(inside(PBX), &options.answered(200, ""));
    b.pass(4_999);
    assert_eq!(b.engine.counts().1, 1, "K runs for T4");
    b.pass(1);
    assert_eq!((b.engine.counts().0, b.engine.counts().1), (1, 0), "J runs for 64·T1");
    b.pass(27_000);
    assert_eq!(b.engine.counts(), (0, 0, 0));
}

#[test]
fn a_response_must_carry_our_via_on_top_and_another_below() {
    // T04, bcast
    let mut b = Bench::new();
    let options = b.one(udp(PHONE), &request("OPTIONS", "o", ""));
    let ok = options.answered(200, "");
    let ours = format!("Via: {}\r\n", options.rows("Via")[0]);
    let theirs = format!("Via: {}\r\n", options.rows("Via")[1]);
    b.none(inside(PBX), &ok.replace(&ours, ""));
    assert_eq!(b.dropped(Drop::ForeignVia), 1);
    b.none(inside(PBX), &ok.replace(&ours, &ours.replace("198.51.100.1:40000", "198.51.100.1:40001")));
    assert_eq!(b.dropped(Drop::ForeignVia), 2, "the branch is ours, the sent-by is not");
    b.none(inside(PBX), &ok.replace(&theirs, ""));
    assert_eq!(b.dropped(Drop::ViaMismatch), 1);
    b.none(inside(PBX), &ok.replace(&theirs, "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKx\r\n"));
    assert_eq!(b.dropped(Drop::MalformedResponse), 1);
    b.none(udp(PHONE), &ok);
    assert_eq!(b.dropped(Drop::ResponseSource), 1, "a client does not answer for the PBX");
    assert_eq!(b.one(inside(PBX), &ok).status(), 200, "none of it did harm");
}

#[test]
fn a_response_without_a_transaction_is_not_passed() {
    // T05
    let mut b = Bench::new();
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let ok = invite.answered(200, "");
    for wrong in ["t00000100", "t000000ff"] {
        let branch = invite.branch();
        let forged = format!("{}{wrong}{}", &branch[..11], &branch[11 + wrong.len()..]);
        b.none(inside(PBX), &ok.replace(branch, &forged));
    }
    b.none(inside(PBX), &ok.replace("1 INVITE", "1 OPTIONS"));
    assert_eq!(b.dropped(Drop::UnmatchedResponse), 3);
    assert_eq!(b.one(inside(PBX), &ok).status(), 200);
    b.pass(32_000);
    b.none(inside(PBX), &ok);
    assert_eq!(b.dropped(Drop::UnmatchedResponse), 4, "after Timer M");
}

#[test]
fn every_provisional_and_every_2xx_passes_at_once() {
    // T06 T07
    let mut b = Bench::new();
    let text = request("INVITE", "i", "");
    let invite = b.invite(udp(PHONE), &text);
    for status in [180, 183, 180, 200, 200] {
        assert_eq!(b.one(inside(PBX), &invite.answered(status, "")).status(), status);
    }
    let fork = invite.answered(200, "").replace("tag=pbx", "tag=other");
    assert!(b.one(inside(PBX), &fork).row("To").ends_with("tag=other"));
    b.none(udp(PHONE), &text);
    b.pass(31_999);
    assert_eq!(b.one(inside(PBX), &invite.answered(200, "")).status(), 200);
    b.pass(1);
    b.none(inside(PBX), &invite.answered(200, ""));
    assert_eq!(b.engine.counts(), (0, 0, 0));
}

#[test]
fn a_failure_is_acked_hop_by_hop() {
    // T08 T11
    let mut b = Bench::new();
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let busy = invite.answered(486, "");
    let sent = b.send(inside(PBX), &busy);
    let [ack, passed] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((ack.method(), ack.to, ack.branch()), ("ACK", invite.to, invite.branch()));
    assert_eq!((ack.rows("Via").len(), ack.row("To")), (1, "<sip:eve@acme>;tag=pbx"));
    assert_eq!((passed.status(), passed.row("To")), (486, "<sip:eve@acme>;tag=pbx"));
    assert_eq!(b.one(inside(PBX), &busy).method(), "ACK", "the repetition is acked and not passed");
}

#[test]
fn the_last_answer_is_repeated_and_the_backend_asked_once() {
    // T17 C05
    let mut b = Bench::new();
    let text = request("INVITE", "i", "");
    let invite = b.invite(udp(PHONE), &text);
    assert_eq!(b.one(udp(PHONE), &text).status(), 100);
    b.one(inside(PBX), &invite.answered(180, ""));
    assert_eq!(b.one(udp(PHONE), &text).status(), 180);
    let busy = b.send(inside(PBX), &invite.answered(486, "")).remove(1);
    assert_eq!(b.one(udp(PHONE), &text).text, busy.text);
    let at: Vec<u64> = b.pass(8_000).iter().map(|(at, s)| (assert_eq!(s.text, busy.text), *at).1).collect();
    assert_eq!(at, [500, 1_500, 3_500, 7_500], "Timer G");
    b.none(udp(PHONE), &ack("i", &busy));
    assert!(b.pass(4_999).is_empty());
    b.none(udp(PHONE), &text);
    b.none(udp(PHONE), &ack("i", &busy));
    b.pass(30_000);
    assert_eq!(b.engine.counts(), (0, 0, 0));
    let options = request("OPTIONS", "o", "");
    let out = b.one(udp(PHONE), &options);
    b.none(udp(PHONE), &options);
    let ok = b.one(inside(PBX), &out.answered(200, ""));
    assert_eq!(b.one(udp(PHONE), &options), ok);
}

#[test]
fn an_acked_failure_lingers_for_timer_i() {
    // T15 C05
    let mut b = Bench::new();
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let busy = b.send(inside(PBX), &invite.answered(486, "")).remove(1);
    b.none(udp(PHONE), &ack("i", &busy));
    b.pass(4_999);
    assert_eq!(b.engine.counts().0, 1);
    b.pass(1);
    assert_eq!(b.engine.counts().0, 0);
}

#[test]
fn a_failure_without_its_ack_ends_with_timer_h() {
    // T15
    let mut b = Bench::new();
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    b.send(inside(PBX), &invite.answered(486, ""));
    b.pass(31_999);
    assert_eq!(b.engine.counts().0, 1);
    b.pass(1);
    assert_eq!(b.engine.counts(), (0, 0, 0));
}

#[test]
fn all_challenges_pass_in_their_order() {
    // T10
    let mut b = Bench::new();
    let register = b.one(udp(PHONE), &request("REGISTER", "r", ""));
    let rows = "WWW-Authenticate: Digest realm=\"a\", algorithm=SHA-256, nonce=\"1\"\r\n\
                WWW-Authenticate: Digest realm=\"a\", algorithm=MD5, nonce=\"2\"\r\n";
    let answer = b.one(inside(PBX), &register.answered(401, rows));
    assert!(answer.text.contains(rows), "{}", answer.text);
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let rows = rows.replace("WWW", "Proxy");
    let sent = b.send(inside(PBX), &invite.answered(407, &rows));
    assert!(sent[1].text.contains(&rows), "{}", sent[1].text);
}

#[test]
fn ringing_for_ten_minutes_survives_and_silence_is_cancelled() {
    // T12
    let mut b = Bench::new();
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    b.one(inside(PBX), &invite.answered(180, ""));
    for _ in 0..10 {
        assert!(b.pass(60_000).is_empty());
        b.one(inside(PBX), &invite.answered(180, ""));
    }
    assert!(b.pass(180_000).is_empty(), "Timer C is more than three minutes");
    let sent = b.pass(5_000);
    let [(_, cancel)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((cancel.method(), cancel.branch()), ("CANCEL", invite.branch()));
    let terminated = b.send(inside(PBX), &invite.answered(487, ""));
    assert_eq!(terminated.iter().map(|s| s.status()).collect::<Vec<_>>(), [0, 487]);
}

#[test]
fn timer_c_without_any_answer_to_the_cancel_is_408() {
    // T12
    let mut b = Bench::new();
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    b.one(inside(PBX), &invite.answered(180, ""));
    let cancels = b.pass(185_000 + 31_999);
    assert!(cancels.iter().all(|(_, s)| s.method() == "CANCEL") && cancels.len() > 5, "{cancels:?}");
    assert_eq!(b.pass(1)[0].1.status(), 408);
    b.pass(32_000);
    assert_eq!(b.engine.counts(), (0, 0, 0));
}

#[test]
fn a_redirection_is_passed_and_not_followed() {
    // T18
    let mut b = Bench::new();
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let sent = b.send(inside(PBX), &invite.answered(302, "Contact: <sip:eve@elsewhere.example>\r\n"));
    assert_eq!(sent.iter().map(|s| (s.status(), s.method())).collect::<Vec<_>>(), [(0, "ACK"), (302, "SIP/2.0")]);
}

#[test]
fn a_response_for_another_shard_is_handed_over_once() {
    // F16
    let mut b = Bench::new();
    let options = b.one(udp(PHONE), &request("OPTIONS", "o", ""));
    let ok = options.answered(200, "").replace("Nt00t", "Nt05t");
    b.none(inside(PBX), &ok);
    assert_eq!(b.handed, [(Shard(5), ok.clone())]);
    let sent = b.input(Input::HandedOver { flow: inside(PBX), bytes: ok.as_bytes() });
    assert!(sent.is_empty() && b.handed.len() == 1);
    assert_eq!(b.dropped(Drop::WrongShard), 1);
    let ours = options.answered(200, "");
    let sent = b.input(Input::HandedOver { flow: inside(PBX), bytes: ours.as_bytes() });
    assert_eq!(sent[0].status(), 200);
}

#[test]
fn nobody_but_the_client_answers_for_it() {
    // T05 P05
    let mut b = Bench::new();
    let path = b.register(udp(PHONE));
    let out = b.invite(inside(PBX), &from_pbx("INVITE", "p", &path));
    assert!(matches!(out.to, Dest::Flow(flow) if flow.peer() == PHONE.parse().unwrap()));
    b.none(udp("203.0.113.200:40000"), &out.answered(200, ""));
    b.none(inside(PBX), &out.answered(200, ""));
    assert_eq!(b.dropped(Drop::ResponseSource), 2);
    assert_eq!(b.one(udp(PHONE), &out.answered(200, "")).status(), 200);
    assert_ne!(ListenerId::INSIDE_V4, udp(PHONE).listener());
}

#[test]
fn a_request_of_rfc_2543_is_matched_and_served() {
    // T16, inv2543, badbranch
    for branch in ["", ";branch=z9hG4bK", ";branch=1"] {
        let mut b = Bench::new();
        let text = request("INVITE", "i", "").replace(";branch=z9hG4bKi", branch);
        let invite = b.invite(udp(PHONE), &text);
        assert_eq!(b.one(udp(PHONE), &text).status(), 100);
        let other = text.replace("call-i", "call-j");
        assert_eq!(b.send(udp(PHONE), &other).len(), 2, "another call is another transaction");
        let busy = b.send(inside(PBX), &invite.answered(486, "")).remove(1);
        b.none(udp(PHONE), &ack("i", &busy).replace(";branch=z9hG4bKi", branch));
        let repeats = b.pass(400);
        assert!(repeats.is_empty(), "the ACK was not matched: {repeats:?}");
    }
}

#[test]
fn a_request_that_comes_over_two_paths_goes_on_twice() {
    // V07
    let mut b = Bench::new();
    let first = b.one(udp(PHONE), &request("OPTIONS", "a", ""));
    let again = request("OPTIONS", "a", "").replace("branch=z9hG4bKa", "branch=z9hG4bKb");
    let second = b.one(udp(PHONE), &again);
    assert_eq!((first.method(), second.method()), ("OPTIONS", "OPTIONS"), "merged requests are no error of ours");
    for row in ["Call-ID", "CSeq", "From"] {
        assert_eq!(first.row(row), second.row(row));
    }
    assert_ne!(first.branch(), second.branch());
}
