//! One row of the table, as the snapshot holds it. Called by `compile`, which knows the other rows.

use super::domain::{self, fold};
use super::endpoint::{self, Endpoint, HostPart};
use super::instances::Became;
use super::problem::{Code, Problem};
use super::resolved::Resolved;
use super::select::MAX_TARGETS;
use super::snapshot::{Backend, Instance, Listener, Proxy, Snapshot, Web};
use crate::ids::{ListenerId, ProxyId, Transport};
use crate::licence::{Allowance, Roster};
use crate::model::{self, SCHEMA, Service};
use crate::stats::InstanceStats;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

/// What the licences and the list of users say of an instance.
pub(super) struct Terms {
    pub(super) allowance: Allowance,
    pub(super) roster: Option<Arc<Roster>>,
}

impl Terms {
    pub(super) fn hold_for(&self, known: &Instance) -> bool {
        known.allowance == self.allowance && super::same::same_roster(known.roster.as_ref(), self.roster.as_ref())
    }
}

/// What one row became.
pub(super) struct Built {
    /// None for a row that cannot be loaded at all.
    pub(super) instance: Option<Arc<Instance>>,
    pub(super) problems: Vec<Problem>,
    /// Host names it asks for.
    pub(super) hosts: Vec<Box<str>>,
}

/// Builds an instance; one that routes and serves as the one before, of an equal row, is that one.
pub(super) fn instance(
    row: &Arc<model::Instance>,
    was: Option<&Became>,
    stats: Arc<InstanceStats>,
    resolved: &Resolved,
    defaults: model::Limits,
    terms: Terms,
) -> Built {
    let old = was.and_then(Became::built);
    let mut build = Build { name: &row.name, problems: Vec::new(), hosts: Vec::new(), resolved };
    let instance = build.instance(row, stats, old, defaults, terms).map(|new| match old {
        Some(old) if Arc::ptr_eq(&old.row, row) && old.same(&new) => Arc::clone(old),
        _ => Arc::new(new),
    });
    Built { instance, problems: build.problems, hosts: build.hosts }
}

/// What of a row's targets would be left out, whatever their host names stand for.
pub fn check_instance(row: &model::Instance) -> Vec<Problem> {
    let resolved = Resolved::default();
    let mut build = Build { name: &row.name, problems: Vec::new(), hosts: Vec::new(), resolved: &resolved };
    build.backends(row, None);
    row.web.as_ref().and_then(|web| build.web(web));
    build.problems.retain(|problem| problem.code != Code::AddressUnresolved);
    build.problems
}

struct Build<'a> {
    /// The name of the row.
    name: &'a str,
    problems: Vec<Problem>,
    hosts: Vec<Box<str>>,
    resolved: &'a Resolved,
}

