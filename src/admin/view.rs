//! The documents of the API that are not rows of the table. The command line reads the same types.

use super::live::{Binding, BoundListener, Phase};
use crate::acme;
use crate::control::change::{Asked, Change};
use crate::control::plan::RenamePreview;
use crate::guard::Ban;
use crate::ids::{BackendId, InstanceId};
use crate::model::{Acme, Certificate, Instance, Kind, Mode, Proxy, Seats, State, User};
use crate::usage::Mark;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A part of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// How many there are in all that match.
    pub total: usize,
    /// Give it as `after` to get the next part; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A certificate without its key (R82).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// Its name.
    pub name: String,
    /// PEM, leaf first.
    pub chain: String,
    /// Subject of the leaf.
    pub subject: String,
    /// Issuer of the leaf.
    pub issuer: String,
    /// Host names and addresses of the leaf.
    pub names: Vec<String>,
    /// Unix seconds from which it is valid.
    pub not_before: u64,
    /// Unix seconds after which it is not.
    pub not_after: u64,
    /// How it is got from an authority, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme: Option<Acme>,
    /// How it stands with that on this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme_status: Option<acme::Status>,
}

/// The TLS handshakes that failed since the start of the node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TlsFailures {
    /// By reason.
    pub reasons: Vec<TlsReason>,
    /// By source, those with most failures first.
    pub sources: Vec<TlsSource>,
    /// The last ones, newest first.
    pub last: Vec<TlsFailure>,
}

/// A reason of failures.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TlsReason {
    /// Its stable word.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// What to do about it.
    pub advice: String,
    /// The same in German.
    pub advice_de: String,
}

/// A source of failures.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TlsSource {
    /// Who.
    #[schema(value_type = String)]
    pub address: std::net::IpAddr,
    /// How many.
    pub count: u64,
    /// Of these, those of versions before TLS 1.2.
    pub old: u64,
    /// Unix seconds of the last one.
    pub last: u64,
    /// Why that was.
    pub reason: String,
    /// The newest version it spoke then; empty where unknown.
    pub version: String,
    /// The name it asked for then.
    pub sni: Option<String>,
}

/// A handshake that failed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TlsFailure {
    /// Unix seconds.
    pub at: u64,
    /// The proxy and the address it came to.
    pub listener: String,
    /// Who it was.
    #[schema(value_type = String)]
    pub source: std::net::SocketAddr,
    /// Why.
    pub reason: String,
    /// The newest version the client spoke; empty where unknown.
    pub version: String,
    /// The cipher suites it offered, the first of them only.
    pub ciphers: Vec<String>,
    /// The name it asked for.
    pub sni: Option<String>,
    /// The protocols it offered.
    pub alpn: Vec<String>,
    /// More about it.
    pub detail: String,
}

/// The users of an instance (R49).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserList {
    /// In the order of their names.
    pub users: Vec<User>,
}

/// Asks for another name (R7).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// The new name.
    pub to: String,
    /// Days for which the old name keeps routing; 30 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
    /// Only show what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a rename did, or would do.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Renamed {
    /// Whether it was done.
    pub done: bool,
    /// Whom it concerns.
    pub preview: RenamePreview,
}

/// Rows as they shall be, or single changes: what is planned or applied in one piece.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Wanted {
    /// Instances to create, or to replace where the name exists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Instance>,
    /// Proxies to create, or to replace where the name exists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<Proxy>,
    /// Certificates to store.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// Remove instances and proxies that are not listed here.
    pub complete: bool,
    /// Single changes, made after the rows above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

impl Wanted {
    /// The changes that bring it about, removals aside.
    pub fn into_changes(self) -> impl Iterator<Item = Asked> {
        let certificates = self.certificates.into_iter().map(|row| Change::PutCertificate { row });
        let instances = self.instances.into_iter().map(|row| Change::PutInstance { row });
        let proxies = self.proxies.into_iter().map(|row| Change::PutProxy { row });
        certificates.chain(instances).chain(proxies).chain(self.changes).map(Asked::from)
    }
}

/// The most users that instances had at once, by month and kind (R72).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MonthList {
    /// By month, instance and kind.
    pub items: Vec<Mark>,
}

/// A registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Registration {
    /// Identifies it until it ends.
    pub id: String,
    /// The instance's name.
    pub instance: String,
    /// Whose account it is; absent where the list of users does not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the user is licensed as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The contact.
    #[serde(flatten)]
    pub binding: Binding,
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BanView {
    /// Name of the instance; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_name: Option<String>,
    /// The ban.
    #[serde(flatten)]
    pub ban: Ban,
}

/// Asks for a ban.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeBan {
    /// Where from: an IPv4 address, or any address of an IPv6 /64.
    #[schema(value_type = String)]
    pub source: std::net::IpAddr,
    /// Only for the instance of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Only for this account of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// For how many seconds.
    pub seconds: u64,
    /// Why, for whoever looks later.
    #[serde(default)]
    pub reason: String,
}

/// One page of registrations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegistrationPage {
    /// In the order of instance, account and contact.
    pub items: Vec<Registration>,
    /// Give it as `after` to get the next page; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Count {
    /// The number.
    pub count: usize,
}

/// A registration that was ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ended {
    /// As it was.
    #[serde(flatten)]
    pub registration: Registration,
    /// Whether the phone was told, by the end of its connection. One over UDP cannot be: its PBX keeps the binding
    /// until it ends.
    pub told: bool,
}

/// Registrations that were ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndedList {
    /// All of them.
    pub items: Vec<Ended>,
    /// How many there are.
    pub count: usize,
    /// How many of the phones were told.
    pub told: usize,
}

