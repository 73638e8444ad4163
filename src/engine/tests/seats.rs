//! RULES G on the wire: what a REGISTER takes of the licences, when it is refused, and that nothing is left behind.

use crate::engine::contract::{Input, SendError, Verdict};
use crate::engine::registry::{Kept, Outcome};
use crate::engine::testing::*;
use crate::ids::{Flow, InstanceId, Transport};
use crate::licence::ledger::{Change, Counts, Record};
use crate::licence::{Roster, Standing};
use crate::model::{DeviceClass, Kind, Language, Seats, SecondDevice, State, User};
use crate::reason::Refusal;
use crate::route::snapshot::Instance;
use std::sync::Arc;

const AUTH: &str = "Authorization: Digest username=\"x\"\r\n";
const OTHER: &str = "203.0.113.7:5060";

/// A bench where `acme` has so many seats, and everybody is a full user.
fn house(full: u32, light: u32) -> Bench {
    let mut b = Bench::new();
    change(&mut b, |acme| acme.allowance.seats = Seats { full, light });
    b
}

/// As [`house`], with a full user `ann` (accounts 10, 11) and light users `fax` (20) and `door` (30).
fn named(full: u32, light: u32) -> Bench {
    let user = |name: &str, kind, accounts: &[&str]| User {
        name: name.into(),
        kind,
        accounts: accounts.iter().map(|a| (*a).into()).collect(),
        class: DeviceClass::Phone,
    };
    let users =
        [user("ann", Kind::Full, &["10", "11"]), user("fax", Kind::Light, &["20"]), user("door", Kind::Light, &["30"])];
    let mut b = house(full, light);
    change(&mut b, |acme| acme.roster = Some(Arc::new(Roster::new(&users))));
    b
}

fn change(b: &mut Bench, work: impl FnOnce(&mut Instance)) {
    b.snapshot.instances.edit(0, work);
}

/// A REGISTER of an account for these contacts, with credentials.
fn register(account: &str, branch: &str, contacts: &str) -> String {
    request("REGISTER", branch, AUTH)
        .replace("Contact: <sip:bob@10.0.0.5:5060>\r\n", contacts)
        .replace("sip:bob@acme", &format!("sip:{account}@acme"))
}

fn contact(account: &str) -> String {
    format!("Contact: <sip:{account}@10.0.0.5:5060>\r\n")
}

/// The account registers over a flow and the PBX grants ten minutes; the final status and its `Warning`.
fn arrive_over(b: &mut Bench, flow: Flow, account: &str, contacts: &str) -> (u16, String) {
    let branch = format!("{account}-{}", b.shared.stats.shards.sum().requests.read());
    let first = b.one(flow, &register(account, &branch, contacts));
    if first.status() != 0 {
        return (first.status(), first.rows("Warning").concat());
    }
    let granted = contacts.replace(">", ">;expires=600");
    (b.one(inside(PBX), &first.answered(200, &granted)).status(), String::new())
}

fn arrive(b: &mut Bench, account: &str) -> u16 {
    arrive_over(b, udp(PHONE), account, &contact(account)).0
}

/// The account's REGISTER is on its way; what the PBX got.
fn on_the_way(b: &mut Bench, account: &str) -> Sent {
    let out = b.one(udp(PHONE), &register(account, &format!("way-{account}"), &contact(account)));
    assert_eq!(out.method(), "REGISTER");
    out
}

fn counts(b: &Bench) -> Counts {
    b.shared.registry.find(InstanceId(1)).map_or_else(Counts::default, |room| room.with(|live| live.ledger.counts()))
}

fn used(b: &Bench) -> (u32, u32) {
    let counts = counts(b);
    assert_eq!(counts.in_flight, Seats::default());
    let shown = [Kind::Full, Kind::Light].map(|kind| b.stats(1).seats(kind).used.read() as u32);
    assert_eq!(shown, [counts.used.full, counts.used.light]);
    (counts.used.full, counts.used.light)
}

