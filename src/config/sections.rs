//! The sections of the file and their defaults. `config/nantucket.toml` shows them all.

use super::time::Time;
use crate::guard::{Mode, Policy, Scanners, Treatment};
use crate::licence::Softphones;
use crate::model::Service;
use crate::usage::Topic;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use url::Url;

/// The bootstrap configuration of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the node keeps its table, keys and certificates.
    pub data_dir: PathBuf,
    /// Threads that carry SIP; 0 takes one for each core.
    #[schemars(range(max = 64))]
    pub workers: u8,
    /// Addresses towards the instances.
    pub inside: Inside,
    /// The API.
    pub admin: Admin,
    /// Metrics and health over plain HTTP.
    pub metrics: Metrics,
    /// What is logged, and how.
    pub log: Log,
    /// How SIP is spoken.
    pub sip: Sip,
    /// Bounds of what strangers and instances may cost.
    pub limits: Limits,
    /// Times of SIP and its connections.
    pub timers: Timers,
    /// Probes of the instances' targets.
    pub health: Health,
    /// The end of a node's life.
    pub drain: Drain,
    /// The HTTP front.
    pub http: Http,
    /// What becomes of strangers who are up to no good.
    pub guard: Guard,
    /// Whose licences are accepted, and what they tell apart.
    pub licence: Licence,
    /// Addresses that are told of events about licences and seats.
    pub webhooks: Vec<Webhook>,
    /// The proxy made at the first start, when the table has none.
    pub first_proxy: FirstProxy,
    /// What `licence.softphones` names, as it was read.
    #[serde(skip)]
    pub softphones: Softphones,
    /// What `guard.scanners` names, as it was read.
    #[serde(skip)]
    pub scanners: Scanners,
}

/// Addresses towards the instances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Inside {
    /// UDP and TCP, at most one for each address family. The port is part of what calls in progress
    /// know: keep it.
    #[schemars(with = "Vec<String>")]
    pub bind: Vec<SocketAddr>,
    /// What instances are told instead, where it differs: at most one for each address family.
    #[schemars(with = "Vec<String>")]
    pub advertise: Vec<IpAddr>,
}

/// The API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// HTTPS; none switches it off.
    #[schemars(with = "Vec<String>")]
    pub listen: Vec<SocketAddr>,
}

/// Metrics and health over plain HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// `/metrics`, `/healthz` and `/readyz`; none switches it off.
    #[schemars(with = "Vec<String>")]
    pub listen: Vec<SocketAddr>,
    /// Instances that have series of their own; with more, all are shown as one sum.
    pub instances: usize,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter as in `info,nantucket::http=debug`.
    pub level: String,
}

/// Shapes of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// How SIP is spoken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sip {
    /// Give no Path to a phone that does not say it supports it (RFC 3327 §5.1). Such a phone cannot be
    /// called where the instance needs Path, so the default is to give it one all the same.
    pub strict_path: bool,
}

/// Bounds of what strangers and instances may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a SIP message.
    pub message_bytes: usize,
    /// Bytes of a SIP message's headers.
    pub header_bytes: usize,
    /// Live SIP transactions of one worker: those without a final answer.
    pub transactions: usize,
    /// Live SIP transactions of one instance whose row sets no limit.
    pub instance_transactions: u32,
    /// Bytes of answered SIP transactions that one worker keeps for requests that are repeated, for 64·T1 each; where
    /// that is not enough, the oldest are forgotten.
    pub answered_bytes: usize,
    /// New SIP requests of one instance that one worker takes on in a second; 0 is no limit.
    pub instance_new_requests: u32,
    /// The same at once, after a pause.
    pub instance_new_requests_burst: u32,
    /// Bytes of messages that one worker's transactions may keep; those of one instance at most a quarter of it.
    pub transaction_bytes: usize,
    /// Registered contacts of one instance that are shown.
    pub instance_bindings: usize,
    /// Calls of one instance that are shown.
    pub instance_calls: usize,
    /// Client connections of one instance over which something is registered; a REGISTER over a further one gets 503.
    pub instance_connections: u32,
    /// Targets of an instance tried for one request.
    pub attempts: usize,
    /// SIP connections accepted by the node.
    pub connections: u32,
    /// SIP connections accepted from one source (an IPv4 address or an IPv6 /64).
    pub source_connections: u32,
    /// TLS and WebSocket handshakes under way.
    pub handshakes: u32,
    /// Those of one source.
    pub source_handshakes: u32,
    /// SIP connections one worker may open towards instances.
    pub pool_connections: usize,
    /// New flows of one source in a second; 0 is no limit.
    pub source_new_flows: u32,
    /// New flows of one source at once.
    pub source_new_flows_burst: u32,
    /// Bytes that may wait for a SIP connection whose peer does not read.
    pub outbox_bytes: usize,
    /// Messages that may wait for one worker from the others.
    pub mailbox: usize,
    /// Bytes of a datagram socket's buffers; the kernel has a maximum of its own.
    pub socket_buffer: usize,
}

