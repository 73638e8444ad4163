//! One SIP stream: its layers, keep-alives, deadlines, and what waits for its peer.
//!
//! A connection belongs to one worker and is served by one task of it. Sending never waits: what
//! the kernel does not take at once stays in the [`Layer`], and a peer that lets it run full, or
//! does not read for too long, is closed. What comes in passes the layer (TLS or none) and the
//! [`Codec`] (framed SIP, or a WebSocket), which may have a handshake of its own; both happen here,
//! bounded by one deadline. Opening, accepting and finding connections is the driver's; what a
//! message means is the engine's.

mod life;

use super::codec::{Codec, Framing, Said};
use super::counters::{Loss, NetStats};
use super::guests::Place;
use super::layer::{Broken, Got, Layer};
use super::socket::Socket;
use super::ws::upgrade::{Asked, Refused};
use crate::clock::{Clock, Tick};
use crate::greeting::Greeting;
use crate::ids::{Flow, Transport};
use crate::sip::frame::Framer;
use crate::sip::limits::Limits;
use crate::tls::failures;
use bytes::{Buf, BytesMut};
use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Sleep;

/// Bytes read from a connection before others get their turn.
const TURN: usize = 64 * 1024;
/// Capacity that an idle connection may keep.
const KEPT: usize = 16 * 1024;

/// Bounds of one connection; times in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamLimits {
    /// Bytes that may wait for a peer that does not read.
    pub outbox: usize,
    /// For an accepted connection to send its first byte.
    pub first_byte: u64,
    /// For the handshakes of TLS and WebSocket to be done.
    pub handshake: u64,
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
    /// The handshakes are done, and this is what the client said in them; not told of plain TCP.
    fn opened(&self, flow: Flow, greeting: &Greeting);
    /// Whether somebody may open a WebSocket: its page may be one that may not come here (W07).
    fn lets(&self, flow: Flow, asked: &Asked) -> bool;
    /// One framed message.
    fn message(&self, flow: Flow, bytes: &[u8]);
    /// All that was there has been delivered: what it led to is to be done now.
    fn settled(&self);
    /// A client's TLS handshake failed, which had begun with these bytes.
    fn refused_handshake(&self, flow: Flow, first: &[u8], end: failures::End<'_>);
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

impl End {
    /// Whether what waits is written before it takes effect.
    const fn is_polite(self) -> bool {
        matches!(self, Self::Ours | Self::Lost(Loss::Framing | Loss::NotTls | Loss::Upgrade | Loss::WebSocket))
    }
}

/// How a connection begins.
pub struct Start {
    /// Its way.
    pub flow: Flow,
    /// Its socket, if it is open already.
    pub socket: Option<Socket>,
    /// What lies between the socket and the messages.
    pub layer: Layer,
    /// Whether a peer that speaks plainly where TLS could be spoken is welcome all the same.
    pub either: bool,
    /// Its share of the handshakes that may be under way.
    pub handshake: Option<Place>,
}

/// What was read of a connection before it came here.
#[derive(Debug, Default)]
pub struct Early {
    /// Messages, or the beginning of one.
    pub bytes: BytesMut,
    /// What the client said in the handshakes.
    pub greeting: Greeting,
}

/// A connection that is being opened or is open.
pub struct Connection {
    flow: Cell<Flow>,
    limits: StreamLimits,
    stats: Arc<NetStats>,
    clock: Clock,
    socket: OnceCell<Socket>,
    layer: RefCell<Layer>,
    framing: Cell<Framing>,
    either: bool,
    /// Tickets of what waits for the connection to be opened.
    tickets: RefCell<Vec<u64>>,
    end: Cell<Option<End>>,
    /// Nothing more can be written.
    cut: Cell<bool>,
    /// The task that serves it.
    task: RefCell<Option<Waker>>,
    /// When it began; the handshakes are to be done soon after.
    since: Cell<Tick>,
    /// Whether the handshakes are done.
    opened: Cell<bool>,
    handshake: RefCell<Option<Place>>,
    /// Last traffic in either direction.
    active: Cell<Tick>,
    /// Since when the peer has read nothing of what waits.
    stalled: Cell<Option<Tick>>,
    /// Whether the peer has ever sent something, or need not.
    greeted: Cell<bool>,
    /// Workers, by bit, that sent over it and want to know of its end.
    senders: Cell<u64>,
}

/// What one connection's reading needs and sending does not.
struct Reading<'a, R> {
    socket: &'a Socket,
    receiver: &'a R,
    codec: Codec,
    begun: BytesMut,
    /// Since when a message has begun that is not whole.
    partial: Option<Tick>,
}