#[test]
fn the_challenge_passes_first_whoever_asks() {
    // R65
    let mut b = named(0, 0);
    for account in ["10", "20", "nobody"] {
        let text = register(account, account, &contact(account)).replace(AUTH, "");
        let out = b.one(udp(PHONE), &text);
        assert_eq!(out.method(), "REGISTER", "{account}");
        let challenge = out.answered(401, "WWW-Authenticate: Digest realm=\"x\", nonce=\"y\"\r\n");
        assert_eq!(b.one(inside(PBX), &challenge).status(), 401);
        assert_eq!(arrive(&mut b, account), 403, "{account}");
    }
    assert_eq!(counts(&b), Counts::default());
}

#[test]
fn seats_are_taken_by_answers_and_the_next_is_told_why() {
    // R66 R69 R20: the number, and one above
    let mut b = house(2, 0);
    assert_eq!((arrive(&mut b, "a"), used(&b)), (200, (1, 0)));
    assert_eq!((arrive(&mut b, "b"), used(&b)), (200, (2, 0)));
    let text = register("c", "third", &contact("c"));
    let refused = b.one(udp(PHONE), &text);
    assert_eq!(refused.start(), "SIP/2.0 403 No Licence Free");
    assert_eq!(refused.row("Warning"), "399 nantucket \"seats-exhausted: every licensed seat is in use\"");
    assert!(refused.rows("Retry-After").is_empty());
    let verdict = Verdict::Refused { why: Refusal::SeatsExhausted, instance: Some(InstanceId(1)) };
    assert_eq!(b.engine.take_verdict(), Some(verdict));
    assert_eq!(b.stats(1).licence_refused.read(Refusal::SeatsExhausted), 1);
    assert_eq!((b.stats(1).refused.read(), b.shared.stats.refused(Refusal::SeatsExhausted)), (1, 1));
    assert_eq!(b.stats(1).transactions.read(), 0, "what is refused leaves no transaction");
    let [first, ..] = &b.shared.registry.decisions(InstanceId(1))[..] else { panic!() };
    assert_eq!((first.account.as_str(), first.outcome), ("c", Outcome::Refused(Refusal::SeatsExhausted)));
    assert_eq!((first.counts.used.full, first.seats.full, first.revision), (2, 2, b.snapshot.revision));
    assert_eq!((first.call_id.as_str(), first.source), ("call-third", PHONE.parse().unwrap()));
    assert_eq!(b.shared.registry.decisions(InstanceId(1)).len(), 3);
    // One below again.
    change(&mut b, |acme| acme.allowance.seats.full = 3);
    assert_eq!((arrive(&mut b, "c"), used(&b)), (200, (3, 0)));
}

#[test]
fn a_refused_password_takes_no_seat() {
    // R66: "a PBX that refuses passwords: no seat is ever taken by it"
    let mut b = house(1, 0);
    for (n, status) in [401, 403, 404, 407, 423, 500, 600].into_iter().enumerate() {
        let out = on_the_way(&mut b, &format!("thief{n}"));
        assert_eq!(counts(&b).in_flight.full, 1);
        b.one(inside(PBX), &out.answered(status, ""));
        assert_eq!(used(&b), (0, 0), "{status}");
    }
    let journal = b.shared.registry.journal.take(usize::MAX);
    assert!(matches!(&journal[..], [entry] if matches!(entry.change, Change::Delete { .. })), "{journal:?}");
    assert_eq!(arrive(&mut b, "a"), 200);
}

