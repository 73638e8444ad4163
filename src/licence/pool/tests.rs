//! Every number of R15 to R26: itself, one below and one above.

use super::*;
use crate::licence::book::Installed;
use crate::licence::document::Document;
use crate::licence::key::Signer;
use crate::licence::terms::{Body, SCHEMA, Server, Terms};

fn seats(full: u32, light: u32) -> Seats {
    Seats { full, light }
}

fn instance(id: u32, mode: Mode, state: State) -> Instance {
    let mut instance = Instance::named(&format!("i{id}"));
    instance.id = InstanceId(id);
    instance.state = state;
    instance.licence.mode = mode;
    instance
}

fn cloud(id: u32, full: u32, state: State) -> Instance {
    let mut instance = instance(id, Mode::Cloud, state);
    instance.licence.booked = seats(full, 0);
    instance
}

fn own(id: u32, server: &str, version: &str) -> Instance {
    let mut instance = instance(id, Mode::Dedicated, State::On);
    instance.licence.server = Some(server.into());
    instance.version = version.into();
    instance
}

fn none() -> Sum {
    Sum::default()
}

/// What is refused to an instance that is to be as `after`: the rule, and what is missing.
fn refused(book: &Book, others: &[Instance], before: Option<&Instance>, after: &Instance) -> Option<&'static str> {
    may_change(book, &Tally::of(others), before, after, none()).err().map(|refusal| refusal.rule)
}

fn with_server(edition: Edition, entitlement: &str) -> Book {
    let included = edition.included();
    let terms =
        Server { edition, included, entitlement: entitlement.parse().unwrap(), rights: Vec::new(), hardware: None };
    let (id, holder) = ("S-1".into(), "Acme".into());
    let body = Body { schema: SCHEMA, id, issued: 1, holder, expires: None, terms: Terms::Server(terms) };
    match Book::default().install(Document::issue(&body, &Signer::demo()).unwrap(), false, 1) {
        Ok(Installed::Done(book)) => book,
        other => panic!("{other:?}"),
    }
}

#[test]
fn three_community_instances_and_no_fourth() {
    // R15
    for book in [Book::default(), Book::demo(seats(100, 0))] {
        for (there, fits) in [(2, true), (3, false), (4, false)] {
            let others: Vec<_> = (0..there).map(|id| instance(id, Mode::Community, State::Off)).collect();
            let new = instance(9, Mode::Community, State::Off);
            assert_eq!(refused(&book, &others, None, &new), (!fits).then_some("R15"), "{there} are there");
            // Changing to it counts as well, being it does not.
            assert_eq!(refused(&book, &others, Some(&cloud(9, 0, State::Off)), &new).is_none(), fits);
            assert_eq!(refused(&book, &others, Some(&new), &new), None);
        }
    }
}

#[test]
fn a_community_instance_has_three_users() {
    // R16
    for (full, light, fits) in [(2, 0, true), (3, 0, true), (0, 3, true), (2, 1, true), (4, 0, false), (2, 2, false)] {
        let result = may_hold(&Allowance::COMMUNITY, seats(full, light).into());
        assert_eq!(result.is_ok(), fits, "{full} {light}");
        if let Err(refusal) = result {
            assert_eq!((refusal.rule, refusal.number("users"), refusal.number("licensed")), ("R16", Some(4), Some(3)));
        }
    }
}

#[test]
fn the_sum_of_bookings_is_at_most_the_pool() {
    // R18
    let book = Book::demo(seats(100, 0));
    let others = [cloud(1, 60, State::On), cloud(2, 30, State::Starting)];
    for (asked, fits) in [(9, true), (10, true), (11, false)] {
        let after = cloud(9, asked, State::On);
        for before in [None, Some(cloud(9, 5, State::On)), Some(instance(9, Mode::Community, State::On))] {
            let result = may_change(&book, &Tally::of(&others), before.as_ref(), &after, none());
            assert_eq!(result.is_ok(), fits, "{asked} on top of 90, from {before:?}");
            if let Err(refusal) = result {
                assert_eq!((refusal.rule, refusal.number("missing")), ("R18", Some(1)));
                assert_eq!((refusal.number("licensed"), refusal.number("booked")), (Some(100), Some(90)));
            }
        }
    }
    // Without a volume licence there is nothing to book.
    assert_eq!(refused(&Book::default(), &[], None, &cloud(9, 0, State::On)), None);
    assert_eq!(refused(&Book::default(), &[], None, &cloud(9, 1, State::On)), Some("R18"));
}

