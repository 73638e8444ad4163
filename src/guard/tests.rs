//! What is banned, and what is not.

use super::*;

const ACME: InstanceId = InstanceId(1);
const GLOBEX: InstanceId = InstanceId(2);

fn at(ms: u64) -> Now {
    Now { tick: Tick(1_000 + ms), unix: 1_800_000_000 + ms / 1_000 }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn report(kind: Kind, source: IpAddr, account: &[u8]) -> Report<'_> {
    let instance = (kind != Kind::UnknownName).then_some(ACME);
    Report { kind, source, proven: true, fresh: true, instance, account, user_agent: b"Phone/1", method: b"REGISTER" }
}

fn lets(guard: &Guard, source: IpAddr, account: &str, now: Now) -> bool {
    guard.admits(source, true, now.tick) && guard.lets(source, true, ACME, account.as_bytes(), &[], now.tick)
}

#[test]
fn an_office_with_one_wrong_password_stays() {
    // PROTOCOLS 5: a whole office behind one NAT was banned for one wrong password
    for registered in [false, true] {
        let (guard, office) = (Guard::default(), ip("192.0.2.1"));
        if registered {
            for n in 0..200 {
                guard.registered_for(office, ACME, format!("6{n:03}").as_bytes(), 600, at(0));
            }
        }
        for n in 0..2_000u64 {
            if lets(&guard, office, "7000", at(n * 250)) {
                guard.note(&report(Kind::Credentials, office, b"7000"), &[], at(n * 250));
            }
            assert!(lets(&guard, office, "6001", at(n * 250)), "after {n}");
        }
        let bans = guard.bans(at(500_000));
        assert_eq!(bans.len(), 1, "{bans:#?}");
        assert_eq!((bans[0].scope, bans[0].account.as_deref()), (Scope::Account, Some("7000")));
        assert_eq!(bans[0].evidence.counts, [Count { kind: Kind::Credentials, times: 10 }]);
        assert!(guard.lets(office, true, GLOBEX, b"7000", &[], at(0).tick), "R10: another instance's is another");
    }
}

#[test]
fn a_storm_of_old_nonces_bans_nobody() {
    // After a restart of the PBX every phone's nonce is old, and no phone has credit after one of ours.
    let (guard, office) = (Guard::default(), ip("192.0.2.1"));
    for n in 0..500u32 {
        let account = n.to_string();
        for proven in [true, false] {
            let report = Report { proven, fresh: false, ..report(Kind::Credentials, office, account.as_bytes()) };
            guard.note(&report, &[], at(n.into()));
        }
    }
    assert!(guard.bans(at(500)).is_empty());
}

#[test]
fn who_tries_many_accounts_is_banned_and_each_time_for_longer() {
    let (guard, bad) = (Guard::default(), ip("198.51.100.7"));
    let attack = |now: u64| {
        for n in 0..100u32 {
            guard.note(&report(Kind::Credentials, bad, n.to_string().as_bytes()), &[], at(now));
        }
    };
    attack(0);
    let first = guard.bans(at(0));
    assert!(first.iter().any(|ban| ban.scope == Scope::Instance) && first.iter().any(|ban| ban.scope == Scope::Source));
    assert!(!lets(&guard, bad, "x", at(0)) && lets(&guard, ip("198.51.100.8"), "x", at(0)));
    let length = |bans: &[Ban]| {
        let ban = bans.iter().find(|ban| ban.scope == Scope::Source).unwrap();
        ban.until - ban.since
    };
    assert_eq!(length(&first), 60);
    assert!(!lets(&guard, bad, "x", at(59_999)) && lets(&guard, bad, "x", at(60_000)), "it ends by itself");
    attack(61_000);
    assert_eq!(length(&guard.bans(at(61_000))), 120);
    let evidence = &guard.bans(at(61_000))[0].evidence;
    assert_eq!(
        (evidence.user_agent.as_str(), evidence.method.as_str(), evidence.proven),
        ("Phone/1", "REGISTER", true)
    );
}

