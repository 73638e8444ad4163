//! SIP messages of our own end points, on `rsip`.
//!
//! `rsip` reads and prints the header fields. Around it: it refuses IPv6 Request-URIs and folded
//! lines, hides compact names and prints reason phrases without blanks, so the start line is ours,
//! lines are unfolded and compact names spelled out before it sees them, and bodies stay bytes.
//! Not for messages that are proxied: those are `sip::view`'s. Called by every part of `demo`.

use super::text::{self, Address};
use rsip::headers::UntypedHeader;
pub use rsip::{Header, Headers, Method};
use std::fmt::Write as _;

/// Why bytes are no message.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unreadable {
    /// No empty line, or no text before it.
    #[error("no head that ends in an empty line")]
    Head,
    /// Neither a request line nor a status line.
    #[error("no start line")]
    StartLine,
    /// `rsip` refuses a header.
    #[error("{0}")]
    Header(String),
}

macro_rules! fields {
    ($($(#[$about:meta])* $name:ident),* $(,)?) => {
        /// A header field by name.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(missing_docs, reason = "each is the header field of its name")]
        pub enum Field {
            $($name,)*
            /// One that `rsip` has no type for.
            Other(&'static str),
        }

        impl Field {
            #[cfg(test)]
            const TYPED: &[Self] = &[$(Self::$name),*];

            fn of(self, header: &Header) -> Option<&str> {
                match (self, header) {
                    $((Self::$name, Header::$name(header)) => Some(header.value()),)*
                    (Self::Other(name), Header::Other(label, value)) if label.eq_ignore_ascii_case(name) => Some(value),
                    _ => None,
                }
            }

            fn with(self, value: String) -> Header {
                match self {
                    $(Self::$name => Header::$name(rsip::headers::$name::new(value)),)*
                    Self::Other(name) => Header::Other(name.to_owned(), value),
                }
            }
        }
    };
}

fields! {
    Allow, Authorization, CSeq, CallId, Contact, ContentLength, ContentType, Event, Expires, From, MaxForwards,
    ProxyAuthenticate, ProxyAuthorization, RecordRoute, RetryAfter, Route, Supported, To, UserAgent, Via, Warning, WwwAuthenticate,
}

impl Field {
    /// RFC 3327.
    pub const PATH: Self = Self::Other("Path");
    /// RFC 3515.
    pub const REFER_TO: Self = Self::Other("Refer-To");
    /// RFC 6665; `rsip` writes it and does not read it.
    pub const SUBSCRIPTION_STATE: Self = Self::Other("Subscription-State");
    /// RFC 3892.
    pub const REFERRED_BY: Self = Self::Other("Referred-By");
}

/// The header fields of one message, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fields(Headers);

impl Fields {
    /// The first row of a field.
    pub fn first(&self, field: Field) -> Option<&str> {
        self.0.iter().find_map(|header| field.of(header))
    }

    /// Every value of a field: its rows in order, each split at its commas. Not for fields whose
    /// values hold bare commas (challenges); those are [`Self::rows`].
    pub fn list(&self, field: Field) -> impl Iterator<Item = &str> {
        self.rows(field).flat_map(|row| text::split(row, ','))
    }

    /// Every row of a field as it stands.
    pub fn rows(&self, field: Field) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(move |header| field.of(header))
    }

    /// Adds a row at the end.
    pub fn push(&mut self, field: Field, value: impl Into<String>) {
        self.0.push(field.with(value.into()));
    }

    /// Adds a row before all others.
    pub fn push_front(&mut self, field: Field, value: impl Into<String>) {
        let mut rows: Vec<Header> = std::mem::take(&mut self.0).into();
        rows.insert(0, field.with(value.into()));
        self.0 = rows.into();
    }

    /// Makes `value` the only row of the field, in the place of the first or at the end.
    pub fn set(&mut self, field: Field, value: impl Into<String>) {
        let mut value = Some(value.into());
        let mut rows: Vec<Header> = Vec::new();
        for header in std::mem::take(&mut self.0) {
            if field.of(&header).is_none() {
                rows.push(header);
            } else if let Some(value) = value.take() {
                rows.push(field.with(value));
            }
        }
        rows.extend(value.map(|value| field.with(value)));
        self.0 = rows.into();
    }

    /// Makes `values` the rows of the field, at the place of the first.
    pub fn replace<'a>(&mut self, field: Field, values: impl Iterator<Item = &'a str>) {
        let mut new: Option<Vec<Header>> = Some(values.map(|value| field.with(value.to_owned())).collect());
        let mut rows: Vec<Header> = Vec::new();
        for header in std::mem::take(&mut self.0) {
            if field.of(&header).is_none() {
                rows.push(header);
            } else {
                rows.extend(new.take().unwrap_or_default());
            }
        }
        rows.extend(new.take().unwrap_or_default());
        self.0 = rows.into();
    }

    /// Takes every row of the field away.
    pub fn remove(&mut self, field: Field) {
        self.0.retain(|header| field.of(header).is_none());
    }

    /// Copies every row of a field from another message.
    pub fn copy(&mut self, field: Field, from: &Self) {
        for row in from.rows(field) {
            self.push(field, row);
        }
    }

    /// Call-ID, or nothing.
    pub fn call_id(&self) -> &str {
        self.first(Field::CallId).unwrap_or_default()
    }

    /// Number and method of CSeq.
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.first(Field::CSeq)?.split_once(' ')?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// The tag of From.
    pub fn from_tag(&self) -> &str {
        self.first(Field::From).and_then(|value| Address::read(value).tag()).unwrap_or_default()
    }

    /// The tag of To; empty outside a dialog.
    pub fn to_tag(&self) -> &str {
        self.first(Field::To).and_then(|value| Address::read(value).tag()).unwrap_or_default()
    }

    /// A parameter of the top Via.
    pub fn via_param(&self, name: &str) -> Option<&str> {
        let (_, parameters) = self.list(Field::Via).next()?.split_once(';')?;
        text::param(parameters, name)
    }

    fn write(&self, out: &mut String, body: &[u8]) {
        for header in self.0.iter().filter(|header| Field::ContentLength.of(header).is_none()) {
            let _ = write!(out, "{header}\r\n");
        }
        let _ = write!(out, "Content-Length: {}\r\n\r\n", body.len());
    }
}

/// A request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// What is asked.
    pub method: Method,
    /// Of whom: the Request-URI as text.
    pub uri: String,
    /// Header fields.
    pub fields: Fields,
    /// Body.
    pub body: Vec<u8>,
}