#[test]
fn full_and_light_users_are_booked_apart() {
    // R48 R18
    let book = Book::demo(seats(100, 10));
    let mut after = cloud(9, 1, State::On);
    for (light, fits) in [(9, true), (10, true), (11, false)] {
        after.licence.booked.light = light;
        assert_eq!(refused(&book, &[], None, &after).is_none(), fits, "{light} light users, and 99 full ones free");
    }
}

#[test]
fn sums_do_not_overflow() {
    // R18
    let others: Vec<_> = (0..5).map(|id| cloud(id, u32::MAX, State::On)).collect();
    assert_eq!(Tally::of(&others).booked().full, 5 * u64::from(u32::MAX));
    assert_eq!(refused(&Book::demo(seats(u32::MAX, 0)), &others, None, &cloud(9, u32::MAX, State::On)), Some("R22"));
}

#[test]
fn what_is_given_back_can_be_booked_by_others() {
    // R19
    let book = Book::demo(seats(100, 0));
    let before = cloud(1, 100, State::On);
    let mut tally = Tally::of([&before]);
    let new = cloud(9, 10, State::On);
    let fits = |tally: &Tally| may_change(&book, tally, None, &new, none()).is_ok();
    assert!(!fits(&tally));
    for after in [
        Some(cloud(1, 90, State::On)),
        Some(instance(1, Mode::Community, State::On)),
        Some(cloud(1, 100, State::Off)),
        None,
    ] {
        tally.remove(&before);
        after.iter().for_each(|after| tally.add(after));
        assert!(fits(&tally), "{after:?}");
        after.iter().for_each(|after| tally.remove(after));
        tally.add(&before);
        assert!(!fits(&tally));
    }
}

#[test]
fn an_over_allocated_pool_lets_nothing_grow_and_cuts_nobody() {
    // R22
    let others = [cloud(1, 60, State::On)];
    let before = cloud(9, 40, State::On);
    for (licensed, over) in [(100, 0), (99, 1), (101, 0)] {
        let book = Book::demo(seats(licensed, 0));
        assert_eq!(refused(&book, &others, Some(&before), &before), None, "it stays as it is");
        assert_eq!(refused(&book, &others, Some(&before), &cloud(9, 39, State::On)), None, "less is always allowed");
        let grown = may_change(&book, &Tally::of(&others), Some(&before), &cloud(9, 41, State::On), none());
        match over {
            0 => assert_eq!(grown.is_ok(), licensed == 101),
            over => assert_eq!(grown.unwrap_err().number("over"), Some(over)),
        }
    }
    // Nor does one that is switched off.
    let book = Book::demo(seats(50, 0));
    assert_eq!(refused(&book, &others, Some(&cloud(9, 1, State::Off)), &cloud(9, 2, State::Off)), Some("R22"));
    // Other fields of an instance can be changed.
    let mut renamed = before.clone();
    renamed.display_name = "Acme".into();
    assert_eq!(refused(&book, &others, Some(&before), &renamed), None);
}

#[test]
fn a_dedicated_instance_does_not_touch_the_pool() {
    // R23
    let book = with_server(Edition::Vm, "8.0");
    let mut dedicated = own(1, "S-1", "8.0");
    dedicated.licence.booked = seats(999, 0);
    assert_eq!(Tally::of([&dedicated]).booked(), none());
    assert_eq!(refused(&book, &[], None, &dedicated), None);
    let waiting = instance(1, Mode::Dedicated, State::On);
    assert_eq!(refused(&Book::default(), &[], None, &waiting), None, "it waits for its licence, unlicensed");
}