#[test]
fn where_phones_are_registered_twice_as_many_accounts_may_fail() {
    let (guard, office) = (Guard::default(), ip("192.0.2.1"));
    (0..5).for_each(|n: u32| guard.registered_for(office, ACME, n.to_string().as_bytes(), 600, at(0)));
    let live = guard.registered(office, at(0).tick);
    assert!((4..=6).contains(&live), "{live}");
    let fail = |n: u32| guard.note(&report(Kind::Credentials, office, format!("x{n}").as_bytes()), &[], at(1));
    (0..10).for_each(fail);
    assert!(guard.bans(at(1)).is_empty());
    (10..70).for_each(fail);
    assert!(guard.bans(at(1)).iter().any(|ban| ban.scope == Scope::Instance), "but not any number");
    assert_eq!(guard.registered(office, at(600_000).tick), 0, "credit ends with the registrations");
}

#[test]
fn a_success_forgets_what_was_counted_of_the_account() {
    let (guard, home) = (Guard::default(), ip("192.0.2.1"));
    for n in 0..100 {
        guard.note(&report(Kind::Credentials, home, b"6001"), &[], at(n));
        if n % 9 == 8 {
            guard.signed_in(home, ACME, b"6001");
        }
    }
    assert!(guard.bans(at(100)).is_empty());
}

#[test]
fn a_lie_about_the_source_bans_no_phone() {
    let (guard, victim, registered) = (Guard::default(), ip("192.0.2.1"), ip("192.0.2.2"));
    guard.registered_for(registered, ACME, b"6001", 600, at(0));
    for source in [victim, registered] {
        for n in 0..50 {
            let lie = |kind| Report { proven: false, fresh: false, ..report(kind, source, b"6001") };
            guard.note(&lie(Kind::Scanner), &[], at(n));
            guard.note(&lie(Kind::Credentials), &[], at(n));
        }
    }
    assert!(guard.bans(at(50)).iter().all(|ban| ban.source == victim && !ban.evidence.proven));
    assert!(!guard.admits(victim, false, at(50).tick), "datagrams only");
    assert!(guard.admits(victim, true, at(50).tick), "a stream's address is no lie");
    assert!(guard.admits(registered, false, at(50).tick));
    // It registers while it is banned, over a stream: its datagrams come through at once.
    guard.registered_for(victim, ACME, b"6001", 600, at(51));
    assert!(guard.admits(victim, false, at(52).tick));
}

#[test]
fn a_hundred_thousand_sources_fit_in_what_there_is() {
    let guard = Guard::default();
    for n in 0..100_000u32 {
        let source = std::net::Ipv4Addr::from(0x0b00_0000 + n).into();
        for _ in 0..3 {
            let lie = Report { proven: false, fresh: false, ..report(Kind::Scanner, source, b"100") };
            guard.note(&lie, &[], at(u64::from(n) / 100));
        }
    }
    assert!(guard.sources[0].len() <= Ledger::most());
    assert_eq!(guard.sources[1].len(), 0, "what is proven has a table of its own");
    let (bans, policy) = (guard.bans(at(1_000)).len(), guard.policy());
    assert!(bans <= policy.bans / 4, "{bans}");
    assert!(guard.stats.overflows.read() > 0 && guard.stats.forgotten.read() > 0);
    // One who is proven guilty is still found.
    (0..3).for_each(|_| guard.note(&report(Kind::Scanner, ip("198.51.100.7"), b"100"), &[], at(1_000)));
    assert!(!guard.admits(ip("198.51.100.7"), true, at(1_000).tick));
}

#[test]
fn unknown_names_ban_who_asks_for_many() {
    let (guard, wrong, bad) = (Guard::default(), ip("192.0.2.1"), ip("192.0.2.2"));
    for n in 0..3_000u32 {
        guard.note(&report(Kind::UnknownName, wrong, b"acmee"), &[], at(n.into()));
        guard.note(&report(Kind::UnknownName, bad, n.to_string().as_bytes()), &[], at(n.into()));
    }
    let bans = guard.bans(at(3_000));
    assert_eq!(bans.iter().map(|ban| (ban.source, ban.scope)).collect::<Vec<_>>(), [(bad, Scope::Source)]);
}

