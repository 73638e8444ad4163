//! S01: what a target must show, and what it is shown.

use super::*;
use crate::model;
use crate::route::testing::{compiled, instance, table};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection};

const ACME: InstanceId = InstanceId(1);
const AT: &str = "192.0.2.9:5061";

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, names: &[SanType], purpose: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn server(&self, names: &[SanType]) -> ServerConfig {
        let (certificate, key) = self.sign(names, ExtendedKeyUsagePurpose::ServerAuth);
        server(&certificate, &key, None)
    }
}

fn server(certificate: &rcgen::Certificate, key: &KeyPair, clients: Option<&str>) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(pem) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots(pem).unwrap(), provider).build().unwrap(),
        ),
    };
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    builder.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap()
}

/// The snapshot of an instance with one target over TLS.
fn snapshot(terms: model::BackendTls, certificates: Vec<model::Certificate>) -> crate::route::snapshot::Snapshot {
    let mut row = instance(1, "acme");
    let known = row.backends[0].clone();
    row.backends[0] = model::Backend { transport: Transport::Tls, tls: terms, address: AT.into(), ..known };
    let mut table = table([row], []);
    table.certificates = certificates.into_iter().map(Arc::new).collect();
    compiled(&table)
}

fn clients(terms: model::BackendTls, certificates: Vec<model::Certificate>) -> Arc<Clients> {
    Clients::new(Arc::new(Cell::new(snapshot(terms, certificates))))
}

/// Both ends of a handshake in memory: what the client made of it.
fn shake(clients: &Clients, server: ServerConfig) -> Result<ServerConnection, rustls::Error> {
    let mut client = clients.begin(ACME, AT.parse().unwrap()).expect("terms");
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(server)
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

#[test]
fn a_verified_target_is_signed_and_named() {
    // S01
    let authority = Authority::new();
    let terms = |name: &str, wildcard| model::BackendTls {
        verify: true,
        authorities: authority.pem.clone(),
        name: name.into(),
        wildcard,
        ..Default::default()
    };
    let good = |name: &str, wildcard, names: &[SanType]| {
        shake(&clients(terms(name, wildcard), Vec::new()), authority.server(names)).is_ok()
    };
    assert!(good("pbx.example", false, &[dns("pbx.example")]));
    assert!(good("PBX.example", false, &[uri("sip:pbx.example")]));
    assert!(!good("pbx.example", false, &[uri("sip:other.example"), dns("pbx.example")]), "the URI counts");
    assert!(!good("pbx.example", false, &[dns("*.example")]), "RFC 5922 §7.2");
    assert!(good("pbx.example", true, &[dns("*.example")]));
    assert!(!good("x.pbx.example", false, &[dns("pbx.example")]));
    assert!(good("", false, &[SanType::IpAddress("192.0.2.9".parse().unwrap())]), "its address is its name");
    assert!(!good("", false, &[SanType::IpAddress("192.0.2.8".parse().unwrap())]));

    // Another authority's, and one for another purpose.
    let names = [dns("pbx.example")];
    let clients = clients(terms("pbx.example", false), Vec::new());
    assert!(shake(&clients, Authority::new().server(&names)).is_err());
    let (certificate, key) = authority.sign(&names, ExtendedKeyUsagePurpose::ClientAuth);
    assert!(shake(&clients, server(&certificate, &key, None)).is_err());
}

#[test]
fn an_unverified_target_may_be_anybody() {
    // S01
    let clients = clients(model::BackendTls::default(), Vec::new());
    assert!(shake(&clients, Authority::new().server(&[dns("whoever.example")])).is_ok());
}

#[test]
fn a_target_is_shown_the_certificate_it_asks_for() {
    // S01: mutual TLS
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (shown, key) = ours.sign(&[dns("front.example")], ExtendedKeyUsagePurpose::ClientAuth);
    let row = model::Certificate {
        schema: model::SCHEMA,
        name: "front".into(),
        chain: shown.pem(),
        key: key.serialize_pem(),
        acme: None,
    };
    let (certificate, key) = theirs.sign(&[dns("pbx.example")], ExtendedKeyUsagePurpose::ServerAuth);
    let terms = |certificate: &str| model::BackendTls { certificate: certificate.into(), ..Default::default() };
    let asking = || server(&certificate, &key, Some(&ours.pem));
    let done = shake(&clients(terms("front"), vec![row.clone()]), asking()).unwrap();
    assert_eq!(done.peer_certificates().unwrap()[0], *shown.der());
    assert!(shake(&clients(terms(""), vec![row]), asking()).is_err());
}

#[test]
fn what_cannot_be_made_is_not_replaced_by_something_weaker() {
    // S01
    let missing = model::BackendTls { certificate: "gone".into(), ..Default::default() };
    let clients = clients(missing, Vec::new());
    assert!(clients.begin(ACME, AT.parse().unwrap()).is_none());
    assert!(clients.begin(InstanceId(9), AT.parse().unwrap()).is_none());
}