#[test]
fn only_switched_on_instances_count() {
    // R24
    let book = Book::demo(seats(100, 0));
    for (state, counts) in [
        (State::On, true),
        (State::Starting, true),
        (State::Off, false),
        (State::Stopping, false),
        (State::Failed, false),
    ] {
        let fits = refused(&book, &[cloud(1, 95, state)], None, &cloud(9, 10, State::On)).is_none();
        assert_eq!(fits, !counts, "{state:?}");
    }
    // Switched off, it can book what is in the pool at all.
    let others = [cloud(1, 95, State::On)];
    for (asked, fits) in [(99, true), (100, true), (101, false)] {
        assert_eq!(refused(&book, &others, None, &cloud(9, asked, State::Off)).is_none(), fits, "{asked}");
    }
    // Starting asks again.
    for (booked, fits) in [(4, true), (5, true), (6, false)] {
        let (off, on) = (cloud(9, booked, State::Off), cloud(9, booked, State::On));
        let result = may_change(&book, &Tally::of(&others), Some(&off), &on, none());
        assert_eq!(result.is_ok(), fits, "{booked}");
        if let Err(refusal) = result {
            assert_eq!((refusal.rule, refusal.number("missing")), ("R24", Some(1)));
        }
        assert_eq!(refused(&book, &others, Some(&on), &off), None, "stopping is always allowed");
    }
    // Starting with more is a booking that grows, of an instance that counted for nothing.
    let (off, on) = (cloud(9, 50, State::Off), cloud(9, 51, State::On));
    assert_eq!(refused(&book, &[cloud(1, 60, State::On)], Some(&off), &on), Some("R18"));
    // One without a booking starts whatever the pool.
    let (off, on) = (cloud(9, 0, State::Off), cloud(9, 0, State::On));
    assert_eq!(refused(&Book::demo(seats(1, 0)), &others, Some(&off), &on), None);
}

#[test]
fn a_change_of_mode_is_refused_if_the_users_do_not_fit() {
    // R26
    let book = Book::demo(seats(100, 0));
    let change = |before: &Instance, after: &Instance, full, light| {
        may_change(&book, &Tally::default(), Some(before), after, Sum { full, light })
    };
    let (ten, community) = (cloud(1, 10, State::On), instance(1, Mode::Community, State::On));
    for (users, fits) in [(2, true), (3, true), (4, false)] {
        let result = change(&ten, &community, users, 0);
        assert_eq!(result.is_ok(), fits, "{users}");
        if let Err(refusal) = result {
            assert_eq!((refusal.rule, refusal.number("users"), refusal.number("licensed")), ("R26", Some(4), Some(3)));
            assert!(refusal.text.contains("4 users"), "{refusal}");
        }
    }
    assert!(change(&community, &cloud(1, 3, State::On), 3, 0).is_ok());
    assert!(change(&community, &cloud(1, 2, State::On), 3, 0).is_err());
    assert!(change(&community, &cloud(1, 3, State::On), 2, 1).is_err(), "a light user needs a light seat");
    // R67: a lower booking in the same mode evicts nobody and is allowed.
    assert!(change(&ten, &cloud(1, 2, State::On), 10, 0).is_ok());
}

#[test]
fn a_server_licence_is_one_instances_only() {
    // R53
    let book = with_server(Edition::Vm, "8.0");
    assert_eq!(refused(&book, &[], None, &own(9, "S-1", "")), None);
    assert_eq!(refused(&book, &[own(1, "S-1", "")], None, &own(9, "S-1", "")), Some("R53"));
    assert_eq!(refused(&book, &[], None, &own(9, "S-2", "")), Some("R53"));
    let mut tally = Tally::of([&own(1, "S-1", "")]);
    assert_eq!(tally.instance_of("S-1"), Some("i1"));
    tally.remove(&own(2, "S-1", ""));
    assert_eq!(tally.instance_of("S-1"), Some("i1"), "another one's is not given back");
    tally.remove(&own(1, "S-1", ""));
    assert_eq!(tally.instance_of("S-1"), None);
}

#[test]
fn a_version_needs_its_entitlement() {
    // R56
    let book = with_server(Edition::Vm, "8.1");
    for (version, fits) in [("8.0", true), ("8.1", true), ("8.2", false)] {
        assert_eq!(refused(&book, &[], None, &own(9, "S-1", version)), (!fits).then_some("R56"), "{version}");
    }
}

#[test]
fn the_free_edition_stays_at_its_version() {
    // R52
    let book = with_server(Edition::Free, "8.1");
    let before = own(9, "S-1", "8.0");
    assert_eq!(refused(&book, &[], Some(&before), &own(9, "S-1", "8.1")), Some("R52"));
    assert_eq!(refused(&book, &[], Some(&before), &before), None);
    assert_eq!(refused(&book, &[], Some(&own(9, "S-1", "")), &own(9, "S-1", "8.1")), None, "it was not known");
    let vm = with_server(Edition::Vm, "8.1");
    assert_eq!(refused(&vm, &[], Some(&before), &own(9, "S-1", "8.1")), None);
}
