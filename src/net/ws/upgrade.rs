//! The request that opens a WebSocket for SIP, and the answer (RFC 6455 §4.2, RFC 7118 §4).
//!
//! Any path will do. Cookies and credentials may come along, as RFC 7118 §7 has it, and are left alone: who somebody
//! is, the PBX finds out by SIP's own digest (W07). Whether a page's scripts may come at all is asked of
//! [`crate::route`]. Used by `net::stream`; `http` reads requests with hyper and takes the small parts from here.

use crate::greeting::Greeting;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// The subprotocol (RFC 7118 §4).
pub const SIP: &str = "sip";
/// Bytes of a request; browsers bring their cookies.
pub const LARGEST: usize = 16 * 1024;

/// RFC 6455 §1.3
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Header fields of a request.
const FIELDS: usize = 96;

/// A sound request for a WebSocket that carries SIP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Host, lower case and without a port.
    pub host: Box<str>,
    /// Origin, lower case.
    pub origin: Option<Box<str>>,
    key: Box<[u8]>,
}

/// Why a WebSocket is not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It is not HTTP/1.1, or not sound.
    Malformed,
    /// Something other than GET.
    Method,
    /// HTTP, but nobody asks for a WebSocket.
    NoUpgrade,
    /// Another version of the protocol.
    Version,
    /// `sip` is not offered (W01).
    Subprotocol,
    /// A page of this origin may not come here (W07).
    Origin,
    /// A larger request than allowed.
    TooLarge,
}

/// What there is of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Not all of it.
    Partial,
    /// So many bytes of a request that is sound.
    Asked(usize, Asked),
    /// One that is not.
    Refused(Refused),
}

impl Request {
    /// Reads what `bytes` start with.
    pub fn read(bytes: &[u8]) -> Self {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length > LARGEST => Self::Refused(Refused::TooLarge),
            Ok(httparse::Status::Complete(length)) => match asked(&request) {
                Ok(asked) => Self::Asked(length, asked),
                Err(why) => Self::Refused(why),
            },
            Ok(httparse::Status::Partial) if bytes.len() <= LARGEST => Self::Partial,
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => Self::Refused(Refused::TooLarge),
            Err(_) => Self::Refused(Refused::Malformed),
        }
    }
}

fn asked(request: &httparse::Request<'_, '_>) -> Result<Asked, Refused> {
    let fields = Fields(request.headers);
    if request.version != Some(1) {
        return Err(Refused::Malformed);
    }
    if request.method != Some("GET") {
        return Err(Refused::Method);
    }
    let host = fields.one("host").and_then(host).ok_or(Refused::Malformed)?;
    if fields.any("transfer-encoding") || fields.one("content-length").is_some_and(|length| length != b"0") {
        return Err(Refused::Malformed);
    }
    if !fields.lists("upgrade", b"websocket") || !fields.lists("connection", b"upgrade") {
        return Err(Refused::NoUpgrade);
    }
    if fields.one("sec-websocket-version") != Some(b"13") {
        return Err(Refused::Version);
    }
    let key = fields.one("sec-websocket-key").filter(|key| is_key(key)).ok_or(Refused::Malformed)?;
    if !fields.values("sec-websocket-protocol").any(offers_sip) {
        return Err(Refused::Subprotocol);
    }
    let origin = match fields.values("origin").count() {
        0 => None,
        1 => Some(fields.one("origin").and_then(lower).ok_or(Refused::Malformed)?),
        _ => return Err(Refused::Malformed),
    };
    Ok(Asked { host, origin, key: key.into() })
}

impl Asked {
    /// What was said in it, added to what was said in the TLS handshake. A resumed session says nothing of who this is:
    /// all pages of a browser share its sessions.
    pub fn greeting(&self, tls: Greeting) -> Greeting {
        Greeting { host: Some(self.host.clone()), origin: self.origin.clone(), resumed: None, ..tls }
    }

    /// The answer that opens it.
    pub fn accept(&self) -> Vec<u8> {
        let accept = accept(&self.key);
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {SIP}\r\n\r\n"
        )
        .into_bytes()
    }
}

