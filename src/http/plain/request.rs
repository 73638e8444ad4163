//! A plain request: read from the client's bytes, and written for the instance, in one pass each (HT02, HT06, HT07,
//! HT08, HT15). What is not plain is left to the other way, unread.

use super::super::authority::host_length;
use super::super::framing::digits;
use super::super::front::Front;
use http::{HeaderMap, Method, Version, header};
use httparse::Header;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Fields of a head; hyper has the same bound.
const MOST_FIELDS: usize = 100;

/// A request as far as it is needed while its answer is awaited. The ranges are of the bytes that it was read from.
pub(super) struct Request {
    pub method: Method,
    pub target: Range<usize>,
    /// Host, with the port as the client wrote it.
    pub authority: Range<usize>,
    /// Bytes of `authority` that are the host.
    pub host: usize,
    pub authorization: Option<Range<usize>>,
    pub user_agent: Option<Range<usize>>,
    /// Bytes of the head.
    pub head: usize,
    /// Bytes of the body.
    pub body: usize,
}

/// What a request is held against, and what the instance is told with each: the same for all of a connection.
pub(super) struct Terms {
    target_bytes: usize,
    field_bytes: usize,
    pseudonym: Box<[u8]>,
    /// The fields about the client, up to the host in Forwarded.
    about: Box<[u8]>,
    /// What follows that host, to the end of the head.
    rest: Box<[u8]>,
}

impl Terms {
    /// Those of requests of this version.
    pub(super) fn of(front: &Front, version: Version) -> Self {
        let (config, via) = (&front.shared.config, front.via(version));
        let (client, via) = (front.forwarded_for().as_bytes(), via.as_bytes());
        let bounds = (config.target_bytes as usize, config.field_bytes as usize);
        Self::new(bounds, &config.pseudonym, front.services.tls, (client, front.forwarded_element()), via)
    }

    fn new(
        (target_bytes, field_bytes): (usize, usize),
        pseudonym: &str,
        tls: bool,
        (client, element): (&[u8], &str),
        via: &[u8],
    ) -> Self {
        let scheme: &[u8] = if tls { b"https" } else { b"http" };
        let mut about = Vec::new();
        put(&mut about, &[b"\r\nX-Forwarded-Proto: ", scheme, b"\r\nX-Forwarded-For: ", client]);
        put(&mut about, &[b"\r\nForwarded: ", element.as_bytes(), b";host="]);
        let mut rest = Vec::new();
        put(&mut rest, &[b";proto=", scheme, b"\r\nVia: ", via, b"\r\n\r\n"]);
        Self {
            target_bytes,
            field_bytes,
            pseudonym: pseudonym.as_bytes().into(),
            about: about.into(),
            rest: rest.into(),
        }
    }
}

/// Reads a request at the start of `bytes`; where `plan` has a way for it, which takes so many bytes off the target, it
/// is written for the instance, with its body. `None`: it is not here as a whole, or not plain, or has no such way.
pub(super) fn pass<P>(
    out: &mut Vec<u8>,
    bytes: &[u8],
    terms: &Terms,
    plan: impl FnOnce(&Request) -> Option<(usize, P)>,
) -> Option<(Request, P)> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    let httparse::Status::Complete(head) = parsed.parse_with_uninit_headers(bytes, &mut fields).ok()? else {
        return None;
    };
    let request = read(bytes, &parsed, head, terms)?;
    let body = bytes.get(head..head.checked_add(request.body)?)?;
    let (prefix, plan) = plan(&request)?;
    let (target, authority) = (parsed.path?, bytes.get(request.authority.clone())?);
    begin(out, parsed.method?, target.get(prefix..)?, authority);
    for Header { name, value } in parsed.headers.iter() {
        put_field(out, name, value);
    }
    end(out, authority, target.get(..prefix)?, terms);
    put(out, &[body]);
    Some((request, plan))
}

