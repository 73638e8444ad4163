//! What one instance holds of the node: requests at work, connections kept, tunnels open.
//!
//! A gate lives beside the snapshots, keyed by the instance's id, so a reload resets nothing. When
//! the table changes, `Gates::apply` closes what belongs to an instance that left, was switched off
//! or moved, and nothing else.

use super::upstream::{Upstream, WebTarget};
use crate::clock::Tick;
use crate::ids::InstanceId;
use crate::model::{State, WebService};
use crate::route::Diff;
use crate::route::snapshot::{Instance, Snapshot, Web};
use crate::stats::{HttpStats, InstanceStats};
use arc_swap::ArcSwapOption;
use dashmap::DashMap;
use foldhash::fast::RandomState;
use slab::Slab;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::oneshot;

/// All gates of the node.
pub(super) struct Gates {
    gates: DashMap<InstanceId, Arc<Gate>, RandomState>,
    /// The ways that gates have: instances at one address share the connections to it.
    upstreams: Mutex<HashMap<WebTarget, Weak<Upstream>>>,
    lanes: usize,
    most: usize,
}

/// One instance's gate.
#[derive(Default)]
pub(super) struct Gate {
    active: AtomicU32,
    upstream: ArcSwapOption<Upstream>,
    tunnels: Mutex<Slab<Option<oneshot::Sender<CloseCode>>>>,
}

/// The right to one request or tunnel of an instance, given back on drop.
pub(super) struct Permit {
    gate: Arc<Gate>,
    stats: Arc<InstanceStats>,
}

/// A tunnel's entry, removed on drop.
pub(super) struct Entry {
    gate: Arc<Gate>,
    key: usize,
}

/// Why we close a WebSocket (RFC 6455 §7.4, and the IANA registry).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CloseCode {
    /// 1012: its instance left, moved or was switched off, or the node ends.
    Restart = 1012,
    /// 1013: its instance is over its limit.
    TryAgainLater = 1013,
}

impl Gates {
    /// None, for so many threads that keep `most` connections each to a web target.
    pub(super) fn new(lanes: usize, most: usize) -> Self {
        Self { gates: DashMap::default(), upstreams: Mutex::default(), lanes, most }
    }

    /// The gate of an instance.
    pub(super) fn of(&self, id: InstanceId) -> Arc<Gate> {
        if let Some(gate) = self.gates.get(&id) {
            return Arc::clone(&gate);
        }
        Arc::clone(&self.gates.entry(id).or_default())
    }

    /// Carries out what changes of the table mean for what is open.
    pub(super) fn apply(&self, diff: &Diff, default_limit: u32) {
        for instance in diff.changed.iter().map(|changed| &changed.new) {
            let Some(gate) = self.gates.get(&instance.id) else { continue };
            match reachable(instance) {
                Some(web) => gate.follow(web, limit(instance, default_limit)),
                None => gate.shut(CloseCode::Restart),
            }
        }
        for instance in &diff.removed {
            if let Some((_, gate)) = self.gates.remove(&instance.id) {
                gate.shut(CloseCode::Restart);
            }
        }
    }

    /// Closes all tunnels.
    pub(super) fn close_tunnels(&self) {
        for gate in self.all() {
            gate.close(CloseCode::Restart, 0);
        }
    }

    /// Drops connections kept by this thread that are closed, or unused for `patience` milliseconds, and gates that a
    /// request made while its instance was leaving the table.
    pub(super) fn sweep(&self, snapshot: &Snapshot, now: Tick, patience: u64) {
        let mut ways = Vec::new();
        self.ways().retain(|_, way| way.upgrade().map(|upstream| ways.push(upstream)).is_some());
        for upstream in ways {
            upstream.sweep(now, patience);
        }
        self.gates.retain(|id, gate| snapshot.by_id(*id).is_some() || gate.active.load(Relaxed) > 0);
    }

