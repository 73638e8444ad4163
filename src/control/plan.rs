//! What a set of changes would do: rows, listeners, and the calls and bindings they touch.

use crate::ids::InstanceId;
use crate::route::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The effect of changes that were not made.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// The revision it was made on.
    pub revision: u64,
    /// Instances that would appear.
    pub added: Vec<Touched>,
    /// Instances that would disappear.
    pub removed: Vec<Touched>,
    /// Instances that would be reached elsewhere: other backends or another web target.
    pub retargeted: Vec<Touched>,
    /// Instances that would change their state.
    pub state: Vec<Touched>,
    /// Instances that would change their name.
    pub renamed: Vec<Touched>,
    /// Instances with any other change.
    pub changed: Vec<Touched>,
    /// Proxies that would appear, by name.
    pub proxies_added: Vec<String>,
    /// Proxies that would disappear, by name.
    pub proxies_removed: Vec<String>,
    /// Proxies that would change, by name.
    pub proxies_changed: Vec<String>,
    /// Listeners that would be opened, as in `sip-udp 0.0.0.0:5060`.
    pub listeners_opened: Vec<String>,
    /// Listeners that would be closed.
    pub listeners_closed: Vec<String>,
    /// Certificates that would be stored, replaced or removed, by name.
    pub certificates: Vec<String>,
    /// Calls in progress of the instances that would lose service: removed or switched off.
    pub calls: u64,
    /// Bindings of those.
    pub bindings: u64,
    /// Why it would be refused; empty if it would not.
    pub problems: Vec<Problem>,
}

/// An instance in a plan.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Touched {
    /// Its id; 0 for one that would be made.
    pub id: InstanceId,
    /// Its name after the change (before it, for a removed one).
    pub name: String,
    /// What was, for people: old targets, state or name.
    pub before: String,
    /// What would be.
    pub after: String,
    /// Its calls in progress.
    pub calls: u64,
    /// Its bindings.
    pub bindings: u64,
}

/// What a rename would mean (R7).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RenamePreview {
    /// The name now.
    pub from: String,
    /// The name then.
    pub to: String,
    /// Unix seconds until which the old name would route.
    pub keep_until: u64,
    /// Registered accounts, which sign in under the old name; may be cut short.
    pub accounts: Vec<String>,
    /// Registered contacts.
    pub bindings: u64,
    /// Calls in progress (they go on).
    pub calls: u64,
    /// Proxies whose rows name it and would be changed with it.
    pub proxies: Vec<String>,
    /// Why it would be refused; empty if it would not.
    pub problems: Vec<Problem>,
}
