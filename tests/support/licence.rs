//! Licences for the node under test, signed with the built-in demo key.

use nantucket::licence::document::Document;
use nantucket::licence::key::Signer;
use nantucket::licence::terms::{Body, Right, SCHEMA, Terms, Volume};
use nantucket::model::Seats;
use serde_json::{Value, json};

/// The text of a document.
pub fn signed(id: &str, terms: Terms) -> String {
    let body =
        Body { schema: SCHEMA, id: id.into(), issued: 1_700_000_000, holder: "Tests".into(), expires: None, terms };
    Document::issue(&body, &Signer::demo()).unwrap().text()
}

/// A volume licence of so many users.
pub fn volume(full: u32, light: u32) -> String {
    let users = Seats { full, light };
    signed(
        &format!("VOL-{full}-{light}"),
        Terms::Volume(Volume { users, rights: vec![Right::Softphone], hardware: None }),
    )
}

/// What an instance is given that must not run out of users.
pub fn cloud() -> Value {
    json!({"mode": "cloud", "booked": {"full": 1_000, "light": 1_000}})
}
