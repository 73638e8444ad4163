//! URIs: SIP and SIPS in all parts, `tel` and others as far as a proxy needs (RFC 3261 §19.1).

use super::bad::Bad;
use super::chars;
use super::host;
use super::seek;
use super::span::{Short, Span};
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

/// Where the parts of a URI are in its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    scheme: Scheme,
    port: Option<u16>,
    user: Short,
    password: Short,
    host: Short,
    params: Short,
    headers: Short,
}

impl Parts {
    const fn bare(scheme: Scheme) -> Self {
        let (host, none) = (Short::of(Span::at(0), 0), Short::NONE);
        Self { scheme, port: None, user: none, password: none, host, params: none, headers: none }
    }

    /// Reads the URI from `base` to the end of `text`.
    pub(super) fn checked(text: &[u8], base: usize) -> Result<Self, Bad> {
        if seek::uri_forbidden(text, base) < text.len() { Err(Bad::Uri) } else { Self::read(text, base) }
    }

    /// As [`Self::checked`], where nothing in it is forbidden.
    pub(super) fn read(text: &[u8], base: usize) -> Result<Self, Bad> {
        let uri = text.get(base..).unwrap_or_default();
        if uri.len() >= Short::MOST {
            return Err(Bad::Uri);
        }
        let (scheme, behind) = scheme(uri)?;
        match scheme {
            Scheme::Sip | Scheme::Sips => Self::sip(scheme, text, base, base + behind),
            Scheme::Tel => {
                let (number, params) = split(uri, behind, b';');
                Ok(Self { user: Short::of(number, 0), params: Short::maybe(params, 0), ..Self::bare(scheme) })
            }
            Scheme::Other => Ok(Self::bare(scheme)),
        }
    }

    /// The user part of the URI of which these are the parts.
    #[inline]
    pub(super) fn user<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        self.user.span(0).map(|span| span.text(text))
    }

    fn sip(scheme: Scheme, text: &[u8], base: usize, start: usize) -> Result<Self, Bad> {
        // Mostly this is the user part or the host already.
        let run = seek::host_end(text, start);
        // `@` cannot be in any other part unescaped, while `;`, `?` and `,` may be in the user part.
        let at = match text.get(run) {
            None => None,
            Some(b'@') => Some(run),
            Some(_) => Some(seek::byte(text, run, b'@')).filter(|at| *at < text.len()),
        };
        let (user, password, host) = match at {
            Some(at) => {
                let userinfo = Span::new(start, at);
                let (user, password) = if at == run { (userinfo, None) } else { split_in(text, userinfo, b':') };
                if user.is_empty() {
                    return Err(Bad::Uri);
                }
                (Some(user), password, at + 1)
            }
            None => (None, None, start),
        };
        // Without a user part it is the host.
        let run = if at.is_none() { run } else { seek::host_end(text, host) };
        let (host, port, end) = hostport(text, host, run)?;
        let (params, headers) = match text.get(end) {
            Some(b';') => {
                let (params, headers) = split(text, end + 1, b'?');
                (Some(params), headers)
            }
            Some(b'?') => (None, Some(Span::new(end + 1, text.len()))),
            Some(_) => return Err(Bad::Uri),
            None => (None, None),
        };
        let base = base as u32;
        let (user, password) = (Short::maybe(user, base), Short::maybe(password, base));
        let (params, headers) = (Short::maybe(params, base), Short::maybe(headers, base));
        Ok(Self { scheme, port, user, password, host: Short::of(host, base), params, headers })
    }
}

/// The scheme, and where what is behind it begins.
fn scheme(text: &[u8]) -> Result<(Scheme, usize), Bad> {
    let (scheme, colon) = match text {
        [b's' | b'S', b'i' | b'I', b'p' | b'P', b':', ..] => (Scheme::Sip, 3),
        [b's' | b'S', b'i' | b'I', b'p' | b'P', b's' | b'S', b':', ..] => (Scheme::Sips, 4),
        [b't' | b'T', b'e' | b'E', b'l' | b'L', b':', ..] => (Scheme::Tel, 3),
        _ => {
            let letters = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
            let end = text.iter().position(|b| !letters(b)).ok_or(Bad::Uri)?;
            if text.get(end) != Some(&b':') || !text.first().is_some_and(u8::is_ascii_alphabetic) {
                return Err(Bad::Uri);
            }
            (Scheme::Other, end)
        }
    };
    if colon + 1 < text.len() { Ok((scheme, colon + 1)) } else { Err(Bad::Uri) }
}

impl<'a> Uri<'a> {
    /// Reads a URI without its angle brackets.
    pub fn parse(text: &'a [u8]) -> Result<Self, Bad> {
        Parts::checked(text, 0).map(|parts| Self::of(text, &parts))
    }

