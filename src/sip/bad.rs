//! What is wrong with a message: a kind for metrics and logs, and the answer it deserves.

use super::name::Name;
use std::fmt;

/// A fault of a message, always the sender's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Bad {
    /// No bytes but line ends.
    Empty,
    /// The first line is neither a request line nor a status line of any version of SIP.
    NotSip,
    /// The start-line has missing, extra or forbidden parts.
    StartLine,
    /// A SIP version other than 2.0 (V17).
    Version,
    /// A status code outside 100 to 699.
    Status,
    /// More bytes than `Limits::message` (V16).
    MessageTooLarge,
    /// More bytes than `Limits::head` before the empty line.
    HeadTooLarge,
    /// More rows than `Limits::rows`.
    TooManyRows,
    /// A row longer than `Limits::row`.
    RowTooLong,
    /// A Request-URI longer than `Limits::uri`.
    UriTooLong,
    /// A method longer than `Limits::method`.
    MethodTooLong,
    /// More values in a list than `Limits::values`.
    TooManyValues,
    /// More parameters in one value than `Limits::params`.
    TooManyParams,
    /// A CR or LF that ends no line (V14).
    BareLineEnd,
    /// A header row whose name is not a token, or without a colon (V14).
    HeaderName,
    /// The header section does not end with an empty line.
    NoEmptyLine,
    /// A mandatory header field is not there (V01).
    Missing(Name),
    /// A single-valued header field is there more than once (V13).
    Repeated(Name),
    /// A header field the proxy must understand is against its grammar (V01).
    Header(Name),
    /// The Request-URI is against its grammar.
    RequestUri,
    /// The Request-URI's scheme is not understood (V04).
    Scheme,
    /// The Request-URI has header fields in it (RFC 3261 §19.1.1, table 1).
    UriHeaders,
    /// A URI is against its grammar.
    Uri,
    /// A quoted string without its end.
    Quote,
    /// A value is missing between two commas, or a whole row has none.
    NoValue,
    /// A parameter is against its grammar.
    Param,
    /// A name-addr or addr-spec is against its grammar.
    Address,
    /// A Via value is against its grammar.
    Via,
    /// The method of the request is not the one of CSeq (V18).
    Method,
    /// Content-Length is not a number (V10).
    ContentLength,
    /// No Content-Length on a stream (V10).
    NoContentLength,
    /// Less body than Content-Length says (V09).
    ShortBody,
    /// More than one message where only one may be (W03).
    LongBody,
    /// Max-Forwards is used up (V05).
    Hops,
    /// Proxy-Require names an extension that is not there (V06).
    Extension,
    /// A response would be sent on to a broadcast or multicast address.
    Broadcast,
}

impl Bad {
    /// The metric label and reason code.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotSip => "not-sip",
            Self::StartLine => "start-line",
            Self::Version => "version",
            Self::Status => "status-code",
            Self::MessageTooLarge => "message-too-large",
            Self::HeadTooLarge => "head-too-large",
            Self::TooManyRows => "too-many-rows",
            Self::RowTooLong => "row-too-long",
            Self::UriTooLong => "uri-too-long",
            Self::MethodTooLong => "method-too-long",
            Self::TooManyValues => "too-many-values",
            Self::TooManyParams => "too-many-params",
            Self::BareLineEnd => "bare-line-end",
            Self::HeaderName => "header-name",
            Self::NoEmptyLine => "no-empty-line",
            Self::Missing(_) => "header-missing",
            Self::Repeated(_) => "header-repeated",
            Self::Header(_) => "header-value",
            Self::RequestUri => "request-uri",
            Self::Scheme => "scheme",
            Self::UriHeaders => "uri-headers",
            Self::Uri => "uri",
            Self::Quote => "quote",
            Self::NoValue => "no-value",
            Self::Param => "param",
            Self::Address => "address",
            Self::Via => "via",
            Self::Method => "method-mismatch",
            Self::ContentLength => "content-length",
            Self::NoContentLength => "no-content-length",
            Self::ShortBody => "short-body",
            Self::LongBody => "long-body",
            Self::Hops => "max-forwards",
            Self::Extension => "proxy-require",
            Self::Broadcast => "broadcast",
        }
    }

    /// The status a request with this fault is answered with, and its reason phrase.
    pub const fn status(self) -> (u16, &'static str) {
        match self {
            Self::UriTooLong => (414, "Request-URI Too Long"),
            Self::Scheme => (416, "Unsupported URI Scheme"),
            Self::Extension => (420, "Bad Extension"),
            Self::Hops => (483, "Too Many Hops"),
            Self::Version => (505, "Version Not Supported"),
            Self::MessageTooLarge | Self::HeadTooLarge | Self::TooManyRows | Self::RowTooLong => {
                (513, "Message Too Large")
            }
            _ => (400, "Bad Request"),
        }
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "{} is missing", name.text()),
            Self::Repeated(name) => write!(f, "{} is there more than once", name.text()),
            Self::Header(name) => write!(f, "{} is malformed", name.text()),
            other => f.write_str(other.text()),
        }
    }
}

impl std::error::Error for Bad {}

impl Bad {
    const fn text(self) -> &'static str {
        match self {
            Self::Empty => "nothing in it",
            Self::NotSip => "not a SIP message",
            Self::StartLine => "malformed start-line",
            Self::Version => "only SIP/2.0 is spoken here",
            Self::Status => "status code out of range",
            Self::MessageTooLarge => "message too large",
            Self::HeadTooLarge => "header section too large",
            Self::TooManyRows => "too many header rows",
            Self::RowTooLong => "a header row is too long",
            Self::UriTooLong => "Request-URI too long",
            Self::MethodTooLong => "method too long",
            Self::TooManyValues => "too many values in a header field",
            Self::TooManyParams => "too many parameters in a value",
            Self::BareLineEnd => "CR or LF without the other",
            Self::HeaderName => "malformed header name",
            Self::NoEmptyLine => "no empty line after the header fields",
            Self::Missing(_) => "a header field is missing",
            Self::Repeated(_) => "a header field is there more than once",
            Self::Header(_) => "a header field is malformed",
            Self::RequestUri => "malformed Request-URI",
            Self::Scheme => "unsupported URI scheme",
            Self::UriHeaders => "header fields in the Request-URI",
            Self::Uri => "malformed URI",
            Self::Quote => "unbalanced quote",
            Self::NoValue => "empty value",
            Self::Param => "malformed parameter",
            Self::Address => "malformed address",
            Self::Via => "malformed Via",
            Self::Method => "method and CSeq differ",
            Self::ContentLength => "malformed Content-Length",
            Self::NoContentLength => "Content-Length is missing",
            Self::ShortBody => "body shorter than Content-Length",
            Self::LongBody => "more behind the body than Content-Length says",
            Self::Hops => "Max-Forwards is used up",
            Self::Extension => "unsupported extension in Proxy-Require",
            Self::Broadcast => "response towards a broadcast address",
        }
    }
}
