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
/// Instances remembered; beyond that those that owe nothing are forgotten, and if that is not enough all.
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
    forgotten: u64,
}

impl Budgets {
    /// Nobody has asked for anything yet.
    pub fn new(rate: Rate) -> Self {
        Self { rate, due: Map::default(), forgotten: 0 }
    }

    /// Charges an instance for one new request.
    pub fn take(&mut self, instance: InstanceId, now: Tick) -> Share {
        if self.rate.per_second == 0 {
            return Share::Within;
        }
        if self.due.len() >= MOST && !self.due.contains_key(&instance) {
            self.make_room(now);
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

    /// Whether the next request would be [`Share::FarOver`]; charges nothing.
    pub fn is_far_over(&self, instance: InstanceId, now: Tick) -> bool {
        let due = self.due.get(&instance).copied().unwrap_or_default();
        self.rate.per_second != 0 && !self.rate.has_room(due.requests, now) && !TOLD.has_room(due.refusals, now)
    }

    /// Whether nothing was refused of late.
    pub fn is_calm(&self, instance: InstanceId, now: Tick) -> bool {
        self.due.get(&instance).is_none_or(|due| due.refusals <= micros(now))
    }

    /// Instances that owed something and were forgotten for want of room, since this was called last.
    pub fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    fn make_room(&mut self, now: Tick) {
        let now = micros(now);
        self.due.retain(|_, due| due.requests > now || due.refusals > now);
        if self.due.len() >= MOST {
            self.forgotten += self.due.len() as u64;
            self.due.clear();
        }
    }
}

const fn micros(now: Tick) -> u64 {
    now.0.saturating_mul(1_000)
}

impl Rate {
    fn take(self, due: &mut u64, now: Tick) -> bool {
        let fits = self.has_room(*due, now);
        if fits {
            *due = (*due).max(micros(now)) + self.interval();
        }
        fits
    }

    fn has_room(self, due: u64, now: Tick) -> bool {
        let now = micros(now);
        due.max(now) + self.interval() <= now + self.interval() * u64::from(self.burst.max(1))
    }

    fn interval(self) -> u64 {
        1_000_000 / u64::from(self.per_second.max(1))
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
    fn who_is_far_over_is_told_without_a_charge() {
        let mut budgets = Budgets::new(Rate { per_second: 100, burst: 10 });
        let id = InstanceId(1);
        assert!(!budgets.is_far_over(id, Tick(0)) && budgets.is_calm(id, Tick(0)));
        (0..200).for_each(|_| _ = budgets.take(id, Tick(0)));
        assert!((0..10).all(|_| budgets.is_far_over(id, Tick(1))));
        assert!(!budgets.is_far_over(id, Tick(10)), "one more may be asked");
        assert!(!budgets.is_calm(id, Tick(999)) && budgets.is_calm(id, Tick(1_000)));
        assert_eq!(budgets.take(id, Tick(10)), Share::Within);
    }

    #[test]
    fn no_rate_is_no_limit_and_no_number_of_instances_makes_it_grow() {
        let mut free = Budgets::new(Rate { per_second: 0, burst: 0 });
        assert!((0..10_000).all(|_| free.take(InstanceId(1), Tick(0)) == Share::Within));
        let mut budgets = Budgets::new(Rate { per_second: 1, burst: 1 });
        (0..100_000).for_each(|n| _ = budgets.take(InstanceId(n), Tick(0)));
        assert!(budgets.due.len() <= MOST);
        assert!(budgets.take_forgotten() >= 16_384 && budgets.take_forgotten() == 0);
        // Those that owe nothing go first.
        let mut budgets = Budgets::new(Rate { per_second: 1_000, burst: 10 });
        (0..100_000).for_each(|n| _ = budgets.take(InstanceId(n), Tick(n.into())));
        assert_eq!(budgets.take_forgotten(), 0);
    }
}
