//! What changes when the file is read again, and what of it waits for a restart.

use super::Config;
use std::collections::BTreeMap;

/// Keys that take effect at once. Every other one is read at the start only.
const LIVE: [&str; 35] = [
    "log.level",
    "drain.deadline",
    "guard.mode",
    "guard.allow",
    "guard.window",
    "guard.failures",
    "guard.accounts",
    "guard.names",
    "guard.scans",
    "guard.first_ban",
    "guard.longest_ban",
    "guard.memory",
    "guard.bans",
    "guard.scanner",
    "guard.scanners",
    "guard.tarpit",
    "guard.tarpits",
    "guard.mask",
    "licence.softphones",
    "licence.vendor_keys",
    "limits.connections",
    "limits.source_connections",
    "limits.handshakes",
    "limits.source_handshakes",
    "limits.pool_connections",
    "limits.source_new_flows",
    "limits.source_new_flows_burst",
    "limits.outbox_bytes",
    "timers.first_byte",
    "timers.handshake",
    "timers.partial",
    "timers.idle",
    "timers.stall",
    "timers.connect",
    "webhooks",
];

/// Keys whose values differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Those that take effect now.
    pub live: Vec<String>,
    /// Those that need a restart.
    pub restart: Vec<String>,
}

/// Compares two configurations key by key.
pub fn changes(old: &Config, new: &Config) -> Changes {
    let (old, new) = (keys(old), keys(new));
    let mut changes = Changes::default();
    for key in old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))) {
        if old.get(key) == new.get(key) {
            continue;
        }
        let list = if LIVE.contains(&key.as_str()) { &mut changes.live } else { &mut changes.restart };
        list.push(key.clone());
    }
    changes
}

/// A table as one list of dotted keys.
pub fn flatten(table: &toml::Table) -> BTreeMap<String, toml::Value> {
    let mut flat = BTreeMap::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => {
                flat.extend(flatten(inner).into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            other => {
                flat.insert(key.clone(), other.clone());
            }
        }
    }
    flat
}

fn keys(config: &Config) -> BTreeMap<String, toml::Value> {
    toml::Table::try_from(config).map(|table| flatten(&table)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::time::Time;

    #[test]
    fn what_needs_a_restart_is_told_apart() {
        let old = Config::default();
        assert_eq!(changes(&old, &old), Changes::default());
        let mut new = old.clone();
        new.log.level = "debug".into();
        new.limits.connections = 7;
        new.timers.t1 = Time(250);
        new.inside.bind.pop();
        let changes = changes(&old, &new);
        assert_eq!(changes.live, ["limits.connections", "log.level"]);
        assert_eq!(changes.restart, ["inside.bind", "timers.t1"]);
    }

    #[test]
    fn every_live_key_exists() {
        let keys = keys(&Config::default());
        assert!(LIVE.iter().all(|key| keys.contains_key(*key)));
    }
}
