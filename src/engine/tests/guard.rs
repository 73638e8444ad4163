//! What the guard is told and asked on the way of requests, and what strangers are told of accounts.

use crate::engine::budget::Rate;
use crate::engine::config::Config;
use crate::engine::testing::*;
use crate::guard::{Ban, Kind, Scope};
use crate::ids::Flow;
use crate::model::Table;
use crate::reason::{Drop, Refusal};
use crate::route::testing::{compiled, instance, proxy, table};

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"acme\", nonce=\"n7f3a-01\", algorithm=MD5\r\n";

fn bans(b: &Bench) -> Vec<Ban> {
    b.shared.guard.bans(b.now)
}

fn credentials(nonce: &str) -> String {
    format!("Authorization: Digest username=\"bob\", realm=\"acme\", nonce=\"{nonce}\", response=\"x\"\r\n")
}

fn register(account: &str, branch: &str, rows: &str) -> String {
    request("REGISTER", branch, rows).replace("sip:bob@acme", &format!("sip:{account}@acme"))
}

/// A REGISTER and the PBX's answer, as the phone gets it; none where it went no further.
fn answered(b: &mut Bench, flow: Flow, text: &str, status: u16, rows: &str) -> Option<Sent> {
    let mut sent = b.send(flow, text);
    let out = sent.pop().filter(|out| out.status() == 0)?;
    Some(b.one(inside(PBX), &out.answered(status, rows)))
}

fn with(change: impl FnOnce(&mut crate::model::Instance)) -> Table {
    let mut acme = instance(1, "acme");
    change(&mut acme);
    table([acme, instance(2, "globex")], [proxy(1, "edge")])
}

#[test]
fn only_refused_credentials_count_and_only_the_account_is_banned() {
    let mut b = Bench::new();
    for n in 0..30 {
        answered(&mut b, tcp(PHONE, 1), &register("bob", &format!("c{n}"), ""), 401, CHALLENGE).unwrap();
    }
    assert_eq!(b.shared.guard.stats.reports(Kind::Credentials), 0, "a challenge is none");
    let stale = CHALLENGE.replace("algorithm", "stale=true, algorithm");
    for n in 0..30 {
        let text = register("bob", &format!("s{n}"), &credentials("old"));
        answered(&mut b, tcp(PHONE, 1), &text, 401, &stale).unwrap();
    }
    assert_eq!(b.shared.guard.stats.reports(Kind::Credentials), 0, "nor is an old nonce");
    for n in 0..10 {
        let text = register("bob", &format!("w{n}"), &credentials("n7f3a-01"));
        answered(&mut b, tcp(PHONE, 1), &text, 401, CHALLENGE).unwrap();
    }
    let found = bans(&b);
    assert_eq!((found.len(), found[0].scope, found[0].account.as_deref()), (1, Scope::Account, Some("bob")));
    let refused = b.one(tcp(PHONE, 1), &register("bob", "again", ""));
    assert_eq!(refused.status(), 403);
    assert!(refused.row("Warning").contains("banned"));
    assert_eq!(b.stats(1).refused.read(), 1);
    assert_eq!(b.one(tcp(PHONE, 1), &register("eve", "other", "")).method(), "REGISTER");
    b.none(udp(PHONE), &register("bob", "datagram", ""));
    assert_eq!(b.dropped(Drop::Banned), 1, "a stranger's datagrams are not worth an answer");
    b.pass(60_000);
    assert_eq!(b.one(tcp(PHONE, 1), &register("bob", "later", "")).method(), "REGISTER");
}

#[test]
fn calls_go_on_and_emergency_calls_begin_whatever_is_banned() {
    // R71
    let mut b = Bench::new();
    b.register(tcp(PHONE, 1));
    let invite = b.invite(tcp(PHONE, 1), &request("INVITE", "i", ""));
    let ok = b.one(inside(PBX), &invite.answered(200, "Contact: <sip:eve@10.0.0.9>\r\n"));
    let new = crate::guard::NewBan {
        source: tcp(PHONE, 1).peer().ip(),
        instance: Some(crate::ids::InstanceId(1)),
        account: None,
        seconds: 600,
        reason: "test",
    };
    b.shared.guard.add(&new, b.now).unwrap();
    assert_eq!(b.one(tcp(PHONE, 1), &request("OPTIONS", "o", "")).status(), 403);
    assert_eq!(b.one(tcp(PHONE, 1), &in_dialog("INFO", "d", "i", &ok)).method(), "INFO");
    let help = request("INVITE", "e", "").replace("sip:eve@acme", "sip:112@acme");
    assert_eq!(b.invite(tcp(PHONE, 1), &help).method(), "INVITE");
}