impl EndedList {
    /// A list with its numbers.
    pub fn of(items: Vec<Ended>) -> Self {
        Self { count: items.len(), told: items.iter().filter(|it| it.told).count(), items }
    }
}

/// An instance's targets as the node sees them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct InstanceHealth {
    /// The instance's name.
    pub name: String,
    /// Its id.
    pub id: InstanceId,
    /// Where it is in its life.
    pub state: State,
    /// Registered contacts.
    pub bindings: u64,
    /// Calls in progress.
    pub calls: u64,
    /// HTTP requests and tunnels at work.
    pub http_active: u64,
    /// SIP requests that came by a former name (R7).
    pub former_name_requests: u64,
    /// Its SIP targets.
    pub targets: Vec<Target>,
}

/// One SIP target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Target {
    /// The backend of the row it comes from.
    pub backend: BackendId,
    /// Address and port.
    #[schema(value_type = String)]
    pub address: std::net::SocketAddr,
    /// Transport.
    pub transport: crate::ids::Transport,
    /// Lower is tried first.
    pub priority: u16,
    /// Share among equals.
    pub weight: u16,
    /// Whether it answers.
    pub up: bool,
    /// Times it went down since the node started.
    pub falls: u64,
}

/// The node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// Where the node is in its life.
    pub phase: Phase,
    /// Seconds since its start.
    pub uptime_seconds: u64,
    /// Revision of the table it routes by.
    pub revision: u64,
    /// Instances in that table.
    pub instances: usize,
    /// Proxies in that table.
    pub proxies: usize,
    /// What it listens on, and what it cannot.
    pub listeners: Vec<BoundListener>,
}

/// What would become of a request, and by which rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The question in words.
    pub question: String,
    /// Revision of the table that answers it.
    pub revision: u64,
    /// One answer for each proxy asked about.
    pub answers: Vec<Answer>,
    /// Whether the accounts concerned may register now, as far as licences go.
    #[serde(default)]
    pub licences: Vec<Entitlement>,
    /// What was decided on their REGISTERs of late, newest first, at most 100. Of each instance the last 256 refusals
    /// and the last 256 new seats are remembered, until the node ends.
    #[serde(default)]
    pub decisions: Vec<Decision>,
}

impl Explanation {
    /// What is known without licences.
    pub fn of(question: String, revision: u64, answers: Vec<Answer>) -> Self {
        Self { question, revision, answers, licences: Vec::new(), decisions: Vec::new() }
    }
}

/// Whether an account may register now, as far as licences go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Entitlement {
    /// The instance.
    pub instance: String,
    /// The account.
    pub account: String,
    /// Whose it is; absent if nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the user is licensed as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// How the instance is licensed.
    pub mode: Mode,
    /// Whether the account holds a seat.
    pub seated: bool,
    /// Users with a seat.
    pub used: Seats,
    /// Users being decided on.
    pub pending: Seats,
    /// Users the instance is licensed for.
    pub licensed: Seats,
    /// Users of both kinds together, where they are limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// Whether soft clients of full users are licensed.
    pub softphones: bool,
    /// Whether refusals are only counted.
    pub shadow: bool,
    /// The code a new REGISTER would be refused with, as in `seats-exhausted`; absent if it would pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// The rule that refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Why, in words.
    pub steps: Vec<String>,
}

/// A decision on a REGISTER.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// Unix seconds.
    pub at: u64,
    /// The instance.
    pub instance: String,
    /// The account.
    pub account: String,
    /// Whose it was; absent if nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the user was licensed as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// What a light user's device is told apart by.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub device: String,
    /// The phone's software, as it says.
    pub user_agent: String,
    /// The REGISTER's Call-ID.
    pub call_id: String,
    /// Where it came from.
    #[schema(value_type = String)]
    pub source: std::net::SocketAddr,
    /// Over what.
    pub transport: crate::ids::Transport,
    /// What became of it.
    pub became: Became,
    /// The code it was refused with, also where shadow mode let it pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The rule that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The same in words.
    pub text: String,
    /// Users with a seat then.
    pub used: Seats,
    /// Users being decided on then.
    pub pending: Seats,
    /// Users the instance was licensed for.
    pub licensed: Seats,
    /// Users of both kinds together, where they were limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// Revision of the table it was decided by.
    pub revision: u64,
}

/// What became of a REGISTER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Became {
    /// It got a seat.
    Granted,
    /// It was refused.
    Refused,
    /// It would have been refused; shadow mode let it pass.
    Shadowed,
}

/// What one proxy would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Answer {
    /// The proxy.
    pub proxy: String,
    /// The instance it would go to; absent if none is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The decisions in order, in words.
    pub steps: Vec<String>,
    /// The rule that decides, for programs.
    pub rule: Rule,
    /// The status the client gets from this node; absent if the instance answers, or nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The targets in the order in which they are tried for this account, then those that are down.
    pub targets: Vec<Target>,
    /// The web address, for a question about HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<String>,
}

/// The rule that decides what becomes of a request. The words are those of logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// It goes to the instance.
    Forwarded,
    /// No instance of that name is known at the proxy.
    UnknownInstance,
    /// The host is the proxy itself.
    ProxyItself,
    /// The instance is not switched on.
    InstanceOff,
    /// The instance has no target that could serve.
    NoTarget,
    /// The instance has no web side, or it is switched off.
    WebOff,
    /// Only `…/services` of the instance's web side is served.
    RestOnly,
}