impl Refused {
    /// The status and its words.
    const fn status(self) -> &'static str {
        match self {
            Self::Malformed | Self::Subprotocol => "400 Bad Request",
            Self::Origin => "403 Forbidden",
            Self::Method => "405 Method Not Allowed",
            Self::NoUpgrade | Self::Version => "426 Upgrade Required",
            Self::TooLarge => "431 Request Header Fields Too Large",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Malformed => "The request is not sound.\nDie Anfrage ist fehlerhaft.",
            Self::Origin => "Pages from there may not connect here.\nSeiten von dort dürfen sich hier nicht verbinden.",
            Self::TooLarge => "The request is too large.\nDie Anfrage ist zu groß.",
            Self::Method | Self::NoUpgrade | Self::Version | Self::Subprotocol => {
                "This address speaks SIP over WebSocket, version 13, subprotocol sip.\n\
                 Diese Adresse spricht SIP über WebSocket, Version 13, Unterprotokoll sip."
            }
        }
    }

    /// The answer; nothing follows it.
    pub fn answer(self) -> Vec<u8> {
        let more = match self {
            Self::Method => "Allow: GET\r\n",
            Self::NoUpgrade | Self::Version => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            _ => "",
        };
        let (status, text) = (self.status(), self.text());
        let length = text.len() + 1;
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\n{more}Cache-Control: no-store\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{text}\n"
        )
        .into_bytes()
    }
}

/// Sec-WebSocket-Accept for a key (RFC 6455 §4.2.2).
pub fn accept(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// Whether a Sec-WebSocket-Key is 16 bytes in base64 (RFC 6455 §4.2.1).
pub fn is_key(key: &[u8]) -> bool {
    let mut room = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut room) == Ok(16)
}

/// Whether a value of Sec-WebSocket-Protocol offers `sip`.
pub fn offers_sip(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|one| one.trim_ascii() == SIP.as_bytes())
}

/// The host of `host[:port]`, lower case.
pub fn host(value: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let end = match text.find(']') {
        Some(bracket) => bracket + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at_checked(end)?;
    let port_is_sound = port.is_empty() || port.strip_prefix(':')?.bytes().all(|b| b.is_ascii_digit());
    let host_is_sound = !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b"/@\\".contains(&b));
    (port_is_sound && host_is_sound).then(|| host.to_ascii_lowercase().into())
}

fn lower(value: &[u8]) -> Option<Box<str>> {
    Some(std::str::from_utf8(value).ok()?.trim().to_ascii_lowercase().into())
}

