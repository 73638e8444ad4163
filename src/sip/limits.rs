//! The bounds of a message (DESIGN 10). Each has a [`Bad`](super::bad::Bad) kind of its own.

/// How large a message and its parts may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of one message, headers and body (V16). More is answered 513.
    pub message: usize,
    /// Bytes of the start-line and the header section. More is answered 513.
    pub head: usize,
    /// Header rows. More is answered 513.
    pub rows: usize,
    /// Bytes of one header row with its folds. More is answered 513.
    pub row: usize,
    /// Bytes of the Request-URI. More is answered 414.
    pub uri: usize,
    /// Bytes of the method.
    pub method: usize,
    /// Values of one list: Via, Route, Record-Route, Path, Contact over all their rows.
    pub values: usize,
    /// Parameters of one value.
    pub params: usize,
}

impl Limits {
    /// The defaults: what RFC 3261 §18.1.1 asks of a transport, and else a multiple of what is seen.
    pub const DEFAULT: Self =
        Self { message: 65_535, head: 49_152, rows: 256, row: 16_384, uri: 2_048, method: 64, values: 128, params: 64 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
