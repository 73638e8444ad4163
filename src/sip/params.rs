//! Parameters of a header value: `;name`, `;name=token`, `;name="quoted"` (RFC 3261 §25.1).

use super::bad::Bad;
use super::chars::{is_token, skip_lws};
use super::seek::{self, Word};
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
    /// Reads those of the value that starts at `base` and is shorter than [`Short::MOST`]. The names are words of
    /// small letters.
    pub(super) fn read(params: Params<'_>, base: u32, names: &[Word; N]) -> Self {
        let mut all = Self { list: [Found::ABSENT; N], count: 0, fault: None };
        let Params { text, mut at } = params;
        loop {
            at = skip_lws(text, at);
            if at >= text.len() {
                return all;
            }
            let (place, number) = match Place::read_one_of(text, at, names) {
                Ok(read) => read,
                Err(bad) => {
                    all.fault = Some(bad);
                    return all;
                }
            };
            at = place.next;
            all.count += 1;
            let found = number.and_then(|number| all.list.get_mut(number)).filter(|found| **found == Found::ABSENT);
            if let Some(found) = found {
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
    /// As [`Self::read`], and which of these names it has.
    #[inline(always)]
    fn read_one_of(text: &[u8], semicolon: usize, names: &[Word]) -> Result<(Self, Option<usize>), Bad> {
        let name = semicolon + 1;
        let block = seek::block_at(text, name);
        let known = names.iter().zip(0..).find(|(word, _)| word.is_at(block));
        if let Some((word, number)) = known.filter(|_| text.get(semicolon) == Some(&b';')) {
            let name_end = name + word.length;
            // What goes on in another way is read in small steps.
            match text.get(name_end) {
                None | Some(b';') => {
                    let place = Self { semicolon, name, name_end, value: None, end: name_end, next: name_end };
                    return Ok((place, Some(number)));
                }
                Some(b'=') => {
                    let place = Self::with_value(text, semicolon, name, name_end, name_end + 1)?;
                    return Ok((place, Some(number)));
                }
                Some(_) => {}
            }
        }
        let place = Self::read(text, semicolon)?;
        let block = seek::block_at(text, place.name);
        let is_it = |word: &Word| word.length == place.name_end - place.name && word.is_at(block);
        let number = names.iter().position(is_it);
        Ok((place, number))
    }

    /// The parameter whose semicolon is at `semicolon`.
    fn read(text: &[u8], semicolon: usize) -> Result<Self, Bad> {
        if text.get(semicolon) != Some(&b';') {
            return Err(Bad::Param);
        }
        let name = skip_lws(text, semicolon + 1);
        // Nearly all names are of letters, digits, `-` and `.`.
        let mut name_end = seek::host_end(text, name);
        while text.get(name_end).is_some_and(|b| is_token(*b)) {
            name_end = seek::host_end(text, name_end + 1);
        }
        if name_end == name {
            return Err(Bad::Param);
        }
        let equals = if text.get(name_end) == Some(&b'=') { name_end } else { skip_lws(text, name_end) };
        if text.get(equals) != Some(&b'=') {
            return Ok(Self { semicolon, name, name_end, value: None, end: name_end, next: equals });
        }
        Self::with_value(text, semicolon, name, name_end, equals + 1)
    }

    /// A parameter whose value is behind `equals`.
    #[inline(always)]
    fn with_value(text: &[u8], semicolon: usize, name: usize, name_end: usize, behind: usize) -> Result<Self, Bad> {
        let from = skip_lws(text, behind);
        let end = if text.get(from) == Some(&b'"') { seek::quoted_end(text, from)? } else { plain_end(text, from)? };
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
    let end = seek::value_end(text, from);
    match text.get(end) {
        None | Some(b';' | b' ' | b'\t' | b'\r' | b'\n') => Ok(end),
        _ => Err(Bad::Param),
    }
}
