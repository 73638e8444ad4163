//! All certificates of the node, found by the name a client asks for.
//!
//! Exact names come before wildcards, wildcards before the proxy's own certificate, that before the
//! self-signed one. The index is replaced as a whole: handshakes that begin later see the new one,
//! connections that are open notice nothing (R82).

use super::Error;
use super::challenges::{self, Challenges};
use super::devices::{Devices, Verifier};
use super::failures::Failures;
use super::resolver::Resolver;
use super::self_signed::{self, SelfSigned};
use super::tickets::{Ring, TicketKey, Ticketer};
use crate::ids::ProxyId;
use crate::route::snapshot::{Certificate, Map, Snapshot};
use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What is agreed on over a port that only SIP is spoken on, if a client asks. A WebSocket begins as HTTP.
const SIP: &[&[u8]] = &[b"sip", b"sips", b"sip/2", b"http/1.1"];

/// The certificates of the node.
pub struct Certificates {
    index: ArcSwap<Index>,
    dir: PathBuf,
    /// Names of the node itself that the self-signed certificate covers besides the proxies'.
    own_names: Vec<String>,
    self_signed: Mutex<SelfSigned>,
    failures: Arc<Failures>,
    challenges: Arc<Challenges>,
    tickets: Arc<Ring>,
}

/// Certificates by name. A name has several where their keys differ (ECDSA beside RSA).
struct Index {
    exact: Map<Box<str>, Vec<Arc<Certificate>>>,
    /// By the part behind `*.`.
    wildcard: Map<Box<str>, Vec<Arc<Certificate>>>,
    by_proxy: Map<ProxyId, Arc<Certificate>>,
    /// Those that instances have for their own hosts.
    own: Map<Box<str>, Arc<Certificate>>,
    /// Names of the proxies: what else covers them is as good as their own where a client cannot do with that.
    fronts: Map<ProxyId, Box<str>>,
    /// What proxies demand of devices.
    devices: Map<ProxyId, Arc<Devices>>,
    self_signed: Arc<CertifiedKey>,
}

impl Certificates {
    /// Reads the self-signed certificate from `dir`, or makes it: for `localhost`, the loopback
    /// addresses and `own_names` at first. Blocks on the disk.
    pub fn open(dir: &Path, own_names: Vec<String>, now_unix: u64) -> Result<Arc<Self>, Error> {
        let wanted = wanted(&own_names, &Snapshot::default());
        let self_signed = match SelfSigned::load(dir) {
            Some(found) if found.serves(&wanted, now_unix) => found,
            found => SelfSigned::make(dir, wanted, found.as_ref(), now_unix)?,
        };
        let index = Index {
            exact: Map::default(),
            wildcard: Map::default(),
            by_proxy: Map::default(),
            own: Map::default(),
            fronts: Map::default(),
            devices: Map::default(),
            self_signed: Arc::clone(&self_signed.key),
        };
        Ok(Arc::new(Self {
            index: ArcSwap::from_pointee(index),
            dir: dir.to_owned(),
            own_names,
            self_signed: Mutex::new(self_signed),
            failures: Arc::default(),
            challenges: Arc::default(),
            tickets: Arc::default(),
        }))
    }

    /// Takes over a new snapshot's certificates, and remakes the self-signed one if the proxies'
    /// names are not all in it. Blocks on the disk in that case only.
    ///
    /// If the self-signed one cannot be remade, the operators' certificates are in force all the same.
    pub fn apply(&self, snapshot: &Snapshot, now_unix: u64) -> Result<(), Error> {
        let mut own = self.self_signed.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = wanted(&self.own_names, snapshot);
        let mut result = Ok(());
        if !own.serves(&wanted, now_unix) {
            match SelfSigned::make(&self.dir, wanted, Some(&own), now_unix) {
                Ok(made) => *own = made,
                Err(error) => result = Err(error),
            }
        }
        let before = self.index.load();
        self.index.store(Arc::new(Index::new(snapshot, Arc::clone(&own.key), &before)));
        result
    }

