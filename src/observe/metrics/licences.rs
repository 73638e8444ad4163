//! Licences and seats: of each instance, or the sum of all where there are too many; and what becomes of events.

use super::instances::ALL;
use super::sheet::Sheet;
use crate::licence::{Now, Standing};
use crate::model::Kind;
use crate::reason::Refusal;
use crate::route::snapshot::{Instance, Snapshot};
use crate::stats::{InstanceStats, UsageStats};
use std::fmt;

const KINDS: [(Kind, &str); 2] = [(Kind::Full, "full"), (Kind::Light, "light")];

/// What the licence clock shows, and what wall time is.
#[derive(Clone, Copy)]
pub(super) struct Clocks {
    pub(super) licence: u64,
    pub(super) wall: u64,
}

pub(super) fn write(sheet: &mut Sheet<'_>, snapshot: &Snapshot, summed: bool, clocks: Clocks) -> fmt::Result {
    let used = by_kind(snapshot, summed, |it, kind| it.stats.seats(kind).used.read());
    sheet.gauges("instance_seats_used", "Users with a seat", used)?;
    let limit = by_kind(snapshot, summed, |it, kind| {
        let seats = it.allowance.seats;
        u64::from(if kind == Kind::Full { seats.full } else { seats.light }.min(it.allowance.total))
    });
    sheet.gauges("instance_seats_limit", "Users an instance is licensed for", limit)?;
    let refused = by_reason(snapshot, summed, |stats, why| stats.licence_refused.read(why));
    sheet.counts("instance_licence_refused", "SIP requests refused because of licences", refused)?;
    let shadowed = by_reason(snapshot, summed, |stats, why| stats.licence_shadowed.read(why));
    sheet.counts("instance_licence_shadowed", "Such refusals that shadow mode let pass", shadowed)?;
    let valid =
        snapshot.instances.iter().map(|it| (it, u64::from(it.allowance.standing.at(clocks.licence) == Now::Active)));
    sheet.gauges("instance_licence_valid", "Whether its licences are valid", each(valid, summed))?;
    let ends = snapshot.instances.iter().filter_map(|it| match it.allowance.standing {
        Standing::Until(end) => Some((it, end.saturating_sub(clocks.licence))),
        _ => None,
    });
    let help = "Until its licences end; absent where they do not";
    if summed {
        let soonest = ends.map(|(_, left)| left).min();
        sheet.gauges("instance_licence_ends_seconds", help, soonest.map(|left| ([("instance", ALL)], left)))?;
    } else {
        sheet.gauges("instance_licence_ends_seconds", help, each(ends, false))?;
    }
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

fn by_kind(snapshot: &Snapshot, summed: bool, read: impl Fn(&Instance, Kind) -> u64) -> Vec<Of<'_, 2>> {
    let of = |name, values: &dyn Fn(Kind) -> u64| {
        KINDS.map(|(kind, word)| ([("instance", name), ("kind", word)], values(kind)))
    };
    if summed {
        return of(ALL, &|kind| snapshot.instances.iter().map(|it| read(it, kind)).sum()).into();
    }
    snapshot.instances.iter().flat_map(|it| of(&it.name, &|kind| read(it, kind))).collect()
}

fn by_reason(snapshot: &Snapshot, summed: bool, read: impl Fn(&InstanceStats, Refusal) -> u64) -> Vec<Of<'_, 2>> {
    let of = |name, values: &dyn Fn(Refusal) -> u64| {
        Refusal::LICENCE.map(|why| ([("instance", name), ("reason", why.kind())], values(why)))
    };
    if summed {
        return of(ALL, &|why| snapshot.instances.iter().map(|it| read(&it.stats, why)).sum()).into();
    }
    snapshot.instances.iter().flat_map(|it| of(&it.name, &|why| read(&it.stats, why))).collect()
}

fn each<'a>(values: impl Iterator<Item = (&'a std::sync::Arc<Instance>, u64)>, summed: bool) -> Vec<Of<'a, 1>> {
    if summed {
        return vec![([("instance", ALL)], values.map(|(_, value)| value).sum())];
    }
    values.map(|(it, value)| ([("instance", &*it.name)], value)).collect()
}
