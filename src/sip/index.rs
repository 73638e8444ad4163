//! Where the parts of one message are. Reused from message to message: it allocates only to grow.

use super::bad::Bad;
use super::cseq::CSeq;
use super::list::Item;
use super::method::Method;
use super::name::Name;
use super::name_addr::{self, NameAddr};
use super::span::Span;
use super::uri;
use super::via::{self, Via};

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

/// One value of a Via or of a field of addresses, read once: many ask for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<P> {
    /// Of which field.
    pub(super) name: Name,
    item: Item,
    parts: Result<P, Bad>,
}

impl<P> Value<P> {
    /// Reads the value at `item`.
    #[inline]
    pub(super) fn read(name: Name, item: Result<Item, Bad>, read: impl FnOnce(Span) -> Result<P, Bad>) -> Self {
        match item {
            Ok(item) => Self { name, item, parts: read(item.span) },
            Err(bad) => Self { name, item: Item::NONE, parts: Err(bad) },
        }
    }
}

impl Value<via::Parts> {
    #[inline]
    pub(super) fn via<'a>(&'a self, buffer: &'a [u8]) -> Result<Via<'a>, Bad> {
        match &self.parts {
            Ok(parts) => Ok(Via::of(buffer, &self.item, parts)),
            Err(bad) => Err(*bad),
        }
    }
}

impl Value<name_addr::Parts> {
    #[inline]
    pub(super) fn address<'a>(&'a self, buffer: &'a [u8]) -> Result<NameAddr<'a>, Bad> {
        match &self.parts {
            Ok(parts) => Ok(NameAddr::of(buffer, &self.item, parts)),
            Err(bad) => Err(*bad),
        }
    }
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
    /// The values of Via, and those of all fields of addresses in the order of their rows.
    pub(super) vias: Vec<Value<via::Parts>>,
    pub(super) addresses: Vec<Value<name_addr::Parts>>,
    /// The Request-URI's parts.
    pub(super) uri: Result<uri::Parts, Bad>,
    pub(super) cseq: Result<CSeq, Bad>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartLine {
    Request { known: Option<Method<'static>>, method: Span, uri: Span, version: Span },
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
            vias: Vec::new(),
            addresses: Vec::new(),
            uri: Err(Bad::Uri),
            cseq: Err(Bad::Missing(Name::CSeq)),
        }
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.first = [NO_ROW; Name::COUNT];
        self.count = [0; Name::COUNT];
        self.flaw = None;
        self.vias.clear();
        self.addresses.clear();
        self.uri = Err(Bad::Uri);
        self.cseq = Err(Bad::Missing(Name::CSeq));
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
