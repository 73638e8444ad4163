//! Buffers that belong to nobody: a connection that waits holds none.

use std::cell::RefCell;
use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What one read takes at most, and the room of a fresh buffer.
pub(super) const ROOM: usize = 16 * 1024;
/// A thread keeps so many, none of them larger than `LARGEST`.
const SPARE: usize = 64;
const LARGEST: usize = 64 * 1024;

thread_local! {
    static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room.
pub(super) fn take() -> Vec<u8> {
    SPARES.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(ROOM))
}

/// Gives a buffer up, with what is in it.
pub(super) fn give_up(buffer: &mut Vec<u8>) {
    let mut buffer = std::mem::take(buffer);
    if (ROOM..=LARGEST).contains(&buffer.capacity()) {
        buffer.clear();
        SPARES.with_borrow_mut(|spares| {
            if spares.len() < SPARE {
                spares.push(buffer);
            }
        });
    }
}

/// Reads what there is behind what is in the buffer; 0 at the end of the stream.
pub(super) fn poll_fill(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if buffer.capacity() == 0 {
        *buffer = take();
    }
    if buffer.len() == buffer.capacity() {
        buffer.reserve(ROOM);
    }
    let read = pin!(reader.read_buf(buffer)).poll(cx);
    if read.is_pending() && buffer.is_empty() {
        give_up(buffer);
    }
    read
}
