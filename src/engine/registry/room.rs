//! The room of one instance: bindings, seats, calls and late decisions behind one small lock.

use super::Overflow;
use super::bindings::Bindings;
use super::calls::Calls;
use super::decisions::Decisions;
use super::devices::{Devices, Sight};
use super::journal::Journal;
use crate::clock::Now;
use crate::engine::admission::Gate;
use crate::engine::mask::Masks;
use crate::engine::token::FlowRef;
use crate::ids::{ConnId, DeviceId, Flow, InstanceId};
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
    masks: Mutex<Masks>,
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
    /// The devices and the ways to them.
    pub devices: Devices,
}

impl Live {
    /// Ends what has expired.
    fn expire(&mut self, now: u64) {
        self.bindings.expire(now);
        self.devices.expire(now);
        self.ledger.expire(now);
        self.calls.expire(now);
    }

    fn is_due(&self, now: u64) -> bool {
        let Self { bindings, devices, ledger, calls, .. } = self;
        bindings.is_due(now) || devices.is_due(now) || ledger.is_due(now) || calls.is_due(now)
    }

    /// A connection ended: what is bound to it is void (P07). For as many milliseconds of grace its devices may be
    /// on their way back, and keep their seats.
    pub fn lose_stream(&mut self, conn: ConnId, now: Now, grace: u64) {
        let Self { bindings, ledger, devices, .. } = self;
        let until = now.unix.saturating_add(grace.div_ceil(1_000));
        bindings.drop_stream(conn, until, |account| ledger.set_away(account, true));
        devices.lose_stream(conn, now.tick);
    }

    /// A device is found another way than before, and what it has bound goes along. The shards that are to be told.
    pub fn move_device(&mut self, sight: &Sight<'_>, flow: Flow, now: u64, cap: usize) -> Result<u64, Overflow> {
        let before = self.devices.newest(sight.device).filter(|old| !old.is_same(&sight.flow));
        let shards = self.devices.learn(sight, cap)?;
        if let Some(old) = before {
            self.bindings.follow(sight.account, &old.flow(), flow, now);
            self.ledger.set_away(sight.account, false);
        }
        Ok(shards)
    }

    /// A connection takes the place of another, of the same client. Each device with the shards that are to be told.
    pub fn succeed(&mut self, old: ConnId, new: FlowRef, flow: Flow, now: u64, mut moved: impl FnMut(DeviceId, u64)) {
        let Self { bindings, ledger, devices, .. } = self;
        let Flow::Stream { listener, transport, local, peer, .. } = flow else { return };
        let before = Flow::Stream { listener, conn: old, transport, local, peer };
        devices.succeed(old, new, peer.ip(), |device, account, shards| {
            bindings.follow(account, &before, flow, now);
            ledger.set_away(account, false);
            moved(device, shards);
        });
    }

    /// A UDP peer cannot be reached: what is bound to it is void (P07).
    pub fn lose_datagrams(&mut self, gone: &Flow) {
        self.bindings.drop_datagrams(gone);
        self.devices.lose_datagrams(gone.listener(), gone.peer());
    }

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
            masks: Mutex::default(),
            live: Mutex::default(),
        }
    }

    /// Whose it is.
    pub(super) const fn id(&self) -> InstanceId {
        self.id
    }

    /// Its counters.
    pub fn stats(&self) -> &InstanceStats {
        &self.stats
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
            self.stats.set_seats(kind, used.of(kind).into());
        }
        done
    }

    /// Ends what has expired. Nearly always nothing has, and then there is nothing to count or write down either.
    pub(super) fn expire(&self, now: u64) {
        let due = self.live.lock().unwrap_or_else(PoisonError::into_inner).is_due(now);
        if due {
            self.with(|live| live.expire(now));
        }
    }

    /// Asks where devices are. Nothing that is counted or written down may change.
    pub fn devices<T>(&self, work: impl FnOnce(&mut Devices) -> T) -> T {
        work(&mut self.live.lock().unwrap_or_else(PoisonError::into_inner).devices)
    }

    /// Looks at or changes how the instance answers strangers.
    pub fn masks<T>(&self, work: impl FnOnce(&mut Masks) -> T) -> T {
        work(&mut self.masks.lock().unwrap_or_else(PoisonError::into_inner))
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
