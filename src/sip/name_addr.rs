//! An address with its display name and parameters: From, To, Contact, Route, Record-Route, Path.

use super::bad::Bad;
use super::chars::{is_control, is_lws, is_uri_forbidden, skip_lws, skip_quoted, trim_end};
use super::list::Item;
use super::params::{Param, Params};
use super::span::Span;
use super::uri::Uri;

/// `"Display" <uri>;params`, or `uri;params`, whose parameters are the field's (RFC 3261 §20).
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    buffer: &'a [u8],
    /// Where the value is.
    pub item: Item,
    /// The display name as written, with its quotes; empty where there is none.
    pub display: Span,
    /// The URI without its brackets.
    pub uri_span: Span,
    /// Whether the URI is in angle brackets.
    pub bracketed: bool,
    /// The parameters of the header field (not those of the URI).
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads the value at `item` of `buffer`. The URI is only looked through for what none may
    /// have; [`Self::uri`] reads it.
    pub fn parse(buffer: &'a [u8], item: Item) -> Result<Self, Bad> {
        let text = buffer.get(..item.span.end as usize).unwrap_or_default();
        let start = item.span.start as usize;
        let (display, open) = match text.get(start) {
            Some(b'<') => (Span::new(start, start), start),
            Some(b'"') => {
                let end = skip_quoted(text, start)?;
                (Span::new(start, end), skip_lws(text, end))
            }
            _ => match plain_display(text, start)? {
                Some(open) => (Span::new(start, trim_end(text, start, open)), open),
                None => return Self::plain(buffer, text, item),
            },
        };
        if text.get(open) != Some(&b'<') {
            return Err(Bad::Address);
        }
        let rest = text.get(open..).unwrap_or_default();
        let close = open + memchr::memchr(b'>', rest).ok_or(Bad::Address)?;
        let uri_span = Span::new(open + 1, close);
        check_uri(uri_span.text(text))?;
        Ok(Self { buffer, item, display, uri_span, bracketed: true, params: Params::new(text, close + 1) })
    }

    /// The addr-spec form: a semicolon ends the URI, and a comma or question mark may not be in it
    /// (RFC 3261 §20.10).
    fn plain(buffer: &'a [u8], text: &'a [u8], item: Item) -> Result<Self, Bad> {
        let start = item.span.start as usize;
        let rest = text.get(start..).unwrap_or_default();
        let end = start + rest.iter().position(|b| *b == b';' || is_lws(*b)).unwrap_or(rest.len());
        let uri_span = Span::new(start, end);
        let uri = uri_span.text(text);
        check_uri(uri)?;
        if memchr::memchr2(b'?', b',', uri).is_some() {
            return Err(Bad::Address);
        }
        let display = Span::new(start, start);
        Ok(Self { buffer, item, display, uri_span, bracketed: false, params: Params::new(text, end) })
    }

    /// The URI as written.
    pub fn uri_text(&self) -> &'a [u8] {
        self.uri_span.text(self.buffer)
    }

    /// The URI.
    pub fn uri(&self) -> Result<Uri<'a>, Bad> {
        Uri::parse_clean(self.uri_text())
    }

    /// The whole value as written.
    pub fn text(&self) -> &'a [u8] {
        self.item.span.text(self.buffer)
    }

    /// Whether it is the `*` of a REGISTER that removes all bindings.
    pub fn is_star(&self) -> bool {
        !self.bracketed && self.uri_text() == b"*"
    }

    /// A parameter of the header field.
    pub fn param(&self, name: &[u8]) -> Option<Param<'a>> {
        self.params.find(name)
    }

    /// The tag.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.param(b"tag")?.value
    }
}

/// For a value that starts with neither bracket nor quote: where `<` opens after an unquoted display
/// name, or `None` for an addr-spec.
fn plain_display(text: &[u8], start: usize) -> Result<Option<usize>, Bad> {
    let rest = text.get(start..).unwrap_or_default();
    let Some(open) = memchr::memchr(b'<', rest) else { return Ok(None) };
    let display = rest.get(..open).unwrap_or_default();
    if memchr::memchr(b';', display).is_some() {
        // The bracket is in a parameter of an addr-spec.
        return Ok(None);
    }
    // More than tokens is let through, but not what would end the value elsewhere (`baddn`).
    let foul = |b: &u8| matches!(b, b',' | b'"' | b'>') || is_control(*b) && !is_lws(*b);
    if display.iter().any(foul) { Err(Bad::Address) } else { Ok(Some(start + open)) }
}

fn check_uri(uri: &[u8]) -> Result<(), Bad> {
    if uri.is_empty() || uri.iter().any(|b| is_uri_forbidden(*b)) { Err(Bad::Address) } else { Ok(()) }
}
