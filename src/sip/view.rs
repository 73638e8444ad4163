//! One message, read once: where each part is in the buffer. Nothing is copied or decoded.
//!
//! Not a judge: a view may be of a message that is against the rules. Ask `check` before anything
//! else is believed. Used by `engine`.

pub use super::index::{Index, Row};
pub use super::name::Name;
pub use super::span::Span;

use super::bad::Bad;
use super::chars::number;
use super::index::StartLine;
use super::limits::Limits;
use super::list::{Addresses, Tokens, Values, Vias};
use super::method::Method;
use super::name_addr::NameAddr;
use super::read;
use super::uri::Uri;
use super::via::Via;

/// A message and where its parts are.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
    index: &'a Index,
}

impl<'a> View<'a> {
    /// Reads a message. Leading CRLFs and (with a Content-Length) trailing bytes are no part of it.
    ///
    /// # Errors
    /// Only for what cannot be answered at all ([`Bad::Empty`], [`Bad::NotSip`]). Any other fault
    /// is in [`Self::flaw`], with the message read as far as it can be.
    pub fn read(bytes: &'a [u8], index: &'a mut Index, limits: &Limits) -> Result<Self, Bad> {
        read::read(bytes, index, limits)?;
        Ok(Self { bytes, index })
    }

    /// The view of a message that was read before and kept together with its index.
    pub const fn kept(bytes: &'a [u8], index: &'a Index) -> Self {
        Self { bytes, index }
    }

    /// The first fault of the message's form.
    #[inline]
    pub const fn flaw(&self) -> Option<Bad> {
        self.index.flaw
    }

    /// Whether it is a request; a response otherwise.
    #[inline]
    pub const fn is_request(&self) -> bool {
        matches!(self.index.start, StartLine::Request { .. })
    }

