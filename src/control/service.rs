//! The operations of the control plane: validate, commit with audit, answer.
//!
//! Every write is one compare-and-commit; every refusal lists all problems at once. Called by
//! `admin` (API) and `demo`; knows neither HTTP nor the data plane.

use super::change::{Actor, Applied, Asked, Change, Versioned};
use super::draft::{Draft, KEEP_NAME};
use super::error::ServiceError;
use super::plan::{Plan, RenamePreview, UsersTouched};
use super::rows::{Kept, Owner, Rows};
pub use super::status::Source;
use super::status::Status;
use super::store::{AuditPage, AuditQuery, Commit, NewAudit, StoreError};
use super::usage::Usage;
use crate::clock::Clock;
use crate::model::{Certificate, Instance, Proxy, Users};
use crate::route::domain::fold;
use crate::route::problem::Problem;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// How often a commit is tried when other writers of the same store are faster: each lost round is one
/// that somebody won, so that two writers lose so often in a row as good as never.
const TRIES: usize = 64;

/// The control plane's operations; shared as `Arc<Service>`.
pub struct Service {
    pub(super) rows: Arc<Rows>,
    status: Arc<Status>,
    pub(super) usage: Arc<dyn Usage>,
    pub(super) clock: Clock,
    /// One writer of this process at a time: they would only outrun each other.
    pub(super) writing: tokio::sync::Mutex<()>,
}

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

impl Service {
    /// The operations on `rows`; `status` is the pipeline's, `usage` the data plane's.
    pub fn new(rows: Arc<Rows>, status: Arc<Status>, usage: Arc<dyn Usage>, clock: Clock) -> Self {
        Self { rows, status, usage, clock, writing: tokio::sync::Mutex::default() }
    }

