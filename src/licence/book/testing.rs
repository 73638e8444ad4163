//! Documents of a vendor for the tests of the book.

use super::*;
use crate::licence::edition::Edition;
use crate::licence::hardware::Machine;
use crate::licence::refusal::Refusal;
use crate::licence::terms::{Confirmation, Contract, Detachment, Feature, Pack, Terms};
use crate::model::Kind;

pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const DAY: u64 = 86_400;

pub(super) fn machine(key: u8) -> HardwareId {
    Machine { cpu: Vec::new(), key: [key; 32] }.id()
}

/// The book of machine 1.
pub(super) fn empty() -> Book {
    Book::new(machine(1), NOW)
}

pub(super) fn release(text: &str) -> Release {
    text.parse().unwrap()
}

pub(super) fn seats(full: u32, light: u32) -> Seats {
    Seats { full, light }
}

/// A document issued so many seconds after the tests' beginning.
pub(super) fn issued(id: &str, after: u64, expires: Option<u64>, terms: Terms) -> Document {
    let body = Body { schema: SCHEMA, id: id.into(), issued: NOW + after, holder: "Acme".into(), expires, terms };
    Document::issue(&body, &Signer::demo()).unwrap()
}

pub(super) fn document(id: &str, terms: Terms) -> Document {
    issued(id, 0, None, terms)
}

pub(super) fn volume(full: u32, light: u32) -> Terms {
    Terms::Volume(Volume { users: seats(full, light), rights: vec![Right::Softphone], hardware: None })
}

pub(super) fn server(edition: Edition, entitlement: &str) -> Terms {
    let (included, entitlement) = (edition.included(), release(entitlement));
    Terms::Server(Server { edition, included, entitlement, rights: Vec::new(), hardware: None })
}

pub(super) fn pack(kind: Kind, count: u32, entitlement: &str) -> Terms {
    Terms::Pack(Pack { kind, count, entitlement: release(entitlement), server: None })
}

pub(super) fn pack_for(server: &str, count: u32, entitlement: &str) -> Terms {
    Terms::Pack(Pack { kind: Kind::Full, count, entitlement: release(entitlement), server: Some(server.into()) })
}

pub(super) fn feature(server: &str, entitlement: &str) -> Terms {
    let rights = vec![Right::Softphone];
    Terms::Feature(Feature { rights, entitlement: release(entitlement), server: server.into() })
}

pub(super) fn contract(server: &str, entitlement: &str, from: u64, until: u64) -> Terms {
    Terms::Contract(Contract { server: server.into(), release: release(entitlement), from, until })
}

pub(super) fn confirmation(licence: &str, hardware: u8, revoked: u8) -> Terms {
    let (hardware, revoked) = (machine(hardware), Some(machine(revoked)));
    Terms::Confirmation(Confirmation { licence: licence.into(), hardware, revoked })
}

pub(super) fn detachment(licence: &str, server: &str) -> Terms {
    Terms::Detachment(Detachment { licence: licence.into(), server: server.into() })
}

/// The book with a document more; it must be taken.
#[track_caller]
pub(super) fn with(book: &Book, document: Document) -> Book {
    match book.install(document, false, NOW) {
        Ok(Installed::Done(book)) => book,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(super) fn refusal(result: Result<Installed, Refusal>) -> Refusal {
    match result {
        Err(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// The allowance of a dedicated instance.
pub(super) fn dedicated(book: &Book, server: &str) -> Allowance {
    let mut instance = Instance::named("acme");
    instance.licence.mode = Mode::Dedicated;
    instance.licence.server = Some(server.into());
    book.allowance(&instance)
}

/// The allowance of a cloud instance with ten users booked.
pub(super) fn cloud(book: &Book) -> Allowance {
    let mut instance = Instance::named("acme");
    instance.licence.mode = Mode::Cloud;
    instance.licence.booked = seats(10, 0);
    book.allowance(&instance)
}
