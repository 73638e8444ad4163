//! What outlives a snapshot: counters, health, parsed certificates and rows already built.
//!
//! `compile` looks here before it makes anything, so that a reload resets no counter (R73), parses no
//! certificate twice and costs what changed, not what there is. What is kept of instances and names is what the
//! snapshot holds, so it costs no memory of its own. Entries of deleted rows are dropped by the next compile; ids are
//! never reused, so none can come back.

use super::hosts::Hosts;
use super::instances::Instances;
use super::names::Assigned;
use super::problem::Problem;
use super::resolved::Resolved;
use super::snapshot::{Certificate, Map, Proxy};
use super::sum::Sum;
use crate::ids::{InstanceId, ProxyId};
use crate::licence::{Book, Roster};
use crate::model;
use crate::stats::Touched;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The handles of one process.
pub struct Handles {
    /// What a limit of 0 in a row stands for.
    pub(super) defaults: model::Limits,
    kept: Mutex<Kept>,
}

#[derive(Default)]
pub(super) struct Kept {
    pub(super) instances: Instances,
    /// The sum over their rows, those without an id included.
    pub(super) rows: Sum,
    /// What is wrong with rows, by id.
    pub(super) problems: BTreeMap<InstanceId, Vec<Problem>>,
    /// What is wrong with rows that have no id of their own.
    pub(super) strays: Strays,
    pub(super) assigned: Assigned,
    pub(super) hosts: Hosts,
    /// What they stood for in the last compile.
    pub(super) resolved: Resolved,
    pub(super) proxies: KeptProxies,
    pub(super) certificates: KeptCertificates,
    pub(super) book: Option<(Arc<Book>, [u8; 32])>,
    pub(super) rosters: Map<InstanceId, KeptUsers>,
    /// Told by the counters made here.
    pub(super) touched: Arc<Touched>,
    /// The sum over the lists of users.
    pub(super) users: Sum,
}

/// Rows without an id of their own.
#[derive(Default)]
pub(super) struct Strays {
    pub(super) problems: Vec<Problem>,
    pub(super) sum: Sum,
}

/// A list of users, and what it became.
#[derive(Clone)]
pub(super) struct KeptUsers {
    pub(super) row: Arc<model::Users>,
    pub(super) roster: Arc<Roster>,
}

#[derive(Default)]
pub(super) struct KeptProxies {
    pub(super) rows: Vec<Arc<model::Proxy>>,
    pub(super) sum: Sum,
    pub(super) by_id: Map<ProxyId, Arc<Proxy>>,
    pub(super) sound: Vec<Arc<Proxy>>,
    pub(super) problems: Vec<Problem>,
}

#[derive(Default)]
pub(super) struct KeptCertificates {
    pub(super) by_row: BTreeMap<String, KeptCertificate>,
    pub(super) sum: Sum,
    pub(super) sound: Arc<[Arc<Certificate>]>,
    pub(super) by_name: Arc<Map<Box<str>, Arc<Certificate>>>,
    pub(super) problems: Vec<Problem>,
    /// When the first of them ends, in Unix seconds.
    pub(super) first_end: u64,
}

/// What one certificate row became.
pub(super) struct KeptCertificate {
    pub(super) row: Arc<model::Certificate>,
    pub(super) hash: [u8; 32],
    pub(super) parsed: Result<Arc<Certificate>, Problem>,
}

impl Handles {
    /// Handles with the node's default limits.
    pub fn new(defaults: model::Limits) -> Self {
        Self { defaults, kept: Mutex::default() }
    }

    /// The host names that the rows of the last compile ask for.
    #[cfg(test)]
    pub(super) fn hosts(&self) -> std::collections::BTreeSet<Box<str>> {
        self.keep().hosts.all()
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
