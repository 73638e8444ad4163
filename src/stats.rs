//! Counters and states that outlive a snapshot: plain atomics, written by the data plane, read by
//! `observe`. They know nothing of how they are shown.

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
