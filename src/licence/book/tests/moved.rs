//! Machines, moves and backups (R57 to R63), as the book sees them.

use super::*;

/// S-1 with five users and soft clients, on machine 1.
fn home() -> Book {
    let book = with(&empty(), document("S-1", server(Edition::Vm, "8.0")));
    let book = with(&book, document("P-1", pack_for("S-1", 5, "8.0")));
    with(&book, document("F-1", feature("S-1", "8.0")))
}

/// On machine 2, not entered yet.
fn moved() -> Book {
    home().on(machine(2), NOW).0
}

fn enter(book: &Book, confirmed: bool, now: u64) -> Result<Installed, crate::licence::Refusal> {
    book.install(document("S-1", server(Edition::Vm, "8.0")), confirmed, now)
}

#[track_caller]
fn entered(book: &Book, now: u64) -> Book {
    match enter(book, true, now) {
        Ok(Installed::Done(book)) => book,
        other => panic!("{other:?}"),
    }
}

fn facts(book: &Book) -> (u32, Standing, bool) {
    let allowance = dedicated(book, "S-1");
    (allowance.seats.full, allowance.standing, allowance.softphones)
}

#[test]
fn a_changed_machine_is_a_new_installation() {
    // R58
    assert_eq!(facts(&home()), (6, Standing::Active, true));
    let (there, notices) = home().on(machine(2), NOW);
    assert_eq!((facts(&there), there.state("S-1")), ((6, Standing::Unlicensed, false), Some(State::Unlicensed)));
    assert_eq!(notices, [Notice::Unlicensed { licence: "S-1".into() }]);
    let (back, notices) = there.on(machine(1), NOW);
    assert_eq!((facts(&back), notices), (facts(&home()), vec![Notice::Licensed { licence: "S-1".into() }]));
    assert_eq!(home().on(machine(1), NOW), (home(), vec![]));
}

#[test]
fn a_volume_licence_is_bound_too() {
    // R58
    let book = with(&empty(), document("V-1", volume(100, 0)));
    let there = book.on(machine(2), NOW).0;
    assert_eq!((cloud(&there).standing, cloud(&there).softphones), (Standing::Unlicensed, false));
    assert!(matches!(there.install(document("V-1", volume(100, 0)), false, NOW), Ok(Installed::Confirm(_))));
    let Ok(Installed::Done(there)) = there.install(document("V-1", volume(100, 0)), true, NOW) else { panic!() };
    assert_eq!(cloud(&there).standing, Standing::Until(NOW + TEMPORARY));
}

#[test]
fn entering_the_key_warns_then_binds_for_a_time() {
    // R59
    let asked = enter(&moved(), false, NOW);
    assert!(matches!(&asked, Ok(Installed::Confirm(text)) if text.contains("another machine")), "{asked:?}");
    let there = entered(&moved(), NOW);
    assert_eq!(facts(&there), (6, Standing::Until(NOW + TEMPORARY), false), "packs are back, soft clients are not");
    assert_eq!(enter(&there, true, NOW + DAY), Ok(Installed::Unchanged), "R60");
    // On a new installation of the other machine the packs are entered again.
    let bound = Terms::Server(Server {
        edition: Edition::Vm,
        included: 1,
        entitlement: release("8.0"),
        rights: Vec::new(),
        hardware: Some(machine(1)),
    });
    let fresh = Book::new(machine(2), NOW);
    assert!(matches!(fresh.install(document("S-1", bound.clone()), false, NOW), Ok(Installed::Confirm(_))));
    let Ok(Installed::Done(fresh)) = fresh.install(document("S-1", bound), true, NOW) else { panic!() };
    assert_eq!(facts(&with(&fresh, document("P-1", pack_for("S-1", 5, "8.0")))).0, 6);
}

#[test]
fn a_trial_that_moved_ends_with_the_earlier_of_both() {
    // R58 R60
    let trial = |days: u64| {
        let terms = Terms::Server(Server {
            edition: Edition::Vm,
            included: 1,
            entitlement: release("8.0"),
            rights: vec![Right::Softphone],
            hardware: None,
        });
        issued("S-1", 0, Some(NOW + days * DAY), terms)
    };
    for (days, end) in [(5, NOW + 5 * DAY), (30, NOW + TEMPORARY)] {
        let home = with(&empty(), trial(days));
        assert!(dedicated(&home, "S-1").softphones, "a right of the licence itself");
        let Ok(Installed::Done(there)) = home.on(machine(2), NOW).0.install(trial(days), true, NOW) else { panic!() };
        assert_eq!(facts(&there), (1, Standing::Until(end), false));
    }
}

