//! Bodies on their way: nothing is kept, one piece is asked for when the last one has gone.

use super::gate::Permit;
use super::pause::Pause;
use super::plain;
use super::pulse::Pulse;
use super::upstream::Lease;
use bytes::Bytes;
use http::header::{self, HeaderMap};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The body of an answer to a client.
pub struct Body {
    kind: Kind,
    busy: Option<Busy>,
    _permit: Option<Permit>,
}

enum Kind {
    Empty,
    Full(Bytes),
    Answer(Box<Answer>),
    Flow(Box<plain::Flow>),
}

/// Marks its connection as busy until the answer is complete.
pub(super) struct Busy(Arc<Pulse>);

/// Why the body of an answer ends early. The client's connection or stream is cut, so that it
/// cannot take what came for the whole.
#[derive(Debug, thiserror::Error)]
pub enum Cut {
    /// The instance's connection broke.
    #[error("the instance's answer broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// The same, of one that we read ourselves.
    #[error("the instance's answer broke off")]
    Lost,
    /// Nothing came for too long.
    #[error("the instance's answer stopped")]
    Stopped,
}

/// The body of an instance's answer, with the connection it comes from.
struct Answer {
    incoming: Incoming,
    lease: Option<Lease>,
    permit: Permit,
    pause: Pause,
}

impl Busy {
    pub(super) fn new(pulse: &Arc<Pulse>) -> Self {
        pulse.request_begins();
        Self(Arc::clone(pulse))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.request_ends();
    }
}

impl Body {
    pub(super) fn empty() -> Self {
        Self { kind: Kind::Empty, busy: None, _permit: None }
    }

    pub(super) fn full(bytes: Bytes) -> Self {
        Self { kind: Kind::Full(bytes), busy: None, _permit: None }
    }

    /// All of one that is of our own making.
    pub(super) fn whole(self) -> Bytes {
        match self.kind {
            Kind::Full(bytes) => bytes,
            Kind::Empty | Kind::Answer(_) | Kind::Flow(_) => Bytes::new(),
        }
    }

    /// Passes on what an instance sends; `lease` goes back to its pool at the end.
    pub(super) fn answer(incoming: Incoming, lease: Lease, permit: Permit, pause: Pause) -> Self {
        Self {
            kind: Kind::Answer(Box::new(Answer { incoming, lease: Some(lease), permit, pause })),
            busy: None,
            _permit: None,
        }
    }

    /// The same of a plain exchange.
    pub(super) fn flow(flow: plain::Flow) -> Self {
        Self { kind: Kind::Flow(Box::new(flow)), busy: None, _permit: None }
    }

    /// One that is here as a whole, with the place it takes among the instance's requests until it is sent.
    pub(super) fn here(bytes: Bytes, permit: Permit) -> Self {
        Self { kind: Kind::Full(bytes), busy: None, _permit: Some(permit) }
    }

    /// Keeps the connection busy as long as the body lives.
    pub(super) fn hold(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        match &mut this.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                this.kind = Kind::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Kind::Answer(answer) => answer.poll(cx),
            Kind::Flow(flow) => flow.poll(cx).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::Answer(answer) => answer.incoming.is_end_stream(),
            Kind::Flow(flow) => flow.is_complete(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Answer(answer) => answer.incoming.size_hint(),
            Kind::Flow(flow) => flow.size_hint(),
        }
    }
}

impl Answer {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(lease) = &mut self.lease {
            lease.drive(cx);
        }
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Pending => {
                ready!(self.pause.poll(cx));
                self.lease = None;
                Poll::Ready(Some(Err(Cut::Stopped)))
            }
            Poll::Ready(None) => {
                self.finish(cx);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.lease = None;
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.pause.moved();
                let frame = match frame.into_trailers() {
                    Ok(trailers) => Frame::trailers(checked(trailers)),
                    Err(data) => data,
                };
                if let Some(data) = frame.data_ref() {
                    self.permit.stats().http_bytes_out.add(data.len() as u64);
                }
                if self.incoming.is_end_stream() {
                    self.finish(cx);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        if let Some(lease) = self.lease.take() {
            lease.give_back(cx);
        }
    }
}

/// Trailers without what must not stand in any (RFC 9110 §6.5.1): they are never merged into the
/// header section, by us or by a peer that would.
pub(super) fn checked(mut trailers: HeaderMap) -> HeaderMap {
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
        header::TRAILER,
        header::TE,
        header::UPGRADE,
        header::HOST,
        header::AUTHORIZATION,
        header::COOKIE,
        header::SET_COOKIE,
        header::LOCATION,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::CONTENT_RANGE,
        header::CACHE_CONTROL,
        header::FORWARDED,
        header::VIA,
    ] {
        trailers.remove(name);
    }
    trailers
}
