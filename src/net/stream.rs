//! One SIP stream: framing, keep-alives, deadlines and a bounded outbox.
//!
//! A connection belongs to one worker and is served by one task of it. Sending never waits: what
//! the kernel does not take at once goes to the outbox, and a peer that lets the outbox run full,
//! or does not read for too long, is closed. Opening, accepting and finding connections is the
//! driver's; what a message means is the engine's.

use super::counters::{Loss, NetStats};
use super::outbox::Outbox;
use crate::clock::{Clock, Tick};
use crate::ids::Flow;
use crate::sip::frame::{Frame, Framer};
use bytes::{Buf, BytesMut};
use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Bytes read from a connection before others get their turn.
const TURN: usize = 256 * 1024;
/// Capacity that an idle connection may keep.
const KEPT: usize = 16 * 1024;

/// Bounds of one connection; times in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamLimits {
    /// Bytes that may wait for a peer that does not read.
    pub outbox: usize,
    /// For an accepted connection to send its first byte.
    pub first_byte: u64,
    /// For a message to become complete once it has begun.
    pub partial: u64,
    /// Without any traffic.
    pub idle: u64,
    /// For a peer to read something of what waits for it.
    pub stall: u64,
    /// For a connection to be opened.
    pub connect: u64,
}

/// Who is told what comes in.
pub trait Receiver {
    /// One framed message.
    fn message(&self, flow: Flow, bytes: &[u8]);
    /// All that was there has been delivered: a good moment to look at timers.
    fn settled(&self);
}

/// Why a message was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsent {
    /// The connection has ended.
    Gone,
    /// The peer does not read.
    Stalled,
}

/// Why a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The peer closed it or it broke.
    Peer,
    /// We were asked to close it, after what waits has been written.
    Ours,
    /// Something was counted.
    Lost(Loss),
}

/// A connection that is being opened or is open.
pub struct Connection {
    flow: Cell<Flow>,
    limits: StreamLimits,
    stats: Arc<NetStats>,
    clock: Clock,
    stream: OnceCell<TcpStream>,
    outbox: RefCell<Outbox>,
    /// Tickets of what waits for the connection to be opened.
    tickets: RefCell<Vec<u64>>,
    end: Cell<Option<End>>,
    wake: Notify,
    /// Last traffic in either direction.
    active: Cell<Tick>,
    /// Since when the peer has read nothing of what waits.
    stalled: Cell<Option<Tick>>,
    /// Whether the peer has ever sent something, or need not.
    greeted: Cell<bool>,
    /// Workers, by bit, that sent over it and want to know of its end.
    senders: Cell<u64>,
}

impl Connection {
    /// A connection that is open (`Some(stream)`) or about to be.
    pub fn new(
        flow: Flow,
        stream: Option<TcpStream>,
        limits: StreamLimits,
        stats: Arc<NetStats>,
        clock: Clock,
    ) -> Rc<Self> {
        let cell = OnceCell::new();
        let greeted = stream.is_none();
        if let Some(stream) = stream {
            prepare(&stream);
            let _ = cell.set(stream);
        }
        Rc::new(Self {
            flow: Cell::new(flow),
            limits,
            stats,
            clock,
            stream: cell,
            outbox: RefCell::new(Outbox::new(limits.outbox)),
            tickets: RefCell::default(),
            end: Cell::new(None),
            wake: Notify::new(),
            active: Cell::new(clock.now().tick),
            stalled: Cell::new(None),
            greeted: Cell::new(greeted),
            senders: Cell::new(0),
        })
    }

    /// The flow it is.
    pub fn flow(&self) -> Flow {
        self.flow.get()
    }

    /// Notes that a worker other than the owner's sends over it.
    pub fn note_sender(&self, shard: crate::ids::Shard) {
        self.senders.set(self.senders.get() | 1 << (shard.0 & 63));
    }

    /// The workers of [`Self::note_sender`], by bit.
    pub fn senders(&self) -> u64 {
        self.senders.get()
    }

