//! What outlives a snapshot: counters, health, parsed certificates and rows already built.
//!
//! `compile` looks here before it makes anything, so that a reload resets no counter (R73), parses no
//! certificate twice and costs what changed, not what there is. Entries of deleted rows are dropped
//! by the next compile; ids are never reused, so none can come back.

use super::names::Assigned;
use super::problem::Problem;
use super::resolved::Resolved;
use super::snapshot::{Certificate, Instance, Map, Proxy};
use crate::ids::{InstanceId, ProxyId};
use crate::licence::{Book, Roster};
use crate::model;
use crate::stats::InstanceStats;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The handles of one process.
pub struct Handles {
    /// What a limit of 0 in a row stands for.
    pub(super) defaults: model::Limits,
    kept: Mutex<Kept>,
}

#[derive(Default)]
pub(super) struct Kept {
    pub(super) instances: Map<InstanceId, KeptInstance>,
    pub(super) proxies: Map<ProxyId, Arc<Proxy>>,
    pub(super) proxy_rows: Map<ProxyId, Hashed<model::Proxy>>,
    pub(super) certificates: Map<String, KeptCertificate>,
    pub(super) hosts: BTreeSet<Box<str>>,
    /// What they stood for in the last compile.
    pub(super) resolved: Resolved,
    pub(super) assigned: Option<Assigned>,
    pub(super) book: Option<Hashed<Book>>,
    pub(super) rosters: Map<InstanceId, (Hashed<model::Users>, Arc<Roster>)>,
}

/// A row with its SHA-256.
#[derive(Clone)]
pub(super) struct Hashed<T> {
    pub(super) row: Arc<T>,
    pub(super) hash: [u8; 32],
}

#[derive(Default)]
pub(super) struct KeptInstance {
    pub(super) stats: Arc<InstanceStats>,
    pub(super) built: Option<BuiltInstance>,
}

/// What one row became.
pub(super) struct BuiltInstance {
    pub(super) source: Hashed<model::Instance>,
    pub(super) label: Box<str>,
    /// `None` for a row that cannot be loaded at all.
    pub(super) instance: Option<Arc<Instance>>,
    pub(super) problems: Vec<Problem>,
    /// Host names it asks for.
    pub(super) hosts: Vec<Box<str>>,
}

/// What one certificate row became.
pub(super) struct KeptCertificate {
    pub(super) source: Hashed<model::Certificate>,
    pub(super) parsed: Result<Arc<Certificate>, Problem>,
}

impl Handles {
    /// Handles with the node's default limits.
    pub fn new(defaults: model::Limits) -> Self {
        Self { defaults, kept: Mutex::default() }
    }

    /// The host names that the rows of the last compile ask for.
    pub fn hosts(&self) -> BTreeSet<Box<str>> {
        self.keep().hosts.clone()
    }

    pub(super) fn keep(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Handles {
    fn default() -> Self {
        Self::new(model::Limits { transactions: 4_000, http_requests: 1_000, http_body_bytes: 1 << 30 })
    }
}
