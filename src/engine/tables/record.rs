//! What is kept of each transaction, and how others name it.

use crate::clock::Tick;
use crate::engine::admission::Permit;
use crate::engine::branch::Branch;
use crate::engine::buffers::Kept;
use crate::engine::contract::Dest;
use crate::engine::deadlines::TimerId;
use crate::engine::registry::DialogKey;
use crate::engine::steer::BackendRef;
use crate::engine::token::FlowRef;
use crate::engine::transaction::key::Key;
use crate::engine::transaction::{client, server};
use crate::engine::wish::Places;
use crate::ids::{DeviceId, Flow, InstanceId, Shard, Transport};
use crate::licence::ledger::Hold;
use crate::stats::{InstanceStats, TargetHealth};
use foldhash::quality::FixedState;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::Arc;

/// Most targets tried for one request.
pub const MAX_ATTEMPTS: usize = 8;

/// Names a server transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl ServerId {
    /// As a ticket of the journal, with the shard in the lowest byte.
    pub const fn ticket(self, shard: Shard) -> u64 {
        (self.generation as u64) << 32 | (self.index as u64 & 0xff_ffff) << 8 | shard.0 as u64
    }

    /// Back from a ticket.
    pub const fn from_ticket(ticket: u64) -> Self {
        Self { index: (ticket >> 8) as u32 & 0xff_ffff, generation: (ticket >> 32) as u32 }
    }
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
pub(super) struct Timers {
    pub(super) resend: Option<TimerId>,
    pub(super) end: Option<TimerId>,
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
    pub(super) generation: u32,
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
    /// For a REGISTER: what it asks for.
    pub wish: Option<Places>,
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
    /// For a REGISTER: its place among those the PBX works on.
    pub permit: Option<Permit>,
    /// Its part in a claim of a seat, until that is granted or given back.
    pub hold: Option<Hold>,
    /// Whether that claim is still to be written down before the request goes on.
    pub waits: bool,
    /// Whether it waits for its device to come back (a request), or its answer does (of a request by a device).
    pub away: bool,
    /// For a request of a device that came another way than the device is known at: the way to be learned if it is
    /// answered with success.
    pub roams: bool,
    /// The device whose moves it is told of.
    pub(super) follows: Option<DeviceId>,
    pub(super) timers: Timers,
    /// Bytes of its request.
    pub(super) bytes: u64,
}

/// The targets that one request has been sent to, by hash: a transaction lives for half a minute, and mostly has one.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tried {
    list: [u32; MAX_ATTEMPTS],
    used: u8,
}

fn target_hash(address: SocketAddr, transport: Transport) -> u32 {
    FixedState::default().hash_one((address, transport)) as u32
}

impl Tried {
    /// Notes a target.
    pub fn push(&mut self, address: SocketAddr, transport: Transport) {
        if let Some(slot) = self.list.get_mut(usize::from(self.used)) {
            *slot = target_hash(address, transport);
        }
        self.used = self.used.saturating_add(1);
    }

    /// Whether a target has been tried.
    pub fn contains(&self, address: SocketAddr, transport: Transport) -> bool {
        self.used > 0 && self.list.iter().take(self.len()).any(|tried| *tried == target_hash(address, transport))
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many have been tried.
    pub const fn len(&self) -> usize {
        self.used as usize
    }
}

/// A request we sent.
pub struct Client {
    pub(super) nonce: u32,
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
    /// When it was sent first.
    pub started: Tick,
    pub(super) timers: Timers,
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
    /// For a REGISTER: what it asks for.
    pub wish: Option<Places>,
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
    /// For a REGISTER: its place among those the PBX works on.
    pub permit: Option<Permit>,
    /// Whether its device is to be learned at this flow.
    pub roams: bool,
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
    /// Now.
    pub started: Tick,
}

impl Server {
    /// Its name, at this place.
    pub(super) const fn id(&self, index: u32) -> ServerId {
        ServerId { index, generation: self.generation }
    }

    pub(super) fn new(generation: u32, request: Kept, new: NewServer<'_>) -> Self {
        Self {
            generation,
            bytes: new.request.len() as u64,
            machine: new.machine,
            key: new.key,
            flow: new.flow,
            reply: new.reply,
            request,
            wish: new.wish,
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
            permit: new.permit,
            hold: None,
            waits: false,
            away: false,
            roams: new.roams,
            follows: None,
            timers: Timers::default(),
        }
    }
}

impl Client {
    pub(super) fn new(nonce: u32, request: Kept, new: NewClient<'_>) -> Self {
        Self {
            nonce,
            machine: new.machine,
            server: new.server,
            request,
            dest: new.dest,
            health: new.health,
            sent_by: new.sent_by,
            started: new.started,
            timers: Timers::default(),
        }
    }

    /// Tells its target's health that nothing came in time; but not if the target said something else meanwhile:
    /// a request that no PBX answers must not take the PBX out for others.
    pub fn count_silence(&self, fall: u32) {
        if let Some(health) = self.health.as_ref().filter(|health| health.heard() < self.started.0) {
            health.failure(fall);
        }
    }

    /// Where it was sent, if that is known.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.dest {
            Dest::Backend { address, .. } => Some(address),
            Dest::Flow(flow @ Flow::Udp { .. }) => Some(flow.peer()),
            Dest::Flow(_) | Dest::Reply { .. } => None,
        }
    }
}
