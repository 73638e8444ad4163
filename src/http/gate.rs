//! What one instance holds of the node: requests at work, connections kept, tunnels open.
//!
//! A gate lives beside the snapshots, keyed by the instance's id, so a reload resets nothing. When
//! the table changes, `Gates::apply` closes what belongs to an instance that left, was switched off
//! or moved, and nothing else.

use super::upstream::Upstream;
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
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// All gates of the node.
#[derive(Default)]
pub(super) struct Gates(DashMap<InstanceId, Arc<Gate>, RandomState>);

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
    /// The gate of an instance.
    pub(super) fn of(&self, id: InstanceId) -> Arc<Gate> {
        if let Some(gate) = self.0.get(&id) {
            return Arc::clone(&gate);
        }
        Arc::clone(&self.0.entry(id).or_default())
    }

    /// Carries out what changes of the table mean for what is open.
    pub(super) fn apply(&self, diff: &Diff, default_limit: u32) {
        for instance in diff.changed.iter().map(|changed| &changed.new) {
            let Some(gate) = self.0.get(&instance.id) else { continue };
            match reachable(instance) {
                Some(web) => gate.follow(web, limit(instance, default_limit)),
                None => gate.shut(CloseCode::Restart),
            }
        }
        for instance in &diff.removed {
            if let Some((_, gate)) = self.0.remove(&instance.id) {
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

    /// Drops kept connections that are closed, or unused for `patience` milliseconds, and gates that a request made
    /// while its instance was leaving the table.
    pub(super) fn sweep(&self, snapshot: &Snapshot, now: Tick, patience: u64) {
        for gate in self.all() {
            if let Some(upstream) = gate.upstream.load_full() {
                upstream.sweep(now, patience);
            }
        }
        self.0.retain(|id, gate| snapshot.by_id(*id).is_some() || gate.active.load(Relaxed) > 0);
    }

    fn all(&self) -> Vec<Arc<Gate>> {
        self.0.iter().map(|entry| Arc::clone(entry.value())).collect()
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

    /// The way to `web`; the one before is retired where that led elsewhere.
    pub(super) fn upstream(
        &self,
        web: &Web,
        most: usize,
        stats: &Arc<HttpStats>,
    ) -> Result<Arc<Upstream>, rustls::Error> {
        if let Some(upstream) = self.upstream.load_full().filter(|u| u.leads_to(web)) {
            return Ok(upstream);
        }
        let fresh = Arc::new(Upstream::new(web, most, stats)?);
        if let Some(old) = self.upstream.swap(Some(Arc::clone(&fresh))) {
            old.retire();
        }
        Ok(fresh)
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
        if let Some(upstream) = self.upstream.swap(None) {
            upstream.retire();
        }
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Slab<Option<oneshot::Sender<CloseCode>>>> {
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
    instance.web.as_ref().filter(|web| instance.state == State::On && web.service != WebService::Off)
}

/// Requests at once of an instance.
pub(super) fn limit(instance: &Instance, default: u32) -> u32 {
    if instance.limits.http_requests == 0 { default } else { instance.limits.http_requests }
}