#[test]
fn who_is_allowed_is_never_banned() {
    let (policy, net) =
        (Policy { allow: vec!["192.0.2.0/24".parse().unwrap()], ..Policy::default() }, "198.51.100.0/24");
    let guard = Guard::new(policy);
    let never = [net.parse().unwrap()];
    for n in 0..100u32 {
        let name = n.to_string();
        guard.note(&report(Kind::Credentials, ip("192.0.2.1"), name.as_bytes()), &[], at(0));
        guard.note(&report(Kind::Credentials, ip("::ffff:198.51.100.1"), name.as_bytes()), &never, at(0));
    }
    assert!(guard.bans(at(0)).is_empty());
    let manual = NewBan { source: ip("198.51.100.1"), instance: Some(ACME), account: None, seconds: 60, reason: "x" };
    guard.add(&manual, at(0)).unwrap();
    assert!(!guard.lets(ip("198.51.100.1"), true, ACME, b"1", &[], at(0).tick));
    assert!(guard.lets(ip("198.51.100.1"), true, ACME, b"1", &never, at(0).tick));
}

#[test]
fn bans_are_made_lifted_and_told() {
    let guard = Guard::default();
    let new = NewBan { source: ip("2001:db8:1:2::9"), instance: None, account: None, seconds: 3_600, reason: "abuse" };
    let ban = guard.add(&new, at(0)).unwrap();
    assert_eq!((ban.id, ban.scope, ban.source), (1, Scope::Source, ip("2001:db8:1:2::")));
    assert!(!guard.admits(ip("2001:db8:1:2:ffff::1"), true, at(1).tick), "one /64 is one source");
    assert!(guard.admits(ip("2001:db8:1:3::1"), true, at(1).tick));
    assert_eq!(guard.bans(at(1))[0].hits, 1);
    assert_eq!(guard.lift(99, at(1)), None);
    let lifted = guard.lift(1, at(1)).unwrap();
    assert!(guard.admits(ip("2001:db8:1:2::9"), true, at(1).tick) && guard.bans(at(1)).is_empty());
    assert_eq!(guard.take_events(), [Event::Banned(ban), Event::Lifted(lifted)]);
    assert!(!guard.bans.load(Relaxed), "nothing is looked at any more");
}

#[test]
fn bans_last_over_a_restart() {
    let guard = Guard::default();
    let bad = ip("198.51.100.7");
    (0..3).for_each(|_| guard.note(&report(Kind::Scanner, bad, b"100"), &[], at(0)));
    let again = Guard::default();
    again.restore(guard.to_keep(at(10_000)), at(10_000));
    assert!(!again.admits(bad, true, at(59_000).tick) && again.admits(bad, true, at(60_000).tick));
    // It is remembered when it is over.
    let third = Guard::default();
    third.restore(again.to_keep(at(61_000)), at(61_000));
    (0..3).for_each(|_| third.note(&report(Kind::Scanner, bad, b"100"), &[], at(62_000)));
    assert_eq!(third.bans(at(62_000))[0].level, 1);
    assert_eq!(third.bans(at(62_000))[0].id, 2);
}

#[test]
fn to_watch_hinders_nobody_and_off_counts_nothing() {
    let bad = ip("198.51.100.7");
    for (mode, bans) in [(Mode::Watch, 1), (Mode::Off, 0), (Mode::Enforce, 1)] {
        let guard = Guard::new(Policy { mode, ..Policy::default() });
        (0..3).for_each(|_| guard.note(&report(Kind::Scanner, bad, b"100"), &[], at(0)));
        assert_eq!(guard.bans(at(0)).len(), bans);
        assert_eq!(guard.admits(bad, true, at(0).tick), mode != Mode::Enforce);
    }
}

#[test]
fn who_goes_on_while_an_account_is_banned_is_banned_altogether() {
    let (guard, bad) = (Guard::default(), ip("198.51.100.7"));
    (0..10).for_each(|_| guard.note(&report(Kind::Credentials, bad, b"6001"), &[], at(0)));
    assert!(!lets(&guard, bad, "6001", at(1)) && lets(&guard, bad, "6002", at(1)));
    (0..100).for_each(|_| guard.note(&report(Kind::WhileBanned, bad, b"6001"), &[], at(2)));
    assert!(!guard.admits(bad, true, at(3).tick));
}

#[test]
fn what_strangers_say_is_shown_without_harm() {
    let (guard, bad) = (Guard::default(), ip("198.51.100.7"));
    let long = [b'x'; 500];
    let nasty = Report { account: b"a\x1b[2J\xff", user_agent: &long, ..report(Kind::Scanner, bad, b"") };
    (0..3).for_each(|_| guard.note(&nasty, &[], at(0)));
    let evidence = guard.bans(at(0)).remove(0).evidence;
    assert!(!evidence.account.contains('\x1b') && evidence.user_agent.len() == 48);
}
