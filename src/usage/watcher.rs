//! What is worth a note in the table and the counters at one moment: marks that were raised, warnings that are due.
//!
//! Pure. `task` shows it the snapshot every second and writes down what it returns. What was said is remembered
//! under keys that the journal keeps, so that a restart says nothing twice.

use super::crossings::{CALM, Crossings};
use super::event::{Counted, Event};
use super::journal::Notes;
use super::months::{Mark, Month, Months};
use crate::ids::InstanceId;
use crate::licence::Allowance;
use crate::licence::allowance::{Now, Standing};
use crate::model::{Kind, Seats};
use crate::route::instances::Instances;
use crate::route::snapshot::{Instance, Snapshot};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Days before the end of licences at which a warning is due, the last one last (R60).
const DAYS: [u64; 3] = [7, 3, 1];
const DAY: u64 = 86_400;
/// Instances that one event names.
const NAMED: usize = 100;
const KINDS: [Kind; 2] = [Kind::Full, Kind::Light];

/// The moment of a look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Unix seconds.
    pub(super) now: u64,
    /// The same on the licence clock.
    pub(super) licence: u64,
    /// Users booked beyond what the volume licence has (R22).
    pub(super) over: Seats,
}

/// What was seen and said so far.
#[derive(Default)]
pub(super) struct Watcher {
    months: Months,
    crossings: HashMap<(InstanceId, Counted), Crossings>,
    standings: HashMap<InstanceId, Now>,
    /// The days last warned of, by the end of the licences.
    deadlines: BTreeMap<u64, u64>,
    /// Instances whose licences end, by when they do: those that have not ended.
    ending: BTreeMap<u64, BTreeSet<InstanceId>>,
    over: Seats,
    /// The instances as they were seen last; none before the first look.
    seen: Option<Instances>,
    /// Instances at which something happened, and how often they are to be looked at yet: a step of a counter is left
    /// only after it has been calm for a while.
    awake: BTreeMap<InstanceId, u8>,
}

impl Watcher {
    /// One that has seen these marks and said these things.
    pub(super) fn new(months: Months, given: &[(String, u64)]) -> Self {
        let mut all = Self { months, ..Self::default() };
        for (key, value) in given {
            all.remember(key, *value);
        }
        all
    }

    /// Takes up what was said before; what cannot be read is taken for not said.
    fn remember(&mut self, key: &str, value: u64) -> Option<()> {
        let mut parts = key.split('/');
        let (what, about) = (parts.next()?, parts.next()?);
        match what {
            "seats" => {
                let counted = match parts.next()? {
                    "full" => Counted::Full,
                    "light" => Counted::Light,
                    _ => Counted::All,
                };
                self.crossings.insert((InstanceId(about.parse().ok()?), counted), Crossings::from_bits(value));
            }
            "standing" => {
                let standing = if value == 1 { Now::Unlicensed } else { Now::Deactivated };
                self.standings.insert(InstanceId(about.parse().ok()?), standing);
            }
            "deadline" => _ = self.deadlines.insert(about.parse().ok()?, value),
            "over" => {
                let seats = if about == "full" { &mut self.over.full } else { &mut self.over.light };
                *seats = u32::try_from(value).unwrap_or(u32::MAX);
            }
            _ => {}
        }
        Some(())
    }

    /// The month its marks are of.
    pub(super) const fn month(&self) -> Month {
        self.months.month()
    }

    /// Looks at where something happened, and at everything the first time and when a month begins. `turn` has the
    /// marks of the month that has begun since the last look.
    pub(super) fn look(&mut self, snapshot: &Snapshot, moment: Moment, turn: Option<Months>) -> Notes {
        let mut notes = Notes::default();
        let touched = snapshot.touched.take();
        let changed = self.follow(snapshot, moment, &mut notes);
        if turn.is_some() {
            self.awake = snapshot.instances.iter().map(|instance| (instance.id, CALM)).collect();
        } else {
            self.awake.extend(touched.into_iter().map(|id| (id, CALM)));
        }
        let turned = turn.is_some();
        let mut carried = Vec::new();
        for instance in self.awake.keys().copied().collect::<Vec<_>>() {
            let Some(instance) = snapshot.by_id(instance) else { continue };
            let [full, light] = instance.stats.take_peaks();
            for (kind, peak) in KINDS.into_iter().zip([full, light]) {
                self.raise(instance, kind, peak, moment.now, &mut notes);
            }
            // Who stayed over the end of the month is there in the new one, too.
            if turned {
                carried.push((instance, KINDS.map(|kind| instance.stats.seats(kind).used.read())));
            }
            for (counted, peak, limit) in counters(&instance.allowance, full, light) {
                self.warn(instance, counted, peak, limit, moment.now, &mut notes);
            }
        }
        self.awake.retain(|_, looks| looks.checked_sub(1).is_some_and(|less| std::mem::replace(looks, less) > 0));
        if let Some(months) = turn {
            self.months = months;
            for (instance, used) in carried {
                for (kind, used) in KINDS.into_iter().zip(used) {
                    self.raise(instance, kind, used, moment.now, &mut notes);
                }
            }
        }
        self.look_at_licences(snapshot, changed, moment, &mut notes);
        self.look_at_pool(moment, &mut notes);
        notes
    }

