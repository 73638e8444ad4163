//! Which host names the rows ask for, and which rows ask for one: so that an answer of DNS builds those anew, and no
//! others. Kept by `compile`.

use super::resolved::Resolved;
use super::sum::Sum;
use crate::ids::InstanceId;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Host names in use.
#[derive(Default)]
pub(super) struct Hosts {
    asked: BTreeMap<Box<str>, BTreeSet<InstanceId>>,
    by_instance: BTreeMap<InstanceId, Vec<Box<str>>>,
    /// Over the hosts and what they stand for.
    sum: Sum,
    news: News,
}

/// Host names that nobody asked for before, and those that nobody asks for any more.
#[derive(Default, Debug)]
pub struct News {
    /// To be looked up from now on.
    pub wanted: BTreeSet<Box<str>>,
    /// Not to be looked up any more.
    pub left: BTreeSet<Box<str>>,
}

impl Hosts {
    /// Takes note of what an instance asks for from now on.
    pub(super) fn set(&mut self, id: InstanceId, hosts: Vec<Box<str>>, resolved: &Resolved) {
        if self.by_instance.get(&id).map_or(&[][..], Vec::as_slice) == hosts.as_slice() {
            return;
        }
        for host in self.by_instance.remove(&id).unwrap_or_default() {
            let Some(askers) = self.asked.get_mut(&host) else { continue };
            askers.remove(&id);
            if askers.is_empty() {
                self.asked.remove(&host);
                self.sum.subtract(&hash(&host, resolved));
                if !self.news.wanted.remove(&host) {
                    self.news.left.insert(host);
                }
            }
        }
        for host in &hosts {
            let askers = self.asked.entry(host.clone()).or_default();
            if askers.is_empty() {
                self.sum.add(&hash(host, resolved));
                if !self.news.left.remove(host) {
                    self.news.wanted.insert(host.clone());
                }
            }
            askers.insert(id);
        }
        if !hosts.is_empty() {
            self.by_instance.insert(id, hosts);
        }
    }

    /// A host that stood for something else stands for what is resolved now; returns who asks for it.
    pub(super) fn follow(&mut self, host: &str, before: &Resolved, now: &Resolved) -> impl Iterator<Item = InstanceId> {
        let askers = self.asked.get(host);
        if askers.is_some() {
            self.sum.subtract(&hash(host, before));
            self.sum.add(&hash(host, now));
        }
        askers.into_iter().flatten().copied()
    }

    /// The hash of what all stand for.
    pub(super) fn resolution(&self) -> [u8; 32] {
        self.sum.finish()
    }

    /// What changed since this was asked last.
    pub(super) fn news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    /// All of them.
    #[cfg(test)]
    pub(super) fn all(&self) -> BTreeSet<Box<str>> {
        self.asked.keys().cloned().collect()
    }
}

fn hash(host: &str, resolved: &Resolved) -> [u8; 32] {
    let mut whole = Sha256::new_with_prefix(host.as_bytes());
    whole.update([0]);
    for ip in resolved.get(host) {
        whole.update(ip.to_string());
        whole.update([0]);
    }
    whole.finalize().into()
}
