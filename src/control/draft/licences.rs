//! Changes of the licence book: the book itself says what is refused.

use super::{Draft, Noted};
use crate::control::error::ServiceError;
use crate::control::licence::backup::{Backup, SCHEMA};
use crate::control::licence::{InstallationRow, LicenceRow, audited};
use crate::control::rows::{Document as Row, INSTALLATION, licence_key};
use crate::licence::book::Notice;
use crate::licence::document::Document;
use crate::licence::pool::Tally;
use crate::licence::{Book, HardwareId, Installed, Refusal};
use crate::model;
use crate::route::problem::{Code, Problem};
use serde_json::json;
use std::sync::Arc;

impl Draft<'_> {
    pub(super) fn install_licence(&mut self, text: &str, confirm: bool) {
        let (keys, now) = (self.base.premises.keys(), self.base.premises.now());
        let document = match Document::verify(text, &keys) {
            Ok(document) => document,
            Err(error) => return self.refuse("licence", "document", &error.into()),
        };
        let (id, place) = (document.id().to_owned(), format!("licence/{}", document.id()));
        match self.book.install(document, confirm, now) {
            Ok(Installed::Done(book)) => self.set_book(book, &id, "install-licence"),
            Ok(Installed::Unchanged) => {}
            Ok(Installed::Confirm(warning)) => {
                self.problem(&place, "confirm", Code::BoundElsewhere, format!("{warning} (R59)"));
            }
            Err(refusal) => self.refuse(&place, "document", &refusal),
        }
    }

    pub(super) fn remove_licence(&mut self, id: &str) -> Result<(), ServiceError> {
        self.known_licence(id)?;
        let mut tally = Tally::over(&self.base.tally);
        self.instances.changed().filter_map(|(_, before, _)| before).for_each(|before| tally.remove(&before.row));
        self.instances.changed().filter_map(|(.., after)| after).for_each(|after| tally.add(&after.row));
        let removed = self.book.remove(id, &tally, self.base.premises.now());
        self.set_or_refuse(removed, id, "", "remove-licence");
        Ok(())
    }

    pub(super) fn attach_licence(&mut self, id: &str, server: &str) -> Result<(), ServiceError> {
        self.known_licence(id)?;
        let attached = self.book.attach(id, server, self.base.premises.now());
        self.set_or_refuse(attached, id, "server", "attach-licence");
        Ok(())
    }

    pub(super) fn release_licence(&mut self, id: &str) -> Result<(), ServiceError> {
        self.known_licence(id)?;
        let released = self.book.release(id, self.base.premises.now());
        self.set_or_refuse(released, id, "server", "release-licence");
        Ok(())
    }

    pub(super) fn restore_licences(&mut self, backup: &Backup) {
        if backup.schema != SCHEMA {
            let reason = format!("has schema {}, known is {SCHEMA}", backup.schema);
            return self.problem("licence", "schema", Code::SchemaUnknown, reason);
        }
        let (keys, now) = (self.base.premises.keys(), self.base.premises.now());
        let (backup, refused) = backup.book.clone().verified(&keys);
        for (id, error) in &refused {
            let place = format!("licence/{id}");
            self.refuse(&place, "document", &error.clone().into());
        }
        if refused.is_empty() {
            self.set_book(self.book.restore(&backup, now), "", "restore-licences");
        }
    }

    /// Takes over a book; the licence that was meant is noted with the action, those that follow it as such.
    pub(in crate::control) fn set_book(&mut self, book: Book, meant: &str, action: &'static str) {
        let before = std::mem::replace(&mut self.book, Arc::new(book));
        let after = Arc::clone(&self.book);
        for licence in after.licences() {
            let id = licence.document.id();
            let old = before.licence(id);
            if old.is_some_and(|old| Arc::ptr_eq(old, licence) || old == licence) {
                continue;
            }
            let action = if id == meant || meant.is_empty() { action } else { "update-licence" };
            self.note(action, "licence", Some(id.to_owned()), old.and_then(|old| audited(old)), audited(licence));
        }
    }

    /// Takes over the book of this moment and this machine, with what happened since the one that is stored.
    pub(in crate::control) fn settle_book(&mut self, book: Book, notices: &[Notice]) {
        self.book = Arc::clone(&self.base.shelf.stored);
        let (was, is) = (self.book.installation().hardware, book.installation().hardware);
        if was != is {
            let hardware = |id: HardwareId| Some(json!({ "hardware": id.to_string() }));
            let (before, after) = (hardware(was), hardware(is));
            self.audit.push(Noted { action: "move-installation", object: INSTALLATION.to_owned(), before, after });
        }
        for notice in notices {
            let id = notice.licence();
            let before = self.book.state(id).map(|state| json!(state));
            let after = json!({ "state": book.state(id), "text": notice.text() });
            self.note(action(notice), "licence", Some(id.to_owned()), before, Some(after));
        }
        self.set_book(book, "", "update-licence");
    }

    /// Notes that licences of these keys are accepted now, and no others.
    pub(in crate::control) fn note_keys(&mut self, ids: &[String]) {
        let refused: Vec<String> = self.base.shelf.problems().map(|problem| problem.row).collect();
        let after = Some(json!({ "keys": ids, "refused": refused }));
        self.audit.push(Noted { action: "accept-keys", object: INSTALLATION.to_owned(), before: None, after });
    }

    /// The rows that the book makes other than they are: key, revision before, and text.
    pub(super) fn licence_entries(&self) -> serde_json::Result<Vec<(String, u64, String)>> {
        let (shelf, mut entries) = (&self.base.shelf, Vec::new());
        if Arc::ptr_eq(&self.book, &shelf.book) {
            return Ok(entries);
        }
        let installation = self.book.installation();
        for licence in self.book.licences() {
            let id = licence.document.id();
            let old = shelf.licences.get(id);
            if old.is_some_and(|old| old.row.licence == *licence) {
                continue;
            }
            let same = old.filter(|old| old.row.licence.document == licence.document && !old.row.licence.removed);
            let installed = same.map_or(installation.seen, |old| old.row.installed);
            let row = LicenceRow { schema: model::SCHEMA, installed, licence: Arc::clone(licence) };
            let text = serde_json::to_string(&Row { row, next: 0 })?;
            entries.push((licence_key(id), old.map_or(0, |old| old.revision), text));
        }
        let old = shelf.installation.as_ref();
        if old.is_none_or(|old| old.row.installation != *installation) {
            let row = InstallationRow { schema: model::SCHEMA, installation: installation.clone() };
            let text = serde_json::to_string(&Row { row, next: 0 })?;
            entries.push((INSTALLATION.to_owned(), old.map_or(0, |old| old.revision), text));
        }
        Ok(entries)
    }

    fn set_or_refuse(&mut self, made: Result<Book, Refusal>, id: &str, field: &str, action: &'static str) {
        match made {
            Ok(book) => self.set_book(book, id, action),
            Err(refusal) => self.refuse(&format!("licence/{id}"), field, &refusal),
        }
    }

    fn refuse(&mut self, place: &str, field: &str, refusal: &Refusal) {
        self.problems.push(Problem::refused(place, field, refusal));
    }

    fn known_licence(&self, id: &str) -> Result<(), ServiceError> {
        let known = self.book.licence(id).is_some_and(|licence| !licence.removed);
        known.then_some(()).ok_or_else(|| ServiceError::NotFound { row: format!("licence/{id}") })
    }
}

/// What a notice is called in the audit.
const fn action(notice: &Notice) -> &'static str {
    match notice {
        Notice::Ending { .. } => "warn-licence",
        Notice::Deactivated { .. } => "deactivate-licence",
        Notice::Expired { .. } => "expire-licence",
        Notice::Entitled { .. } => "entitle-licence",
        Notice::Unlicensed { .. } => "unlicense-licence",
        Notice::Licensed { .. } => "license-licence",
    }
}
