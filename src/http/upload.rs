//! The body of a client's request on its way to the instance: counted, bounded, timed, held back
//! while the instance has not said whether it wants it (`Expect: 100-continue`), and looked at before it
//! goes where it may say who signs in.

use super::body::checked;
use super::pause::Pause;
use crate::stats::{HttpRefusal, InstanceStats};
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use zeroize::Zeroizing;

/// A request's body; most requests have none.
pub(super) struct Upload(Option<Box<Flow>>);

struct Flow {
    incoming: Incoming,
    /// What was looked at and has not gone on yet.
    seen: Seen,
    left: u64,
    pause: Pause,
    progress: Arc<Progress>,
    stats: Arc<InstanceStats>,
    consent: Option<Consent>,
}

/// What was read of a body before it goes on.
#[derive(Default)]
struct Seen {
    frames: VecDeque<Result<Frame<Bytes>, hyper::Error>>,
    bytes: u64,
}

/// How far the body got; read by the exchange it belongs to.
#[derive(Default)]
pub(super) struct Progress {
    state: AtomicU8,
    /// Pieces sent so far.
    pieces: AtomicU32,
}

const DONE: u8 = 1;
const TOO_LARGE: u8 = 2;
const SLOW: u8 = 3;
const BROKEN: u8 = 4;

/// Why a body was not sent to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    #[error("the body passes the limit")]
    TooLarge,
    #[error("the client's body stopped")]
    Slow,
    #[error("the client's body broke off: {0}")]
    Broken(hyper::Error),
}

/// The instance's word on `Expect: 100-continue`.
struct Consent {
    word: oneshot::Receiver<bool>,
    patience: Pin<Box<Sleep>>,
    refused: bool,
}

/// The other end of a [`Consent`].
#[derive(Clone)]
pub(super) struct Word(Arc<Mutex<Option<oneshot::Sender<bool>>>>);

impl Progress {
    /// Whether the instance was sent all of it.
    pub(super) fn is_done(&self) -> bool {
        self.state.load(Relaxed) == DONE
    }

    /// A number that changes whenever a piece was sent.
    pub(super) fn pieces(&self) -> u32 {
        self.pieces.load(Relaxed)
    }

    /// The client's fault, if there was one.
    pub(super) fn refusal(&self) -> Option<HttpRefusal> {
        match self.state.load(Relaxed) {
            TOO_LARGE => Some(HttpRefusal::BodyTooLarge),
            SLOW => Some(HttpRefusal::RequestTimeout),
            BROKEN => Some(HttpRefusal::BadRequest),
            _ => None,
        }
    }
}

impl Seen {
    fn push(&mut self, frame: Result<Frame<Bytes>, hyper::Error>) {
        self.bytes += data_of(&frame).len() as u64;
        self.frames.push_back(frame);
    }

    fn pop(&mut self) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        let frame = self.frames.pop_front()?;
        self.bytes -= data_of(&frame).len() as u64;
        Some(frame)
    }

    fn text(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.frames.iter().flat_map(data_of).copied().collect())
    }
}

fn data_of(frame: &Result<Frame<Bytes>, hyper::Error>) -> &[u8] {
    frame.as_ref().ok().and_then(Frame::data_ref).map_or(&[], |data| data)
}

impl Word {
    /// Tells the waiting body to go on. Without effect if it went on by itself.
    pub(super) fn go_on(&self) {
        if let Some(sender) = self.take() {
            // The body may be gone already.
            let _ = sender.send(true);
        }
    }

    /// Tells the body that it is not wanted; true if it had not begun.
    pub(super) fn hold(&self) -> bool {
        self.take().is_some_and(|sender| sender.send(false).is_ok())
    }

