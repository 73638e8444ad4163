//! The live transactions of a shard and their timers.
//!
//! Keeps the books: places, generations, bounds, timers armed and disarmed with the transaction they belong
//! to. What a transaction does is decided in `transaction` and carried out in `core` and its parts.

mod finished;
mod keys;
mod record;

pub use record::{
    Client, ClientId, Due, MAX_ATTEMPTS, NewClient, NewServer, Owner, Server, ServerId, Topic, Tried, Way, Which,
};

use super::buffers::{Buffers, Kept};
use super::contract::Dest;
use super::deadlines::{Deadlines, TimerId};
use super::transaction::key::Key;
use super::transaction::timing::Timing;
use super::transaction::{Change, Plan, client, server};
use crate::clock::Tick;
use crate::dense::{Arena, Index};
use crate::ids::{ConnId, DeviceId, Flow};
use finished::Finished;
use foldhash::fast::RandomState;
use keys::Keys;
use record::Timers;
use std::hash::BuildHasher;
use std::net::SocketAddr;

/// Where a server transaction is kept.
#[derive(Clone, Copy)]
enum Place {
    Open(ServerId),
    Finished(u32),
}

/// What a request that came before belongs to.
pub enum Found<'a> {
    /// A transaction.
    Open(ServerId),
    /// One that is answered for good, not of an INVITE and over UDP: the answer.
    Finished(&'a [u8]),
}

/// Most answered transactions, whatever room they have: their places have to have names.
const MOST_ANSWERED: usize = 1 << 22;

/// How many transactions of each side there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sides {
    /// Server transactions.
    pub server: usize,
    /// Client transactions.
    pub client: usize,
}

/// All transactions of a shard.
///
/// A transaction is live until its final answer. What is answered only waits for repetitions, and there is so much of
/// it that it is bounded apart: when there is no room, the oldest is forgotten, and a repetition of it is a request or
/// an answer like any other. What is live is never forgotten; when there is no room for it, no more is taken on.
pub struct Tables {
    servers: Arena<Server, 8>,
    clients: Arena<Client, 8>,
    finished: Finished,
    by_key: Keys,
    /// The branches sent over each client connection.
    by_conn: Index,
    /// The requests to and from each device.
    by_device: Index,
    hasher: RandomState,
    timers: Deadlines<Due>,
    /// Copies of messages.
    pub buffers: Buffers,
    cap: usize,
    /// Bytes that answered requests may take.
    room: usize,
    generation: u32,
    setups: usize,
    /// Those that have no final answer yet.
    live: Sides,
    /// Those that were forgotten before their time, since they were asked for.
    forgotten: Sides,
}

impl Tables {
    /// Empty tables for at most `cap` requests without an answer, and `room` bytes of answered ones.
    pub fn new(cap: usize, room: usize, timing: &Timing) -> Self {
        // Branches name places with 24 bits; each request may have several branches in their last states.
        let cap = cap.min(1 << 22);
        // No configuration overflows.
        let cap = cap.min(usize::MAX / 16);
        let timers = 8 * cap + 2 * MOST_ANSWERED.min(room / finished::INVITE) + 8;
        Self {
            servers: Arena::default(),
            clients: Arena::default(),
            finished: Finished::default(),
            by_key: Keys::default(),
            by_conn: Index::with_backs(),
            by_device: Index::with_backs(),
            hasher: RandomState::default(),
            timers: Deadlines::new(timers, &timing.lengths()),
            buffers: Buffers::new(4 * cap.min(4_096)),
            cap,
            room,
            generation: 0,
            setups: 0,
            live: Sides::default(),
            forgotten: Sides::default(),
        }
    }

    /// Whether another request may be taken on (T19); the last eighth is for what is in a dialog.
    pub fn has_room(&self, in_dialog: bool) -> bool {
        let cap = if in_dialog { self.cap } else { self.cap - self.cap / 8 };
        self.live.server < cap && self.has_room_for_branch()
    }

    /// Whether another branch may be opened.
    pub const fn has_room_for_branch(&self) -> bool {
        self.live.client < 2 * self.cap
    }

