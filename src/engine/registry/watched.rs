//! The UDP flows of light users' devices: their keep-alives tell whether a device is still there (R43).
//!
//! Asked for every keep-alive of every device, so it is one look-up beside the rooms. What is bound is the
//! bindings' business; a flow that carries none any more is forgotten at the next tidying.

use crate::ids::{Flow, InstanceId, ListenerId};
use crate::licence::ledger::Name;
use dashmap::DashMap;
use foldhash::fast::RandomState;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Flows watched of the whole node; the keep-alives of further ones are not heard.
const BOUND: usize = 200_000;
/// Seconds between two tidyings.
const TIDY: u64 = 60;

/// The flows, with the account that is bound to each.
#[derive(Default)]
pub struct Watched {
    flows: DashMap<(ListenerId, SocketAddr), (InstanceId, Name, Flow), RandomState>,
    tidied: AtomicU64,
}

impl Watched {
    /// Watches a flow for an account; false if there are too many. Streams need no watching: their end is told.
    pub fn watch(&self, flow: &Flow, instance: InstanceId, account: &[u8]) -> bool {
        let Some(key) = key(flow) else { return true };
        if let Some(known) = self.flows.get(&key)
            && known.0 == instance
            && *known.1 == *account
        {
            return true;
        }
        if self.flows.len() >= BOUND {
            return false;
        }
        self.flows.insert(key, (instance, account.into(), *flow));
        true
    }

    /// The account a flow is watched for.
    pub fn of(&self, flow: &Flow) -> Option<(InstanceId, Name)> {
        self.flows.get(&key(flow)?).map(|entry| (entry.0, Name::clone(&entry.1)))
    }

    /// Forgets the flows to which nothing is bound any more, once a minute.
    pub(super) fn tidy(&self, now: u64, is_bound: impl Fn(InstanceId, &[u8], &Flow) -> bool) {
        let before = self.tidied.load(Relaxed);
        if now < before.saturating_add(TIDY) || self.tidied.compare_exchange(before, now, Relaxed, Relaxed).is_err() {
            return;
        }
        self.flows.retain(|_, (instance, account, flow)| is_bound(*instance, account, flow));
    }
}

const fn key(flow: &Flow) -> Option<(ListenerId, SocketAddr)> {
    match flow {
        Flow::Udp { listener, peer, .. } => Some((*listener, *peer)),
        Flow::Stream { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{tcp, udp};

    #[test]
    fn a_flow_is_known_until_nothing_is_bound_to_it() {
        // R43 T19
        let watched = Watched::default();
        let (one, two) = (udp("203.0.113.9:1"), udp("203.0.113.9:2"));
        assert!(watched.watch(&one, InstanceId(1), b"fax"));
        assert!(
            watched.watch(&two, InstanceId(1), b"door") && watched.watch(&tcp("203.0.113.9:3", 1), InstanceId(1), b"x")
        );
        watched.watch(&two, InstanceId(2), b"fax");
        assert_eq!(watched.of(&two), Some((InstanceId(2), Name::from(&b"fax"[..]))));
        assert_eq!((watched.of(&tcp("203.0.113.9:3", 1)), watched.flows.len()), (None, 2));
        watched.tidy(TIDY, |_, _, flow| *flow == two);
        assert_eq!((watched.of(&one), watched.of(&two).is_some()), (None, true));
        watched.tidy(2 * TIDY - 1, |_, _, _| false);
        assert_eq!(watched.flows.len(), 1);
        watched.tidy(2 * TIDY, |_, _, _| false);
        assert_eq!(watched.flows.len(), 0);
    }
}