    fn take(&self) -> Option<oneshot::Sender<bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Upload {
    /// No body.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// A body of at most `limit` bytes with pauses of at most `pause`.
    pub(super) fn new(incoming: Incoming, limit: u64, pause: Duration, stats: &Arc<InstanceStats>) -> Self {
        Self(Some(Box::new(Flow {
            incoming,
            seen: Seen::default(),
            left: limit,
            pause: Pause::new(pause),
            progress: Arc::default(),
            stats: Arc::clone(stats),
            consent: None,
        })))
    }

    /// Holds the body back until the instance has spoken, or for `patience`.
    pub(super) fn expect(&mut self, patience: Duration) -> Option<Word> {
        let flow = self.0.as_mut()?;
        let (sender, word) = oneshot::channel();
        flow.consent = Some(Consent { word, patience: Box::pin(sleep(patience)), refused: false });
        Some(Word(Arc::new(Mutex::new(Some(sender)))))
    }

    /// The whole body, if it has no more than `bound` bytes and comes within `patience`. Whatever was read goes on as it
    /// came.
    pub(super) async fn peek(&mut self, bound: usize, patience: Duration) -> Option<Zeroizing<Vec<u8>>> {
        let flow = self.0.as_mut()?;
        let whole = tokio::time::timeout(patience, poll_fn(|cx| flow.look(bound, cx))).await;
        whole.unwrap_or_default().then(|| flow.seen.text())
    }

    /// Its progress; `None` for no body.
    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
        self.0.as_ref().map(|flow| Arc::clone(&flow.progress))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Stopped;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Stopped>>> {
        match &mut self.get_mut().0 {
            None => Poll::Ready(None),
            Some(flow) => flow.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|flow| flow.is_at_end())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or(SizeHint::with_exact(0), |flow| flow.size_hint())
    }
}

impl Flow {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Stopped>>> {
        if let Some(consent) = &mut self.consent {
            if !consent.refused {
                match (Pin::new(&mut consent.word).poll(cx), consent.patience.as_mut().poll(cx)) {
                    (Poll::Ready(Ok(true)), _) | (Poll::Pending, Poll::Ready(())) => {}
                    (Poll::Ready(_), _) => consent.refused = true,
                    (Poll::Pending, Poll::Pending) => return Poll::Pending,
                }
            }
            if consent.refused {
                // The answer is on its way back; the connection ends with it.
                return Poll::Pending;
            }
            self.consent = None;
        }
        let next = match self.seen.pop() {
            Some(frame) => Some(frame),
            None => match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(next) => next,
                Poll::Pending if self.pause.poll(cx).is_pending() => return Poll::Pending,
                Poll::Pending => return self.stop(SLOW, Stopped::Slow),
            },
        };
        self.pause.moved();
        self.progress.pieces.fetch_add(1, Relaxed);
        let frame = match next {
            None => {
                self.progress.state.store(DONE, Relaxed);
                return Poll::Ready(None);
            }
            Some(Err(error)) => return self.stop(BROKEN, Stopped::Broken(error)),
            Some(Ok(frame)) => frame,
        };
        let frame = match frame.into_trailers() {
            Ok(trailers) => Frame::trailers(checked(trailers)),
            Err(data) => data,
        };
        if let Some(data) = frame.data_ref() {
            let length = data.len() as u64;
            let Some(left) = self.left.checked_sub(length) else {
                return self.stop(TOO_LARGE, Stopped::TooLarge);
            };
            self.left = left;
            self.stats.http_bytes_in.add(length);
        }
        if self.is_at_end() {
            self.progress.state.store(DONE, Relaxed);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    /// Reads ahead; true at the end of the body, false where that is too far. A body that breaks off does so again when
    /// it is sent.
    fn look(&mut self, bound: usize, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if self.seen.frames.len() > bound || self.seen.bytes > bound as u64 {
                return Poll::Ready(false);
            }
            if self.incoming.is_end_stream() {
                return Poll::Ready(true);
            }
            match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                Some(frame) => {
                    let broken = frame.is_err();
                    self.seen.push(frame);
                    if broken {
                        return Poll::Ready(false);
                    }
                }
                None => return Poll::Ready(true),
            }
        }
    }

    fn is_at_end(&self) -> bool {
        self.seen.frames.is_empty() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let seen = self.seen.bytes;
        let mut hint = self.incoming.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(seen));
        }
        hint.set_lower(hint.lower().saturating_add(seen));
        hint
    }

    fn stop(&self, code: u8, why: Stopped) -> Poll<Option<Result<Frame<Bytes>, Stopped>>> {
        self.progress.state.store(code, Relaxed);
        Poll::Ready(Some(Err(why)))
    }
}
