//! Where the parts of one message are. Reused from message to message: it allocates only to grow.

use super::bad::Bad;
use super::memo::Memo;
use super::name::Name;
use super::span::Span;

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

pub(super) const NO_ROW: u16 = u16::MAX;

/// What [`View::read`](super::view::View::read) found.
#[derive(Clone, Debug)]
pub struct Index {
    pub(super) start: StartLine,
    pub(super) rows: Vec<Row>,
    /// The first row of each name, and how many there are.
    pub(super) first: [u16; Name::COUNT],
    pub(super) count: [u16; Name::COUNT],
    /// The start-line's first byte: after any leading CRLF.
    pub(super) begin: u32,
    /// The empty line.
    pub(super) headers_end: u32,
    pub(super) body: Span,
    /// The first fault that did not keep the message from being read.
    pub(super) flaw: Option<Bad>,
    /// What was read of the values; none before the first message: an index is moved about, and its memory is not small.
    pub(super) memo: Option<Box<Memo>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartLine {
    Request { method: Span, uri: Span, version: Span },
    Response { status: u16, reason: Span },
}

impl Index {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            start: StartLine::Response { status: 0, reason: Span { start: 0, end: 0 } },
            rows: Vec::new(),
            first: [NO_ROW; Name::COUNT],
            count: [0; Name::COUNT],
            begin: 0,
            headers_end: 0,
            body: Span { start: 0, end: 0 },
            flaw: None,
            memo: None,
        }
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.first = [NO_ROW; Name::COUNT];
        self.count = [0; Name::COUNT];
        self.flaw = None;
        self.memo.get_or_insert_with(|| Box::new(Memo::new())).clear();
    }

    /// Keeps the first.
    pub(super) fn note(&mut self, flaw: Bad) {
        self.flaw.get_or_insert(flaw);
    }

    #[inline]
    pub(super) fn push(&mut self, row: Row) {
        let number = self.rows.len() as u16;
        let slot = row.name as usize;
        if let (Some(first), Some(count)) = (self.first.get_mut(slot), self.count.get_mut(slot)) {
            *first = (*first).min(number);
            *count += 1;
        }
        self.rows.push(row);
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}
