//! The book from outside: what is installed, attached and moved, and what an instance gets of it.

use super::testing::*;
use super::*;
use crate::licence::Standing;
use crate::licence::binding::TEMPORARY;
use crate::licence::edition::Edition;
use crate::licence::pool::Tally;
use crate::model::Kind;

mod attached;
mod moved;

#[test]
fn community_needs_no_licence() {
    // R16 R17
    let allowance = Book::default().allowance(&Instance::named("acme"));
    assert_eq!(allowance, Allowance::COMMUNITY);
    assert_eq!((allowance.total, allowance.softphones), (3, true));
}

#[test]
fn a_cloud_instance_has_what_it_booked() {
    // R18 R20
    let none = cloud(&empty());
    assert_eq!((none.standing, none.softphones, none.seats), (Standing::Unlicensed, false, seats(10, 0)));
    let book = with(&empty(), document("V-1", volume(100, 5)));
    assert_eq!(book.pool(), Some(seats(100, 5)));
    let allowance = cloud(&book);
    assert_eq!((allowance.standing, allowance.softphones), (Standing::Active, true));
    assert_eq!((allowance.seats, allowance.total), (seats(10, 0), u32::MAX), "whatever else is free in the pool");
}

#[test]
fn a_volume_licence_without_soft_clients_says_so() {
    // R58
    let terms = Terms::Volume(Volume { users: seats(9, 0), rights: Vec::new(), hardware: None });
    assert!(!cloud(&with(&empty(), document("V-1", terms))).softphones);
}

#[test]
fn a_new_volume_licence_takes_the_place_of_the_old() {
    // R21
    let book = with(&empty(), document("V-1", volume(100, 0)));
    let more = with(&book, issued("V-2", 5, None, volume(200, 0)));
    assert_eq!(more.pool(), Some(seats(200, 0)));
    assert_eq!(more.present().count(), 1);
    // R22: a smaller one is taken too.
    let fewer = with(&more, issued("V-2", 6, None, volume(50, 0)));
    assert_eq!(fewer.pool(), Some(seats(50, 0)));
    // R64: an older one is not, whatever its id.
    for (id, after) in [("V-2", 5), ("V-3", 5), ("V-1", 0)] {
        let error = refusal(fewer.install(issued(id, after, None, volume(999, 0)), false, NOW));
        assert_eq!((error.rule, error.code), ("R64", "document-older"), "{id}");
    }
    // Nor another one of the same moment under the same id.
    let twin = refusal(fewer.install(issued("V-2", 6, None, volume(51, 0)), false, NOW));
    assert_eq!(twin.code, "document-older");
}

#[test]
fn the_same_document_changes_nothing() {
    // R60
    let book = with(&empty(), document("V-1", volume(100, 0)));
    assert_eq!(book.install(document("V-1", volume(100, 0)), true, NOW + 5), Ok(Installed::Unchanged));
}

#[test]
fn an_id_stays_with_its_kind() {
    // R64
    let book = with(&empty(), document("X-1", volume(100, 0)));
    let error = refusal(book.install(issued("X-1", 1, None, pack(Kind::Full, 1, "8.0")), false, NOW));
    assert_eq!(error.code, "document-wrong-kind");
}

#[test]
fn a_trial_ends_on_its_second() {
    // R60 R63
    let end = NOW + 30 * DAY;
    let book = with(&empty(), issued("V-1", 0, Some(end), volume(100, 0)));
    assert_eq!(cloud(&book).standing, Standing::Until(end));
    assert_eq!(book.next_change(), Some(end));
    assert_eq!(cloud(&book.at(end - 1).0).standing, Standing::Until(end));
    let (over, notices) = book.at(end);
    assert_eq!(
        (cloud(&over).standing, notices),
        (Standing::Deactivated, vec![Notice::Expired { licence: "V-1".into() }])
    );
    // The clock set back revives nothing.
    assert_eq!(cloud(&over.at(NOW).0).standing, Standing::Deactivated);
    let error = refusal(over.install(issued("V-1", 1, Some(end), volume(100, 0)), false, NOW));
    assert_eq!(error.code, "document-expired", "by the time that was seen, not by the clock");
}