    /// The method of a request, or of the CSeq of a response (empty `Other` where that is broken).
    pub fn method(&self) -> Method<'a> {
        match self.index.start {
            StartLine::Request { known: Some(known), .. } => known,
            StartLine::Request { method, .. } => Method::Other(self.text(method)),
            StartLine::Response { .. } => self.cseq().map_or(Method::Other(b""), |(_, method)| method),
        }
    }

    /// The Request-URI; empty for a response.
    pub fn uri(&self) -> &'a [u8] {
        self.text(self.uri_span())
    }

    /// The Request-URI, read.
    pub fn request_uri(&self) -> Result<Uri<'a>, Bad> {
        match &self.index.uri {
            Ok(parts) => Ok(Uri::of(self.uri(), parts)),
            Err(bad) => Err(*bad),
        }
    }

    /// Where the Request-URI is.
    pub const fn uri_span(&self) -> Span {
        match self.index.start {
            StartLine::Request { uri, .. } => uri,
            StartLine::Response { .. } => Span::at(0),
        }
    }

    /// The version as a request line names it.
    pub fn version(&self) -> &'a [u8] {
        match self.index.start {
            StartLine::Request { version, .. } => self.text(version),
            StartLine::Response { .. } => b"",
        }
    }

    /// The status of a response, 100 to 699; 0 for a request or a broken one.
    pub const fn status(&self) -> u16 {
        match self.index.start {
            StartLine::Request { .. } => 0,
            StartLine::Response { status, .. } => status,
        }
    }

    /// The reason phrase of a response.
    pub fn reason(&self) -> &'a [u8] {
        match self.index.start {
            StartLine::Request { .. } => b"",
            StartLine::Response { reason, .. } => self.text(reason),
        }
    }

    /// All rows in order.
    #[inline]
    pub fn rows(&self) -> &'a [Row] {
        &self.index.rows
    }

    /// The rows of one field in order.
    pub fn rows_named(&self, name: Name) -> impl Iterator<Item = &'a Row> + use<'a> {
        let first = self.index.first.get(name as usize).copied().unwrap_or_default();
        self.index
            .rows
            .get(usize::from(first)..)
            .unwrap_or_default()
            .iter()
            .filter(move |row| row.name == name)
            .take(self.count(name))
    }

    #[inline]
    pub(super) fn first_row(&self, name: Name) -> usize {
        self.index.first.get(name as usize).map_or(usize::MAX, |row| usize::from(*row))
    }

    /// How many rows a field has.
    #[inline]
    pub fn count(&self, name: Name) -> usize {
        self.index.count.get(name as usize).map_or(0, |count| usize::from(*count))
    }

    /// The first row of a field.
    #[inline]
    pub fn first(&self, name: Name) -> Option<&'a Row> {
        self.index.rows.get(usize::from(*self.index.first.get(name as usize)?))
    }

    /// The first value of a field as it is written.
    #[inline]
    pub fn value(&self, name: Name) -> Option<&'a [u8]> {
        self.first(name).map(|row| self.text(row.value))
    }

    /// The rows of a field that has no [`Name`], found by its long form (any case).
    pub fn rows_labelled(&self, label: &'static [u8]) -> impl Iterator<Item = &'a Row> + use<'a> {
        let view = *self;
        self.index.rows.iter().filter(move |row| view.text(row.label).eq_ignore_ascii_case(label))
    }

    /// The bytes of a span.
    #[inline]
    pub fn text(&self, span: Span) -> &'a [u8] {
        span.text(self.bytes)
    }

    /// The whole buffer that was read: spans count from its start.
    #[inline]
    pub const fn buffer(&self) -> &'a [u8] {
        self.bytes
    }

    /// The message: from the start-line to the end of the body.
    pub fn message(&self) -> &'a [u8] {
        self.text(self.span())
    }

    /// Where the message is in the buffer.
    pub const fn span(&self) -> Span {
        Span { start: self.index.begin, end: self.index.body.end }
    }

    /// The body.
    pub fn body(&self) -> &'a [u8] {
        self.text(self.index.body)
    }

    /// Where the body is.
    pub const fn body_span(&self) -> Span {
        self.index.body
    }

    /// The offset of the empty line: where a last row is inserted.
    pub const fn headers_end(&self) -> u32 {
        self.index.headers_end
    }

    /// The values of a comma list over all rows of a field. An empty value is an error.
    pub fn values(&self, name: Name) -> Values<'a> {
        Values::new(*self, name)
    }

    /// The words of a comma list of tokens (Supported, Require, …); empty ones are left out.
    pub fn tokens(&self, name: Name) -> Tokens<'a> {
        Tokens(self.values(name))
    }

    /// Via values, topmost first.
    pub fn vias(&self) -> Vias<'a> {
        Vias { buffer: self.bytes, left: self.index.vias.iter() }
    }

    /// Route values, topmost first.
    pub fn routes(&self) -> Addresses<'a> {
        self.addresses(Name::Route)
    }

    /// Record-Route values, topmost first.
    pub fn record_routes(&self) -> Addresses<'a> {
        self.addresses(Name::RecordRoute)
    }

    /// Contact values; one of them may be `*` ([`NameAddr::is_star`]).
    pub fn contacts(&self) -> Addresses<'a> {
        self.addresses(Name::Contact)
    }

    /// Path values, topmost first.
    pub fn paths(&self) -> Addresses<'a> {
        self.addresses(Name::Path)
    }

    /// The topmost Via value.
    pub fn top_via(&self) -> Result<Via<'a>, Bad> {
        self.vias().next().ok_or(Bad::Missing(Name::Via))?
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr<'a>, Bad> {
        self.single(Name::From)
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr<'a>, Bad> {
        self.single(Name::To)
    }

    /// Refer-To.
    pub fn refer_to(&self) -> Result<NameAddr<'a>, Bad> {
        self.single(Name::ReferTo)
    }

    /// The one address of a field that is no list.
    fn single(&self, name: Name) -> Result<NameAddr<'a>, Bad> {
        let first = self.addresses(name).next().ok_or(Bad::Missing(name))?;
        first.map_err(|_| Bad::Header(name))
    }

    /// The addresses of a field.
    #[inline]
    pub(super) fn addresses(&self, name: Name) -> Addresses<'a> {
        let left = if self.count(name) == 0 { [].iter() } else { self.index.addresses.iter() };
        Addresses { buffer: self.bytes, name, left }
    }

    /// Call-ID; empty where it is missing.
    pub fn call_id(&self) -> &'a [u8] {
        self.value(Name::CallId).unwrap_or_default()
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<(u32, Method<'a>), Bad> {
        self.index.cseq.map(|cseq| cseq.parts(self.bytes))
    }

    /// Max-Forwards. A number above 255 is read as 71, so that one less is what an absent one
    /// becomes (RFC 4475 §3.1.2.4).
    pub fn max_forwards(&self) -> Option<Result<u32, Bad>> {
        let value = self.value(Name::MaxForwards)?;
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Some(Err(Bad::Header(Name::MaxForwards)));
        }
        Some(Ok(number::<u8>(value).map_or(71, u32::from)))
    }

    /// Expires in seconds; more than 2³²−1 is 2³²−1. `None` where it is absent or no number, and
    /// then the default applies (RFC 3261 §20.19).
    pub fn expires(&self) -> Option<u32> {
        delta_seconds(self.value(Name::Expires)?)
    }

    /// Content-Length.
    pub fn content_length(&self) -> Option<Result<usize, Bad>> {
        let value = self.value(Name::ContentLength)?;
        Some(number(value).ok_or(Bad::ContentLength))
    }
}

/// A number of seconds, capped at 2³²−1; `None` for no number.
pub fn delta_seconds(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(number(text).unwrap_or(u32::MAX))
}
