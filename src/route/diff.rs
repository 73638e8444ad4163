//! What changed between two snapshots: drives the side effects of a reload (listeners opened and
//! closed, connections of a removed instance ended, metrics removed).
//!
//! Complete: applied to the old snapshot it gives the new one (a property test says so). What both
//! share is not looked at, so a diff costs what changed. Called by
//! `control::watch`, read by `app`.

use super::names::Directory;
use super::snapshot::{Certificate, Instance, Listener, Proxy, Snapshot};
use crate::ids::{InstanceId, ListenerId};
use crate::model::State;
use std::sync::Arc;

/// What a reload changed.
#[derive(Default)]
pub struct Diff {
    /// The revision before.
    pub from: u64,
    /// The revision after.
    pub to: u64,
    /// Instances that appeared.
    pub added: Vec<Arc<Instance>>,
    /// Instances that disappeared.
    pub removed: Vec<Arc<Instance>>,
    /// Instances that are there in both and differ.
    pub changed: Vec<Changed>,
    /// Proxies that appeared.
    pub proxies_added: Vec<Arc<Proxy>>,
    /// Proxies that disappeared.
    pub proxies_removed: Vec<Arc<Proxy>>,
    /// Proxies that differ, as they are now.
    pub proxies_changed: Vec<Arc<Proxy>>,
    /// Listeners to be opened: new ones, and those whose service or address changed.
    pub listeners_added: Vec<Listener>,
    /// Listeners to be closed: gone ones, and those whose service or address changed.
    pub listeners_removed: Vec<ListenerId>,
    /// Certificates that appeared or were replaced.
    pub certificates_set: Vec<Arc<Certificate>>,
    /// Names of certificates that disappeared.
    pub certificates_removed: Vec<Box<str>>,
    /// Names, former names and aliases that stand for something else now.
    pub names: Vec<NameChange>,
}

/// An instance before and after.
pub struct Changed {
    /// As it was.
    pub old: Arc<Instance>,
    /// As it is.
    pub new: Arc<Instance>,
}

impl Changed {
    /// Whether its SIP targets differ.
    pub fn retargeted(&self) -> bool {
        !self.old.same_targets(&self.new)
    }

    /// Whether its web target differs.
    pub fn web_retargeted(&self) -> bool {
        self.old.web != self.new.web
    }

    /// Old and new state, where they differ.
    pub fn state(&self) -> Option<(State, State)> {
        (self.old.state != self.new.state).then_some((self.old.state, self.new.state))
    }

    /// Whether it is called otherwise.
    pub fn renamed(&self) -> bool {
        self.old.name != self.new.name
    }
}

/// What a name or alias stands for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameChange {
    /// The name, lower case.
    pub name: Box<str>,
    /// Whether it is an alias (a complete host) rather than a label.
    pub alias: bool,
    /// The instance, and for a former name its date; nothing if it stands for nothing.
    pub now: Option<(InstanceId, Option<u64>)>,
}

impl Diff {
    /// Whether nothing changed but perhaps the revision.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed.is_empty()
            && self.changed.is_empty()
            && self.proxies_added.is_empty()
            && self.proxies_removed.is_empty()
            && self.proxies_changed.is_empty()
            && self.certificates_set.is_empty()
            && self.certificates_removed.is_empty()
            && self.names.is_empty()
    }
}

/// What leads from `old` to `new`.
pub fn diff<'a>(old: &'a Snapshot, new: &'a Snapshot) -> Diff {
    let mut diff = Diff { from: old.revision, to: new.revision, ..Diff::default() };
    old.instances.differences(&new.instances, |old, new| match (old, new) {
        (Some(old), None) => diff.removed.push(Arc::clone(old)),
        (None, Some(new)) => diff.added.push(Arc::clone(new)),
        (Some(old), Some(new)) if !old.same(new) => {
            diff.changed.push(Changed { old: Arc::clone(old), new: Arc::clone(new) });
        }
        _ => {}
    });
    for pair in pairs(&old.proxies, &new.proxies, |proxy| proxy.id) {
        match pair {
            (Some(old), None) => diff.proxies_removed.push(Arc::clone(old)),
            (None, Some(new)) => diff.proxies_added.push(Arc::clone(new)),
            (Some(old), Some(new)) if !Arc::ptr_eq(old, new) && !old.same(new) => {
                diff.proxies_changed.push(Arc::clone(new));
            }
            _ => continue,
        }
        listeners(pair.0, pair.1, &mut diff);
    }
    let is_one = Arc::ptr_eq(&old.certificates, &new.certificates);
    let certificates = |all: &'a [Arc<Certificate>]| if is_one { &[] } else { all };
    for pair in pairs(certificates(&old.certificates), certificates(&new.certificates), |it| &*it.name) {
        match pair {
            (Some(old), None) => diff.certificates_removed.push(old.name.clone()),
            (None, Some(new)) => diff.certificates_set.push(Arc::clone(new)),
            (Some(old), Some(new)) if !Arc::ptr_eq(old, new) => diff.certificates_set.push(Arc::clone(new)),
            _ => {}
        }
    }
    names(&old.names.labels, &new.names.labels, false, &mut diff.names);
    names(&old.names.aliases, &new.names.aliases, true, &mut diff.names);
    diff
}

fn listeners(old: Option<&Arc<Proxy>>, new: Option<&Arc<Proxy>>, diff: &mut Diff) {
    let (before, after) =
        (old.map_or(&[][..], |proxy| &proxy.listeners), new.map_or(&[][..], |proxy| &proxy.listeners));
    let same = |a: &Listener, b: &Listener| a.id == b.id && a.service == b.service && a.bind == b.bind;
    diff.listeners_removed
        .extend(before.iter().filter(|old| !after.iter().any(|new| same(old, new))).map(|old| old.id));
    diff.listeners_added.extend(after.iter().filter(|new| !before.iter().any(|old| same(old, new))).cloned());
}

fn names(old: &Directory, new: &Directory, alias: bool, into: &mut Vec<NameChange>) {
    old.differences(new, |name, now| {
        into.push(NameChange { name: name.into(), alias, now: now.map(|named| (named.id, named.until)) });
    });
}

/// Walks two lists that are ordered by the same key, side by side.
fn pairs<'a, T, K: Ord>(
    old: &'a [Arc<T>],
    new: &'a [Arc<T>],
    key: impl Fn(&'a Arc<T>) -> K,
) -> impl Iterator<Item = (Option<&'a Arc<T>>, Option<&'a Arc<T>>)> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    std::iter::from_fn(move || {
        let order = match (old.peek(), new.peek()) {
            (Some(a), Some(b)) => key(a).cmp(&key(b)),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return None,
        };
        Some(match order {
            std::cmp::Ordering::Less => (old.next(), None),
            std::cmp::Ordering::Greater => (None, new.next()),
            std::cmp::Ordering::Equal => (old.next(), new.next()),
        })
    })
}

#[cfg(test)]
mod tests;