#[test]
fn every_other_end_of_the_transaction_gives_the_seat_back() {
    // R66
    type End = fn(&mut Bench, &Sent);
    let ends: [(&str, End); 5] = [
        ("no answer at all", |b, _| drop(b.pass(40_000))),
        ("it could not be sent", |b, out| drop(b.fail(out, SendError::FlowGone))),
        ("the PBX is not there", |b, out| {
            drop(b.input(Input::Unreachable { peer: PBX.parse().unwrap(), quoted: out.text.as_bytes() }));
        }),
        ("the PBX is busy", |b, out| drop(b.send(inside(PBX), &out.answered(503, "")))),
        ("it asks for more time than it has", |b, out| drop(b.send(inside(PBX), &out.answered(408, "")))),
    ];
    for (what, end) in ends {
        let mut b = house(1, 0);
        let out = on_the_way(&mut b, "a");
        let refused = b.one(udp(PHONE), &register("b", "b", &contact("b")));
        assert_eq!(refused.start(), "SIP/2.0 503 Licence Check Busy");
        let after: u32 = refused.row("Retry-After").parse().unwrap();
        assert!((10..=20).contains(&after), "{after}");
        end(&mut b, &out);
        assert_eq!(used(&b), (0, 0), "{what}");
        assert_eq!(arrive(&mut b, "b"), 200, "{what}");
        b.pass(60_000);
        assert_eq!(used(&b), (1, 0), "{what}");
        assert_eq!((b.engine.counts().0, b.stats(1).transactions.read()), (0, 0), "{what}");
    }
}

#[test]
fn what_is_forwarded_first_is_written_down_first() {
    // R66
    let mut b = house(1, 0);
    b.keeps = false;
    let text = register("a", "a", &contact("a"));
    b.none(udp(PHONE), &text);
    assert_eq!(b.saves, 1);
    b.none(udp(PHONE), &text);
    assert_eq!((b.saves, b.shared.stats.retransmissions_in.read()), (1, 1), "a repetition waits with it");
    let sent = b.keep(true);
    assert_eq!(sent.iter().map(Sent::method).collect::<Vec<_>>(), ["REGISTER"]);
    b.one(inside(PBX), &sent[0].answered(200, "Contact: <sip:a@10.0.0.5:5060>;expires=60\r\n"));
    assert_eq!(used(&b), (1, 0));
    assert_eq!(b.input(Input::Claimed { ticket: u64::MAX, saved: true }), []);
}

#[test]
fn a_claim_that_cannot_be_written_down_is_refused_for_a_while_and_refreshes_pass() {
    // R69
    let mut b = house(3, 0);
    assert_eq!(arrive(&mut b, "old"), 200);
    b.keeps = false;
    b.none(udp(PHONE), &register("a", "a", &contact("a")));
    let sent = b.keep(false);
    assert_eq!(sent.iter().map(Sent::start).collect::<Vec<_>>(), ["SIP/2.0 503 Licence Check Busy"]);
    assert!(sent[0].row("Warning").contains("seats-unsaved"));
    assert_eq!(used(&b), (1, 0));
    // The keeper says nothing at all.
    b.none(udp(PHONE), &register("b", "b", &contact("b")));
    assert!(b.pass(3_999).iter().all(|(_, sent)| sent.status() == 100));
    let late = b.pass(1);
    assert_eq!((late.len(), late[0].1.status()), (1, 503));
    assert_eq!(used(&b), (1, 0));
    assert!(b.keep(true).is_empty(), "an answer after that is for nobody");
    // It has said that it cannot.
    b.shared.registry.journal.set_broken(true);
    let refused = b.one(udp(PHONE), &register("c", "c", &contact("c")));
    assert!(refused.row("Warning").contains("seats-unsaved"));
    assert_eq!((arrive(&mut b, "old"), used(&b)), (200, (1, 0)));
}

