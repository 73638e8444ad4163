//! A worker: one thread with its sockets, its engine shard and its timer (DESIGN 7).
//!
//! Everything a worker owns is touched by its own thread only and never across an await, so it is
//! held in cells. What comes in is handled, and what the engine wants done is done, before the next
//! thing is read: no channel and no other thread is on the way of a message.

use super::alarm::Alarm;
use super::claims::Signal;
use super::cork::Cork;
use super::effects::Failure;
use super::machine::Machine;
use super::mail::{Mail, Post};
use super::notes::Notes;
use super::options::{Limits, Site};
use super::service::Ear;
use super::streams::{Connections, PoolKey};
use crate::clock::{Clock, Now, Tick};
use crate::engine::contract::{Greeting, Input};
use crate::guard::Guard;
use crate::ids::{Flow, ListenerId, Shard, Transport};
use crate::net::admission::{Recent, Sources};
use crate::net::counters::{Loss, NetStats};
use crate::net::guests::Guests;
use crate::net::stream::{Connection, Receiver};
use crate::net::udp::{Batch, UdpSocket};
use crate::net::ws::upgrade::Asked;
use crate::route::cell::Reader;
use crate::route::snapshot::{Map, Snapshot};
use crate::tls::client::Clients;
use crate::tls::failures::{self, Attempt};
use arc_swap::ArcSwap;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// Letters taken from the box before others get their turn.
const LETTERS: usize = 64;
/// Milliseconds between two rounds of timers at the least: under load one is due every millisecond, and each round
/// costs a wake-up.
const ROUND: u64 = 8;

/// What all workers share.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) clock: Clock,
    pub(super) boot: u32,
    pub(super) limits: Arc<ArcSwap<Limits>>,
    pub(super) stats: Arc<NetStats>,
    pub(super) sources: Arc<Sources>,
    pub(super) guests: Arc<Guests>,
    pub(super) handshakes: Arc<Guests>,
    pub(super) clients: Arc<Clients>,
    pub(super) post: Post,
    pub(super) notes: Arc<Notes>,
    pub(super) signal: Signal,
    pub(super) guard: Arc<Guard>,
}

/// One worker, inside its thread.
pub(super) struct Worker<M> {
    pub(super) common: Common,
    pub(super) shard: Shard,
    machine: RefCell<M>,
    routes: RefCell<Reader>,
    /// Sends that failed and are still to be told to the engine.
    pub(super) failures: RefCell<Vec<Failure>>,
    /// Datagram sockets by listener, the shared inside ones included.
    pub(super) sockets: RefCell<Map<ListenerId, Rc<UdpSocket>>>,
    /// The worker's own inside sockets, IPv4 and IPv6.
    pub(super) own: [Option<Rc<UdpSocket>>; 2],
    pub(super) connections: RefCell<Connections>,
    pub(super) cork: RefCell<Cork>,
    pub(super) recent: RefCell<Recent>,
    /// One reading of a datagram socket.
    pub(super) batch: RefCell<Batch>,
    /// One turn's reading of a stream.
    pub(super) chunk: RefCell<Box<[u8]>>,
    /// The tasks that listen.
    pub(super) ears: RefCell<Map<(ListenerId, Transport), Ear>>,
    /// Connections that are to be opened by a task of their own.
    pub(super) opening: RefCell<Vec<(PoolKey, Rc<Connection>)>>,
    pub(super) rouse: Notify,
    /// Connections of load balancers that have not yet said whose they are.
    pub(super) introductions: Cell<u32>,
    alarm: Alarm,
    /// When the alarm will ring.
    armed: Cell<Option<Tick>>,
    fired: Cell<Tick>,
}

