//! Client connections of the whole node: which instances are bound over each, and which one took the place of which
//! (a TLS session that was resumed, perhaps one of an earlier process).
//!
//! One look-up beside the rooms, because a connection knows nothing of instances. Everything here is bounded; what
//! is not kept for want of room is found again by the device's next REGISTER.

use super::Overflow;
use crate::engine::token::FlowRef;
use crate::ids::{ConnId, DeviceId, InstanceId};
use crate::stats::Counter;
use dashmap::DashMap;
use foldhash::fast::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Instances remembered for one connection; one that registers at more is looked for in all of them.
pub const INSTANCES: usize = 8;
/// Devices that are waited for by one connection of theirs.
const PER_STREAM: usize = 16;
/// Connections remembered that closed or were succeeded.
const BOUND: usize = 200_000;
/// Seconds for which they are.
const MEMORY: u64 = 3_700;
/// Seconds between two tidyings.
const TIDY: u64 = 10;
/// Successions followed from one connection to the present one.
const CHAIN: usize = 8;

/// A connection, in few bytes: there is one for each phone. Nearly all are open, and of one instance.
#[derive(Default)]
enum Stream {
    #[default]
    New,
    One(InstanceId),
    More(Box<More>),
}

#[derive(Default)]
struct More {
    instances: Vec<InstanceId>,
    /// When it closed (Unix seconds).
    closed: Option<u64>,
}

impl Stream {
    fn instances(&self) -> &[InstanceId] {
        match self {
            Self::New => &[],
            Self::One(instance) => std::slice::from_ref(instance),
            Self::More(more) => &more.instances,
        }
    }

    const fn closed(&self) -> Option<u64> {
        match self {
            Self::New | Self::One(_) => None,
            Self::More(more) => more.closed,
        }
    }

    fn more(&mut self) -> Option<&mut More> {
        if !matches!(self, Self::More(_)) {
            *self = Self::More(Box::new(More { instances: self.instances().to_vec(), closed: None }));
        }
        if let Self::More(more) = self { Some(more) } else { None }
    }

    fn add(&mut self, instance: InstanceId) {
        if matches!(self, Self::New) {
            *self = Self::One(instance);
        } else if let Some(more) = self.more() {
            more.instances.push(instance);
        }
    }

    /// False if it was closed before.
    fn close(&mut self, now: u64) -> bool {
        self.more().is_some_and(|more| more.closed.replace(now).is_none())
    }
}

/// What became of noting an instance at a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noted {
    /// It is the first time.
    New,
    /// It was there, or there is no room to remember it.
    Known,
    /// The connection has ended.
    Gone,
}

/// The devices that are waited for by one connection, and since when (Unix seconds).
type Awaited = (Vec<(InstanceId, DeviceId)>, u64);

/// The connections.
#[derive(Default)]
pub struct Streams {
    known: DashMap<ConnId, Stream, RandomState>,
    successors: DashMap<ConnId, (FlowRef, u64), RandomState>,
    awaited: DashMap<ConnId, Awaited, RandomState>,
    closed: AtomicU64,
    overflow: Arc<Counter>,
    tidied: AtomicU64,
}

impl Streams {
    /// None yet, and a counter of those that are not remembered.
    pub fn new(overflow: Arc<Counter>) -> Self {
        Self { overflow, ..Self::default() }
    }

    /// Notes a connection that devices may be found at; its end forgets it.
    pub fn watch(&self, conn: ConnId) {
        if !self.known.contains_key(&conn) {
            self.known.entry(conn).or_default();
        }
    }

    /// Remembers that a connection carries bindings of an instance.
    pub fn note(&self, conn: ConnId, instance: InstanceId) -> Noted {
        let Some(mut stream) = self.known.get_mut(&conn) else { return Noted::Gone };
        if stream.closed().is_some() {
            return Noted::Gone;
        }
        if stream.instances().len() >= INSTANCES || stream.instances().contains(&instance) {
            return Noted::Known;
        }
        stream.add(instance);
        Noted::New
    }

    /// Whether a connection carries bindings of any instance.
    pub fn is_bound(&self, conn: ConnId) -> bool {
        self.known.get(&conn).is_some_and(|stream| !stream.instances().is_empty())
    }

