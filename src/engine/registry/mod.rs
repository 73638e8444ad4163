//! What passes through, by instance: bindings and calls, shared by all shards.
//!
//! Each instance has a room of its own behind one small lock, held for a few map operations and never while
//! anything is sent. Rooms are made at first use and go when the instance leaves the table. Read by the
//! control plane (`plan`, `explain`) and shown as gauges.

mod bindings;
mod calls;

pub use bindings::{Binding, Bindings, Granted, PER_ACCOUNT, Registration};
pub use calls::{Call, Calls, DialogKey, SILENCE};

use crate::ids::{ConnId, InstanceId};
use crate::model::State;
use crate::route::snapshot::{Instance, Snapshot};
use crate::stats::InstanceStats;
use dashmap::DashMap;
use foldhash::fast::RandomState;
use std::sync::{Arc, Mutex, PoisonError};

/// A registry has reached its bound; what was to be noted is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overflow;

/// All rooms.
#[derive(Default)]
pub struct Registry {
    rooms: DashMap<InstanceId, Arc<Room>, RandomState>,
    /// What every shard makes a [`DialogKey`] with.
    pub dialogs: foldhash::quality::RandomState,
}

/// What is known of one instance.
pub struct Room {
    stats: Arc<InstanceStats>,
    live: Mutex<Live>,
}

/// The inside of a room.
#[derive(Default)]
pub struct Live {
    /// Registered contacts.
    pub bindings: Bindings,
    /// Calls.
    pub calls: Calls,
}

impl Room {
    /// Looks at or changes what is known, and sets the instance's gauges to the outcome.
    pub fn with<T>(&self, work: impl FnOnce(&mut Live) -> T) -> T {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut live);
        self.stats.bindings.set(live.bindings.len() as u64);
        self.stats.calls.set(live.calls.len() as u64);
        done
    }
}

impl Registry {
    /// The room of an instance, made if there is none.
    pub fn room(&self, instance: &Instance) -> Arc<Room> {
        if let Some(room) = self.find(instance.id) {
            return room;
        }
        let make = || Arc::new(Room { stats: Arc::clone(&instance.stats), live: Mutex::default() });
        Arc::clone(self.rooms.entry(instance.id).or_insert_with(make).value())
    }

    /// The room of an instance, if there is one.
    pub fn find(&self, instance: InstanceId) -> Option<Arc<Room>> {
        self.rooms.get(&instance).map(|room| Arc::clone(room.value()))
    }

    /// The bindings of an instance now.
    pub fn bindings(&self, instance: InstanceId) -> Vec<Binding> {
        self.find(instance).map_or_else(Vec::new, |room| room.with(|live| live.bindings.iter().cloned().collect()))
    }

    /// The calls of an instance now.
    pub fn calls(&self, instance: InstanceId) -> Vec<Call> {
        self.find(instance).map_or_else(Vec::new, |room| room.with(|live| live.calls.iter().cloned().collect()))
    }

    /// Ends what has expired in every room.
    pub fn expire(&self, now_unix: u64) {
        for room in &self.rooms {
            room.value().with(|live| {
                live.bindings.expire(now_unix);
                live.calls.expire(now_unix);
            });
        }
    }

    /// Ends what was bound to a connection that closed, wherever it is.
    pub fn drop_stream_everywhere(&self, closed: ConnId) {
        for room in &self.rooms {
            room.value().with(|live| live.bindings.drop_stream(closed));
        }
    }

    /// Empties the rooms of instances that are not switched on (R34) and removes those of deleted ones.
    pub fn follow(&self, snapshot: &Snapshot) {
        self.rooms.retain(|id, room| match snapshot.by_id(*id) {
            Some(instance) if instance.state == State::On => true,
            found => {
                room.with(|live| {
                    live.bindings.clear();
                    live.calls.clear();
                });
                found.is_some()
            }
        });
    }
}