    /// The URI of which these are the parts.
    #[inline]
    pub(super) fn of(text: &'a [u8], parts: &Parts) -> Self {
        let part = |place: Short| place.span(0).map(|span| span.text(text));
        let Parts { scheme, port, user, password, host, params, headers } = *parts;
        Self {
            text,
            scheme,
            user: part(user),
            password: part(password),
            host: part(host).unwrap_or_default(),
            port,
            params: part(params),
            headers: part(headers),
        }
    }

    /// The parameters, in order.
    pub fn params(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        self.params.into_iter().flat_map(|params| params.split(|b| *b == b';')).map(|param| {
            let (name, value) = split(param, 0, b'=');
            (name.text(param), value.map(|value| value.text(param)))
        })
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

/// A host and a port, checked, and where they end; a name ends at `run`.
fn hostport(text: &[u8], start: usize, run: usize) -> Result<(Span, Option<u16>, usize), Bad> {
    let end = match text.get(start) {
        Some(b'[') => {
            let end = seek::byte(text, start, b']') + 1;
            text.get(start..end).and_then(host::ip).ok_or(Bad::Uri)?;
            end
        }
        _ => run,
    };
    if end == start {
        return Err(Bad::Uri);
    }
    let host = Span::new(start, end);
    if text.get(end) != Some(&b':') {
        return Ok((host, None, end));
    }
    let (port, end) = chars::port(text, end + 1);
    Ok((host, Some(port.ok_or(Bad::Uri)?), end))
}

/// What is before and after the first `at` from `start` on.
fn split(text: &[u8], start: usize, at: u8) -> (Span, Option<Span>) {
    split_in(text, Span::new(start, text.len()), at)
}

/// As [`split`], in a part.
fn split_in(text: &[u8], part: Span, at: u8) -> (Span, Option<Span>) {
    let text = text.get(..part.end as usize).unwrap_or_default();
    match seek::byte(text, part.start as usize, at) {
        place if place < text.len() => (Span::new(part.start as usize, place), Some(Span::new(place + 1, text.len()))),
        _ => (part, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// User, host, port, parameters and headers; `-` for what is not there.
    fn parts(text: &str) -> [String; 5] {
        let uri = Uri::parse(text.as_bytes()).unwrap();
        let text = |part: Option<&[u8]>| part.map_or("-".to_owned(), |part| String::from_utf8_lossy(part).into_owned());
        let port = uri.port.map_or("-".to_owned(), |port| port.to_string());
        [text(uri.user), text(Some(uri.host)), port, text(uri.params_text()), text(uri.headers)]
    }

    #[test]
    fn parts_are_where_the_grammar_has_them() {
        // V15
        assert_eq!(parts("sip:h"), ["-", "h", "-", "-", "-"]);
        assert_eq!(parts("sip:u@h:5061;lr;x=y?a=b"), ["u", "h", "5061", "lr;x=y", "a=b"]);
        assert_eq!(parts("sips:u;p=1?x@h"), ["u;p=1?x", "h", "-", "-", "-"]);
        assert_eq!(parts("sip:[::1]:5060;lr"), ["-", "[::1]", "5060", "lr", "-"]);
        assert_eq!(parts("sip:a%40b@h"), ["a%40b", "h", "-", "-", "-"]);
        assert_eq!(parts("SIP:u:p:q@h"), ["u", "h", "-", "-", "-"]);
        assert_eq!(parts("tel:+49-89;phone-context=x"), ["+49-89", "", "-", "phone-context=x", "-"]);
        assert_eq!(Uri::parse(b"urn:service:sos").unwrap().scheme, Scheme::Other);
    }

    #[test]
    fn parameters_are_found_in_any_case() {
        let uri = Uri::parse(b"sip:h;Transport=TCP;lr;maddr=1.2.3.4;empty=").unwrap();
        assert_eq!(uri.param(b"transport"), Some(&b"TCP"[..]));
        assert_eq!(uri.param(b"LR"), Some(&b""[..]));
        assert_eq!(uri.param(b"empty"), Some(&b""[..]));
        assert_eq!(uri.param(b"l"), None);
        assert!(uri.is_loose());
    }

    #[test]
    fn what_no_uri_may_be() {
        // V14
        for bad in [
            "",
            "sip",
            ":",
            "sip:",
            ":h",
            "1sip:h",
            "s ip:h",
            "sip:@h",
            "sip:u@",
            "sip:u@h:",
            "sip:u@h:x",
            "sip:u@h:65536",
            "sip:u@h:-1",
            "sip:u@[::1",
            "sip:u@[::g]",
            "sip:u@[::1]x",
            "sip:2001:db8::10",
            "sip:u@h h",
            "sip:u\u{1}@h",
            "sip:u@h\u{7f}",
            "sip:u@h<",
            "sip:u@\"h\"",
            "sip:u@h@i",
            "sip:u@h/x",
            "sip:u@h\r\n",
        ] {
            assert!(Uri::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
