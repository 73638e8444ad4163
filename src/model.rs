//! The rows of the table as operators write them: instances, proxies and certificates.
//!
//! Rows are JSON documents with a schema version. They are *unchecked* here: `control::validate`
//! lists what is wrong with one, `route::compile` builds the snapshot from the sound ones.

mod certificate;
mod proxy;

pub use certificate::{Acme, AcmeChallenge, Certificate};
pub use proxy::{DeviceCertificates, KeepAlive, Listener, NamePolicy, Proxy, Service, TlsRoutes, Unknown};

use crate::ids::{BackendId, InstanceId, Transport};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The schema version written into new rows.
pub const SCHEMA: u32 = 1;

/// One customer's PBX (RULES R1).
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Version of this document's shape.
    #[serde(default = "schema")]
    pub schema: u32,
    /// Given by the control plane at creation; 0 or absent in a request that creates.
    #[serde(default = "zero_instance")]
    pub id: InstanceId,
    /// The name as spelled by the operator (R2, R3); compared without case.
    pub name: String,
    /// What people see; empty shows the name.
    #[serde(default)]
    pub display_name: String,
    /// Further SIP domains and web hosts of this instance (R4), complete host names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Names it had before a rename, still routing until their date (R7).
    #[serde(default)]
    pub former_names: Vec<FormerName>,
    /// Where it is in its life (R34).
    #[serde(default)]
    pub state: State,
    /// The PBX's SIP addresses, in no order: `priority` and `weight` say which is used.
    #[serde(default)]
    pub backends: Vec<Backend>,
    /// The PBX's web UI and REST interface; none means no web access.
    #[serde(default)]
    pub web: Option<Web>,
    /// Its share of the node.
    #[serde(default)]
    pub limits: Limits,
    /// The language of pages and reason phrases made for it.
    #[serde(default)]
    pub language: Language,
    /// The release it runs, as in `8.1`; empty where nobody said (R29, R56).
    #[serde(default)]
    pub version: String,
    /// What it may use of the licences, and how that is enforced (RULES B and G).
    #[serde(default)]
    pub licence: Licensing,
    /// Numbers that pass whatever the licence says (R71).
    #[serde(default = "emergency")]
    pub emergency_numbers: Vec<String>,
    /// Name of the certificate row for its own names, where it has one of its own.
    #[serde(default)]
    pub certificate: Option<String>,
    /// Pages whose scripts may open a WebSocket to it, as in `https://app.example`; none lets all that the proxy lets.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Where its devices may come from (CIDR); none is from everywhere.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub only_from: Vec<ipnet::IpNet>,
    /// Sources (CIDR) that are never banned on its account, such as a customer's office.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub never_ban: Vec<ipnet::IpNet>,
}

impl Instance {
    /// An instance of this name with nothing else said, as a request that names only itself makes it.
    pub fn named(name: &str) -> Self {
        Self {
            schema: SCHEMA,
            id: zero_instance(),
            name: name.to_owned(),
            display_name: String::new(),
            aliases: Vec::new(),
            former_names: Vec::new(),
            state: State::default(),
            backends: Vec::new(),
            web: None,
            limits: Limits::default(),
            language: Language::default(),
            version: String::new(),
            licence: Licensing::default(),
            emergency_numbers: emergency(),
            certificate: None,
            origins: Vec::new(),
            only_from: Vec::new(),
            never_ban: Vec::new(),
        }
    }
}

/// How an instance is licensed (R14), and how strictly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Licensing {
    /// Where its users come from.
    pub mode: Mode,
    /// Users booked from the pool (R18); of a cloud instance only.
    pub booked: Seats,
    /// Id of its own server licence (R23, R53); of a dedicated instance only.
    pub server: Option<String>,
    /// What becomes of a light user's second device (R43).
    pub second_device: SecondDevice,
    /// Count and report what would be refused, and refuse nothing.
    pub shadow: bool,
}

