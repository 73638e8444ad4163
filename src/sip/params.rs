//! Parameters of a header value: `;name`, `;name=token`, `;name="quoted"` (RFC 3261 §25.1).

use super::bad::Bad;
use super::chars::{is_token, is_value_end, skip_lws, skip_quoted};
use super::span::Span;

/// One parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Param<'a> {
    /// Its name as written.
    pub name: &'a [u8],
    /// Its value, a quoted string with its quotes; `None` without `=`.
    pub value: Option<&'a [u8]>,
    /// From the semicolon to its end.
    pub span: Span,
    /// Where the value is; the end of the name where there is none.
    pub value_span: Span,
}

impl<'a> Param<'a> {
    /// Whether it has this name, in any case.
    pub const fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value without its quotes; escapes inside stay as they are.
    pub fn unquoted(&self) -> &'a [u8] {
        let value = self.value.unwrap_or_default();
        value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
    }
}

/// The parameters at the end of a value.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    /// The buffer up to the end of the value.
    text: &'a [u8],
    at: usize,
}

impl<'a> Params<'a> {
    /// From `at` (a semicolon, white space or the end) to the end of `text`.
    pub(super) const fn new(text: &'a [u8], at: usize) -> Self {
        Self { text, at }
    }

    /// Where they are: from before the first semicolon to the end of the value.
    pub const fn span(&self) -> Span {
        Span::new(self.at, self.text.len())
    }

    /// The first of this name, in any case.
    pub fn find(self, name: &[u8]) -> Option<Param<'a>> {
        self.filter_map(Result::ok).find(|param| param.is(name))
    }

    fn read(&mut self) -> Result<Param<'a>, Bad> {
        let text = self.text;
        let semicolon = self.at;
        if text.get(semicolon) != Some(&b';') {
            return Err(Bad::Param);
        }
        let start = skip_lws(text, semicolon + 1);
        let rest = text.get(start..).unwrap_or_default();
        let end = start + rest.iter().position(|b| !is_token(*b)).unwrap_or(rest.len());
        if end == start {
            return Err(Bad::Param);
        }
        let name = text.get(start..end).unwrap_or_default();
        let equals = skip_lws(text, end);
        if text.get(equals) != Some(&b'=') {
            self.at = equals;
            return Ok(Param { name, value: None, span: Span::new(semicolon, end), value_span: Span::new(end, end) });
        }
        let from = skip_lws(text, equals + 1);
        let to = if text.get(from) == Some(&b'"') { skip_quoted(text, from)? } else { plain_end(text, from)? };
        self.at = skip_lws(text, to);
        Ok(Param { name, value: text.get(from..to), span: Span::new(semicolon, to), value_span: Span::new(from, to) })
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = Result<Param<'a>, Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        self.at = skip_lws(self.text, self.at);
        if self.at >= self.text.len() {
            return None;
        }
        let param = self.read();
        if param.is_err() {
            self.at = self.text.len();
        }
        Some(param)
    }
}

/// The end of an unquoted value. More than a token or host is let through: what others put there
/// is theirs, as long as it cannot be taken for something else.
fn plain_end(text: &[u8], from: usize) -> Result<usize, Bad> {
    let rest = text.get(from..).unwrap_or_default();
    match rest.iter().position(|b| is_value_end(*b)) {
        None => Ok(text.len()),
        Some(place) => match rest.get(place) {
            Some(b';' | b' ' | b'\t' | b'\r' | b'\n') => Ok(from + place),
            _ => Err(Bad::Param),
        },
    }
}
