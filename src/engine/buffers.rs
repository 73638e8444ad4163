//! Buffers for the messages that transactions keep: taken from and given back to a pool, so that a message
//! that is only forwarded allocates nothing once the pool has grown. Not for what is being sent: that is
//! [`super::outbox`].

/// Sizes of buffers: powers of two from here on.
const SMALLEST: usize = 512;
/// How many sizes there are; larger buffers are not kept for reuse.
const SIZES: usize = 6;

/// A pool of buffers by size, and the number of bytes that are out. A buffer fits its message: most of what is kept
/// is kept for half a minute, so that what is not needed of it would be most of a shard's memory.
pub struct Buffers {
    free: [Vec<Vec<u8>>; SIZES],
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
    /// A pool that keeps at most `keep` unused buffers of each size.
    pub const fn new(keep: usize) -> Self {
        Self { free: [const { Vec::new() }; SIZES], keep, held: 0 }
    }

    /// Keeps a copy of `bytes`.
    pub fn keep(&mut self, bytes: &[u8]) -> Kept {
        let size = size_for(bytes.len());
        let free = self.free.get_mut(size).and_then(Vec::pop);
        let mut buffer = free.unwrap_or_else(|| Vec::with_capacity(bytes.len().max(SMALLEST << size.min(SIZES))));
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
        let capacity = buffer.capacity();
        let Some(free) = self.free.get_mut(size_for(capacity)).filter(|_| capacity.is_power_of_two()) else { return };
        if free.len() < self.keep {
            buffer.clear();
            free.push(buffer);
        }
    }

    /// Bytes of kept messages.
    pub const fn held(&self) -> usize {
        self.held
    }
}

/// The smallest size that so many bytes fit in.
fn size_for(bytes: usize) -> usize {
    let blocks = bytes.div_ceil(SMALLEST).max(1);
    blocks.next_power_of_two().trailing_zeros() as usize
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
        assert_eq!((pool.held(), pool.free[0].len()), (0, 1));
        let mut c = pool.keep(b"x");
        assert_eq!(c.bytes().as_ptr(), place);
        pool.replace(&mut c, b"longer");
        assert_eq!((pool.held(), c.bytes()), (6, &b"longer"[..]));
    }

    #[test]
    fn a_giant_is_not_kept() {
        // T19
        let mut pool = Buffers::new(8);
        let kept = pool.keep(&vec![b'x'; (SMALLEST << (SIZES - 1)) + 1]);
        pool.give(kept);
        assert_eq!((pool.held(), pool.free.iter().map(Vec::len).sum::<usize>()), (0, 0));
    }

    #[test]
    fn a_buffer_is_as_large_as_its_message_needs() {
        let mut pool = Buffers::new(8);
        for (bytes, capacity) in [(0, 512), (1, 512), (512, 512), (513, 1_024), (1_400, 2_048), (16_384, 16_384)] {
            let kept = pool.keep(&vec![b'x'; bytes]);
            assert_eq!(kept.0.capacity(), capacity, "{bytes}");
            pool.give(kept);
        }
        assert_eq!(pool.free.each_ref().map(Vec::len), [1, 1, 1, 0, 0, 1]);
    }
}
