//! Buffers for the messages that transactions keep: taken from and given back to a pool, so that a message
//! that is only forwarded allocates nothing once the pool has grown. Not for what is being sent: that is
//! [`super::outbox`].

/// Buffers come in steps of so many bytes: up to [`FINE`] of them, from there on in powers of two.
const STEP: usize = 128;
/// Steps up to 4 KB.
const FINE: usize = 32;
/// How many sizes there are; larger buffers are not kept for reuse.
const SIZES: usize = FINE + 2;
/// A buffer of so many sizes more than is needed is used rather than a new one made.
const NEAR: usize = 3;

/// A pool of buffers by size, and the number of bytes that are out. A buffer fits its message: most of what is kept
/// is kept for half a minute, so that what is not needed of it would be most of a shard's memory.
pub struct Buffers {
    free: [Vec<Vec<u8>>; SIZES],
    unused: usize,
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
        Self { free: [const { Vec::new() }; SIZES], unused: 0, keep, held: 0 }
    }

    /// Keeps a copy of `bytes`.
    pub fn keep(&mut self, bytes: &[u8]) -> Kept {
        let size = size_for(bytes.len());
        let free = self.free.iter_mut().skip(size).take(NEAR).find_map(Vec::pop);
        self.unused -= usize::from(free.is_some());
        let mut buffer = free.unwrap_or_else(|| Vec::with_capacity(bytes.len().max(capacity_of(size))));
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
        let size = size_for(capacity);
        if capacity != capacity_of(size) || self.unused >= self.keep {
            return;
        }
        if let Some(free) = self.free.get_mut(size) {
            buffer.clear();
            free.push(buffer);
            self.unused += 1;
        }
    }

    /// Bytes of kept messages.
    pub const fn held(&self) -> usize {
        self.held
    }
}

/// The smallest size that so many bytes fit in; [`SIZES`] for none.
fn size_for(bytes: usize) -> usize {
    let steps = bytes.div_ceil(STEP).max(1);
    if steps <= FINE {
        return steps - 1;
    }
    let doublings = steps.div_ceil(FINE).next_power_of_two().trailing_zeros() as usize;
    (FINE - 1 + doublings).min(SIZES)
}

/// The bytes of a size.
const fn capacity_of(size: usize) -> usize {
    match size {
        ..FINE => (size + 1) * STEP,
        FINE..SIZES => (FINE * STEP) << (size + 1 - FINE),
        _ => 0,
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
        let kept = pool.keep(&vec![b'x'; capacity_of(SIZES - 1) + 1]);
        pool.give(kept);
        assert_eq!((pool.held(), pool.free.iter().map(Vec::len).sum::<usize>()), (0, 0));
    }

    #[test]
    fn a_buffer_is_as_large_as_its_message_needs() {
        let mut pool = Buffers::new(8);
        let sizes = [(0, 128), (1, 128), (128, 128), (129, 256), (1_400, 1_408), (4_096, 4_096), (4_097, 8_192)];
        for (bytes, capacity) in sizes.into_iter().chain([(8_193, 16_384), (16_384, 16_384)]) {
            let kept = pool.keep(&vec![b'x'; bytes]);
            assert_eq!(kept.0.capacity(), capacity, "{bytes}");
            pool.give(kept);
            pool = Buffers::new(8);
        }
    }

    #[test]
    fn a_buffer_that_is_a_little_larger_does_as_well() {
        let mut pool = Buffers::new(2);
        let kept = [pool.keep(&[b'x'; 700]), pool.keep(&[b'x'; 700]), pool.keep(&[b'x'; 900])];
        kept.into_iter().for_each(|kept| pool.give(kept));
        assert_eq!(pool.unused, 2, "as many are kept as may be");
        let near = pool.keep(&[b'x'; 500]);
        let other = pool.keep(&[b'x'; 384]);
        assert_eq!((near.0.capacity(), other.0.capacity(), pool.unused), (768, 384, 1));
    }
}