    /// The TLS side of a listener: of a proxy, or of the node's own API where `proxy` is `None`. It follows the
    /// table by itself. `devices`: SIP is spoken there, so devices are asked for certificates as the proxy
    /// wants it; whoever lets browsers share that port wants it of them too. No `alpn` is what SIP alone agrees on.
    pub fn server_config(
        self: &Arc<Self>,
        proxy: Option<ProxyId>,
        alpn: &[&[u8]],
        devices: bool,
    ) -> Result<Arc<ServerConfig>, Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?;
        let asking = proxy.filter(|_| devices);
        let builder = match asking {
            Some(proxy) => builder.with_client_cert_verifier(Arc::new(Verifier::new(Arc::clone(self), proxy))),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Resolver::new(Arc::clone(self), proxy)));
        config.alpn_protocols = if alpn.is_empty() { SIP } else { alpn }.iter().map(|name| name.to_vec()).collect();
        if proxy.is_some() {
            config.alpn_protocols.push(challenges::ALPN.to_vec());
        }
        let me = Arc::clone(self);
        let context = move || me.context(proxy, asking);
        config.ticketer = Arc::new(Ticketer { ring: Arc::clone(&self.tickets), context });
        config.send_tls13_tickets = 2;
        Ok(Arc::new(config))
    }

    /// The keys that session tickets are sealed with from now on, and those that open them.
    pub fn set_ticket_keys(&self, keys: Vec<TicketKey>) {
        self.tickets.set(keys);
    }

    /// What a session must have in common with the one that resumes it.
    fn context(&self, proxy: Option<ProxyId>, asking: Option<ProxyId>) -> Vec<u8> {
        let mut context = vec![u8::from(proxy.is_some())];
        context.extend(proxy.map_or(0, |id| id.0).to_be_bytes());
        context.extend(asking.and_then(|id| self.devices(id)).map(|devices| devices.hash).iter().flatten());
        context
    }

    /// What a proxy demands of devices.
    pub(super) fn devices(&self, proxy: ProxyId) -> Option<Arc<Devices>> {
        self.index.load().devices.get(&proxy).cloned()
    }

    /// Challenges of ACME authorities.
    pub const fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// Handshakes that failed, told by all who accept connections.
    pub const fn failures(&self) -> &Arc<Failures> {
        &self.failures
    }

    /// Where the self-signed certificate is, as PEM.
    pub fn self_signed_path(&self) -> PathBuf {
        self_signed::certificate_path(&self.dir)
    }

    /// Whether a client that asked for `a` got a certificate it also gets for `b` (lower case or not).
    pub fn same(&self, proxy: Option<ProxyId>, a: &str, b: &str) -> bool {
        let index = self.index.load();
        let (a, b) = (lower(a), lower(b));
        index.covers(&a, &b).unwrap_or_else(|| {
            // The proxy's own certificate may well be one that also covers a name.
            let one = index.own.get(&*a).or(index.own.get(&*b)).map(std::slice::from_ref);
            let one = one.or_else(|| index.named(&a)).or_else(|| index.named(&b)).unwrap_or_default();
            let own = proxy.and_then(|id| index.by_proxy.get(&id));
            own.is_some_and(|own| one.iter().any(|certificate| Arc::ptr_eq(certificate, own)))
        })
    }

    /// The key for a handshake.
    pub(super) fn select(
        &self,
        proxy: Option<ProxyId>,
        sni: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Arc<CertifiedKey> {
        let index = self.index.load();
        Arc::clone(index.select(proxy, sni.map(lower).as_deref(), schemes))
    }
}

