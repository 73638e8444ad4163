//! Changes of the licence book.

use super::{Draft, json};
use crate::control::licence::LicenceRow;
use crate::control::rows::Kept;
use crate::licence::document::Document;
use crate::licence::terms::DocumentKind;
use crate::route::problem::Code;
use std::sync::Arc;

impl Draft<'_> {
    pub(super) fn install_licence(&mut self, text: &str) {
        let (keys, now) = (self.base.premises.keys.load(), self.base.premises.now());
        let document = match Document::read(text, &keys, now) {
            Ok(document) => document,
            Err(error) => return self.problem("licence", "document", Code::LicenceInvalid, error.to_string()),
        };
        if document.kind() == DocumentKind::Volume {
            // R18 R21: one volume licence per installation.
            let volume = |kept: &&Kept<LicenceRow>| kept.row.document.kind() == DocumentKind::Volume;
            let others: Vec<String> =
                self.licences.values().filter(volume).map(|kept| kept.row.document.id().to_owned()).collect();
            for id in others.into_iter().filter(|id| id != document.id()) {
                self.put_licence(id, None, "remove-licence");
            }
        }
        let id = document.id().to_owned();
        self.put_licence(id, Some(LicenceRow::new(document, now)), "install-licence");
    }

    fn put_licence(&mut self, id: String, new: Option<LicenceRow>, action: &'static str) {
        let old = self.licences.get(&id).cloned();
        let before = old.as_ref().map(|kept| &*kept.row);
        if before.zip(new.as_ref()).is_some_and(|(before, after)| before.document == after.document) {
            return;
        }
        self.note(action, "licence", Some(id.clone()), json(before), json(new.as_ref()));
        let revision = old.map_or(0, |old| old.revision);
        self.licences.set(id, new.map(|row| Kept { row: Arc::new(row), revision, next: 0 }));
    }
}
