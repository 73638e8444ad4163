//! Which host a request names, and whether it names it soundly (RFC 9110 §7.2, RFC 9112 §3.2,
//! RFC 9113 §8.3.1).

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Uri, Version};

/// The host of a request, with the port as the client wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Authority {
    value: HeaderValue,
    host: usize,
}

/// Why a request names no sound host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bad {
    /// 400.
    Request,
    /// The stream is malformed (HTTP/2: `:authority` and Host differ).
    Malformed,
}

impl Authority {
    /// Reads it from the target or the Host field. `None`: HTTP/1.0 without Host.
    pub(super) fn of(parts: &Parts) -> Result<Option<Self>, Bad> {
        let mut hosts = parts.headers.get_all(HOST).iter();
        let host = hosts.next();
        let several = hosts.next().is_some();
        if parts.version == Version::HTTP_2 {
            return Self::of_h2(parts, host, several);
        }
        // HT01: also an absolute target does not excuse a missing, second or unsound Host.
        if several || (host.is_none() && parts.version == Version::HTTP_11) {
            return Err(Bad::Request);
        }
        let named = host.map(|value| Self::parse(value.clone()).ok_or(Bad::Request)).transpose()?;
        match parts.uri.authority() {
            // HT02: Host is ignored and made anew from the target.
            Some(target) => {
                let scheme = parts.uri.scheme_str();
                if !scheme.is_some_and(|s| s.eq_ignore_ascii_case("http") || s.eq_ignore_ascii_case("https")) {
                    return Err(Bad::Request);
                }
                let value = HeaderValue::from_str(target.as_str()).map_err(|_| Bad::Request)?;
                Self::parse(value).map(Some).ok_or(Bad::Request)
            }
            None => Ok(named),
        }
    }

    fn of_h2(parts: &Parts, host: Option<&HeaderValue>, several: bool) -> Result<Option<Self>, Bad> {
        if several {
            return Err(Bad::Malformed);
        }
        let host = host.map(|value| Self::parse(value.clone()).ok_or(Bad::Malformed)).transpose()?;
        let Some(target) = parts.uri.authority() else {
            return host.map(Some).ok_or(Bad::Request);
        };
        let value = HeaderValue::from_str(target.as_str()).map_err(|_| Bad::Malformed)?;
        let target = Self::parse(value).ok_or(Bad::Malformed)?;
        // HT11: `:authority` wins; a Host that says something else is malformed.
        match host {
            Some(host) if !host.text().eq_ignore_ascii_case(target.text()) => Err(Bad::Malformed),
            _ => Ok(Some(target)),
        }
    }

    /// That of a target which names it.
    pub(super) fn named(uri: &Uri) -> Option<Self> {
        Self::parse(HeaderValue::from_str(uri.authority()?.as_str()).ok()?)
    }

    /// Reads `host` or `host:port`.
    pub(super) fn parse(value: HeaderValue) -> Option<Self> {
        let host = host_length(value.as_bytes())?;
        Some(Self { value, host })
    }

    /// As a field value.
    pub(super) fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// `host` or `host:port`.
    pub(super) fn text(&self) -> &str {
        self.value.to_str().unwrap_or_default()
    }

    /// The host; brackets of an IPv6 address stay.
    pub(super) fn host(&self) -> &str {
        self.text().get(..self.host).unwrap_or_default()
    }
}

/// The length of the host in `host[:port]`, if both are sound.
pub(super) fn host_length(text: &[u8]) -> Option<usize> {
    let end = match text.first() {
        Some(b'[') => {
            let end = memchr::memchr(b']', text)?;
            let inner = std::str::from_utf8(text.get(1..end)?).ok()?;
            inner.parse::<std::net::Ipv6Addr>().ok()?;
            end + 1
        }
        _ => memchr::memchr(b':', text).unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at_checked(end)?;
    if !host.starts_with(b"[") && !host.iter().all(|b| is_reg_name(*b)) {
        return None;
    }
    let port = match rest.split_first() {
        None => return Some(end),
        Some((b':', port)) => port,
        Some(_) => return None,
    };
    // An empty port is allowed (RFC 3986 §3.2.3).
    let sound = port.iter().all(u8::is_ascii_digit) && port.len() <= 5;
    let small = port.is_empty() || std::str::from_utf8(port).ok()?.parse::<u16>().is_ok();
    (sound && small).then_some(end)
}

/// RFC 3986 §3.2.2: unreserved, percent escapes and sub-delims.
fn is_reg_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn of(version: Version, uri: &str, hosts: &[&str]) -> Result<Option<String>, Bad> {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        Authority::of(&parts).map(|found| found.map(|a| a.text().to_owned()))
    }

    #[test]
    fn one_sound_host_is_demanded() {
        // HT01
        let h1 = |hosts: &[&str]| of(Version::HTTP_11, "/", hosts);
        assert_eq!(h1(&["acme.example"]), Ok(Some("acme.example".into())));
        assert_eq!(h1(&[]), Err(Bad::Request));
        assert_eq!(h1(&["a.example", "a.example"]), Err(Bad::Request));
        for bad in
            ["a b", "a/b", "a@b", "a:b", "a:65536", "a:000080", "[::1", "[::g]", "::1", "a\\b", "a:80:80", "[::1]x"]
        {
            assert_eq!(h1(&[bad]), Err(Bad::Request), "{bad}");
        }
        for good in ["a", "a:", "a:80", "[::1]", "[::1]:8443", "192.0.2.1:65535", "a_b", ""] {
            assert_eq!(h1(&[good]), Ok(Some(good.into())), "{good}");
        }
        assert_eq!(of(Version::HTTP_10, "/", &[]), Ok(None));
        assert_eq!(of(Version::HTTP_10, "/", &["a", "b"]), Err(Bad::Request));
    }

    #[test]
    fn an_absolute_target_wins() {
        // HT02
        assert_eq!(of(Version::HTTP_11, "http://b.example:81/x", &["a.example"]), Ok(Some("b.example:81".into())));
        assert_eq!(of(Version::HTTP_11, "http://b.example/", &[]), Err(Bad::Request));
        assert_eq!(of(Version::HTTP_11, "ftp://b.example/", &["a"]), Err(Bad::Request));
        assert_eq!(of(Version::HTTP_11, "http://u:p@b.example/", &["a"]), Err(Bad::Request));
    }

    #[test]
    fn in_h2_the_authority_wins_and_must_agree() {
        // HT11
        let h2 = |uri, hosts: &[&str]| of(Version::HTTP_2, uri, hosts);
        assert_eq!(h2("https://a.example/", &[]), Ok(Some("a.example".into())));
        assert_eq!(h2("https://a.example/", &["A.example"]), Ok(Some("a.example".into())));
        assert_eq!(h2("https://a.example/", &["b.example"]), Err(Bad::Malformed));
        assert_eq!(h2("/", &["b.example"]), Ok(Some("b.example".into())));
        assert_eq!(h2("/", &[]), Err(Bad::Request));
        assert_eq!(h2("/", &["a", "a"]), Err(Bad::Malformed));
    }
}
