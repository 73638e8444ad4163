//! The operations of the licence book.

use super::row::LicenceRow;
use super::view::{Install, InstalledLicence};
use crate::control::change::{Actor, Change};
use crate::control::error::ServiceError;
use crate::control::service::Service;
use crate::licence::armour;
use crate::licence::document::Document;
use crate::licence::terms::Terms;
use crate::model::{Kind, Seats};

impl Service {
    /// All licences, by id.
    pub async fn licences(&self) -> Result<Vec<InstalledLicence>, ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        Ok(held.licences.values().map(|kept| view(&kept.row)).collect())
    }

    /// One licence.
    pub async fn licence(&self, id: &str) -> Result<InstalledLicence, ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        let found = held.licences.get(id).map(|kept| view(&kept.row));
        found.ok_or_else(|| ServiceError::NotFound { row: format!("licence/{id}") })
    }

    /// Installs the documents of a text, all or none (R64).
    pub async fn install_licences(
        &self,
        who: &Actor,
        install: &Install,
    ) -> Result<Vec<InstalledLicence>, ServiceError> {
        let texts = armour::split(&install.document);
        let change = |text: &&str| Change::InstallLicence { document: (*text).to_owned() };
        self.apply(who, texts.iter().map(change).map(Into::into).collect()).await?;
        let mut made = Vec::new();
        for document in texts.into_iter().filter_map(|text| Document::parse(text).ok()) {
            made.push(self.licence(document.id()).await?);
        }
        Ok(made)
    }
}

fn view(row: &LicenceRow) -> InstalledLicence {
    let body = row.document.body();
    let (users, edition, entitlement, rights, server) = match &body.terms {
        Terms::Volume(it) => (Some(it.users), None, None, it.rights.clone(), None),
        Terms::Server(it) => (None, Some(it.edition), Some(it.entitlement), it.rights.clone(), None),
        Terms::Pack(it) => {
            let users = match it.kind {
                Kind::Full => Seats { full: it.count, light: 0 },
                Kind::Light => Seats { full: 0, light: it.count },
            };
            (Some(users), None, Some(it.entitlement), Vec::new(), it.server.clone())
        }
        Terms::Feature(it) => (None, None, Some(it.entitlement), it.rights.clone(), Some(it.server.clone())),
        Terms::Contract(it) => (None, None, Some(it.release), Vec::new(), Some(it.server.clone())),
        Terms::Confirmation(_) => (None, None, None, Vec::new(), None),
        Terms::Detachment(it) => (None, None, None, Vec::new(), Some(it.server.clone())),
    };
    InstalledLicence {
        id: body.id.clone(),
        kind: row.document.kind(),
        holder: body.holder.clone(),
        issued: body.issued,
        expires: body.expires,
        installed: row.installed,
        key: row.document.key().to_owned(),
        void: None,
        users,
        edition,
        entitlement: entitlement.map(|release| release.to_string()),
        rights,
        server,
        instance: None,
        binding: None,
        document: row.document.text(),
    }
}