    /// Opens a server transaction; its timers are still to be started.
    pub fn open_server(&mut self, new: NewServer<'_>) -> ServerId {
        self.generation = self.generation.wrapping_add(1);
        self.setups += usize::from(new.machine.is_setup());
        self.live.server += 1;
        let request = self.buffers.keep(new.request);
        // A REGISTER is not told of its own device's moves.
        let follows = new.topic != Topic::Register || new.flow.listener().is_inside();
        let (key, device) = (new.key, new.client_end.device().filter(|_| follows));
        new.stats.kept_bytes.add(new.request.len() as u64);
        let index = self.servers.insert(Server::new(self.generation, request, new));
        let id = ServerId { index, generation: self.generation };
        self.by_key.set(key, Place::Open(id));
        self.note_device(device, index);
        id
    }

    fn note_device(&mut self, device: Option<DeviceId>, index: u32) {
        let Some(device) = device else { return };
        if let Some(server) = self.servers.get_mut(index) {
            server.follows = Some(device);
        }
        let Self { servers, hasher, .. } = self;
        let hash_of = |at| servers.get(at).and_then(|it| it.follows).map_or(0, |it| hasher.hash_one(it));
        self.by_device.insert(hasher.hash_one(device), index, hash_of);
    }

    /// The device of a request is known only now.
    pub fn name_device(&mut self, id: ServerId, device: DeviceId) {
        let Some(server) = self.server_mut(id) else { return };
        let before = server.follows.take();
        server.client_end = server.client_end.of(Some(device));
        self.forget_of_device(before, id.index);
        self.note_device(Some(device), id.index);
    }

    /// The name the next server transaction will have.
    pub fn next_server(&self) -> ServerId {
        ServerId { index: self.servers.next_place(), generation: self.generation.wrapping_add(1) }
    }

