//! What is in use at this moment, as far as the control plane needs to know it: to say whom a change
//! touches. The numbers live in the data plane; `app` hands them in.

use crate::ids::InstanceId;
use crate::model::{Kind, Seats};

/// Answers what an instance is doing.
pub trait Usage: Send + Sync {
    /// Its calls, bindings and registered accounts.
    fn of(&self, instance: InstanceId) -> InUse;

    /// Its users who have a seat.
    fn seats(&self, _instance: InstanceId) -> Seats {
        Seats::default()
    }

    /// Its users who are registered, in the order in which they came; may be cut short.
    fn registered(&self, _instance: InstanceId) -> Vec<Registered> {
        Vec::new()
    }
}

/// A user who is registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    /// The user's name; without a list of users, the account.
    pub user: String,
    /// Full or light.
    pub kind: Kind,
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
