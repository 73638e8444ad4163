//! Packs, features and contracts on server licences (R50 to R56).

use super::*;

/// A book with the server licence S-1.
fn with_server(edition: Edition) -> Book {
    with(&empty(), document("S-1", server(edition, "8.0")))
}

fn users(book: &Book) -> (u32, u32) {
    let seats = dedicated(book, "S-1").seats;
    (seats.full, seats.light)
}

#[test]
fn a_server_licence_includes_its_users() {
    // R50 R52
    for (edition, included) in [(Edition::Vm, 1), (Edition::Appliance, 1), (Edition::Compact, 3), (Edition::Free, 3)] {
        assert_eq!(users(&with_server(edition)), (included, 0));
    }
    let unknown = dedicated(&empty(), "S-1");
    assert_eq!((unknown.seats, unknown.standing), (seats(0, 0), Standing::Unlicensed));
}

#[test]
fn packs_add_to_the_included_users() {
    // R51 R56
    let compact = with(&with_server(Edition::Compact), document("P-1", pack_for("S-1", 1, "8.0")));
    assert_eq!(users(&compact), (4, 0), "three and one bought");
    let book = with(&with_server(Edition::Vm), document("P-1", pack(Kind::Light, 7, "8.0")));
    assert_eq!(users(&book), (1, 0), "not attached yet");
    let book = book.attach("P-1", "S-1", NOW).unwrap();
    assert_eq!(users(&book), (1, 7), "kinds are counted apart");
    assert_eq!(book.attach("P-1", "S-1", NOW).as_ref(), Ok(&book), "again");
    assert_eq!(users(&book.release("P-1", NOW).unwrap()), (1, 0));
    assert_eq!(empty().release("P-1", NOW).unwrap_err().code, "no-licence");
}

#[test]
fn compact_is_capped_at_twenty_users() {
    // R51
    for (count, fits) in [(16, true), (17, true), (18, false)] {
        let result = with_server(Edition::Compact).install(document("P-1", pack_for("S-1", count, "8.0")), false, NOW);
        assert_eq!(result.is_ok(), fits, "3 + {count}");
        if !fits {
            let error = refusal(result);
            assert_eq!((error.rule, error.number("users"), error.number("cap")), ("R51", Some(21), Some(20)));
        }
    }
    let full = with(&with_server(Edition::Compact), document("P-1", pack_for("S-1", 17, "8.0")));
    assert_eq!(dedicated(&full, "S-1").total, 20);
    let more = with(&full, document("P-2", pack(Kind::Light, 1, "8.0")));
    assert_eq!(more.attach("P-2", "S-1", NOW).unwrap_err().rule, "R51", "a light user is a user");
    let bigger = refusal(full.install(issued("P-1", 1, None, pack_for("S-1", 18, "8.0")), false, NOW));
    assert_eq!(bigger.number("users"), Some(21), "a later issue of the same pack counts once");
    // Others have no cap.
    let vm = with(&with_server(Edition::Vm), document("P-1", pack_for("S-1", 100_000, "8.0")));
    assert_eq!((users(&vm).0, dedicated(&vm, "S-1").total), (100_001, u32::MAX));
}

#[test]
fn the_free_edition_grows_in_no_way() {
    // R52
    let free = with_server(Edition::Free);
    assert_eq!((users(&free), dedicated(&free, "S-1").total), ((3, 0), 3));
    for terms in [pack_for("S-1", 1, "8.0"), feature("S-1", "8.0"), contract("S-1", "9.0", NOW, NOW + DAY)] {
        assert_eq!(refusal(free.install(document("X-1", terms), false, NOW)).rule, "R52");
    }
    // Its users do not carry over.
    let book = with(&free, document("S-2", server(Edition::Vm, "8.0")));
    let book = with(&book, document("P-1", pack_for("S-2", 5, "8.0")));
    assert_eq!(dedicated(&book, "S-2").seats, seats(6, 0), "one included and five bought");
}

