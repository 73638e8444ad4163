//! What the shards of one node share: token keys, counters, and the registry of bindings and calls.

use super::registry::{Binding, Call, Registry};
use super::token::Keyring;
use crate::guard::Guard;
use crate::ids::InstanceId;
use crate::licence::Softphones;
use crate::licence::clock::HighWater;
use crate::stats::NodeStats;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The shared part of all engines of a node.
pub struct Shared {
    /// The keys of tokens; swapped by `app` when they rotate.
    pub keys: Arc<ArcSwap<Keyring>>,
    /// Counters of the SIP side.
    pub stats: Arc<NodeStats>,
    /// Wall time as licences see it.
    pub licence_clock: Arc<HighWater>,
    /// What tells soft clients from phones (R46); swapped by `app` when the list changes.
    pub softphones: ArcSwap<Softphones>,
    /// Bindings and calls by instance.
    pub registry: Registry,
    /// Who is up to no good.
    pub guard: Arc<Guard>,
}

impl Default for Shared {
    fn default() -> Self {
        Self::new(Keyring::default())
    }
}

impl Shared {
    /// A shared part with these keys, the built-in list of soft clients and nothing else yet.
    pub fn new(keys: Keyring) -> Self {
        let stats = Arc::new(NodeStats::default());
        let registry = Registry::new(Arc::clone(&stats.seats), Arc::clone(&stats.streams_overflow));
        let softphones = ArcSwap::from_pointee(Softphones::built_in());
        Self {
            keys: Arc::new(ArcSwap::from_pointee(keys)),
            softphones,
            stats,
            licence_clock: Arc::default(),
            registry,
            guard: Arc::default(),
        }
    }

    /// The bindings of an instance now.
    pub fn bindings(&self, instance: InstanceId) -> Vec<Binding<'static>> {
        self.registry.bindings(instance)
    }

    /// The calls of an instance now.
    pub fn calls(&self, instance: InstanceId) -> Vec<Call> {
        self.registry.calls(instance)
    }
}
