//! Bytes both ways between two streams, until both ends are done or somebody says stop.
//!
//! An idle relay holds no buffer: what is read goes through a scratch buffer of the thread, and
//! only what the other side does not take at once is kept, before anything more is read.

use super::gate::CloseCode;
use super::websocket::{Frames, close_frame};
use crate::stats::Counter;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot::error::RecvError;
use tokio::time::{sleep, timeout};

const SCRATCH: usize = 64 * 1024;

thread_local! {
    static SCRATCH_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

/// A client's stream and an instance's.
pub(super) struct Relay<'a, C, I> {
    client: C,
    instance: I,
    inward: Way,
    outward: Way,
    frames: Frames,
    bytes_in: &'a Counter,
    bytes_out: &'a Counter,
}

/// One direction.
#[derive(Default)]
struct Way {
    /// What was read and not taken yet.
    rest: Vec<u8>,
    sent: usize,
    dirty: bool,
    state: State,
}

#[derive(Default, PartialEq, Eq)]
enum State {
    #[default]
    Flows,
    /// The reader is at its end; the writer is to be told.
    Ends,
    Done,
}

impl<'a, C, I> Relay<'a, C, I>
where
    C: AsyncRead + AsyncWrite + Unpin,
    I: AsyncRead + AsyncWrite + Unpin,
{
    /// Bytes are counted that go in and that come out.
    pub(super) fn new(client: C, instance: I, bytes_in: &'a Counter, bytes_out: &'a Counter) -> Self {
        let (inward, outward) = (Way::default(), Way::default());
        Self { client, instance, inward, outward, frames: Frames::default(), bytes_in, bytes_out }
    }

    /// Begins with what was read of either side before.
    pub(super) fn after(mut self, client: &[u8], instance: &[u8]) -> Self {
        self.bytes_in.add(client.len() as u64);
        self.bytes_out.add(instance.len() as u64);
        self.frames.feed(instance);
        self.inward.rest.extend_from_slice(client);
        self.outward.rest.extend_from_slice(instance);
        self
    }

    /// Runs to the end; true if `stop` ended it. A side that is half closed for `linger` is closed.
    pub(super) async fn run(
        mut self,
        stop: impl Future<Output = Result<CloseCode, RecvError>>,
        linger: Duration,
    ) -> bool {
        let mut stop = pin!(stop);
        let mut half_closed = pin!(None);
        let code = poll_fn(|cx| {
            if let Poll::Ready(Ok(code)) = stop.as_mut().poll(cx) {
                return Poll::Ready(Some(code));
            }
            if ready_or_broken(self.poll(cx)) {
                return Poll::Ready(None);
            }
            if self.inward.state == State::Done || self.outward.state == State::Done {
                if half_closed.is_none() {
                    half_closed.set(Some(sleep(linger)));
                }
                if let Some(timer) = half_closed.as_mut().as_pin_mut() {
                    ready!(timer.poll(cx));
                    return Poll::Ready(None);
                }
            }
            Poll::Pending
        })
        .await;
        if let Some(code) = code {
            self.close(code, linger).await;
        }
        code.is_some()
    }

    /// Both ways at once; ready when both are done.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inward = self.inward.poll(cx, &mut self.client, &mut self.instance, self.bytes_in, None)?;
        let frames = Some(&mut self.frames);
        let outward = self.outward.poll(cx, &mut self.instance, &mut self.client, self.bytes_out, frames)?;
        if inward.is_ready() && outward.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Says goodbye where a frame may stand (HT18), and leaves.
    async fn close(mut self, code: CloseCode, linger: Duration) {
        let goodbye = async {
            if self.frames.may_close() && self.outward.rest.is_empty() && self.outward.state == State::Flows {
                self.client.write_all(&close_frame(code as u16)).await?;
            }
            self.client.shutdown().await?;
            // Reading on keeps a reset from overtaking the close frame.
            let mut rest = [0; 512];
            while self.client.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        // The client may be gone, or never answer: either way this is the end.
        let _ = timeout(linger, goodbye).await;
    }
}

impl Way {
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        count: &Counter,
        mut frames: Option<&mut Frames>,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            if let Some(rest) = self.rest.get(self.sent..).filter(|rest| !rest.is_empty()) {
                let taken = ready!(Pin::new(&mut *writer).poll_write(cx, rest))?;
                if taken == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.sent += taken;
                self.dirty = true;
                continue;
            }
            (self.rest, self.sent) = (Vec::new(), 0);
            match self.state {
                State::Done => return Poll::Ready(Ok(())),
                State::Ends => {
                    ready!(Pin::new(&mut *writer).poll_shutdown(cx))?;
                    self.state = State::Done;
                }
                State::Flows => match self.pass(cx, reader, writer, count, frames.as_deref_mut())? {
                    Poll::Ready(()) => {}
                    Poll::Pending => {
                        if self.dirty {
                            ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                            self.dirty = false;
                        }
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    /// One piece, through the thread's scratch buffer.
    fn pass<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        count: &Counter,
        frames: Option<&mut Frames>,
    ) -> io::Result<Poll<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        SCRATCH_BUFFER.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(reader).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(result) => result?,
            }
            let piece = buffer.filled();
            if piece.is_empty() {
                self.state = State::Ends;
                return Ok(Poll::Ready(()));
            }
            count.add(piece.len() as u64);
            if let Some(frames) = frames {
                frames.feed(piece);
            }
            let taken = match Pin::new(writer).poll_write(cx, piece) {
                Poll::Ready(result) => result?,
                Poll::Pending => 0,
            };
            self.dirty |= taken > 0;
            self.rest.extend_from_slice(piece.get(taken..).unwrap_or_default());
            Ok(Poll::Ready(()))
        })
    }
}

