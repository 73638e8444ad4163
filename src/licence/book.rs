//! The licence book: every licence installed, what each is attached and bound to, and what they come to for an instance.
//!
//! A book is a value. An operation gives a new one or a [`Refusal`](super::refusal::Refusal), and leaves the old as it
//! was; whoever calls it stores the rows that differ. Time is the licence clock's and given in; a book remembers the
//! latest moment it was told and never goes back. Signatures are checked before a document comes in, and by
//! [`Book::verified`] for a book out of a store.
//!
//! `install` takes documents, `attach` ties packs to server licences, `moves` is about machines and time, `grants` is
//! what all of it comes to.

mod attach;
mod grants;
mod install;
mod moves;
mod statements;
mod view;

pub use install::Installed;
pub use moves::Notice;
pub use view::{Attached, ServerView};

use super::allowance::Allowance;
use super::binding::{Binding, State};
use super::document::{Document, DocumentError};
use super::hardware::HardwareId;
use super::key::{Keys, Signer};
use super::release::Release;
use super::terms::{Body, Right, SCHEMA, Server, Terms, Volume};
use crate::model::{Instance, Mode, Seats};
use grants::Grants;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// All licences of an installation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Book {
    installation: Installation,
    licences: BTreeMap<String, Arc<Licence>>,
    grants: Grants,
}

/// Over its JSON: there is one book, and its documents are kept as they were signed.
impl Hash for Book {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // A book has nothing that JSON has not.
        state.write(&serde_json::to_vec(self).unwrap_or_default());
    }
}

/// What is not of a single licence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Installation {
    /// The machine this is.
    pub hardware: HardwareId,
    /// The latest moment of the licence clock that was told.
    pub seen: u64,
}

/// A document with what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// As the vendor signed it.
    pub document: Document,
    /// Taken out by the operator, or replaced. What was known of it stays: putting it in again starts nothing anew.
    #[serde(default)]
    pub removed: bool,
    /// The server licence a pack or feature licence is attached to (R53).
    #[serde(default)]
    pub server: Option<String>,
    /// The release a server, pack or feature licence entitles to by now (R54).
    #[serde(default)]
    pub reached: Release,
    /// The machine of a volume or server licence.
    #[serde(default)]
    pub binding: Binding,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default)]
    installation: Installation,
    #[serde(default)]
    licences: Vec<Arc<Licence>>,
}

impl Book {
    /// The book of a machine, without a licence.
    pub fn new(hardware: HardwareId, now: u64) -> Self {
        Self::of(Installation { hardware, seen: now }, [])
    }

    /// A book of its parts, as they were stored.
    pub fn of(installation: Installation, licences: impl IntoIterator<Item = Arc<Licence>>) -> Self {
        let licences = licences.into_iter().map(|it| (it.document.id().to_owned(), it)).collect();
        Self::settled(installation, licences)
    }

    /// A book with the volume licence of a demonstration, for tests.
    pub fn demo(users: Seats) -> Self {
        let book = Self::default();
        match Self::demo_licence(users).ok().map(|document| book.install(document, false, 0)) {
            Some(Ok(Installed::Done(book))) => book,
            _ => book,
        }
    }

    /// A volume licence signed with the demo key: good as long as no vendor's key is configured.
    pub fn demo_licence(users: Seats) -> Result<Document, DocumentError> {
        let volume = Volume { users, rights: vec![Right::Softphone], hardware: None };
        let (id, holder) = ("demo".to_owned(), "Demonstration".to_owned());
        let body = Body { schema: SCHEMA, id, issued: 0, holder, expires: None, terms: Terms::Volume(volume) };
        Document::issue(&body, &Signer::demo())
    }

    /// The book without what these keys do not vouch for, and what that was.
    pub fn verified(self, keys: &Keys) -> (Self, Vec<(String, DocumentError)>) {
        let mut refused = Vec::new();
        let mut licences = self.licences;
        licences.retain(|id, licence| match licence.document.check_signature(keys) {
            Ok(()) => true,
            Err(error) => {
                refused.push((id.clone(), error));
                false
            }
        });
        (Self::settled(self.installation, licences), refused)
    }

