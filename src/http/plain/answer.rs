//! The head of an instance's answer: checked so that no second answer hides in it (HT17), and passed on without what
//! concerns one hop (HT06) and without the instance's private addresses (R8), as text or as a map of fields.

use super::super::framing::digits;
use super::super::response::Outside;
use super::coding::Coding;
use super::date;
use super::request::put;
use crate::clock::Clock;
use crate::stats::HttpRefusal;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use httparse::{Header, ParserConfig, Status};
use std::borrow::Cow;
use std::mem::MaybeUninit;

const MOST_FIELDS: usize = 100;
/// Largest head of an answer, with the interim answers before it.
const LARGEST: usize = 64 * 1024;

/// What is known of an answer when its head is read.
pub(super) struct Answer {
    pub status: StatusCode,
    /// `None`: it has no body.
    pub coding: Option<Coding>,
    /// Whether the connection serves another request after it.
    pub kept: bool,
}

/// What takes the head of an answer for the client.
pub(super) trait Head {
    /// It begins; `whole` is all of it as it came, with so many fields.
    fn begin(&mut self, status: StatusCode, reason: &str, whole: &[u8], fields: usize);

    /// A field. A value that came so is a part of what it began with.
    fn field(&mut self, name: &str, value: Cow<'_, [u8]>) -> Result<(), HttpRefusal>;

    /// That was all; what the client can see of its end.
    fn end(&mut self, end: Ending);
}

/// What the fields do not say of an answer.
pub(super) struct Ending {
    /// Whether it was dated.
    dated: bool,
    /// Whether nothing says how long it is.
    unmeasured: bool,
}

/// As HTTP/1.1 has it.
pub(super) struct Text<'a> {
    pub out: &'a mut Vec<u8>,
    /// Whether the client's connection ends with it.
    pub last: bool,
    pub clock: Clock,
}

/// As a map of fields.
#[derive(Default)]
pub(super) struct Fields {
    pub map: HeaderMap,
    start: usize,
    whole: Bytes,
}

/// Reads the head of an answer at the start of `bytes`, and passes it on; `None`: it is not here as a whole.
/// Also says how many bytes it took. Interim answers are skipped.
pub(super) fn pass(
    to: &mut impl Head,
    bytes: &[u8],
    method: &Method,
    outside: &Outside<'_>,
) -> Result<Option<(usize, Answer)>, HttpRefusal> {
    let mut skipped = 0;
    loop {
        let rest = bytes.get(skipped..).unwrap_or_default();
        let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let mut config = ParserConfig::default();
        config.allow_spaces_after_header_name_in_responses(true);
        let head = match config.parse_response_with_uninit_headers(&mut parsed, rest, &mut fields) {
            Ok(Status::Complete(head)) => head,
            Ok(Status::Partial) if bytes.len() < LARGEST => return Ok(None),
            Ok(Status::Partial) | Err(_) => return Err(HttpRefusal::BadAnswer),
        };
        let code = parsed.code.unwrap_or_default();
        match code {
            // A tunnel that nobody asked for.
            101 => return Err(HttpRefusal::BadAnswer),
            100..200 => {
                skipped += head;
                continue;
            }
            _ => {}
        }
        let status = StatusCode::from_u16(code).map_err(|_| HttpRefusal::BadAnswer)?;
        let framing = Framing::of(parsed.headers, parsed.version == Some(1))?;
        let coding = framing.coding(method, status)?;
        let reason = parsed.reason.filter(|reason| !reason.is_empty()).or(status.canonical_reason()).unwrap_or("");
        to.begin(status, reason, rest.get(..head).unwrap_or_default(), parsed.headers.len());
        for field in parsed.headers.iter().filter(|field| !framing.connection.takes(field.name)) {
            if let Some(value) = outward(field, outside, status) {
                to.field(field.name, value)?;
            }
        }
        let unmeasured = matches!(coding, Some(Coding::Chunked(_) | Coding::UntilClose));
        to.end(Ending { dated: framing.has_date, unmeasured });
        let kept = framing.is_11 && !framing.connection.closes && coding != Some(Coding::UntilClose);
        return Ok(Some((skipped + head, Answer { status, coding, kept })));
    }
}

/// What the fields say about where the answer ends.
struct Framing<'a> {
    is_11: bool,
    length: Option<u64>,
    chunked: bool,
    has_date: bool,
    connection: Connection<'a>,
}

/// The Connection fields.
#[derive(Default)]
struct Connection<'a> {
    values: [&'a [u8]; 4],
    closes: bool,
}

