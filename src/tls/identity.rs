//! Whom a certificate names, as SIP understands it (RFC 5922 §7.1): the `sip:` URIs of its subject
//! alternative names, and only where there is none of these its DNS names.
//!
//! Wildcards do not match (§7.2) unless the operator says so for a backend. Whether a certificate is
//! genuine is decided elsewhere; called by the connections' layers and by `client`.

use rustls::pki_types::CertificateDer;
use std::net::IpAddr;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The names in a certificate.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Identity {
    /// `sip:` and `sips:` URIs, as written.
    pub uris: Box<[Box<str>]>,
    /// DNS names, lower case.
    pub names: Box<[Box<str>]>,
    /// Addresses.
    pub addresses: Box<[IpAddr]>,
    /// The common name, lower case; what counts where there are no alternative names at all.
    pub common_name: Option<Box<str>>,
}

/// Reads a certificate's names; one that cannot be read has none.
pub fn of(certificate: &CertificateDer<'_>) -> Identity {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Identity::default() };
    let mut found = (Vec::new(), Vec::new(), Vec::new());
    let names = certificate.subject_alternative_name().ok().flatten();
    for name in names.into_iter().flat_map(|it| &it.value.general_names) {
        match name {
            GeneralName::URI(uri) if scheme(uri).is_some() => found.0.push((*uri).into()),
            GeneralName::DNSName(name) => found.1.push(fold(name)),
            GeneralName::IPAddress(bytes) => found.2.extend(address(bytes)),
            _ => {}
        }
    }
    let common_name = certificate.subject().iter_common_name().next().and_then(|it| it.as_str().ok()).map(fold);
    Identity { uris: found.0.into(), names: found.1.into(), addresses: found.2.into(), common_name }
}

impl Identity {
    /// Whether it names a SIP domain, or the host of an address: full match, letters in any case (RFC 5922 §7.2).
    pub fn is(&self, domain: &str, wildcard: bool) -> bool {
        if let Ok(ip) = domain.trim_matches(['[', ']']).parse::<IpAddr>() {
            return self.addresses.iter().any(|it| it.to_canonical() == ip.to_canonical());
        }
        let domain = fold(domain);
        let is_domain = |name: &str| name == &*domain || (wildcard && covers(name, &domain));
        let mut hosts = self.uris.iter().filter_map(|uri| domain_of(uri)).peekable();
        if hosts.peek().is_some() {
            return hosts.any(|host| is_domain(&host));
        }
        match (&*self.names, &self.common_name) {
            ([], Some(name)) if self.uris.is_empty() && self.addresses.is_empty() => is_domain(name),
            (names, _) => names.iter().any(|name| is_domain(name)),
        }
    }
}

/// The domain that a SIP URI of a certificate stands for: one with a user part is a person's and no domain (§7.1).
fn domain_of(uri: &str) -> Option<Box<str>> {
    // §7.1: `sips` is none, nor is anything else.
    let rest = scheme(uri).filter(|_| !uri.as_bytes().get(3).is_some_and(|byte| byte.eq_ignore_ascii_case(&b's')))?;
    let host = rest.split([';', '?']).next().unwrap_or_default();
    (!host.is_empty() && !host.contains('@')).then(|| fold(host))
}

/// What follows `sip:` or `sips:`.
fn scheme(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    (scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips")).then_some(rest)
}

/// Whether `*.rest` stands for a domain: one label, no more.
fn covers(pattern: &str, domain: &str) -> bool {
    let Some(rest) = pattern.strip_prefix("*.") else { return false };
    domain.split_once('.').is_some_and(|(label, parent)| !label.is_empty() && parent == rest)
}

fn fold(name: &str) -> Box<str> {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn identity(names: &[SanType], common_name: &str) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        params.distinguished_name.push(DnType::CommonName, common_name);
        of(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(text.try_into().unwrap())
    }

    #[test]
    fn a_sip_uri_counts_before_a_dns_name() {
        // S01
        let both = identity(&[dns("dns.example"), uri("sip:sip.example"), uri("https://web.example")], "cn.example");
        assert!(both.is("SIP.Example", false) && both.is("sip.example.", false));
        assert!(!both.is("dns.example", false), "a DNS name counts only where there is no SIP URI");
        assert!(!both.is("web.example", false) && !both.is("cn.example", false));
        assert_eq!(both.uris.len(), 1);
        let person = identity(&[uri("sip:alice@sip.example"), dns("dns.example")], "");
        assert!(!person.is("sip.example", false), "a person is no domain");
        assert!(person.is("dns.example", false));
    }

    #[test]
    fn a_name_matches_whole_and_without_wildcards() {
        // S01
        let names = identity(&[dns("pbx.example"), dns("*.wild.example")], "cn.example");
        assert!(names.is("pbx.example", false));
        for other in ["a.pbx.example", "x.example", "bx.example", "cn.example", "example", ""] {
            assert!(!names.is(other, true), "{other}");
        }
        assert!(!names.is("a.wild.example", false));
        assert!(names.is("a.wild.example", true));
        assert!(!names.is("a.b.wild.example", true) && !names.is("wild.example", true));
    }

    #[test]
    fn addresses_and_the_common_name_of_old_certificates() {
        // S01
        let address = identity(&[SanType::IpAddress("192.0.2.1".parse().unwrap())], "cn.example");
        assert!(address.is("192.0.2.1", false) && address.is("[::ffff:192.0.2.1]", false));
        assert!(!address.is("192.0.2.2", false) && !address.is("cn.example", false));
        assert!(identity(&[], "cn.example").is("cn.example", false));
        assert!(!of(&CertificateDer::from(vec![1, 2, 3])).is("cn.example", true));
    }
}