    /// Takes note of what changed in the table; returns the instances whose licences may stand otherwise than before.
    fn follow(&mut self, snapshot: &Snapshot, moment: Moment, notes: &mut Notes) -> BTreeSet<InstanceId> {
        let mut changed = BTreeSet::new();
        let first = self.seen.is_none();
        let before = self.seen.replace(snapshot.instances.clone()).unwrap_or_default();
        let mut gone = Vec::new();
        before.differences(&snapshot.instances, |old, new| {
            if let Some((end, id)) = old.and_then(|old| Some((end_of(old)?, old.id)))
                && let Some(all) = self.ending.get_mut(&end)
            {
                all.remove(&id);
                if all.is_empty() {
                    self.ending.remove(&end);
                }
            }
            match (old, new) {
                (_, Some(new)) => {
                    changed.insert(new.id);
                    self.awake.insert(new.id, CALM);
                    if let Some(end) = end_of(new) {
                        self.ending.entry(end).or_default().insert(new.id);
                    }
                }
                (Some(old), None) => gone.push(old.id),
                (None, None) => {}
            }
        });
        if first {
            // What is remembered may be of instances that were deleted meanwhile.
            let known = self.crossings.keys().map(|(id, _)| id).chain(self.standings.keys());
            gone.extend(known.filter(|id| snapshot.by_id(**id).is_none()));
            gone.sort_unstable();
            gone.dedup();
        }
        gone.into_iter().for_each(|id| self.forget(id, notes));
        while let Some(ended) = self.ending.first_entry().filter(|ended| *ended.key() <= moment.licence) {
            changed.extend(ended.remove());
        }
        changed
    }

    fn raise(&mut self, instance: &Instance, kind: Kind, used: u64, now: u64, notes: &mut Notes) {
        if self.months.raise(instance.id, kind, used) {
            notes.marks.push(Mark {
                month: self.months.month(),
                name: instance.name.to_string(),
                instance: instance.id,
                kind,
                used,
                licensed: licensed(&instance.allowance, kind),
                at: now,
            });
        }
    }

    fn warn(&mut self, instance: &Instance, kind: Counted, used: u64, limit: u64, now: u64, notes: &mut Notes) {
        let key = (instance.id, kind);
        if used == 0 && !self.crossings.contains_key(&key) {
            return;
        }
        let crossings = self.crossings.entry(key).or_default();
        let before = crossings.bits();
        for percent in crossings.look(used, limit) {
            let (name, instance_id) = (instance.name.to_string(), instance.id);
            let event = Event::SeatsWarning { instance: name, instance_id, kind, percent, used, licensed: limit };
            notes.events.push((now, event));
        }
        let bits = crossings.bits();
        if bits != before {
            notes.given.push((seats_key(instance.id, kind), Some(bits).filter(|bits| *bits != 0)));
        }
    }

