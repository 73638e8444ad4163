//! Where the control plane is: the machine it runs on, the time as licences see it, and whose licences it accepts.

use crate::clock::Clock;
use crate::licence::clock::HighWater;
use crate::licence::hardware::Machine;
use crate::licence::key::Keys;
use arc_swap::ArcSwap;
use std::fmt;
use std::sync::Arc;

/// Wall time in Unix seconds.
pub type Wall = Box<dyn Fn() -> u64 + Send + Sync>;

/// What licences depend on that is in no row.
pub struct Premises {
    /// What identifies the machine (R57).
    pub machine: Machine,
    keys: ArcSwap<Keys>,
    clock: Arc<HighWater>,
    wall: Wall,
}

impl Premises {
    /// A machine, the keys accepted on it (R64), and the node's licence clock.
    pub fn new(machine: Machine, keys: Keys, clock: Arc<HighWater>, wall: Wall) -> Self {
        Self { machine, keys: ArcSwap::from_pointee(keys), clock, wall }
    }

    /// The licence time in Unix seconds: it never goes back (R60).
    pub fn now(&self) -> u64 {
        self.clock.at((self.wall)())
    }

    /// The keys accepted.
    pub fn keys(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    pub(in crate::control) fn set_keys(&self, keys: Keys) {
        self.keys.store(Arc::new(keys));
    }

    /// A moment that was told before, by a process that ran earlier.
    pub(super) fn note(&self, seen: u64) {
        self.clock.at(seen);
    }
}

impl Default for Premises {
    /// No machine in particular, where the demo key is accepted: what a control plane without a node has.
    fn default() -> Self {
        let clock = Clock::start();
        Self::new(Machine::default(), Keys::demo(), Arc::default(), Box::new(move || clock.now().unix))
    }
}

impl fmt::Debug for Premises {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Premises").field("machine", &self.machine.id()).finish_non_exhaustive()
    }
}
