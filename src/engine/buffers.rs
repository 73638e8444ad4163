//! Buffers for the messages that transactions keep: taken from and given back to a pool, so that a message
//! that is only forwarded allocates nothing once the pool has grown. Not for what is being sent: that is
//! [`super::outbox`].

/// Buffers that grew beyond this are not kept for reuse.
const KEEP_CAPACITY: usize = 16 * 1024;

/// A pool of buffers, and the number of bytes that are out.
pub struct Buffers {
    free: Vec<Vec<u8>>,
    keep: usize,
    held: usize,
}

/// A kept message.
#[derive(Debug, Default)]
pub struct Kept(Vec<u8>);

impl Kept {
    /// The message.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether nothing is kept.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Buffers {
    /// A pool that keeps at most `keep` unused buffers.
    pub const fn new(keep: usize) -> Self {
        Self { free: Vec::new(), keep, held: 0 }
    }

    /// Keeps a copy of `bytes`.
    pub fn keep(&mut self, bytes: &[u8]) -> Kept {
        let mut buffer = self.free.pop().unwrap_or_else(|| Vec::with_capacity(2_048));
        buffer.extend_from_slice(bytes);
        self.held += bytes.len();
        Kept(buffer)
    }

    /// Replaces a kept message.
    pub fn replace(&mut self, kept: &mut Kept, bytes: &[u8]) {
        let old = std::mem::replace(kept, self.keep(bytes));
        self.give(old);
    }

    /// Takes a message back.
    pub fn give(&mut self, kept: Kept) {
        let mut buffer = kept.0;
        self.held = self.held.saturating_sub(buffer.len());
        if buffer.capacity() == 0 || buffer.capacity() > KEEP_CAPACITY || self.free.len() >= self.keep {
            return;
        }
        buffer.clear();
        self.free.push(buffer);
    }

    /// Bytes of kept messages.
    pub const fn held(&self) -> usize {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_out_and_reuses_what_came_back() {
        let mut pool = Buffers::new(1);
        let a = pool.keep(b"one");
        let b = pool.keep(b"three");
        assert_eq!((pool.held(), a.bytes(), b.bytes()), (8, &b"one"[..], &b"three"[..]));
        let place = a.bytes().as_ptr();
        pool.give(a);
        pool.give(b);
        assert_eq!((pool.held(), pool.free.len()), (0, 1));
        let mut c = pool.keep(b"x");
        assert_eq!(c.bytes().as_ptr(), place);
        pool.replace(&mut c, b"longer");
        assert_eq!((pool.held(), c.bytes()), (6, &b"longer"[..]));
    }

    #[test]
    fn a_giant_is_not_kept() {
        // T19
        let mut pool = Buffers::new(8);
        let kept = pool.keep(&vec![b'x'; KEEP_CAPACITY + 1]);
        pool.give(kept);
        assert_eq!((pool.held(), pool.free.len()), (0, 0));
    }
}
