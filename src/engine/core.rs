//! The engine: one shard of the proxy. Takes what happens, dispatches it, and hands out what is to be done.
//!
//! Each kind of input has a file of its own (`request`, `response`, `ack`, `cancel`, `failure`, `timers`); the
//! response context of RFC 3261 §16.7 is in `context`. Called by the driver, and by the simulation in tests.

use super::budget::Budgets;
use super::config::Config;
use super::contract::{Input, Output, Verdict};
use super::greeting::Greetings;
use super::learn::Contacts;
use super::outbox::Outbox;
use super::request::channel;
use super::shared::Shared;
use super::shed::Floods;
use super::steer;
use super::sweep::Sweep;
use super::tables::{Sides, Tables};
use super::token::Keyring;
use super::transaction::key::Keyer;
use crate::clock::{Now, Tick};
use crate::ids::{DeviceId, Flow, InstanceId};
use crate::reason::{Drop, Refusal};
use crate::route::snapshot::Snapshot;
use crate::sip::check::Channel;
use crate::sip::edit::Splices;
use crate::sip::method::Method;
use crate::sip::view::{Index, View};
use crate::stats::ShardStats;
use arc_swap::{ArcSwap, Cache};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;

/// One shard of the proxy.
pub struct Engine {
    pub(super) config: Config,
    pub(super) shared: Arc<Shared>,
    /// The keys of tokens as they are during one call, and where new ones are found.
    pub(super) ring: Arc<Keyring>,
    keys: Cache<Arc<ArcSwap<Keyring>>, Arc<Keyring>>,
    pub(super) keyer: Keyer,
    pub(super) rng: fastrand::Rng,
    pub(super) tables: Tables,
    pub(super) out: Outbox,
    pub(super) room: Room,
    /// Devices that moved while the message at hand was dealt with.
    pub(super) moved: Vec<(InstanceId, DeviceId)>,
    /// What clients said before their first message.
    pub(super) greetings: Greetings,
    /// What each instance may ask for anew.
    pub(super) budgets: Budgets,
    /// Names of those that ask for far too much.
    pub(super) floods: Floods,
    /// How far the registry is looked through.
    pub(super) sweep: Sweep,
    /// The sent-by that was written last, and its hash.
    pub(super) sent_by: Option<(SocketAddr, u64)>,
    pub(super) verdict: Cell<Option<Verdict>>,
    /// What it counts by itself.
    pub(super) own: Arc<ShardStats>,
}

/// Buffers that are reused from message to message.
#[derive(Default)]
pub(super) struct Room {
    /// The message at hand.
    pub index: Lent,
    /// A branch's request or a kept response, looked at beside it.
    pub kept_index: Lent,
    /// A transaction's request, looked at beside both.
    pub own_index: Lent,
    /// Changes of a message.
    pub splices: Splices,
    /// A message being written.
    pub text: Vec<u8>,
    /// Header rows being written.
    pub rows: Vec<u8>,
    /// A branch or address being written.
    pub branch: Vec<u8>,
    /// What steering decodes.
    pub steer: steer::Scratch,
    /// Contacts of an answer to a REGISTER.
    pub contacts: Contacts,
}

/// An index that is taken out of its place while a message is looked at: one pointer is moved, not all it holds.
#[derive(Default)]
pub(super) struct Lent(Option<Box<Index>>);

impl Lent {
    /// The index.
    pub(super) fn get(&mut self) -> &mut Index {
        self.0.get_or_insert_default()
    }
}

/// The moment of one call, and the table to use during it.
#[derive(Clone, Copy)]
pub(super) struct Moment<'s> {
    /// The clocks.
    pub now: Now,
    /// The table.
    pub snapshot: &'s Snapshot,
}

impl Engine {
    /// A shard without any transaction.
    pub fn new(config: Config, shared: Arc<Shared>) -> Self {
        let mut rng = fastrand::Rng::with_seed(config.seed);
        Self {
            keyer: Keyer::new(&mut rng, shared.registry.dialogs.clone()),
            tables: Tables::new(config.transactions, config.answered_bytes, &config.timing),
            rng,
            ring: shared.keys.load_full(),
            own: shared.stats.shards.join(),
            keys: Cache::new(Arc::clone(&shared.keys)),
            shared,
            out: Outbox::default(),
            room: Room::default(),
            moved: Vec::new(),
            greetings: Greetings::default(),
            budgets: Budgets::new(config.new_requests),
            floods: Floods::default(),
            sweep: Sweep::default(),
            sent_by: None,
            verdict: Cell::new(None),
            config,
        }
    }

    /// Takes in what happened. Drain [`Self::poll_output`] after it.
    pub fn handle(&mut self, now: Now, input: Input<'_>, snapshot: &Snapshot) {
        let moment = Moment { now, snapshot };
        self.verdict.set(None);
        self.renew_keys();
        match input {
            Input::Message { flow, bytes } => self.on_message(moment, flow, bytes, false),
            Input::HandedOver { flow, bytes } => self.on_message(moment, flow, bytes, true),
            Input::FlowOpened { flow, greeting } => {
                self.on_flow_opened(flow, greeting);
                self.on_resumed(moment, flow, greeting);
            }
            Input::Moved { instance, device } => self.on_moved(moment, instance, device),
            Input::FlowClosed { flow } => {
                self.greetings.forget(&flow);
                self.on_flow_closed(moment, flow);
            }
            Input::KeepAlive { flow } => self.shared.registry.hear(&flow, now.unix),
            Input::Claimed { ticket, saved } => self.on_claimed(moment, ticket, saved),
            Input::Unreachable { peer, quoted } => self.on_unreachable(moment, peer, quoted),
            Input::SendFailed { ticket, why } => self.on_send_failed(moment, ticket, why),
        }
        self.settle_moved(moment);
        self.report();
    }