    /// What changed about the licences of instances, told once for all of them that it is true of.
    fn look_at_licences(
        &mut self,
        snapshot: &Snapshot,
        changed_ids: BTreeSet<InstanceId>,
        moment: Moment,
        notes: &mut Notes,
    ) {
        let mut changed: BTreeMap<&str, Vec<&Instance>> = BTreeMap::new();
        for instance in changed_ids.into_iter().filter_map(|id| snapshot.by_id(id)) {
            let now = instance.allowance.standing.at(moment.licence);
            let before = match now {
                Now::Active => self.standings.remove(&instance.id),
                now => self.standings.insert(instance.id, now),
            };
            if before.unwrap_or(Now::Active) != now {
                changed.entry(word(now)).or_default().push(instance);
                let value = match now {
                    Now::Active => None,
                    Now::Unlicensed => Some(1),
                    Now::Deactivated => Some(2),
                };
                notes.given.push((format!("standing/{}", instance.id.0), value));
            }
        }
        for (state, instances) in changed {
            let (count, instances) = (instances.len(), names(&instances));
            notes.events.push((moment.now, Event::LicenceState { state: state.into(), instances, count }));
        }
        let [soon, ..] = DAYS;
        let due = self.ending.range(..=moment.licence.saturating_add(soon * DAY));
        for (deadline, ids) in due {
            let left = deadline.saturating_sub(moment.licence);
            let Some(days) = DAYS.into_iter().rev().find(|days| left <= days * DAY) else { continue };
            if self.deadlines.get(deadline).is_some_and(|said| *said <= days) {
                continue;
            }
            self.deadlines.insert(*deadline, days);
            notes.given.push((format!("deadline/{deadline}"), Some(days)));
            let instances = ids.iter().take(NAMED).filter_map(|id| snapshot.by_id(*id));
            let (count, instances) = (ids.len(), instances.map(|instance| instance.name.to_string()).collect());
            notes.events.push((moment.now, Event::LicenceDeadline { days, deadline: *deadline, instances, count }));
        }
        let passed: Vec<u64> = self.deadlines.keys().filter(|end| !self.ending.contains_key(end)).copied().collect();
        for deadline in passed {
            self.deadlines.remove(&deadline);
            notes.given.push((format!("deadline/{deadline}"), None));
        }
    }

    fn look_at_pool(&mut self, moment: Moment, notes: &mut Notes) {
        let kinds = [
            (Kind::Full, "over/full", &mut self.over.full, moment.over.full),
            (Kind::Light, "over/light", &mut self.over.light, moment.over.light),
        ];
        for (kind, key, before, by) in kinds {
            if *before != by {
                *before = by;
                notes.given.push((key.into(), Some(by).filter(|by| *by != 0).map(u64::from)));
                notes.events.push((moment.now, Event::OverAllocated { kind, by }));
            }
        }
    }

    fn forget(&mut self, id: InstanceId, notes: &mut Notes) {
        self.awake.remove(&id);
        for counted in [Counted::Full, Counted::Light, Counted::All] {
            if self.crossings.remove(&(id, counted)).is_some() {
                notes.given.push((seats_key(id, counted), None));
            }
        }
        if self.standings.remove(&id).is_some() {
            notes.given.push((format!("standing/{}", id.0), None));
        }
    }
}

/// When the licences of an instance end.
fn end_of(instance: &Instance) -> Option<u64> {
    match instance.allowance.standing {
        Standing::Until(end) => Some(end),
        Standing::Active | Standing::Unlicensed | Standing::Deactivated => None,
    }
}

/// What is counted of an instance, and against which limit. Both kinds together are counted where they have a
/// limit of their own and both are in use; else a kind says it.
fn counters(allowance: &Allowance, full: u64, light: u64) -> [(Counted, u64, u64); 3] {
    let total = u64::from(allowance.total);
    let bound = total < u64::from(allowance.seats.full) + u64::from(allowance.seats.light);
    let all = if bound && full > 0 && light > 0 { full + light } else { 0 };
    [
        (Counted::Full, full, licensed(allowance, Kind::Full)),
        (Counted::Light, light, licensed(allowance, Kind::Light)),
        (Counted::All, all, total),
    ]
}

/// How many users of a kind an instance may have.
fn licensed(allowance: &Allowance, kind: Kind) -> u64 {
    let seats = match kind {
        Kind::Full => allowance.seats.full,
        Kind::Light => allowance.seats.light,
    };
    u64::from(seats.min(allowance.total))
}

fn seats_key(id: InstanceId, counted: Counted) -> String {
    let counted = match counted {
        Counted::Full => "full",
        Counted::Light => "light",
        Counted::All => "all",
    };
    format!("seats/{}/{counted}", id.0)
}

const fn word(now: Now) -> &'static str {
    match now {
        Now::Active => "active",
        Now::Unlicensed => "unlicensed",
        Now::Deactivated => "deactivated",
    }
}

fn names(instances: &[&Instance]) -> Vec<String> {
    instances.iter().take(NAMED).map(|instance| instance.name.to_string()).collect()
}

#[cfg(test)]
mod tests;