#[test]
fn a_refresh_asks_nobody() {
    // R67 R22
    let mut b = house(2, 0);
    assert_eq!([arrive(&mut b, "a"), arrive(&mut b, "b")], [200, 200]);
    b.shared.registry.journal.take(usize::MAX);
    b.keeps = false;
    for seats in [1, 0] {
        change(&mut b, |acme| acme.allowance.seats.full = seats);
        assert_eq!([arrive(&mut b, "a"), arrive(&mut b, "b"), arrive(&mut b, "c")], [200, 200, 403]);
        assert_eq!((used(&b), b.saves), ((2, 0), 0), "nobody is evicted, and nothing is written");
    }
    assert_eq!(b.shared.registry.journal.take(usize::MAX), []);
    // A refresh that the PBX refuses does not end what is bound.
    let out = on_the_way(&mut b, "a");
    b.one(inside(PBX), &out.answered(401, ""));
    assert_eq!(used(&b), (2, 0));
}

#[test]
fn queries_and_removals_ask_nobody_and_take_none() {
    // R68 P15
    let mut b = house(1, 0);
    assert_eq!(arrive(&mut b, "a"), 200);
    let ask = |b: &mut Bench, account: &str, branch: &str, contacts: &str| {
        let out = b.one(udp(PHONE), &register(account, branch, contacts));
        assert_eq!(out.method(), "REGISTER", "{branch}");
        out
    };
    let query = ask(&mut b, "b", "query", "");
    b.one(inside(PBX), &query.answered(200, "Contact: <sip:b@10.0.0.9>;expires=60\r\n"));
    assert_eq!(used(&b), (1, 0), "a query takes none, whatever it lists");
    let removal = ask(&mut b, "c", "removal", "Contact: <sip:c@10.0.0.9>;expires=0\r\n");
    b.one(inside(PBX), &removal.answered(200, ""));
    let star = ask(&mut b, "a", "star", "Contact: *\r\nExpires: 0\r\n");
    assert_eq!(used(&b), (1, 0), "only the answer frees it");
    b.one(inside(PBX), &star.answered(403, ""));
    assert_eq!(used(&b), (1, 0));
    let star = ask(&mut b, "a", "star2", "Contact: *\r\nExpires: 0\r\n");
    b.one(inside(PBX), &star.answered(200, ""));
    assert_eq!(used(&b), (0, 0));
    let mail = ask(&mut b, "a", "mail", "Contact: <mailto:a@example.com>\r\n");
    b.one(inside(PBX), &mail.answered(200, "Contact: <mailto:a@example.com>;expires=60\r\n"));
    assert_eq!(used(&b), (0, 0), "contacts that are no SIP ones take none");
}

#[test]
fn a_seat_ends_with_what_was_granted() {
    // R68: the value of the answer, per contact
    let mut b = house(1, 0);
    let two = "Contact: <sip:a@10.0.0.5>, <sip:a@10.0.0.6>\r\n";
    let out = b.one(udp(PHONE), &register("a", "a", two));
    let granted = "Contact: <sip:a@10.0.0.5>;expires=60, <sip:a@10.0.0.6>;expires=90\r\n";
    b.one(inside(PBX), &out.answered(200, granted));
    for (wait, left) in [(60_000, 1), (28_000, 1), (3_000, 0)] {
        b.pass(wait);
        assert_eq!(used(&b).0, left);
    }
    assert_eq!(arrive(&mut b, "b"), 200);
}

#[test]
fn two_phones_of_a_user_take_one_seat_until_the_last_is_gone() {
    // R39 R40 R41
    let mut b = named(1, 0);
    assert_eq!([arrive(&mut b, "10"), arrive(&mut b, "11")], [200, 200]);
    let second = "Contact: <sip:10@10.0.0.6:5060>\r\n";
    assert_eq!((arrive_over(&mut b, udp(OTHER), "10", second).0, used(&b)), (200, (1, 0)));
    for (account, contacts, rest, left) in [
        ("10", "Contact: <sip:10@10.0.0.6:5060>;expires=0\r\n", "Contact: <sip:10@10.0.0.5:5060>;expires=300\r\n", 1),
        ("10", "Contact: <sip:10@10.0.0.5:5060>;expires=0\r\n", "", 1),
        ("11", "Contact: *\r\nExpires: 0\r\n", "", 0),
    ] {
        let out = b
            .one(udp(PHONE), &register(account, &format!("end-{left}-{contacts:?}").replace([' ', '"'], ""), contacts));
        b.one(inside(PBX), &out.answered(200, rest));
        assert_eq!(used(&b).0, left);
    }
}

