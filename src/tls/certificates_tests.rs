//! Which certificate a client gets, what is asked of devices, and which sessions are resumed.

use super::*;
use crate::model::DeviceCertificates;
use crate::route::snapshot::{Listener, Proxy};
use crate::route::testing;

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
    (snapshot.certificates, snapshot.proxies) = (certificates.into(), proxies);
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

#[test]
fn an_instances_own_certificate_is_for_its_hosts_alone() {
    // R82
    let dir = tempfile::tempdir().unwrap();
    let all = Certificates::open(dir.path(), Vec::new(), NOW).unwrap();
    let mut acme = testing::instance(1, "acme");
    acme.certificate = Some("own".into());
    acme.aliases = vec!["phones.acme.example".into()];
    let mut rows = testing::table([acme, testing::instance(2, "globex")], [testing::proxy(1, "edge")]);
    for (name, hosts) in [("own", &["acme.pbx.example", "phones.acme.example"][..]), ("wild", &["*.pbx.example"])] {
        rows.certificates.push(testing::certificate(name, hosts).into());
    }
    let compiled = testing::compiled(&rows);
    all.apply(&compiled, NOW).unwrap();
    let key = |name: &str| Arc::clone(&compiled.certificate(name).unwrap().key);
    for (sni, wanted) in [
        ("acme.pbx.example", "own"),
        ("phones.acme.example", "own"),
        ("globex.pbx.example", "wild"),
        ("edge.pbx.example", "wild"),
    ] {
        assert!(Arc::ptr_eq(&all.select(Some(ProxyId(1)), Some(sni), ECDSA), &key(wanted)), "{sni}");
    }
    assert!(!all.same(Some(ProxyId(1)), "acme.pbx.example", "globex.pbx.example"), "HT16");
    assert!(all.same(Some(ProxyId(1)), "acme.pbx.example", "phones.acme.example"));
}

#[test]
fn a_phone_without_a_name_gets_the_key_it_can_do_with() {
    // S04 S05
    let dir = tempfile::tempdir().unwrap();
    let all = Certificates::open(dir.path(), Vec::new(), NOW).unwrap();
    let elliptic = certificate("ec", &["front.pbx.example"], &rcgen::PKCS_ECDSA_P256_SHA256);
    let edwards = certificate("ed", &["front.pbx.example"], &rcgen::PKCS_ED25519);
    let proxies = vec![proxy(1, Some(Arc::clone(&elliptic)))];
    all.apply(&snapshot(vec![Arc::clone(&elliptic), Arc::clone(&edwards)], proxies), NOW).unwrap();
    let pick = |schemes| all.select(Some(ProxyId(1)), None, schemes);
    assert!(Arc::ptr_eq(&pick(ECDSA), &elliptic.key));
    assert!(Arc::ptr_eq(&pick(&[SignatureScheme::ED25519]), &edwards.key));
    assert!(Arc::ptr_eq(&pick(RSA), &elliptic.key), "it can do with none");
}

/// The moment by which rustls judges.
fn now() -> u64 {
    crate::clock::Clock::start().now().unix
}

/// A handshake without a network; what the server said of it, and whether it was a resumed one.
fn handshake(server: &Arc<ServerConfig>, client: &Arc<rustls::ClientConfig>) -> Result<bool, rustls::Error> {
    let name = "front.pbx.example".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = rustls::ServerConnection::new(Arc::clone(server)).unwrap();
    for _ in 0..6 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets()?;
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets()?;
    }
    assert!(!server.is_handshaking() && !client.is_handshaking());
    Ok(server.handshake_kind() == Some(rustls::HandshakeKind::Resumed))
}