#[test]
fn devices_come_only_from_where_the_instance_says() {
    // R71
    let mut b = Bench::with(&with(|acme| acme.only_from = vec!["203.0.113.0/24".parse().unwrap()]), config());
    assert_eq!(b.one(udp(PHONE), &request("REGISTER", "a", "")).method(), "REGISTER");
    let elsewhere = udp("192.0.2.77:5060");
    let refused = b.one(elsewhere, &request("REGISTER", "b", ""));
    assert_eq!((refused.status(), b.shared.stats.refused(Refusal::SourceRefused)), (403, 1));
    assert!(refused.row("Warning").contains("source-refused"));
    let other = request("REGISTER", "c", "").replace("acme", "globex");
    assert_eq!(b.one(elsewhere, &other).method(), "REGISTER", "R10");
    let help = request("INVITE", "e", "").replace("sip:eve@acme", "sip:110@acme");
    assert_eq!(b.invite(elsewhere, &help).method(), "INVITE");
}

#[test]
fn scanners_are_dropped_and_banned_unless_phones_are_there() {
    let mut b = Bench::new();
    let scan = |n: u32| request("OPTIONS", &format!("s{n}"), "User-Agent: friendly-scanner\r\n");
    (0..5).for_each(|n| b.none(tcp(PHONE, 1), &scan(n)));
    assert_eq!((b.dropped(Drop::Scanner), b.closed.len()), (5, 5));
    let found = bans(&b);
    assert_eq!((found.len(), found[0].scope), (1, Scope::Source));
    assert_eq!(found[0].evidence.user_agent, "friendly-scanner");
    assert!(!b.shared.guard.admits(tcp(PHONE, 1).peer().ip(), true, b.now.tick));

    let mut b = Bench::new();
    b.register(udp(PHONE));
    (0..5).for_each(|n| _ = b.send(udp(PHONE), &scan(n)));
    assert!(bans(&b).is_empty());
}

#[test]
fn who_asks_for_many_names_is_banned() {
    // R9
    let mut b = Bench::new();
    for n in 0..200 {
        let text = request("OPTIONS", &format!("u{n}"), "").replace("eve@acme SIP", &format!("eve@name{n} SIP"));
        assert_eq!(b.one(tcp(PHONE, 1), &text).status(), 404);
    }
    assert!(bans(&b).iter().any(|ban| ban.scope == Scope::Source && ban.evidence.proven));
}

#[test]
fn a_stranger_is_told_the_same_of_any_account() {
    // R9 R70
    let mut b = Bench::new();
    let real = answered(&mut b, udp("192.0.2.9:5060"), &register("bob", "k", ""), 401, CHALLENGE).unwrap();
    let unknown = "X-Reason: nobody\r\n";
    let masked = answered(&mut b, udp(PHONE), &register("nobody", "u", ""), 404, unknown).unwrap();
    let shape = |sent: &Sent| {
        let nonce =
            sent.row("WWW-Authenticate").split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        (sent.start().to_owned(), sent.row("WWW-Authenticate").replace(&nonce, "*"), nonce.len())
    };
    assert_eq!(shape(&masked), shape(&real));
    assert!(!masked.text.contains("X-Reason"));
    assert_ne!(masked.row("WWW-Authenticate"), real.row("WWW-Authenticate"), "a nonce of its own");
    assert_eq!(masked.row("Call-ID"), "call-u");
    let nonce = masked.row("WWW-Authenticate").split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    // Whatever answers it is refused as a wrong password is.
    let again = answered(&mut b, udp(PHONE), &register("nobody", "v", &credentials(&nonce)), 404, unknown).unwrap();
    assert_eq!(shape(&again), shape(&real));
    assert_eq!(b.shared.guard.stats.masked.read(), 2);
    assert_eq!(b.shared.guard.stats.reports(Kind::UnknownAccount), 2);
    // Where phones are registered, the instance's own answers are seen.
    b.register(udp(PHONE));
    assert_eq!(answered(&mut b, udp(PHONE), &register("nobody", "w", ""), 404, "").unwrap().status(), 404);
}

