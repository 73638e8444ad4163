//! The table as the data plane reads it: immutable, dense, with every name lower-cased and every
//! handle resolved. Built by `route::compile`, swapped by `route::cell`, read by engine and http.

use super::domain::{address, fold};
use super::instances::Instances;
use super::names::{Named, Names};
use crate::ids::{BackendId, InstanceId, ListenerId, ProxyId, Transport};
use crate::licence::{Allowance, Roster};
use crate::model::{
    self, DeviceCertificates, KeepAlive, Language, NamePolicy, Prefix, Profile, SecondDevice, Service, State,
    TlsRoutes, Unknown, WebService,
};
use crate::stats::{InstanceStats, TargetHealth, Touched};
use foldhash::fast::RandomState;
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A map whose hash is seeded at random: keys come from strangers.
pub type Map<K, V> = HashMap<K, V, RandomState>;

/// Index of a proxy in [`Snapshot::proxies`]; valid for this snapshot only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ProxyIndex(pub u16);

/// One revision of the whole table.
#[derive(Default)]
pub struct Snapshot {
    /// The store's revision.
    pub revision: u64,
    /// SHA-256 over the rows that were compiled, in a fixed order: equal tables have equal hashes.
    pub hash: [u8; 32],
    /// SHA-256 over the addresses that the rows' host names stood for.
    pub resolution: [u8; 32],
    /// Sound instances, ordered by id.
    pub instances: Instances,
    /// Sound proxies, ordered by id.
    pub proxies: Vec<Arc<Proxy>>,
    /// Certificates by name.
    pub certificates: Arc<[Arc<Certificate>]>,
    /// The same by name in lower case.
    pub(super) by_certificate: Arc<Map<Box<str>, Arc<Certificate>>>,
    /// Names the instances whose seats changed.
    pub touched: Arc<Touched>,
    pub(super) by_proxy: Map<ProxyId, ProxyIndex>,
    pub(super) names: Names,
}

impl Snapshot {
    /// The instance of an id, as a name or a token stands for it.
    pub fn by_id(&self, id: InstanceId) -> Option<&Arc<Instance>> {
        self.instances.get(id)
    }

    /// The instance of this name, in any case; former names stand for none.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Instance>> {
        let named = self.names.labels.get(&fold(name)).filter(|named| named.until.is_none())?;
        self.by_id(named.id)
    }

    /// The proxy at an index of this snapshot.
    pub fn proxy(&self, index: ProxyIndex) -> Option<&Arc<Proxy>> {
        self.proxies.get(usize::from(index.0))
    }

    /// The proxy of an id, as a listener names it.
    pub fn proxy_by_id(&self, id: ProxyId) -> Option<&Arc<Proxy>> {
        self.proxy(self.by_proxy.get(&id).copied()?)
    }

    /// A listener of a proxy; the inside ones are the node's and not in the table.
    pub fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.proxy_by_id(id.proxy)?.listeners.iter().find(|listener| listener.id == id)
    }

    /// The certificate row of a name, in any case.
    pub fn certificate(&self, name: &str) -> Option<&Arc<Certificate>> {
        self.by_certificate.get(name.to_ascii_lowercase().as_str())
    }

    /// The hosts of an instance that has a certificate of its own: by name at each proxy that serves it, and by alias.
    /// Former names are the old certificate's.
    pub fn own_hosts<'a>(&'a self, instance: &'a Instance) -> impl Iterator<Item = (String, &'a Arc<Certificate>)> {
        let certificate = instance.certificate.as_deref().and_then(|name| self.certificate(name));
        let is_own = |named: Option<Named>| named == Some(Named { id: instance.id, until: None });
        certificate.into_iter().flat_map(move |certificate| {
            let label = fold(&instance.name);
            let proxies = self.proxies.iter().filter(|proxy| proxy.serves(instance.id));
            let named = proxies.map(move |proxy| format!("{label}.{}", proxy.base_domain));
            let aliases = instance.row.aliases.iter().map(|alias| fold(alias));
            let aliases = aliases.filter(move |alias| is_own(self.names.aliases.get(alias)));
            named.chain(aliases).map(move |host| (host, certificate))
        })
    }

    /// Fills the look-up of proxies from their list.
    pub(super) fn index_proxies(&mut self) {
        self.by_proxy = self.proxies.iter().zip(0..).map(|(row, n)| (row.id, ProxyIndex(n))).collect();
    }
}