/// A client that trusts what the node made itself, and remembers sessions.
fn client(all: &Certificates, versions: &[&'static rustls::SupportedProtocolVersion]) -> rustls::ClientConfig {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(all.self_signed_path()).unwrap();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn ticket_key(id: u32) -> TicketKey {
    TicketKey { id, secret: [7; 32], since: now() }
}

#[test]
fn a_session_is_resumed_after_a_restart_and_not_with_an_old_key_or_at_another_proxy() {
    // S05
    for version in [&version::TLS12, &version::TLS13] {
        let dir = tempfile::tempdir().unwrap();
        let node = |key| {
            let all = Certificates::open(dir.path(), Vec::new(), now()).unwrap();
            all.apply(&snapshot(Vec::new(), vec![proxy(1, None), proxy(2, None)]), now()).unwrap();
            all.set_ticket_keys(vec![ticket_key(key)]);
            all
        };
        let before = node(1);
        let phone = Arc::new(client(&before, &[version]));
        let config = |node: &Arc<Certificates>, proxy| node.server_config(Some(ProxyId(proxy)), &[], true).unwrap();
        assert_eq!(handshake(&config(&before, 1), &phone), Ok(false));
        let after = node(1);
        assert_eq!(handshake(&config(&after, 1), &phone), Ok(true), "{version:?}");
        assert_eq!(handshake(&config(&after, 2), &phone), Ok(false), "another proxy");
        assert_eq!(handshake(&config(&node(1), 2), &phone), Ok(true), "its own ticket by now");
        assert_eq!(handshake(&config(&node(2), 2), &phone), Ok(false), "the key is gone");
    }
}

#[test]
fn devices_are_asked_as_the_table_says_now_and_no_session_goes_round_that() {
    // S01 R73
    let dir = tempfile::tempdir().unwrap();
    let all = Certificates::open(dir.path(), Vec::new(), now()).unwrap();
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::CertifiedIssuer::self_signed(params, authority).unwrap();
    let apply = |asks| {
        let mut row = proxy(1, None);
        let edge = Arc::get_mut(&mut row).unwrap();
        (edge.device_certificates, edge.device_authorities) = (asks, issuer.pem().into());
        all.apply(&snapshot(Vec::new(), vec![row]), now()).unwrap();
    };
    all.set_ticket_keys(vec![ticket_key(1)]);
    apply(DeviceCertificates::Off);
    let (sip, https) =
        (all.server_config(Some(ProxyId(1)), &[], true).unwrap(), all.server_config(Some(ProxyId(1)), &[b"h2"], false));
    let both = &[&version::TLS13, &version::TLS12];
    let without = Arc::new(client(&all, both));
    assert_eq!(handshake(&sip, &without), Ok(false));
    assert_eq!(handshake(&sip, &without), Ok(true));
    apply(DeviceCertificates::Required);
    assert_eq!(handshake(&sip, &without), Err(rustls::Error::NoCertificatesPresented), "its session does not help");
    assert!(handshake(&https.unwrap(), &without).is_ok(), "browsers are not asked");
    let with = |signed_by_us: bool| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["phone.example".to_owned()]).unwrap();
        let made = if signed_by_us { params.signed_by(&key, &issuer) } else { params.self_signed(&key) }.unwrap();
        let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let key = CertifiedKey::from_der(vec![made.der().clone()], private, &default_provider()).unwrap();
        let mut config = client(&all, both);
        config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(key));
        Arc::new(config)
    };
    assert_eq!(handshake(&sip, &with(true)), Ok(false));
    assert!(matches!(handshake(&sip, &with(false)), Err(rustls::Error::InvalidCertificate(_))));
    apply(DeviceCertificates::Optional);
    assert!(handshake(&sip, &without).is_ok() && handshake(&sip, &with(true)).is_ok());
    assert!(handshake(&sip, &with(false)).is_err());
}

#[test]
fn the_certificate_of_a_challenge_is_for_the_authority_alone() {
    // R82
    let dir = tempfile::tempdir().unwrap();
    let all = Certificates::open(dir.path(), Vec::new(), now()).unwrap();
    all.apply(&snapshot(Vec::new(), vec![proxy(1, None)]), now()).unwrap();
    let config = all.server_config(Some(ProxyId(1)), &[b"h2", b"http/1.1"], false).unwrap();
    let mut asks = client(&all, &[&version::TLS13]);
    asks.alpn_protocols = vec![challenges::ALPN.to_vec()];
    let asks = Arc::new(asks);
    assert!(handshake(&config, &asks).is_err(), "nothing is asked at present");
    let _answered = all.challenges().over_tls("front.pbx.example", &[7; 32]).unwrap().unwrap();
    let refused = handshake(&config, &asks).unwrap_err();
    assert!(matches!(refused, rustls::Error::InvalidCertificate(_)), "not the one a client would trust: {refused}");
    assert_eq!(handshake(&config, &Arc::new(client(&all, &[&version::TLS13]))), Ok(false));
}