impl Build<'_> {
    fn instance(
        &mut self,
        row: &Arc<model::Instance>,
        stats: Arc<InstanceStats>,
        old: Option<&Arc<Instance>>,
        defaults: model::Limits,
        terms: Terms,
    ) -> Option<Instance> {
        if row.schema > SCHEMA {
            let reason = format!("schema {} is of a later version of this program", row.schema);
            self.problem("schema", Code::SchemaUnknown, reason);
            return None;
        }
        if let Err(fault) = domain::check_name(&row.name) {
            self.problem("name", Code::NameInvalid, fault.to_string());
            return None;
        }
        let limit = |own: u32, default: u32| if own == 0 { default } else { own };
        Some(Instance {
            id: row.id,
            name: row.name.as_str().into(),
            state: row.state,
            backends: self.backends(row, old),
            web: row.web.as_ref().and_then(|web| self.web(web)).map(Box::new),
            limits: model::Limits {
                transactions: limit(row.limits.transactions, defaults.transactions),
                http_requests: limit(row.limits.http_requests, defaults.http_requests),
                http_body_bytes: match row.limits.http_body_bytes {
                    0 => defaults.http_body_bytes,
                    own => own,
                },
            },
            language: row.language,
            allowance: terms.allowance,
            roster: terms.roster,
            second_device: row.licence.second_device,
            shadow: row.licence.shadow,
            emergency_numbers: numbers(&row.emergency_numbers),
            certificate: row.certificate.as_deref().map(Into::into),
            origins: origins(&row.origins),
            only_from: row.only_from.as_slice().into(),
            never_ban: row.never_ban.as_slice().into(),
            stats,
            row: Arc::clone(row),
        })
    }

    fn backends(&mut self, row: &model::Instance, old: Option<&Arc<Instance>>) -> Vec<Backend> {
        let mut backends: Vec<Backend> = Vec::with_capacity(row.backends.len());
        let mut ids = BTreeSet::new();
        for (backend, n) in row.backends.iter().zip(0..) {
            if backend.id.0 == 0 || !ids.insert(backend.id) {
                let reason = format!("{} is not an id of its own", backend.id.0);
                self.problem(format!("backends[{n}].id"), Code::IdInvalid, reason);
                continue;
            }
            let port = match backend.transport {
                Transport::Tls => 5061,
                _ => 5060,
            };
            if !matches!(backend.transport, Transport::Udp | Transport::Tcp | Transport::Tls) {
                let reason = format!("instances are reached over udp, tcp or tls, not {}", backend.transport);
                self.problem(format!("backends[{n}].transport"), Code::TransportUnsupported, reason);
                continue;
            }
            let endpoint = endpoint::target(&backend.address, port);
            self.tls_terms(n, backend);
            let name = match &endpoint {
                Ok(Endpoint { host: HostPart::Name(name), .. }) => Some(name.clone()),
                _ => None,
            };
            for address in self.addresses(format!("backends[{n}].address"), endpoint) {
                if backends.iter().any(|other| other.address == address && other.transport == backend.transport) {
                    let reason = format!("{address} over {} is there already", backend.transport);
                    self.problem(format!("backends[{n}].address"), Code::Duplicate, reason);
                } else if backends.len() == MAX_TARGETS {
                    let reason = format!("{address} is left out: an instance has at most {MAX_TARGETS} addresses");
                    self.problem(format!("backends[{n}]"), Code::TooMany, reason);
                } else {
                    let known = old.into_iter().flat_map(|old| &old.backends).find(|known| {
                        (known.id, known.address, known.transport) == (backend.id, address, backend.transport)
                    });
                    backends.push(Backend {
                        id: backend.id,
                        name: name.clone(),
                        address,
                        transport: backend.transport,
                        priority: backend.priority,
                        weight: backend.weight,
                        profile: backend.profile,
                        tls: terms(&backend.tls),
                        health: known.map(|known| Arc::clone(&known.health)).unwrap_or_default(),
                    });
                }
            }
        }
        backends.sort_by_key(|backend| backend.priority);
        backends
    }

    /// What is wrong with the terms of a backend over TLS: it is kept, and cannot be reached (never less well).
    fn tls_terms(&mut self, n: usize, backend: &model::Backend) {
        let tls = &backend.tls;
        if let Err(reason) = authorities(&tls.authorities) {
            self.problem(format!("backends[{n}].tls.authorities"), Code::CertificateInvalid, reason);
        }
        if !tls.name.is_empty()
            && let Err(reason) = endpoint::endpoint(&tls.name, 5061)
        {
            self.problem(format!("backends[{n}].tls.name"), Code::NameInvalid, reason);
        }
    }

    fn web(&mut self, web: &model::Web) -> Option<Web> {
        let target = match endpoint::web_target(&web.url) {
            Ok(target) => target,
            Err(reason) => {
                self.problem("web.url", Code::UrlInvalid, reason);
                return None;
            }
        };
        let host = match &target.endpoint.host {
            HostPart::Ip(ip) => ip.to_string().into(),
            HostPart::Name(name) => name.clone(),
        };
        let port = target.endpoint.port;
        let addresses = self.addresses("web.url".into(), Ok(target.endpoint));
        if addresses.is_empty() {
            return None;
        }
        let model::Web { prefix, service, verify, .. } = *web;
        let sign_in = web.sign_in.clone();
        Some(Web { tls: target.tls, host, port, addresses, prefix, service, verify, sign_in })
    }

    fn addresses(&mut self, field: String, endpoint: Result<Endpoint, String>) -> Vec<SocketAddr> {
        let Endpoint { host, port } = match endpoint {
            Ok(endpoint) => endpoint,
            Err(reason) => {
                self.problem(field, Code::AddressInvalid, reason);
                return Vec::new();
            }
        };
        match host {
            HostPart::Ip(ip) => vec![(ip, port).into()],
            HostPart::Name(name) => {
                let found: Vec<_> = self.resolved.get(&name).iter().map(|ip| (*ip, port).into()).collect();
                if found.is_empty() {
                    self.problem(field, Code::AddressUnresolved, format!("\"{name}\" has no address at present"));
                }
                self.hosts.push(name);
                found
            }
        }
    }

    fn problem(&mut self, field: impl Into<String>, code: Code, reason: impl Into<String>) {
        self.problems.push(Problem::new(format!("instance/{}", self.name), field, code, reason));
    }
}

