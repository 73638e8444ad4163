//! One message, read once: where each part is in the buffer. Nothing is copied or decoded.

/// A piece of the message's buffer: byte offsets, end exclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// The header fields the proxy looks at; every other is `Other`. Compact forms are the same field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs, reason = "each is the header field of its name")]
pub enum Name {
    Authorization,
    CallId,
    Contact,
    ContentLength,
    ContentType,
    CSeq,
    Event,
    Expires,
    From,
    MaxBreadth,
    MaxForwards,
    PAssertedIdentity,
    PPreferredIdentity,
    Path,
    Privacy,
    ProxyAuthorization,
    ProxyRequire,
    RecordRoute,
    ReferTo,
    Replaces,
    Require,
    Route,
    Supported,
    To,
    UserAgent,
    Via,
    Other,
}

/// One header field row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Which field.
    pub name: Name,
    /// The whole row with its line end (and folded continuation lines).
    pub line: Span,
    /// The name as written.
    pub label: Span,
    /// The value without surrounding white space; may hold folds.
    pub value: Span,
}
