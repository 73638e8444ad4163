//! Comma lists over one or more rows (RFC 3261 §7.3.1): which values, and how one is taken out.

use super::bad::Bad;
use super::chars::{skip_lws, trim_end};
use super::index::{Row, Value};
use super::name::Name;
use super::name_addr::{self, NameAddr};
use super::seek;
use super::span::Span;
use super::via::{self, Via};
use super::view::View;

/// Where one value of a list is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Item {
    /// The value without surrounding white space.
    pub span: Span,
    /// The whole row it is in, with its line end.
    pub line: Span,
    /// What goes with it when it is removed and others of its row stay: the comma on one side.
    pub cut: Span,
    /// Whether it is the only value of its row; then the row goes.
    pub alone: bool,
}

impl Item {
    /// Where there is none.
    pub(super) const NONE: Self = Self { span: Span::at(0), line: Span::at(0), cut: Span::at(0), alone: false };

    /// The value of a row that is no list.
    pub(super) const fn whole(row: &Row) -> Self {
        Self { span: row.value, line: row.line, cut: row.value, alone: true }
    }
}

/// The values of one row.
#[derive(Clone, Debug)]
pub(super) struct Items<'a> {
    /// The buffer up to the end of the row's value: offsets count from the buffer's start.
    text: &'a [u8],
    line: Span,
    /// The next value's first byte, and the end of the one before.
    at: u32,
    before: Option<u32>,
    over: bool,
}

impl<'a> Items<'a> {
    pub(super) fn of(buffer: &'a [u8], row: &Row) -> Self {
        let text = buffer.get(..row.value.end as usize).unwrap_or_default();
        Self { text, line: row.line, at: row.value.start, before: None, over: false }
    }
}

impl Iterator for Items<'_> {
    type Item = Result<Item, Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let (text, start) = (self.text, self.at as usize);
        let comma = match value_end(text, start) {
            Ok(end) => end,
            Err(bad) => {
                self.over = true;
                return Some(Err(bad));
            }
        };
        let end = trim_end(text, start, comma);
        let more = comma < text.len();
        let following = if more { skip_lws(text, comma + 1) } else { comma };
        let cut = match (more, self.before) {
            (true, _) => Span::new(start, following),
            (false, Some(before)) => Span { start: before, end: end as u32 },
            (false, None) => Span::new(start, end),
        };
        let alone = !more && self.before.is_none();
        self.before = Some(end as u32);
        self.at = following as u32;
        self.over = !more;
        if end == start {
            return Some(Err(Bad::NoValue));
        }
        Some(Ok(Item { span: Span::new(start, end), line: self.line, cut, alone }))
    }
}

/// The values of a field.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    view: View<'a>,
    name: Name,
    /// The next row to look at, and how many of the field are left.
    next_row: usize,
    rows_left: usize,
    row: Option<Items<'a>>,
}

impl<'a> Values<'a> {
    pub(super) fn new(view: View<'a>, name: Name) -> Self {
        Self { view, name, next_row: view.first_row(name), rows_left: view.count(name), row: None }
    }

    fn start_row(&mut self) -> Option<&mut Items<'a>> {
        self.rows_left = self.rows_left.checked_sub(1)?;
        let rows = self.view.rows();
        let found = rows.get(self.next_row..)?.iter().position(|row| row.name == self.name)?;
        self.next_row += found + 1;
        Some(self.row.insert(Items::of(self.view.buffer(), rows.get(self.next_row - 1)?)))
    }
}

impl Iterator for Values<'_> {
    type Item = Result<Item, Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.row.as_mut().and_then(Iterator::next) {
            Some(value) => Some(value),
            None => self.start_row()?.next(),
        }
    }
}

/// The comma that ends the value at `from`, or the end of the text. Commas in quoted strings and
/// between angle brackets do not count.
fn value_end(text: &[u8], from: usize) -> Result<usize, Bad> {
    let mut at = from;
    loop {
        at = seek::list_mark(text, at);
        at = match text.get(at) {
            Some(b'"') => seek::quoted_end(text, at)?,
            Some(b'<') => match seek::byte(text, at, b'>') {
                close if close < text.len() => close + 1,
                _ => return Err(Bad::Address),
            },
            _ => return Ok(at),
        };
    }
}

/// Via values.
#[derive(Clone, Debug)]
pub struct Vias<'a> {
    pub(super) buffer: &'a [u8],
    pub(super) left: std::slice::Iter<'a, Value<via::Parts>>,
}

impl<'a> Iterator for Vias<'a> {
    type Item = Result<Via<'a>, Bad>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left.next().map(|value| value.via(self.buffer))
    }
}

/// The addresses of Route, Record-Route, Path or Contact.
#[derive(Clone, Debug)]
pub struct Addresses<'a> {
    pub(super) buffer: &'a [u8],
    pub(super) name: Name,
    pub(super) left: std::slice::Iter<'a, Value<name_addr::Parts>>,
}

impl<'a> Iterator for Addresses<'a> {
    type Item = Result<NameAddr<'a>, Bad>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let value = self.left.find(|value| value.name == self.name)?;
        Some(value.address(self.buffer))
    }
}

/// The words of a list of tokens.
#[derive(Clone, Debug)]
pub struct Tokens<'a>(pub(super) Values<'a>);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next()? {
                Ok(item) => return Some(self.0.view.text(item.span)),
                Err(_) => continue,
            }
        }
    }
}