/// What earlier proxies of a table took.
#[derive(Default)]
pub(super) struct Taken {
    ids: BTreeSet<crate::ids::ProxyId>,
    names: BTreeSet<String>,
    binds: Vec<(ProxyId, Service, SocketAddr)>,
}

/// Builds a proxy on the instances and certificates of a half-built snapshot.
pub(super) fn proxy(
    row: &model::Proxy,
    snapshot: &Snapshot,
    taken: &mut Taken,
    problems: &mut Vec<Problem>,
) -> Option<Proxy> {
    let place = format!("proxy/{}", row.name);
    let mut problem =
        |field: String, code, reason: String| problems.push(Problem::new(place.clone(), field, code, reason));
    if row.schema > SCHEMA {
        let reason = format!("schema {} is of a later version of this program", row.schema);
        problem("schema".into(), Code::SchemaUnknown, reason);
        return None;
    }
    if row.id.0 == 0 || !taken.ids.insert(row.id) {
        problem("id".into(), Code::IdInvalid, format!("{} is not an id of its own", row.id.0));
        return None;
    }
    let checks = [
        ("name", domain::check_name(&row.name)),
        ("fqdn", domain::check_host(&row.fqdn)),
        ("base_domain", domain::check_host(&row.base_domain)),
    ];
    let mut usable = true;
    for (field, check) in checks {
        if let Err(fault) = check {
            problem(field.into(), Code::NameInvalid, fault.to_string());
            usable = false;
        }
    }
    if usable && !taken.names.insert(fold(&row.name)) {
        problem("name".into(), Code::NameTaken, "another proxy has this name".into());
        usable = false;
    }
    if !usable {
        return None;
    }
    let id_of = |name: &str| snapshot.by_name(name).map(|instance| instance.id);
    let unknown = |name: &str| format!("there is no sound instance \"{}\"", name.escape_debug());
    let instances = row.instances.as_ref().map(|names| {
        let mut ids = Vec::with_capacity(names.len());
        for (name, n) in names.iter().zip(0..) {
            match id_of(name) {
                Some(id) => ids.push(id),
                None => problem(format!("instances[{n}]"), Code::ReferenceUnknown, unknown(name)),
            }
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    });
    let default_instance = row.default_instance.as_ref().and_then(|name| {
        let id = id_of(name).filter(|id| instances.as_ref().is_none_or(|list| list.contains(id)));
        if id.is_none() {
            problem("default_instance".into(), Code::ReferenceUnknown, unknown(name));
        }
        id
    });
    let certificate = row.certificate.as_ref().and_then(|name| {
        let found = snapshot.certificate(name).cloned();
        if found.is_none() {
            let reason = format!("there is no sound certificate \"{}\"", name.escape_debug());
            problem("certificate".into(), Code::ReferenceUnknown, reason);
        }
        found
    });
    Some(Proxy {
        id: row.id,
        name: row.name.as_str().into(),
        fqdn: fold(&row.fqdn).into(),
        base_domain: fold(&row.base_domain).into(),
        listeners: listeners(row, taken, &mut problem),
        instances,
        default_instance,
        redirection_url: row.redirection_url.as_deref().map(Into::into),
        certificate,
        unknown: row.unknown,
        https_redirect: row.https_redirect,
        trusted_peers: row.trusted_peers.clone(),
        proxy_protocol: row.proxy_protocol.clone(),
        names: row.names,
        origins: origins(&row.origins),
        device_certificates: row.device_certificates,
        device_authorities: row.device_authorities.as_str().into(),
        tls_routes: row.tls_routes,
        keep_alive: row.keep_alive,
    })
}

/// Emergency numbers: one list for all that have the usual ones.
fn numbers(list: &[String]) -> Arc<[Box<str>]> {
    static USUAL: LazyLock<Arc<[Box<str>]>> = LazyLock::new(|| boxed(&model::Instance::named("").emergency_numbers));
    let is_usual = USUAL.iter().map(|number| &**number).eq(list.iter().map(String::as_str));
    if is_usual { Arc::clone(&USUAL) } else { boxed(list) }
}

fn boxed(list: &[String]) -> Arc<[Box<str>]> {
    list.iter().map(|number| number.as_str().into()).collect()
}

/// What holds for a backend over TLS: one for all that say nothing.
fn terms(tls: &model::BackendTls) -> Arc<model::BackendTls> {
    static NOTHING: LazyLock<Arc<model::BackendTls>> = LazyLock::new(Arc::default);
    if *tls == **NOTHING { Arc::clone(&NOTHING) } else { Arc::new(tls.clone()) }
}

/// Whether a PEM text holds certificates of authorities; an empty one names none.
fn authorities(pem: &str) -> Result<(), String> {
    if pem.is_empty() {
        return Ok(());
    }
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        certificate.map_err(|error| error.to_string())?;
        count += 1;
    }
    if count == 0 { Err("there is no certificate in it".into()) } else { Ok(()) }
}