/// A broken side ends the relay as a finished one does: the other is dropped with it.
fn ready_or_broken(result: Poll<io::Result<()>>) -> bool {
    result.is_ready()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::gate::CloseCode;
    use tokio::sync::oneshot;

    const LINGER: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn bytes_flow_both_ways_until_both_ends_close() {
        let (mut client, a) = tokio::io::duplex(64);
        let (mut instance, b) = tokio::io::duplex(64);
        let (bytes_in, bytes_out) = (Counter::default(), Counter::default());
        let (_hold, stop) = oneshot::channel();
        let relay = Relay::new(a, b, &bytes_in, &bytes_out).run(stop, LINGER);
        let talk = async {
            let data = vec![7; 10_000];
            let mut back = vec![0; 10_000];
            let (sent, got) = tokio::join!(client.write_all(&data), instance.read_exact(&mut back));
            sent.unwrap();
            got.unwrap();
            assert_eq!(back, data);
            instance.write_all(b"bye").await.unwrap();
            instance.shutdown().await.unwrap();
            let mut last = Vec::new();
            client.read_to_end(&mut last).await.unwrap();
            assert_eq!(last, b"bye");
            client.shutdown().await.unwrap();
        };
        let (stopped, ()) = tokio::join!(relay, talk);
        assert!(!stopped);
        assert_eq!((bytes_in.read(), bytes_out.read()), (10_000, 3));
    }

    #[tokio::test]
    async fn a_stopped_one_says_goodbye_between_frames_only() {
        // HT18
        for (sent, goodbye) in [(&[0x81, 1, b'x'][..], true), (&[0x81, 5, b'x'], false)] {
            let (mut client, a) = tokio::io::duplex(64);
            let (mut instance, b) = tokio::io::duplex(64);
            let (bytes_in, bytes_out) = (Counter::default(), Counter::default());
            let (tell, stop) = oneshot::channel();
            let relay = Relay::new(a, b, &bytes_in, &bytes_out).run(stop, LINGER);
            let talk = async {
                instance.write_all(sent).await.unwrap();
                let mut got = vec![0; sent.len()];
                client.read_exact(&mut got).await.unwrap();
                tell.send(CloseCode::TryAgainLater).unwrap();
                let mut rest = Vec::new();
                client.read_to_end(&mut rest).await.unwrap();
                assert_eq!(rest, if goodbye { close_frame(1013).to_vec() } else { Vec::new() });
                drop(client);
            };
            let (stopped, ()) = tokio::join!(relay, talk);
            assert!(stopped);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_closed_one_does_not_stay_for_ever() {
        let (client, a) = tokio::io::duplex(64);
        let (_instance, b) = tokio::io::duplex(64);
        drop(client);
        let (bytes_in, bytes_out) = (Counter::default(), Counter::default());
        let (_hold, stop) = oneshot::channel();
        assert!(!Relay::new(a, b, &bytes_in, &bytes_out).run(stop, LINGER).await);
    }
}
