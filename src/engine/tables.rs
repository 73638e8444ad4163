//! The live transactions of a shard and their timers.
//!
//! Keeps the books: places, generations, bounds, timers armed and disarmed with the transaction they belong
//! to. What a transaction does is decided in `transaction` and carried out in `core` and its parts.

use super::branch::Branch;
use super::buffers::{Buffers, Kept};
use super::contract::Dest;
use super::registry::DialogKey;
use super::steer::BackendRef;
use super::token::FlowRef;
use super::transaction::key::Key;
use super::transaction::{Change, Plan, client, server};
use super::wheel::{TimerId, Wheel};
use crate::clock::Tick;
use crate::ids::{Flow, InstanceId, Transport};
use crate::route::snapshot::Map;
use crate::stats::{InstanceStats, TargetHealth};
use slab::Slab;
use std::net::SocketAddr;
use std::sync::Arc;

/// Most targets tried for one request.
pub const MAX_ATTEMPTS: usize = 8;

/// Names a server transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerId {
    index: u32,
    generation: u32,
}

/// Names a client transaction; written into its branch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientId {
    /// Place in the table.
    pub index: u32,
    /// Drawn at random.
    pub nonce: u32,
}

impl ClientId {
    /// The client transaction a branch of this shard names.
    pub const fn of(branch: &Branch) -> Self {
        Self { index: branch.index, nonce: branch.nonce }
    }

    /// As a [`super::contract::Output::Send`] ticket; never 0.
    pub const fn ticket(self) -> u64 {
        ((self.index as u64 + 1) << 32) | self.nonce as u64
    }

    /// Back from a ticket.
    pub fn from_ticket(ticket: u64) -> Option<Self> {
        let index = u32::try_from(ticket >> 32).ok()?.checked_sub(1)?;
        Some(Self { index, nonce: ticket as u32 })
    }
}

/// Which timer of which transaction is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    /// Whose.
    pub owner: Owner,
    /// Which.
    pub which: Which,
}

/// A transaction that owns a timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// A client transaction.
    Client(ClientId),
    /// A server transaction.
    Server(ServerId),
}

/// The two timers of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// Retransmission.
    Resend,
    /// The end of the state.
    End,
}

/// The running timers of one transaction.
#[derive(Clone, Copy, Default, Debug)]
struct Timers {
    resend: Option<TimerId>,
    end: Option<TimerId>,
}

/// The call or registration a request is about, for the registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topic {
    /// REGISTER.
    Register,
    /// INVITE.
    Invite,
    /// BYE of this dialog.
    Bye(DialogKey),
    /// Anything else.
    Other,
}

/// How the next hop of a request is found, now and when the first one failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// One of the instance's targets, best first by this hash of the account.
    Select(u64),
    /// The address in a token, and no other (R75).
    Backend(BackendRef),
    /// A client's flow, and no other (P05).
    Client(FlowRef),
}

/// A request we were asked and its response context (RFC 3261 §16.7).
pub struct Server {
    generation: u32,
    /// Its state.
    pub machine: server::Machine,
    /// What requests it matches.
    pub key: Key,
    /// The way it came.
    pub flow: Flow,
    /// Where its responses go.
    pub reply: Dest,
    /// The request as it came.
    pub request: Kept,
    /// The last response, to be repeated.
    pub answer: Kept,
    /// Whose traffic it is.
    pub instance: InstanceId,
    /// That instance's counters.
    pub stats: Arc<InstanceStats>,
    /// How its next hop is found.
    pub way: Way,
    /// What it is about.
    pub topic: Topic,
    /// The client's end of its way.
    pub client_end: FlowRef,
    /// The instance's end, as of the last attempt.
    pub backend: BackendRef,
    /// The branch that is waited for.
    pub client: Option<ClientId>,
    /// The targets that failed or are being tried.
    pub tried: Tried,
    /// The best response of the branches that failed, and its status; 0 for none.
    pub best: Kept,
    /// That response's status.
    pub best_status: u16,
    /// Whether the caller cancelled it.
    pub cancelled: bool,
    timers: Timers,
}

/// The targets that one request has been sent to.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tried {
    list: [Option<(SocketAddr, Transport)>; MAX_ATTEMPTS],
    used: usize,
}

impl Tried {
    /// Notes a target.
    pub fn push(&mut self, address: SocketAddr, transport: Transport) {
        if let Some(slot) = self.list.get_mut(self.used) {
            *slot = Some((address, transport));
        }
        self.used += 1;
    }

    /// Whether a target has been tried.
    pub fn contains(&self, address: SocketAddr, transport: Transport) -> bool {
        self.list.contains(&Some((address, transport)))
    }

    /// How many have been tried.
    pub const fn len(&self) -> usize {
        self.used
    }
}

/// A request we sent.
pub struct Client {
    nonce: u32,
    /// Its state.
    pub machine: client::Machine,
    /// Whose branch it is.
    pub server: ServerId,
    /// The request as it was sent.
    pub request: Kept,
    /// Where it was sent.
    pub dest: Dest,
    /// The health of the target, if it is one of the table.
    pub health: Option<Arc<TargetHealth>>,
    /// Hash of the sent-by in our Via.
    pub sent_by: u64,
    timers: Timers,
}