/// A name in lower case, as it mostly is.
fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Index {
    fn new(snapshot: &Snapshot, self_signed: Arc<CertifiedKey>, before: &Self) -> Self {
        let own = snapshot.instances.iter().flat_map(|instance| snapshot.own_hosts(instance));
        let own = own.map(|(host, certificate)| (host.into(), Arc::clone(certificate))).collect();
        let fronts = snapshot.proxies.iter().map(|proxy| (proxy.id, proxy.fqdn.clone())).collect();
        let (exact, wildcard, by_proxy) = (Map::default(), Map::default(), Map::default());
        let mut index = Self { exact, wildcard, by_proxy, own, fronts, devices: Map::default(), self_signed };
        for certificate in snapshot.certificates.iter() {
            for name in &certificate.names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut index.wildcard, rest),
                    None => (&mut index.exact, &**name),
                };
                map.entry(name.into()).or_default().push(Arc::clone(certificate));
            }
        }
        // The one that lives longest is the one an operator renewed last.
        for list in index.exact.values_mut().chain(index.wildcard.values_mut()) {
            list.sort_by_key(|certificate| std::cmp::Reverse(certificate.not_after));
        }
        for proxy in &snapshot.proxies {
            if let Some(certificate) = &proxy.certificate {
                index.by_proxy.insert(proxy.id, Arc::clone(certificate));
            }
            let (asks, authorities) = (proxy.device_certificates, &*proxy.device_authorities);
            let known = before.devices.get(&proxy.id).filter(|known| known.is(asks, authorities));
            let devices = known.map_or_else(|| Arc::new(Devices::new(asks, authorities)), Arc::clone);
            index.devices.insert(proxy.id, devices);
        }
        index
    }

    /// The instance's own for its host, else what covers the name, else the proxy's, else what covers the proxy's
    /// name, else the self-signed one; of each the first whose key the client can do with. One that can do with none
    /// gets the first of all, and says what it thinks of it.
    fn select(&self, proxy: Option<ProxyId>, sni: Option<&str>, schemes: &[SignatureScheme]) -> &Arc<CertifiedKey> {
        let own = sni.and_then(|name| self.own.get(name)).into_iter();
        let named = sni.and_then(|name| self.named(name)).unwrap_or_default().iter();
        let default = proxy.and_then(|id| self.by_proxy.get(&id)).into_iter();
        let front = proxy.filter(|id| self.by_proxy.contains_key(id)).and_then(|id| self.fronts.get(&id));
        let front = front.and_then(|name| self.named(name)).unwrap_or_default().iter();
        let mut all = own.chain(named).chain(default).chain(front).peekable();
        let first = all.peek().map(|certificate| &certificate.key);
        let able = all.find(|certificate| certificate.key.key.choose_scheme(schemes).is_some());
        able.map(|certificate| &certificate.key).or(first).unwrap_or(&self.self_signed)
    }

    /// Whether one certificate would do for both of two lower-case names.
    fn covers(&self, a: &str, b: &str) -> Option<bool> {
        let of = |name: &str| self.own.get(name).map(std::slice::from_ref).or_else(|| self.named(name));
        match (of(a), of(b)) {
            (Some(a), Some(b)) => Some(a.iter().any(|a| b.iter().any(|b| Arc::ptr_eq(a, b)))),
            (None, None) => Some(true),
            _ => None,
        }
    }

    /// What we hold for a lower-case name: exact, else by wildcard (one label only, RFC 9525 §6.3).
    fn named(&self, name: &str) -> Option<&[Arc<Certificate>]> {
        let name = name.strip_suffix('.').unwrap_or(name);
        if let Some(found) = self.exact.get(name) {
            return Some(found);
        }
        let (label, rest) = name.split_once('.')?;
        if label.is_empty() { None } else { self.wildcard.get(rest).map(Vec::as_slice) }
    }
}

/// What the self-signed certificate has to cover.
fn wanted(own_names: &[String], snapshot: &Snapshot) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    names.extend(own_names.iter().filter_map(|name| covered(name)));
    for proxy in &snapshot.proxies {
        let listeners = proxy.listeners.iter();
        let addresses = listeners.flat_map(|listener| {
            let bound = listener.bind.ip();
            let bound = (!bound.is_unspecified()).then(|| bound.to_canonical().to_string());
            bound.into_iter().chain(listener.advertise.as_deref().and_then(advertised))
        });
        let of_proxy = [proxy.fqdn.to_string(), proxy.base_domain.to_string(), format!("*.{}", proxy.base_domain)];
        names.extend(of_proxy.into_iter().chain(addresses).filter_map(|name| covered(&name)));
    }
    let too_many = names.len().saturating_sub(self_signed::MAX_NAMES);
    if too_many > 0 {
        tracing::warn!(left_out = too_many, "the self-signed certificate does not cover all names of the proxies");
        names = names.into_iter().take(self_signed::MAX_NAMES).collect();
    }
    names
}

/// A name as a certificate carries it, if it can.
fn covered(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    (!name.is_empty() && name.is_ascii() && name.len() <= 253).then_some(name)
}

/// The host of `host` or `host:port`.
fn advertised(text: &str) -> Option<String> {
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Some(ip.to_string());
    }
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host).trim_matches(['[', ']']);
    (!host.is_empty()).then(|| host.to_owned())
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod tests;