impl<'a> Framing<'a> {
    fn of(fields: &[Header<'a>], is_11: bool) -> Result<Self, HttpRefusal> {
        let mut framing =
            Self { is_11, length: None, chunked: false, has_date: false, connection: Connection::default() };
        let mut connections = 0;
        for Header { name, value } in fields {
            match name.len() {
                4 if name.eq_ignore_ascii_case("date") => framing.has_date = true,
                10 if name.eq_ignore_ascii_case("connection") => {
                    *framing.connection.values.get_mut(connections).ok_or(HttpRefusal::BadAnswer)? = value;
                    connections += 1;
                }
                14 if name.eq_ignore_ascii_case("content-length") => {
                    let length = digits(value).ok_or(HttpRefusal::BadAnswer)?;
                    if framing.length.replace(length).is_some() {
                        return Err(HttpRefusal::BadAnswer);
                    }
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    if framing.chunked || !is_11 || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                        return Err(HttpRefusal::BadAnswer);
                    }
                    framing.chunked = true;
                }
                _ => {}
            }
        }
        if framing.chunked && framing.length.is_some() {
            return Err(HttpRefusal::BadAnswer);
        }
        framing.connection.closes = framing.connection.lists("close");
        Ok(framing)
    }

    fn coding(&self, method: &Method, status: StatusCode) -> Result<Option<Coding>, HttpRefusal> {
        if method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Ok(None);
        }
        Ok(match (self.chunked, self.length) {
            (true, _) => Some(Coding::Chunked(Default::default())),
            (false, Some(0)) => None,
            (false, Some(length)) => Some(Coding::Length(length)),
            (false, None) => Some(Coding::UntilClose),
        })
    }
}

