//! What is in use at this moment, as far as the control plane needs to know it: to say whom a change
//! touches. The numbers live in the data plane; `app` hands them in.

use crate::ids::InstanceId;
use crate::model::Seats;

/// Answers what an instance is doing.
pub trait Usage: Send + Sync {
    /// Its calls, bindings and registered accounts.
    fn of(&self, instance: InstanceId) -> InUse;

    /// Its users who have a seat.
    fn seats(&self, _instance: InstanceId) -> Seats {
        Seats::default()
    }
}

/// What one instance is doing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InUse {
    /// Calls in progress.
    pub calls: u64,
    /// Registered contacts.
    pub bindings: u64,
    /// The accounts they belong to, sorted; may be cut short.
    pub accounts: Vec<String>,
}

/// Where there is no data plane.
#[derive(Clone, Copy, Debug)]
pub struct Idle;

impl Usage for Idle {
    fn of(&self, _: InstanceId) -> InUse {
        InUse::default()
    }
}
