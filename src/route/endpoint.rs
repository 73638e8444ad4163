//! Addresses as operators write them: `host:port` of a backend or listener, URL of a web target.
//!
//! It takes texts apart and says what is wrong; names are resolved elsewhere. Called by `compile`
//! and `control::validate`.

use super::domain;
use std::net::IpAddr;

/// A host and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// An address, or a name to be resolved.
    pub host: HostPart,
    /// Never 0.
    pub port: u16,
}

/// A host: what needs no resolution, and what does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostPart {
    /// An IP address.
    Ip(IpAddr),
    /// A host name, lower case, without trailing dot.
    Name(Box<str>),
}

/// What a web target's URL says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebTarget {
    /// `https`.
    pub tls: bool,
    /// Where.
    pub endpoint: Endpoint,
}

/// Takes `host:port`, `[v6]:port` or a host alone apart.
pub fn endpoint(text: &str, default_port: u16) -> Result<Endpoint, String> {
    let (host, port) = split_port(text)?;
    Ok(Endpoint { host: host_part(host)?, port: port.unwrap_or(default_port) })
}

/// As [`endpoint`], for somewhere requests are sent to: no unspecified, multicast or broadcast address.
pub fn target(text: &str, default_port: u16) -> Result<Endpoint, String> {
    let endpoint = endpoint(text, default_port)?;
    match endpoint.host {
        HostPart::Ip(ip) if ip.is_unspecified() => Err(format!("{ip} stands for no particular host")),
        HostPart::Ip(ip) if ip.is_multicast() => Err(format!("{ip} is a multicast address")),
        HostPart::Ip(IpAddr::V4(ip)) if ip.is_broadcast() => Err(format!("{ip} is a broadcast address")),
        _ => Ok(endpoint),
    }
}

/// Takes `http://host[:port]` or `https://host[:port]` apart; a single `/` may follow.
pub fn web_target(text: &str) -> Result<WebTarget, String> {
    let (tls, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
        _ => return Err("does not start with http:// or https://".into()),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if let Some(c) = authority.chars().find(|c| matches!(c, '/' | '?' | '#')) {
        return Err(format!("has more than scheme, host and port (\"{c}\")"));
    }
    if authority.contains('@') {
        return Err("holds a user name".into());
    }
    Ok(WebTarget { tls, endpoint: target(authority, if tls { 443 } else { 80 })? })
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = if text.starts_with('[') {
        let end = text.find(']').ok_or("has no closing bracket")?;
        let (host, rest) = text.split_at(end + 1);
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err("has something else than a port after the bracket".into()),
        }
    } else {
        match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => {
                return Err("an IPv6 address needs brackets, as in [::1]:5060".into());
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = match port {
        None => None,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => match port.parse::<u16>() {
            Ok(1..) => port.parse().ok(),
            _ => return Err(format!("port \"{port}\" is not between 1 and 65535")),
        },
        Some(port) => return Err(format!("port \"{port}\" is not a number")),
    };
    Ok((host, port))
}

fn host_part(host: &str) -> Result<HostPart, String> {
    if let Some(ip) = domain::address(host) {
        return Ok(HostPart::Ip(ip));
    }
    if host.starts_with('[') {
        return Err(format!("\"{host}\" is not an IPv6 address"));
    }
    // A last label of digits alone is an address gone wrong, such as 192.0.2.300 (RFC 1123 §2.1).
    let folded = domain::fold(host);
    if folded.rsplit('.').next().is_some_and(|last| !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit())) {
        return Err(format!("\"{host}\" is neither an IP address nor a host name"));
    }
    domain::check_host(host).map_err(|fault| format!("host \"{}\" {fault}", host.escape_debug()))?;
    Ok(HostPart::Name(folded.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_taken_apart() {
        let ip = |text: &str| HostPart::Ip(text.parse().unwrap());
        let name = |text: &str| HostPart::Name(text.into());
        for (text, host, port) in [
            ("192.0.2.1", ip("192.0.2.1"), 5060),
            ("192.0.2.1:1", ip("192.0.2.1"), 1),
            ("192.0.2.1:65535", ip("192.0.2.1"), 65535),
            ("[2001:db8::1]:5070", ip("2001:db8::1"), 5070),
            ("[2001:db8::1]", ip("2001:db8::1"), 5060),
            ("[::ffff:192.0.2.1]", ip("192.0.2.1"), 5060),
            ("PBX.Example.:5080", name("pbx.example"), 5080),
            ("localhost", name("localhost"), 5060),
        ] {
            assert_eq!(target(text, 5060), Ok(Endpoint { host, port }), "{text}");
        }
        for bad in [
            "",
            ":5060",
            "192.0.2.1:",
            "192.0.2.1:0",
            "192.0.2.1:65536",
            "192.0.2.1:+1",
            "192.0.2.1:5060x",
            "2001:db8::1",
            "[2001:db8::1",
            "[2001:db8::1]5060",
            "[192.0.2.300]",
            "192.0.2.300",
            "a b",
            "a_b:1",
            "sip:host",
            "0.0.0.0",
            "[::]:5060",
            "224.0.0.1",
            "255.255.255.255",
            "[ff02::1]",
            "user@host",
        ] {
            assert!(target(bad, 5060).is_err(), "{bad}");
        }
    }

    #[test]
    fn web_targets_are_scheme_host_and_port() {
        let at = |text: &str| web_target(text).map(|target| (target.tls, target.endpoint.port));
        assert_eq!(at("http://192.0.2.1"), Ok((false, 80)));
        assert_eq!(at("HTTPS://pbx.example/"), Ok((true, 443)));
        assert_eq!(at("https://[2001:db8::1]:8443"), Ok((true, 8443)));
        for bad in [
            "",
            "pbx.example",
            "ftp://x",
            "http://",
            "http://x/y",
            "http://x?y",
            "http://u@x",
            "http://x:0",
            "http:///",
        ] {
            assert!(web_target(bad).is_err(), "{bad}");
        }
    }
}
