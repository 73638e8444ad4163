//! A client's request made fit for the instance: what concerned only our connection to the client
//! is taken out, what the instance should know of the client is put in (HT02, HT06, HT07, HT11,
//! HT15).

use super::authority::Authority;
use super::front::Front;
use crate::stats::HttpRefusal;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What a request becomes on its way in.
pub(super) struct Inward<'a> {
    pub front: &'a Front,
    /// Whether its peer's word about clients before it is believed.
    pub trusted: bool,
    /// `https` or `http`, as the client sees it.
    pub scheme: &'static str,
    pub authority: Option<&'a Authority>,
    /// `/<name>`, where it is taken from the path.
    pub prefix: Option<&'a str>,
}

/// Whether a request has been here before (RFC 9110 §7.6.3).
pub(super) fn loops(headers: &HeaderMap, pseudonym: &str) -> bool {
    let names_us = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        text.split(',').any(|member| member.split_ascii_whitespace().nth(1) == Some(pseudonym))
    };
    headers.get_all(header::VIA).iter().any(names_us)
}

/// Whether the framing is one we pass on: plain `chunked` or none (RFC 9112 §6.1).
pub(super) fn coding_is_plain(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(only), None) => only.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

impl Inward<'_> {
    /// Rewrites the head.
    pub(super) fn apply(&self, parts: &mut Parts) -> Result<(), HttpRefusal> {
        let version = parts.version;
        let trailers = accepts_trailers(&parts.headers);
        strip_hop_by_hop(&mut parts.headers);
        let headers = &mut parts.headers;
        if trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
        }
        if version == Version::HTTP_2 {
            join_cookies(headers);
        }
        if version == Version::HTTP_10 {
            // RFC 9110 §10.1.1
            headers.remove(header::EXPECT);
        }
        if !self.trusted {
            drop_claims(headers);
        }
        self.tell(headers);
        headers.append(header::VIA, self.front.via(version));
        match self.authority {
            Some(authority) => headers.insert(header::HOST, authority.value().clone()),
            None => headers.insert(header::HOST, HeaderValue::from_static("")),
        };
        parts.uri = self.target_uri(&parts.uri)?;
        parts.version = Version::HTTP_11;
        if parts.method == Method::OPTIONS {
            count_down(headers);
        }
        Ok(())
    }

    /// Forwarded and its elder relatives.
    fn tell(&self, headers: &mut HeaderMap) {
        let front = self.front;
        let host = self.authority.map(Authority::value);
        if let Some(host) = host {
            headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
        }
        if let Some(Ok(prefix)) = self.prefix.map(HeaderValue::from_str) {
            headers.insert(X_FORWARDED_PREFIX, prefix);
        }
        headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(self.scheme));
        match headers.entry(X_FORWARDED_FOR) {
            Entry::Vacant(entry) => {
                entry.insert(front.forwarded_for().clone());
            }
            Entry::Occupied(mut entry) => {
                let chain = join(entry.iter().chain([front.forwarded_for()]), b", ");
                if let Some(chain) = chain {
                    entry.insert(chain);
                }
            }
        }
        let mut element = BytesMut::with_capacity(96);
        element.put_slice(front.forwarded_element().as_bytes());
        if let Some(host) = host {
            element.put_slice(b";host=");
            put_value(&mut element, host.as_bytes());
        }
        element.put_slice(b";proto=");
        element.put_slice(self.scheme.as_bytes());
        if let Ok(value) = HeaderValue::from_maybe_shared(element.freeze()) {
            headers.append(header::FORWARDED, value);
        }
    }

    /// The target in origin form, without the prefix where that is stripped.
    fn target_uri(&self, uri: &Uri) -> Result<Uri, HttpRefusal> {
        let Some(target) = uri.path_and_query() else { return Ok(Uri::from_static("/")) };
        let Some(prefix) = self.prefix else { return Ok(Uri::from(target.clone())) };
        let inner = target.as_str().get(prefix.len()..).ok_or(HttpRefusal::BadRequest)?;
        let inner = PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(inner.as_bytes()));
        inner.map(Uri::from).map_err(|_| HttpRefusal::BadRequest)
    }
}