/// Where an instance's users come from (R14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Three users, without a licence file (R16, R17).
    #[default]
    Community,
    /// Booked from the volume licence (R18).
    Cloud,
    /// From a server licence of its own (R23, R50).
    Dedicated,
}

/// Users of each kind; a full one never stands for a light one, nor the other way round (R47, R48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Seats {
    /// Full users.
    pub full: u32,
    /// Light users.
    pub light: u32,
}

impl Seats {
    /// Those of a kind.
    pub const fn of(self, kind: Kind) -> u32 {
        match kind {
            Kind::Full => self.full,
            Kind::Light => self.light,
        }
    }
}

/// What becomes of a light user's second device while the first is bound (R43).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecondDevice {
    /// It is refused.
    #[default]
    FirstWins,
    /// It takes the place of the first.
    LastWins,
}

/// What a user is licensed as (R43 to R48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Any number of devices, soft clients and the web UI.
    #[default]
    Full,
    /// One physical device.
    Light,
}

/// What a user's device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceClass {
    /// A desk phone.
    #[default]
    Phone,
    /// A program on a computer or mobile (R46).
    Softphone,
    /// A fax machine.
    Fax,
    /// A DECT handset.
    Dect,
    /// An analogue adapter.
    Adapter,
    /// A camera.
    Camera,
    /// A door station.
    Door,
}

/// A user of an instance: a person or a thing that is licensed (R39, R49).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Unique inside the instance, in any case of its letters.
    pub name: String,
    /// Full or light.
    #[serde(default)]
    pub kind: Kind,
    /// What its devices register with: the user parts of its addresses. Each is one user's only.
    pub accounts: Vec<String>,
    /// What its device is.
    #[serde(default)]
    pub class: DeviceClass,
}

/// The users of one instance (R49): with this row only listed accounts register, without it every account is a
/// full user of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// Version of this document's shape.
    #[serde(default = "schema")]
    pub schema: u32,
    /// Whose they are.
    pub instance: InstanceId,
    /// In the order of their names.
    pub users: Vec<User>,
}

/// A name an instance had before (R7).
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FormerName {
    /// The old name.
    pub name: String,
    /// Unix seconds after which it routes no more.
    pub until: u64,
}

/// The life of an instance (R34). Only `on` is routable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Switched off.
    #[default]
    Off,
    /// On its way up.
    Starting,
    /// Serving.
    On,
    /// On its way down.
    Stopping,
    /// Did not start, or died.
    Failed,
}

/// One SIP address of an instance's PBX.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Unique inside the instance; 0 in a request lets the control plane give one.
    #[serde(default = "zero_backend")]
    pub id: BackendId,
    /// `host:port`, `[v6]:port` or a host alone (port 5060).
    pub address: String,
    /// How we speak to it.
    #[serde(default = "udp")]
    pub transport: Transport,
    /// Lower is tried first; equal ones share by weight.
    #[serde(default)]
    pub priority: u16,
    /// Share among equals, 0 to 1000; 0 is used only when no other is left.
    #[serde(default = "one")]
    pub weight: u16,
    /// How the PBX is told the way back to a phone (DESIGN 8).
    #[serde(default)]
    pub profile: Profile,
    /// What holds for it over TLS.
    #[serde(default)]
    pub tls: BackendTls,
}

impl Backend {
    /// A target at this address over UDP with nothing else said.
    pub fn at(address: &str) -> Self {
        Self {
            id: zero_backend(),
            address: address.to_owned(),
            transport: Transport::Udp,
            priority: 0,
            weight: 1,
            profile: Profile::default(),
            tls: BackendTls::default(),
        }
    }
}

/// How a backend over TLS is known to be the right one (RFC 5922).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackendTls {
    /// Whether its certificate is verified; without, anybody on the way may pose as it.
    pub verify: bool,
    /// PEM certificates of the authorities that may have signed it; empty takes the system's.
    pub authorities: String,
    /// The SIP domain its certificate must name; empty is the host of its address.
    pub name: String,
    /// Whether `*.example` in its certificate stands for one label; RFC 5922 §7.2 forbids it for SIP.
    pub wildcard: bool,
    /// Name of the certificate row we show it; empty shows none.
    pub certificate: String,
}

