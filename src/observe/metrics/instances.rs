//! Each instance, or the sum of all where there are too many.

use super::sheet::Sheet;
use super::sums::Sums;
use crate::route::snapshot::Snapshot;
use crate::stats::{Counter, Gauge, InstanceStats};
use std::fmt;

pub(super) type Read = fn(&InstanceStats) -> u64;

/// Name, help, and where it is.
pub(super) const COUNTERS: [(&str, &str, Read); 9] = [
    ("instance_sip_requests", "SIP requests accepted for an instance", |s| Counter::read(&s.requests)),
    ("instance_sip_refused", "SIP requests refused on its behalf", |s| Counter::read(&s.refused)),
    ("instance_shadow_refused", "Refusals for licences, SIP and HTTP, that shadow mode let pass", |s| {
        Counter::read(&s.shadow_refused)
    }),
    ("instance_former_name", "SIP requests that came by a former name", |s| Counter::read(&s.former_name)),
    ("instance_registers_refused", "REGISTERs refused because its PBX had enough to do", |s| {
        Counter::read(&s.registers.refused)
    }),
    ("instance_registers_forgotten", "Accounts not remembered for want of room", |s| {
        Counter::read(&s.registers.forgotten)
    }),
    ("instance_http_requests", "HTTP requests to an instance", |s| Counter::read(&s.http_requests)),
    ("instance_http_bytes_in", "Bytes of HTTP bodies and tunnels towards it", |s| Counter::read(&s.http_bytes_in)),
    ("instance_http_bytes_out", "Bytes of HTTP bodies and tunnels from it", |s| Counter::read(&s.http_bytes_out)),
];

pub(super) const GAUGES: [(&str, &str, Read); 9] = [
    ("instance_sip_transactions", "SIP transactions without a final answer", |s| Gauge::read(&s.transactions)),
    ("instance_calls", "Calls in progress", |s| Gauge::read(&s.calls)),
    ("instance_bindings", "Registered contacts", |s| Gauge::read(&s.bindings)),
    ("instance_connections", "Client connections over which something is registered", |s| Gauge::read(&s.connections)),
    ("instance_registers_in_flight", "REGISTERs its PBX has not answered yet", |s| Gauge::read(&s.registers.in_flight)),
    ("instance_registers_limit", "How many of them there may be", |s| Gauge::read(&s.registers.limit)),
    ("instance_registers_waiting", "Phones sent away whose turn has not come", |s| Gauge::read(&s.registers.waiting)),
    ("instance_http_active", "HTTP requests and tunnels at work", |s| Gauge::read(&s.http_active)),
    ("instance_tunnels", "Open tunnels", |s| Gauge::read(&s.tunnels)),
];

/// What stands for all instances.
pub(super) const ALL: &str = "*";

pub(super) fn write(sheet: &mut Sheet<'_>, snapshot: &Snapshot, sums: &Sums, summed: bool) -> fmt::Result {
    sheet.gauge(
        "instance_series_summed",
        "Whether there are too many instances for series of their own",
        summed.into(),
    )?;
    for ((name, help, read), sum) in COUNTERS.into_iter().zip(sums.counters) {
        sheet.counts(name, help, samples(snapshot, summed.then_some(sum), read))?;
    }
    for ((name, help, read), sum) in GAUGES.into_iter().zip(sums.gauges) {
        sheet.gauges(name, help, samples(snapshot, summed.then_some(sum), read))?;
    }
    targets(sheet, snapshot, sums, summed)
}

fn samples(snapshot: &Snapshot, sum: Option<u64>, read: Read) -> Vec<([(&'static str, &str); 1], u64)> {
    if let Some(sum) = sum {
        return vec![([("instance", ALL)], sum)];
    }
    let each = snapshot.instances.iter().map(|instance| (&*instance.name, read(&instance.stats)));
    each.map(|(name, value)| ([("instance", name)], value)).collect()
}

fn targets(sheet: &mut Sheet<'_>, snapshot: &Snapshot, sums: &Sums, summed: bool) -> fmt::Result {
    let [up, all] = sums.targets;
    let counts = [([("health", "up")], up), ([("health", "down")], all - up)];
    sheet.gauges("targets", "SIP targets of instances", counts)?;
    if summed {
        return Ok(());
    }
    let each = snapshot.instances.iter().flat_map(|it| it.backends.iter().map(move |backend| (it, backend)));
    let each: Vec<_> = each
        .map(|(instance, backend)| {
            let target = format!("{}:{}", backend.transport, backend.address);
            (&*instance.name, target, u64::from(backend.health.is_up()))
        })
        .collect();
    let each = each.iter().map(|(name, target, up)| ([("instance", *name), ("target", target.as_str())], *up));
    sheet.gauges("target_up", "Whether a SIP target answers", each)
}
