//! The operations of the licence book: install, list, export and restore. Removing, attaching and releasing are changes
//! like those of other rows (`Service::apply`).

use super::backup::{Backup, SCHEMA};
use super::view::{BindingState, Bound, Install, InstalledLicence};
use crate::control::change::{Actor, Asked, Change};
use crate::control::error::ServiceError;
use crate::control::rows::Held;
use crate::control::service::Service;
use crate::licence::armour;
use crate::licence::binding::State;
use crate::licence::book::{Book, Licence};
use crate::licence::document::Document;
use crate::licence::terms::{Terms, moment};
use crate::model::{Kind, Seats};

impl Service {
    /// All licences, by id.
    pub async fn licences(&self) -> Result<Vec<InstalledLicence>, ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        let shown = Shown::of(&held);
        Ok(held.shelf.book.present().map(|licence| shown.licence(licence)).collect())
    }

    /// One licence.
    pub async fn licence(&self, id: &str) -> Result<InstalledLicence, ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        let found = held.shelf.book.licence(id).filter(|licence| !licence.removed);
        found.map(|licence| Shown::of(&held).licence(licence)).ok_or_else(|| missing(id))
    }

    /// Installs the documents of a text, all or none (R64).
    pub async fn install_licences(
        &self,
        who: &Actor,
        install: &Install,
    ) -> Result<Vec<InstalledLicence>, ServiceError> {
        let texts = armour::split(&install.document);
        self.apply(who, texts.iter().map(|text| asked(text, install.confirm)).collect()).await?;
        let ids: Vec<String> =
            texts.iter().filter_map(|text| Document::parse(text).ok()).map(|it| it.id().to_owned()).collect();
        let all = self.licences().await?;
        Ok(all.into_iter().filter(|licence| ids.contains(&licence.id)).collect())
    }

    /// The book as it is.
    pub async fn export_licences(&self) -> Result<Backup, ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        Ok(Backup { schema: SCHEMA, taken: held.premises.now(), book: (*held.shelf.book).clone() })
    }

    /// Puts back what an exported book held (R62).
    pub async fn restore_licences(&self, who: &Actor, backup: Backup) -> Result<Vec<InstalledLicence>, ServiceError> {
        let change = Change::RestoreLicences { backup: Box::new(backup) };
        self.apply(who, vec![change.into()]).await?;
        self.licences().await
    }
}

/// The change that installs a document.
pub(super) fn asked(text: &str, confirm: bool) -> Asked {
    Change::InstallLicence { document: text.to_owned(), confirm }.into()
}

fn missing(id: &str) -> ServiceError {
    ServiceError::NotFound { row: format!("licence/{id}") }
}

/// What it takes to show a licence.
struct Shown<'a> {
    held: &'a Held,
    book: &'a Book,
    now: u64,
}

impl<'a> Shown<'a> {
    fn of(held: &'a Held) -> Self {
        Self { held, book: &held.shelf.book, now: held.premises.now() }
    }

    fn licence(&self, licence: &Licence) -> InstalledLicence {
        let (body, id) = (licence.document.body(), licence.document.id());
        let (users, edition, entitlement, rights) = match &body.terms {
            Terms::Volume(it) => (Some(it.users), None, None, it.rights.clone()),
            Terms::Server(it) => {
                let users = self.book.server_view(id).map(|view| view.users);
                (users, Some(it.edition), Some(licence.reached), it.rights.clone())
            }
            Terms::Pack(it) => {
                let users = match it.kind {
                    Kind::Full => Seats { full: it.count, light: 0 },
                    Kind::Light => Seats { full: 0, light: it.count },
                };
                (Some(users), None, Some(licence.reached), Vec::new())
            }
            Terms::Feature(it) => (None, None, Some(licence.reached), it.rights.clone()),
            Terms::Contract(it) => (None, None, Some(it.release), Vec::new()),
            Terms::Confirmation(_) | Terms::Detachment(_) => (None, None, None, Vec::new()),
        };
        let server = match &body.terms {
            Terms::Contract(it) => Some(it.server.clone()),
            Terms::Detachment(it) => Some(it.server.clone()),
            Terms::Confirmation(it) => Some(it.licence.clone()),
            _ => licence.server.clone(),
        };
        InstalledLicence {
            id: id.to_owned(),
            kind: licence.document.kind(),
            holder: body.holder.clone(),
            issued: body.issued,
            expires: body.expires,
            installed: self.held.shelf.licences.get(id).map_or(0, |kept| kept.row.installed),
            key: licence.document.key().to_owned(),
            void: self.void(licence),
            users,
            edition,
            entitlement: entitlement.map(|release| release.to_string()),
            rights,
            server,
            instance: self.held.tally.instance_of(id).map(str::to_owned),
            binding: self.bound(licence),
            document: licence.document.text(),
        }
    }

    /// Why a licence counts for nothing now.
    fn void(&self, licence: &Licence) -> Option<String> {
        if let Some(at) = licence.document.body().expires.filter(|at| *at <= self.now) {
            return Some(format!("it expired on {}", moment(at)));
        }
        if matches!(licence.document.body().terms, Terms::Pack(_) | Terms::Feature(_)) {
            let Some(server) = &licence.server else { return Some("it is attached to no server licence".into()) };
            let view = self.book.server_view(server)?;
            return view.attached.into_iter().find(|it| it.id == licence.document.id())?.idle;
        }
        match self.state(licence)? {
            State::Unlicensed => Some("it belongs to another machine".into()),
            State::Deactivated => Some("its temporary binding is over".into()),
            State::Temporary(_) | State::Permanent => None,
        }
    }

    fn state(&self, licence: &Licence) -> Option<State> {
        licence.binds().then(|| licence.binding.state(self.book.installation().hardware, self.now))
    }

    fn bound(&self, licence: &Licence) -> Option<Bound> {
        let (state, deadline) = match self.state(licence)? {
            State::Unlicensed => (BindingState::Unlicensed, None),
            State::Temporary(deadline) => (BindingState::Temporary, Some(deadline)),
            State::Permanent => (BindingState::Permanent, None),
            State::Deactivated => (BindingState::Deactivated, None),
        };
        Some(Bound { state, deadline, hardware: licence.binding.bound().map(|id| id.to_string()).unwrap_or_default() })
    }
}