impl<M: Machine + 'static> Worker<M> {
    pub(super) fn new(
        common: Common,
        site: Site,
        machine: M,
        routes: Reader,
        own: [Option<Rc<UdpSocket>>; 2],
        alarm: Alarm,
    ) -> Rc<Self> {
        let limits = common.limits.load();
        Rc::new(Self {
            shard: site.shard,
            opening: RefCell::default(),
            rouse: Notify::new(),
            machine: RefCell::new(machine),
            routes: RefCell::new(routes),
            failures: RefCell::default(),
            sockets: RefCell::default(),
            own,
            connections: RefCell::default(),
            cork: RefCell::default(),
            recent: RefCell::new(Recent::new(limits.remembered_flows, limits.flow_memory)),
            batch: RefCell::default(),
            chunk: RefCell::new(vec![0; 64 * 1024].into_boxed_slice()),
            ears: RefCell::default(),
            introductions: Cell::new(0),
            alarm,
            armed: Cell::new(None),
            fired: Cell::default(),
            common,
        })
    }

    /// Gives the engine one thing that happened and does what it wants done.
    pub(super) fn deliver(&self, input: Input<'_>) {
        self.deliver_at(self.common.clock.now(), input);
    }

    /// As [`Self::deliver`], where the clock was just read.
    pub(super) fn deliver_at(&self, now: Now, input: Input<'_>) {
        let mut routes = self.routes.borrow_mut();
        let routes = routes.load();
        let mut machine = self.machine.borrow_mut();
        machine.handle(now, input, routes);
        if let Some(verdict) = machine.take_verdict() {
            self.common.notes.verdict(verdict, &input, now.tick);
        }
        self.carry_out(&mut *machine);
        // A failed send makes the engine try the next target or give up: this ends.
        loop {
            let Some(Failure { ticket, why }) = self.failures.borrow_mut().pop() else { break };
            machine.handle(now, Input::SendFailed { ticket, why }, routes);
            self.carry_out(&mut *machine);
        }
    }

    /// Whether a connection is that of a client that was banned meanwhile; it is closed then.
    fn keeps_out(&self, flow: Flow) -> bool {
        let guard = &self.common.guard;
        let Flow::Stream { listener, conn, peer, .. } = flow else { return false };
        if guard.is_idle() || listener.is_inside() || guard.admits(peer.ip(), true, self.common.clock.now().tick) {
            return false;
        }
        self.lose(Loss::Banned, peer);
        if let Some(connection) = self.connections.borrow().find(conn) {
            connection.close();
        }
        true
    }

    /// The current table.
    pub(super) fn routes(&self) -> Arc<Snapshot> {
        Arc::clone(self.routes.borrow_mut().load())
    }

    /// Counts what went no further, and says so.
    pub(super) fn lose(&self, why: Loss, peer: SocketAddr) {
        self.common.stats.lose(why);
        self.common.notes.loss(why, peer, self.common.clock.now().tick);
    }

    /// Lets due timers fire.
    fn fire(&self) {
        {
            let now = self.common.clock.now();
            self.fired.set(now.tick);
            let mut routes = self.routes.borrow_mut();
            let mut machine = self.machine.borrow_mut();
            machine.handle_timeout(now, routes.load());
            self.carry_out(&mut *machine);
        }
        self.pull_cork();
        self.report_failures();
    }

    /// Tells the engine of sends that failed outside of [`Self::deliver`].
    pub(super) fn report_failures(&self) {
        let next = self.failures.borrow_mut().pop();
        if let Some(Failure { ticket, why }) = next {
            self.deliver(Input::SendFailed { ticket, why });
        }
    }

    fn carry_out(&self, machine: &mut M) {
        while let Some(output) = machine.poll_output() {
            self.effect(output);
        }
    }

    /// When timers are to fire: never more often than every [`ROUND`].
    fn next_round(&self) -> Option<Tick> {
        let next = self.machine.borrow_mut().poll_timeout()?;
        Some(next.max(self.fired.get().after(ROUND)))
    }

    /// Ends a turn: what is held back is sent, and the alarm set if the engine now wants to be called earlier than it
    /// rings.
    pub(super) fn settle(&self) {
        self.pull_cork();
        self.report_failures();
        self.arm();
    }

    fn arm(&self) {
        let Some(next) = self.next_round() else { return };
        if self.armed.get().is_none_or(|armed| next < armed) {
            self.armed.set(Some(next));
            self.alarm.set(Duration::from_millis(next.since(self.common.clock.tick())));
        }
    }

    /// Lets timers fire, as long as the runtime lives.
    pub(super) async fn keep_time(self: Rc<Self>) {
        self.arm();
        while self.alarm.rings().await.is_ok() {
            self.armed.set(None);
            self.fire();
            self.arm();
        }
    }

    /// Reads the worker's letters.
    pub(super) async fn read_mail(self: Rc<Self>, mut letters: mpsc::Receiver<Mail>) {
        let mut batch = Vec::with_capacity(LETTERS);
        while letters.recv_many(&mut batch, LETTERS).await > 0 {
            for letter in batch.drain(..) {
                self.open_letter(letter);
            }
            self.settle();
            tokio::task::yield_now().await;
        }
    }

    fn open_letter(self: &Rc<Self>, letter: Mail) {
        match letter {
            Mail::HandOver { flow, bytes } => self.deliver(Input::HandedOver { flow, bytes: &bytes }),
            Mail::Send { conn, bytes, ticket, from } => self.send_for(from, conn, &bytes, ticket),
            Mail::Failed { ticket, why } => self.deliver(Input::SendFailed { ticket, why }),
            Mail::FlowClosed { flow } => self.deliver(Input::FlowClosed { flow }),
            Mail::Moved { instance, device } => self.deliver(Input::Moved { instance, device }),
            Mail::Claimed(claimed) => {
                for (ticket, saved) in claimed {
                    self.deliver(Input::Claimed { ticket, saved });
                }
            }
            Mail::Adopt(adopted) => self.adopt(*adopted),
            Mail::Close { conn } => {
                self.pull_cork();
                if let Some(connection) = self.connections.borrow().find(conn) {
                    connection.close();
                }
            }
        }
    }
}

impl<M: Machine + 'static> Receiver for Worker<M> {
    fn opened(&self, flow: Flow, greeting: &Greeting) {
        if !flow.listener().is_inside() {
            self.deliver(Input::FlowOpened { flow, greeting });
        }
    }

    fn lets(&self, flow: Flow, asked: &Asked) -> bool {
        let routes = self.routes();
        let proxy = routes.proxy_by_id(flow.listener().proxy);
        let now = self.common.clock.now().unix;
        proxy.is_some_and(|proxy| routes.lets(proxy, &asked.host, asked.origin.as_deref(), now))
    }

    fn refused_handshake(&self, flow: Flow, first: &[u8], end: failures::End<'_>) {
        let attempt = Attempt { listener: flow.listener(), peer: flow.peer(), first, end };
        self.common.stats.failures.note(&attempt, self.common.clock.now());
    }

    fn message(&self, flow: Flow, bytes: &[u8]) {
        if self.keeps_out(flow) {
            return;
        }
        self.deliver(Input::Message { flow, bytes });
    }

    fn settled(&self) {
        self.settle();
    }
}
