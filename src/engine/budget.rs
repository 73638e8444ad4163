//! What each instance may ask of one shard: so many new requests a second, after a pause more at once. A flood on one
//! instance is refused before it costs anything but being read, and beyond that dropped: the others do not feel it.
//!
//! Not for what belongs to a dialog or is an emergency call. One number an instance (GCRA); no allocation once an
//! instance is known.

use crate::clock::Tick;
use crate::ids::InstanceId;
use crate::route::snapshot::Map;

/// Refusals of one instance that are told in a second; the rest is dropped.
const TOLD: Rate = Rate { per_second: 100, burst: 100 };
/// Instances remembered; beyond that all begin anew.
const MOST: usize = 16_384;

/// How many, how fast.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Steadily in a second; 0 is no limit.
    pub per_second: u32,
    /// At once, after a pause.
    pub burst: u32,
}

/// What is to become of a new request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    /// It may go on.
    Within,
    /// It is refused.
    Over,
    /// It is dropped: too many were refused already.
    FarOver,
}

/// Moments, in microseconds, at which buckets are full again.
#[derive(Clone, Copy, Default)]
struct Due {
    requests: u64,
    refusals: u64,
}

/// The budgets of one shard.
pub struct Budgets {
    rate: Rate,
    due: Map<InstanceId, Due>,
}

impl Budgets {
    /// Nobody has asked for anything yet.
    pub fn new(rate: Rate) -> Self {
        Self { rate, due: Map::default() }
    }

    /// Charges an instance for one new request.
    pub fn take(&mut self, instance: InstanceId, now: Tick) -> Share {
        if self.rate.per_second == 0 {
            return Share::Within;
        }
        if self.due.len() >= MOST && !self.due.contains_key(&instance) {
            self.due.clear();
        }
        let due = self.due.entry(instance).or_default();
        if self.rate.take(&mut due.requests, now) {
            Share::Within
        } else if TOLD.take(&mut due.refusals, now) {
            Share::Over
        } else {
            Share::FarOver
        }
    }
}

impl Rate {
    fn take(self, due: &mut u64, now: Tick) -> bool {
        let now = now.0.saturating_mul(1_000);
        let interval = 1_000_000 / u64::from(self.per_second.max(1));
        let next = (*due).max(now) + interval;
        let fits = next <= now + interval * u64::from(self.burst.max(1));
        if fits {
            *due = next;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instance_has_its_own_share() {
        let mut budgets = Budgets::new(Rate { per_second: 100, burst: 10 });
        let mut take = |instance, ms| budgets.take(InstanceId(instance), Tick(ms));
        let first: Vec<Share> = (0..200).map(|_| take(1, 0)).collect();
        let count = |wanted| first.iter().filter(|share| **share == wanted).count();
        assert_eq!([Share::Within, Share::Over, Share::FarOver].map(count), [10, 100, 90]);
        assert_eq!(take(2, 0), Share::Within);
        assert_eq!((0..20).filter(|_| take(1, 50) == Share::Within).count(), 5);
        assert_eq!((0..20).filter(|_| take(1, 10_000) == Share::Within).count(), 10);
    }

    #[test]
    fn no_rate_is_no_limit_and_no_number_of_instances_makes_it_grow() {
        let mut free = Budgets::new(Rate { per_second: 0, burst: 0 });
        assert!((0..10_000).all(|_| free.take(InstanceId(1), Tick(0)) == Share::Within));
        let mut budgets = Budgets::new(Rate { per_second: 1, burst: 1 });
        (0..100_000).for_each(|n| _ = budgets.take(InstanceId(n), Tick(0)));
        assert!(budgets.due.len() <= MOST);
    }
}