/// Origins as they are compared: lower case.
fn origins(list: &[String]) -> Box<[Box<str>]> {
    list.iter().map(|origin| origin.to_ascii_lowercase().into()).collect()
}

fn listeners(row: &model::Proxy, taken: &mut Taken, problem: &mut impl FnMut(String, Code, String)) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::with_capacity(row.listeners.len());
    for (listener, n) in row.listeners.iter().zip(0..) {
        let id = ListenerId { proxy: row.id, number: listener.number };
        if listener.number == 0 || listeners.iter().any(|other| other.id == id) {
            let reason = format!("{} is not a number of its own", listener.number);
            problem(format!("listeners[{n}].number"), Code::IdInvalid, reason);
            continue;
        }
        let conflict = taken.binds.iter().find(|(proxy, service, bind)| {
            conflicts((*service, *bind), (listener.service, listener.bind), *proxy == row.id)
        });
        if let Some((_, _, bind)) = conflict {
            let reason = format!("{} is taken by another listener on {bind}", listener.bind);
            problem(format!("listeners[{n}].bind"), Code::ListenerConflict, reason);
            continue;
        }
        let advertise = listener.advertise.as_deref().filter(|text| match endpoint::endpoint(text, 5060) {
            Ok(_) => true,
            Err(reason) => {
                problem(format!("listeners[{n}].advertise"), Code::AddressInvalid, reason);
                false
            }
        });
        taken.binds.push((row.id, listener.service, listener.bind));
        listeners.push(Listener {
            id,
            service: listener.service,
            bind: listener.bind,
            advertise: advertise.map(|text| fold(text).into()),
        });
    }
    listeners
}

/// Whether two listeners cannot be open at once: same protocol and port, same address or one of them
/// bound to every address of the family. Port 0 is the kernel's choice and meets nothing. Those of one
/// proxy may share an address where what a client begins with tells them apart: see [`shares`].
pub fn conflicts(a: (Service, SocketAddr), b: (Service, SocketAddr), one_proxy: bool) -> bool {
    let datagrams = |service| matches!(service, Service::SipUdp);
    let (one, other) = (a.1.ip(), b.1.ip());
    datagrams(a.0) == datagrams(b.0)
        && a.1.port() == b.1.port()
        && a.1.port() != 0
        && one.is_ipv4() == other.is_ipv4()
        && (one == other || one.is_unspecified() || other.is_unspecified())
        && !(one_proxy && shares(a, b))
}

/// Whether two listeners of one proxy have one socket: different services on the same address, all under TLS or
/// none.
pub fn shares(a: (Service, SocketAddr), b: (Service, SocketAddr)) -> bool {
    a.0 != b.0
        && a.1 == b.1
        && a.1.port() != 0
        && a.0.is_tls() == b.0.is_tls()
        && ![a.0, b.0].contains(&Service::SipUdp)
}