/// A response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Reason phrase.
    pub reason: String,
    /// Header fields.
    pub fields: Fields,
    /// Body.
    pub body: Vec<u8>,
}

/// Either.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

impl Request {
    /// A request with nothing but what every one has: Max-Forwards.
    pub fn new(method: Method, uri: impl Into<String>) -> Self {
        let mut fields = Fields::default();
        fields.push(Field::MaxForwards, "70");
        Self { method, uri: uri.into(), fields, body: Vec::new() }
    }

    /// Adds a body.
    pub fn with_body(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.fields.set(Field::ContentType, kind);
        self.body = body.into();
        self
    }

    /// As bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut out = format!("{} {} SIP/2.0\r\n", self.method, self.uri);
        self.fields.write(&mut out, &self.body);
        let mut bytes = out.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// A response to it (RFC 3261 §8.2.6): Via, From, To, Call-ID, CSeq and, where a dialog may
    /// begin, Record-Route copied; `tag` is put into a To that has none.
    pub fn reply(&self, status: u16, tag: &str) -> Response {
        let mut fields = Fields::default();
        for field in [Field::Via, Field::From, Field::To, Field::CallId, Field::CSeq] {
            fields.copy(field, &self.fields);
        }
        if status > 100 && fields.to_tag().is_empty() {
            let to = self.fields.first(Field::To).unwrap_or_default();
            fields.set(Field::To, format!("{to};tag={tag}"));
        }
        if (101..300).contains(&status) {
            fields.copy(Field::RecordRoute, &self.fields);
        }
        Response { status, reason: reason(status).to_owned(), fields, body: Vec::new() }
    }

    /// The CANCEL of it (RFC 3261 §9.1): same Request-URI, Via, Route, From, To, Call-ID and number.
    pub fn cancel(&self) -> Self {
        self.companion(Method::Cancel, self.fields.first(Field::To).unwrap_or_default())
    }

    /// The ACK of a final response other than 2xx (RFC 3261 §17.1.1.3).
    pub fn acknowledge(&self, response: &Response) -> Self {
        self.companion(Method::Ack, response.fields.first(Field::To).unwrap_or_default())
    }

    fn companion(&self, method: Method, to: &str) -> Self {
        let mut request = Self::new(method, self.uri.clone());
        if let Some(via) = self.fields.list(Field::Via).next() {
            request.fields.push_front(Field::Via, via);
        }
        for field in [Field::Route, Field::From, Field::CallId] {
            request.fields.copy(field, &self.fields);
        }
        let number = self.fields.cseq().map_or(0, |(number, _)| number);
        request.fields.push(Field::To, to);
        request.fields.push(Field::CSeq, format!("{number} {method}"));
        request
    }
}