/// Presets of the return path, one for each kind of PBX (PROTOCOLS 1, DESIGN 8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// `res_pjsip` with `support_path=yes`: Path.
    AsteriskPjsip,
    /// `chan_sip`: Path.
    AsteriskSip,
    /// mod_sofia: Path.
    Freeswitch,
    /// registrar with `use_path`: Path.
    Kamailio,
    /// Any PBX that knows Path (RFC 3327).
    #[default]
    Generic,
    /// A PBX without Path: the Contact of a REGISTER is made to point at us.
    Contact,
    /// The PBX reaches phones by itself: neither Path nor Contact is touched.
    None,
}

/// The web side of an instance (R5, R82).
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Web {
    /// `http://host:port` or `https://host:port`, without a path.
    pub url: String,
    /// What becomes of `/<name>` when a request came by path.
    #[serde(default)]
    pub prefix: Prefix,
    /// Which part is served.
    #[serde(default)]
    pub service: WebService,
    /// Whether an https target's certificate is verified against the system's roots.
    #[serde(default)]
    pub verify: bool,
    /// How it is told who asks (R46).
    #[serde(default)]
    pub sign_in: SignIn,
}

impl Web {
    /// A web side at this URL with nothing else said.
    pub fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            prefix: Prefix::default(),
            service: WebService::default(),
            verify: false,
            sign_in: SignIn::default(),
        }
    }
}

/// How the web side of an instance is told who asks, besides Basic authorisation: what keeps light users out (R46).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SignIn {
    /// Paths that sign-ins are sent to, as the PBX has them, as in `/login`; a `*` at the end stands for any rest.
    pub paths: Vec<String>,
    /// The field of the form or JSON document that holds the user's name, as in `username` or `user.name`.
    pub field: String,
    /// The claim of a bearer token (JWT) that holds the user's name; empty looks at none.
    pub claim: String,
}

impl Default for SignIn {
    fn default() -> Self {
        Self { paths: Vec::new(), field: "username".into(), claim: "preferred_username".into() }
    }
}

/// What becomes of the `/<name>` prefix of a request that selected its instance by path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Prefix {
    /// Removed, and told in `X-Forwarded-Prefix`.
    #[default]
    Strip,
    /// Left in the path.
    Keep,
}

/// Which part of the web side is served (R82).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebService {
    /// UI and REST.
    #[default]
    Full,
    /// Only `…/services`.
    Rest,
    /// Nothing.
    Off,
}

/// An instance's share of a node; 0 means the node's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Live SIP transactions.
    pub transactions: u32,
    /// HTTP requests and tunnels at once.
    pub http_requests: u32,
    /// Largest HTTP request body in bytes.
    pub http_body_bytes: u64,
}

/// Languages of what people read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// German.
    De,
}

/// All rows at one revision: what `route::compile` reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The store's revision these rows are of.
    pub revision: u64,
    /// Instances.
    pub instances: Vec<std::sync::Arc<Instance>>,
    /// Proxies.
    pub proxies: Vec<std::sync::Arc<Proxy>>,
    /// Certificates.
    pub certificates: Vec<std::sync::Arc<Certificate>>,
    /// Lists of users, of those instances that have one.
    #[serde(default)]
    pub users: Vec<std::sync::Arc<Users>>,
    /// The licences.
    #[serde(default)]
    pub book: std::sync::Arc<crate::licence::Book>,
}

const fn schema() -> u32 {
    SCHEMA
}

const fn zero_instance() -> InstanceId {
    InstanceId(0)
}

const fn zero_backend() -> BackendId {
    BackendId(0)
}

const fn udp() -> Transport {
    Transport::Udp
}

const fn one() -> u16 {
    1
}

fn emergency() -> Vec<String> {
    vec!["110".into(), "112".into()]
}

const fn yes() -> bool {
    true
}