    /// What a request belongs to.
    pub fn find(&self, key: Key) -> Option<Found<'_>> {
        match self.by_key.get(key)? {
            Place::Open(id) => Some(Found::Open(id)),
            Place::Finished(name) => self.finished.text(name).map(Found::Finished),
        }
    }

    /// The server transaction of an INVITE: it is open as long as it is kept.
    pub fn find_invite(&self, key: Key) -> Option<ServerId> {
        let Place::Open(id) = self.by_key.get(key)? else { return None };
        Some(id)
    }

    /// A server transaction, unless it is over.
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers.get(id.index).filter(|server| server.generation == id.generation)
    }

    /// As [`Self::server`], to change it.
    pub fn server_mut(&mut self, id: ServerId) -> Option<&mut Server> {
        self.servers.get_mut(id.index).filter(|server| server.generation == id.generation)
    }

    /// A response with this status is to be sent in a server transaction. With the final one its instance's share is
    /// given back.
    pub fn answer(&mut self, id: ServerId, status: u16, timing: &Timing, now: Tick) -> Option<server::Answer> {
        let server = self.server_mut(id)?;
        let (setup, open) = (server.machine.is_setup(), server.machine.is_open());
        let step = server.machine.answer(status, timing);
        if open && !server.machine.is_open() {
            server.stats.transactions.dec();
            let key = server.key;
            self.live.server -= 1;
            if setup {
                self.setups -= 1;
                self.finished.push_invite(key, now.after(timing.patience()));
                self.make_room();
            }
        }
        Some(step)
    }

    /// Ends a server transaction.
    pub fn close_server(&mut self, id: ServerId) {
        if let Some(key) = self.take_server(id) {
            self.by_key.remove(key);
        }
    }

    /// Nothing but this answer is left of a server transaction, to be repeated until then.
    pub fn finish_server(&mut self, id: ServerId, answer: &[u8], until: Tick) {
        let Some(key) = self.take_server(id) else { return };
        let name = self.finished.push(key, until, answer);
        self.by_key.set(key, Place::Finished(name));
        self.make_room();
    }

    fn take_server(&mut self, id: ServerId) -> Option<Key> {
        self.server(id)?;
        let server = self.servers.remove(id.index)?;
        if server.machine.is_open() {
            self.live.server -= 1;
            self.setups -= usize::from(server.machine.is_setup());
            server.stats.transactions.dec();
        }
        self.disarm(server.timers);
        self.forget_of_device(server.follows, id.index);
        if server.away {
            server.stats.waiting.dec();
        }
        server.stats.kept_bytes.sub(server.bytes);
        for kept in [server.request, server.answer, server.best] {
            self.buffers.give(kept);
        }
        Some(server.key)
    }

    /// Forgets the answers that need not be repeated any more.
    pub fn forget_finished(&mut self, now: Tick) {
        while let Some((key, name)) = self.finished.pop(now) {
            // What is left of an INVITE ends by a timer of its own.
            self.by_key.remove_answer(key, name);
        }
    }

    /// Forgets the oldest answers if all take too much, but never the last one: it is about to be sent.
    fn make_room(&mut self) {
        let is_full = |all: &Finished, room| all.len() > 1 && (all.bytes() > room || all.len() > MOST_ANSWERED);
        while is_full(&self.finished, self.room) {
            let Some((key, name)) = self.finished.pop_oldest() else { return };
            match self.by_key.remove_answer(key, name) {
                // Most INVITEs that failed are over long before: their ACK came.
                Some(Place::Open(id)) => self.forget_answered(id),
                Some(Place::Finished(_)) => {}
                None => self.forgotten.server += 1,
            }
        }
    }

    fn forget_answered(&mut self, id: ServerId) {
        // One that waits for its device is among those that do, and they have a bound of their own.
        let Some(server) = self.server(id).filter(|server| !server.machine.is_open() && !server.away) else { return };
        if let Some(branch) = server.client
            && self.client(branch).is_some_and(|client| !client.machine.is_waiting())
        {
            self.close_client(branch);
            self.forgotten.client += 1;
        }
        self.close_server(id);
        self.forgotten.server += 1;
    }

    fn forget_of_device(&mut self, device: Option<DeviceId>, index: u32) {
        if let Some(device) = device {
            self.by_device.remove(self.hasher.hash_one(device), index);
        }
    }

    /// The requests to and from a device.
    pub fn of_device(&self, device: DeviceId) -> Vec<ServerId> {
        let all = self.by_device.all(self.hasher.hash_one(device));
        let all = all.filter_map(|index| Some((index, self.servers.get(index)?)));
        let all = all.filter(|(_, server)| server.follows == Some(device));
        all.map(|(index, server)| ServerId { index, generation: server.generation }).collect()
    }

    /// The place the next client transaction will have: its branch is written before it is opened.
    pub fn next_client(&self, nonce: u32) -> ClientId {
        ClientId { index: self.clients.next_place(), nonce }
    }

    /// Opens a client transaction at the place [`Self::next_client`] told.
    pub fn open_client(&mut self, id: ClientId, new: NewClient<'_>) {
        let request = self.buffers.keep(new.request);
        let dest = new.dest;
        let index = self.clients.insert(Client::new(id.nonce, request, new));
        self.live.client += 1;
        self.note_conn(index, &dest);
    }

    /// A client transaction, unless it is over.
    pub fn client(&self, id: ClientId) -> Option<&Client> {
        self.clients.get(id.index).filter(|client| client.nonce == id.nonce)
    }

    /// As [`Self::client`], to change it.
    pub fn client_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(id.index).filter(|client| client.nonce == id.nonce)
    }

    /// A response with this status came in a client transaction.
    pub fn hear(&mut self, id: ClientId, status: u16, timing: &Timing) -> Option<client::Heard> {
        let client = self.client_mut(id)?;
        let before = client.machine.is_waiting();
        let mut heard = client.machine.hear(status, timing);
        if before && !client.machine.is_waiting() {
            self.live.client -= 1;
            heard.over |= !self.make_room_for_answered(timing);
        }
        Some(heard)
    }

    /// Forgets branches that only absorb repeated answers (K), the oldest first, if there are too many; false if that
    /// is not enough.
    fn make_room_for_answered(&mut self, timing: &Timing) -> bool {
        while self.clients.len() - self.live.client > 2 * self.cap {
            let Some(Due { owner: Owner::Client(id), which: Which::End }) = self.timers.oldest(timing.t4) else {
                return false;
            };
            if self.client(id).is_none_or(|client| client.machine.state != client::State::Completed) {
                return false;
            }
            self.close_client(id);
            self.forgotten.client += 1;
        }
        true
    }

    /// Ends a client transaction.
    pub fn close_client(&mut self, id: ClientId) {
        if self.client(id).is_none() {
            return;
        }
        let Some(client) = self.clients.remove(id.index) else { return };
        self.live.client -= usize::from(client.machine.is_waiting());
        self.disarm(client.timers);
        self.buffers.give(client.request);
        self.forget_conn(id.index, &client.dest);
    }

    fn note_conn(&mut self, index: u32, dest: &Dest) {
        let Some(conn) = conn_of(dest) else { return };
        let Self { clients, hasher, .. } = self;
        let hash_of = |at| clients.get(at).and_then(|it| conn_of(&it.dest)).map_or(0, |it| hasher.hash_one(it));
        self.by_conn.insert(hasher.hash_one(conn), index, hash_of);
    }

    fn forget_conn(&mut self, index: u32, dest: &Dest) {
        if let Some(conn) = conn_of(dest) {
            self.by_conn.remove(self.hasher.hash_one(conn), index);
        }
    }

    /// The branches that were sent over a client's connection, which is gone; the newest first.
    pub fn branches_over(&self, conn: ConnId) -> Vec<ClientId> {
        let all = self.by_conn.all(self.hasher.hash_one(conn));
        let all = all.filter_map(|index| Some((index, self.clients.get(index)?)));
        let all = all.filter(|(_, client)| conn_of(&client.dest) == Some(conn));
        all.map(|(index, client)| ClientId { index, nonce: client.nonce }).collect()
    }

    /// A branch goes another way from now on.
    pub fn redirect_client(&mut self, id: ClientId, to: Dest) {
        let Some(client) = self.client_mut(id) else { return };
        let old = std::mem::replace(&mut client.dest, to);
        self.forget_conn(id.index, &old);
        self.note_conn(id.index, &to);
    }

    /// The request of a branch is another one, for another way.
    pub fn rewrite_client(&mut self, id: ClientId, request: &[u8]) {
        let Some(mut kept) = self.client_mut(id).map(|client| std::mem::take(&mut client.request)) else { return };
        self.buffers.replace(&mut kept, request);
        match self.client_mut(id) {
            Some(client) => client.request = kept,
            None => self.buffers.give(kept),
        }
    }

    /// The branches to a backend over streams that have not been answered at all.
    pub fn unanswered_at(&self, peer: SocketAddr) -> impl Iterator<Item = ClientId> + '_ {
        self.clients.iter().filter_map(move |(index, client)| {
            let unanswered = client.machine.reliable && client.machine.state == client::State::Calling;
            let there = matches!(client.dest, Dest::Backend { address, .. } if address == peer);
            (unanswered && there).then_some(ClientId { index, nonce: client.nonce })
        })
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

    /// The request of a branch is not needed any more: it was answered for good.
    pub fn forget_sent(&mut self, id: ClientId) {
        if let Some(request) = self.client_mut(id).map(|client| std::mem::take(&mut client.request)) {
            self.buffers.give(request);
        }
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
            let due = self.timers.pop(now)?;
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
        let servers: Vec<ServerId> = self.servers.iter().map(|(index, server)| server.id(index)).collect();
        for id in servers {
            self.close_server(id);
        }
        self.forget_finished(Tick(u64::MAX));
        for client in self.clients.take() {
            self.buffers.give(client.request);
        }
        self.live.client = 0;
        (self.by_conn, self.by_device) = (Index::with_backs(), Index::with_backs());
        self.timers = Deadlines::new(0, &[]);
    }

    /// No timer is due before this.
    pub fn next_due(&self) -> Option<Tick> {
        self.timers.next().into_iter().chain(self.finished.next()).min()
    }

    /// Server transactions, client transactions and timers, of what is live and of what is answered.
    pub const fn counts(&self) -> (usize, usize, usize) {
        let plain = self.finished.plain();
        (self.servers.len() + plain, self.clients.len(), self.timers.len() + plain)
    }

    /// Transactions without a final answer.
    pub const fn live(&self) -> Sides {
        self.live
    }

    /// Transactions that are answered.
    pub const fn answered(&self) -> Sides {
        let server = self.servers.len() + self.finished.plain() - self.live.server;
        Sides { server, client: self.clients.len() - self.live.client }
    }

    /// Bytes that the answered ones are counted with.
    pub const fn answered_bytes(&self) -> usize {
        self.finished.bytes()
    }

    /// How many were forgotten before their time since this was asked last.
    pub const fn take_forgotten(&mut self) -> Sides {
        std::mem::replace(&mut self.forgotten, Sides { server: 0, client: 0 })
    }

    /// Calls that are being set up.
    pub const fn setups(&self) -> usize {
        self.setups
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
            self.timers.disarm(old);
        }
        *slot = after.and_then(|ms| self.timers.arm(now, ms, due));
    }

    fn disarm(&mut self, timers: Timers) {
        for id in [timers.resend, timers.end].into_iter().flatten() {
            self.timers.disarm(id);
        }
    }
}

const fn conn_of(dest: &Dest) -> Option<ConnId> {
    match dest {
        Dest::Flow(Flow::Stream { conn, .. }) => Some(*conn),
        _ => None,
    }
}
