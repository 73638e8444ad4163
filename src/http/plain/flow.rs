//! The body of an instance's answer on its way into a stream of HTTP/2: a piece is read when the last one has gone.

use super::super::body::Cut;
use super::super::gate::Permit;
use super::super::pause::Pause;
use super::super::upstream::Upstream;
use super::Link;
use super::coding::Coding;
use crate::clock::Clock;
use bytes::Bytes;
use hyper::body::SizeHint;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A body with the connection it comes from.
pub(in crate::http) struct Flow {
    /// `None`: complete, or broken off.
    link: Option<Link>,
    coding: Coding,
    /// Whether the connection serves another request afterwards.
    kept: bool,
    upstream: Arc<Upstream>,
    permit: Permit,
    pause: Pause,
    clock: Clock,
}

impl Flow {
    pub(super) fn new(
        (link, kept): (Link, bool),
        coding: Coding,
        (upstream, permit): (Arc<Upstream>, Permit),
        (pause, clock): (Pause, Clock),
    ) -> Self {
        Self { link: Some(link), coding, kept, upstream, permit, pause, clock }
    }

    /// The whole body, if it is here already.
    pub(super) fn at_once(&mut self) -> Option<Bytes> {
        let (Coding::Length(left), Some(link)) = (self.coding, &mut self.link) else { return None };
        let length = usize::try_from(left).ok().filter(|length| link.unread().len() >= *length)?;
        let bytes = link.take(length);
        self.permit.stats().http_bytes_out.add(left);
        self.finish();
        Some(bytes)
    }

    /// The place it takes among the instance's requests.
    pub(super) fn into_permit(self) -> Permit {
        self.permit
    }

    /// The next piece; `None` at the end.
    pub(in crate::http) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        loop {
            let Some(link) = &mut self.link else { return Poll::Ready(None) };
            if !link.unread().is_empty() {
                let taken = self.take();
                let Ok(piece) = taken else { return self.cut(Cut::Lost) };
                self.pause.moved();
                if !piece.is_empty() {
                    self.permit.stats().http_bytes_out.add(piece.len() as u64);
                    return Poll::Ready(Some(Ok(piece)));
                }
                continue;
            }
            match link.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(_)) if self.coding == Coding::UntilClose => self.finish(),
                Poll::Ready(_) => return self.cut(Cut::Lost),
                Poll::Pending => {
                    ready!(self.pause.poll(cx));
                    return self.cut(Cut::Stopped);
                }
            }
        }
    }

    /// Whether nothing more comes.
    pub(in crate::http) fn is_complete(&self) -> bool {
        self.link.is_none()
    }

    pub(in crate::http) fn size_hint(&self) -> SizeHint {
        match (&self.link, self.coding) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Coding::Length(left)) => SizeHint::with_exact(left),
            (Some(_), Coding::Chunked(_) | Coding::UntilClose) => SizeHint::default(),
        }
    }

    /// A piece out of what was read.
    fn take(&mut self) -> Result<Bytes, super::coding::Bad> {
        let Some(link) = &mut self.link else { return Ok(Bytes::new()) };
        let (piece, done) = match &mut self.coding {
            Coding::Length(left) => {
                let piece = link.take(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= piece.len() as u64;
                (piece, *left == 0)
            }
            Coding::Chunked(chunks) => {
                let mut data = Vec::with_capacity(link.unread().len());
                let used = chunks.read(link.unread(), |piece| data.extend_from_slice(piece))?;
                link.used(used);
                (data.into(), chunks.is_done())
            }
            Coding::UntilClose => (link.take(usize::MAX), false),
        };
        if done {
            self.finish();
        }
        Ok(piece)
    }

    /// It is complete: keeps the connection if it can serve another request.
    fn finish(&mut self) {
        if let Some(link) = self.link.take()
            && self.kept
            && link.unread().is_empty()
        {
            self.upstream.keep_plain(link, self.clock.tick());
        }
    }

    fn cut(&mut self, why: Cut) -> Poll<Option<Result<Bytes, Cut>>> {
        self.link = None;
        Poll::Ready(Some(Err(why)))
    }
}