/// Times of SIP and its connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timers {
    /// Round-trip estimate (RFC 3261 T1).
    pub t1: Time,
    /// Longest interval between retransmissions (T2).
    pub t2: Time,
    /// Longest life of a message in the network (T4).
    pub t4: Time,
    /// How long a call may ring without a sign of life (Timer C); more than three minutes.
    pub c: Time,
    /// How long a target may be silent before the next one is tried.
    pub attempt: Time,
    /// Retry-After of temporary refusals.
    pub retry_after: Time,
    /// For a device that lost its connection to come back: calls to it wait as long, and its seat is kept.
    pub reconnect: Time,
    /// For devices that were connected to the process before to come back, from the start of this one.
    pub reconnect_start: Time,
    /// Between two keep-alives to a device over UDP behind NAT, where its proxy sends them.
    pub keep_alive: Time,
    /// For a new connection to send something.
    pub first_byte: Time,
    /// For the handshakes of TLS and WebSocket.
    pub handshake: Time,
    /// For a message on a connection to become complete.
    pub partial: Time,
    /// For a connection without any traffic.
    pub idle: Time,
    /// For a peer to read something of what waits for it.
    pub stall: Time,
    /// For a connection towards an instance to be opened.
    pub connect: Time,
}

/// Probes of the instances' targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// Between OPTIONS to a target that is up.
    pub interval: Time,
    /// Between OPTIONS to a target that is down.
    pub interval_down: Time,
    /// For an answer.
    pub timeout: Time,
    /// Failures in a row that make a target down.
    pub fall: u32,
    /// Good answers in a row that make it up.
    pub rise: u32,
    /// Targets that are probed; further ones count as up.
    pub targets: usize,
}

/// The end of a node's life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// How long calls may go on after a request to stop.
    pub deadline: Time,
}

/// The HTTP front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Connections of clients.
    pub connections: usize,
    /// Connections of one source address.
    pub source_connections: u32,
    /// TLS handshakes at once.
    pub handshakes: u32,
    /// Bytes of a request line.
    pub target_bytes: u32,
    /// Bytes of a request's header fields.
    pub field_bytes: u32,
    /// Requests and tunnels at once of an instance whose row sets no limit.
    pub instance_requests: u32,
    /// Bytes of a request body where the instance's row sets no limit.
    pub body_bytes: u64,
    /// For a TLS handshake.
    pub handshake: Time,
    /// For a request's head.
    pub head: Time,
    /// For a connection without a request.
    pub idle: Time,
    /// Longest pause inside a request body.
    pub body: Time,
    /// Longest time a client may take no byte of an answer.
    pub write: Time,
    /// For a connection to an instance to be opened.
    pub connect: Time,
    /// For an instance to begin its answer.
    pub answer: Time,
    /// Longest pause inside an answer's body.
    pub answer_body: Time,
}

/// What becomes of strangers who are up to no good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// `enforce`; `watch` counts and shows bans that hinder nobody; `off`.
    pub mode: Mode,
    /// Networks that are neither counted nor banned, as in `192.0.2.0/24`. An instance has exceptions of its own.
    #[schemars(with = "Vec<String>")]
    pub allow: Vec<IpNet>,
    /// For how long failures add up.
    pub window: Time,
    /// Refused sign-ins of one account from one source (an IPv4 address or an IPv6 /64) before it is banned there.
    pub failures: u32,
    /// Different accounts that fail from one source before it is banned, besides twice those that are registered.
    pub accounts: u32,
    /// Different unknown names that one source asks for before it is banned.
    pub names: u32,
    /// Requests of a scanner before its source is banned.
    pub scans: u32,
    /// The first ban; each further one is twice as long.
    pub first_ban: Time,
    /// The longest ban.
    pub longest_ban: Time,
    /// For how long a ban that is over makes the next one longer.
    pub memory: Time,
    /// Bans at one time.
    #[schemars(range(max = 12000))]
    pub bans: usize,
    /// What becomes of a request with the User-Agent of a scanner: `drop`, or `pass` to count it only.
    pub scanner: Treatment,
    /// File with what tells scanners, instead of the built-in list; empty is the built-in one.
    pub scanners: PathBuf,
    /// For how long a connection of a banned source is held before it is closed.
    pub tarpit: Time,
    /// Connections that are held so at one time.
    pub tarpits: u32,
    /// Answer strangers the same for accounts that exist and that do not.
    pub mask: bool,
}

/// Whose licences are accepted, and what they tell apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Licence {
    /// Public keys of the vendor, as `nantucket licence keygen` prints them. While there is none, licences made with
    /// the built-in demo key are accepted; with the first one they are not.
    pub vendor_keys: Vec<VendorKey>,
    /// File with what tells soft clients from phones, instead of the built-in list; empty is the built-in one.
    pub softphones: PathBuf,
}

/// A public key of the vendor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VendorKey {
    /// The id that licences name it by.
    pub id: String,
    /// The Ed25519 public key.
    pub key: String,
}

/// The proxy made at the first start, when the table has none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FirstProxy {
    /// Its name; empty makes none.
    pub name: String,
    /// The host name clients are given.
    pub fqdn: String,
    /// `<instance>.<base_domain>` selects an instance.
    pub base_domain: String,
    /// What it listens on.
    pub listeners: Vec<FirstListener>,
}