#[test]
fn a_dead_flow_frees_the_seat() {
    // R68 P07
    let mut b = house(1, 0);
    assert_eq!(arrive_over(&mut b, tcp(PHONE, 1), "a", &contact("a")).0, 200);
    assert_eq!(arrive(&mut b, "b"), 403);
    b.input(Input::FlowClosed { flow: tcp(PHONE, 1) });
    assert!(b.shared.bindings(InstanceId(1)).is_empty(), "not shown any more");
    b.pass(9_000);
    assert_eq!((arrive(&mut b, "b"), used(&b)), (403, (1, 0)), "its device may be on its way back");
    b.pass(2_000);
    assert_eq!((arrive(&mut b, "b"), used(&b)), (200, (1, 0)));
    // The answer came when the connection was gone.
    let mut b = house(1, 0);
    let out = b.one(tcp(PHONE, 1), &register("a", "a", &contact("a")));
    b.input(Input::FlowClosed { flow: tcp(PHONE, 1) });
    b.one(inside(PBX), &out.answered(200, &contact("a")));
    b.pass(11_000);
    assert_eq!(used(&b), (0, 0));
}

#[test]
fn an_instance_that_goes_off_has_no_seats_left() {
    // R34
    let mut b = house(2, 0);
    assert_eq!(arrive(&mut b, "a"), 200);
    let out = on_the_way(&mut b, "b");
    b.shared.registry.journal.take(usize::MAX);
    change(&mut b, |acme| acme.state = State::Off);
    b.snapshot.revision += 1;
    b.pass(1_500);
    assert_eq!(used(&b), (0, 0));
    let entries = b.shared.registry.journal.take(usize::MAX);
    assert_eq!(entries.iter().map(|entry| &entry.change).collect::<Vec<_>>(), [&Change::Clear]);
    b.one(inside(PBX), &out.answered(200, &contact("b")));
    assert_eq!(used(&b), (0, 0), "what it granted before counts no more");
    // Written down while it went off.
    let mut b = house(2, 0);
    b.keeps = false;
    b.none(udp(PHONE), &register("a", "a", &contact("a")));
    change(&mut b, |acme| acme.state = State::Off);
    let sent = b.keep(true);
    assert_eq!((sent.len(), sent[0].status(), used(&b)), (1, 503, (0, 0)));
}

#[test]
fn only_listed_accounts_register_where_there_is_a_list() {
    // R49 R48
    let mut b = named(1, 1);
    let (status, warning) = arrive_over(&mut b, udp(PHONE), "nobody", &contact("nobody"));
    assert_eq!((status, warning.contains("not-licensed-user")), (403, true));
    assert_eq!([arrive(&mut b, "20"), arrive(&mut b, "30")], [200, 403], "a free full seat is no light one");
    assert_eq!([arrive(&mut b, "10"), arrive(&mut b, "11")], [200, 200]);
    assert_eq!(used(&b), (1, 1));
    // Over the limit of both together (R16).
    let mut b = named(3, 3);
    change(&mut b, |acme| acme.allowance.total = 2);
    assert_eq!([arrive(&mut b, "10"), arrive(&mut b, "20"), arrive(&mut b, "30")], [200, 200, 403]);
}