#[test]
fn a_temporary_binding_ends_after_240_hours() {
    // R60 R63
    let there = entered(&moved(), NOW);
    let hours = |hours: u64, seconds: u64| there.at(NOW + hours * 3600 + seconds).0.state("S-1");
    assert_eq!(hours(239, 59 * 60), Some(State::Temporary(NOW + TEMPORARY)));
    assert_eq!(hours(240, 0), Some(State::Deactivated));
    assert_eq!(hours(240, 60), Some(State::Deactivated));
    let mut told = Vec::new();
    let mut book = there;
    while let Some(next) = book.next_change() {
        let (later, notices) = book.at(next);
        told.extend(notices);
        book = later;
    }
    let ending = |days| Notice::Ending { licence: "S-1".into(), days, until: NOW + TEMPORARY };
    assert_eq!(told, [ending(7), ending(3), ending(1), Notice::Deactivated { licence: "S-1".into() }]);
    assert_eq!(facts(&book).1, Standing::Deactivated);
    // Entering it again, taking it out and in, or the clock set back: none of it starts anew.
    assert_eq!(enter(&book, true, NOW), Ok(Installed::Unchanged));
    let again = entered(&book.remove("S-1", &Tally::default(), NOW).unwrap(), NOW);
    assert_eq!(facts(&again).1, Standing::Deactivated);
    assert_eq!(facts(&book.at(NOW).0).1, Standing::Deactivated);
}

#[test]
fn the_vendors_confirmation_makes_it_permanent() {
    // R61
    let confirmed =
        |book: &Book, now| match book.install(issued("K-1", 9 * DAY, None, confirmation("S-1", 2, 1)), false, now) {
            Ok(Installed::Done(book)) => book,
            other => panic!("{other:?}"),
        };
    for now in [NOW + 9 * DAY, NOW + 10 * DAY - 1, NOW + 10 * DAY, NOW + 11 * DAY] {
        let book = confirmed(&entered(&moved(), NOW), now);
        assert_eq!(facts(&book), (6, Standing::Active, true));
        // The old one is revoked.
        let old = book.on(machine(1), now).0;
        assert_eq!(old.state("S-1"), Some(State::Unlicensed));
        assert_eq!(refusal(enter(&old, true, now)).rule, "R61");
        assert_eq!(book.remove("K-1", &Tally::default(), now).unwrap_err().rule, "R61");
        let older = issued("K-2", 8 * DAY, None, confirmation("S-1", 2, 1));
        assert_eq!(refusal(book.install(older, false, now)).code, "document-older");
    }
    // Before the key is entered, or even there.
    assert_eq!(facts(&confirmed(&moved(), NOW + 9 * DAY)).1, Standing::Active);
    let first = confirmed(&Book::new(machine(2), NOW), NOW + 9 * DAY);
    assert_eq!(facts(&with(&first, document("S-1", server(Edition::Vm, "8.0")))).1, Standing::Active);
    let elsewhere = issued("K-1", 1, None, confirmation("S-1", 3, 1));
    let error = refusal(moved().install(elsewhere, false, NOW));
    assert_eq!((error.rule, error.code), ("R61", "other-hardware"));
    let pack = issued("K-1", 1, None, confirmation("P-1", 2, 1));
    assert_eq!(refusal(moved().install(pack, false, NOW)).code, "not-bound");
}

