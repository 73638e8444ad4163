//! A client's connection as bytes: plain or TLS, watched on the way.
//!
//! Reads go past [`Framing`] while the connection speaks HTTP/1; writes tell [`Pulse`] when the
//! client takes nothing.

use super::framing::Framing;
use super::pulse::Pulse;
use super::wire::Wire;
use bytes::BytesMut;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client's connection.
pub(super) struct Stream {
    wire: Wire,
    /// What was read before.
    early: BytesMut,
    framing: Option<Framing>,
    pulse: Arc<Pulse>,
}

impl Stream {
    pub(super) fn new(wire: Wire, early: BytesMut, pulse: Arc<Pulse>) -> Self {
        Self { wire, early, framing: None, pulse }
    }

    /// Has what is read from now on watched: HTTP/1 that begins with `early`.
    pub(super) fn watch(&mut self, early: BytesMut, framing: Framing) {
        self.early = early;
        self.framing = Some(framing);
    }

    /// What carries it and what was read before, for somebody who goes on with it; nothing is said to the client.
    pub(super) fn into_wire(mut self) -> (Wire, BytesMut) {
        (std::mem::replace(&mut self.wire, Wire::Gone), std::mem::take(&mut self.early))
    }

    /// Reads on without looking: the connection is at its end.
    pub(super) fn stop_watching(&mut self) {
        self.framing = None;
    }

    fn note<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.pulse.blocked(result.is_pending());
        result
    }
}

impl Drop for Stream {
    /// Whatever ended the connection, under TLS it ends with an alert (RFC 9112 §9.8), so that the
    /// client can tell an end from a cut. There is nobody left to wait for the socket: as a rule it
    /// takes a few bytes, and where it does not, the client is not reading anyway.
    fn drop(&mut self) {
        if let Wire::Tls(tls) = &mut self.wire {
            let mut context = Context::from_waker(Waker::noop());
            let _ = Pin::new(tls).poll_shutdown(&mut context);
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let room = buf.remaining() > 0;
        if this.early.is_empty() {
            ready!(Pin::new(&mut this.wire).poll_read(cx, buf))?;
        } else {
            let length = this.early.len().min(buf.remaining());
            buf.put_slice(&this.early.split_to(length));
        }
        let fresh = buf.filled().get(before..).unwrap_or_default();
        if fresh.is_empty() && room {
            this.pulse.peer_done();
        }
        if let Some(framing) = &mut this.framing {
            if let Err(fault) = framing.feed(fresh) {
                // Nothing more is read here: whoever drives the connection sees the fault next.
                this.pulse.fail(fault);
                return Poll::Pending;
            }
            this.pulse.head(framing.in_head());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.wire).poll_write(cx, buf);
        this.note(result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.wire).poll_write_vectored(cx, bufs);
        this.note(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.wire).poll_flush(cx);
        this.note(result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.wire).poll_shutdown(cx);
        this.note(result)
    }
}