#[test]
fn a_light_user_has_one_device() {
    // R43 P10
    let mut b = named(0, 2);
    let uuid =
        |n: u8, reg: u8| format!("Contact: <sip:20@10.0.0.{n}:5060>;reg-id={reg};+sip.instance=\"<urn:uuid:{n}>\"\r\n");
    assert_eq!(arrive_over(&mut b, udp(PHONE), "20", &uuid(1, 1)).0, 200);
    // The same device from elsewhere, over another transport, and twice at once.
    assert_eq!(arrive_over(&mut b, tcp(OTHER, 1), "20", &uuid(1, 2)).0, 200);
    assert_eq!(arrive_over(&mut b, udp(OTHER), "20", &(uuid(1, 1) + &uuid(1, 2))).0, 200);
    let (status, warning) = arrive_over(&mut b, udp(OTHER), "20", &uuid(2, 1));
    assert_eq!((status, warning.contains("light-second-device")), (403, true));
    assert_eq!(arrive_over(&mut b, udp(OTHER), "20", &(uuid(1, 1) + &uuid(2, 1))).0, 403);
    // Without an instance id: Contact user and User-Agent, whatever port and Call-ID.
    assert_eq!(arrive_over(&mut b, udp(PHONE), "30", &contact("30")).0, 200);
    assert_eq!(arrive_over(&mut b, udp("203.0.113.9:61000"), "30", "Contact: <sip:30@10.0.0.5:61000>\r\n").0, 200);
    assert_eq!(arrive_over(&mut b, udp(PHONE), "30", "Contact: <sip:31@10.0.0.5:5060>\r\n").0, 403);
    let two = "Contact: <sip:30@10.0.0.5>, <sip:30@10.0.0.6>\r\n";
    assert_eq!(arrive_over(&mut b, udp(PHONE), "30", two).0, 403, "each contact is a device");
    let decision = &b.shared.registry.decisions(InstanceId(1))[0];
    assert_eq!((decision.device.as_str(), decision.kind), ("30 ", Some(Kind::Light)));
}

#[test]
fn a_light_users_device_whose_flow_is_gone_is_taken_over() {
    // R43
    let mut b = named(0, 2);
    let other = "Contact: <sip:other@10.0.0.6>\r\n";
    assert_eq!(arrive_over(&mut b, tcp(PHONE, 1), "20", &contact("20")).0, 200);
    assert_eq!(arrive_over(&mut b, udp(OTHER), "20", other).0, 403);
    b.input(Input::FlowClosed { flow: tcp(PHONE, 1) });
    assert_eq!(arrive_over(&mut b, udp(OTHER), "20", other).0, 200);
    // Over UDP: silent past its keep-alive of 30 s, three times missed.
    for _ in 0..3 {
        b.pass(30_000);
        b.input(Input::KeepAlive { flow: udp(OTHER) });
    }
    b.pass(90_000);
    assert_eq!(arrive(&mut b, "20"), 403);
    b.pass(1_000);
    assert_eq!(arrive(&mut b, "20"), 200);
    assert_eq!(arrive_over(&mut b, udp(OTHER), "20", other).0, 403, "the first has lost its place");
    assert_eq!(used(&b), (0, 1));
    // The last one wins, where the instance wants it so.
    change(&mut b, |acme| acme.second_device = SecondDevice::LastWins);
    assert_eq!(arrive_over(&mut b, udp(OTHER), "20", other).0, 200);
    assert_eq!((arrive(&mut b, "20"), used(&b)), (200, (0, 1)));
}

#[test]
fn a_light_user_has_no_soft_client_and_a_full_one_needs_the_right() {
    // R46 R58
    let ws = |serial| match tcp(PHONE, serial) {
        Flow::Stream { listener, conn, local, peer, .. } => {
            Flow::Stream { listener, conn, transport: Transport::Ws, local, peer }
        }
        other => other,
    };
    let mut b = named(2, 2);
    let (status, warning) = arrive_over(&mut b, ws(1), "20", &contact("20"));
    assert_eq!((status, warning.contains("light-softphone")), (403, true));
    assert_eq!(arrive_over(&mut b, ws(2), "10", &contact("10")).0, 200);
    change(&mut b, |acme| acme.allowance.softphones = false);
    let (status, warning) = arrive_over(&mut b, ws(2), "10", &contact("10"));
    assert_eq!((status, warning.contains("softphone-not-licensed")), (403, true), "the right is gone at once");
    assert_eq!(arrive(&mut b, "11"), 200);
}

