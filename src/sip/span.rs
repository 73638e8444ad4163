//! A piece of the message's buffer.

/// Byte offsets into the message's buffer, end exclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A span inside one value, which is kept small because values are handed about; maybe none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Short {
    start: u16,
    end: u16,
}

impl Short {
    /// No value is as long: its places do not reach this.
    pub(super) const MOST: usize = u16::MAX as usize;
    /// There is none.
    pub(super) const NONE: Self = Self { start: u16::MAX, end: 0 };

    /// A span of the buffer in the value that starts at `base`.
    #[inline]
    pub(super) const fn of(span: Span, base: u32) -> Self {
        Self { start: span.start.saturating_sub(base) as u16, end: span.end.saturating_sub(base) as u16 }
    }

    /// The span in the buffer.
    #[inline]
    pub(super) fn span(self, base: u32) -> Option<Span> {
        (self.start <= self.end).then(|| Span { start: base + u32::from(self.start), end: base + u32::from(self.end) })
    }

    /// As [`Self::of`], or none.
    #[inline]
    pub(super) fn maybe(span: Option<Span>, base: u32) -> Self {
        span.map_or(Self::NONE, |span| Self::of(span, base))
    }
}

impl Span {
    /// From `start` to just before `end`.
    #[inline]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// An empty span: a place between two bytes.
    #[inline]
    pub const fn at(place: u32) -> Self {
        Self { start: place, end: place }
    }

    /// Where a piece of `whole` is in it; at its start for an empty one, and `None` for no piece of it.
    pub fn within(part: &[u8], whole: &[u8]) -> Option<Self> {
        if part.is_empty() {
            return Some(Self::at(0));
        }
        let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
        (start.checked_add(part.len())? <= whole.len()).then(|| Self::new(start, start + part.len()))
    }

    /// Bytes in it.
    #[inline]
    pub const fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Whether there is nothing in it.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// The bytes of `of` in it; empty where it does not fit.
    #[inline]
    pub fn text(self, of: &[u8]) -> &[u8] {
        of.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}
