//! TLS towards instances: verified against the system's roots, or taken as it comes.
//!
//! A PBX on a private network mostly has a certificate of its own making, so verification is what
//! an operator switches on (`web.verify`).

use crate::tls::client::{Verifier, roots};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use std::sync::{Arc, OnceLock};
use tokio_rustls::TlsConnector;

/// The connector of the process for either case; made when the first instance needs it.
pub(super) fn connector(verify: bool) -> Result<TlsConnector, rustls::Error> {
    static VERIFIED: OnceLock<Result<Arc<ClientConfig>, rustls::Error>> = OnceLock::new();
    static UNVERIFIED: OnceLock<Result<Arc<ClientConfig>, rustls::Error>> = OnceLock::new();
    let config = if verify { VERIFIED.get_or_init(verified) } else { UNVERIFIED.get_or_init(unverified) };
    config.clone().map(TlsConnector::from)
}

fn verified() -> Result<Arc<ClientConfig>, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots("")?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn unverified() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::of_anybody(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}