    /// Sends one message, or keeps it until the connection is open or the peer reads.
    pub fn send(&self, bytes: &[u8], ticket: u64) -> Result<(), Unsent> {
        if self.end.get().is_some() {
            return Err(Unsent::Gone);
        }
        let mut outbox = self.outbox.borrow_mut();
        let mut written = 0;
        match self.stream.get() {
            Some(stream) if outbox.is_empty() => match stream.try_write(bytes) {
                Ok(n) => written = n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    self.finish(End::Peer);
                    return Err(Unsent::Gone);
                }
            },
            Some(_) => {}
            None if ticket != 0 => self.tickets.borrow_mut().push(ticket),
            None => {}
        }
        let now = self.clock.now().tick;
        self.active.set(now);
        self.stats.stream_messages_out.inc();
        let rest = bytes.get(written..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        if self.stalled.get().is_none() {
            self.stalled.set(Some(now));
        }
        if outbox.push(rest).is_err() {
            self.finish(End::Lost(Loss::Stalled));
            return Err(Unsent::Stalled);
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Closes it once what waits has been written.
    pub fn close(&self) {
        self.finish(End::Ours);
    }

    /// Opens it; on failure the tickets of what waited come back.
    pub async fn open(&self, connect: impl Future<Output = io::Result<TcpStream>>) -> Result<(), Vec<u64>> {
        match tokio::time::timeout(Duration::from_millis(self.limits.connect), connect).await {
            Ok(Ok(stream)) => {
                prepare(&stream);
                self.note_local(&stream);
                let _ = self.stream.set(stream);
                self.tickets.take();
                let now = self.clock.now().tick;
                self.active.set(now);
                self.stalled.set((!self.outbox.borrow().is_empty()).then_some(now));
                Ok(())
            }
            _ => {
                self.finish(End::Lost(Loss::Connect));
                Err(self.tickets.take())
            }
        }
    }

    fn note_local(&self, stream: &TcpStream) {
        let mut flow = self.flow.get();
        if let (Flow::Stream { local, .. }, Ok(address)) = (&mut flow, stream.local_addr()) {
            *local = address;
        }
        self.flow.set(flow);
    }

    /// Serves it until it ends.
    /// `buffer` is lent to all connections of the worker, each while it reads.
    pub async fn serve(&self, receiver: &impl Receiver, mut framer: Framer, buffer: &RefCell<Box<[u8]>>) -> End {
        let Some(stream) = self.stream.get() else { return End::Peer };
        let mut begun = BytesMut::new();
        let mut partial = None;
        let mut deadline = pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            self.write(stream);
            if let Some(end) = self.ended(stream) {
                return end;
            }
            let interest = if self.outbox.borrow().is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            tokio::select! {
                ready = stream.ready(interest) => match ready {
                    Ok(ready) if ready.is_readable() || ready.is_read_closed() => {
                        self.read(stream, &mut buffer.borrow_mut(), &mut begun, &mut framer, receiver);
                        let half = begun.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
                        partial = half.then(|| partial.unwrap_or(self.clock.now().tick));
                        tokio::task::yield_now().await;
                    }
                    Ok(_) => {}
                    Err(_) => self.finish(End::Peer),
                },
                () = self.wake.notified() => {}
                () = &mut deadline => {
                    let (due, why) = self.deadline(partial);
                    if due <= self.clock.now().tick {
                        self.finish(End::Lost(why));
                    } else {
                        deadline.as_mut().reset(self.clock.instant(due).into());
                    }
                    continue;
                }
            }
            let due = self.clock.instant(self.deadline(partial).0).into();
            if due < deadline.deadline() {
                deadline.as_mut().reset(due);
            }
        }
    }

    fn read(
        &self,
        stream: &TcpStream,
        buffer: &mut [u8],
        begun: &mut BytesMut,
        framer: &mut Framer,
        receiver: &impl Receiver,
    ) {
        let mut taken = 0;
        while taken < TURN && self.end.get().is_none() {
            match stream.try_read(buffer) {
                Ok(0) => self.finish(End::Peer),
                Ok(n) => {
                    taken += n;
                    self.greeted.set(true);
                    self.take_in(buffer.get(..n).unwrap_or_default(), begun, framer, receiver);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.finish(End::Peer),
            }
        }
        self.active.set(self.clock.now().tick);
        receiver.settled();
    }

    /// Frames what is there; what is not yet whole is kept in `begun`.
    fn take_in(&self, bytes: &[u8], begun: &mut BytesMut, framer: &mut Framer, receiver: &impl Receiver) {
        if begun.is_empty() {
            let used = self.deliver(bytes, framer, receiver);
            begun.extend_from_slice(bytes.get(used..).unwrap_or_default());
        } else {
            begun.extend_from_slice(bytes);
            let used = self.deliver(begun, framer, receiver);
            begun.advance(used);
        }
        if begun.is_empty() && begun.capacity() > KEPT {
            *begun = BytesMut::new();
        }
    }

    /// Delivers the whole frames at the front of `bytes` and returns their length.
    fn deliver(&self, bytes: &[u8], framer: &mut Framer, receiver: &impl Receiver) -> usize {
        let mut at = 0;
        while self.end.get().is_none() {
            let rest = bytes.get(at..).unwrap_or_default();
            match framer.next(rest) {
                Frame::Partial => break,
                Frame::Blank(n) => at += n,
                Frame::Ping(n) => {
                    at += n;
                    self.stats.keep_alives.inc();
                    // RFC 5626 §5.4: the pong, at once.
                    let _ = self.send(b"\r\n", 0);
                }
                Frame::Message(n) => {
                    at += n;
                    self.stats.stream_messages_in.inc();
                    receiver.message(self.flow.get(), rest.get(..n).unwrap_or_default());
                }
                Frame::Last(n) => {
                    at += n;
                    receiver.message(self.flow.get(), rest.get(..n).unwrap_or_default());
                    self.finish(End::Lost(Loss::Framing));
                }
                Frame::Broken(_) => self.finish(End::Lost(Loss::Framing)),
            }
        }
        at
    }

    fn write(&self, stream: &TcpStream) {
        let mut outbox = self.outbox.borrow_mut();
        match outbox.flush(|bytes| stream.try_write(bytes)) {
            Ok(_) if outbox.is_empty() => self.stalled.set(None),
            Ok(true) => self.stalled.set(Some(self.clock.now().tick)),
            Ok(false) => {}
            Err(_) => self.finish(End::Peer),
        }
    }

    /// The reason to end now, if there is one: our own close waits for the outbox.
    fn ended(&self, stream: &TcpStream) -> Option<End> {
        let end = self.end.get()?;
        if end == End::Lost(Loss::Stalled) {
            // Nobody reads: do not let the kernel keep what is left.
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        match end {
            End::Ours | End::Lost(Loss::Framing) if !self.outbox.borrow().is_empty() => None,
            _ => Some(end),
        }
    }

    fn deadline(&self, partial: Option<Tick>) -> (Tick, Loss) {
        let limits = &self.limits;
        let quiet = if self.greeted.get() { (limits.idle, Loss::Idle) } else { (limits.first_byte, Loss::FirstByte) };
        let quiet = (self.active.get().after(quiet.0), quiet.1);
        let partial = partial.map(|since| (since.after(limits.partial), Loss::Partial));
        let stalled = self.stalled.get().map(|since| (since.after(limits.stall), Loss::Stalled));
        [Some(quiet), partial, stalled].into_iter().flatten().min_by_key(|(due, _)| *due).unwrap_or(quiet)
    }

    /// The first reason stands, but a peer that is gone or stalled beats a polite close.
    fn finish(&self, end: End) {
        if matches!(self.end.get(), None | Some(End::Ours)) {
            self.end.set(Some(end));
        }
        self.wake.notify_one();
    }
}

fn prepare(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    let alive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(120))
        .with_interval(Duration::from_secs(20))
        .with_retries(3);
    let _ = socket.set_tcp_keepalive(&alive);
    let _ = socket.set_tcp_user_timeout(Some(Duration::from_secs(30)));
}
