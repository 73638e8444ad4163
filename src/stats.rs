//! Counters and states that outlive a snapshot: plain atomics, written by the data plane, read by
//! `observe`. They know nothing of how they are shown.

mod http;
mod shard;

pub use http::{HttpRefusal, HttpStats};
pub use shard::{Own, ShardStats, Shards};

use crate::ids::InstanceId;
use crate::model::Kind;
use crate::reason::{Drop, Refusal};
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A number that only grows.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Its value.
    pub fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down and never below zero.
#[derive(Default, Debug)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Adds one.
    pub fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Adds one unless that would pass `limit`; false if it would.
    pub fn inc_within(&self, limit: u64) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |n| (n < limit).then_some(n + 1)).is_ok()
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Takes `n` away.
    pub fn sub(&self, n: u64) {
        let _ = self.0.fetch_update(Relaxed, Relaxed, |old| Some(old.saturating_sub(n)));
    }

    /// Takes one away.
    pub fn dec(&self) {
        let _ = self.0.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1));
    }

    /// Sets it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Its value.
    pub fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What the SIP side of the node did, all instances and shards together.
#[derive(Debug)]
pub struct NodeStats {
    /// What each shard counts by itself.
    pub shards: Shards,
    /// Requests absorbed because they came before (T17).
    pub retransmissions_in: Counter,
    /// Requests and CANCELs sent again by Timer A or E.
    pub retransmissions_out: Counter,
    /// Answered server transactions forgotten before their time.
    pub server_answers_forgotten: Counter,
    /// Answered client transactions forgotten before their time.
    pub client_answers_forgotten: Counter,
    /// Requests that went on to another target of the instance.
    pub failovers: Counter,
    /// Messages handed to another shard.
    pub handed_over: Counter,
    /// Requests that would have had to go over a stream but stayed on UDP (X02).
    pub oversized_datagrams: Counter,
    /// Bindings not kept because the instance's registry was full.
    pub bindings_overflow: Counter,
    /// Requests and answers that followed their device to another flow.
    pub followed: Counter,
    /// Requests and answers that wait for their device to come back.
    pub waiting: Gauge,
    /// Those that waited in vain.
    pub waited_in_vain: Counter,
    /// Those that did not wait for want of room.
    pub waiting_overflow: Counter,
    /// Devices and connections not kept because the registry was full.
    pub devices_overflow: Counter,
    /// Connections that ended or were succeeded and were not remembered because too many were.
    pub streams_overflow: Arc<Counter>,
    /// Instances whose share began anew because too many had asked.
    pub budgets_overflow: Counter,
    /// Keep-alives of ours to devices.
    pub keep_alives_sent: Counter,
    /// Those that were not sent because too many were due at once.
    pub keep_alives_left_out: Counter,
    /// Devices that left them unanswered and were taken for gone.
    pub keep_alives_unanswered: Counter,
    /// Calls not kept because the instance's registry was full.
    pub calls_overflow: Counter,
    /// Requests over connections whose TLS name or Host names another instance (S04).
    pub name_mismatches: Counter,
    /// Connections closed because what they said at their beginning could not be remembered.
    pub greetings_overflow: Counter,
    /// Claims of seats on their way to the disk.
    pub seats: Arc<JournalStats>,
    refused: Vec<Counter>,
    dropped: Vec<Counter>,
}

/// Claims of seats on their way to the disk.
#[derive(Default, Debug)]
pub struct JournalStats {
    /// Changes that wait to be written.
    pub waiting: Gauge,
    /// Times changes were written.
    pub writes: Counter,
    /// Times they could not be written or read.
    pub failures: Counter,
    /// Ends of claims that were not noted because too much waited; after a restart they end by their time.
    pub lost: Counter,
}

impl Default for NodeStats {
    fn default() -> Self {
        Self {
            shards: Shards::default(),
            retransmissions_in: Counter::default(),
            retransmissions_out: Counter::default(),
            server_answers_forgotten: Counter::default(),
            client_answers_forgotten: Counter::default(),
            failovers: Counter::default(),
            handed_over: Counter::default(),
            oversized_datagrams: Counter::default(),
            bindings_overflow: Counter::default(),
            keep_alives_sent: Counter::default(),
            keep_alives_left_out: Counter::default(),
            keep_alives_unanswered: Counter::default(),
            calls_overflow: Counter::default(),
            followed: Counter::default(),
            waiting: Gauge::default(),
            waited_in_vain: Counter::default(),
            waiting_overflow: Counter::default(),
            devices_overflow: Counter::default(),
            streams_overflow: Arc::default(),
            budgets_overflow: Counter::default(),
            name_mismatches: Counter::default(),
            greetings_overflow: Counter::default(),
            seats: Arc::default(),
            refused: Refusal::ALL.iter().map(|_| Counter::default()).collect(),
            dropped: Drop::ALL.iter().map(|_| Counter::default()).collect(),
        }
    }
}

