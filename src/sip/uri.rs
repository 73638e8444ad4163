//! URIs: SIP and SIPS in all parts, `tel` and others as far as a proxy needs (RFC 3261 §19.1).

use super::bad::Bad;
use super::chars::{is_uri_forbidden, number};
use super::host;
use std::net::IpAddr;

/// The schemes a proxy tells apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other.
    Other,
}

/// A URI; every part as it is written, nothing unescaped.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    /// Its text.
    pub text: &'a [u8],
    /// Which scheme.
    pub scheme: Scheme,
    /// The user part without a password; the number of a `tel` URI.
    pub user: Option<&'a [u8]>,
    /// The password.
    pub password: Option<&'a [u8]>,
    /// The host, an IPv6 literal with its brackets; empty unless SIP or SIPS.
    pub host: &'a [u8],
    /// The port, if one is written.
    pub port: Option<u16>,
    /// The parameters without the first semicolon.
    params: Option<&'a [u8]>,
    /// What is behind the question mark.
    pub headers: Option<&'a [u8]>,
}

impl<'a> Uri<'a> {
    /// Reads a URI without its angle brackets.
    pub fn parse(text: &'a [u8]) -> Result<Self, Bad> {
        let colon = memchr::memchr(b':', text).ok_or(Bad::Uri)?;
        let (scheme, rest) = text.split_at_checked(colon).ok_or(Bad::Uri)?;
        let rest = rest.get(1..).unwrap_or_default();
        let letters = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if !scheme.first().is_some_and(u8::is_ascii_alphabetic) || !scheme.iter().all(letters) {
            return Err(Bad::Uri);
        }
        if rest.is_empty() || rest.iter().any(|b| is_uri_forbidden(*b)) {
            return Err(Bad::Uri);
        }
        let scheme = if scheme.eq_ignore_ascii_case(b"sip") {
            Scheme::Sip
        } else if scheme.eq_ignore_ascii_case(b"sips") {
            Scheme::Sips
        } else if scheme.eq_ignore_ascii_case(b"tel") {
            Scheme::Tel
        } else {
            Scheme::Other
        };
        let bare =
            Self { text, scheme, user: None, password: None, host: b"", port: None, params: None, headers: None };
        match scheme {
            Scheme::Sip | Scheme::Sips => bare.sip(rest),
            Scheme::Tel => {
                let (number, params) = split(rest, b';');
                Ok(Self { user: Some(number), params, ..bare })
            }
            Scheme::Other => Ok(bare),
        }
    }

    fn sip(self, rest: &'a [u8]) -> Result<Self, Bad> {
        // `@` cannot be in any other part unescaped, while `;`, `?` and `,` may be in the user part.
        let (userinfo, rest) = match split(rest, b'@') {
            (userinfo, Some(rest)) => (Some(userinfo), rest),
            (rest, None) => (None, rest),
        };
        let (user, password) = match userinfo {
            Some(userinfo) => {
                let (user, password) = split(userinfo, b':');
                if user.is_empty() {
                    return Err(Bad::Uri);
                }
                (Some(user), password)
            }
            None => (None, None),
        };
        let (rest, headers) = split(rest, b'?');
        let (hostport, params) = split(rest, b';');
        let (host, port) = hostport_of(hostport)?;
        Ok(Self { user, password, host, port, params, headers, ..self })
    }

    /// The parameters, in order.
    pub fn params(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        self.params.into_iter().flat_map(|params| params.split(|b| *b == b';')).map(|param| split(param, b'='))
    }

    /// The value of the first parameter of this name, in any case; empty for one without a value.
    pub fn param(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.params().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.unwrap_or_default())
    }

    /// The parameters as written, without the first semicolon.
    pub const fn params_text(&self) -> Option<&'a [u8]> {
        self.params
    }

    /// Whether it is loose routing (`lr`).
    pub fn is_loose(&self) -> bool {
        self.param(b"lr").is_some()
    }

    /// The address of a host that is an IP literal.
    pub fn ip(&self) -> Option<IpAddr> {
        host::ip(self.host)
    }

    /// Whether the host is this one: names in any case, literals by address.
    pub fn host_eq(&self, other: &[u8]) -> bool {
        host::same(self.host, other)
    }
}

/// A host and a port, checked.
pub(super) fn hostport_of(text: &[u8]) -> Result<(&[u8], Option<u16>), Bad> {
    let end = match text.first() {
        Some(b'[') => memchr::memchr(b']', text).ok_or(Bad::Uri)? + 1,
        _ => memchr::memchr(b':', text).unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at_checked(end).ok_or(Bad::Uri)?;
    if !host::is_valid(host) {
        return Err(Bad::Uri);
    }
    match rest.split_first() {
        None => Ok((host, None)),
        Some((b':', port)) => Ok((host, Some(number(port).ok_or(Bad::Uri)?))),
        Some(_) => Err(Bad::Uri),
    }
}

/// What is before and after the first `at`.
fn split(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(at, text) {
        Some(place) => (text.get(..place).unwrap_or_default(), text.get(place + 1..)),
        None => (text, None),
    }
}
