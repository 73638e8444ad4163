//! Certificates from PEM to what TLS serves, with the names and the end of their time.
//!
//! It checks that the key belongs to the chain; it trusts no root and picks nothing by SNI. Called by
//! `compile` and `control::validate`.

use super::problem::Code;
use super::snapshot::Certificate;
use crate::model;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::IpAddr;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;

/// What is wrong with a certificate row.
#[derive(Debug)]
pub struct Fault {
    /// `chain` or `key`.
    pub field: &'static str,
    /// What kind of fault.
    pub code: Code,
    /// For people.
    pub reason: String,
}

impl Fault {
    fn new(field: &'static str, code: Code, reason: impl Into<String>) -> Self {
        Self { field, code, reason: reason.into() }
    }
}

/// Reads a row. An expired certificate is read too: the caller decides.
pub fn parse(row: &model::Certificate) -> Result<Certificate, Fault> {
    let invalid = |reason: String| Fault::new("chain", Code::CertificateInvalid, reason);
    let chain = CertificateDer::pem_slice_iter(row.chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| invalid(format!("is not PEM: {error}")))?;
    let leaf = chain.first().ok_or_else(|| invalid("holds no certificate".into()))?;
    let (names, not_after) = describe(leaf).map_err(invalid)?;
    let key = PrivateKeyDer::from_pem_slice(row.key.as_bytes())
        .map_err(|error| Fault::new("key", Code::KeyInvalid, format!("is not a PEM private key: {error}")))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = rustls::sign::CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            Fault::new("key", Code::KeyMismatch, "does not belong to the first certificate of the chain")
        }
        rustls::Error::InvalidCertificate(_) => invalid(format!("cannot be used: {error}")),
        error => Fault::new("key", Code::KeyInvalid, format!("cannot be used: {error}")),
    })?;
    Ok(Certificate { name: row.name.as_str().into(), names, not_after, key: Arc::new(key) })
}

/// The names of a row's certificate and the first and last second of its time; none if it cannot be read.
pub fn life(row: &model::Certificate) -> Option<(Vec<Box<str>>, u64, u64)> {
    let leaf = CertificateDer::pem_slice_iter(row.chain.as_bytes()).next()?.ok()?;
    let (names, not_after) = describe(&leaf).ok()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).ok()?;
    Some((names, u64::try_from(parsed.validity().not_before.timestamp()).ok()?, not_after))
}

fn describe(leaf: &CertificateDer<'_>) -> Result<(Vec<Box<str>>, u64), String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|error| format!("cannot be read: {error}"))?;
    let mut names = Vec::new();
    let sans = parsed.subject_alternative_name().map_err(|error| format!("has unreadable names: {error}"))?;
    for name in sans.iter().flat_map(|san| &san.value.general_names) {
        match name {
            GeneralName::DNSName(name) => names.push(name.to_ascii_lowercase().into()),
            GeneralName::IPAddress(bytes) => names.extend(ip(bytes).map(|ip| ip.to_string().into())),
            _ => {}
        }
    }
    Ok((names, u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0)))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::testing::certificate;

    #[test]
    fn names_and_end_are_read_and_the_key_belongs() {
        // R82
        let parsed = parse(&certificate("own", &["PBX.Example", "*.pbx.example", "192.0.2.1", "2001:db8::1"])).unwrap();
        let names: Vec<_> = parsed.names.iter().map(|name| &**name).collect();
        assert_eq!(names, ["pbx.example", "*.pbx.example", "192.0.2.1", "2001:db8::1"]);
        assert!(parsed.not_after > 1_700_000_000);
    }

    #[test]
    fn each_fault_has_its_field_and_code() {
        let good = certificate("own", &["pbx.example"]);
        let fault = |row| parse(&row).err().map(|fault| (fault.field, fault.code)).unwrap();
        let with_chain = |chain: &str| model::Certificate { chain: chain.into(), ..good.clone() };
        assert_eq!(fault(with_chain("")), ("chain", Code::CertificateInvalid));
        assert_eq!(fault(with_chain(&good.chain.replacen("MII", "AAA", 1))), ("chain", Code::CertificateInvalid));
        assert_eq!(fault(model::Certificate { key: "x".into(), ..good.clone() }), ("key", Code::KeyInvalid));
        let other = certificate("other", &["pbx.example"]).key;
        assert_eq!(fault(model::Certificate { key: other, ..good.clone() }), ("key", Code::KeyMismatch));
    }
}
