//! What the guard counts.

use super::kind::{Kind, Scope};
use crate::stats::{Counter, Gauge};

/// The counters of a node.
#[derive(Default, Debug)]
pub struct GuardStats {
    reports: [Counter; Kind::ALL.len()],
    bans: [Counter; Scope::ALL.len()],
    hits: [Counter; Scope::ALL.len()],
    /// Bans that have not ended.
    pub live: Gauge,
    /// Bans that were not made for want of room.
    pub overflows: Counter,
    /// Sources whose counts were forgotten for want of room.
    pub forgotten: Counter,
    /// Reports from sources that had credit enough not to be banned.
    pub spared: Counter,
    /// Connections of banned sources that are held.
    pub tarpits: Gauge,
    /// Connections of banned sources that were closed at once, because enough are held.
    pub tarpits_full: Counter,
    /// Answers to strangers that do not tell whether an account exists.
    pub masked: Counter,
    /// Events that were not told for want of room.
    pub untold: Counter,
}

impl GuardStats {
    pub(super) fn report(&self, kind: Kind) {
        if let Some(counter) = self.reports.get(kind as usize) {
            counter.inc();
        }
    }

    pub(super) fn ban(&self, scope: Scope) {
        if let Some(counter) = self.bans.get(scope as usize) {
            counter.inc();
        }
    }

    pub(super) fn hit(&self, scope: Scope) {
        if let Some(counter) = self.hits.get(scope as usize) {
            counter.inc();
        }
    }

    /// Reports of a kind.
    pub fn reports(&self, kind: Kind) -> u64 {
        self.reports.get(kind as usize).map_or(0, Counter::read)
    }

    /// Bans that were made.
    pub fn bans(&self, scope: Scope) -> u64 {
        self.bans.get(scope as usize).map_or(0, Counter::read)
    }

    /// Messages and connections that bans kept out.
    pub fn hits(&self, scope: Scope) -> u64 {
        self.hits.get(scope as usize).map_or(0, Counter::read)
    }
}