impl NodeStats {
    /// Counts a refusal.
    pub fn refuse(&self, why: Refusal) {
        if let Some(counter) = self.refused.get(why as usize) {
            counter.inc();
        }
    }

    /// Counts a drop.
    pub fn discard(&self, why: Drop) {
        if let Some(counter) = self.dropped.get(why as usize) {
            counter.inc();
        }
    }

    /// Refusals so far, by reason.
    pub fn refused(&self, why: Refusal) -> u64 {
        self.refused.get(why as usize).map_or(0, Counter::read)
    }

    /// Drops so far, by reason.
    pub fn dropped(&self, why: Drop) -> u64 {
        self.dropped.get(why as usize).map_or(0, Counter::read)
    }
}

/// The seats of one kind of users in one instance.
#[derive(Default, Debug)]
pub struct SeatStats {
    /// Users with a seat now.
    pub used: Gauge,
    /// The most of them since [`Self::take_peak`] was called last.
    peak: AtomicU64,
}

impl SeatStats {
    /// Notes how many users have a seat.
    fn set(&self, used: u64) {
        self.used.set(used);
        self.peak.fetch_max(used, Relaxed);
    }

    /// The most that had a seat since the last call, and from now on the present number.
    fn take_peak(&self) -> u64 {
        let used = self.used.read();
        self.peak.swap(used, Relaxed).max(used)
    }
}

/// Instances whose seats changed since they were looked at last: each is named once, so that looking costs what
/// happened and not what there is.
#[derive(Default, Debug)]
pub struct Touched(Mutex<Vec<InstanceId>>);

impl Touched {
    /// Those of now, which are forgotten here.
    pub fn take(&self) -> Vec<InstanceId> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, id: InstanceId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }
}

impl InstanceStats {
    /// The counters of a new instance; `touched` is told when its seats change.
    pub fn of(id: InstanceId, touched: &Arc<Touched>) -> Self {
        Self { told: Some((id, Arc::clone(touched))), ..Self::default() }
    }

    /// Notes how many users of a kind have a seat.
    pub fn set_seats(&self, kind: Kind, used: u64) {
        let seats = self.seats(kind);
        if seats.used.read() == used {
            return;
        }
        seats.set(used);
        if let Some((id, touched)) = &self.told
            && !self.is_told.swap(true, AcqRel)
        {
            touched.add(*id);
        }
    }

    /// The most users of each kind that had a seat since the last call: full ones, light ones.
    pub fn take_peaks(&self) -> [u64; 2] {
        // What changes from here on is told anew.
        self.is_told.store(false, Release);
        [Kind::Full, Kind::Light].map(|kind| self.seats(kind).take_peak())
    }

    /// The seats of a kind.
    pub const fn seats(&self, kind: Kind) -> &SeatStats {
        let [full, light] = &self.seats;
        match kind {
            Kind::Full => full,
            Kind::Light => light,
        }
    }
}

/// The REGISTERs of one instance: how many its PBX is given at once.
#[derive(Default, Debug)]
pub struct RegisterStats {
    /// REGISTERs that the PBX has not answered yet.
    pub in_flight: Gauge,
    /// How many of them there may be.
    pub limit: Gauge,
    /// Phones that were sent away and whose turn has not come.
    pub waiting: Gauge,
    /// REGISTERs refused because the PBX had enough to do.
    pub refused: Counter,
    /// Accounts and turns not remembered for want of room.
    pub forgotten: Counter,
}

/// Refusals that licences are the reason of, by reason. Most instances never have one, and no counters for them.
#[derive(Default, Debug)]
pub struct LicenceRefusals(OnceLock<Box<[Counter; Refusal::LICENCE.len()]>>);

impl LicenceRefusals {
    /// Counts one; other reasons are not counted here.
    pub fn count(&self, why: Refusal) {
        if let Some(n) = why.licence_index()
            && let Some(counter) = self.0.get_or_init(Box::default).get(n)
        {
            counter.inc();
        }
    }

    /// How often it was this reason.
    pub fn read(&self, why: Refusal) -> u64 {
        why.licence_index().and_then(|n| self.0.get()?.get(n)).map_or(0, Counter::read)
    }
}

impl InstanceStats {
    /// Counts a SIP request refused on its behalf.
    pub fn refuse(&self, why: Refusal) {
        self.refused.inc();
        self.licence_refused.count(why);
    }

    /// Counts a refusal that shadow mode let pass.
    pub fn shadow(&self, why: Refusal) {
        self.shadow_refused.inc();
        self.licence_shadowed.count(why);
    }
}