    /// What an instance may use. Asked for every instance at every compile of the table.
    pub fn allowance(&self, instance: &Instance) -> Allowance {
        match instance.licence.mode {
            Mode::Community => Allowance::COMMUNITY,
            Mode::Cloud => self.grants.cloud(instance.licence.booked),
            Mode::Dedicated => self.grants.dedicated(instance.licence.server.as_deref()),
        }
    }

    /// Whether another book allows every instance the same.
    pub fn counts_as(&self, other: &Self) -> bool {
        self.grants == other.grants
    }

    /// Users of the volume licence (R18); none without one.
    pub fn pool(&self) -> Option<Seats> {
        self.grants.pool()
    }

    /// The volume licence in force: there is at most one (R18, R21).
    pub fn volume(&self) -> Option<&Licence> {
        self.present().find(|it| matches!(it.document.body().terms, Terms::Volume(_)))
    }

    /// The terms of a server licence, and the release it entitles to by now.
    pub fn server(&self, id: &str) -> Option<(&Server, Release)> {
        let licence = self.licences.get(id).filter(|it| !it.removed)?;
        match &licence.document.body().terms {
            Terms::Server(server) => Some((server, licence.reached)),
            _ => None,
        }
    }

    /// Where a volume or server licence is in its life; none of other documents.
    pub fn state(&self, id: &str) -> Option<State> {
        let licence = self.licences.get(id).filter(|it| it.binds())?;
        Some(licence.binding.state(self.installation.hardware, self.installation.seen))
    }

    /// One of them, also if it was removed.
    pub fn licence(&self, id: &str) -> Option<&Arc<Licence>> {
        self.licences.get(id)
    }

    /// All of them, also those removed, in the order of their ids: what is stored.
    pub fn licences(&self) -> impl Iterator<Item = &Arc<Licence>> {
        self.licences.values()
    }

    /// Those that are not removed.
    pub fn present(&self) -> impl Iterator<Item = &Licence> {
        self.licences.values().map(|it| &**it).filter(|it| !it.removed)
    }

    /// What is not of a single licence.
    pub const fn installation(&self) -> &Installation {
        &self.installation
    }

    fn with(&self, changed: impl IntoIterator<Item = Licence>) -> Self {
        let mut licences = self.licences.clone();
        licences.extend(changed.into_iter().map(|it| (it.document.id().to_owned(), Arc::new(it))));
        Self::settled(self.installation.clone(), licences)
    }

    fn settled(installation: Installation, licences: BTreeMap<String, Arc<Licence>>) -> Self {
        let grants = Grants::of(&installation, &licences);
        Self { installation, licences, grants }
    }
}

impl Licence {
    /// A document that just came in.
    fn new(document: Document) -> Self {
        let reached = entitlement(&document).unwrap_or_default();
        Self { document, removed: false, server: None, reached, binding: Binding::default() }
    }

    /// Whether it is bound to a machine.
    pub fn binds(&self) -> bool {
        matches!(self.document.body().terms, Terms::Volume(_) | Terms::Server(_))
    }

    /// The machine a volume or server licence was issued for.
    pub fn issued_for(&self) -> Option<HardwareId> {
        match &self.document.body().terms {
            Terms::Volume(volume) => volume.hardware,
            Terms::Server(server) => server.hardware,
            _ => None,
        }
    }

    /// Whether its own time is over at a moment.
    pub fn is_expired(&self, now: u64) -> bool {
        self.document.body().expires.is_some_and(|expires| expires <= now)
    }
}

impl From<Stored> for Book {
    fn from(stored: Stored) -> Self {
        Self::of(stored.installation, stored.licences)
    }
}

impl From<Book> for Stored {
    fn from(book: Book) -> Self {
        Self { installation: book.installation, licences: book.licences.into_values().collect() }
    }
}

/// The release a document entitles to by itself.
fn entitlement(document: &Document) -> Option<Release> {
    match &document.body().terms {
        Terms::Server(it) => Some(it.entitlement),
        Terms::Pack(it) => Some(it.entitlement),
        Terms::Feature(it) => Some(it.entitlement),
        Terms::Volume(_) | Terms::Contract(_) | Terms::Confirmation(_) | Terms::Detachment(_) => None,
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
