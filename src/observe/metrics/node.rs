//! The node itself: its life, its addresses, its table, its process.

use super::super::facts::Facts;
use super::super::process::Process;
use super::sheet::Sheet;
use super::sums::Sums;
use crate::model::State;
use crate::route::snapshot::Snapshot;
use std::fmt;

/// Certificates that have a series of their own.
const CERTIFICATES: usize = 1_000;
const PHASES: [&str; 4] = ["starting", "serving", "draining", "stopping"];
const STATES: [(State, &str); 5] = [
    (State::Off, "off"),
    (State::Starting, "starting"),
    (State::On, "on"),
    (State::Stopping, "stopping"),
    (State::Failed, "failed"),
];

pub(super) fn write(
    sheet: &mut Sheet<'_>,
    facts: &Facts,
    snapshot: &Snapshot,
    sums: &Sums,
    revision: u64,
    process: &Process,
) -> fmt::Result {
    sheet.gauges("build", "The program's version", [([("version", env!("CARGO_PKG_VERSION"))], 1)])?;
    sheet.gauge("start_time_seconds", "When the process started, in Unix time", facts.started)?;
    let phases = PHASES.map(|phase| ([("phase", phase)], u64::from(phase == facts.phase)));
    sheet.gauges("phase", "1 for the phase of life the node is in", phases)?;
    sheet.gauge("ready", "Whether the node wants traffic", facts.ready.into())?;
    let listeners: Vec<_> = facts
        .listeners
        .iter()
        .map(|it| (it.owner.as_str(), it.service.as_str(), it.address.to_string(), it.up))
        .collect();
    let listeners = listeners.iter().map(|(owner, service, address, up)| {
        ([("owner", *owner), ("service", *service), ("address", address.as_str())], u64::from(*up))
    });
    sheet.gauges("listener_up", "Whether a listening address is bound", listeners)?;

    sheet.gauge("table_revision", "Revision of the table that is served", revision)?;
    sheet.gauge("table_age_seconds", "Since the table was last known to be the newest", facts.table_age)?;
    sheet.gauge("table_problems", "Rows that had to be left out", facts.table_problems as u64)?;
    let states = STATES.map(|(state, name)| ([("state", name)], sums.state(state)));
    sheet.gauges("instances", "Instances in the table", states)?;
    let ends = snapshot.certificates.iter().take(CERTIFICATES);
    let ends = ends.map(|it| ([("certificate", &*it.name)], it.not_after));
    sheet.gauges("certificate_not_after_seconds", "When a certificate ends, in Unix time", ends)?;
    sheet.gauge("proxies", "Proxies in the table", snapshot.proxies.len() as u64)?;

    sheet.gauge("process_resident_memory_bytes", "Resident memory", process.resident)?;
    sheet.gauge("process_open_fds", "Open file descriptors", process.descriptors)?;
    sheet.gauge("process_max_fds", "File descriptors the process may have", process.max_descriptors)?;
    sheet.count("process_cpu_milliseconds", "CPU time used", process.cpu_ms)
}