fn read(bytes: &[u8], parsed: &httparse::Request<'_, '_>, head: usize, terms: &Terms) -> Option<Request> {
    let method = method(parsed.method?)?;
    let target = parsed.path?;
    let line = parsed.method?.len() + target.len() + " HTTP/1.1\r\n ".len();
    let plain = parsed.version == Some(1)
        && is_target(target, terms)
        && head.saturating_sub(line) <= terms.field_bytes
        // Not after empty lines, which are counted as part of the head.
        && bytes.first().is_some_and(u8::is_ascii_uppercase);
    if !plain {
        return None;
    }
    let place = |text: &[u8]| {
        let start = text.as_ptr().addr() - bytes.as_ptr().addr();
        start..start + text.len()
    };
    let mut request = Request {
        method,
        target: place(target.as_bytes()),
        authority: 0..0,
        host: 0,
        authorization: None,
        user_agent: None,
        head,
        body: 0,
    };
    let (mut hosts, mut lengths) = (0, 0);
    for Header { name, value } in parsed.headers.iter() {
        match kind(name) {
            Kind::Host => {
                hosts += 1;
                request.authority = place(value);
                request.host = host_length(value)?;
            }
            Kind::Length => {
                lengths += 1;
                request.body = usize::try_from(digits(value)?).ok()?;
            }
            Kind::Authorization if request.authorization.is_some() => return None,
            Kind::Authorization => request.authorization = Some(place(value)),
            Kind::UserAgent => request.user_agent = Some(place(value)),
            Kind::Connection if !value.eq_ignore_ascii_case(b"keep-alive") => return None,
            Kind::Via if memchr::memmem::find(value, &terms.pseudonym).is_some() => return None,
            Kind::Special => return None,
            Kind::Connection | Kind::Via | Kind::Claim | Kind::OfOneHop | Kind::Other => {}
        }
    }
    (hosts == 1 && lengths <= 1).then_some(request)
}

/// Whether a request of HTTP/2 without a body is plain. Where there could be one, the instance wants to hear that there
/// is none.
pub(super) fn is_plain(method: &Method, target: &str, headers: &HeaderMap, terms: &Terms) -> bool {
    let mut authorized = false;
    matches!(*method, Method::GET | Method::HEAD | Method::DELETE)
        && is_target(target, terms)
        && headers.iter().all(|(name, value)| match kind(name.as_str()) {
            Kind::Authorization => !std::mem::replace(&mut authorized, true),
            Kind::Via => memchr::memmem::find(value.as_bytes(), &terms.pseudonym).is_none(),
            Kind::UserAgent | Kind::Claim | Kind::OfOneHop | Kind::Other => true,
            // Host may be another than the one that counts.
            Kind::Host | Kind::Length | Kind::Connection | Kind::Special => false,
        })
}

/// Writes one of HTTP/2 for the instance.
pub(super) fn write_fields(
    out: &mut Vec<u8>,
    (method, target, authority): (&Method, &str, &str),
    headers: &HeaderMap,
    prefix: usize,
    terms: &Terms,
) -> Option<()> {
    begin(out, method.as_str(), target.get(prefix..)?, authority.as_bytes());
    let mut cookies = headers.get_all(header::COOKIE).iter();
    if let Some(first) = cookies.next() {
        // RFC 9113 §8.2.3
        put(out, &[b"\r\ncookie: ", first.as_bytes()]);
        for more in cookies {
            put(out, &[b"; ", more.as_bytes()]);
        }
    }
    for (name, value) in headers {
        if name != header::COOKIE {
            put_field(out, name.as_str(), value.as_bytes());
        }
    }
    end(out, authority.as_bytes(), target.get(..prefix)?, terms);
    Some(())
}

