//! Parameters of a header value: `;name`, `;name=token`, `;name="quoted"` (RFC 3261 §25.1).

use super::bad::Bad;
use super::chars::{is_token, is_value_end, skip_lws, skip_quoted};
use super::span::{Short, Span};

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
        unquoted(self.value.unwrap_or_default())
    }
}

/// Where a parameter is in its value, kept without its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    whole: Short,
    value: Short,
}

impl Found {
    const ABSENT: Self = Self { whole: Short::NONE, value: Short::NONE };

    fn of(param: &Param<'_>, base: u32) -> Self {
        let value = if param.value.is_some() { Short::of(param.value_span, base) } else { Short::NONE };
        Self { whole: Short::of(param.span, base), value }
    }

    /// From the semicolon to its end in the value that starts at `base`; `None` if it is not there.
    #[inline]
    pub(super) fn span(self, base: u32) -> Option<Span> {
        self.whole.span(base)
    }

    /// Where its value is; `None` also without `=`.
    #[inline]
    pub(super) fn value(self, base: u32) -> Option<Span> {
        self.value.span(base)
    }
}

/// All parameters of a value, read once: the first of each name that is asked for often, and whether they are sound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks<const N: usize> {
    list: [Found; N],
    count: u16,
    fault: Option<Bad>,
}

impl<const N: usize> Marks<N> {
    /// Reads those of the value that starts at `base` and is shorter than [`Short::MOST`]. The names are in small
    /// letters.
    pub(super) fn read(params: Params<'_>, base: u32, names: &[&[u8]; N]) -> Self {
        let mut all = Self { list: [Found::ABSENT; N], count: 0, fault: None };
        for param in params {
            let param = match param {
                Ok(param) => param,
                Err(bad) => {
                    all.fault = Some(bad);
                    break;
                }
            };
            all.count += 1;
            let Some(number) = names.iter().position(|name| is_word(param.name, name)) else { continue };
            if let Some(place) = all.list.get_mut(number).filter(|place| **place == Found::ABSENT) {
                *place = Found::of(&param, base);
            }
        }
        all
    }

    /// The first one of a name.
    #[inline]
    pub(super) fn get(&self, number: usize) -> Found {
        self.list.get(number).copied().unwrap_or(Found::ABSENT)
    }

    /// Whether all can be read, and there are not more than these.
    pub(super) fn sound(&self, most: usize) -> Result<(), Bad> {
        if self.count as usize > most {
            return Err(Bad::TooManyParams);
        }
        self.fault.map_or(Ok(()), Err)
    }
}

/// Whether a token is this word of small letters, in any case.
#[inline]
fn is_word(token: &[u8], word: &[u8]) -> bool {
    // No character of a token but a capital letter becomes one of a word's by this bit.
    token.len() == word.len() && token.iter().zip(word).all(|(one, other)| one | 0x20 == *other)
}

/// The text of a quoted string; escapes inside stay as they are.
pub(super) fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
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
