//! Seats and a PBX that asks for passwords: phones in crowds at the very last seat.

use super::pbx::Pbx;
use crate::support::herd::{Herd, Phone, Report, State};
use crate::support::node::Node;
use crate::support::{Net, PATIENCE, until};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Phones `u<n>` of an instance.
fn phones(of: &str, range: std::ops::Range<u32>) -> impl Iterator<Item = Phone> + '_ {
    range.map(move |n| Phone::new(&format!("u{n}"), of))
}

/// A node that sends phones away for a second or two, not for ten.
fn node(net: Net) -> Node {
    Node::start_with(net, "[timers]\nretry_after = \"1s\"\n[guard]\nmode = \"watch\"\n")
}

fn refusals<const N: usize>(of: [(&str, usize); N]) -> BTreeMap<String, usize> {
    of.into_iter().map(|(code, count)| (code.to_owned(), count)).collect()
}

// R65 R66
#[test]
fn a_wrong_password_never_takes_a_seat() {
    let net = Net::new();
    let pbx = Pbx::start_registrar(net, 11, 4, Duration::ZERO);
    let node = node(net);
    node.add_seats("harbor", &pbx.address(), 5, 0);
    node.wait_live();
    let wrong = |range| phones("harbor", range).map(|phone| phone.password("wrong"));

    // Twenty on five seats, none of them with the right password: each is told so by the PBX itself.
    let mut strangers = Herd::new(net.ip(30), &node.sip(), wrong(100..120));
    strangers.register(Duration::ZERO, PATIENCE);
    assert_eq!(strangers.refusals(), refusals([("401", 20)]));
    assert_eq!(node.seats("harbor"), 0);

    let mut owners = Herd::new(net.ip(31), &node.sip(), phones("harbor", 0..5));
    owners.register(Duration::ZERO, PATIENCE);
    assert_eq!((owners.registered(), node.seats("harbor")), (5, 5));

    // Somebody who guesses at an owner's account changes nothing, and the owners' refreshes pass.
    let mut thieves = Herd::new(net.ip(32), &node.sip(), wrong(0..5));
    thieves.register(Duration::ZERO, PATIENCE);
    assert_eq!((thieves.refusals(), node.seats("harbor")), (refusals([("401", 5)]), 5));
    owners.register(Duration::ZERO, PATIENCE);
    assert_eq!((owners.registered(), node.seats("harbor")), (5, 5));

    // All seats taken: the right password gets no sixth.
    let mut sixth = Herd::new(net.ip(33), &node.sip(), phones("harbor", 5..6));
    sixth.register(Duration::ZERO, PATIENCE);
    assert_eq!(sixth.refusals(), refusals([("403 seats-exhausted", 1)]));
}

// R66 R34
#[test]
fn a_hundred_at_once_on_ninety_nine_seats() {
    let rounds = if super::long() { 20 } else { 3 };
    let net = Net::new();
    let pbx = Pbx::start_registrar(net, 11, 8, Duration::from_millis(1));
    let node = node(net);
    node.add_seats("harbor", &pbx.address(), 99, 0);
    node.wait_live();
    let mut herd = Herd::new(net.ip(30), &node.sip(), phones("harbor", 0..100));
    for round in 0..rounds {
        let report = herd.register(Duration::ZERO, Duration::from_secs(60));
        assert_eq!((report.registered, herd.registered()), (99, 99), "round {round}: {:?}", herd.refusals());
        assert_eq!(herd.refusals(), refusals([("403 seats-exhausted", 1)]));
        assert_eq!(node.seats("harbor"), 99);
        // Off and on: all seats are free again.
        node.must("POST", "/instances/harbor/stop", None);
        until("the seats of an instance that is off are free", PATIENCE, || node.seats("harbor") == 0);
        node.must("POST", "/instances/harbor/start", None);
        node.wait_live();
    }
}

// R66 R67
#[test]
fn seats_survive_a_kill_in_the_middle_of_a_crowd() {
    let (users, kills) = if super::long() { (2_000, 10) } else { (200, 3) };
    let net = Net::new();
    // Slow enough for the kill to come in the middle.
    let pbx = Pbx::start_registrar(net, 11, 4, Duration::from_millis(2));
    let mut node = node(net);
    node.add_seats("harbor", &pbx.address(), users, 0);
    node.wait_live();
    let mut herd = Herd::new(net.ip(30), &node.sip(), phones("harbor", 0..users));
    let mut report = Report::default();
    herd.begin(Duration::from_millis(u64::from(users) * 5));
    for kill in 1..=kills {
        let part = (users * kill / (kills + 1)) as usize;
        herd.go_on(Duration::from_secs(120), &mut report, |registered| registered < part);
        node.restart("KILL");
        let seats = node.seats("harbor");
        // Who was told 200 has a seat; the others that have one had it from the PBX, and their answer was lost.
        assert!(seats >= report.registered, "{seats} seats of {} that were told so", report.registered);
    }
    herd.go_on(Duration::from_secs(300), &mut report, |_| true);
    assert_eq!((herd.registered() as u32, node.seats("harbor") as u32), (users, users), "{:?}", herd.refusals());

    // Once more, with all seats taken: every owner may refresh, nobody else gets in.
    node.restart("KILL");
    assert_eq!(node.seats("harbor") as u32, users);
    let mut more = Herd::new(net.ip(31), &node.sip(), phones("harbor", users..users + 5));
    more.register(Duration::ZERO, PATIENCE);
    assert_eq!(more.refusals(), refusals([("403 seats-exhausted", 5)]));
    herd.register(Duration::from_millis(u64::from(users) * 5), Duration::from_secs(300));
    assert_eq!((herd.registered() as u32, node.seats("harbor") as u32), (users, users), "{:?}", herd.refusals());
}

// R20 R67
#[test]
fn a_lower_booking_evicts_nobody() {
    let net = Net::new();
    let pbx = Pbx::start_registrar(net, 11, 4, Duration::ZERO);
    let node = node(net);
    node.add_seats("harbor", &pbx.address(), 10, 0);
    node.wait_live();
    let mut herd = Herd::new(net.ip(30), &node.sip(), phones("harbor", 0..10));
    herd.register(Duration::ZERO, PATIENCE);
    let booked = json!({"mode": "cloud", "booked": {"full": 4, "light": 0}});
    node.must("PUT", "/instances/harbor/licence", Some(booked));
    node.wait_live();
    herd.register(Duration::ZERO, PATIENCE);
    assert_eq!((herd.registered(), node.seats("harbor")), (10, 10));
    let mut eleventh = Herd::new(net.ip(31), &node.sip(), phones("harbor", 10..11));
    eleventh.register(Duration::ZERO, PATIENCE);
    assert!(matches!(eleventh.phones()[0].state(), State::Refused(403, _)));
}
