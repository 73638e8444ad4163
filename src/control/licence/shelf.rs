//! Licences as the store has them, and the book they make on this machine.
//!
//! The book is worked out when rows or the accepted keys change, and read for every compile and every change. A
//! document that no accepted key vouches for stays in the store and counts for nothing.

use super::premises::Premises;
use crate::control::rows::Kept;
use crate::licence::book::{Installation, Licence};
use crate::licence::{Book, DocumentError};
use crate::route::problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One installed document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LicenceRow {
    /// Version of this row's shape.
    pub schema: u32,
    /// When the document was installed, in Unix seconds of the licence clock.
    pub installed: u64,
    /// The document and what became of it.
    pub licence: Arc<Licence>,
}

/// The machine, and the latest moment that was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallationRow {
    /// Version of this row's shape.
    pub schema: u32,
    /// What is not of a single licence.
    pub installation: Installation,
}

/// All of them.
#[derive(Default)]
pub(in crate::control) struct Shelf {
    pub(in crate::control) licences: BTreeMap<String, Kept<LicenceRow>>,
    pub(in crate::control) installation: Option<Kept<InstallationRow>>,
    /// As they were stored, perhaps on another machine.
    pub(in crate::control) stored: Arc<Book>,
    /// What they come to on this one.
    pub(in crate::control) book: Arc<Book>,
    refused: Vec<(String, DocumentError)>,
}

impl Shelf {
    /// Works out the book anew.
    pub(in crate::control) fn settle(&mut self, premises: &Premises) {
        let here = premises.machine.id();
        let fresh = Installation { hardware: here, seen: 0 };
        let installation = self.installation.as_ref().map_or(fresh, |kept| kept.row.installation.clone());
        premises.note(installation.seen);
        let licences = self.licences.values().map(|kept| Arc::clone(&kept.row.licence));
        let (stored, refused) = Book::of(installation, licences).verified(&premises.keys());
        self.stored = Arc::new(stored);
        self.refused = refused;
        self.book = if self.stored.installation().hardware == here {
            Arc::clone(&self.stored)
        } else {
            Arc::new(self.stored.on(here, premises.now()).0)
        };
    }

    /// The documents that count for nothing, and why.
    pub(in crate::control) fn problems(&self) -> impl Iterator<Item = Problem> {
        let present = |id: &str| self.licences.get(id).is_some_and(|kept| !kept.row.licence.removed);
        self.refused.iter().filter(move |(id, _)| present(id)).map(|(id, error)| {
            Problem::new(
                format!("licence/{id}"),
                "document",
                Code::of(error.kind()),
                format!("does not count: {error}"),
            )
        })
    }
}

/// A licence for the audit: what the document says instead of its text.
pub(in crate::control) fn audited(licence: &Licence) -> Option<serde_json::Value> {
    let mut value = serde_json::to_value(licence).ok()?;
    value.as_object_mut()?.insert("document".into(), serde_json::to_value(licence.document.body()).ok()?);
    Some(value)
}
