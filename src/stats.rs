//! Counters and states that outlive a snapshot: plain atomics, written by the data plane, read by
//! `observe`. They know nothing of how they are shown.

use crate::reason::{Drop, Refusal};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

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
    /// Requests that came.
    pub requests: Counter,
    /// Responses that came.
    pub responses: Counter,
    /// Requests passed on.
    pub requests_forwarded: Counter,
    /// Responses passed on.
    pub responses_forwarded: Counter,
    /// Requests absorbed because they came before (T17).
    pub retransmissions_in: Counter,
    /// Requests and CANCELs sent again by Timer A or E.
    pub retransmissions_out: Counter,
    /// Live server transactions.
    pub server_transactions: Gauge,
    /// Live client transactions.
    pub client_transactions: Gauge,
    /// Armed timers.
    pub timers: Gauge,
    /// Bytes of messages kept by transactions.
    pub kept_bytes: Gauge,
    /// Requests that went on to another target of the instance.
    pub failovers: Counter,
    /// Messages handed to another shard.
    pub handed_over: Counter,
    /// Requests that would have had to go over a stream but stayed on UDP (X02).
    pub oversized_datagrams: Counter,
    /// Bindings not kept because the instance's registry was full.
    pub bindings_overflow: Counter,
    /// Calls not kept because the instance's registry was full.
    pub calls_overflow: Counter,
    refused: Vec<Counter>,
    dropped: Vec<Counter>,
}

impl Default for NodeStats {
    fn default() -> Self {
        Self {
            requests: Counter::default(),
            responses: Counter::default(),
            requests_forwarded: Counter::default(),
            responses_forwarded: Counter::default(),
            retransmissions_in: Counter::default(),
            retransmissions_out: Counter::default(),
            server_transactions: Gauge::default(),
            client_transactions: Gauge::default(),
            timers: Gauge::default(),
            kept_bytes: Gauge::default(),
            failovers: Counter::default(),
            handed_over: Counter::default(),
            oversized_datagrams: Counter::default(),
            bindings_overflow: Counter::default(),
            calls_overflow: Counter::default(),
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

/// What one instance did; one handle for the instance's whole life.
#[derive(Default, Debug)]
pub struct InstanceStats {
    /// SIP requests accepted for it, from either side.
    pub requests: Counter,
    /// SIP requests refused on its behalf.
    pub refused: Counter,
    /// Live SIP transactions.
    pub transactions: Gauge,
    /// Live dialogs made by INVITE.
    pub calls: Gauge,
    /// Registered contacts.
    pub bindings: Gauge,
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
}

/// Up or down, with hysteresis: `fall` failures in a row make a target down, `rise` good answers in
/// a row make it up again. Starts up, so that a new target is tried at once.
#[derive(Default, Debug)]
pub struct TargetHealth {
    down: AtomicU8,
    streak: AtomicU32,
    /// Times it went down.
    pub falls: Counter,
}

impl TargetHealth {
    /// Whether requests may be sent to it.
    pub fn is_up(&self) -> bool {
        self.down.load(Relaxed) == 0
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
