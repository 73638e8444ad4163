//! The grammar of header values, as far as an end point needs it: lists, parameters, addresses.
//!
//! It reads text that this program's own end points write or have checked by `rsip`; the proxy's
//! reader of network bytes is `sip::view`. Called by `message`, `dialog`, `digest` and `pbx`.

use crate::ids::Transport;
use std::net::{IpAddr, SocketAddr};

/// The port of SIP over UDP and TCP (RFC 3261 §19.1.2).
const DEFAULT_PORT: u16 = 5060;

/// The pieces of `value` between separators that stand outside quotes and angle brackets, trimmed,
/// empty ones left out.
pub fn split(value: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    let mut angled = false;
    value
        .split(move |c: char| {
            if escaped {
                escaped = false;
                return false;
            }
            match c {
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                '<' if !quoted => angled = true,
                '>' if !quoted => angled = false,
                c if c == separator => return !quoted && !angled,
                _ => {}
            }
            false
        })
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
}

/// The value of a parameter in `;a=b;c` text; an empty string where it stands without a value.
pub fn param<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    split(parameters, ';').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A text without its quotes and their escapes.
pub fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut escaped = false;
    for c in inner.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            plain.push(c);
            escaped = false;
        }
    }
    plain
}

/// A `name-addr` or `addr-spec` with the header parameters that follow it (RFC 3261 §20.10).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address<'a> {
    /// The URI with its own parameters.
    pub uri: &'a str,
    /// What follows the closing bracket (or the first `;`): the header's parameters.
    pub parameters: &'a str,
}

impl<'a> Address<'a> {
    /// Reads one value.
    pub fn read(value: &'a str) -> Self {
        let bracketed = value.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let (uri, parameters) = match bracketed {
            Some(parts) => parts,
            None => value.split_once(';').unwrap_or((value, "")),
        };
        Self { uri: uri.trim(), parameters: parameters.trim() }
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&'a str> {
        param(self.parameters, "tag")
    }
}

/// The parts of a `sip:` URI that an end point looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uri<'a> {
    /// Before the `@`; empty where there is none.
    pub user: &'a str,
    /// Host as written, IPv6 with its brackets.
    pub host: &'a str,
    /// Port, if written.
    pub port: Option<u16>,
    /// `;a=b` text.
    pub parameters: &'a str,
}

impl<'a> Uri<'a> {
    /// Reads a `sip:` URI; `None` for other schemes and for what is none.
    pub fn read(text: &'a str) -> Option<Self> {
        let rest = text.trim().strip_prefix("sip:")?;
        let (user, rest) = rest.split_once('@').unwrap_or(("", rest));
        let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
        let (authority, parameters) = match rest.find(';') {
            Some(at) => rest.split_at_checked(at)?,
            None => (rest, ""),
        };
        let (host, port) = if let Some(v6) = authority.strip_prefix('[') {
            let end = v6.find(']')?.checked_add(2)?;
            let (host, port) = authority.split_at_checked(end)?;
            (host, port.strip_prefix(':'))
        } else {
            authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
        };
        let port = port.map(str::parse).transpose().ok()?;
        (!host.is_empty()).then_some(Self { user, host, port, parameters })
    }

    /// Where it points, when its host is an address.
    pub fn address(&self) -> Option<(Transport, SocketAddr)> {
        let tcp = param(self.parameters, "transport").is_some_and(|name| name.eq_ignore_ascii_case("tcp"));
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let ip: IpAddr = self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        Some((transport, SocketAddr::new(ip, self.port.unwrap_or(DEFAULT_PORT))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_inside_quotes_and_brackets_do_not_split() {
        let value = r#""Doe, \"J, Jane" <sip:jane@harbor;x=1,2>;q=1 , <sip:b@c>,, "#;
        let pieces: Vec<_> = split(value, ',').collect();
        assert_eq!(pieces, [r#""Doe, \"J, Jane" <sip:jane@harbor;x=1,2>;q=1"#, "<sip:b@c>"]);
    }

    #[test]
    fn an_address_gives_its_uri_and_its_own_parameters() {
        let address = Address::read(r#""A" <sip:a@harbor;transport=tcp>;tag=7f;expires=60"#);
        assert_eq!(address.uri, "sip:a@harbor;transport=tcp");
        assert_eq!(address.tag(), Some("7f"));
        assert_eq!(param(address.parameters, "EXPIRES"), Some("60"));
        let bare = Address::read("sip:a@harbor;tag=9");
        assert_eq!((bare.uri, bare.tag()), ("sip:a@harbor", Some("9")));
    }

    #[test]
    fn a_uri_with_an_ipv6_host_has_an_address() {
        let uri = Uri::read("sip:tok@[::1]:5070;transport=tcp;lr").unwrap();
        assert_eq!(uri.user, "tok");
        assert_eq!(uri.address(), Some((Transport::Tcp, "[::1]:5070".parse().unwrap())));
        assert_eq!(param(uri.parameters, "lr"), Some(""));
    }

    #[test]
    fn a_uri_with_a_name_has_none_and_other_schemes_are_not_read() {
        let uri = Uri::read("sip:a@harbor").unwrap();
        assert_eq!((uri.host, uri.port, uri.address()), ("harbor", None, None));
        assert_eq!(Uri::read("tel:+491"), None);
        assert_eq!(Uri::read("sip:a@host:99999"), None);
        let default = Uri::read("sip:127.0.0.1").unwrap().address();
        assert_eq!(default, Some((Transport::Udp, "127.0.0.1:5060".parse().unwrap())));
    }

    #[test]
    fn quotes_and_escapes_are_taken_off() {
        assert_eq!(unquote(r#""a \"b\" \\c""#), r#"a "b" \c"#);
        assert_eq!(unquote("plain"), "plain");
    }
}
