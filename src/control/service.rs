//! The operations of the control plane: validate, commit with audit, answer.
//!
//! Every write is one compare-and-commit; every refusal lists all problems at once. Called by
//! `admin` (API) and `demo`; knows neither HTTP nor the data plane.

use super::change::{Actor, Applied, Asked, Versioned};
use super::error::ServiceError;
use super::plan::{Plan, RenamePreview};
use super::store::{AuditPage, AuditQuery};
use crate::model::{Certificate, Instance, Proxy};
use crate::route::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The control plane's operations; shared as `Arc<Service>`.
pub struct Service {}

/// The table as it is served (`GET /table`).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TableInfo {
    /// The newest revision in the store, as far as known.
    pub revision: u64,
    /// The revision being served.
    pub serving: u64,
    /// SHA-256 of the rows being served, in hex.
    pub hash: String,
    /// `store`, or `last-good` while the control plane is away (R76).
    pub source: Source,
    /// Seconds since the table was last known to be the newest (R76).
    pub age: u64,
    /// Sound instances.
    pub instances: usize,
    /// Sound proxies.
    pub proxies: usize,
    /// Sound certificates.
    pub certificates: usize,
    /// What had to be left out, and why (R74).
    pub problems: Vec<Problem>,
}

/// Where the served table is from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The store.
    #[default]
    Store,
    /// The copy on disk.
    LastGood,
}

impl Service {
    /// All instances by name, with the revision of the whole.
    pub async fn instances(&self) -> Result<(u64, Vec<Versioned<Instance>>), ServiceError> {
        Err(ServiceError::Store(super::store::StoreError::Busy))
    }
    /// One instance by name.
    pub async fn instance(&self, _: &str) -> Result<Versioned<Instance>, ServiceError> {
        Err(ServiceError::Store(super::store::StoreError::Busy))
    }
    /// All proxies by name.
    pub async fn proxies(&self) -> Result<(u64, Vec<Versioned<Proxy>>), ServiceError> {
        Err(ServiceError::Store(super::store::StoreError::Busy))
    }
    /// One proxy by name.
    pub async fn proxy(&self, _: &str) -> Result<Versioned<Proxy>, ServiceError> {
        Err(ServiceError::Store(super::store::StoreError::Busy))
    }
    /// All certificates by name, keys included: the caller shows none.
    pub async fn certificates(&self) -> Result<(u64, Vec<Versioned<Certificate>>), ServiceError> {
        Err(ServiceError::Store(super::store::StoreError::Busy))
    }
    /// One certificate by name.
    pub async fn certificate(&self, _: &str) -> Result<Versioned<Certificate>, ServiceError> {
        Err(ServiceError::Store(super::store::StoreError::Busy))
    }
    /// Makes all changes in one commit, or none.
    pub async fn apply(&self, _: &Actor, _: Vec<Asked>) -> Result<Applied, ServiceError> {
        Err(ServiceError::Store(super::store::StoreError::Busy))
    }
    /// Makes one change of one instance that still exists afterwards, and returns its row.
    pub async fn change_instance(&self, _: &Actor, _: Asked) -> Result<Versioned<Instance>, ServiceError> {
        Err(ServiceError::Store(super::store::StoreError::Busy))
    }
    /// Makes one change of one proxy that still exists afterwards, and returns its row.
    pub async fn change_proxy(&self, _: &Actor, _: Asked) -> Result<Versioned<Proxy>, ServiceError> {
        Err(ServiceError::Store(super::store::StoreError::Busy))
    }
    /// Says what changes would do.
    pub async fn plan(&self, _: Vec<Asked>) -> Result<Plan, ServiceError> {
        Err(ServiceError::Store(super::store::StoreError::Busy))
    }
    /// Says what a rename would mean (R7).
    pub async fn preview_rename(&self, _: &str, _: &str, _: Option<u64>) -> Result<RenamePreview, ServiceError> {
        Err(ServiceError::Store(super::store::StoreError::Busy))
    }
    /// The table as it is served.
    pub fn table(&self) -> TableInfo {
        TableInfo {
            revision: 0,
            serving: 0,
            hash: String::new(),
            source: Source::Store,
            age: 0,
            instances: 0,
            proxies: 0,
            certificates: 0,
            problems: Vec::new(),
        }
    }
    /// The audit, newest first (R77).
    pub async fn audit(&self, _: AuditQuery) -> Result<AuditPage, ServiceError> {
        Err(ServiceError::Store(super::store::StoreError::Busy))
    }
}