/// What one instance did; one handle for the instance's whole life.
#[derive(Default, Debug)]
pub struct InstanceStats {
    /// SIP requests accepted for it, from either side.
    pub requests: Counter,
    /// SIP requests refused on its behalf.
    pub refused: Counter,
    /// Live SIP transactions: without a final answer.
    pub transactions: Gauge,
    /// Requests and answers that wait for a device to come back.
    pub waiting: Gauge,
    /// Bytes of the requests they are about.
    pub kept_bytes: Gauge,
    /// Live dialogs made by INVITE.
    pub calls: Gauge,
    /// Registered contacts.
    pub bindings: Gauge,
    /// Clients' connections over which something is registered.
    pub connections: Gauge,
    /// Users with a seat, by kind.
    pub seats: [SeatStats; 2],
    /// REGISTERs on their way to it.
    pub registers: RegisterStats,
    /// Those of the refused that licences are the reason of.
    pub licence_refused: LicenceRefusals,
    /// Refusals that shadow mode let pass.
    pub shadow_refused: Counter,
    /// The same by reason.
    pub licence_shadowed: LicenceRefusals,
    /// SIP requests that came by a former name (R7).
    pub former_name: Counter,
    /// HTTP requests.
    pub http_requests: Counter,
    /// HTTP requests and tunnels at work.
    pub http_active: Gauge,
    /// Open WebSocket tunnels.
    pub tunnels: Gauge,
    /// Bytes of HTTP bodies and tunnels towards clients.
    pub http_bytes_out: Counter,
    /// Bytes of HTTP bodies and tunnels towards the instance.
    pub http_bytes_in: Counter,
    /// Who is told when seats change, and by which id.
    told: Option<(InstanceId, Arc<Touched>)>,
    /// Whether they are told already.
    is_told: AtomicBool,
}

/// Up or down, with hysteresis: `fall` failures in a row make a target down, `rise` good answers in
/// a row make it up again. Starts up, so that a new target is tried at once.
#[derive(Default, Debug)]
pub struct TargetHealth {
    down: AtomicU8,
    streak: AtomicU32,
    heard: AtomicU64,
    /// Times it went down.
    pub falls: Counter,
}

impl TargetHealth {
    /// Whether requests may be sent to it.
    pub fn is_up(&self) -> bool {
        self.down.load(Relaxed) == 0
    }

    /// Notes that it said something at this moment, in milliseconds of the process's clock.
    pub fn hear(&self, tick: u64) {
        self.heard.store(tick, Relaxed);
    }

    /// When it last said something; 0 for never.
    pub fn heard(&self) -> u64 {
        self.heard.load(Relaxed)
    }

    /// Notes a good answer; true if this made it up.
    pub fn success(&self, rise: u32) -> bool {
        if self.is_up() {
            self.streak.store(0, Relaxed);
            return false;
        }
        if self.streak.fetch_add(1, Relaxed) + 1 < rise {
            return false;
        }
        self.streak.store(0, Relaxed);
        self.down.swap(0, Relaxed) == 1
    }

    /// Notes a failure; true if this made it down.
    pub fn failure(&self, fall: u32) -> bool {
        if !self.is_up() {
            self.streak.store(0, Relaxed);
            return false;
        }
        if self.streak.fetch_add(1, Relaxed) + 1 < fall {
            return false;
        }
        self.streak.store(0, Relaxed);
        let fell = self.down.swap(1, Relaxed) == 0;
        if fell {
            self.falls.inc();
        }
        fell
    }
}

/// What became of events about licences, of the journal and of webhooks.
#[derive(Default, Debug)]
pub struct UsageStats {
    /// Events written down.
    pub events: Counter,
    /// Events not written down for want of room.
    pub events_lost: Counter,
    /// Times the journal could not be read or written.
    pub journal_errors: Counter,
    /// Full users booked beyond what the volume licence has (R22).
    pub over_full: Gauge,
    /// Light users booked beyond what it has.
    pub over_light: Gauge,
    /// Events that wait for webhooks.
    pub hook_waiting: Gauge,
    /// Events that webhooks took.
    pub hook_deliveries: Counter,
    /// Tries that failed.
    pub hook_failures: Counter,
    /// Events given up after all tries.
    pub hook_given_up: Counter,
    /// Events passed over because a webhook was too far behind.
    pub hook_overflows: Counter,
}

/// What the management API did.
#[derive(Default, Debug)]
pub struct ApiStats {
    /// Requests answered.
    pub requests: Counter,
    /// Open connections.
    pub connections: Gauge,
    /// Times a connection had to wait because all places were taken.
    pub full: Counter,
    /// Requests without the right token.
    pub sign_ins_failed: Counter,
    /// Those of them that were told to wait.
    pub sign_ins_limited: Counter,
    /// Sources of such requests that were forgotten early because too many were known.
    pub sources_evicted: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_refusals_are_counted_by_reason_and_others_are_not() {
        // R69
        let stats = InstanceStats::default();
        for why in Refusal::ALL {
            stats.refuse(*why);
            stats.shadow(*why);
        }
        assert_eq!(stats.refused.read(), Refusal::ALL.len() as u64);
        for why in Refusal::ALL {
            let counted = u64::from(Refusal::LICENCE.contains(why));
            assert_eq!((stats.licence_refused.read(*why), stats.licence_shadowed.read(*why)), (counted, counted));
        }
    }
}
