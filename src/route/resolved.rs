//! The addresses that host names of the table stand for: an input of `compile`, so that the
//! compiler itself never waits for DNS. Filled by `control::resolve`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Addresses by host name (lower case).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Resolved {
    hosts: BTreeMap<String, Vec<IpAddr>>,
}

impl Resolved {
    /// What a host is known to stand for.
    pub fn get(&self, host: &str) -> &[IpAddr] {
        self.hosts.get(host).map_or(&[], Vec::as_slice)
    }

    /// Notes what a host stands for now; true if that is news. The order of addresses does not count,
    /// so that a DNS server that rotates its answers changes nothing.
    pub fn set(&mut self, host: &str, mut addresses: Vec<IpAddr>) -> bool {
        addresses.sort_unstable();
        addresses.dedup();
        if self.get(host) == addresses.as_slice() {
            return false;
        }
        self.hosts.insert(host.to_owned(), addresses);
        true
    }

    /// Forgets every host for which `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.hosts.retain(|host, _| keep(host));
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
        resolved.retain(|_| false);
        assert!(resolved.get("pbx.example").is_empty());
    }
}