#[test]
fn nothing_is_masked_that_was_never_challenged_or_is_excepted() {
    let mut b = Bench::new();
    assert_eq!(answered(&mut b, udp(PHONE), &register("nobody", "a", ""), 404, "").unwrap().status(), 404);
    let mut b = Bench::with(&with(|acme| acme.never_ban = vec!["203.0.113.0/24".parse().unwrap()]), config());
    answered(&mut b, udp("192.0.2.9:5060"), &register("bob", "k", ""), 401, CHALLENGE).unwrap();
    assert_eq!(answered(&mut b, udp(PHONE), &register("nobody", "a", ""), 404, "").unwrap().status(), 404);
    // A right password may dial a wrong number.
    let proxy = CHALLENGE.replace("WWW", "Proxy");
    let call = |n: &str, rows: &str| request("OPTIONS", n, rows);
    let stranger = udp("192.0.2.10:5060");
    answered(&mut b, stranger, &call("o", ""), 407, &proxy).unwrap();
    let with_password = call("p", &credentials("n7f3a-01").replace("Auth", "Proxy-Auth"));
    assert_eq!(answered(&mut b, stranger, &with_password, 404, "").unwrap().status(), 404);
    assert_eq!(answered(&mut b, stranger, &call("q", ""), 404, "").unwrap().status(), 407);
    assert_eq!(answered(&mut b, stranger, &call("r", ""), 200, "").unwrap().status(), 407, "OPTIONS tells it as well");
}

#[test]
fn a_flood_on_one_instance_is_refused_then_dropped_and_the_others_go_on() {
    let settings = Config { new_requests: Rate { per_second: 10, burst: 20 }, ..config() };
    let mut b = Bench::with(&rows(), settings);
    for n in 0..500 {
        b.send(udp(PHONE), &request("OPTIONS", &format!("f{n}"), ""));
    }
    assert_eq!(b.stats(1).transactions.read(), 20);
    assert_eq!((b.shared.stats.refused(Refusal::InstanceRate), b.dropped(Drop::InstanceRate)), (100, 380));
    assert_eq!((b.shared.stats.shards.sum().requests.read(), b.stats(1).refused.read()), (500, 480));
    let other = request("OPTIONS", "g", "").replace("acme", "globex");
    assert_eq!(b.one(udp(PHONE), &other).method(), "OPTIONS");
    let help = request("INVITE", "e", "").replace("sip:eve@acme", "sip:112@acme");
    assert_eq!(b.invite(udp(PHONE), &help).method(), "INVITE");
    b.pass(2_000);
    assert_eq!(b.one(udp(PHONE), &request("OPTIONS", "h", "")).method(), "OPTIONS", "it ends with the flood");
}

#[test]
fn a_call_of_a_flooded_instance_goes_on() {
    // T19
    let settings = Config { new_requests: Rate { per_second: 10, burst: 20 }, ..config() };
    let mut b = Bench::with(&rows(), settings);
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let ok = b.one(inside(PBX), &invite.answered(200, "Contact: <sip:eve@10.0.0.9>\r\n"));
    let ringing = b.invite(udp(PHONE), &request("INVITE", "r", ""));
    for n in 0..500 {
        b.send(udp(PHONE), &request("OPTIONS", &format!("f{n}"), ""));
    }
    assert!(b.dropped(Drop::InstanceRate) > 300);
    assert_eq!(b.one(udp(PHONE), &in_dialog("INFO", "d", "i", &ok)).method(), "INFO");
    b.one(inside(PBX), &ringing.answered(180, ""));
    let cancel = request("CANCEL", "r", "");
    assert!(b.send(udp(PHONE), &cancel).iter().any(|sent| sent.method() == "CANCEL"));
    // The table changed: the name may be another's now.
    b.snapshot = compiled(&Table { revision: 2, ..with(|acme| acme.name = "other".into()) });
    assert_eq!(b.one(udp(PHONE), &request("OPTIONS", "n", "")).status(), 404);
}

#[test]
fn large_requests_for_one_instance_leave_room_for_others() {
    // T19
    let mut b = Bench::with(&rows(), Config { kept_bytes: 400_000, ..config() });
    let large = format!("X-Large: {}\r\n", "x".repeat(5_000));
    let statuses: Vec<u16> =
        (0..40).map(|n| b.send(udp(PHONE), &request("OPTIONS", &format!("l{n}"), &large))[0].status()).collect();
    assert!(statuses.contains(&0) && statuses.ends_with(&[503, 503]), "{statuses:?}");
    let other = request("OPTIONS", "g", &large).replace("acme", "globex");
    assert_eq!(b.one(udp(PHONE), &other).method(), "OPTIONS");
    b.pass(64_000);
    assert_eq!(b.stats(1).kept_bytes.read(), 0);
}