impl Response {
    /// Adds a body.
    pub fn with_body(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.fields.set(Field::ContentType, kind);
        self.body = body.into();
        self
    }

    /// Adds a header field.
    pub fn with(mut self, field: Field, value: impl Into<String>) -> Self {
        self.fields.push(field, value);
        self
    }

    /// The method of CSeq.
    pub fn method(&self) -> &str {
        self.fields.cseq().map_or("", |(_, method)| method)
    }

    /// As bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut out = format!("SIP/2.0 {} {}\r\n", self.status, self.reason);
        self.fields.write(&mut out, &self.body);
        let mut bytes = out.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

impl Message {
    /// Reads one whole message.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let end = memchr::memmem::find(bytes, b"\r\n\r\n").ok_or(Unreadable::Head)?;
        let (head, body) = bytes.split_at_checked(end).ok_or(Unreadable::Head)?;
        let head = std::str::from_utf8(head).map_err(|_| Unreadable::Head)?;
        let mut body = body.get(4..).unwrap_or_default().to_vec();
        let (start, rows) = head.split_once("\r\n").ok_or(Unreadable::Head)?;
        let fields = read_fields(rows)?;
        if let Some(length) = fields.first(Field::ContentLength).and_then(|length| length.trim().parse().ok()) {
            body.truncate(length);
        }
        if let Some(status) = start.strip_prefix("SIP/2.0 ") {
            let (code, reason) = status.split_once(' ').unwrap_or((status, ""));
            let status = code.parse().map_err(|_| Unreadable::StartLine)?;
            return Ok(Self::Response(Response { status, reason: reason.to_owned(), fields, body }));
        }
        let mut parts = start.split(' ');
        let (Some(method), Some(uri), Some("SIP/2.0"), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Unreadable::StartLine);
        };
        let method = method.parse().map_err(|_| Unreadable::StartLine)?;
        Ok(Self::Request(Request { method, uri: uri.to_owned(), fields, body }))
    }

    /// Its header fields.
    pub fn fields(&self) -> &Fields {
        match self {
            Self::Request(request) => &request.fields,
            Self::Response(response) => &response.fields,
        }
    }

    /// What a ladder of messages shows: the method, or the status with the method it answers.
    pub fn summary(&self) -> String {
        match self {
            Self::Request(request) => request.method.to_string(),
            Self::Response(response) => format!("{} {}", response.status, response.method()),
        }
    }
}

fn read_fields(rows: &str) -> Result<Fields, Unreadable> {
    let mut plain = String::from("OPTIONS sip:rsip SIP/2.0\r\n");
    for line in rows.split("\r\n") {
        if line.starts_with([' ', '\t']) {
            let kept = plain.trim_end_matches("\r\n").len();
            plain.truncate(kept);
            plain.push(' ');
            plain.push_str(line.trim_start());
        } else {
            let (name, rest) = line.split_once(':').unwrap_or((line, ""));
            plain.push_str(long_name(name.trim_end()));
            plain.push(':');
            plain.push_str(rest);
        }
        plain.push_str("\r\n");
    }
    plain.push_str("\r\n");
    let request = rsip::Request::try_from(plain).map_err(|error| Unreadable::Header(error.to_string()))?;
    Ok(Fields(request.headers))
}

fn long_name(name: &str) -> &str {
    match name {
        "i" => "Call-ID",
        "m" => "Contact",
        "e" => "Content-Encoding",
        "l" => "Content-Length",
        "c" => "Content-Type",
        "f" => "From",
        "s" => "Subject",
        "k" => "Supported",
        "t" => "To",
        "v" => "Via",
        "o" => "Event",
        "r" => "Refer-To",
        "b" => "Referred-By",
        name => name,
    }
}