    /// The way of a gate to `web`.
    pub(super) fn upstream(
        &self,
        gate: &Gate,
        web: &Web,
        stats: &Arc<HttpStats>,
    ) -> Result<Arc<Upstream>, rustls::Error> {
        if let Some(upstream) = gate.upstream.load_full().filter(|u| u.leads_to(web)) {
            return Ok(upstream);
        }
        let mut ways = self.ways();
        let target = WebTarget::of(web);
        let known = ways.get(&target).and_then(Weak::upgrade);
        let upstream = match known {
            Some(upstream) => upstream,
            None => {
                let fresh = Arc::new(Upstream::new(target.clone(), self.lanes, self.most, stats)?);
                ways.insert(target, Arc::downgrade(&fresh));
                fresh
            }
        };
        drop(ways);
        gate.upstream.store(Some(Arc::clone(&upstream)));
        Ok(upstream)
    }

    fn ways(&self) -> MutexGuard<'_, HashMap<WebTarget, Weak<Upstream>>> {
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Arc<Gate>> {
        self.gates.iter().map(|entry| Arc::clone(entry.value())).collect()
    }
}

impl Gate {
    /// Takes a place among the instance's `limit`.
    pub(super) fn enter(self: &Arc<Self>, instance: &Instance, limit: u32) -> Option<Permit> {
        let one_more = |n: u32| if n < limit { Some(n + 1) } else { None };
        self.active.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        instance.stats.http_active.inc();
        Some(Permit { gate: Arc::clone(self), stats: Arc::clone(&instance.stats) })
    }

    /// Whether what is open now leads where `web` says.
    pub(super) fn leads_to(&self, web: &Web) -> bool {
        self.upstream.load().as_ref().is_some_and(|upstream| upstream.leads_to(web))
    }

    /// Enters a tunnel; the receiver tells when to close it.
    pub(super) fn add_tunnel(self: &Arc<Self>) -> (Entry, oneshot::Receiver<CloseCode>) {
        let (sender, receiver) = oneshot::channel();
        let key = self.lock().insert(Some(sender));
        (Entry { gate: Arc::clone(self), key }, receiver)
    }

    /// The instance is served on, perhaps elsewhere, perhaps with less room.
    fn follow(&self, web: &Web, limit: u32) {
        let moved = self.upstream.load().as_ref().is_some_and(|upstream| !upstream.leads_to(web));
        if moved {
            self.shut(CloseCode::Restart);
        } else {
            let over = self.active.load(Relaxed).saturating_sub(limit);
            let open = self.lock().len();
            if over > 0 {
                self.close(CloseCode::TryAgainLater, open.saturating_sub(over as usize));
            }
        }
    }

    fn shut(&self, code: CloseCode) {
        self.upstream.store(None);
        self.close(code, 0);
    }

    /// Closes all tunnels but `keep`.
    fn close(&self, code: CloseCode, keep: usize) {
        let mut tunnels = self.lock();
        for sender in tunnels.iter_mut().skip(keep).filter_map(|(_, slot)| slot.take()) {
            // A tunnel that is closing by itself no longer listens.
            let _ = sender.send(code);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Option<oneshot::Sender<CloseCode>>>> {
        self.tunnels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    pub(super) fn stats(&self) -> &InstanceStats {
        &self.stats
    }

    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.active.fetch_sub(1, Relaxed);
        self.stats.http_active.dec();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.gate.lock().try_remove(self.key);
    }
}

/// Where an instance's HTTP goes, if it goes anywhere at all.
pub(super) fn reachable(instance: &Instance) -> Option<&Web> {
    instance.web.as_deref().filter(|web| instance.state == State::On && web.service != WebService::Off)
}

/// Requests at once of an instance.
pub(super) fn limit(instance: &Instance, default: u32) -> u32 {
    if instance.limits.http_requests == 0 { default } else { instance.limits.http_requests }
}

/// Whether a path is one that sign-ins are sent to.
pub(super) fn is_at(path: &str, wanted: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(begin) => path.starts_with(begin),
        None => path.trim_end_matches('/') == wanted.trim_end_matches('/'),
    }
}
