//! What a connection of a client is doing, and until when it may: shared by the byte stream, the
//! requests on it, and the task that watches the deadlines.

use super::config::Config;
use super::framing::Fault;
use crate::clock::{Clock, Tick};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The state of one connection. Ticks are stored plus one; 0 says "not so".
pub(super) struct Pulse {
    clock: Clock,
    limits: Limits,
    /// Requests that are not answered completely.
    busy: AtomicU32,
    /// Whether there was one at all.
    used: AtomicBool,
    head_since: AtomicU64,
    blocked_since: AtomicU64,
    idle_since: AtomicU64,
    fault: AtomicU8,
    peer_done: AtomicBool,
}

#[derive(Clone, Copy)]
struct Limits {
    head: u64,
    idle: u64,
    write: u64,
}

/// Which deadline passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Late {
    /// A head was begun and not finished.
    Head,
    /// Nothing was asked.
    Idle,
    /// The client takes no bytes.
    Write,
}

impl Pulse {
    pub(super) fn new(clock: Clock, config: &Config) -> Self {
        let limits = Limits { head: millis(config.head), idle: millis(config.idle), write: millis(config.write) };
        let now = clock.tick();
        Self {
            clock,
            limits,
            busy: AtomicU32::new(0),
            used: AtomicBool::new(false),
            head_since: AtomicU64::new(0),
            blocked_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(now.0 + 1),
            fault: AtomicU8::new(0),
            peer_done: AtomicBool::new(false),
        }
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Notes whether a head is being read.
    pub(super) fn head(&self, reading: bool) {
        self.since(&self.head_since, reading);
    }

    /// Notes whether a write waits for the client.
    pub(super) fn blocked(&self, waiting: bool) {
        self.since(&self.blocked_since, waiting);
    }

    /// Notes that the client will send no more.
    pub(super) fn peer_done(&self) {
        self.peer_done.store(true, Relaxed);
    }

    /// Whether the client will send no more.
    pub(super) fn is_peer_done(&self) -> bool {
        self.peer_done.load(Relaxed)
    }

    pub(super) fn request_begins(&self) {
        self.used.store(true, Relaxed);
        self.busy.fetch_add(1, Relaxed);
    }

    pub(super) fn request_ends(&self) {
        if self.busy.fetch_sub(1, Relaxed) == 1 {
            self.idle_since.store(self.clock.tick().0 + 1, Relaxed);
        }
    }

    /// Whether a request is not answered completely.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Relaxed) > 0
    }

    pub(super) fn fail(&self, fault: Fault) {
        self.fault.store(fault as u8 + 1, Relaxed);
    }

    /// What made the rest of the connection unreadable.
    pub(super) fn fault(&self) -> Option<Fault> {
        match self.fault.load(Relaxed) {
            1 => Some(Fault::TargetTooLong),
            2 => Some(Fault::FieldsTooLarge),
            3 => Some(Fault::Framing),
            4 => Some(Fault::Syntax),
            _ => None,
        }
    }

    /// The next deadline, if there is one.
    pub(super) fn due(&self) -> Option<(Tick, Late)> {
        let write = at(&self.blocked_since, self.limits.write).map(|t| (t, Late::Write));
        if self.is_busy() {
            return write;
        }
        let head = at(&self.head_since, self.limits.head).map(|t| (t, Late::Head));
        let patience = if self.used.load(Relaxed) { self.limits.idle } else { self.limits.head };
        let next = head.or_else(|| at(&self.idle_since, patience).map(|t| (t, Late::Idle)));
        write.into_iter().chain(next).min_by_key(|(tick, _)| *tick)
    }

    fn since(&self, moment: &AtomicU64, on: bool) {
        let set = moment.load(Relaxed) != 0;
        if on && !set {
            moment.store(self.clock.tick().0 + 1, Relaxed);
        } else if !on && set {
            moment.store(0, Relaxed);
        }
    }
}

fn at(moment: &AtomicU64, patience: u64) -> Option<Tick> {
    moment.load(Relaxed).checked_sub(1).map(|tick| Tick(tick).after(patience))
}

/// A duration as ticks count it.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse() -> Pulse {
        let config = Config {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(1000),
            write: Duration::from_secs(100),
            ..Config::default()
        };
        Pulse::new(Clock::start(), &config)
    }

    fn kind(pulse: &Pulse) -> Option<Late> {
        pulse.due().map(|(_, late)| late)
    }

    #[test]
    fn the_deadline_is_that_of_what_is_going_on() {
        // HT12
        let pulse = pulse();
        assert!(matches!(pulse.due(), Some((Tick(10_000..=10_100), Late::Idle))), "the first request is awaited");
        pulse.head(true);
        assert_eq!(kind(&pulse), Some(Late::Head));
        let first = pulse.due();
        pulse.head(true);
        assert_eq!(pulse.due(), first, "more of the same head wins no time");
        pulse.head(false);
        pulse.request_begins();
        assert_eq!(kind(&pulse), None);
        pulse.blocked(true);
        assert_eq!(kind(&pulse), Some(Late::Write));
        pulse.blocked(false);
        pulse.request_ends();
        assert!(matches!(pulse.due(), Some((Tick(1_000_000..), Late::Idle))));
    }

    #[test]
    fn a_fault_comes_back_as_it_went_in() {
        for fault in [Fault::TargetTooLong, Fault::FieldsTooLarge, Fault::Framing, Fault::Syntax] {
            let pulse = pulse();
            assert_eq!(pulse.fault(), None);
            pulse.fail(fault);
            assert_eq!(pulse.fault(), Some(fault));
        }
    }
}
