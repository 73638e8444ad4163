//! What all instances come to together, read in one pass: with a million of them it is the memory that takes time.

use super::instances::{COUNTERS, GAUGES};
use crate::licence::{Now, Standing};
use crate::model::{Kind, State};
use crate::reason::Refusal;
use crate::route::snapshot::{Instance, Snapshot};

/// Sums over all instances.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) counters: [u64; COUNTERS.len()],
    pub(super) gauges: [u64; GAUGES.len()],
    /// Users with a seat, full and light.
    pub(super) used: [u64; 2],
    /// Users that are licensed.
    pub(super) limit: [u64; 2],
    pub(super) refused: [u64; Refusal::LICENCE.len()],
    pub(super) shadowed: [u64; Refusal::LICENCE.len()],
    /// Instances whose licences are valid.
    pub(super) valid: u64,
    /// Seconds until the first licences end.
    pub(super) soonest: Option<u64>,
    /// SIP targets that are up, and all of them.
    pub(super) targets: [u64; 2],
    /// Instances by state.
    states: [u64; 5],
}

/// The kinds of users, as they are summed.
pub(super) const KINDS: [Kind; 2] = [Kind::Full, Kind::Light];

impl Sums {
    /// Those of a snapshot at a moment of the licence clock.
    pub(super) fn of(snapshot: &Snapshot, licence: u64) -> Self {
        let mut sums = Self::default();
        snapshot.instances.iter().for_each(|instance| sums.add(instance, licence));
        sums
    }

    /// Instances in a state.
    pub(super) fn state(&self, state: State) -> u64 {
        self.states.get(state as usize).copied().unwrap_or_default()
    }

    fn add(&mut self, instance: &Instance, licence: u64) {
        let stats = &*instance.stats;
        self.counters.iter_mut().zip(COUNTERS).for_each(|(sum, (.., read))| *sum += read(stats));
        self.gauges.iter_mut().zip(GAUGES).for_each(|(sum, (.., read))| *sum += read(stats));
        for ((kind, used), limit) in KINDS.into_iter().zip(&mut self.used).zip(&mut self.limit) {
            *used += stats.seats(kind).used.read();
            *limit += limit_of(instance, kind);
        }
        for ((why, refused), shadowed) in Refusal::LICENCE.iter().zip(&mut self.refused).zip(&mut self.shadowed) {
            *refused += stats.licence_refused.read(*why);
            *shadowed += stats.licence_shadowed.read(*why);
        }
        self.valid += u64::from(instance.allowance.standing.at(licence) == Now::Active);
        if let Standing::Until(end) = instance.allowance.standing {
            let left = end.saturating_sub(licence);
            self.soonest = Some(self.soonest.map_or(left, |soonest| soonest.min(left)));
        }
        let [up, all] = &mut self.targets;
        *up += instance.backends.iter().filter(|backend| backend.health.is_up()).count() as u64;
        *all += instance.backends.len() as u64;
        if let Some(count) = self.states.get_mut(instance.state as usize) {
            *count += 1;
        }
    }
}

/// Users of a kind that an instance is licensed for.
pub(super) fn limit_of(instance: &Instance, kind: Kind) -> u64 {
    u64::from(instance.allowance.seats.of(kind).min(instance.allowance.total))
}
