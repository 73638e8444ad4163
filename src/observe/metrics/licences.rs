//! Licences and seats: of each instance, or the sum of all where there are too many; and what becomes of events.

use super::instances::ALL;
use super::sheet::Sheet;
use super::sums::{KINDS, Sums, limit_of};
use crate::licence::{Now, Standing};
use crate::model::Kind;
use crate::reason::Refusal;
use crate::route::snapshot::{Instance, Snapshot};
use crate::stats::{InstanceStats, UsageStats};
use std::fmt;

/// What the licence clock shows, and what wall time is.
#[derive(Clone, Copy)]
pub(super) struct Clocks {
    pub(super) licence: u64,
    pub(super) wall: u64,
}

pub(super) fn write(
    sheet: &mut Sheet<'_>,
    snapshot: &Snapshot,
    sums: &Sums,
    summed: bool,
    clocks: Clocks,
) -> fmt::Result {
    let summed = summed.then_some(sums);
    let used = by_kind(snapshot, summed.map(|sums| sums.used), |instance, kind| instance.stats.seats(kind).used.read());
    sheet.gauges("instance_seats_used", "Users with a seat", used)?;
    let limit = by_kind(snapshot, summed.map(|sums| sums.limit), limit_of);
    sheet.gauges("instance_seats_limit", "Users an instance is licensed for", limit)?;
    let refused = by_reason(snapshot, summed.map(|sums| sums.refused), |stats, why| stats.licence_refused.read(why));
    sheet.counts("instance_licence_refused", "SIP requests refused because of licences", refused)?;
    let shadowed = by_reason(snapshot, summed.map(|sums| sums.shadowed), |stats, why| stats.licence_shadowed.read(why));
    sheet.counts("instance_licence_shadowed", "Such refusals that shadow mode let pass", shadowed)?;
    let valid = |it: &Instance| u64::from(it.allowance.standing.at(clocks.licence) == Now::Active);
    let valid: Vec<Of<'_, 1>> = match summed {
        Some(sums) => vec![([("instance", ALL)], sums.valid)],
        None => snapshot.instances.iter().map(|it| ([("instance", &*it.name)], valid(it))).collect(),
    };
    sheet.gauges("instance_licence_valid", "Whether its licences are valid", valid)?;
    let end = |it: &Instance| match it.allowance.standing {
        Standing::Until(end) => Some(end.saturating_sub(clocks.licence)),
        _ => None,
    };
    let ends: Vec<Of<'_, 1>> = match summed {
        Some(sums) => sums.soonest.into_iter().map(|left| ([("instance", ALL)], left)).collect(),
        None => {
            let each = snapshot.instances.iter().filter_map(|it| Some(([("instance", &*it.name)], end(it)?)));
            each.collect()
        }
    };
    let help = "Until its licences end; absent where they do not";
    sheet.gauges("instance_licence_ends_seconds", help, ends)?;
    let age = clocks.wall.saturating_sub(clocks.licence);
    sheet.gauge("licence_clock_age_seconds", "Since the licence clock was last moved on", age)?;
    let ahead = clocks.licence.saturating_sub(clocks.wall);
    sheet.gauge("licence_clock_ahead_seconds", "How far the machine's clock was set back behind it", ahead)
}

/// Events, their journal, and webhooks.
pub(super) fn usage(sheet: &mut Sheet<'_>, stats: &UsageStats) -> fmt::Result {
    let events = [([("outcome", "written")], stats.events.read()), ([("outcome", "lost")], stats.events_lost.read())];
    sheet.counts("events", "Events about licences and seats", events)?;
    sheet.count("usage_journal_errors", "Times the journal of licence use failed", stats.journal_errors.read())?;
    let over = [([("kind", "full")], stats.over_full.read()), ([("kind", "light")], stats.over_light.read())];
    sheet.gauges("licence_over_allocated", "Users booked beyond what the volume licence has", over)?;
    sheet.gauge("webhook_waiting", "Events that wait for webhooks", stats.hook_waiting.read())?;
    let outcomes = [
        ([("outcome", "delivered")], stats.hook_deliveries.read()),
        ([("outcome", "given-up")], stats.hook_given_up.read()),
        ([("outcome", "passed-over")], stats.hook_overflows.read()),
    ];
    sheet.counts("webhook_events", "What became of events for webhooks", outcomes)?;
    sheet.count("webhook_failures", "Tries to deliver an event that failed", stats.hook_failures.read())
}

type Of<'a, const N: usize> = ([(&'static str, &'a str); N], u64);

fn by_kind(snapshot: &Snapshot, sums: Option<[u64; 2]>, read: impl Fn(&Instance, Kind) -> u64) -> Vec<Of<'_, 2>> {
    let of = |name, [full, light]: [u64; 2]| {
        [([("instance", name), ("kind", "full")], full), ([("instance", name), ("kind", "light")], light)]
    };
    match sums {
        Some(sums) => of(ALL, sums).into(),
        None => snapshot.instances.iter().flat_map(|it| of(&it.name, KINDS.map(|kind| read(it, kind)))).collect(),
    }
}

type Reasons = [u64; Refusal::LICENCE.len()];

fn by_reason(
    snapshot: &Snapshot,
    sums: Option<Reasons>,
    read: impl Fn(&InstanceStats, Refusal) -> u64,
) -> Vec<Of<'_, 2>> {
    let of = |name, values: Reasons| {
        let reasons = Refusal::LICENCE.iter().zip(values);
        reasons.map(move |(why, value)| ([("instance", name), ("reason", why.kind())], value))
    };
    match sums {
        Some(sums) => of(ALL, sums).collect(),
        None => {
            let each = |it: &Instance| Refusal::LICENCE.map(|why| read(&it.stats, why));
            snapshot.instances.iter().flat_map(|it| of(&it.name, each(it))).collect()
        }
    }
}