fn begin(out: &mut Vec<u8>, method: &str, target: &str, authority: &[u8]) {
    put(out, &[method.as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\nHost: ", authority]);
}

fn put_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    match kind(name) {
        Kind::Host | Kind::Connection | Kind::Claim | Kind::OfOneHop => {}
        _ => put(out, &[b"\r\n", name.as_bytes(), b": ", value]),
    }
}

/// What the instance is told of the client.
fn end(out: &mut Vec<u8>, authority: &[u8], prefix: &str, terms: &Terms) {
    put(out, &[b"\r\nX-Forwarded-Host: ", authority]);
    if !prefix.is_empty() {
        put(out, &[b"\r\nX-Forwarded-Prefix: ", prefix.as_bytes()]);
    }
    put(out, &[&terms.about]);
    super::super::request::put_value(out, authority);
    put(out, &[&terms.rest]);
}

/// What a field of a request is to us.
enum Kind {
    Host,
    Length,
    Authorization,
    UserAgent,
    Connection,
    Via,
    /// What a stranger says about where the request came from.
    Claim,
    /// Ends here.
    OfOneHop,
    /// Makes it more than plain.
    Special,
    Other,
}

fn kind(name: &str) -> Kind {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match name.len() {
        2 if is("te") => Kind::Special,
        3 if is("via") => Kind::Via,
        4 if is("host") => Kind::Host,
        6 if is("expect") => Kind::Special,
        7 if is("upgrade") || is("trailer") => Kind::Special,
        9 if is("forwarded") || is("x-real-ip") => Kind::Claim,
        10 if is("connection") => Kind::Connection,
        10 if is("user-agent") => Kind::UserAgent,
        10 if is("keep-alive") => Kind::OfOneHop,
        13 if is("authorization") => Kind::Authorization,
        14 if is("content-length") => Kind::Length,
        14 if is("http2-settings") => Kind::OfOneHop,
        16 if is("proxy-connection") => Kind::OfOneHop,
        17 if is("transfer-encoding") => Kind::Special,
        19 if is("proxy-authorization") => Kind::OfOneHop,
        12.. if name.get(..12).is_some_and(|begin| begin.eq_ignore_ascii_case("x-forwarded-")) => Kind::Claim,
        _ => Kind::Other,
    }
}

/// Whether it is a path, perhaps with a query, that is not too long.
fn is_target(target: &str, terms: &Terms) -> bool {
    target.starts_with('/') && target.bytes().all(is_of_target) && target.len() <= terms.target_bytes
}

/// Whether a byte may stand in a path or a query (RFC 3986 section 3.3 and 3.4).
fn is_of_target(byte: u8) -> bool {
    const OF_TARGET: u128 = set(b"-._~%!$&'()*+,;=:@/?0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    byte.is_ascii() && OF_TARGET >> byte & 1 == 1
}

/// One bit for each of these.
const fn set(mut ascii: &[u8]) -> u128 {
    let mut set = 0;
    while let Some((byte, rest)) = ascii.split_first() {
        set |= 1 << *byte;
        ascii = rest;
    }
    set
}

/// The method of a plain request of HTTP/1.1: OPTIONS may be about us, and counts its way.
fn method(text: &str) -> Option<Method> {
    let method = Method::from_bytes(text.as_bytes()).ok()?;
    (!matches!(method, Method::CONNECT | Method::TRACE | Method::OPTIONS)).then_some(method)
}

/// Appends pieces.
pub(super) fn put(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms::new((64, 256), "front-7", true, (b"192.0.2.1", "for=192.0.2.1"), b"1.1 front-7")
    }

    fn read(bytes: &[u8]) -> Option<Request> {
        pass(&mut Vec::new(), bytes, &terms(), |_| Some((0, ()))).map(|(request, ())| request)
    }

    fn is_plain(text: &str) -> bool {
        read(text.as_bytes()).is_some()
    }

    #[test]
    fn a_plain_request_is_read() {
        let text = b"POST /a?b HTTP/1.1\r\nUser-Agent: x\r\nHost: acme:80\r\nAuthorization: Basic eA==\r\nContent-Length: 2\r\n\r\nhiGET";
        let request = read(text).unwrap();
        let at = |range: &Range<usize>| &text[range.clone()];
        assert_eq!((at(&request.target), at(&request.authority), request.host), (&b"/a?b"[..], &b"acme:80"[..], 4));
        assert_eq!(request.authorization.as_ref().map(at), Some(&b"Basic eA=="[..]));
        assert_eq!((request.head + request.body + 3, request.body), (text.len(), 2));
        for cut in 0..request.head + request.body {
            assert!(read(&text[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn whatever_is_not_plain_is_left_alone() {
        // HT01 HT02 HT03 HT04 HT06 HT10 HT12
        assert!(is_plain("GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\nVia: 1.1 b\r\n\r\n"));
        for fields in [
            "",
            "Host: a\r\nHost: a\r\n",
            "Host: a b\r\n",
            "Host: a@b\r\n",
            "Host : a\r\n",
            " Host: a\r\n",
            "Host: a\r\nX: b\r\n c\r\n",
            "Host: a\r\nX: b\rc\r\n",
            "Host: a\r\nX: b\0c\r\n",
            "Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
            "Host: a\r\nContent-Length: +1\r\n",
            "Host: a\r\nContent-Length: 1, 1\r\n",
            "Host: a\r\nContent-Length:\r\n",
            "Host: a\r\nContent-Length: 18446744073709551616\r\n",
            "Host: a\r\nTransfer-Encoding: chunked\r\n",
            "Host: a\r\nTRANSFER-ENCODING: x\r\nContent-Length: 1\r\n",
            "Host: a\r\nTE: trailers\r\n",
            "Host: a\r\nTrailer: x\r\n",
            "Host: a\r\nExpect: 100-continue\r\n",
            "Host: a\r\nUpgrade: websocket\r\n",
            "Host: a\r\nConnection: close\r\n",
            "Host: a\r\nConnection: keep-alive, x\r\n",
            "Host: a\r\nVia: 1.1 b, 1.1 front-7\r\n",
            "Host: a\r\nAuthorization: a\r\nAuthorization: b\r\n",
        ] {
            assert!(!is_plain(&format!("GET / HTTP/1.1\r\n{fields}\r\n")), "{fields:?}");
        }
        for line in [
            "GET / HTTP/1.0",
            "GET / HTTP/2.0",
            "GET http://a/ HTTP/1.1",
            "GET * HTTP/1.1",
            "GET /a#b HTTP/1.1",
            "GET /a?<b> HTTP/1.1",
            "GET /a`b HTTP/1.1",
            "GET /a\\b HTTP/1.1",
            "GET /ä HTTP/1.1",
            "OPTIONS / HTTP/1.1",
            "TRACE / HTTP/1.1",
            "CONNECT a:1 HTTP/1.1",
            "get / HTTP/1.1",
            "\r\nGET / HTTP/1.1",
            "GET  / HTTP/1.1",
        ] {
            assert!(!is_plain(&format!("{line}\r\nHost: a\r\n\r\n")), "{line:?}");
        }
        let long = |target: usize, field: usize| {
            is_plain(&format!("GET /{} HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "t".repeat(target), "f".repeat(field)))
        };
        assert!(long(63, 1) && !long(64, 1) && long(1, 200) && !long(1, 300));
    }

    #[test]
    fn the_instance_gets_the_client_s_words_and_ours() {
        // HT02 HT06 HT07 HT08 HT15
        let text = b"GET /acme/x?y HTTP/1.1\r\nX-Odd:  1 \r\nHost: front\r\nKeep-Alive: 1\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nHTTP2-Settings: x\r\nForwarded: for=x\r\nX-Forwarded-Anything: x\r\nX-Real-IP: x\r\nVia: 1.0 b\r\nx-odd: 2\r\n\r\n";
        let mut bytes = text.to_vec();
        let terms = Terms::new((64, 999), "front-7", true, (b"192.0.2.1", "for=192.0.2.1"), b"1.1 front-7");
        bytes.extend(b"more");
        let mut out = Vec::new();
        pass(&mut out, &bytes, &terms, |_| Some(("/acme".len(), ()))).unwrap();
        let seen = "GET /x?y HTTP/1.1\r\nHost: front\r\nX-Odd: 1\r\nVia: 1.0 b\r\nx-odd: 2\r\nX-Forwarded-Host: front\r\n\
            X-Forwarded-Prefix: /acme\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.1\r\n\
            Forwarded: for=192.0.2.1;host=front;proto=https\r\nVia: 1.1 front-7\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), seen);
    }
}