#[test]
fn without_a_valid_licence_only_physical_phones_refresh() {
    // R58 R63 R60: one second before its end, on it
    let mut b = house(3, 0);
    change(&mut b, |acme| acme.allowance.standing = Standing::Until(EPOCH + 100));
    assert_eq!(arrive(&mut b, "a"), 200);
    let invite = b.invite(udp(PHONE), &request("INVITE", "call", ""));
    let ok = b.one(inside(PBX), &invite.answered(200, &format!("Contact: <sip:eve@{PBX}>\r\n")));
    b.pass(99_000);
    assert_eq!(arrive(&mut b, "b"), 200);
    b.pass(1_000);
    let (status, warning) = arrive_over(&mut b, udp(PHONE), "c", &contact("c"));
    assert_eq!((status, warning.contains("licence-deactivated")), (403, true));
    assert_eq!([arrive(&mut b, "a"), arrive(&mut b, "b")], [200, 200], "who is bound stays");
    let soft = "Contact: <sip:a@10.0.0.5:5060>\r\nUser-Agent: Zoiper v2.10\r\n";
    let (status, warning) = arrive_over(&mut b, udp(PHONE), "a", soft);
    assert_eq!((status, warning.contains("licence-deactivated")), (403, true), "no refresh of a soft client");
    // R71: calls go on and come to be, also to the numbers for emergencies.
    assert_eq!(b.one(udp(PHONE), &in_dialog("INFO", "info", "call", &ok)).method(), "INFO");
    for (n, uri) in ["sip:112@acme", "sip:eve@acme"].into_iter().enumerate() {
        let call = request("INVITE", &format!("sos{n}"), "").replacen("sip:eve@acme", uri, 1);
        assert_eq!(b.invite(udp(PHONE), &call).method(), "INVITE");
    }
    // The clock is set back: that changes nothing (R60).
    b.now.unix -= 1_000;
    assert_eq!(arrive(&mut b, "c"), 403);
    change(&mut b, |acme| acme.allowance.standing = Standing::Unlicensed);
    let (status, warning) = arrive_over(&mut b, udp(PHONE), "a", soft);
    assert_eq!((status, warning.contains("softphone-not-licensed")), (403, true));
    assert_eq!([arrive(&mut b, "a"), arrive(&mut b, "c")], [200, 403]);
}

#[test]
fn a_registrar_without_challenges_is_learned() {
    // R65
    let mut b = house(1, 0);
    let arrive = |b: &mut Bench, account: &str| {
        let text = register(account, &format!("open-{account}"), &contact(account)).replace(AUTH, "");
        let first = b.one(udp(PHONE), &text);
        if first.status() != 0 {
            return first.status();
        }
        b.one(inside(PBX), &first.answered(200, &contact(account).replace('>', ">;expires=600"))).status()
    };
    assert_eq!((arrive(&mut b, "a"), used(&b)), (200, (1, 0)), "what was let through has a seat");
    assert_eq!((arrive(&mut b, "b"), used(&b)), (403, (1, 0)));
    change(&mut b, |acme| acme.allowance.seats.full = 2);
    let out = b.one(udp(PHONE), &register("c", "c", &contact("c")).replace(AUTH, ""));
    assert_eq!(counts(&b).in_flight.full, 1);
    b.one(inside(PBX), &out.answered(401, ""));
    assert_eq!(used(&b), (1, 0));
    let out = b.one(udp(PHONE), &register("d", "d", &contact("d")).replace(AUTH, ""));
    assert_eq!((out.method(), counts(&b).in_flight.full), ("REGISTER", 0), "it challenges: the rules wait for that");
    // At one that was let through past the limit, the seat is taken nevertheless.
    change(&mut b, |acme| acme.allowance.seats.full = 0);
    b.one(inside(PBX), &out.answered(200, &contact("d")));
    assert_eq!(used(&b), (2, 0));
}