/// One instance, ready to be routed to.
#[cfg_attr(test, derive(Clone))]
pub struct Instance {
    /// Stable id.
    pub id: InstanceId,
    /// The name as spelled.
    pub name: Box<str>,
    /// Routable only when `On`.
    pub state: State,
    /// Targets ordered by priority.
    pub backends: Vec<Backend>,
    /// Where HTTP goes.
    pub web: Option<Box<Web>>,
    /// Its share of the node, node defaults filled in.
    pub limits: model::Limits,
    /// Language of what is made for people.
    pub language: Language,
    /// What the licences allow it.
    pub allowance: Allowance,
    /// Who its users are; `None` takes every account for a full user of its own (R49).
    pub roster: Option<Arc<Roster>>,
    /// What becomes of a light user's second device (R43).
    pub second_device: SecondDevice,
    /// Count what would be refused, and refuse nothing.
    pub shadow: bool,
    /// Numbers that pass whatever the licence says (R71).
    pub emergency_numbers: Arc<[Box<str>]>,
    /// Name of the certificate for its own names, where it has one of its own.
    pub certificate: Option<Box<str>>,
    /// Pages whose scripts may open a WebSocket to it, lower case; none lets all that the proxy lets.
    pub origins: Box<[Box<str>]>,
    /// Where its devices may come from; none is from everywhere.
    pub only_from: Box<[ipnet::IpNet]>,
    /// Sources that are never banned on its account.
    pub never_ban: Box<[ipnet::IpNet]>,
    /// Counters, the same handle in every revision.
    pub stats: Arc<InstanceStats>,
    /// What it was made of.
    pub(super) row: Arc<model::Instance>,
}

/// One SIP target. A backend whose host has several addresses becomes several of these.
#[cfg_attr(test, derive(Clone))]
pub struct Backend {
    /// Stable id inside the instance.
    pub id: BackendId,
    /// Its host in lower case, if that is no address.
    pub(super) name: Option<Box<str>>,
    /// Where it is.
    pub address: SocketAddr,
    /// How it is spoken to.
    pub transport: Transport,
    /// Lower first.
    pub priority: u16,
    /// Share among equals.
    pub weight: u16,
    /// The way back.
    pub profile: Profile,
    /// What holds for it over TLS.
    pub tls: Arc<model::BackendTls>,
    /// Up or down, the same handle in every revision in which id, address and transport are equal.
    pub health: Arc<TargetHealth>,
}

impl Instance {
    /// What people see.
    pub fn display_name(&self) -> &str {
        if self.row.display_name.is_empty() { &self.name } else { &self.row.display_name }
    }
}

impl Backend {
    /// Its host as written: an address, or a name in lower case.
    pub fn host(&self) -> Cow<'_, str> {
        self.name.as_deref().map_or_else(|| self.address.ip().to_string().into(), Cow::Borrowed)
    }
}

/// Where an instance's HTTP goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Web {
    /// Whether the target speaks TLS.
    pub tls: bool,
    /// Host as written, for TLS and the pool's key.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// Resolved addresses, never empty.
    pub addresses: Vec<SocketAddr>,
    /// What becomes of the `/<name>` prefix.
    pub prefix: Prefix,
    /// Which part is served.
    pub service: WebService,
    /// Whether a TLS target is verified.
    pub verify: bool,
    /// How it is told who asks.
    pub sign_in: model::SignIn,
}

