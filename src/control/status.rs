//! What the pipeline last did: written by `watch`, read by `service` and whoever shows the table's age.

use crate::clock::Clock;
use crate::route::problem::Problem;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, PoisonError, RwLock};
use utoipa::ToSchema;

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

/// The pipeline's state.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// Where the table is from.
    pub source: Source,
    /// The revision being served.
    pub revision: u64,
    /// SHA-256 of the rows being served.
    pub hash: [u8; 32],
    /// Sound instances, proxies and certificates.
    pub counts: [usize; 3],
    /// What had to be left out, and what keeps newer rows from being served.
    pub problems: Arc<Vec<Problem>>,
    /// Unix seconds at which the table was last known to be the newest; 0 if never.
    pub fresh_at: u64,
    /// How long the last compile took, in milliseconds.
    pub compile_ms: u64,
}

/// A handle to it.
#[derive(Debug)]
pub struct Status {
    clock: Clock,
    served: RwLock<Served>,
}

impl Status {
    /// Nothing served yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, served: RwLock::default() }
    }

    /// The state now.
    pub fn read(&self) -> Served {
        self.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Seconds since the table was last known to be the newest (R76).
    pub fn age(&self) -> u64 {
        let fresh_at = self.served.read().unwrap_or_else(PoisonError::into_inner).fresh_at;
        self.clock.now().unix.saturating_sub(fresh_at)
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Served)) {
        change(&mut self.served.write().unwrap_or_else(PoisonError::into_inner));
    }
}
