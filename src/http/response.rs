//! An instance's answer made fit for the client: checked so that no second answer hides in it
//! (HT17), and without the instance's private addresses (R8).

use super::framing::digits;
use super::request::{coding_is_plain, strip_hop_by_hop};
use crate::route::domain;
use crate::route::snapshot::Web;
use crate::stats::HttpRefusal;
use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::response::Parts;
use std::net::IpAddr;

const REFRESH: HeaderName = HeaderName::from_static("refresh");
const ALT_SVC: HeaderName = HeaderName::from_static("alt-svc");

/// How the client sees the instance.
pub(super) struct Outside<'a> {
    /// `https` or `http`.
    pub scheme: &'static str,
    /// The host the client asked for, with its port; empty if it named none.
    pub authority: &'a str,
    /// The host without port.
    pub host: &'a str,
    /// `/<name>` where the path selected the instance, else empty.
    pub prefix: &'a str,
    /// Whether that prefix was taken away.
    pub stripped: bool,
    /// Where the instance is.
    pub web: &'a Web,
}

impl Outside<'_> {
    /// Checks and rewrites the head of an answer.
    pub(super) fn apply(&self, parts: &mut Parts) -> Result<(), HttpRefusal> {
        framing(&parts.headers)?;
        let headers = &mut parts.headers;
        strip_hop_by_hop(headers);
        // Via would name hosts behind us (RFC 9110 §7.6.3), Alt-Svc lead past us.
        headers.remove(header::VIA);
        headers.remove(ALT_SVC);
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            self.rewrite(headers, name, |url| self.url(url));
        }
        self.rewrite(headers, REFRESH, |text| self.refresh(text));
        self.cookies(headers);
        parts.version = Version::HTTP_11;
        Ok(())
    }

    fn rewrite(&self, headers: &mut HeaderMap, name: HeaderName, change: impl Fn(&str) -> Option<String>) {
        let Some(value) = headers.get(&name) else { return };
        let Some(changed) = value.to_str().ok().and_then(change) else { return };
        match HeaderValue::try_from(changed) {
            Ok(value) => headers.insert(name, value),
            Err(_) => headers.remove(name),
        };
    }

    /// A URL as the client can follow it; `None` where it is that already.
    pub(super) fn url(&self, url: &str) -> Option<String> {
        let (authority, rest) = match split(url) {
            Some(parts) => parts,
            // A path of our host, perhaps inside the prefix.
            None if url.starts_with('/') => return self.inside(url),
            None => return None,
        };
        if self.is_private(authority) {
            let path = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
            let path = self.inside(&path).unwrap_or(path);
            return Some(if self.authority.is_empty() {
                path
            } else {
                format!("{}://{}{path}", self.scheme, self.authority)
            });
        }
        if authority.eq_ignore_ascii_case(self.authority) {
            let head = url.get(..url.len() - rest.len())?;
            return Some(format!("{head}{}", self.inside(rest)?));
        }
        None
    }

    /// A path with the prefix it lacks.
    fn inside(&self, path: &str) -> Option<String> {
        (self.stripped && !under(path, self.prefix)).then(|| {
            let slash = if path.starts_with('/') { "" } else { "/" };
            format!("{}{slash}{path}", self.prefix)
        })
    }

    /// `<seconds>; url=<url>`
    pub(super) fn refresh(&self, text: &str) -> Option<String> {
        let at = text.to_ascii_lowercase().find("url=")? + 4;
        let (head, url) = text.split_at_checked(at)?;
        let bare = url.trim_matches(['"', '\'']);
        Some(format!("{head}{}", self.url(bare)?))
    }

    /// Whether an authority is one that only we can reach, or should know.
    fn is_private(&self, authority: &str) -> bool {
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = host_of(authority);
        if host.eq_ignore_ascii_case(self.host) {
            return false;
        }
        match domain::address(host) {
            Some(ip) => self.web.addresses.iter().any(|a| a.ip().to_canonical() == ip) || is_local(ip),
            None => host.eq_ignore_ascii_case(&self.web.host) || host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// A cookie belongs to this instance: neither to its private host, nor to a parent domain or a
    /// path that it shares with other instances.
    fn cookies(&self, headers: &mut HeaderMap) {
        let touched = |value: &HeaderValue| value.to_str().ok().is_some_and(|text| self.cookie(text).is_some());
        if !headers.get_all(header::SET_COOKIE).iter().any(touched) {
            return;
        }
        let header::Entry::Occupied(entry) = headers.entry(header::SET_COOKIE) else { return };
        let all: Vec<HeaderValue> = entry.remove_entry_mult().1.collect();
        for value in all {
            let changed = value.to_str().ok().and_then(|text| self.cookie(text));
            let value = changed.map_or(Some(value), |text| HeaderValue::try_from(text).ok());
            if let Some(value) = value {
                headers.append(header::SET_COOKIE, value);
            }
        }
    }

    /// A changed cookie; `None` where it is fine as it is.
    pub(super) fn cookie(&self, text: &str) -> Option<String> {
        let mut changed = false;
        let mut out = String::with_capacity(text.len() + self.prefix.len());
        for (index, part) in text.split(';').enumerate() {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim());
            if index > 0 && name.eq_ignore_ascii_case("domain") {
                if !value.trim_start_matches('.').eq_ignore_ascii_case(self.host) {
                    changed = true;
                    continue;
                }
            } else if index > 0
                && name.eq_ignore_ascii_case("path")
                && !self.prefix.is_empty()
                && !under(value, self.prefix)
            {
                changed = true;
                out.push_str("; Path=");
                out.push_str(self.prefix);
                if self.stripped && value.starts_with('/') && value != "/" {
                    out.push_str(value);
                }
                continue;
            }
            if index > 0 {
                out.push(';');
            }
            out.push_str(part);
        }
        changed.then_some(out)
    }
}