/// What a new server transaction is made of.
pub struct NewServer<'a> {
    /// Its state.
    pub machine: server::Machine,
    /// What requests it matches.
    pub key: Key,
    /// The way it came.
    pub flow: Flow,
    /// Where its responses go.
    pub reply: Dest,
    /// The request as it came.
    pub request: &'a [u8],
    /// Whose traffic it is.
    pub instance: InstanceId,
    /// That instance's counters.
    pub stats: &'a Arc<InstanceStats>,
    /// How its next hop is found.
    pub way: Way,
    /// What it is about.
    pub topic: Topic,
    /// The client's end of its way.
    pub client_end: FlowRef,
    /// The instance's end.
    pub backend: BackendRef,
}

/// What a new client transaction is made of.
pub struct NewClient<'a> {
    /// Its state.
    pub machine: client::Machine,
    /// Whose branch it is.
    pub server: ServerId,
    /// The request as it is sent.
    pub request: &'a [u8],
    /// Where it is sent.
    pub dest: Dest,
    /// The health of the target, if it is one of the table.
    pub health: Option<Arc<TargetHealth>>,
    /// Hash of the sent-by in our Via.
    pub sent_by: u64,
}

/// All transactions of a shard.
pub struct Tables {
    servers: Slab<Server>,
    clients: Slab<Client>,
    by_key: Map<Key, ServerId>,
    wheel: Wheel<Due>,
    /// Copies of messages.
    pub buffers: Buffers,
    cap: usize,
    generation: u32,
}

impl Client {
    /// Where it was sent, if that is known.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.dest {
            Dest::Backend { address, .. } => Some(address),
            Dest::Flow(flow @ Flow::Udp { .. }) => Some(flow.peer()),
            Dest::Flow(_) | Dest::Reply { .. } => None,
        }
    }
}

impl Tables {
    /// Empty tables for at most `cap` server transactions.
    pub fn new(cap: usize) -> Self {
        // Branches name places with 24 bits; each request may have several branches in their last states.
        let cap = cap.min(1 << 22);
        Self {
            servers: Slab::new(),
            clients: Slab::new(),
            by_key: Map::default(),
            wheel: Wheel::new(6 * cap + 8),
            buffers: Buffers::new(4 * cap.min(4_096)),
            cap,
            generation: 0,
        }
    }

    /// Whether another request may be taken on (T19); the last eighth is for what is in a dialog.
    pub fn has_room(&self, in_dialog: bool) -> bool {
        let cap = if in_dialog { self.cap } else { self.cap - self.cap / 8 };
        self.servers.len() < cap && self.has_room_for_branch()
    }

    /// Whether another branch may be opened.
    pub fn has_room_for_branch(&self) -> bool {
        self.clients.len() < 2 * self.cap
    }

    /// Opens a server transaction; its timers are still to be started.
    pub fn open_server(&mut self, new: NewServer<'_>) -> ServerId {
        self.generation = self.generation.wrapping_add(1);
        let request = self.buffers.keep(new.request);
        let index = self.servers.insert(Server {
            generation: self.generation,
            machine: new.machine,
            key: new.key,
            flow: new.flow,
            reply: new.reply,
            request,
            answer: Kept::default(),
            instance: new.instance,
            stats: Arc::clone(new.stats),
            way: new.way,
            topic: new.topic,
            client_end: new.client_end,
            backend: new.backend,
            client: None,
            tried: Tried::default(),
            best: Kept::default(),
            best_status: 0,
            cancelled: false,
            timers: Timers::default(),
        });
        let id = ServerId { index: index as u32, generation: self.generation };
        self.by_key.insert(new.key, id);
        id
    }

    /// The server transaction a request belongs to.
    pub fn find(&self, key: Key) -> Option<ServerId> {
        self.by_key.get(&key).copied()
    }

