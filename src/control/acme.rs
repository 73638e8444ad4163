//! Accounts at ACME authorities: rows with a key that nothing shows, one for each directory and contact.

use super::error::ServiceError;
use super::service::Service;
use super::store::{Commit, NewAudit, StoreError};
use crate::model::Acme;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Who does it, in the audit.
const ACTOR: &str = "acme";

/// An account as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct AcmeAccount {
    directory: String,
    /// What the client library made of it, its key included.
    credentials: String,
}

impl std::fmt::Debug for AcmeAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcmeAccount").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Service {
    /// The credentials of the account for a certificate, if there is one.
    pub async fn acme_account(&self, acme: &Acme) -> Result<Option<String>, ServiceError> {
        self.rows.refresh().await?;
        Ok(self.rows.read().acme_accounts.get(&id(acme)).map(|account| account.credentials.clone()))
    }

    /// Keeps the credentials of a new account.
    pub async fn keep_acme_account(&self, acme: &Acme, credentials: &str) -> Result<(), ServiceError> {
        let key = format!("acme/{}", id(acme));
        let account = AcmeAccount { directory: acme.directory.clone(), credentials: credentials.to_owned() };
        let value = serde_json::to_string(&account).map_err(|e| StoreError::Unavailable(e.to_string().into()))?;
        let audit = NewAudit {
            at: self.clock.now().unix,
            who: ACTOR.into(),
            action: "create-acme-account".into(),
            object: key.clone(),
            before: None,
            after: Some(json!({ "directory": acme.directory, "contact": acme.contact, "key": "(secret)" })),
        };
        let compare = vec![(key.clone(), 0)];
        match self.rows.store().commit(Commit { compare, write: vec![(key, Some(value))], audit: vec![audit] }).await {
            // Another node was faster; its account is found at the next order.
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn id(acme: &Acme) -> String {
    let mut hash = Sha256::new_with_prefix(acme.directory.as_bytes());
    for mail in &acme.contact {
        hash.update([0]);
        hash.update(mail.as_bytes());
    }
    hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}
