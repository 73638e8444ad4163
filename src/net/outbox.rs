//! What a stream has still to be sent: bounded, so that a peer that does not read costs a fixed
//! amount of memory and nothing else.

use bytes::{Buf, BytesMut};
use std::io;

/// Capacity that an empty outbox may keep.
const KEPT: usize = 16 * 1024;

/// Bytes that the kernel did not take at once.
#[derive(Debug)]
pub struct Outbox {
    waiting: BytesMut,
    bound: usize,
}

/// The outbox would grow past its bound: the peer does not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl Outbox {
    /// An empty one that never holds more than `bound` bytes.
    pub fn new(bound: usize) -> Self {
        Self { waiting: BytesMut::new(), bound }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds the rest of a message.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        if self.waiting.len() + bytes.len() > self.bound {
            return Err(Full);
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes until all is written or `write` says `WouldBlock`; true if something was written.
    pub fn flush(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<bool> {
        let mut moved = false;
        while !self.waiting.is_empty() {
            match write(&self.waiting) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.waiting.advance(n);
                    moved = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(moved),
                Err(error) => return Err(error),
            }
        }
        if self.waiting.capacity() > KEPT {
            self.waiting = BytesMut::new();
        }
        Ok(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_order_and_its_bound() {
        let mut outbox = Outbox::new(10);
        assert_eq!(outbox.push(b"abcdef"), Ok(()));
        assert_eq!(outbox.push(b"ghij"), Ok(()));
        assert_eq!(outbox.push(b"k"), Err(Full));
        let mut seen: Vec<u8> = Vec::new();
        let mut turns = 0;
        let moved = outbox.flush(|bytes| {
            turns += 1;
            if turns == 3 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            seen.extend(&bytes[..3]);
            Ok(3)
        });
        assert!(moved.unwrap());
        assert_eq!(seen, b"abcdef");
        assert_eq!(outbox.push(b"klmnop"), Ok(()));
        outbox
            .flush(|bytes| {
                seen.extend(bytes);
                Ok(bytes.len())
            })
            .unwrap();
        assert_eq!(seen, b"abcdefghijklmnop");
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_broken_stream_is_told() {
        let mut outbox = Outbox::new(10);
        outbox.push(b"abc").unwrap();
        assert!(outbox.flush(|_| Err(io::ErrorKind::BrokenPipe.into())).is_err());
        assert!(outbox.flush(|_| Ok(0)).is_err());
    }
}