/// An address that is told of events about licences and seats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where events are posted: `https://…`, or `http://…` where nobody can listen.
    #[schemars(with = "String")]
    pub url: Url,
    /// File with the secret that signs what is posted; read again for every delivery.
    pub secret_file: PathBuf,
    /// What it is told; empty is everything.
    #[serde(default)]
    pub events: Vec<Topic>,
}

/// One listening address of the first proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirstListener {
    /// What is spoken there: `sip-udp`, `sip-tcp`, `sip-tls`, `sip-ws`, `sip-wss`, `http`, `https`.
    #[schemars(with = "String")]
    pub service: Service,
    /// Address and port.
    #[schemars(with = "String")]
    pub bind: SocketAddr,
    /// `host` or `host:port` clients are told, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/nantucket".into(),
            workers: 0,
            inside: Inside::default(),
            admin: Admin::default(),
            metrics: Metrics::default(),
            log: Log::default(),
            sip: Sip::default(),
            limits: Limits::default(),
            timers: Timers::default(),
            health: Health::default(),
            drain: Drain::default(),
            http: Http::default(),
            guard: Guard::default(),
            licence: Licence::default(),
            webhooks: Vec::new(),
            first_proxy: FirstProxy::default(),
            softphones: Softphones::built_in(),
            scanners: Scanners::built_in(),
        }
    }
}

/// `0.0.0.0` and `[::]` with a port.
fn everywhere(port: u16) -> [SocketAddr; 2] {
    [SocketAddr::from(([0; 4], port)), SocketAddr::from(([0u16; 8], port))]
}

impl Default for Inside {
    fn default() -> Self {
        Self { bind: everywhere(5070).into(), advertise: Vec::new() }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: everywhere(8443).into() }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self { listen: vec![SocketAddr::from(([127, 0, 0, 1], 9090))], instances: 1_000 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Human, level: "info".into() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 65_535,
            header_bytes: 49_152,
            transactions: 100_000,
            instance_transactions: 20_000,
            answered_bytes: 268_435_456,
            instance_new_requests: 4_000,
            instance_new_requests_burst: 8_000,
            transaction_bytes: 536_870_912,
            instance_bindings: 20_000,
            instance_calls: 20_000,
            instance_connections: 20_000,
            attempts: 4,
            connections: 50_000,
            source_connections: 2_000,
            handshakes: 4_096,
            source_handshakes: 256,
            pool_connections: 4_096,
            source_new_flows: 100,
            source_new_flows_burst: 2_000,
            outbox_bytes: 262_144,
            mailbox: 4_096,
            socket_buffer: 4_194_304,
        }
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Time(500),
            t2: Time::seconds(4),
            t4: Time::seconds(5),
            c: Time::seconds(185),
            attempt: Time::seconds(6),
            retry_after: Time::seconds(10),
            reconnect: Time::seconds(10),
            reconnect_start: Time::seconds(30),
            keep_alive: Time::seconds(25),
            first_byte: Time::seconds(10),
            handshake: Time::seconds(8),
            partial: Time::seconds(8),
            idle: Time::seconds(3_900),
            stall: Time::seconds(10),
            connect: Time::seconds(4),
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            interval: Time::seconds(15),
            interval_down: Time::seconds(3),
            timeout: Time::seconds(2),
            fall: 3,
            rise: 2,
            targets: 50_000,
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { deadline: Time::seconds(30) }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            connections: 10_000,
            source_connections: 256,
            handshakes: 256,
            target_bytes: 8_192,
            field_bytes: 49_152,
            instance_requests: 512,
            body_bytes: 1_073_741_824,
            handshake: Time::seconds(10),
            head: Time::seconds(15),
            idle: Time::seconds(75),
            body: Time::seconds(60),
            write: Time::seconds(120),
            connect: Time::seconds(5),
            answer: Time::seconds(60),
            answer_body: Time::seconds(300),
        }
    }
}

impl Default for Guard {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            mode: policy.mode,
            allow: policy.allow,
            window: Time(policy.window),
            failures: policy.failures,
            accounts: policy.accounts,
            names: policy.names,
            scans: policy.scans,
            first_ban: Time(policy.first_ban),
            longest_ban: Time(policy.longest_ban),
            memory: Time(policy.memory),
            bans: policy.bans,
            scanner: policy.scanner,
            scanners: PathBuf::new(),
            tarpit: Time(policy.tarpit),
            tarpits: policy.tarpits,
            mask: policy.mask,
        }
    }
}

impl Default for FirstProxy {
    fn default() -> Self {
        let services = [(Service::SipTls, 5061), (Service::Https, 443), (Service::SipWss, 443), (Service::Http, 80)];
        let listeners = services
            .into_iter()
            .flat_map(|(service, port)| everywhere(port).map(|bind| FirstListener { service, bind, advertise: None }));
        Self {
            name: "front".into(),
            fqdn: "front.nantucket.localhost".into(),
            base_domain: "nantucket.localhost".into(),
            listeners: listeners.collect(),
        }
    }
}