    /// The next thing to do. Its bytes are valid until the next call of any method.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        self.out.pop()
    }

    /// What is to be told of the message that [`Self::handle`] took last, such as that it went no further.
    pub fn take_verdict(&self) -> Option<Verdict> {
        self.verdict.take()
    }

    /// When [`Self::handle_timeout`] wants to be called; it may find nothing to do then.
    pub fn poll_timeout(&self) -> Option<Tick> {
        let timer = self.tables.next_due();
        if self.sweeps() { Some(timer.map_or(self.sweep.at, |at| at.min(self.sweep.at))) } else { timer }
    }

    /// Does what is due. Drain [`Self::poll_output`] after it.
    pub fn handle_timeout(&mut self, now: Now, snapshot: &Snapshot) {
        let moment = Moment { now, snapshot };
        self.renew_keys();
        self.tables.forget_finished(now.tick);
        while let Some(due) = self.tables.pop_due(now.tick) {
            self.on_timer(moment, due);
        }
        if self.sweeps() && now.tick >= self.sweep.at {
            self.sweep(moment);
        }
        self.report();
    }

    /// Server transactions, client transactions and timers, of what is live and of what is answered.
    pub const fn counts(&self) -> (usize, usize, usize) {
        self.tables.counts()
    }

    /// Looks once for new keys, not each time one is needed.
    fn renew_keys(&mut self) {
        let ring = self.keys.load();
        if !Arc::ptr_eq(ring, &self.ring) {
            self.ring = Arc::clone(ring);
        }
    }

    fn on_message(&mut self, moment: Moment<'_>, flow: Flow, bytes: &[u8], handed_over: bool) {
        if !handed_over && self.sheds(moment, flow, bytes) {
            return;
        }
        let mut index = std::mem::take(&mut self.room.index);
        match View::read(bytes, index.get(), &self.config.limits) {
            Ok(view) if view.is_request() && handed_over => self.on_request_handed_over(moment, flow, &view),
            Ok(view) if view.is_request() => self.on_request(moment, flow, &view),
            Ok(view) => self.on_response(moment, flow, &view, handed_over),
            Err(_) => self.discard_unreadable(flow),
        }
        self.room.index = index;
    }

    /// Only a CANCEL may look for its INVITE at every shard.
    fn on_request_handed_over(&mut self, moment: Moment<'_>, flow: Flow, view: &View<'_>) {
        match self.keyer.of(view).filter(|_| view.method() == Method::Cancel) {
            Some(key) => self.on_cancel(moment, flow, view, key),
            None => self.discard(Drop::WrongShard),
        }
    }

    /// What is no message at all. On a stream it also tells that the peer's idea of where messages end is
    /// another than ours (V10).
    fn discard_unreadable(&mut self, flow: Flow) {
        self.discard(Drop::Unreadable);
        if channel(flow.transport()) == Channel::Stream {
            self.out.close(flow);
        }
    }

    /// Notes a connection that a device is found at; its end forgets it.
    pub(super) fn watch_flow(&self, flow: Flow) {
        if let Flow::Stream { conn, .. } = flow {
            self.shared.registry.streams.watch(conn);
        }
    }

    /// Remembers that a connection carries bindings of an instance; false if it has ended meanwhile.
    pub(super) fn note_flow(&self, flow: Flow, instance: InstanceId) -> bool {
        let Flow::Stream { conn, .. } = flow else { return true };
        self.shared.registry.bind_stream(conn, instance)
    }

    /// One shard looks after what all share.
    const fn sweeps(&self) -> bool {
        self.config.shard.0 == 0
    }

    fn sweep(&mut self, moment: Moment<'_>) {
        let shared = Arc::clone(&self.shared);
        let registry = &shared.registry;
        if self.sweep.begins() {
            registry.tidy(moment.now);
            if self.sweep.follows(moment.snapshot.revision) {
                registry.follow(moment.snapshot);
            }
        }
        let rooms = self.sweep.next(moment.now, registry.len());
        registry.expire(rooms.clone(), moment.now);
        self.keep_alive(moment, rooms);
    }

    pub(super) fn note_refusal(&self, why: Refusal, instance: Option<InstanceId>) {
        self.shared.stats.refuse(why);
        self.verdict.set(Some(Verdict::Refused { why, instance }));
    }

    pub(super) fn discard(&self, why: Drop) {
        self.shared.stats.discard(why);
        self.verdict.set(Some(Verdict::Dropped(why)));
    }

    /// Brings the node's gauges up to date with this shard's tables.
    fn report(&mut self) {
        let (tables, stats) = (&mut self.tables, &self.shared.stats);
        let forgotten = tables.take_forgotten();
        if forgotten != Sides::default() {
            stats.server_answers_forgotten.add(forgotten.server as u64);
            stats.client_answers_forgotten.add(forgotten.client as u64);
        }
        let (live, answered, (_, _, timers)) = (tables.live(), tables.answered(), tables.counts());
        let own = &self.own;
        own.server_transactions.set(live.server);
        own.client_transactions.set(live.client);
        own.answered_servers.set(answered.server);
        own.answered_clients.set(answered.client);
        own.answered_bytes.set(tables.answered_bytes());
        own.timers.set(timers);
        own.kept_bytes.set(tables.buffers.held());
        own.setups.set(tables.setups());
    }
}

impl std::ops::Drop for Engine {
    /// The gauges of a node outlive a shard.
    fn drop(&mut self) {
        self.tables.close_all();
        self.report();
        self.shared.stats.shards.leave(&self.own);
    }
}