#[test]
fn a_pack_belongs_to_one_server_licence() {
    // R53
    let book = with(&with_server(Edition::Vm), document("S-2", server(Edition::Vm, "8.0")));
    let book = with(&book, document("P-1", pack(Kind::Full, 5, "8.0"))).attach("P-1", "S-1", NOW).unwrap();
    assert_eq!(book.attach("P-1", "S-2", NOW).unwrap_err().code, "attached-elsewhere");
    let moved = book.release("P-1", NOW).unwrap().attach("P-1", "S-2", NOW).unwrap();
    assert_eq!((users(&moved), dedicated(&moved, "S-2").seats), ((1, 0), seats(6, 0)));
    let named = with(&book, document("P-2", pack_for("S-1", 5, "8.0"))).release("P-2", NOW).unwrap();
    assert_eq!(named.attach("P-2", "S-2", NOW).unwrap_err().code, "other-server-licence");
    assert_eq!(named.attach("S-2", "S-1", NOW).unwrap_err().code, "not-attachable");
    assert_eq!(named.attach("P-2", "S-9", NOW).unwrap_err().code, "other-server-licence");
    assert_eq!(moved.release("P-1", NOW).unwrap().attach("P-1", "S-9", NOW).unwrap_err().code, "no-server-licence");
}

#[test]
fn packs_that_name_their_server_licence_wait_for_it() {
    // R59
    let waiting = with(&empty(), document("P-1", pack_for("S-1", 5, "8.0")));
    let waiting = with(&waiting, document("P-2", pack(Kind::Full, 5, "8.0")));
    let book = with(&waiting, document("S-1", server(Edition::Vm, "8.0")));
    assert_eq!(users(&book), (6, 0), "the one that names it, and not the other");
}

#[test]
fn soft_clients_of_a_server_licence_are_a_feature_of_its_own() {
    // R58
    let book = with_server(Edition::Vm);
    assert!(!dedicated(&book, "S-1").softphones);
    let book = with(&book, document("F-1", feature("S-1", "8.0")));
    assert!(dedicated(&book, "S-1").softphones);
    assert!(!dedicated(&book.release("F-1", NOW).unwrap(), "S-1").softphones);
}

#[test]
fn a_contract_raises_everything_attached_together() {
    // R54
    let book = with(&with_server(Edition::Vm), document("P-1", pack_for("S-1", 5, "8.0")));
    let book = with(&book, document("P-2", pack(Kind::Full, 5, "8.0")));
    let (from, until) = (NOW + 10, NOW + 20);
    let book = with(&book, document("C-1", contract("S-1", "8.2", from, until)));
    let reached = |book: &Book| ["S-1", "P-1", "P-2"].map(|id| book.licence(id).unwrap().reached.to_string());
    assert_eq!(reached(&book.at(from - 1).0), ["8.0", "8.0", "8.0"]);
    assert_eq!(book.next_change(), Some(from));
    let (running, notices) = book.at(from);
    assert_eq!(reached(&running), ["8.2", "8.2", "8.0"]);
    let release = release("8.2");
    let told = |id: &str| Notice::Entitled { licence: id.into(), release };
    assert_eq!(notices, [told("P-1"), told("S-1")]);
    assert_eq!(running.attach("P-2", "S-1", NOW).unwrap_err().rule, "R55");
    // What was reached stays when it ends, also for a node that was off in between.
    assert_eq!(reached(&running.at(until).0), ["8.2", "8.2", "8.0"]);
    assert_eq!(reached(&book.at(until + DAY).0), ["8.2", "8.2", "8.0"]);
    // One that is over is not taken.
    for (now, fits) in [(until - 1, true), (until, false), (until + 1, false)] {
        let result = with_server(Edition::Vm).install(document("C-1", contract("S-1", "8.2", from, until)), false, now);
        assert_eq!(result.is_ok(), fits);
    }
    let error = refusal(empty().install(document("C-1", contract("S-1", "8.2", from, until)), false, NOW));
    assert_eq!(error.code, "no-server-licence");
}

#[test]
fn the_worked_case_of_a_detached_pack() {
    // R55: server + 10 + 10 bought at 6.7, contract to 8.0, one pack detached, contract to 8.2.
    let book = with(&empty(), document("S-1", server(Edition::Vm, "6.7")));
    let book = with(&book, document("P-1", pack_for("S-1", 10, "6.7")));
    let book = with(&book, document("P-2", pack_for("S-1", 10, "6.7")));
    assert_eq!(users(&book), (21, 0));
    let book = with(&book, document("C-1", contract("S-1", "8.0", NOW, NOW + 365 * DAY)));
    for by_vendor in [false, true] {
        let book = if by_vendor {
            with(&book, issued("D-1", 1, None, detachment("P-2", "S-1")))
        } else {
            book.release("P-2", NOW).unwrap()
        };
        assert_eq!(users(&book), (11, 0));
        // Of the same entitlement it could be attached again.
        assert!(book.attach("P-2", "S-1", NOW).is_ok());
        let book = with(&book, document("C-2", contract("S-1", "8.2", NOW, NOW + 365 * DAY)));
        let error = book.attach("P-2", "S-1", NOW).unwrap_err();
        assert_eq!(error.rule, "R55");
        assert!(error.text.contains("8.0") && error.text.contains("8.2"), "{error}");
        assert_eq!(users(&book), (11, 0));
        // Taking it out and in again does not change what it entitles to.
        let again = book.remove("P-2", &Tally::default(), NOW).unwrap();
        let error = refusal(again.install(document("P-2", pack_for("S-1", 10, "6.7")), false, NOW));
        assert_eq!(error.rule, "R55");
        assert_eq!(again.licence("P-2").unwrap().reached, release("8.0"));
    }
}