#[test]
fn what_is_in_use_is_not_removed() {
    // R18 R53
    let book = with(&empty(), document("V-1", volume(100, 0)));
    let book = with(&book, document("S-1", server(Edition::Vm, "8.0")));
    let mut instance = Instance::named("acme");
    instance.state = crate::model::State::On;
    instance.licence.mode = Mode::Cloud;
    instance.licence.booked = seats(1, 0);
    let mut own = Instance::named("own");
    own.licence.mode = Mode::Dedicated;
    own.licence.server = Some("S-1".into());
    let tally = Tally::of([&instance, &own]);
    let error = book.remove("V-1", &tally, NOW).unwrap_err();
    assert_eq!((error.rule, error.number("booked")), ("R18", Some(1)));
    assert_eq!(book.remove("S-1", &tally, NOW).unwrap_err().rule, "R53");
    let gone = book.remove("V-1", &Tally::default(), NOW).unwrap().remove("S-1", &Tally::default(), NOW).unwrap();
    assert_eq!((gone.pool(), gone.server("S-1"), gone.present().count()), (None, None, 0));
    assert_eq!(gone.remove("V-1", &tally, NOW).unwrap_err().code, "no-licence");
    // It can be put in again.
    assert_eq!(with(&gone, document("V-1", volume(100, 0))).pool(), Some(seats(100, 0)));
}

#[test]
fn a_book_is_stored_with_the_signed_bytes() {
    // R64
    let book = with(&empty(), document("V-1", volume(100, 0)));
    let book = with(&book, document("S-1", server(Edition::Vm, "8.0")));
    let book = with(&book, document("P-1", pack_for("S-1", 5, "8.0")));
    let stored = serde_json::to_string(&book).unwrap();
    let read: Book = serde_json::from_str(&stored).unwrap();
    assert_eq!((&read, dedicated(&read, "S-1").seats), (&book, seats(6, 0)));
    let (kept, refused) = read.clone().verified(&Keys::demo());
    assert_eq!((kept, refused.len()), (book, 0));
    // Of another vendor: nothing of it is believed.
    let vendor = Signer::new("acme", &[1; 32]).unwrap().public();
    let (kept, refused) = read.verified(&Keys::new([("acme", vendor.as_str())]).unwrap());
    assert_eq!((kept.pool(), kept.licences().count(), refused.len()), (None, 0, 3));
    assert!(refused.iter().all(|(_, error)| error.kind() == "document-demo-key"));
}

#[test]
fn the_demonstrations_book_is_a_real_one() {
    let book = Book::demo(seats(7, 1));
    assert_eq!((book.pool(), cloud(&book).standing), (Some(seats(7, 1)), Standing::Active));
    assert_eq!(book.verified(&Keys::demo()).1, []);
}

#[test]
fn a_large_book_is_worked_out_in_one_go() {
    // 2,000 server licences, each with a pack and a contract: an operation must not take the square of that.
    let licences = (0..2_000).flat_map(|n| {
        let (id, terms) = (format!("S-{n}"), server(Edition::Vm, "8.0"));
        let pack = document(&format!("P-{n}"), pack_for(&id, 5, "8.0"));
        let contract = document(&format!("C-{n}"), contract(&id, "8.2", NOW + 1, NOW + DAY));
        let pack = Licence { server: Some(id.clone()), ..Licence::new(pack) };
        let here = Licence::new(document(&id, terms));
        let binding = here.binding.confirm(machine(1), None, NOW);
        [Licence { binding, ..here }, pack, Licence::new(contract)].map(Arc::new)
    });
    let book = Book::of(Installation { hardware: machine(1), seen: NOW }, licences);
    let (running, notices) = book.at(NOW + 1);
    assert_eq!((notices.len(), dedicated(&running, "S-1999").seats), (4_000, seats(6, 0)));
    let restored = Book::new(machine(1), NOW).restore(&running, NOW + 1);
    assert_eq!(dedicated(&restored, "S-1999").seats, seats(6, 0));
}