impl Connection<'_> {
    /// Whether a field ends here. The length never does: without it the client would not see where the answer ends.
    fn takes(&self, name: &str) -> bool {
        self.lists(name) && !name.eq_ignore_ascii_case("content-length")
    }

    fn lists(&self, name: &str) -> bool {
        let values = self.values.iter().filter(|value| !value.is_empty());
        let mut options = values.flat_map(|value| value.split(|byte| *byte == b','));
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// The value of a field as the client sees it; `None`: it ends here.
fn outward<'a>(field: &Header<'a>, outside: &Outside<'_>, status: StatusCode) -> Option<Cow<'a, [u8]>> {
    let Header { name, value } = field;
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let text = || std::str::from_utf8(value).ok();
    let changed = match name.len() {
        2 if is("te") => return None,
        3 if is("via") => return None,
        7 if is("alt-svc") || is("upgrade") => return None,
        7 if is("refresh") => text().and_then(|text| outside.refresh(text)),
        8 if is("location") => text().and_then(|text| outside.url(text)),
        10 if is("connection") || is("keep-alive") => return None,
        10 if is("set-cookie") => text().and_then(|text| outside.cookie(text)),
        14 if is("http2-settings") => return None,
        14 if is("content-length") && status == StatusCode::NO_CONTENT => return None,
        16 if is("content-location") => text().and_then(|text| outside.url(text)),
        16 if is("proxy-connection") => return None,
        17 if is("transfer-encoding") => return None,
        19 if is("proxy-authorization") => return None,
        _ => None,
    };
    Some(changed.map_or(Cow::Borrowed(*value), |changed| Cow::Owned(changed.into_bytes())))
}

impl Head for Text<'_> {
    fn begin(&mut self, status: StatusCode, reason: &str, _whole: &[u8], _fields: usize) {
        put(self.out, &[b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", reason.as_bytes()]);
    }

    fn field(&mut self, name: &str, value: Cow<'_, [u8]>) -> Result<(), HttpRefusal> {
        put(self.out, &[b"\r\n", name.as_bytes(), b": ", &value]);
        Ok(())
    }

    fn end(&mut self, Ending { dated, unmeasured }: Ending) {
        if !dated {
            put(self.out, &[b"\r\nDate: "]);
            date::put(self.out, self.clock.now());
        }
        if unmeasured {
            put(self.out, &[b"\r\nTransfer-Encoding: chunked"]);
        }
        put(self.out, &[if self.last { b"\r\nConnection: close\r\n\r\n" } else { b"\r\n\r\n" }]);
    }
}

impl Head for Fields {
    fn begin(&mut self, _status: StatusCode, _reason: &str, whole: &[u8], fields: usize) {
        // The values share one copy.
        (self.start, self.whole) = (whole.as_ptr().addr(), Bytes::copy_from_slice(whole));
        // One more: hyper dates what is not dated.
        self.map.reserve(fields + 1);
    }

    fn field(&mut self, name: &str, value: Cow<'_, [u8]>) -> Result<(), HttpRefusal> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HttpRefusal::BadAnswer)?;
        let value = match value {
            Cow::Borrowed(value) => {
                let start = value.as_ptr().addr().wrapping_sub(self.start);
                match self.whole.get(start..start.saturating_add(value.len())) {
                    Some(same) if same == value => HeaderValue::from_maybe_shared(self.whole.slice_ref(same)),
                    _ => HeaderValue::from_bytes(value),
                }
            }
            Cow::Owned(value) => HeaderValue::from_bytes(&value),
        };
        self.map.append(name, value.map_err(|_| HttpRefusal::BadAnswer)?);
        Ok(())
    }

    fn end(&mut self, _end: Ending) {
        self.whole = Bytes::new();
    }
}

#[cfg(test)]
mod tests {
    use super::super::coding::Chunks;
    use super::*;
    use crate::model::{Prefix, WebService};
    use crate::route::snapshot::Web;

    fn read(text: &str, method: &Method) -> Result<Option<(String, usize, Answer)>, HttpRefusal> {
        let web = Web {
            tls: false,
            host: "pbx.internal".into(),
            port: 80,
            addresses: vec!["203.0.113.9:80".parse().unwrap()],
            prefix: Prefix::Strip,
            service: WebService::Full,
            verify: false,
            sign_in: crate::model::SignIn::default(),
        };
        let outside =
            Outside { scheme: "https", authority: "acme", host: "acme", prefix: "", stripped: false, web: &web };
        let mut out = Vec::new();
        let passed =
            pass(&mut Text { out: &mut out, last: false, clock: Clock::start() }, text.as_bytes(), method, &outside)?;
        Ok(passed.map(|(used, answer)| (String::from_utf8(out).unwrap(), used, answer)))
    }

    #[test]
    fn an_answer_has_one_end() {
        // HT17
        for (fields, coding) in [
            ("Content-Length: 5", Some(Some(Coding::Length(5)))),
            ("Content-Length: 0", Some(None)),
            ("Transfer-Encoding: Chunked ", Some(Some(Coding::Chunked(Chunks::default())))),
            ("X: y", Some(Some(Coding::UntilClose))),
            ("Content-Length: 5\r\nContent-Length: 5", None),
            ("Content-Length: 5, 5", None),
            ("Content-Length: +5", None),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", None),
            ("Transfer-Encoding: gzip, chunked", None),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", None),
            ("X: a\r\n Set-Cookie: evil=1", None),
            ("X: a\rb", None),
            ("X: a\0b", None),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nhello");
            let seen = read(&text, &Method::GET).map(|read| read.unwrap().2.coding);
            assert_eq!(seen.ok(), coding, "{fields:?}");
        }
        for text in [
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/9.9 200 OK\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert_eq!(read(text, &Method::GET).err(), Some(HttpRefusal::BadAnswer), "{text:?}");
        }
        for (status, method) in
            [("204 No Content", Method::GET), ("304 Not Modified", Method::GET), ("200 OK", Method::HEAD)]
        {
            let text = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n");
            assert_eq!(read(&text, &method).unwrap().unwrap().2.coding, None, "{status}");
        }
    }

    #[test]
    fn the_client_gets_what_is_its_own() {
        // HT03 HT06 R8
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 471 Odd But Ours\r\nDate: x\r\nX-Odd : 1\r\nConnection: close, X-Inner\r\n\
            X-Inner: 1\r\nKeep-Alive: 1\r\nUpgrade: h2c\r\nVia: 1.1 inner\r\nAlt-Svc: x\r\nLocation: http://pbx.internal/a\r\n\
            Set-Cookie: a=b; Domain=pbx.internal\r\nContent-Length: 2\r\n\r\nok";
        let (seen, used, answer) = read(text, &Method::GET).unwrap().unwrap();
        assert_eq!(
            seen,
            "HTTP/1.1 471 Odd But Ours\r\nDate: x\r\nX-Odd: 1\r\nLocation: https://acme/a\r\nSet-Cookie: a=b\r\n\
             Content-Length: 2\r\n\r\n"
        );
        assert_eq!((used + 2, answer.kept), (text.len(), false));
        for cut in 0..used {
            assert!(read(&text[..cut], &Method::GET).unwrap().is_none(), "{cut}");
        }
        let (bare, _, answer) =
            read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &Method::GET).unwrap().unwrap();
        assert!(bare.contains("\r\nDate: ") && bare.ends_with("GMT\r\nTransfer-Encoding: chunked\r\n\r\n"), "{bare}");
        assert!(answer.kept);
        // An instance cannot take the end of its answer away from the client.
        let text = "HTTP/1.1 200 OK\r\nDate: x\r\nConnection: content-length, date\r\nContent-Length: 2\r\n\r\nok";
        let (seen, ..) = read(text, &Method::GET).unwrap().unwrap();
        assert_eq!(seen, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    }
}