/// An answer has one length, or chunks, and never both.
fn framing(headers: &HeaderMap) -> Result<(), HttpRefusal> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    let sound = lengths.next().is_none()
        && length.is_none_or(|value| digits(value.as_bytes()).is_some())
        && !(length.is_some() && headers.contains_key(header::TRANSFER_ENCODING))
        && coding_is_plain(headers);
    if sound { Ok(()) } else { Err(HttpRefusal::BadAnswer) }
}

/// Authority and rest of an absolute or scheme-relative URL of http.
fn split(url: &str) -> Option<(&str, &str)> {
    let after = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => rest,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ws") || scheme.eq_ignore_ascii_case("wss") => rest,
        _ => url.strip_prefix("//")?,
    };
    Some(after.split_at(after.find(['/', '?', '#', '\\']).unwrap_or(after.len())))
}

fn host_of(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.split_inclusive(']').next().unwrap_or(authority);
    }
    authority.split(':').next().unwrap_or(authority)
}

/// Whether a path lies under a prefix (itself, or a slash or query behind it).
fn under(path: &str, prefix: &str) -> bool {
    let Some((head, rest)) = path.split_at_checked(prefix.len()) else { return false };
    head.eq_ignore_ascii_case(prefix) && (rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

/// Addresses that mean nothing, or something else, to whoever is outside.
fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Prefix, WebService};

    fn web() -> Web {
        Web {
            tls: false,
            host: "pbx.internal".into(),
            port: 8080,
            addresses: vec!["203.0.113.9:8080".parse().unwrap()],
            prefix: Prefix::Strip,
            service: WebService::Full,
            verify: false,
            sign_in: crate::model::SignIn::default(),
        }
    }

    fn outside<'a>(web: &'a Web, prefix: &'a str, stripped: bool) -> Outside<'a> {
        Outside { scheme: "https", authority: "front.example:8443", host: "front.example", prefix, stripped, web }
    }

    #[test]
    fn private_addresses_become_ours() {
        // R8
        let web = web();
        let by_host = outside(&web, "", false);
        for (url, seen) in [
            ("http://pbx.internal:8080/a?b", Some("https://front.example:8443/a?b")),
            ("http://PBX.internal/a", Some("https://front.example:8443/a")),
            ("https://203.0.113.9/", Some("https://front.example:8443/")),
            ("//203.0.113.9:99", Some("https://front.example:8443/")),
            ("http://10.1.2.3/x", Some("https://front.example:8443/x")),
            ("http://[fd00::1]:80/x", Some("https://front.example:8443/x")),
            ("http://user:pw@127.0.0.1/x", Some("https://front.example:8443/x")),
            ("http://localhost?x", Some("https://front.example:8443/?x")),
            ("/login", None),
            ("login", None),
            ("https://elsewhere.example/10.1.2.3", None),
            ("https://front.example:8443/x", None),
            ("mailto:a@b", None),
        ] {
            assert_eq!(by_host.url(url).as_deref(), seen, "{url}");
        }
        assert_eq!(by_host.refresh("0; url=http://10.1.1.1/x").as_deref(), Some("0; url=https://front.example:8443/x"));
        assert_eq!(by_host.refresh("5"), None);
    }

    #[test]
    fn a_stripped_prefix_comes_back() {
        // R5
        let web = web();
        let by_path = outside(&web, "/acme", true);
        for (url, seen) in [
            ("/login", Some("/acme/login")),
            ("/", Some("/acme/")),
            ("/acme/login", None),
            ("/ACME?x", None),
            ("/acmex", Some("/acme/acmex")),
            ("login", None),
            ("https://front.example:8443/login", Some("https://front.example:8443/acme/login")),
            ("http://pbx.internal:8080/login", Some("https://front.example:8443/acme/login")),
            ("https://elsewhere.example/login", None),
        ] {
            assert_eq!(by_path.url(url).as_deref(), seen, "{url}");
        }
        assert_eq!(outside(&web, "/acme", false).url("/login"), None, "a kept prefix is the instance's own business");
    }

    #[test]
    fn a_cookie_stays_with_its_instance() {
        // R8 R10
        let web = web();
        let by_host = outside(&web, "", false);
        assert_eq!(by_host.cookie("a=b; Path=/; HttpOnly"), None);
        assert_eq!(by_host.cookie("a=b; Domain=pbx.internal; Secure").as_deref(), Some("a=b; Secure"));
        assert_eq!(by_host.cookie("a=b; domain=.example").as_deref(), Some("a=b"));
        assert_eq!(by_host.cookie("a=b; Domain=.front.example"), None);
        assert_eq!(by_host.cookie("domain=x"), None, "the cookie's own name is no attribute");
        let stripped = outside(&web, "/acme", true);
        assert_eq!(stripped.cookie("a=b; Path=/").as_deref(), Some("a=b; Path=/acme"));
        assert_eq!(stripped.cookie("a=b;path=/ui; Secure").as_deref(), Some("a=b; Path=/acme/ui; Secure"));
        assert_eq!(stripped.cookie("a=b; Path=/acme/ui"), None);
        let kept = outside(&web, "/acme", false);
        assert_eq!(kept.cookie("a=b; Path=/").as_deref(), Some("a=b; Path=/acme"));
    }

    #[test]
    fn an_answer_has_one_framing() {
        // HT17
        for (fields, sound) in [
            (&[("content-length", "5")][..], true),
            (&[("transfer-encoding", "chunked")], true),
            (&[], true),
            (&[("content-length", "5"), ("content-length", "5")], false),
            (&[("content-length", "5, 5")], false),
            (&[("content-length", "+5")], false),
            (&[("content-length", "5"), ("transfer-encoding", "chunked")], false),
            (&[("transfer-encoding", "gzip, chunked")], false),
        ] {
            let map: HeaderMap =
                fields.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
            assert_eq!(framing(&map).is_ok(), sound, "{fields:?}");
        }
    }
}