    /// All instances by name, with the revision of the whole.
    pub async fn instances(&self) -> Result<(u64, Vec<Versioned<Instance>>), ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        Ok((held.revision, by_name(held.instances.values(), |row| &row.name)))
    }

    /// One instance by name.
    pub async fn instance(&self, name: &str) -> Result<Versioned<Instance>, ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        let id = match held.labels.get(&fold(name)) {
            Some(Owner::Instance(id)) => held.instances.get(id),
            _ => None,
        };
        id.map(versioned).ok_or_else(|| ServiceError::NotFound { row: format!("instance/{name}") })
    }

    /// All proxies by name.
    pub async fn proxies(&self) -> Result<(u64, Vec<Versioned<Proxy>>), ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        Ok((held.revision, by_name(held.proxies.values(), |row| &row.name)))
    }

    /// One proxy by name.
    pub async fn proxy(&self, name: &str) -> Result<Versioned<Proxy>, ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        let id = match held.labels.get(&fold(name)) {
            Some(Owner::Proxy(id)) => held.proxies.get(id),
            _ => None,
        };
        id.map(versioned).ok_or_else(|| ServiceError::NotFound { row: format!("proxy/{name}") })
    }

    /// All certificates by name, keys included: the caller shows none.
    pub async fn certificates(&self) -> Result<(u64, Vec<Versioned<Certificate>>), ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        Ok((held.revision, by_name(held.certificates.values(), |row| &row.name)))
    }

    /// One certificate by name.
    pub async fn certificate(&self, name: &str) -> Result<Versioned<Certificate>, ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        let found = held.certificates.get(&fold(name)).map(versioned);
        found.ok_or_else(|| ServiceError::NotFound { row: format!("certificate/{name}") })
    }

    /// The list of an instance's users.
    pub async fn users(&self, instance: &str) -> Result<Versioned<Users>, ServiceError> {
        let owner = self.instance(instance).await?.row;
        let held = self.rows.read();
        held.users.get(&owner.id).map(versioned).ok_or_else(|| ServiceError::no_list(&owner.name))
    }

    /// Makes all changes in one commit, or none.
    pub async fn apply(&self, who: &Actor, changes: Vec<Asked>) -> Result<Applied, ServiceError> {
        let _one = self.writing.lock().await;
        for _ in 0..TRIES {
            self.rows.refresh().await?;
            let (commit, mut applied) = self.draft(who, &changes)?;
            let Some(commit) = commit else { return Ok(applied) };
            match self.rows.store().commit(commit).await {
                Ok(revision) => {
                    applied.revision = revision;
                    self.rows.refresh().await?;
                    return Ok(applied);
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Busy.into())
    }

    /// Makes one change of one instance that still exists afterwards, and returns its row.
    pub async fn change_instance(&self, who: &Actor, asked: Asked) -> Result<Versioned<Instance>, ServiceError> {
        let name = match &asked.change {
            Change::RenameInstance { to, .. } => to.clone(),
            change => change.name().to_owned(),
        };
        self.apply(who, vec![asked]).await?;
        self.instance(&name).await
    }

    /// Makes one change of one proxy that still exists afterwards, and returns its row.
    pub async fn change_proxy(&self, who: &Actor, asked: Asked) -> Result<Versioned<Proxy>, ServiceError> {
        let name = match &asked.change {
            Change::UpdateProxy { row, .. } => row.name.clone(),
            change => change.name().to_owned(),
        };
        self.apply(who, vec![asked]).await?;
        self.proxy(&name).await
    }

    /// Says what changes would do.
    pub async fn plan(&self, changes: Vec<Asked>) -> Result<Plan, ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        let mut draft = Draft::new(&held, self.clock.now().unix).on(&*self.usage);
        for asked in &changes {
            draft.make(asked)?;
        }
        draft.check();
        Ok(Plan::of(draft, &*self.usage))
    }

    /// Says what a rename would mean (R7); `keep_until` as in [`Change::RenameInstance`].
    pub async fn preview_rename(
        &self,
        name: &str,
        to: &str,
        keep_until: Option<u64>,
    ) -> Result<RenamePreview, ServiceError> {
        self.rows.refresh().await?;
        let held = self.rows.read();
        let now = self.clock.now().unix;
        let keep_until = keep_until.unwrap_or(now.saturating_add(KEEP_NAME));
        let mut draft = Draft::new(&held, now);
        let change = Change::RenameInstance { name: name.to_owned(), to: to.to_owned(), keep_until: Some(keep_until) };
        draft.make(&change.into())?;
        draft.check();
        Ok(RenamePreview::of(draft, keep_until, &*self.usage))
    }

    /// The table as it is served.
    pub fn table(&self) -> TableInfo {
        let served = self.status.read();
        let [instances, proxies, certificates] = served.counts;
        TableInfo {
            revision: self.rows.read().revision.max(served.revision),
            serving: served.revision,
            hash: served.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            source: served.source,
            age: self.status.age(),
            instances,
            proxies,
            certificates,
            problems: served.problems.to_vec(),
        }
    }

    /// Records what was done to something that is in no row (R77).
    pub async fn record(&self, audit: Vec<NewAudit>) -> Result<(), ServiceError> {
        if !audit.is_empty() {
            self.rows.store().commit(Commit { compare: Vec::new(), write: Vec::new(), audit }).await?;
        }
        Ok(())
    }

    /// The audit, newest first (R77).
    pub async fn audit(&self, query: AuditQuery) -> Result<AuditPage, ServiceError> {
        Ok(self.rows.store().audit(query).await?)
    }

    /// The commit that makes the changes, if they change anything.
    fn draft(&self, who: &Actor, changes: &[Asked]) -> Result<(Option<Commit>, Applied), ServiceError> {
        let held = self.rows.read();
        let mut draft = Draft::new(&held, self.clock.now().unix).on(&*self.usage);
        for asked in changes {
            draft.make(asked)?;
        }
        draft.check();
        if let Some(refusal) = ServiceError::of(std::mem::take(&mut draft.problems)) {
            return Err(refusal);
        }
        let applied = Applied {
            revision: held.revision,
            instances: changed(draft.instances.changed()),
            proxies: changed(draft.proxies.changed()),
            users: UsersTouched::of(&draft),
        };
        let commit = draft.commit(&who.0).map_err(|error| StoreError::Unavailable(error.to_string().into()))?;
        Ok((commit, applied))
    }
}

/// The keys of rows that are there afterwards.
fn changed<'a, K: Copy + 'a, V: 'a>(rows: impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)>) -> Vec<K> {
    rows.filter(|(_, _, after)| after.is_some()).map(|(key, ..)| *key).collect()
}

fn versioned<T>(kept: &Kept<T>) -> Versioned<T> {
    Versioned { revision: kept.revision, row: Arc::clone(&kept.row) }
}

fn by_name<'a, T: 'a>(rows: impl Iterator<Item = &'a Kept<T>>, name: impl Fn(&T) -> &str) -> Vec<Versioned<T>> {
    let sorted: BTreeMap<String, Versioned<T>> = rows.map(|kept| (fold(name(&kept.row)), versioned(kept))).collect();
    sorted.into_values().collect()
}

#[cfg(test)]
mod tests;
