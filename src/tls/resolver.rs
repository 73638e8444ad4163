//! What rustls asks during a handshake: which certificate for this name?

use super::{Certificates, challenges};
use crate::ids::ProxyId;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Answers for one proxy, always from the current index.
#[derive(Debug)]
pub(super) struct Resolver {
    certificates: Arc<Certificates>,
    proxy: Option<ProxyId>,
}

impl Resolver {
    pub(super) fn new(certificates: Arc<Certificates>, proxy: Option<ProxyId>) -> Self {
        Self { certificates, proxy }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if self.proxy.is_some() && hello.alpn().is_some_and(|mut all| all.any(|name| name == challenges::ALPN)) {
            // RFC 8737 §3: for the authority alone, and only while it asks.
            return self.certificates.challenges().key(hello.server_name()?);
        }
        Some(self.certificates.select(self.proxy, hello.server_name(), hello.signature_schemes()))
    }
}