/// One proxy.
pub struct Proxy {
    /// Stable id.
    pub id: ProxyId,
    /// Its name, as spelled.
    pub name: Box<str>,
    /// Host name clients are given, lower case.
    pub fqdn: Box<str>,
    /// Lower case, without a leading dot.
    pub base_domain: Box<str>,
    /// What it listens on.
    pub listeners: Vec<Listener>,
    /// Restricts what it serves (R11): sorted; `None` serves all.
    pub instances: Option<Vec<InstanceId>>,
    /// For SIP requests whose host names none; always one that exists and that it serves.
    pub default_instance: Option<InstanceId>,
    /// Where the bare host sends a browser.
    pub redirection_url: Option<Box<str>>,
    /// Default certificate.
    pub certificate: Option<Arc<Certificate>>,
    /// What unknown names get over SIP.
    pub unknown: Unknown,
    /// Answer plain HTTP with a redirect.
    pub https_redirect: bool,
    /// Whose forwarding fields are believed.
    pub trusted_peers: Vec<ipnet::IpNet>,
    /// Who begins each connection with a PROXY protocol header.
    pub proxy_protocol: Vec<ipnet::IpNet>,
    /// What becomes of a client whose names do not agree.
    pub names: NamePolicy,
    /// Pages whose scripts may open a WebSocket here, lower case; none lets all.
    pub origins: Box<[Box<str>]>,
    /// Whether devices are asked for a certificate.
    pub device_certificates: DeviceCertificates,
    /// PEM certificates of the authorities that sign those of devices.
    pub device_authorities: Box<str>,
    /// How the proxy's own entry in a route is written for clients over TLS.
    pub tls_routes: TlsRoutes,
    /// Whether the proxy keeps the way to devices behind NAT open by itself.
    pub keep_alive: KeepAlive,
}

impl Proxy {
    /// The listeners that have one socket with this one, itself among them (R78).
    pub fn sharing(&self, listener: &Listener) -> impl Iterator<Item = &Listener> {
        let (id, one) = (listener.id, (listener.service, listener.bind));
        self.listeners.iter().filter(move |it| it.id == id || super::shares(one, (it.service, it.bind)))
    }

    /// Whether it serves an instance (R11).
    pub fn serves(&self, id: InstanceId) -> bool {
        self.instances.as_ref().is_none_or(|list| list.binary_search(&id).is_ok())
    }

    /// Whether one of its listeners is bound to an address or advertises it.
    pub(super) fn answers_to(&self, ip: IpAddr) -> bool {
        self.listeners.iter().any(|listener| {
            listener.bind.ip().to_canonical() == ip || listener.advertised_host().and_then(address) == Some(ip)
        })
    }

    /// Whether one of its listeners advertises a host name (lower case).
    pub(super) fn advertises(&self, host: &str) -> bool {
        self.listeners.iter().any(|listener| listener.advertised_host() == Some(host))
    }
}

/// One listening address.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Stable id.
    pub id: ListenerId,
    /// What is spoken there.
    pub service: Service,
    /// Address to bind.
    pub bind: SocketAddr,
    /// `host` or `host:port` to tell clients, lower case; none tells the address they reached.
    pub advertise: Option<Box<str>>,
}

impl Listener {
    /// The host part of `advertise`, an IPv6 address in its brackets.
    pub fn advertised_host(&self) -> Option<&str> {
        let text = self.advertise.as_deref()?;
        match text.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => Some(host),
            _ => Some(text),
        }
    }
}

/// A parsed certificate: the chain and key as they go to TLS.
pub struct Certificate {
    /// The row's name.
    pub name: Box<str>,
    /// SANs (DNS names lower case, IPs as text), wildcard ones as `*.example`.
    pub names: Vec<Box<str>>,
    /// Unix seconds.
    pub not_after: u64,
    /// For rustls.
    pub key: Arc<rustls::sign::CertifiedKey>,
}

/// What a host stands for at a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// An instance this proxy serves.
    Instance {
        /// Which one.
        id: InstanceId,
        /// Whether a former name was used (R7).
        former: bool,
    },
    /// The proxy itself: its FQDN, its base domain, or one of its listening addresses.
    Proxy,
    /// Nothing we know, or an instance this proxy does not serve; deliberately the same (R9).
    Unknown,
}
