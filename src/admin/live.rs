//! What the API asks of the running node: facts that are in no table. Implemented by `app`.

use crate::ids::{InstanceId, Transport};
use crate::usage::Journal;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use utoipa::ToSchema;

/// The running node, as far as the API shows it. Calls are short and never wait.
pub trait Live: Send + Sync {
    /// Where the node is in its life.
    fn phase(&self) -> Phase;

    /// Every listening address the node has or should have.
    fn listeners(&self) -> Vec<BoundListener>;

    /// Where the use of licences is kept, if anywhere.
    fn journal(&self) -> Option<Arc<Journal>>;

    /// The bindings of an instance that the node knows.
    fn bindings(&self, instance: InstanceId) -> Vec<Binding>;
}

/// The node's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Not everything is bound and loaded yet.
    Starting,
    /// At work.
    Serving,
    /// Takes nothing new, finishes what it has.
    Draining,
    /// Ending.
    Stopping,
}

/// A listening address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoundListener {
    /// Whose it is: a proxy's name, `inside` (towards the instances), `api` or `metrics`.
    pub owner: String,
    /// What is spoken there, as in `sip-udp`.
    pub service: String,
    /// Address and port.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// Why it is not bound; absent when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A registered contact that the node saw an instance accept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Binding {
    /// The account, as in `6001`.
    pub account: String,
    /// The phone's contact URI.
    pub contact: String,
    /// The phone's software, as it says.
    pub user_agent: String,
    /// Transport of its flow; absent for a contact that came past this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// Address it registered from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub source: Option<SocketAddr>,
    /// Unix seconds since when it is known.
    pub since: u64,
    /// Unix seconds at which it ends, unless refreshed.
    pub expires: u64,
}