    /// A server transaction, unless it is over.
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers.get(id.index as usize).filter(|server| server.generation == id.generation)
    }

    /// As [`Self::server`], to change it.
    pub fn server_mut(&mut self, id: ServerId) -> Option<&mut Server> {
        self.servers.get_mut(id.index as usize).filter(|server| server.generation == id.generation)
    }

    /// Ends a server transaction; its instance's share is given back.
    pub fn close_server(&mut self, id: ServerId) {
        if self.server(id).is_none() {
            return;
        }
        let Some(server) = self.servers.try_remove(id.index as usize) else { return };
        self.by_key.remove(&server.key);
        self.disarm(server.timers);
        server.stats.transactions.dec();
        for kept in [server.request, server.answer, server.best] {
            self.buffers.give(kept);
        }
    }

    /// The place the next client transaction will have: its branch is written before it is opened.
    pub fn next_client(&self, nonce: u32) -> ClientId {
        ClientId { index: self.clients.vacant_key() as u32, nonce }
    }

    /// Opens a client transaction at the place [`Self::next_client`] told.
    pub fn open_client(&mut self, id: ClientId, new: NewClient<'_>) {
        let request = self.buffers.keep(new.request);
        self.clients.insert(Client {
            nonce: id.nonce,
            machine: new.machine,
            server: new.server,
            request,
            dest: new.dest,
            health: new.health,
            sent_by: new.sent_by,
            timers: Timers::default(),
        });
    }

    /// A client transaction, unless it is over.
    pub fn client(&self, id: ClientId) -> Option<&Client> {
        self.clients.get(id.index as usize).filter(|client| client.nonce == id.nonce)
    }

    /// As [`Self::client`], to change it.
    pub fn client_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(id.index as usize).filter(|client| client.nonce == id.nonce)
    }

    /// Ends a client transaction.
    pub fn close_client(&mut self, id: ClientId) {
        if self.client(id).is_none() {
            return;
        }
        let Some(client) = self.clients.try_remove(id.index as usize) else { return };
        self.disarm(client.timers);
        self.buffers.give(client.request);
    }

    /// Keeps a response to be repeated.
    pub fn keep_answer(&mut self, id: ServerId, text: &[u8]) {
        let mut answer = self.server_mut(id).map(|server| std::mem::take(&mut server.answer)).unwrap_or_default();
        self.buffers.replace(&mut answer, text);
        match self.server_mut(id) {
            Some(server) => server.answer = answer,
            None => self.buffers.give(answer),
        }
    }

    /// Keeps a failed branch's response.
    pub fn keep_best(&mut self, id: ServerId, status: u16, text: &[u8]) {
        let best = self.buffers.keep(text);
        match self.server_mut(id) {
            Some(server) => {
                server.best_status = status;
                let old = std::mem::replace(&mut server.best, best);
                self.buffers.give(old);
            }
            None => self.buffers.give(best),
        }
    }

    /// Takes the kept response of a failed branch.
    pub fn take_best(&mut self, id: ServerId) -> Kept {
        let Some(server) = self.server_mut(id) else { return Kept::default() };
        server.best_status = 0;
        std::mem::take(&mut server.best)
    }

    /// Takes the request out of a transaction, to be looked at while the transaction changes.
    pub fn lend_request(&mut self, id: ServerId) -> Kept {
        self.server_mut(id).map(|server| std::mem::take(&mut server.request)).unwrap_or_default()
    }

    /// Puts the request back.
    pub fn return_request(&mut self, id: ServerId, request: Kept) {
        match self.server_mut(id) {
            Some(server) => server.request = request,
            None => self.buffers.give(request),
        }
    }

    /// Brings a transaction's timers to what a step wants.
    pub fn apply(&mut self, owner: Owner, plan: Plan, now: Tick) {
        let Some(mut timers) = self.timers(owner) else { return };
        self.change(&mut timers.resend, plan.resend, Due { owner, which: Which::Resend }, now);
        self.change(&mut timers.end, plan.end, Due { owner, which: Which::End }, now);
        self.set_timers(owner, timers);
    }

    /// Takes one timer that is due; its transaction does not have it any more.
    pub fn pop_due(&mut self, now: Tick) -> Option<Due> {
        loop {
            let due = self.wheel.pop(now)?;
            let Some(mut timers) = self.timers(due.owner) else { continue };
            match due.which {
                Which::Resend => timers.resend = None,
                Which::End => timers.end = None,
            }
            self.set_timers(due.owner, timers);
            return Some(due);
        }
    }

    /// Ends all transactions.
    pub fn close_all(&mut self) {
        let servers: Vec<ServerId> = self.by_key.values().copied().collect();
        for id in servers {
            self.close_server(id);
        }
        for client in self.clients.drain() {
            self.buffers.give(client.request);
        }
        self.wheel = Wheel::new(0);
    }

    /// No timer is due before this.
    pub fn next_due(&self) -> Option<Tick> {
        self.wheel.next()
    }

    /// Live server transactions, client transactions and timers.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.servers.len(), self.clients.len(), self.wheel.len())
    }

    fn timers(&self, owner: Owner) -> Option<Timers> {
        match owner {
            Owner::Client(id) => self.client(id).map(|client| client.timers),
            Owner::Server(id) => self.server(id).map(|server| server.timers),
        }
    }

    fn set_timers(&mut self, owner: Owner, timers: Timers) {
        match owner {
            Owner::Client(id) => {
                if let Some(client) = self.client_mut(id) {
                    client.timers = timers;
                }
            }
            Owner::Server(id) => {
                if let Some(server) = self.server_mut(id) {
                    server.timers = timers;
                }
            }
        }
    }

    fn change(&mut self, slot: &mut Option<TimerId>, change: Change, due: Due, now: Tick) {
        let after = match change {
            Change::Keep => return,
            Change::Stop => None,
            Change::Start(after) => Some(after),
        };
        if let Some(old) = slot.take() {
            self.wheel.disarm(old);
        }
        *slot = after.and_then(|ms| self.wheel.arm(now.after(ms), due));
    }

    fn disarm(&mut self, timers: Timers) {
        for id in [timers.resend, timers.end].into_iter().flatten() {
            self.wheel.disarm(id);
        }
    }
}
