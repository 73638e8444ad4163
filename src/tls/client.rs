//! TLS towards instances: whom a target must prove to be, and what we show it.
//!
//! One configuration for each target over TLS, made when it is needed and kept while what it is made
//! of stays, so that sessions are resumed. A target is verified where its row says so: its chain and
//! its purpose, and its identity as RFC 5922 has it. What cannot be made is not replaced by something
//! weaker: the target counts as one that cannot be reached. Workers and probes ask [`Clients::begin`]
//! when they open a connection, which is seldom.

use super::identity;
use crate::ids::{InstanceId, Transport};
use crate::model::BackendTls;
use crate::route::cell::Cell;
use crate::route::snapshot::{Backend, Certificate, Instance, Map};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Targets that are remembered before those that left the table are forgotten.
const MOST: usize = 4_096;

/// The targets over TLS, by instance and address.
pub struct Clients {
    cell: Arc<Cell>,
    known: Mutex<Map<(InstanceId, SocketAddr), Client>>,
}

/// How one target is spoken to.
struct Client {
    config: Arc<ClientConfig>,
    /// What it is asked for by name (SNI).
    name: ServerName<'static>,
    terms: Arc<BackendTls>,
    host: Box<str>,
    shown: Option<Arc<Certificate>>,
}

/// Why a target cannot be spoken to.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("there is no certificate \"{0}\" to show it")]
    Certificate(String),
    #[error("its authorities: {0}")]
    Authorities(rustls::Error),
    #[error("it has no name to ask for")]
    Name,
    #[error("{0}")]
    Tls(#[from] rustls::Error),
}

impl Clients {
    /// Those of a table, whatever becomes of it.
    pub fn new(cell: Arc<Cell>) -> Arc<Self> {
        Arc::new(Self { cell, known: Mutex::default() })
    }

    /// A session with a target: see [`Self::terms`].
    pub fn begin(&self, instance: InstanceId, address: SocketAddr) -> Option<ClientConnection> {
        let (config, name) = self.terms(instance, address)?;
        ClientConnection::new(config, name).ok()
    }

    /// How a target of an instance is spoken to, and by what name; none if the table knows no such target over TLS,
    /// or it cannot be spoken to. A target that left the table is spoken to as before while its instance is there:
    /// calls go on (R75).
    pub fn terms(&self, instance: InstanceId, address: SocketAddr) -> Option<(Arc<ClientConfig>, ServerName<'static>)> {
        let snapshot = self.cell.load();
        let row = snapshot.by_id(instance)?;
        let backend = row.backends.iter().find(|it| it.address == address && it.transport == Transport::Tls);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (instance, address);
        if let Some(backend) = backend {
            let shown = snapshot.certificate(&backend.tls.certificate);
            if !known.get(&key).is_some_and(|known| known.is_for(backend, shown)) {
                known.remove(&key);
                if known.len() >= MOST {
                    known.retain(|(id, at), _| {
                        let lives = |row: &Arc<Instance>| row.backends.iter().any(|backend| backend.address == *at);
                        snapshot.by_id(*id).is_some_and(lives)
                    });
                }
                match Client::new(backend, shown) {
                    Ok(client) => drop(known.insert(key, client)),
                    Err(error) => {
                        tracing::warn!(instance = &*row.name, %address, %error, "a target cannot be reached over TLS");
                    }
                }
            }
        }
        let client = known.get(&key)?;
        Some((Arc::clone(&client.config), client.name.clone()))
    }
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

impl Client {
    fn new(backend: &Backend, shown: Option<&Arc<Certificate>>) -> Result<Self, Unfit> {
        let terms = &backend.tls;
        let wanted = if terms.name.is_empty() { backend.host() } else { Cow::Borrowed(terms.name.as_str()) };
        let name = ServerName::try_from(wanted.trim_matches(['[', ']']).to_owned()).map_err(|_| Unfit::Name)?;
        let provider = Arc::new(default_provider());
        let expected = if terms.verify {
            let roots = roots(&terms.authorities).map_err(Unfit::Authorities)?;
            Some(Expected { roots, domain: wanted.clone().into(), wildcard: terms.wildcard })
        } else {
            None
        };
        let verifier = Arc::new(Verifier { expected, provider: Arc::clone(&provider) });
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match (terms.certificate.as_str(), shown) {
            ("", _) => builder.with_no_client_auth(),
            (_, Some(shown)) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&shown.key))))
            }
            (name, None) => return Err(Unfit::Certificate(name.to_owned())),
        };
        let host = backend.host().into();
        Ok(Self { config: Arc::new(config), name, terms: Arc::clone(terms), host, shown: shown.cloned() })
    }

    fn is_for(&self, backend: &Backend, shown: Option<&Arc<Certificate>>) -> bool {
        let same_shown = match (&self.shown, shown) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        same_shown && self.terms == backend.tls && *self.host == *backend.host()
    }
}

/// The authorities in a PEM text; the system's where it is empty.
///
/// # Errors
/// If one of them cannot be read, or there is none.
pub fn roots(pem: &str) -> Result<Arc<RootCertStore>, rustls::Error> {
    if pem.is_empty() {
        return Ok(Arc::clone(of_the_system()));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(|error| rustls::Error::General(error.to_string()))?)?;
    }
    if roots.is_empty() {
        return Err(rustls::Error::General("there is no certificate in it".into()));
    }
    Ok(Arc::new(roots))
}

fn of_the_system() -> &'static Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a root certificate of the system cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
        Arc::new(roots)
    })
}

/// Judges what a server shows, which has to hold the certificate's key in any case.
#[derive(Debug)]
pub struct Verifier {
    /// Whom the certificate has to name; any will do without.
    expected: Option<Expected>,
    provider: Arc<CryptoProvider>,
}

/// A certificate that authorities signed for a SIP domain (S01).
#[derive(Debug)]
struct Expected {
    roots: Arc<RootCertStore>,
    domain: Box<str>,
    wildcard: bool,
}

impl Verifier {
    /// Takes any certificate.
    pub const fn of_anybody(provider: Arc<CryptoProvider>) -> Self {
        Self { expected: None, provider }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(Expected { roots, domain, wildcard }) = &self.expected {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
            if !identity::of(end_entity).is(domain, *wildcard) {
                return Err(CertificateError::NotValidForName.into());
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