    /// Whether a connection carries bindings of an instance.
    pub fn carries(&self, conn: ConnId, instance: InstanceId) -> bool {
        self.known.get(&conn).is_some_and(|stream| stream.instances().contains(&instance))
    }

    /// Whether a connection that was watched is still open.
    pub fn is_open(&self, conn: ConnId) -> bool {
        self.known.get(&conn).is_some_and(|stream| stream.closed().is_none())
    }

    /// Whether a connection over which something was bound has closed.
    pub fn is_closed(&self, conn: ConnId) -> bool {
        self.known.get(&conn).is_some_and(|stream| stream.closed().is_some())
    }

    /// A connection closed. The instances that are bound over it, and whether that was not known before.
    pub fn close(&self, conn: ConnId, now: u64) -> (Vec<InstanceId>, bool) {
        let Some(mut stream) = self.known.get_mut(&conn) else { return (Vec::new(), false) };
        let first = stream.closed().is_none();
        let instances = stream.instances().to_vec();
        let full = self.closed.load(Relaxed) >= BOUND as u64;
        if instances.is_empty() || full {
            drop(stream);
            if !instances.is_empty() {
                self.overflow.inc();
            }
            self.known.remove(&conn);
        } else if stream.close(now) {
            self.closed.fetch_add(1, Relaxed);
        }
        (instances, first)
    }

    /// The instances that are or were bound over a connection.
    pub fn instances(&self, conn: ConnId) -> Vec<InstanceId> {
        self.known.get(&conn).map_or_else(Vec::new, |stream| stream.instances().to_vec())
    }

    /// A connection took the place of another. What waits for the other one.
    pub fn succeed(&self, old: ConnId, flow: FlowRef, now: u64) -> Vec<(InstanceId, DeviceId)> {
        if self.successors.len() < BOUND || self.successors.contains_key(&old) {
            self.successors.insert(old, (flow, now));
        } else {
            self.overflow.inc();
        }
        self.awaited.remove(&old).map(|(_, (devices, _))| devices).unwrap_or_default()
    }

    /// The connection that took the place of another.
    pub fn successor(&self, old: ConnId) -> Option<FlowRef> {
        let mut found = self.successors.get(&old)?.0;
        for _ in 0..CHAIN {
            let Some(next) = found.conn().and_then(|conn| self.successors.get(&conn).map(|entry| entry.0)) else {
                break;
            };
            found = next;
        }
        Some(found)
    }

    /// Notes that a device is waited for that had this connection.
    pub fn await_successor(
        &self,
        old: ConnId,
        instance: InstanceId,
        device: DeviceId,
        now: u64,
    ) -> Result<(), Overflow> {
        let full = self.awaited.len() >= BOUND;
        if full && !self.awaited.contains_key(&old) {
            return Err(Overflow);
        }
        let mut entry = self.awaited.entry(old).or_insert_with(|| (Vec::new(), now));
        let devices = &mut entry.value_mut().0;
        if devices.contains(&(instance, device)) {
            return Ok(());
        }
        if devices.len() >= PER_STREAM {
            return Err(Overflow);
        }
        devices.push((instance, device));
        Ok(())
    }

    /// Forgets what is over, every few seconds.
    pub(super) fn tidy(&self, now: u64) {
        let before = self.tidied.load(Relaxed);
        if now < before.saturating_add(TIDY) || self.tidied.compare_exchange(before, now, Relaxed, Relaxed).is_err() {
            return;
        }
        if self.closed.load(Relaxed) > 0 {
            self.known.retain(|_, stream| stream.closed().is_none_or(|at| at.saturating_add(MEMORY) > now));
            let closed = self.known.iter().filter(|stream| stream.closed().is_some()).count();
            self.closed.store(closed as u64, Relaxed);
        }
        self.successors.retain(|_, (_, at)| at.saturating_add(MEMORY) > now);
        self.awaited.retain(|_, (_, at)| at.saturating_add(MEMORY) > now);
    }

    /// Connections that are open, as far as they are watched.
    #[cfg(test)]
    pub fn open(&self) -> usize {
        self.known.iter().filter(|stream| stream.closed().is_none()).count()
    }
}