#[test]
fn a_backup_from_before_the_move_restores_soft_clients() {
    // R62
    let backup: Book = serde_json::from_str(&serde_json::to_string(&home()).unwrap()).unwrap();
    let there = entered(&moved(), NOW);
    let restored = there.restore(&backup, NOW);
    assert_eq!(facts(&restored), (6, Standing::Until(NOW + TEMPORARY), true));
    assert_eq!(facts(&restored.at(NOW + TEMPORARY).0), (6, Standing::Deactivated, false));
    // On a new installation: first the backup, then the key.
    let fresh = Book::new(machine(2), NOW).restore(&backup, NOW);
    assert_eq!(facts(&fresh), (6, Standing::Unlicensed, false));
    assert_eq!(facts(&entered(&fresh, NOW)), (6, Standing::Until(NOW + TEMPORARY), true));
    // One taken after the move restores nothing, and puts no deadline off.
    assert_eq!(facts(&there.restore(&there, NOW)), facts(&there));
    let late = entered(&moved(), NOW + DAY);
    assert_eq!(facts(&there.restore(&late, NOW)).1, Standing::Until(NOW + TEMPORARY));
    // On its own machine it is all as it was.
    assert_eq!(facts(&Book::new(machine(1), NOW).restore(&backup, NOW)), facts(&home()));
}

#[test]
fn a_backup_is_not_believed_more_than_its_documents() {
    // R55 R62
    let bound = Terms::Server(Server {
        edition: Edition::Vm,
        included: 1,
        entitlement: release("8.0"),
        rights: Vec::new(),
        hardware: Some(machine(1)),
    });
    let honest = with(&empty(), document("S-1", bound));
    let mut text = serde_json::to_string(&honest).unwrap();
    text = text.replace(&format!("\"bound\":\"{}\"", machine(1)), &format!("\"bound\":\"{}\"", machine(2)));
    text = text.replace("\"reached\":\"8.0\"", "\"reached\":\"99.0\"");
    let forged: Book = serde_json::from_str(&text).unwrap();
    assert_eq!(forged.licence("S-1").unwrap().reached, release("99.0"));
    let restored = Book::new(machine(2), NOW).restore(&forged, NOW);
    assert_eq!(restored.state("S-1"), Some(State::Unlicensed));
    // A document issued for a machine later than the last confirmation is the vendor's latest word.
    let confirmed = with(&forged, issued("K-1", 1, None, confirmation("S-1", 1, 2)));
    let Terms::Server(mut terms) = honest.licence("S-1").unwrap().document.body().terms.clone() else { panic!() };
    terms.hardware = Some(machine(3));
    let moved = confirmed.on(machine(3), NOW).0;
    let moved = with(&moved, issued("S-1", 2, None, Terms::Server(terms)));
    assert_eq!(Book::new(machine(3), NOW).restore(&moved, NOW).state("S-1"), Some(State::Permanent));
    assert_eq!(Book::new(machine(1), NOW).restore(&moved, NOW).state("S-1"), Some(State::Unlicensed));
    assert_eq!(restored.licence("S-1").unwrap().reached, release("8.0"));
}

#[test]
fn a_backup_brings_back_what_is_missing_and_nothing_else() {
    // R55 R62
    let backup = home();
    let now = with(&home(), issued("D-1", 1, None, detachment("P-1", "S-1")));
    let now = with(&now, document("C-1", contract("S-1", "8.2", NOW, NOW + DAY)));
    let restored = now.restore(&backup, NOW);
    assert_eq!(restored.licence("P-1").unwrap().server, None, "a detachment stays");
    assert_eq!(restored.server("S-1").unwrap().1, release("8.2"), "what was reached stays");
    let detached = with(&home(), issued("D-1", 1, None, detachment("P-1", "S-1")));
    assert_eq!(detached.restore(&backup, NOW).licence("P-1").unwrap().server, None, "of equal entitlement too");
    let after = now.at(NOW + 2 * DAY).0.restore(&backup, NOW + 2 * DAY);
    assert_eq!(after.server("S-1").unwrap().1, release("8.2"), "also after the contract");
    // The later issue of a document counts, wherever it is.
    let later = with(&backup, issued("P-1", 2, None, pack_for("S-1", 50, "8.0")));
    for book in [later.restore(&backup, NOW), backup.restore(&later, NOW)] {
        assert_eq!(facts(&book).0, 51);
    }
    // Of two volume licences the one issued last is in force.
    let old = with(&empty(), document("V-1", volume(10, 0)));
    let new = with(&empty(), issued("V-2", 1, None, volume(20, 0)));
    for book in [new.restore(&old, NOW), old.restore(&new, NOW)] {
        assert_eq!((book.pool(), book.present().count()), (Some(seats(20, 0)), 1));
    }
}
