//! What passes through, by instance: bindings, seats and calls, shared by all shards.
//!
//! Each instance has a room of its own behind one small lock, held for a few map operations and never while
//! anything is sent. Rooms are made at first use and go when the instance leaves the table. Read by the
//! control plane (`plan`, `explain`) and shown as gauges. What of the seats has to be written down goes into the
//! journal in the order in which it happened.

mod bindings;
mod calls;
mod connections;
mod contact;
pub mod decisions;
pub mod devices;
pub mod journal;
mod look;
mod packed;
mod pulse;
mod room;
mod streams;
mod watched;

pub use bindings::{Binding, Bindings, Granted, PER_ACCOUNT, Registration};
pub use calls::{Call, Calls, DialogKey, SILENCE};
pub use connections::INSTANCES;
pub use decisions::{Decision, Decisions, Outcome};
pub use journal::Journal;
pub use look::Place;
pub use pulse::Due;
pub use room::{Live, Room};

use crate::clock::Now;
use crate::engine::token::FlowRef;
use crate::ids::{ConnId, InstanceId};
use crate::licence::ledger::{Change, Name, Record};
use crate::model::{KeepAlive, State};
use crate::route::snapshot::{Instance, Snapshot};
use crate::stats::{Counter, JournalStats};
use connections::Noted;
use dashmap::DashMap;
use devices::Devices;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use streams::Streams;
use watched::Watched;

/// A registry has reached its bound; what was to be noted is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overflow;

/// All rooms.
#[derive(Default)]
pub struct Registry {
    rooms: DashMap<InstanceId, Arc<Room>, RandomState>,
    /// The same in the order they were made, to be looked through some at a time. Locked after a part of `rooms`,
    /// never before.
    order: Mutex<Vec<Arc<Room>>>,
    /// What every shard makes a [`DialogKey`] with.
    pub dialogs: foldhash::quality::RandomState,
    /// What has to be written down about seats.
    pub journal: Arc<Journal>,
    /// The UDP flows whose keep-alives count.
    pub watched: Watched,
    /// Client connections.
    pub streams: Streams,
}

/// A claim as it was written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Whose users.
    pub instance: InstanceId,
    /// The account.
    pub account: Name,
    /// The claim.
    pub record: Record,
}

impl Registry {
    /// No rooms yet; a journal with these counters, and one of the connections that are not remembered.
    pub fn new(stats: Arc<JournalStats>, streams: Arc<Counter>) -> Self {
        Self { journal: Arc::new(Journal::new(stats)), streams: Streams::new(streams), ..Self::default() }
    }

    /// The room of an instance, made if there is none.
    pub fn room(&self, instance: &Instance) -> Arc<Room> {
        if let Some(room) = self.find(instance.id) {
            return room;
        }
        let make = || {
            let room = Arc::new(Room::new(instance.id, &instance.stats, &self.journal));
            self.order().push(Arc::clone(&room));
            room
        };
        Arc::clone(self.rooms.entry(instance.id).or_insert_with(make).value())
    }

    /// The room of an instance, if there is one.
    pub fn find(&self, instance: InstanceId) -> Option<Arc<Room>> {
        self.rooms.get(&instance).map(|room| Arc::clone(room.value()))
    }

    /// What an account is called at the gate.
    pub fn account(&self, account: &[u8]) -> u64 {
        self.dialogs.hash_one(account)
    }

