//! What the API asks of the running node: facts that are in no table. Implemented by `app`.

use crate::acme::Board;
use crate::guard::Guard;
use crate::ids::{InstanceId, Transport};
use crate::model::{DeviceClass, Kind, Seats};
use crate::reason::Refusal;
use crate::tls::failures::Failures;
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

    /// Registrations of an instance behind a place, in the order of accounts and contacts, at most so many.
    fn registrations(
        &self,
        instance: InstanceId,
        search: &Search<'_>,
        after: Option<&Place>,
        most: usize,
    ) -> Vec<(Place, Binding)>;

    /// How many registrations are wanted.
    fn count_registrations(&self, instance: InstanceId, search: &Search<'_>) -> usize;

    /// Ends a registration: its seat is free. Whether the phone was told; `None` if there is no such registration.
    fn end_registration(&self, instance: InstanceId, place: &Place) -> Option<bool>;

    /// What was decided on REGISTERs of late, as far as it is wanted.
    fn decisions(&self, instance: InstanceId, wanted: &dyn Fn(&Told<'_>) -> bool) -> Vec<Decided>;

    /// How it stands with the seats of an instance, and with the one of an account and its user.
    fn seat(&self, instance: InstanceId, account: &[u8], user: &[u8]) -> Seat;

    /// What shows that a phone is a soft client (R46), if anything does.
    fn soft_client(&self, class: DeviceClass, account: &str, user_agent: &str) -> Option<&'static str>;

    /// The time of the licence clock, in Unix seconds.
    fn licence_now(&self) -> u64;

    /// TLS handshakes that failed.
    fn tls_failures(&self) -> Arc<Failures>;

    /// How it stands with certificates of ACME authorities.
    fn acme(&self) -> Arc<Board>;

    /// Where the use of licences is kept, if anywhere.
    fn journal(&self) -> Option<Arc<Journal>>;

    /// Who is up to no good.
    fn guard(&self) -> Arc<Guard>;

    /// The bindings of an instance that the node knows.
    fn bindings(&self, instance: InstanceId) -> Vec<Binding>;
}

/// A place in the registrations of an instance: one of them, or behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The account, byte by byte.
    pub account: Vec<u8>,
    /// The contact URI.
    pub contact: String,
}

/// Which registrations are wanted.
pub struct Search<'a> {
    /// Only of this account.
    pub account: Option<&'a [u8]>,
    /// And only those for which this is true.
    pub wanted: &'a dyn Fn(&Seen<'_>) -> bool,
}

/// A registration that is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The account.
    pub account: &'a str,
    /// The contact URI.
    pub contact: &'a str,
    /// The phone's software, as it says.
    pub user_agent: &'a str,
    /// Its instance id (`+sip.instance`), empty without one.
    pub device: &'a str,
    /// Transport of its flow.
    pub transport: Option<Transport>,
    /// Where it registered from.
    pub source: Option<SocketAddr>,
}

/// What a REGISTER said of itself.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// User part of its To.
    pub account: &'a str,
    /// What the device is told apart by.
    pub device: &'a str,
    /// Its User-Agent.
    pub user_agent: &'a str,
    /// Its Call-ID.
    pub call_id: &'a str,
}

/// What became of a REGISTER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It got a seat.
    Granted,
    /// It was refused.
    Refused(Refusal),
    /// Shadow mode let it pass.
    Shadowed(Refusal),
}

/// A decision on a REGISTER, with what it was made by.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Unix seconds.
    pub at: u64,
    /// User part of its To.
    pub account: String,
    /// The user whose account that is.
    pub user: Option<String>,
    /// What the user is licensed as.
    pub kind: Option<Kind>,
    /// What the device is told apart by.
    pub device: String,
    /// Its User-Agent.
    pub user_agent: String,
    /// Its Call-ID.
    pub call_id: String,
    /// Where it came from.
    pub source: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// What became of it.
    pub became: Became,
    /// Users with a seat then.
    pub used: Seats,
    /// Users being decided on then.
    pub pending: Seats,
    /// Seats there were.
    pub seats: Seats,
    /// Seats for both kinds together.
    pub total: u32,
    /// The table's revision.
    pub revision: u64,
}

/// The seats of an instance, and how one account and its user stand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seat {
    /// Whether the account holds its user's seat.
    pub has_claim: bool,
    /// Whether the user has a seat, by whatever account.
    pub has_seat: bool,
    /// Users with a seat.
    pub used: Seats,
    /// Users being decided on.
    pub pending: Seats,
    /// Whether a new seat can be written down.
    pub can_save: bool,
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
    /// The device's instance id (`+sip.instance`), if it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub device: String,
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
