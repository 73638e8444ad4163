//! What an ACME authority asks for to see that a name is ours (RFC 8555 §8.3, RFC 8737).
//!
//! Filled by the order that is under way, read by the HTTP front (`/.well-known/acme-challenge/`) and by the resolver
//! (ALPN `acme-tls/1`). Held in memory: an order that a restart interrupts begins anew.

use super::Error;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The protocol name by which an authority asks for the certificate of a challenge.
pub const ALPN: &[u8] = b"acme-tls/1";
/// Where an authority looks for the answer over HTTP.
pub const PATH: &str = "/.well-known/acme-challenge/";

/// Challenges of all orders under way. An order has at most a hundred names, and few are under way.
const MOST: usize = 1024;

/// Challenges that wait for the authority.
#[derive(Default)]
pub struct Challenges {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// By token: what is answered.
    http: HashMap<Box<str>, Box<str>>,
    /// By name, lower case.
    tls: HashMap<Box<str>, Arc<CertifiedKey>>,
}

/// A challenge that is answered until this is dropped.
#[must_use]
pub struct Answered {
    challenges: Arc<Challenges>,
    key: Box<str>,
    tls: bool,
}

impl Challenges {
    /// Answers `token` over HTTP; none if too many wait.
    pub fn over_http(self: &Arc<Self>, token: &str, answer: &str) -> Option<Answered> {
        let mut open = self.lock();
        if open.http.len() >= MOST {
            return None;
        }
        open.http.insert(token.into(), answer.into());
        Some(Answered { challenges: Arc::clone(self), key: token.into(), tls: false })
    }

    /// Answers for `name` in handshakes, with the digest of the key authorisation.
    pub fn over_tls(self: &Arc<Self>, name: &str, digest: &[u8]) -> Result<Option<Answered>, Error> {
        let key = certificate(name, digest)?;
        let name: Box<str> = name.to_ascii_lowercase().into();
        let mut open = self.lock();
        if open.tls.len() >= MOST {
            return Ok(None);
        }
        open.tls.insert(name.clone(), key);
        Ok(Some(Answered { challenges: Arc::clone(self), key: name, tls: true }))
    }

    /// The answer to a token.
    pub fn answer(&self, token: &str) -> Option<Box<str>> {
        self.lock().http.get(token).cloned()
    }

    /// The certificate of a name's challenge.
    pub(super) fn key(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.lock().tls.get(name.to_ascii_lowercase().as_str()).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        let mut open = self.challenges.lock();
        if self.tls {
            open.tls.remove(&self.key);
        } else {
            open.http.remove(&self.key);
        }
    }
}

/// RFC 8737 §3: self-signed, for the name alone, with the digest in a critical extension.
fn certificate(name: &str, digest: &[u8]) -> Result<Arc<CertifiedKey>, Error> {
    let pair = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&pair)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    // Its critical extension is no business of whoever checks ordinary certificates.
    let key = default_provider().key_provider.load_private_key(key)?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_as_long_as_it_is_held() {
        // R82
        let all = Arc::new(Challenges::default());
        let held = all.over_http("token", "token.thumb").unwrap();
        assert_eq!(all.answer("token").as_deref(), Some("token.thumb"));
        assert_eq!(all.answer("other"), None);
        drop(held);
        assert_eq!(all.answer("token"), None);
        let held = all.over_tls("Acme.example", &[7; 32]).unwrap().unwrap();
        let key = all.key("acme.EXAMPLE").unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&key.cert[0]).unwrap();
        let extension = parsed.extensions().iter().find(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
        assert!(extension.critical && extension.value.ends_with(&[7; 32]));
        drop(held);
        assert!(all.key("acme.example").is_none());
    }
}
