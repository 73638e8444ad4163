//! Comma lists over one or more rows (RFC 3261 §7.3.1): which values, and how one is taken out.

use super::bad::Bad;
use super::chars::{skip_lws, skip_quoted, trim_end};
use super::index::Row;
use super::name::Name;
use super::name_addr::NameAddr;
use super::span::Span;
use super::via::Via;
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
    /// The value of a row that is no list.
    pub const fn whole(row: &Row) -> Self {
        Self { span: row.value, line: row.line, cut: row.value, alone: true }
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
    row: Option<Row>,
    /// The next value's first byte in the row, and the end of the one before.
    at: u32,
    before: Option<u32>,
}

impl<'a> Values<'a> {
    pub(super) const fn new(view: View<'a>, name: Name) -> Self {
        Self { view, name, next_row: 0, rows_left: usize::MAX, row: None, at: 0, before: None }
    }

    pub(super) const fn view(&self) -> View<'a> {
        self.view
    }

    fn start_row(&mut self) -> Option<Row> {
        if self.rows_left == usize::MAX {
            self.rows_left = self.view.count(self.name);
            self.next_row = self.view.first_row(self.name);
        }
        self.rows_left = self.rows_left.checked_sub(1)?;
        let rows = self.view.rows();
        let found = rows.get(self.next_row..)?.iter().position(|row| row.name == self.name)?;
        self.next_row += found + 1;
        let row = *rows.get(self.next_row - 1)?;
        self.row = Some(row);
        self.at = row.value.start;
        self.before = None;
        Some(row)
    }
}

impl Iterator for Values<'_> {
    type Item = Result<Item, Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match self.row {
            Some(row) => row,
            None => self.start_row()?,
        };
        // Offsets count from the buffer's start; the row's value ends the text.
        let text = self.view.text(Span { start: 0, end: row.value.end });
        let start = self.at as usize;
        let find = || value_end(text, start);
        let comma = match self.view.memo().map_or_else(find, |memo| memo.end(start, find)) {
            Ok(end) => end,
            Err(bad) => {
                self.row = None;
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
        if !more {
            self.row = None;
        }
        if end == start {
            return Some(Err(Bad::NoValue));
        }
        Some(Ok(Item { span: Span::new(start, end), line: row.line, cut, alone }))
    }
}

/// The comma that ends the value at `from`, or the end of the text. Commas in quoted strings and
/// between angle brackets do not count.
fn value_end(text: &[u8], from: usize) -> Result<usize, Bad> {
    let mut at = from;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let Some(found) = memchr::memchr3(b',', b'"', b'<', rest) else { return Ok(text.len()) };
        at = match rest.get(found) {
            Some(b'"') => skip_quoted(text, at + found)?,
            Some(b'<') => {
                let uri = rest.get(found..).unwrap_or_default();
                at + found + memchr::memchr(b'>', uri).ok_or(Bad::Address)? + 1
            }
            _ => return Ok(at + found),
        };
    }
}

/// Via values.
#[derive(Clone, Debug)]
pub struct Vias<'a>(pub(super) Values<'a>);

impl<'a> Iterator for Vias<'a> {
    type Item = Result<Via<'a>, Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.0.next()?;
        Some(item.and_then(|item| self.0.view().via(item)))
    }
}

/// The addresses of Route, Record-Route, Path or Contact.
#[derive(Clone, Debug)]
pub struct Addresses<'a>(pub(super) Values<'a>);

impl<'a> Iterator for Addresses<'a> {
    type Item = Result<NameAddr<'a>, Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.0.next()?;
        Some(item.and_then(|item| self.0.view().address(item)))
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
                Ok(item) => return Some(self.0.view().text(item.span)),
                Err(_) => continue,
            }
        }
    }
}
