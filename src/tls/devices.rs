//! Certificates of devices (mutual TLS): whether a proxy asks for them, and who may have signed them.
//!
//! What holds is read from the table at each handshake, so a change needs no new listener. Whom a certificate names
//! is `identity`'s and the engine's.

use super::Certificates;
use crate::ids::ProxyId;
use crate::model::DeviceCertificates;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// What a proxy demands of devices.
pub(super) struct Devices {
    pub(super) asks: DeviceCertificates,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// What tells it from another demand.
    pub(super) hash: [u8; 32],
    /// What `hash` was made of.
    authorities: Box<str>,
}

impl Devices {
    /// Reads the authorities; without any that can be used, `Required` lets nobody in.
    pub(super) fn new(asks: DeviceCertificates, authorities: &str) -> Self {
        let verifier = roots(authorities).ok().and_then(|roots| {
            let provider = Arc::new(default_provider());
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()
        });
        let hash = Sha256::new().chain_update([asks as u8]).chain_update(authorities).finalize().into();
        Self { asks, verifier, hash, authorities: authorities.into() }
    }

    /// Whether it says the same.
    pub(super) fn is(&self, asks: DeviceCertificates, authorities: &str) -> bool {
        self.asks == asks && *self.authorities == *authorities
    }
}

/// The authorities of a PEM text; a reason for people if one cannot be used or there is none.
pub fn roots(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("holds a certificate that cannot be used: {error}"))?;
    }
    if roots.is_empty() { Err("holds no certificate".into()) } else { Ok(roots) }
}

/// Asks devices for certificates as the table says now.
pub(super) struct Verifier {
    certificates: Arc<Certificates>,
    proxy: ProxyId,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(certificates: Arc<Certificates>, proxy: ProxyId) -> Self {
        let known = certificates.devices(proxy);
        let hints = known.and_then(|known| known.verifier.as_ref().map(|it| it.root_hint_subjects().to_vec()));
        let algorithms = default_provider().signature_verification_algorithms;
        Self { certificates, proxy, hints: hints.unwrap_or_default(), algorithms }
    }

    fn asks(&self) -> DeviceCertificates {
        self.certificates.devices(self.proxy).map_or(DeviceCertificates::Off, |devices| devices.asks)
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("proxy", &self.proxy).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        self.asks() != DeviceCertificates::Off
    }

    fn client_auth_mandatory(&self) -> bool {
        self.asks() == DeviceCertificates::Required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verifier = self.certificates.devices(self.proxy).and_then(|devices| devices.verifier.clone());
        verifier.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?.verify_client_cert(
            end_entity,
            intermediates,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
