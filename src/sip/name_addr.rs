//! An address with its display name and parameters: From, To, Contact, Route, Record-Route, Path.

use super::bad::Bad;
use super::chars::{is_control, is_lws, is_uri_forbidden, skip_lws, trim_end};
use super::list::Item;
use super::params::{Marks, Param, Params, unquoted};
use super::seek::{self, Word};
use super::span::{Short, Span};
use super::uri::{self, Uri};

/// `"Display" <uri>;params`, or `uri;params`, whose parameters are the field's (RFC 3261 §20).
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    buffer: &'a [u8],
    /// Where the value is.
    pub item: &'a Item,
    /// The URI without its brackets.
    pub uri_span: Span,
    /// Whether the URI is in angle brackets.
    pub bracketed: bool,
    parts: &'a Parts,
}

/// The parameters of an address that are asked for often, and their places.
const NAMES: [Word; 4] = [Word::new(b"tag"), Word::new(b"+sip.instance"), Word::new(b"expires"), Word::new(b"reg-id")];
const TAG: usize = 0;
const INSTANCE: usize = 1;
const EXPIRES: usize = 2;
const REG_ID: usize = 3;

/// Where the parts of an address are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    display: Short,
    uri_span: Short,
    bracketed: bool,
    params: u16,
    /// None where it is read when it is asked for.
    uri: Option<Result<uri::Parts, Bad>>,
    marks: Marks<4>,
}

impl Parts {
    /// Reads the value at `span` of `buffer`, and its URI where that is `wanted`. What is wrong with the URI alone is
    /// for who asks for it.
    pub(super) fn read(buffer: &[u8], span: Span, wanted: bool) -> Result<Self, Bad> {
        if span.len() >= Short::MOST {
            return Err(Bad::Address);
        }
        let text = buffer.get(..span.end as usize).unwrap_or_default();
        let start = span.start as usize;
        let (display, open) = match text.get(start) {
            Some(b'<') => (Span::new(start, start), start),
            Some(b'"') => {
                let end = seek::quoted_end(text, start)?;
                (Span::new(start, end), skip_lws(text, end))
            }
            _ => match plain_display(text, start)? {
                Some(open) => (Span::new(start, trim_end(text, start, open)), open),
                None => return Self::plain(text, start, wanted),
            },
        };
        if text.get(open) != Some(&b'<') {
            return Err(Bad::Address);
        }
        // The bracket is the first byte that no URI may have.
        let close = seek::uri_forbidden(text, open + 1);
        if close == open + 1 || text.get(close) != Some(&b'>') {
            return Err(Bad::Address);
        }
        let uri_span = Span::new(open + 1, close);
        let uri = wanted.then(|| uri::Parts::read(text.get(..close).unwrap_or_default(), open + 1));
        let marks = Marks::read(Params::new(text, close + 1), span.start, &NAMES);
        let (display, uri_span) = (Short::of(display, span.start), Short::of(uri_span, span.start));
        Ok(Self { display, uri_span, bracketed: true, params: (close + 1 - start) as u16, uri, marks })
    }

    /// The addr-spec form: a semicolon ends the URI, and a comma or question mark may not be in it
    /// (RFC 3261 §20.10).
    fn plain(text: &[u8], start: usize, wanted: bool) -> Result<Self, Bad> {
        let rest = text.get(start..).unwrap_or_default();
        let end = start + rest.iter().position(|b| *b == b';' || is_lws(*b)).unwrap_or(rest.len());
        let uri_span = Span::new(start, end);
        let uri = uri_span.text(text);
        if uri.is_empty() || uri.iter().any(|b| is_uri_forbidden(*b) || matches!(b, b'?' | b',')) {
            return Err(Bad::Address);
        }
        let display = Span::new(start, start);
        let uri = wanted.then(|| uri::Parts::read(text.get(..end).unwrap_or_default(), start));
        let base = start as u32;
        let marks = Marks::read(Params::new(text, end), base, &NAMES);
        let (display, uri_span) = (Short::of(display, base), Short::of(uri_span, base));
        Ok(Self { display, uri_span, bracketed: false, params: (end - start) as u16, uri, marks })
    }
}

impl<'a> NameAddr<'a> {
    /// The value at `item` of `buffer`, of which these are the parts.
    #[inline]
    pub(super) fn of(buffer: &'a [u8], item: &'a Item, parts: &'a Parts) -> Self {
        let uri_span = parts.uri_span.span(item.span.start).unwrap_or_default();
        Self { buffer, item, uri_span, bracketed: parts.bracketed, parts }
    }

    /// The display name as written, with its quotes; empty where there is none.
    pub fn display(&self) -> &'a [u8] {
        self.parts.display.span(self.item.span.start).unwrap_or_default().text(self.buffer)
    }

    /// The URI as written.
    pub fn uri_text(&self) -> &'a [u8] {
        self.uri_span.text(self.buffer)
    }

    /// The URI.
    pub fn uri(&self) -> Result<Uri<'a>, Bad> {
        let text = self.uri_text();
        match &self.parts.uri {
            Some(Ok(parts)) => Ok(Uri::of(text, parts)),
            Some(Err(bad)) => Err(*bad),
            None => uri::Parts::read(text, 0).map(|parts| Uri::of(text, &parts)),
        }
    }

    /// The user part of the URI.
    pub fn user(&self) -> Result<Option<&'a [u8]>, Bad> {
        match &self.parts.uri {
            Some(Ok(parts)) => Ok(parts.user(self.uri_text())),
            _ => self.uri().map(|uri| uri.user),
        }
    }

    /// The whole value as written.
    pub fn text(&self) -> &'a [u8] {
        self.item.span.text(self.buffer)
    }

    /// Whether it is the `*` of a REGISTER that removes all bindings.
    pub fn is_star(&self) -> bool {
        !self.bracketed && self.uri_text() == b"*"
    }

    /// The parameters of the header field (not those of the URI).
    pub fn params(&self) -> Params<'a> {
        let at = self.item.span.start as usize + usize::from(self.parts.params);
        Params::new(self.buffer.get(..self.item.span.end as usize).unwrap_or_default(), at)
    }

    /// A parameter of the header field.
    pub fn param(&self, name: &[u8]) -> Option<Param<'a>> {
        self.params().find(name)
    }

    /// Whether its parameters can be read, and are not more than these.
    pub(super) fn sound(&self, most: usize) -> Result<(), Bad> {
        self.parts.marks.sound(most)
    }

    /// The tag.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.value(TAG)
    }

    /// The instance id of a Contact without its quotes (RFC 5626 §4.1).
    pub fn instance_id(&self) -> Option<&'a [u8]> {
        self.value(INSTANCE).map(unquoted)
    }

    /// `expires` of a Contact.
    pub fn expires(&self) -> Option<&'a [u8]> {
        self.value(EXPIRES)
    }

    /// `reg-id` of a Contact.
    pub fn reg_id(&self) -> Option<&'a [u8]> {
        self.value(REG_ID)
    }

    fn value(&self, number: usize) -> Option<&'a [u8]> {
        self.parts.marks.get(number).value(self.item.span.start).map(|span| span.text(self.buffer))
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