    /// The bindings of an instance now.
    pub fn bindings(&self, instance: InstanceId) -> Vec<Binding<'static>> {
        let all = |room: Arc<Room>| room.with(|live| live.bindings.iter().map(Binding::into_owned).collect());
        self.find(instance).map_or_else(Vec::new, all)
    }

    /// The calls of an instance now.
    pub fn calls(&self, instance: InstanceId) -> Vec<Call> {
        self.find(instance).map_or_else(Vec::new, |room| room.with(|live| live.calls.iter().cloned().collect()))
    }

    /// What was decided on an instance's REGISTERs of late, the newest of each sort first.
    pub fn decisions(&self, instance: InstanceId) -> Vec<Decision> {
        self.find(instance).map_or_else(Vec::new, |room| room.with(|live| live.decisions.iter().cloned().collect()))
    }

    fn order(&self) -> MutexGuard<'_, Vec<Arc<Room>>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many rooms there are.
    pub fn len(&self) -> usize {
        self.order().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.order().is_empty()
    }

    /// Ends what has expired in these rooms, by the order in which they were made.
    pub fn expire(&self, rooms: Range<usize>, now: Now) {
        for room in self.order().iter().take(rooms.end).skip(rooms.start) {
            room.gate.pass(now);
            room.expire(now.unix);
        }
    }

    /// Ends what has expired and is in no room.
    pub fn tidy(&self, now: Now) {
        self.streams.tidy(now.unix);
        self.watched.tidy(now.unix, |instance, account, flow| {
            self.find(instance).is_some_and(|room| room.with(|live| live.bindings.is_bound(account, flow)))
        });
    }

    /// The keep-alives that are due in these rooms in the seconds after the first up to the second (Unix), at this
    /// interval.
    pub fn due(
        &self,
        rooms: Range<usize>,
        seconds: (u64, u64),
        interval: u64,
        wanted: impl Fn(&FlowRef) -> KeepAlive,
    ) -> Vec<(InstanceId, Due)> {
        let mut all = Vec::new();
        let mut some = Vec::new();
        for room in self.order().iter().take(rooms.end).skip(rooms.start) {
            room.devices(|devices| devices.due(seconds, interval, &wanted, &mut some));
            all.extend(some.drain(..).map(|due| (room.id(), due)));
        }
        all
    }

    /// Takes back the claims that were written down before a restart; `last_alive` and `now` are Unix seconds. Those
    /// of instances that are not switched on are over.
    pub fn restore(&self, kept: impl IntoIterator<Item = Kept>, last_alive: u64, snapshot: &Snapshot, now: u64) {
        let mut by_instance: BTreeMap<InstanceId, Vec<(Name, Record)>> = BTreeMap::new();
        for Kept { instance, account, record } in kept {
            by_instance.entry(instance).or_default().push((account, record));
        }
        for (id, claims) in by_instance {
            match snapshot.by_id(id).filter(|instance| instance.state == State::On) {
                Some(instance) => self.room(instance).with(|live| live.ledger.restore(claims, last_alive, now)),
                None => self.journal.put(id, std::iter::once(Change::Clear)),
            }
        }
    }

    /// A keep-alive came over a flow.
    pub fn hear(&self, flow: &crate::ids::Flow, now_unix: u64) {
        let Some((instance, account)) = self.watched.of(flow) else { return };
        if let Some(room) = self.find(instance) {
            room.with(|live| live.ledger.hear(&account, now_unix));
        }
    }

    /// Notes that a client's connection carries bindings of an instance; false if it has ended meanwhile.
    pub fn bind_stream(&self, conn: ConnId, instance: InstanceId) -> bool {
        let noted = self.streams.note(conn, instance);
        if noted == Noted::New
            && let Some(room) = self.find(instance)
        {
            room.stats().connections.inc();
        }
        noted != Noted::Gone
    }

    /// A client's connection ended: its devices have so many milliseconds to come back.
    pub fn lose_stream(&self, closed: ConnId, now: Now, grace: u64) {
        let (instances, first) = self.streams.close(closed, now.unix);
        for room in instances.iter().filter(|_| first).filter_map(|id| self.find(*id)) {
            room.stats().connections.dec();
        }
        if instances.len() >= INSTANCES {
            for room in &self.rooms {
                room.value().with(|live| live.lose_stream(closed, now, grace));
            }
            return;
        }
        for room in instances.iter().filter_map(|id| self.find(*id)) {
            room.with(|live| live.lose_stream(closed, now, grace));
        }
    }

    /// Empties the rooms of instances that are not switched on (R34) and removes those of deleted ones.
    pub fn follow(&self, snapshot: &Snapshot) {
        let mut gone = HashSet::new();
        self.rooms.retain(|id, room| match snapshot.by_id(*id) {
            Some(instance) if instance.state == State::On => true,
            found => {
                room.with(|live| {
                    live.ledger.clear();
                    live.bindings.clear();
                    live.calls.clear();
                    live.devices = Devices::default();
                });
                room.gate.reset();
                if found.is_none() {
                    gone.insert(*id);
                }
                found.is_some()
            }
        });
        if !gone.is_empty() {
            self.order().retain(|room| !gone.contains(&room.id()));
        }
    }
}
