//! Parameters of a header value: `;name`, `;name=token`, `;name="quoted"` (RFC 3261 §25.1).

use super::bad::Bad;
use super::chars::{find_value_end, is_token, skip_lws, skip_quoted};
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

    fn of(place: &Place, base: u32) -> Self {
        let value = place.value.map_or(Short::NONE, |from| Short::of(Span::new(from, place.end), base));
        Self { whole: Short::of(Span::new(place.semicolon, place.end), base), value }
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
        let Params { text, mut at } = params;
        loop {
            at = skip_lws(text, at);
            if at >= text.len() {
                return all;
            }
            let place = match Place::read(text, at) {
                Ok(place) => place,
                Err(bad) => {
                    all.fault = Some(bad);
                    return all;
                }
            };
            at = place.next;
            all.count += 1;
            let name = text.get(place.name..place.name_end).unwrap_or_default();
            let Some(number) = names.iter().position(|it| is_word(name, it)) else { continue };
            if let Some(found) = all.list.get_mut(number).filter(|found| **found == Found::ABSENT) {
                *found = Found::of(&place, base);
            }
        }
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
}

/// Where one parameter is.
struct Place {
    semicolon: usize,
    name: usize,
    name_end: usize,
    /// The first byte of the value, where there is one.
    value: Option<usize>,
    end: usize,
    /// Where the next one may begin.
    next: usize,
}

impl Place {
    /// The parameter whose semicolon is at `semicolon`.
    #[inline(always)]
    fn read(text: &[u8], semicolon: usize) -> Result<Self, Bad> {
        if text.get(semicolon) != Some(&b';') {
            return Err(Bad::Param);
        }
        let name = skip_lws(text, semicolon + 1);
        let rest = text.get(name..).unwrap_or_default();
        let name_end = name + rest.iter().position(|b| !is_token(*b)).unwrap_or(rest.len());
        if name_end == name {
            return Err(Bad::Param);
        }
        let equals = if text.get(name_end) == Some(&b'=') { name_end } else { skip_lws(text, name_end) };
        if text.get(equals) != Some(&b'=') {
            return Ok(Self { semicolon, name, name_end, value: None, end: name_end, next: equals });
        }
        let from = skip_lws(text, equals + 1);
        let end = if text.get(from) == Some(&b'"') { skip_quoted(text, from)? } else { plain_end(text, from)? };
        Ok(Self { semicolon, name, name_end, value: Some(from), end, next: end })
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = Result<Param<'a>, Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        self.at = skip_lws(self.text, self.at);
        if self.at >= self.text.len() {
            return None;
        }
        let place = match Place::read(self.text, self.at) {
            Ok(place) => place,
            Err(bad) => {
                self.at = self.text.len();
                return Some(Err(bad));
            }
        };
        self.at = place.next;
        let value_span = Span::new(place.value.unwrap_or(place.end), place.end);
        Some(Ok(Param {
            name: self.text.get(place.name..place.name_end).unwrap_or_default(),
            value: place.value.map(|_| value_span.text(self.text)),
            span: Span::new(place.semicolon, place.end),
            value_span,
        }))
    }
}

/// The end of an unquoted value. More than a token or host is let through: what others put there
/// is theirs, as long as it cannot be taken for something else.
fn plain_end(text: &[u8], from: usize) -> Result<usize, Bad> {
    let rest = text.get(from..).unwrap_or_default();
    match find_value_end(rest) {
        None => Ok(text.len()),
        Some(place) => match rest.get(place) {
            Some(b';' | b' ' | b'\t' | b'\r' | b'\n') => Ok(from + place),
            _ => Err(Bad::Param),
        },
    }
}
