//! What was read of a message's values, kept beside its index: each value is read once, however many ask for it.
//!
//! A few places, found by where a value begins; one that was taken by another value is only read again. Used by
//! `view` and the lists. Not a parser: `via` and `name_addr` read.

use super::bad::Bad;
use super::list::Item;
use super::span::Span;
use super::{name_addr, uri, via};
use std::cell::Cell;

const ENDS: usize = 32;
const VIAS: usize = 8;
const ADDRESSES: usize = 32;

/// The values that were read of one message; a new message makes all of them void.
#[derive(Clone, Debug)]
pub(super) struct Memo {
    /// Which message it is.
    message: u32,
    ends: [Cell<(u32, Span)>; ENDS],
    vias: [Cell<Option<Kept<via::Parts>>>; VIAS],
    addresses: [Cell<Option<Kept<name_addr::Parts>>>; ADDRESSES],
    uri: Cell<Option<Kept<uri::Parts>>>,
}

#[derive(Clone, Copy, Debug)]
struct Kept<T> {
    message: u32,
    span: Span,
    read: Result<T, Bad>,
}

impl Memo {
    pub(super) const fn new() -> Self {
        Self {
            message: 1,
            ends: [const { Cell::new((0, Span::at(0))) }; ENDS],
            vias: [const { Cell::new(None) }; VIAS],
            addresses: [const { Cell::new(None) }; ADDRESSES],
            uri: Cell::new(None),
        }
    }

    /// Another message comes.
    pub(super) fn clear(&mut self) {
        self.message = self.message.wrapping_add(1);
        if self.message == 0 {
            *self = Self::new();
        }
    }

    /// Where the value that begins at `start` ends.
    #[inline]
    pub(super) fn end(&self, start: usize, find: impl FnOnce() -> Result<usize, Bad>) -> Result<usize, Bad> {
        let Some(place) = self.ends.get(start % ENDS) else { return find() };
        let (message, span) = place.get();
        if message == self.message && span.start as usize == start {
            return Ok(span.end as usize);
        }
        let end = find()?;
        place.set((self.message, Span::new(start, end)));
        Ok(end)
    }

    /// The parts of a Via value.
    pub(super) fn via(&self, buffer: &[u8], item: &Item) -> Result<via::Parts, Bad> {
        let read = || via::Parts::read(buffer, item.span);
        self.vias.get(place(item.span, VIAS)).map_or_else(read, |place| self.kept(place, item.span, read))
    }

    /// The parts of an address.
    pub(super) fn address(&self, buffer: &[u8], item: &Item) -> Result<name_addr::Parts, Bad> {
        let read = || name_addr::Parts::read(buffer, item.span);
        self.addresses.get(place(item.span, ADDRESSES)).map_or_else(read, |place| self.kept(place, item.span, read))
    }

    /// The parts of the Request-URI.
    pub(super) fn uri(&self, buffer: &[u8], span: Span) -> Result<uri::Parts, Bad> {
        self.kept(&self.uri, span, || uri::Parts::checked(span.text(buffer)))
    }

    fn kept<T: Copy>(
        &self,
        place: &Cell<Option<Kept<T>>>,
        span: Span,
        read: impl FnOnce() -> Result<T, Bad>,
    ) -> Result<T, Bad> {
        if let Some(kept) = place.get().filter(|kept| kept.message == self.message && kept.span == span) {
            return kept.read;
        }
        let read = read();
        place.set(Some(Kept { message: self.message, span, read }));
        read
    }
}

/// Values are tens of bytes apart, and a message mostly has a thousand or less.
const fn place(span: Span, places: usize) -> usize {
    span.start as usize / 16 % places
}
