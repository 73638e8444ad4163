//! All certificates of the node, found by the name a client asks for.
//!
//! Exact names come before wildcards, wildcards before the proxy's own certificate, that before the
//! self-signed one. The index is replaced as a whole: handshakes that begin later see the new one,
//! connections that are open notice nothing (R82).

use super::Error;
use super::failures::Failures;
use super::resolver::Resolver;
use super::self_signed::{self, SelfSigned};
use crate::ids::ProxyId;
use crate::route::snapshot::{Certificate, Map, Snapshot};
use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The certificates of the node.
pub struct Certificates {
    index: ArcSwap<Index>,
    dir: PathBuf,
    /// Names of the node itself that the self-signed certificate covers besides the proxies'.
    own_names: Vec<String>,
    self_signed: Mutex<SelfSigned>,
    failures: Arc<Failures>,
}

/// Certificates by name. A name has several where their keys differ (ECDSA beside RSA).
struct Index {
    exact: Map<Box<str>, Vec<Arc<Certificate>>>,
    /// By the part behind `*.`.
    wildcard: Map<Box<str>, Vec<Arc<Certificate>>>,
    by_proxy: Map<ProxyId, Arc<Certificate>>,
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
            self_signed: Arc::clone(&self_signed.key),
        };
        Ok(Arc::new(Self {
            index: ArcSwap::from_pointee(index),
            dir: dir.to_owned(),
            own_names,
            self_signed: Mutex::new(self_signed),
            failures: Arc::default(),
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
        self.index.store(Arc::new(Index::new(snapshot, Arc::clone(&own.key))));
        result
    }

    /// The TLS side of a listener: of a proxy, or of the node's own API where `proxy` is `None`.
    /// Tickets are sealed per configuration, so a session never moves between proxies.
    pub fn server_config(self: &Arc<Self>, proxy: Option<ProxyId>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver::new(Arc::clone(self), proxy)));
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.ticketer = Ticketer::new()?;
        config.send_tls13_tickets = 2;
        Ok(Arc::new(config))
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
        let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
        match (index.named(&a), index.named(&b)) {
            (Some(a), Some(b)) => a.iter().any(|a| b.iter().any(|b| Arc::ptr_eq(a, b))),
            (None, None) => true,
            // The proxy's own certificate may well be one that also covers a name.
            (Some(one), None) | (None, Some(one)) => {
                proxy.and_then(|id| index.by_proxy.get(&id)).is_some_and(|own| one.iter().any(|c| Arc::ptr_eq(c, own)))
            }
        }
    }

    /// The key for a handshake.
    pub(super) fn select(
        &self,
        proxy: Option<ProxyId>,
        sni: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Arc<CertifiedKey> {
        let index = self.index.load();
        let named = sni.and_then(|name| index.named(&name.to_ascii_lowercase()).and_then(|found| fit(found, schemes)));
        let key = named
            .or_else(|| proxy.and_then(|id| index.by_proxy.get(&id)).map(|certificate| &certificate.key))
            .unwrap_or(&index.self_signed);
        Arc::clone(key)
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Index {
    fn new(snapshot: &Snapshot, self_signed: Arc<CertifiedKey>) -> Self {
        let mut index = Self { exact: Map::default(), wildcard: Map::default(), by_proxy: Map::default(), self_signed };
        for certificate in &snapshot.certificates {
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
        }
        index
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

/// The first certificate whose key can sign what the client understands.
fn fit<'a>(found: &'a [Arc<Certificate>], schemes: &[SignatureScheme]) -> Option<&'a Arc<CertifiedKey>> {
    let able = found.iter().find(|certificate| certificate.key.key.choose_scheme(schemes).is_some());
    able.or(found.first()).map(|certificate| &certificate.key)
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
mod tests {
    use super::*;
    use crate::route::snapshot::{Listener, Proxy};

    const NOW: u64 = 1_800_000_000;
    const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
    const RSA: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256];

    fn certificate(name: &str, names: &[&str], alg: &'static rcgen::SignatureAlgorithm) -> Arc<Certificate> {
        let key = rcgen::KeyPair::generate_for(alg).unwrap();
        let params = rcgen::CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Arc::new(Certificate {
            name: name.into(),
            names: names.iter().map(|n| (*n).into()).collect(),
            not_after: NOW,
            key: Arc::new(CertifiedKey::from_der(vec![der], private, &default_provider()).unwrap()),
        })
    }

    fn proxy(id: u16, certificate: Option<Arc<Certificate>>) -> Arc<Proxy> {
        Arc::new(Proxy {
            id: ProxyId(id),
            name: "front".into(),
            fqdn: "front.pbx.example".into(),
            base_domain: "pbx.example".into(),
            listeners: Vec::<Listener>::new(),
            instances: None,
            default_instance: None,
            redirection_url: None,
            certificate,
            unknown: crate::model::Unknown::Refuse,
            https_redirect: true,
            trusted_peers: Vec::new(),
            proxy_protocol: Vec::new(),
            names: crate::model::NamePolicy::Off,
            origins: [].into(),
            device_certificates: crate::model::DeviceCertificates::Off,
            device_authorities: "".into(),
            tls_routes: crate::model::TlsRoutes::Sips,
            keep_alive: crate::model::KeepAlive::Off,
        })
    }

    fn snapshot(certificates: Vec<Arc<Certificate>>, proxies: Vec<Arc<Proxy>>) -> Snapshot {
        let mut snapshot = Snapshot::default();
        (snapshot.certificates, snapshot.proxies) = (certificates, proxies);
        snapshot
    }

    #[test]
    fn exact_before_wildcard_before_proxy_before_self_signed() {
        // R82
        let dir = tempfile::tempdir().unwrap();
        let all = Certificates::open(dir.path(), Vec::new(), NOW).unwrap();
        let exact = certificate("exact", &["acme.pbx.example"], &rcgen::PKCS_ECDSA_P256_SHA256);
        let wild = certificate("wild", &["*.pbx.example"], &rcgen::PKCS_ECDSA_P256_SHA256);
        let own = certificate("own", &["front.example"], &rcgen::PKCS_ECDSA_P256_SHA256);
        let proxies = vec![proxy(1, Some(Arc::clone(&own))), proxy(2, None)];
        let certificates = vec![Arc::clone(&exact), Arc::clone(&wild), Arc::clone(&own)];
        all.apply(&snapshot(certificates, proxies), NOW).unwrap();
        let pick = |proxy, name| all.select(Some(ProxyId(proxy)), name, ECDSA);
        assert!(Arc::ptr_eq(&pick(1, Some("ACME.pbx.example")), &exact.key));
        assert!(Arc::ptr_eq(&pick(1, Some("beta.pbx.example")), &wild.key));
        assert!(Arc::ptr_eq(&pick(1, Some("a.b.pbx.example")), &own.key), "a wildcard is one label");
        assert!(Arc::ptr_eq(&pick(1, None), &own.key));
        let first = pick(2, None);
        assert!(![&exact, &wild, &own].iter().any(|c| Arc::ptr_eq(&c.key, &first)));
        // The old handshake's key is still whole after the next table.
        all.apply(&snapshot(Vec::new(), vec![proxy(1, None)]), NOW).unwrap();
        assert!(Arc::ptr_eq(&pick(1, Some("acme.pbx.example")), &pick(2, None)));
        first.keys_match().unwrap();
    }

    #[test]
    fn the_key_fits_the_client() {
        let dir = tempfile::tempdir().unwrap();
        let all = Certificates::open(dir.path(), Vec::new(), NOW).unwrap();
        let elliptic = certificate("ec", &["a.example"], &rcgen::PKCS_ECDSA_P256_SHA256);
        let edwards = certificate("ed", &["a.example"], &rcgen::PKCS_ED25519);
        all.apply(&snapshot(vec![Arc::clone(&elliptic), Arc::clone(&edwards)], Vec::new()), NOW).unwrap();
        assert!(Arc::ptr_eq(&all.select(None, Some("a.example"), ECDSA), &elliptic.key));
        assert!(Arc::ptr_eq(&all.select(None, Some("a.example"), &[SignatureScheme::ED25519]), &edwards.key));
        assert!(Arc::ptr_eq(&all.select(None, Some("a.example"), RSA), &elliptic.key), "none fits: the first");
    }

    #[test]
    fn the_self_signed_one_follows_the_proxies_names() {
        // R82
        let dir = tempfile::tempdir().unwrap();
        let all = Certificates::open(dir.path(), vec!["node.example".into()], NOW).unwrap();
        let names = || SelfSigned::load(dir.path()).unwrap().names;
        assert!(names().contains("localhost") && names().contains("node.example"));
        let before = all.select(None, None, ECDSA);
        all.apply(&snapshot(Vec::new(), vec![proxy(1, None)]), NOW).unwrap();
        for name in ["front.pbx.example", "*.pbx.example", "pbx.example", "localhost", "127.0.0.1", "::1"] {
            assert!(names().contains(name), "{name}");
        }
        let after = all.select(None, None, ECDSA);
        assert!(!Arc::ptr_eq(&before, &after));
        all.apply(&snapshot(Vec::new(), vec![proxy(1, None)]), NOW).unwrap();
        assert!(Arc::ptr_eq(&after, &all.select(None, None, ECDSA)), "no needless remake");
    }

    #[test]
    fn two_names_are_the_same_where_one_certificate_serves_both() {
        // HT16
        let dir = tempfile::tempdir().unwrap();
        let all = Certificates::open(dir.path(), Vec::new(), NOW).unwrap();
        let exact = certificate("exact", &["acme.pbx.example"], &rcgen::PKCS_ECDSA_P256_SHA256);
        let wild = certificate("wild", &["*.pbx.example"], &rcgen::PKCS_ECDSA_P256_SHA256);
        all.apply(&snapshot(vec![exact, Arc::clone(&wild)], vec![proxy(1, Some(wild))]), NOW).unwrap();
        let same = |a, b| all.same(Some(ProxyId(1)), a, b);
        assert!(same("beta.pbx.example", "GAMMA.pbx.example"));
        assert!(!same("acme.pbx.example", "beta.pbx.example"));
        assert!(same("beta.pbx.example", "nowhere.example"), "both get the proxy's own");
        assert!(!same("acme.pbx.example", "nowhere.example"));
        assert!(same("one.example", "two.example"));
    }
}