/// The header fields of a request.
struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value)
    }

    /// The value of a field that is there exactly once.
    fn one(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.values(name);
        let first = values.next()?.trim_ascii();
        values.next().is_none().then_some(first)
    }

    fn any(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    fn lists(&self, name: &str, token: &[u8]) -> bool {
        let mut members = self.values(name).flat_map(|value| value.split(|byte| *byte == b','));
        members.any(|member| member.trim_ascii().eq_ignore_ascii_case(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "GET /ws?x=1 HTTP/1.1\r\nHost: Acme.PBX.example:443\r\nUpgrade: h2c, WebSocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: xmpp, sip\r\nOrigin: https://App.example\r\n\
        Cookie: session=1\r\nAuthorization: Basic eDp5\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

    #[test]
    fn a_sound_request_is_answered_with_the_subprotocol_alone() {
        // W01 W07 W10: whatever else is offered, nothing but `sip` is agreed on.
        let Request::Asked(length, asked) = Request::read(SOUND.as_bytes()) else { panic!("not taken") };
        assert_eq!(length, SOUND.len());
        assert_eq!((&*asked.host, asked.origin.as_deref()), ("acme.pbx.example", Some("https://app.example")));
        let answer = String::from_utf8(asked.accept()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
        assert!(answer.contains("\r\nSec-WebSocket-Protocol: sip\r\n"), "{answer}");
        assert!(!answer.to_lowercase().contains("extensions"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"));
    }

    #[test]
    fn a_browsers_pages_are_not_one_client() {
        // R43: they share its TLS sessions, so one that resumes another's is not the other.
        let Request::Asked(_, asked) = Request::read(SOUND.as_bytes()) else { panic!("not taken") };
        let tls = Greeting { sni: Some("x".into()), resumed: Some(crate::ids::ConnId(7)), ..Greeting::default() };
        let greeting = asked.greeting(tls);
        assert_eq!((greeting.sni.as_deref(), greeting.host.as_deref()), (Some("x"), Some("acme.pbx.example")));
        assert_eq!(greeting.resumed, None);
    }

    #[test]
    fn it_may_come_in_any_pieces_and_frames_may_follow_at_once() {
        // W01 HT13
        for end in 0..SOUND.len() {
            assert_eq!(Request::read(&SOUND.as_bytes()[..end]), Request::Partial, "{end}");
        }
        let early = [SOUND.as_bytes(), &[0x81, 0x80, 0, 0, 0, 0]].concat();
        assert!(matches!(Request::read(&early), Request::Asked(length, _) if length == SOUND.len()));
    }

    #[test]
    fn everything_else_is_refused_in_words_of_http() {
        // W01
        let with = |from: &str, to: &str| {
            assert!(SOUND.contains(from), "{from}");
            Request::read(SOUND.replace(from, to).as_bytes())
        };
        for (from, to, why, status) in [
            ("Sec-WebSocket-Protocol: xmpp, sip\r\n", "", Refused::Subprotocol, "400"),
            ("xmpp, sip\r\n", "xmpp, sips\r\n", Refused::Subprotocol, "400"),
            ("xmpp, sip\r\n", "SIP\r\n", Refused::Subprotocol, "400"),
            ("Upgrade: h2c, WebSocket\r\n", "", Refused::NoUpgrade, "426"),
            ("keep-alive, Upgrade", "keep-alive", Refused::NoUpgrade, "426"),
            ("Version: 13", "Version: 8", Refused::Version, "426"),
            ("Sec-WebSocket-Version: 13\r\n", "", Refused::Version, "426"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", Refused::Malformed, "400"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j!Q==", Refused::Malformed, "400"),
            ("Cookie: session=1", "Host: other.example", Refused::Malformed, "400"),
            ("Cookie: session=1", "Origin: https://other.example", Refused::Malformed, "400"),
            ("Cookie: session=1", "Transfer-Encoding: chunked", Refused::Malformed, "400"),
            ("Cookie: session=1", "Content-Length: 5", Refused::Malformed, "400"),
            ("Host: Acme.PBX.example:443\r\n", "", Refused::Malformed, "400"),
            ("Acme.PBX.example:443", "a@b:443", Refused::Malformed, "400"),
            ("HTTP/1.1", "HTTP/1.0", Refused::Malformed, "400"),
            ("GET", "POST", Refused::Method, "405"),
            ("GET /ws", "\u{1}ET /ws", Refused::Malformed, "400"),
        ] {
            assert_eq!(with(from, to), Request::Refused(why), "{from} → {to}");
            let answer = String::from_utf8(why.answer()).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains(&format!("Content-Length: {}\r\n", body.len()))
                    || head.ends_with(&format!("{}", body.len()))
            );
        }
        assert!(String::from_utf8(Refused::Version.answer()).unwrap().contains("Sec-WebSocket-Version: 13\r\n"));
        let origins = "Origin: https://app.example\r\n";
        assert!(String::from_utf8(Refused::Origin.answer()).unwrap().starts_with("HTTP/1.1 403 "), "{origins}");
    }

    #[test]
    fn it_is_bounded() {
        // DESIGN 10
        let cookie = |n: usize| SOUND.replace("session=1", &"x".repeat(n));
        assert!(matches!(Request::read(cookie(8_000).as_bytes()), Request::Asked(..)));
        assert_eq!(Request::read(cookie(LARGEST).as_bytes()), Request::Refused(Refused::TooLarge));
        assert_eq!(Request::read(&cookie(LARGEST).as_bytes()[..LARGEST + 1]), Request::Refused(Refused::TooLarge));
        let many = SOUND.replace("Cookie: session=1\r\n", &"A: b\r\n".repeat(100));
        assert_eq!(Request::read(many.as_bytes()), Request::Refused(Refused::TooLarge));
    }

    #[test]
    fn hosts_lose_their_port_and_case() {
        for (value, expected) in [
            ("A.example", Some("a.example")),
            ("a.example:", Some("a.example")),
            ("[2001:DB8::1]:443", Some("[2001:db8::1]")),
            ("192.0.2.1:8443", Some("192.0.2.1")),
            ("", None),
            ("a:b", None),
            ("a b", None),
            ("a/b", None),
        ] {
            assert_eq!(host(value.as_bytes()).as_deref(), expected, "{value}");
        }
    }
}
