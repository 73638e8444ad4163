//! Client connections of the whole node: which instances are bound over each, and which one took the place of which
//! (a TLS session that was resumed, perhaps one of an earlier process).
//!
//! One look-up beside the rooms, because a connection knows nothing of instances. Everything here is bounded; what
//! is not kept for want of room is found again by the device's next REGISTER.

use super::Overflow;
use super::connections::{Closed, Connections, Noted};
use crate::engine::token::FlowRef;
use crate::ids::{ConnId, DeviceId, InstanceId};
use crate::stats::Counter;
use dashmap::DashMap;
use foldhash::fast::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Devices that are waited for by one connection of theirs.
const PER_STREAM: usize = 16;
/// Connections remembered that closed or were succeeded.
pub(super) const BOUND: usize = 200_000;
/// Seconds for which they are.
const MEMORY: u64 = 3_700;
/// Seconds between two tidyings.
const TIDY: u64 = 10;
/// Successions followed from one connection to the present one.
const CHAIN: usize = 8;

/// The devices that are waited for by one connection, and since when (Unix seconds).
type Awaited = (Vec<(InstanceId, DeviceId)>, u64);

/// The connections.
#[derive(Default)]
pub struct Streams {
    known: Connections,
    successors: DashMap<ConnId, (FlowRef, u64), RandomState>,
    awaited: DashMap<ConnId, Awaited, RandomState>,
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
        self.known.watch(conn);
    }

    /// Remembers that a connection carries bindings of an instance.
    pub fn note(&self, conn: ConnId, instance: InstanceId) -> Noted {
        self.known.note(conn, instance)
    }

    /// Whether a connection carries bindings of any instance.
    pub fn is_bound(&self, conn: ConnId) -> bool {
        self.known.look(conn, |stream| !stream.instances.is_empty()).unwrap_or(false)
    }

    /// Whether a connection carries bindings of an instance.
    pub fn carries(&self, conn: ConnId, instance: InstanceId) -> bool {
        self.known.look(conn, |stream| stream.instances.contains(&instance)).unwrap_or(false)
    }

    /// Whether a connection that was watched is still open.
    pub fn is_open(&self, conn: ConnId) -> bool {
        self.known.look(conn, |stream| stream.is_open).unwrap_or(false)
    }

    /// Whether a connection over which something was bound has closed.
    pub fn is_closed(&self, conn: ConnId) -> bool {
        self.known.look(conn, |stream| !stream.is_open).unwrap_or(false)
    }

    /// A connection closed. The instances that are bound over it, and whether that was not known before.
    pub fn close(&self, conn: ConnId, now: u64) -> (Vec<InstanceId>, bool) {
        let Some((instances, closed)) = self.known.close(conn, now) else { return (Vec::new(), false) };
        if closed == Closed::Forgotten {
            self.overflow.inc();
        }
        (instances, closed != Closed::Before)
    }

    /// The instances that are or were bound over a connection.
    pub fn instances(&self, conn: ConnId) -> Vec<InstanceId> {
        self.known.look(conn, |stream| stream.instances.to_vec()).unwrap_or_default()
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
        self.known.forget(now.saturating_sub(MEMORY));
        self.successors.retain(|_, (_, at)| at.saturating_add(MEMORY) > now);
        self.awaited.retain(|_, (_, at)| at.saturating_add(MEMORY) > now);
    }

    /// Connections that are open, as far as they are watched.
    #[cfg(test)]
    pub fn open(&self) -> usize {
        self.known.open()
    }
}