#[test]
fn a_pack_the_vendor_detached_is_raised_no_more() {
    // R55 R56
    let book = with(&with_server(Edition::Vm), document("P-1", pack_for("S-1", 10, "8.0")));
    let book = with(&book, issued("D-1", 1, None, detachment("P-1", "S-1"))).attach("P-1", "S-1", NOW).unwrap();
    assert_eq!(users(&book), (11, 0));
    let book = with(&book, document("C-1", contract("S-1", "8.2", NOW, NOW + DAY)));
    assert_eq!(users(&book), (1, 0), "it does not count with a server licence of a higher entitlement");
    let view = book.server_view("S-1").unwrap();
    assert_eq!((view.entitlement, view.attached.len(), view.contract_until), (release("8.2"), 1, Some(NOW + DAY)));
    assert!(view.attached[0].idle.as_deref().is_some_and(|why| why.contains("8.0")), "{view:?}");
    // Neither the vendor's word nor an older one can be taken out.
    assert_eq!(book.remove("D-1", &Tally::default(), NOW).unwrap_err().rule, "R55");
    // Issued anew by the vendor it counts.
    let book = with(&book.release("P-1", NOW).unwrap(), issued("P-1", 2, None, pack_for("S-1", 10, "8.2")));
    assert_eq!(users(&book), (11, 0));
    let raised = with(&book, document("C-2", contract("S-1", "8.3", NOW, NOW + DAY)));
    assert_eq!(users(&raised), (11, 0), "and is raised again");
    let wrong = issued("D-2", 3, None, detachment("P-1", "S-2"));
    assert_eq!(refusal(book.install(wrong, false, NOW)).code, "other-server-licence");
    let wrong = issued("D-2", 3, None, detachment("S-1", "S-1"));
    assert_eq!(refusal(book.install(wrong, false, NOW)).code, "not-attachable");
}

#[test]
fn what_a_licence_reached_survives_its_later_issue_and_its_absence() {
    // R54 R55
    let book = with(&with_server(Edition::Vm), document("P-1", pack_for("S-1", 10, "8.0")));
    let book = with(&book, document("C-1", contract("S-1", "8.2", NOW, NOW + DAY)));
    let again = with(&book, issued("S-1", 1, None, server(Edition::Vm, "8.0")));
    assert_eq!((again.server("S-1").map(|it| it.1), users(&again)), (Some(release("8.2")), (11, 0)));
    // A detached pack does not come back with its server licence, the others do.
    let book = with(&book, document("P-2", pack_for("S-1", 5, "8.2")));
    let book = with(&book, issued("D-1", 1, None, detachment("P-1", "S-1")));
    let gone = book.release("P-2", NOW).unwrap().remove("S-1", &Tally::default(), NOW).unwrap();
    assert_eq!(dedicated(&gone, "S-1").standing, Standing::Unlicensed);
    assert_eq!(users(&with(&gone, document("S-1", server(Edition::Vm, "8.0")))), (6, 0));
}

#[test]
fn a_pack_of_a_lower_entitlement_does_not_count() {
    // R55 R56
    for (entitlement, fits) in [("7.9", false), ("8.0", true), ("8.1", true)] {
        let result = with_server(Edition::Vm).install(document("P-1", pack_for("S-1", 10, entitlement)), false, NOW);
        assert_eq!(result.is_ok(), fits, "{entitlement}");
    }
}

#[test]
fn a_pack_counts_until_its_own_end() {
    let end = NOW + 5 * DAY;
    let book = with(&with_server(Edition::Vm), issued("P-1", 0, Some(end), pack_for("S-1", 10, "8.0")));
    assert_eq!((users(&book), users(&book.at(end - 1).0), users(&book.at(end).0)), ((11, 0), (11, 0), (1, 0)));
    assert_eq!(book.at(end).0.server_view("S-1").unwrap().attached[0].idle.as_deref(), Some("it has expired"));
}
