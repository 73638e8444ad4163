//! One connection to an instance, as bytes.

use super::super::wire::Wire;
use super::buffers;
use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite as _;

/// So much is not worth copying.
const LARGE: usize = 4096;

/// A connection to an instance, with what was read from it and not used yet.
pub(in crate::http) struct Link {
    wire: Wire,
    unread: Vec<u8>,
}

impl Link {
    pub(in crate::http) fn new(wire: Wire) -> Self {
        Self { wire, unread: Vec::new() }
    }

    /// Whether it can serve a request: the instance has neither closed it nor said anything unasked.
    pub(in crate::http) fn is_open(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll_fill(cx).is_pending() && self.unread.is_empty()
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Notes that the first bytes of what was unread are used.
    pub(super) fn used(&mut self, count: usize) {
        if count >= self.unread.len() {
            buffers::give_up(&mut self.unread);
        } else {
            self.unread.drain(..count);
        }
    }

    /// Takes the first bytes of what was unread, at most `most`.
    pub(super) fn take(&mut self, most: usize) -> Bytes {
        if self.unread.len() <= most && self.unread.len() >= LARGE {
            return std::mem::take(&mut self.unread).into();
        }
        let taken = Bytes::copy_from_slice(self.unread.get(..most.min(self.unread.len())).unwrap_or_default());
        self.used(taken.len());
        taken
    }

    /// Reads what there is; 0 at the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        buffers::poll_fill(&mut self.wire, &mut self.unread, cx)
    }

    /// Writes the rest of `bytes`, of which `sent` went before.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8], sent: &mut usize) -> Poll<io::Result<()>> {
        while let Some(rest) = bytes.get(*sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.wire).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => *sent += written,
            }
        }
        Pin::new(&mut self.wire).poll_flush(cx)
    }
}
