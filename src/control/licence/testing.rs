//! Licences for the tests of every room, signed with the built-in demo key.

use crate::licence::document::Document;
use crate::licence::key::Signer;
use crate::licence::terms::{Body, Right, SCHEMA, Terms, Volume};
use crate::model::Seats;

/// When they are issued.
pub const ISSUED: u64 = 1_700_000_000;

/// The text of a document.
pub fn signed(id: &str, terms: Terms) -> String {
    signed_by(id, terms, &Signer::demo())
}

/// The text of a document of this key.
pub fn signed_by(id: &str, terms: Terms, signer: &Signer) -> String {
    let body = Body { schema: SCHEMA, id: id.into(), issued: ISSUED, holder: "Tests".into(), expires: None, terms };
    Document::issue(&body, signer).unwrap().text()
}

/// A volume licence of so many users.
pub fn volume(full: u32, light: u32) -> String {
    let users = Seats { full, light };
    signed(
        &format!("VOL-{full}-{light}"),
        Terms::Volume(Volume { users, rights: vec![Right::Softphone], hardware: None }),
    )
}