/// Removes Connection, what it lists, and the other fields of one connection (HT06).
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if let Entry::Occupied(entry) = headers.entry(header::CONNECTION) {
        let values: Vec<HeaderValue> = entry.remove_entry_mult().1.collect();
        for value in &values {
            for option in value.as_bytes().split(|b| *b == b',') {
                let option = option.trim_ascii();
                if !option.eq_ignore_ascii_case(b"close")
                    && let Ok(name) = HeaderName::from_bytes(option)
                {
                    headers.remove(name);
                }
            }
        }
    }
    for name in [
        KEEP_ALIVE,
        PROXY_CONNECTION,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::PROXY_AUTHORIZATION,
        HTTP2_SETTINGS,
    ] {
        headers.remove(name);
    }
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::TE).iter().flat_map(|v| v.as_bytes().split(|b| *b == b','));
    values.any(|member| member.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// RFC 9113 §8.2.3
fn join_cookies(headers: &mut HeaderMap) {
    if let Entry::Occupied(mut entry) = headers.entry(header::COOKIE)
        && entry.iter().nth(1).is_some()
        && let Some(whole) = join(entry.iter(), b"; ")
    {
        entry.insert(whole);
    }
}

/// What a stranger says about where the request came from is not passed on (HT15).
fn drop_claims(headers: &mut HeaderMap) {
    headers.remove(header::FORWARDED);
    headers.remove(X_REAL_IP);
    while let Some(name) = headers.keys().find(|name| name.as_str().starts_with("x-forwarded-")).cloned() {
        headers.remove(name);
    }
}

/// RFC 9110 §7.6.2
fn count_down(headers: &mut HeaderMap) {
    let hops = headers.get(header::MAX_FORWARDS).and_then(|v| super::framing::digits(v.as_bytes()));
    if let Some(hops) = hops {
        headers.insert(header::MAX_FORWARDS, HeaderValue::from(hops.saturating_sub(1)));
    }
}

fn join<'a>(values: impl Iterator<Item = &'a HeaderValue>, between: &[u8]) -> Option<HeaderValue> {
    let mut whole = BytesMut::with_capacity(128);
    for value in values {
        if !whole.is_empty() {
            whole.put_slice(between);
        }
        whole.put_slice(value.as_bytes());
    }
    HeaderValue::from_maybe_shared(whole.freeze()).ok()
}

/// A parameter's value, quoted where it is no token (RFC 7239 §4).
pub(super) fn put_value(out: &mut impl BufMut, text: &[u8]) {
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    if !text.is_empty() && text.iter().all(token) {
        out.put_slice(text);
        return;
    }
    out.put_u8(b'"');
    for b in text {
        if matches!(b, b'"' | b'\\') {
            out.put_u8(b'\\');
        }
        out.put_u8(*b);
    }
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_connection_lists_goes_with_it() {
        // HT06
        let mut map = headers(&[
            ("connection", "close, x-mine , KEEP-ALIVE"),
            ("connection", "x-other,,"),
            ("x-mine", "1"),
            ("x-other", "2"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("transfer-encoding", "chunked"),
            ("x-kept", "3"),
        ]);
        strip_hop_by_hop(&mut map);
        assert_eq!(names(&map), ["x-kept"]);
    }

    #[test]
    fn claims_of_strangers_are_dropped() {
        // HT15
        let mut map = headers(&[
            ("forwarded", "for=1.2.3.4"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-for", "1.2.3.5"),
            ("x-forwarded-anything", "x"),
            ("x-real-ip", "1.2.3.4"),
            ("x-forward", "kept"),
        ]);
        drop_claims(&mut map);
        assert_eq!(names(&map), ["x-forward"]);
    }

    #[test]
    fn a_crumbled_cookie_is_whole_again() {
        // HT11
        let mut map = headers(&[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3; d=4")]);
        join_cookies(&mut map);
        assert_eq!(map.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2; c=3; d=4"]);
    }

    #[test]
    fn values_are_quoted_where_they_must() {
        // HT15
        let put = |text: &str| {
            let mut out = BytesMut::new();
            put_value(&mut out, text.as_bytes());
            String::from_utf8(out.to_vec()).unwrap()
        };
        assert_eq!(put("192.0.2.1"), "192.0.2.1");
        assert_eq!(put("[2001:db8::1]"), "\"[2001:db8::1]\"");
        assert_eq!(put("a:443"), "\"a:443\"");
        assert_eq!(put("a\"b\\"), "\"a\\\"b\\\\\"");
        assert_eq!(put(""), "\"\"");
    }

    #[test]
    fn our_own_name_in_via_is_a_loop() {
        let map = headers(&[("via", "1.1 other, 1.0 fred (x)"), ("via", "2.0 nantucket-1")]);
        assert!(loops(&map, "nantucket-1"));
        assert!(!loops(&map, "nantucket-2"));
        assert!(!loops(&map, "(x)"));
    }

    #[test]
    fn only_plain_chunked_is_passed_on() {
        // HT04
        for (codings, plain) in [
            (&[][..], true),
            (&["chunked"], true),
            (&["Chunked "], true),
            (&["gzip, chunked"], false),
            (&["gzip", "chunked"], false),
            (&["chunked, chunked"], false),
        ] {
            let mut map = HeaderMap::new();
            for coding in codings {
                map.append(header::TRANSFER_ENCODING, HeaderValue::from_static(coding));
            }
            assert_eq!(coding_is_plain(&map), plain, "{codings:?}");
        }
    }
}
