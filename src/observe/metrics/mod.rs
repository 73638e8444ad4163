//! Metrics in the OpenMetrics text form, made from the counters at each scrape.
//!
//! Nothing is registered for an instance: its series are written while it is in the table and are gone
//! with it. With more instances than the bound, one series shows the sum of all.

mod api;
mod guard;
mod http;
mod instances;
mod licences;
mod net;
mod node;
mod sheet;
mod sip;
mod sums;

use super::facts::Facts;
use super::process;
use crate::guard::Guard;
use crate::health::probe::ProbeStats;
use crate::licence::clock::HighWater;
use crate::net::counters::NetStats;
use crate::route::cell::Cell;
use crate::stats::{ApiStats, HttpStats, NodeStats, UsageStats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use sheet::Sheet;
use std::fmt;
use std::sync::Arc;
use sums::Sums;

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where the numbers are.
pub struct Sources {
    /// The table.
    pub cell: Arc<Cell>,
    /// The SIP side.
    pub node: Arc<NodeStats>,
    /// Its sockets.
    pub net: Arc<NetStats>,
    /// Who is up to no good.
    pub guard: Arc<Guard>,
    /// The HTTP side.
    pub http: Arc<HttpStats>,
    /// The management API.
    pub api: Arc<ApiStats>,
    /// Events about licences and seats.
    pub usage: Arc<UsageStats>,
    /// Wall time as licences see it.
    pub licence_clock: Arc<HighWater>,
    /// The prober.
    pub probes: Arc<ProbeStats>,
    /// What no counter knows.
    pub facts: Box<dyn Fn() -> Facts + Send + Sync>,
    /// Instances that have series of their own.
    pub instances: usize,
}

/// Everything that is shown.
pub struct Metrics {
    registry: Registry,
    sources: Arc<Sources>,
}

impl Metrics {
    /// The metrics of a node.
    pub fn new(sources: Sources) -> Self {
        let sources = Arc::new(sources);
        let mut registry = Registry::with_prefix("nantucket");
        registry.register_collector(Box::new(Scrape(Arc::clone(&sources))));
        Self { registry, sources }
    }

    /// All of them now.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }

    /// What else is known of the node.
    pub fn facts(&self) -> Facts {
        (self.sources.facts)()
    }
}

/// One collector for all: it walks the snapshot.
struct Scrape(Arc<Sources>);

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut sheet = Sheet::new(encoder);
        let Sources { cell, guard, node, net, http, api, usage, licence_clock, probes, facts, instances } = &*self.0;
        let snapshot = cell.load();
        let facts = facts();
        let clocks = licences::Clocks { licence: licence_clock.seen(), wall: facts.now };
        let (sums, summed) = (Sums::of(&snapshot, clocks.licence), snapshot.instances.len() > *instances);
        node::write(&mut sheet, &facts, &snapshot, &sums, cell.revision(), &process::read())?;
        sip::write(&mut sheet, node, probes)?;
        net::write(&mut sheet, net)?;
        guard::write(&mut sheet, &guard.stats)?;
        http::write(&mut sheet, http)?;
        api::write(&mut sheet, api)?;
        licences::usage(&mut sheet, usage)?;
        licences::write(&mut sheet, &snapshot, &sums, summed, clocks)?;
        instances::write(&mut sheet, &snapshot, &sums, summed)
    }
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

#[cfg(test)]
mod tests;