/// The reason phrases our end points use.
fn reason(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        420 => "Bad Extension",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        483 => "Too Many Hops",
        486 => "Busy Here",
        487 => "Request Terminated",
        603 => "Decline",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:bob@[::1]:5070;nt=abc SIP/2.0\r\n\
        v: SIP/2.0/UDP [::1]:5060;branch=z9hG4bK1;rport,\r\n  SIP/2.0/TCP a.b;branch=z9hG4bK2\r\n\
        Max-Forwards: 70\r\nf: \"A, B\" <sip:alice@harbor>;tag=1\r\nTo: <sip:bob@harbor>\r\n\
        i: c1\r\nCSeq: 7 INVITE\r\nRecord-Route: <sip:x;lr>\r\nRecord-Route: <sip:y;lr>, <sip:z;lr>\r\n\
        Subject:\r\nl: 3\r\n\r\n\x01\u{e9}tail";

    fn invite() -> Request {
        let Ok(Message::Request(request)) = Message::read(INVITE.as_bytes()) else { panic!("not read") };
        request
    }

    #[test]
    fn compact_names_folds_and_ipv6_are_read() {
        let request = invite();
        assert_eq!(request.uri, "sip:bob@[::1]:5070;nt=abc");
        assert_eq!(request.fields.list(Field::Via).count(), 2);
        assert_eq!(request.fields.via_param("branch"), Some("z9hG4bK1"));
        assert_eq!(request.fields.via_param("rport"), Some(""));
        assert_eq!(request.fields.cseq(), Some((7, "INVITE")));
        assert_eq!((request.fields.from_tag(), request.fields.to_tag()), ("1", ""));
        let routes: Vec<_> = request.fields.list(Field::RecordRoute).collect();
        assert_eq!(routes, ["<sip:x;lr>", "<sip:y;lr>", "<sip:z;lr>"]);
    }

    #[test]
    fn bodies_are_bytes_of_the_length_said() {
        assert_eq!(invite().body, "\x01\u{e9}".as_bytes());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let request = invite();
        assert_eq!(Message::read(&request.write()).unwrap().fields().call_id(), "c1");
        let Ok(Message::Request(again)) = Message::read(&request.write()) else { panic!("not read") };
        assert_eq!((again.uri, again.body), (request.uri.clone(), request.body.clone()));
        let reply = request.reply(180, "t9").with(Field::Contact, "<sip:bob@[::1]>");
        let Ok(Message::Response(read)) = Message::read(&reply.write()) else { panic!("not read") };
        assert_eq!((read.status, read.reason.as_str(), read.method()), (180, "Ringing", "INVITE"));
        assert_eq!(read.fields.to_tag(), "t9");
        assert_eq!(read.fields.list(Field::RecordRoute).count(), 3);
    }

    #[test]
    fn a_trying_has_no_tag_and_a_refusal_no_record_route() {
        assert_eq!(invite().reply(100, "t").fields.to_tag(), "");
        assert_eq!(invite().reply(404, "t").fields.first(Field::RecordRoute), None);
    }

    #[test]
    fn cancel_and_ack_repeat_the_top_via_only() {
        // RFC 3261 §9.1, §17.1.1.3
        let request = invite();
        let cancel = request.cancel();
        assert_eq!(cancel.fields.list(Field::Via).count(), 1);
        assert_eq!(cancel.fields.via_param("branch"), Some("z9hG4bK1"));
        assert_eq!(cancel.fields.cseq(), Some((7, "CANCEL")));
        let ack = request.acknowledge(&request.reply(486, "t9"));
        assert_eq!((ack.fields.to_tag(), ack.fields.cseq()), ("t9", Some((7, "ACK"))));
        assert_eq!(ack.uri, request.uri);
    }

    #[test]
    fn every_field_is_read_as_what_it_was_written() {
        let fields = Field::TYPED.iter().filter(|field| **field != Field::ContentLength);
        for field in fields.chain(&[Field::PATH, Field::REFER_TO, Field::SUBSCRIPTION_STATE, Field::REFERRED_BY]) {
            let mut request = Request::new(Method::Options, "sip:a");
            request.fields.set(*field, "value");
            let Ok(Message::Request(read)) = Message::read(&request.write()) else { panic!("{field:?}") };
            assert_eq!(read.fields.first(*field), Some("value"), "{field:?}");
        }
    }

    #[test]
    fn set_and_replace_keep_the_place() {
        let mut fields = invite().fields;
        fields.set(Field::RecordRoute, "<sip:only;lr>");
        assert_eq!(fields.rows(Field::RecordRoute).collect::<Vec<_>>(), ["<sip:only;lr>"]);
        fields.replace(Field::Via, ["a", "b"].into_iter());
        assert_eq!(fields.rows(Field::Via).collect::<Vec<_>>(), ["a", "b"]);
        assert!(matches!(fields.0.iter().next(), Some(Header::Via(_))));
        fields.remove(Field::Via);
        assert_eq!(fields.first(Field::Via), None);
    }

    #[test]
    fn noise_is_refused() {
        for noise in
            ["", "\r\n\r\n", "HELLO\r\n\r\n", "OPTIONS sip:a SIP/3.0\r\nA: b\r\n\r\n", "SIP/2.0 2x OK\r\nA: b\r\n\r\n"]
        {
            assert!(Message::read(noise.as_bytes()).is_err(), "{noise:?}");
        }
        assert!(Message::read(b"OPTIONS sip:a SIP/2.0\r\nA: \xff\r\n\r\n").is_err());
    }
}