#[test]
fn shadow_mode_refuses_nothing_and_counts_all() {
    // R69
    let mut b = named(1, 1);
    change(&mut b, |acme| {
        acme.shadow = true;
        acme.allowance.seats = Seats { full: 0, light: 1 };
    });
    assert_eq!([arrive(&mut b, "10"), arrive(&mut b, "nobody"), arrive(&mut b, "20")], [200, 200, 200]);
    assert_eq!(arrive_over(&mut b, udp(OTHER), "20", "Contact: <sip:other@10.0.0.6>\r\n").0, 200);
    assert_eq!(used(&b), (1, 1));
    let stats = b.stats(1);
    for why in [Refusal::SeatsExhausted, Refusal::NotLicensedUser, Refusal::LightSecondDevice] {
        assert_eq!(stats.licence_shadowed.read(why), 1, "{why:?}");
    }
    assert_eq!((stats.shadow_refused.read(), stats.refused.read()), (3, 0));
    let shadowed = b.shared.registry.decisions(InstanceId(1));
    assert_eq!(shadowed.iter().filter(|d| matches!(d.outcome, Outcome::Shadowed(_))).count(), 3);
    b.shared.registry.journal.set_broken(true);
    assert_eq!([arrive(&mut b, "30"), arrive(&mut b, "11")], [200, 200], "nor for want of a disk");
}

#[test]
fn a_refusal_speaks_the_instances_language() {
    // R69
    let mut b = house(0, 0);
    change(&mut b, |acme| acme.language = Language::De);
    let refused = b.one(udp(PHONE), &register("a", "a", &contact("a")));
    assert_eq!(refused.start(), "SIP/2.0 403 Keine Lizenz frei");
    assert_eq!(refused.row("Warning"), "399 nantucket \"seats-exhausted: alle lizenzierten Nutzer sind angemeldet\"");
    let mut b = house(1, 0);
    change(&mut b, |acme| acme.language = Language::De);
    b.keeps = false;
    b.none(udp(PHONE), &register("a", "a", &contact("a")));
    assert_eq!(b.keep(false)[0].start(), "SIP/2.0 503 Bitte warten", "also inside a transaction");
}

#[test]
fn what_was_written_down_is_there_after_a_restart() {
    // R12 R66 R67
    let mut b = named(1, 1);
    assert_eq!([arrive(&mut b, "10"), arrive(&mut b, "20")], [200, 200]);
    let room = b.shared.registry.find(InstanceId(1)).unwrap();
    let kept = room.with(|live| {
        ["10", "20"].map(|account| {
            let seat = live.ledger.seat(account.as_bytes()).unwrap();
            let record =
                Record { user: seat.user.into(), kind: seat.kind, device: seat.device.map(Box::from), ttl: 600 };
            Kept { instance: InstanceId(1), account: account.as_bytes().into(), record }
        })
    });
    let mut b = named(1, 1);
    b.shared.registry.restore(kept, EPOCH - 100, &b.snapshot, EPOCH);
    b.keeps = false;
    assert_eq!((used(&b), arrive(&mut b, "30")), ((1, 1), 403));
    assert_eq!(arrive_over(&mut b, udp(PHONE), "20", "Contact: <sip:other@10.0.0.6>\r\n").0, 403);
    assert_eq!([arrive(&mut b, "10"), arrive(&mut b, "20")], [200, 200], "refreshes, without a write");
    assert_eq!(b.saves, 0);
    b.pass(511_000);
    assert_eq!(used(&b), (1, 1), "refreshed, it lives on");
}
