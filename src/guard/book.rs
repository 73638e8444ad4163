//! Bans with their evidence, as people see them: bounded in number, ended by time, each longer than the one before.
//!
//! Behind a lock, which is taken when a ban is made, looked at or lifted, never for a message. What messages are
//! compared with is `slots`.

use super::evidence::Evidence;
use super::kind::Scope;
use crate::ids::InstanceId;
use crate::route::snapshot::Map;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::ToSchema;

/// Who or what made a ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// What the sender did.
    Automatic,
    /// A person.
    Manual,
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ban {
    /// Its number.
    pub id: u64,
    /// How far it reaches.
    pub scope: Scope,
    /// Where from: an IPv4 address, or the first one of an IPv6 /64.
    #[schema(value_type = String)]
    pub source: IpAddr,
    /// At which instance; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// Which account; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Who made it.
    pub origin: Origin,
    /// Why, in words.
    pub reason: String,
    /// How many there were before it, of late.
    pub level: u32,
    /// Unix seconds of its beginning.
    pub since: u64,
    /// Unix seconds of its end.
    pub until: u64,
    /// Messages and connections it has kept out.
    pub hits: u64,
    /// What the sender did.
    pub evidence: Evidence,
}

/// All of them, those of late included: they make the next one longer.
#[derive(Default)]
pub(super) struct Book {
    bans: Map<u64, Ban>,
    last: u64,
}

impl Book {
    /// The ban of a key, if it has not ended.
    pub(super) fn live(&self, key: u64, now: u64) -> Option<&Ban> {
        self.bans.get(&key).filter(|ban| ban.until > now)
    }

    /// How many bans there were for a key of late.
    pub(super) fn level(&self, key: u64) -> u32 {
        self.bans.get(&key).map_or(0, |ban| ban.level + 1)
    }

    /// Bans of sources that may be a lie, and all.
    pub(super) fn counts(&self, now: u64) -> (usize, usize) {
        let live = self.bans.values().filter(|ban| ban.until > now);
        live.fold((0, 0), |(lies, all), ban| (lies + usize::from(!ban.evidence.proven), all + 1))
    }

    /// Whether there is room for another one; what is over makes room first.
    pub(super) fn has_room(&mut self, most: usize, now: u64, memory: u64) -> bool {
        if self.bans.len() >= most {
            self.bans.retain(|_, ban| ban.until.saturating_add(memory) > now);
        }
        if self.bans.len() >= most {
            self.bans.retain(|_, ban| ban.until > now);
        }
        self.bans.len() < most
    }

    /// Writes one down, with a number of its own.
    pub(super) fn write(&mut self, key: u64, mut ban: Ban) -> u64 {
        self.last += 1;
        ban.id = self.last;
        self.bans.insert(key, ban);
        self.last
    }

    /// Takes one back as it was written.
    pub(super) fn restore(&mut self, key: u64, ban: Ban) {
        self.last = self.last.max(ban.id);
        self.bans.insert(key, ban);
    }

    /// Strikes one out.
    pub(super) fn strike(&mut self, id: u64, now: u64) -> Option<(u64, Ban)> {
        let key = *self.bans.iter().find(|(_, ban)| ban.id == id && ban.until > now)?.0;
        self.bans.remove_entry(&key)
    }

    /// All that have not ended, with their keys.
    pub(super) fn all(&self, now: u64) -> impl Iterator<Item = (u64, &Ban)> {
        self.bans.iter().filter(move |(_, ban)| ban.until > now).map(|(key, ban)| (*key, ban))
    }

    /// All, those that are over but remembered included.
    pub(super) fn remembered(&self, now: u64, memory: u64) -> impl Iterator<Item = (u64, &Ban)> {
        let is_remembered = move |ban: &Ban| ban.until.saturating_add(memory) > now;
        self.bans.iter().filter(move |(_, ban)| is_remembered(ban)).map(|(key, ban)| (*key, ban))
    }
}