impl Connection {
    /// A connection that is open (with a socket) or about to be.
    pub fn new(start: Start, limits: StreamLimits, stats: Arc<NetStats>, clock: Clock) -> Rc<Self> {
        let cell = OnceCell::new();
        let greeted = start.socket.is_none();
        if let Some(socket) = start.socket {
            socket.prepare();
            let _ = cell.set(socket);
        }
        let now = clock.now().tick;
        Rc::new(Self {
            flow: Cell::new(start.flow),
            limits,
            stats,
            clock,
            socket: cell,
            layer: RefCell::new(start.layer),
            framing: Cell::new(Framing::Bare),
            either: start.either,
            tickets: RefCell::default(),
            end: Cell::new(None),
            cut: Cell::new(false),
            task: RefCell::default(),
            since: Cell::new(now),
            opened: Cell::new(false),
            handshake: RefCell::new(start.handshake),
            active: Cell::new(now),
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
        if ticket != 0 && !self.opened.get() {
            self.tickets.borrow_mut().push(ticket);
        }
        let mut room = [0; Framing::HEAD];
        let head = self.framing.get().head(bytes, &mut room);
        self.stats.stream_messages_out.inc();
        self.put(head, bytes)
    }

    /// Whether its handshakes are done.
    pub fn is_open(&self) -> bool {
        self.opened.get()
    }

    /// Adds one message to what [`Self::send_framed`] is to send.
    pub fn frame(&self, message: &[u8], framed: &mut Vec<u8>) -> Result<(), Unsent> {
        if self.end.get().is_some() {
            return Err(Unsent::Gone);
        }
        framed.extend_from_slice(self.framing.get().head(message, &mut [0; Framing::HEAD]));
        framed.extend_from_slice(message);
        self.stats.stream_messages_out.inc();
        Ok(())
    }

    /// Sends messages that are framed already, as [`Self::send`] does.
    pub fn send_framed(&self, framed: &[u8]) -> Result<(), Unsent> {
        if self.end.get().is_some() {
            return Err(Unsent::Gone);
        }
        self.put(&[], framed)
    }

    /// Sends bytes that are framed already, or of which the first part frames the second.
    fn put(&self, head: &[u8], body: &[u8]) -> Result<(), Unsent> {
        let now = self.clock.now().tick;
        self.active.set(now);
        match self.layer.borrow_mut().put(self.socket.get(), head, body) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(Broken::Full) => {
                self.finish(End::Lost(Loss::Stalled));
                return Err(Unsent::Stalled);
            }
            Err(_) => {
                self.finish(End::Peer);
                return Err(Unsent::Gone);
            }
        }
        if self.stalled.get().is_none() {
            self.stalled.set(Some(now));
        }
        self.wake();
        Ok(())
    }

    /// Closes it once what waits has been written.
    pub fn close(&self) {
        if self.end.get().is_none()
            && let Some((bytes, length)) = self.framing.get().farewell()
        {
            let _ = self.put(&[], bytes.get(..length).unwrap_or_default());
        }
        self.finish(End::Ours);
    }

    /// Opens its socket; false if that failed.
    pub async fn open(&self, connect: impl Future<Output = io::Result<Socket>>) -> bool {
        match tokio::time::timeout(Duration::from_millis(self.limits.connect), connect).await {
            Ok(Ok(socket)) => {
                socket.prepare();
                self.note_local(&socket);
                let _ = self.socket.set(socket);
                let now = self.clock.now().tick;
                self.since.set(now);
                self.active.set(now);
                self.stalled.set((!self.layer.borrow().is_empty()).then_some(now));
                true
            }
            _ => {
                self.finish(End::Lost(Loss::Connect));
                false
            }
        }
    }

    /// The tickets of what it did not take over to its peer because it never became open.
    pub fn take_tickets(&self) -> Vec<u64> {
        self.tickets.take()
    }

    /// What was plain TCP until it was heard is TLS.
    fn note_tls(&self) {
        let mut flow = self.flow.get();
        if let Flow::Stream { transport, .. } = &mut flow {
            *transport = Transport::Tls;
        }
        self.flow.set(flow);
    }

    fn note_local(&self, socket: &Socket) {
        let mut flow = self.flow.get();
        if let (Flow::Stream { local, .. }, Some(address)) = (&mut flow, socket.local()) {
            *local = address;
        }
        self.flow.set(flow);
    }

    /// Serves it until it ends.
    /// `buffer` is lent to all connections of the worker, each while it reads.
    pub async fn serve(
        &self,
        receiver: &impl Receiver,
        codec: Codec,
        early: Option<Early>,
        buffer: &RefCell<Box<[u8]>>,
    ) -> End {
        let Some(socket) = self.socket.get() else { return End::Peer };
        let mut reading = Reading { socket, receiver, codec, begun: BytesMut::new(), partial: None };
        let mut deadline = pin!(tokio::time::sleep_until(self.clock.instant(self.deadline(None).0).into()));
        let mut parted = false;
        self.begin(early, &mut buffer.borrow_mut(), &mut reading);
        let end = poll_fn(|cx| self.turn(cx, &mut reading, buffer, deadline.as_mut(), &mut parted)).await;
        if end.is_polite() && (end != End::Ours || self.framing.get() == Framing::Frames) {
            life::linger(socket, buffer).await;
        }
        end
    }

    /// Does all there is to do now: writes, reads, looks at the clock.
    fn turn(
        &self,
        cx: &mut Context<'_>,
        reading: &mut Reading<'_, impl Receiver>,
        buffer: &RefCell<Box<[u8]>>,
        mut deadline: Pin<&mut Sleep>,
        parted: &mut bool,
    ) -> Poll<End> {
        let socket = reading.socket;
        self.note_task(cx);
        loop {
            if let Some(end) = self.end.get()
                && !*parted
                && end != End::Lost(Loss::Stalled)
            {
                *parted = true;
                self.layer.borrow_mut().say_goodbye();
            }
            self.write(socket);
            if let Some(end) = self.ended(socket) {
                match end {
                    End::Peer => self.note_handshake(failures::End::Closed, reading.receiver),
                    End::Lost(Loss::HandshakeSlow | Loss::FirstByte) => {
                        self.note_handshake(failures::End::Slow, reading.receiver);
                    }
                    End::Ours | End::Lost(_) => {}
                }
                return Poll::Ready(end);
            }
            if self.end.get().is_none() {
                match socket.poll_readable(cx) {
                    Poll::Ready(Ok(())) => {
                        let more = self.read(&mut buffer.borrow_mut(), reading);
                        let half = reading.codec.is_midway(&reading.begun);
                        reading.partial = half.then(|| reading.partial.unwrap_or(self.active.get()));
                        if more {
                            // Others get their turn.
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        continue;
                    }
                    Poll::Ready(Err(_)) => {
                        self.finish(End::Peer);
                        continue;
                    }
                    Poll::Pending => {}
                }
            }
            if !self.layer.borrow().is_empty() {
                match socket.poll_writable(cx) {
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(_)) => {
                        self.finish(End::Peer);
                        self.cut.set(true);
                        continue;
                    }
                    Poll::Pending => {}
                }
            }
            if !self.is_due(cx, reading.partial, deadline.as_mut()) {
                return Poll::Pending;
            }
        }
    }

    /// Takes in what was read before, and what the layer holds already.
    fn begin(&self, early: Option<Early>, buffer: &mut [u8], reading: &mut Reading<'_, impl Receiver>) {
        self.framing.set(reading.codec.framing());
        match early {
            None => self.look_open(reading),
            Some(Early { mut bytes, greeting }) => {
                self.open_up(reading, &greeting);
                self.greeted.set(!bytes.is_empty());
                self.take_in(&mut bytes, reading);
            }
        }
        if self.layer.borrow().is_tls() {
            self.read(buffer, reading);
        } else {
            reading.receiver.settled();
        }
    }

    /// Tells of a connection whose layer and codec need no (more) handshake.
    fn look_open(&self, reading: &Reading<'_, impl Receiver>) {
        if self.opened.get() || !reading.codec.is_open() {
            return;
        }
        let layer = self.layer.borrow();
        if !layer.is_open() {
            return;
        }
        let greeting = layer.is_tls().then(|| layer.greeting());
        drop(layer);
        if self.either && greeting.is_some() {
            self.note_tls();
        }
        self.settle_in();
        if let Some(greeting) = greeting {
            // Who resumes a session may wait for calls without another word.
            self.greeted.set(self.greeted.get() && greeting.resumed.is_some());
            reading.receiver.opened(self.flow.get(), &greeting);
        }
    }

    fn open_up(&self, reading: &Reading<'_, impl Receiver>, greeting: &Greeting) {
        self.settle_in();
        reading.receiver.opened(self.flow.get(), greeting);
    }

    fn settle_in(&self) {
        self.opened.set(true);
        self.handshake.take();
        self.tickets.take();
    }

    /// Takes in what is there; true if it was too much for one turn.
    fn read(&self, buffer: &mut [u8], reading: &mut Reading<'_, impl Receiver>) -> bool {
        let mut taken = 0;
        let mut more = true;
        while taken < TURN && self.end.get().is_none() {
            let got = self.layer.borrow_mut().read(reading.socket, buffer);
            self.look_open(reading);
            match got {
                Ok(Got::Bytes(n)) => {
                    taken += n;
                    self.greeted.set(true);
                    self.take_in(buffer.get_mut(..n).unwrap_or_default(), reading);
                }
                Ok(Got::Stray(n)) if self.either => {
                    self.look_open(reading);
                    self.greeted.set(true);
                    self.take_in(buffer.get_mut(..n).unwrap_or_default(), reading);
                }
                Ok(Got::Stray(n)) => {
                    let first = buffer.get(..n).unwrap_or_default();
                    reading.receiver.refused_handshake(self.flow.get(), first, failures::End::Closed);
                    reading.codec = Codec::Stray(Framer::new(Limits::DEFAULT));
                    self.take_in(buffer.get_mut(..n).unwrap_or_default(), reading);
                }
                Ok(Got::Nothing) => {
                    more = false;
                    break;
                }
                Ok(Got::Closed) | Err(Broken::Socket | Broken::Full) => self.finish(End::Peer),
                Err(Broken::Tls(why)) => {
                    self.note_handshake(failures::End::Error(&why), reading.receiver);
                    self.finish(End::Lost(if self.opened.get() { Loss::Tls } else { Loss::Handshake }));
                }
            }
        }
        self.active.set(self.clock.now().tick);
        if taken == 0 {
            // The handshake may be done.
            reading.receiver.settled();
        }
        more && self.end.get().is_none()
    }

    /// Decodes what is there; what is not yet whole is kept in `begun`.
    fn take_in(&self, bytes: &mut [u8], reading: &mut Reading<'_, impl Receiver>) {
        if reading.begun.is_empty() {
            let used = self.decode(bytes, &mut reading.codec, reading.receiver);
            reading.begun.extend_from_slice(bytes.get(used..).unwrap_or_default());
        } else {
            reading.begun.extend_from_slice(bytes);
            let used = self.decode(&mut reading.begun, &mut reading.codec, reading.receiver);
            reading.begun.advance(used);
        }
        if reading.begun.is_empty() && reading.begun.capacity() > KEPT {
            reading.begun = BytesMut::new();
        }
    }

    fn decode(&self, bytes: &mut [u8], codec: &mut Codec, receiver: &impl Receiver) -> usize {
        let used = codec.read(bytes, |said| {
            if !matches!(said, Said::Message(_)) {
                // What answers the messages before it goes first.
                receiver.settled();
            }
            match said {
                Said::Message(bytes) => {
                    self.stats.stream_messages_in.inc();
                    receiver.message(self.flow.get(), bytes);
                }
                Said::Asked(asked) => self.upgrade(asked, receiver),
                Said::Ping(answer) => {
                    self.stats.keep_alives.inc();
                    let _ = self.put(&[], answer);
                }
                Said::Answer(bytes) => {
                    let _ = self.put(&[], bytes);
                }
                Said::End(why) => self.finish(why.map_or(End::Ours, End::Lost)),
            }
            self.end.get().is_none()
        });
        receiver.settled();
        used
    }

    /// Tells of a client that began TLS and did not get through.
    fn note_handshake(&self, end: failures::End<'_>, receiver: &impl Receiver) {
        let layer = self.layer.borrow();
        if let Some(first) = layer.first().filter(|_| !layer.is_open()) {
            receiver.refused_handshake(self.flow.get(), first, end);
        }
    }

    /// Opens a WebSocket, or does not.
    fn upgrade(&self, asked: &Asked, receiver: &impl Receiver) {
        if !receiver.lets(self.flow.get(), asked) {
            let _ = self.put(&[], &Refused::Origin.answer());
            return self.finish(End::Lost(Loss::Upgrade));
        }
        let _ = self.put(&[], &asked.accept());
        self.framing.set(Framing::Frames);
        let greeting = asked.greeting(self.layer.borrow().greeting());
        self.settle_in();
        receiver.opened(self.flow.get(), &greeting);
    }

    fn write(&self, socket: &Socket) {
        let mut layer = self.layer.borrow_mut();
        match layer.flush(socket) {
            Ok(_) if layer.is_empty() => self.stalled.set(None),
            Ok(true) => self.stalled.set(Some(self.clock.now().tick)),
            Ok(false) => {}
            Err(_) => {
                self.finish(End::Peer);
                self.cut.set(true);
            }
        }
    }
}
