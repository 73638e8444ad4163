//! The addresses that host names of the table stand for: an input of `compile`, so that the
//! compiler itself never waits for DNS. Filled by `control::resolve`.
//!
//! Versions share what did not change: an answer of DNS costs one name, however many there are.

use super::text::Text;
use super::trie::{Keyed, Trie};
use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;

/// Addresses by host name (lower case).
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, Vec<IpAddr>>", into = "BTreeMap<String, Vec<IpAddr>>")]
pub struct Resolved {
    seed: RandomState,
    hosts: Trie<Host>,
}

#[derive(Clone)]
struct Host {
    hash: u32,
    name: Text,
    addresses: Arc<[IpAddr]>,
}

impl Keyed for Host {
    fn key(&self) -> u32 {
        self.hash
    }
}

impl Resolved {
    fn hash(&self, host: &str) -> u32 {
        u32::try_from(self.seed.hash_one(host.as_bytes()) >> 32).unwrap_or_default()
    }

    /// What a host is known to stand for.
    pub fn get(&self, host: &str) -> &[IpAddr] {
        self.hosts.get(self.hash(host), |known| &*known.name == host).map_or(&[], |known| &known.addresses)
    }

    /// Notes what a host stands for now; true if that is news. The order of addresses does not count,
    /// so that a DNS server that rotates its answers changes nothing.
    pub fn set(&mut self, host: &str, mut addresses: Vec<IpAddr>) -> bool {
        addresses.sort_unstable();
        addresses.dedup();
        if self.get(host) == addresses.as_slice() {
            return false;
        }
        let entry = Host { hash: self.hash(host), name: host.into(), addresses: addresses.into() };
        self.hosts.put(entry, |known| &*known.name == host);
        true
    }

    /// Forgets a host.
    pub fn forget(&mut self, host: &str) {
        self.hosts.take(self.hash(host), |known| &*known.name == host);
    }

    /// Tells the hosts that stand for something else in another version.
    pub fn differences<'a>(&'a self, other: &'a Self, mut tell: impl FnMut(&'a str)) {
        if self.seed.hash_one(0u8) != other.seed.hash_one(0u8) {
            self.hosts.iter().filter(|old| other.get(&old.name).is_empty()).for_each(|old| tell(&old.name));
            let news = other.hosts.iter().filter(|new| self.get(&new.name) != &*new.addresses);
            return news.for_each(|new| tell(&new.name));
        }
        let one = |a: &Host, b: &Host| *a.name == *b.name;
        self.hosts.differences(&other.hosts, &one, &mut |old, new| {
            let addresses = |host: Option<&'a Host>| host.map(|host| &host.addresses);
            if let Some(host) = new.or(old).filter(|_| addresses(old) != addresses(new)) {
                tell(&host.name);
            }
        });
    }
}

impl From<BTreeMap<String, Vec<IpAddr>>> for Resolved {
    fn from(hosts: BTreeMap<String, Vec<IpAddr>>) -> Self {
        let mut resolved = Self::default();
        hosts.into_iter().for_each(|(host, addresses)| _ = resolved.set(&host, addresses));
        resolved
    }
}

impl From<Resolved> for BTreeMap<String, Vec<IpAddr>> {
    fn from(resolved: Resolved) -> Self {
        resolved.hosts.iter().map(|host| (host.name.to_string(), host.addresses.to_vec())).collect()
    }
}

impl PartialEq for Resolved {
    fn eq(&self, other: &Self) -> bool {
        let mut same = true;
        self.differences(other, |_| same = false);
        same
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.hosts.iter().map(|host| (&*host.name, &host.addresses))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_addresses_is_no_news() {
        let [a, b]: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        let mut resolved = Resolved::default();
        assert!(resolved.set("pbx.example", vec![b, a]));
        assert!(!resolved.set("pbx.example", vec![a, b, a]));
        assert!(resolved.set("pbx.example", vec![a]));
        assert_eq!(resolved.get("pbx.example"), [a]);
        let before = resolved.clone();
        resolved.forget("pbx.example");
        assert!(resolved.get("pbx.example").is_empty());
        assert_eq!(before.get("pbx.example"), [a], "a version before is as it was");
    }

    #[test]
    fn two_versions_are_compared_whether_they_share_anything_or_not() {
        let address = |n: u8| vec![IpAddr::from([192, 0, 2, n])];
        let mut old = Resolved::default();
        (0..100u8).for_each(|n| _ = old.set(&format!("h{n}"), address(n)));
        let mut new = old.clone();
        new.set("h7", address(200));
        new.forget("h8");
        new.set("other", address(1));
        let mut told = Vec::new();
        old.differences(&new, |host| told.push(host));
        told.sort_unstable();
        assert_eq!(told, ["h7", "h8", "other"]);
        let read: Resolved = serde_json::from_str(&serde_json::to_string(&new).unwrap()).unwrap();
        assert_eq!(read, new);
        let mut told = Vec::new();
        old.differences(&read, |host| told.push(host));
        told.sort_unstable();
        assert_eq!(told, ["h7", "h8", "other"]);
    }
}
