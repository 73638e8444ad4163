//! A licence as the store keeps it: the document as it was signed, and what became of it here.

use crate::licence::document::Document;
use crate::licence::{Book, Installed};
use crate::model;
use serde::{Deserialize, Serialize};

/// One installed document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LicenceRow {
    /// Version of this document's shape.
    pub schema: u32,
    /// As it was signed.
    pub document: Document,
    /// When it was installed, in Unix seconds of the licence clock.
    pub installed: u64,
}

impl LicenceRow {
    /// A document that is installed at this moment.
    pub const fn new(document: Document, now: u64) -> Self {
        Self { schema: model::SCHEMA, document, installed: now }
    }
}

/// What licences come to.
pub(in crate::control) fn book<'a>(rows: impl Iterator<Item = &'a LicenceRow>) -> Book {
    rows.fold(Book::default(), |book, row| match book.install(row.document.clone(), true, row.installed) {
        Ok(Installed::Done(book)) => book,
        Ok(Installed::Unchanged | Installed::Confirm(_)) | Err(_) => book,
    })
}
