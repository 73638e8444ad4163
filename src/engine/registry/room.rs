//! The room of one instance: bindings, seats, calls and late decisions behind one small lock.

use super::bindings::Bindings;
use super::calls::Calls;
use super::decisions::Decisions;
use super::journal::Journal;
use crate::engine::admission::Gate;
use crate::ids::InstanceId;
use crate::licence::ledger::Ledger;
use crate::model::Kind;
use crate::stats::InstanceStats;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// What is known of one instance.
pub struct Room {
    id: InstanceId,
    stats: Arc<InstanceStats>,
    journal: Arc<Journal>,
    /// Lets REGISTERs in as fast as the PBX answers them.
    pub gate: Arc<Gate>,
    is_open: AtomicBool,
    live: Mutex<Live>,
}

/// The inside of a room.
#[derive(Default)]
pub struct Live {
    /// Registered contacts.
    pub bindings: Bindings,
    /// Who has a seat. An account that loses its last binding loses its claim.
    pub ledger: Ledger,
    /// Calls.
    pub calls: Calls,
    /// What was decided of late.
    pub decisions: Decisions,
}

impl Live {
    /// Ends the claims of accounts to which nothing is bound any more (R68, P07).
    fn follow_bindings(&mut self) {
        for account in self.bindings.take_ended() {
            self.ledger.lapse(&account);
        }
    }
}

impl Room {
    pub(super) fn new(id: InstanceId, stats: &Arc<InstanceStats>, journal: &Arc<Journal>) -> Self {
        Self {
            id,
            stats: Arc::clone(stats),
            journal: Arc::clone(journal),
            gate: Arc::new(Gate::new(Arc::clone(stats))),
            is_open: AtomicBool::new(false),
            live: Mutex::default(),
        }
    }

    /// Looks at or changes what is known, notes what has to be written down, and sets the instance's gauges to the
    /// outcome.
    pub fn with<T>(&self, work: impl FnOnce(&mut Live) -> T) -> T {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut live);
        live.follow_bindings();
        if live.ledger.has_changes() {
            self.journal.put(self.id, live.ledger.take_changes());
        }
        let used = live.ledger.counts().used;
        self.stats.bindings.set(live.bindings.len() as u64);
        self.stats.calls.set(live.calls.len() as u64);
        for kind in [Kind::Full, Kind::Light] {
            self.stats.seats(kind).set(u64::from(used.of(kind)));
        }
        done
    }

    /// Whether the instance answers REGISTERs without credentials with a 2xx, as far as was seen (R65).
    pub fn is_open(&self) -> bool {
        self.is_open.load(Relaxed)
    }

    /// Notes how it answered one.
    pub fn set_open(&self, is_open: bool) {
        self.is_open.store(is_open, Relaxed);
    }

    /// Whether a new claim can be written down.
    pub fn can_save(&self) -> bool {
        self.journal.can_save()
    }
}
