//! REGISTERs are given to a PBX as fast as it answers them.

use crate::engine::contract::Input;
use crate::engine::testing::{Bench, PBX, PHONE, Sent, inside, request, udp};
use crate::reason::Refusal;

/// A REGISTER of an account, with credentials or without.
fn register(account: u32, branch: &str, credentials: bool) -> String {
    let rows = if credentials { "Authorization: Digest username=\"x\"\r\n" } else { "" };
    request("REGISTER", branch, rows).replace("bob@acme", &format!("u{account}@acme"))
}

/// As many REGISTERs as go through before one is refused, and the refusal.
fn fill(bench: &mut Bench, from: u32) -> (Vec<Sent>, Sent) {
    let mut forwarded = Vec::new();
    for account in from.. {
        let sent = bench.one(udp(PHONE), &register(account, &format!("r{account}"), true));
        if sent.status() != 0 {
            return (forwarded, sent);
        }
        forwarded.push(sent);
    }
    unreachable!()
}

#[test]
fn what_the_pbx_cannot_take_is_told_when_to_come_back() {
    let mut bench = Bench::new();
    let (forwarded, refused) = fill(&mut bench, 0);
    assert!(forwarded.len() >= 8);
    assert_eq!((refused.status(), refused.row("Warning").contains("registrar-busy")), (503, true));
    let after: u32 = refused.row("Retry-After").parse().unwrap();
    assert!((1..=10).contains(&after));
    assert_eq!(bench.shared.stats.refused(Refusal::RegistrarBusy), 1);
    let stats = bench.stats(1);
    assert_eq!(stats.registers.refused.read(), 1);
    assert_eq!(stats.registers.in_flight.read(), forwarded.len() as u64);
    assert_eq!(stats.transactions.read(), forwarded.len() as u64, "the refused one is not counted");
    // Calls, and the other instance, are not concerned.
    bench.invite(udp(PHONE), &request("INVITE", "call", ""));
    let other = register(9_999, "other", true).replace("acme", "globex");
    assert_eq!(bench.one(udp(PHONE), &other).method(), "REGISTER");
    // Each answer makes room for one.
    let ok = forwarded[0].answered(200, "Contact: <sip:bob@10.0.0.5:5060>;expires=600\r\n");
    bench.one(inside(PBX), &ok);
    assert_eq!(bench.stats(1).registers.in_flight.read(), forwarded.len() as u64 - 1);
    assert_eq!(bench.one(udp(PHONE), &register(8_000, "next", true)).method(), "REGISTER");
}

#[test]
fn a_challenge_and_its_answer_are_both_work() {
    let mut bench = Bench::new();
    let first = bench.one(udp(PHONE), &register(7, "a", false));
    assert_eq!(bench.stats(1).registers.in_flight.read(), 1);
    bench.one(inside(PBX), &first.answered(401, "WWW-Authenticate: Digest realm=\"x\", nonce=\"y\"\r\n"));
    assert_eq!(bench.stats(1).registers.in_flight.read(), 0);
    let (forwarded, _) = fill(&mut bench, 100);
    // The house is full, and the phone that was challenged goes on.
    let second = bench.one(udp(PHONE), &register(7, "b", true));
    assert_eq!(second.method(), "REGISTER");
    assert_eq!(bench.stats(1).registers.in_flight.read(), forwarded.len() as u64 + 1);
    assert_eq!(bench.one(udp(PHONE), &register(8, "c", true)).status(), 503);
}

#[test]
fn a_refresh_goes_before_a_stranger() {
    let mut bench = Bench::new();
    bench.register(udp(PHONE));
    let (_, _) = fill(&mut bench, 100);
    (2_000..5_000).for_each(|n| assert_eq!(bench.one(udp(PHONE), &register(n, &format!("s{n}"), true)).status(), 503));
    let wait = |sent: Sent| sent.row("Retry-After").parse::<u32>().unwrap();
    let bob = request("REGISTER", "again", "Authorization: Digest username=\"bob\"\r\n");
    let refresh = wait(bench.one(udp(PHONE), &bob));
    let stranger = wait(bench.one(udp(PHONE), &register(9_000, "z", true)));
    assert!(refresh <= 2 && stranger > refresh, "{refresh} {stranger}");
}

#[test]
fn silence_and_failures_give_their_room_back() {
    let mut bench = Bench::new();
    let (forwarded, _) = fill(&mut bench, 0);
    let limit = bench.stats(1).registers.limit.read();
    bench.one(inside(PBX), &forwarded[0].answered(500, ""));
    assert_eq!(bench.stats(1).registers.limit.read(), limit / 2);
    let gone = bench.input(Input::Unreachable { peer: PBX.parse().unwrap(), quoted: forwarded[1].text.as_bytes() });
    assert_eq!(gone.last().map(Sent::status), Some(503));
    assert_eq!(bench.stats(1).registers.in_flight.read(), forwarded.len() as u64 - 2);
    bench.pass(40_000);
    assert_eq!(bench.stats(1).registers.in_flight.read(), 0);
    assert!(bench.stats(1).registers.limit.read() < limit / 2);
}
