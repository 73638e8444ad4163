//! The SIP side of a node: workers with their engines, and the prober of targets.

use super::office::is_without_ipv6;
use super::settings;
use crate::clock::Clock;
use crate::config::Config;
use crate::driver::Front;
use crate::driver::listeners::Secure;
use crate::engine::Engine;
use crate::engine::shared::Shared;
use crate::health::probe::{ProbeStats, Prober};
use crate::health::state::Probes;
use crate::net::counters::NetStats;
use crate::net::udp;
use crate::route::cell::Cell;
use crate::seats::{self, Keeper};
use crate::tls::client::Clients;
use crate::tls::failures::Failures;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What runs, and what it counts.
pub(super) struct Plane {
    pub(super) front: Front,
    pub(super) net: Arc<NetStats>,
    pub(super) probes: Arc<ProbeStats>,
    stop: CancellationToken,
    prober: JoinHandle<()>,
    seats: seats::Running,
}

impl Plane {
    /// Binds the addresses towards the instances and starts everything; nothing is listened on for
    /// clients yet. Claims of seats are read back before that.
    pub(super) fn start(
        config: &Config,
        cell: &Arc<Cell>,
        shared: &Arc<Shared>,
        failures: Arc<Failures>,
        clock: Clock,
        inside_tls: Option<Secure>,
    ) -> io::Result<Self> {
        let path = config.data_dir.join("seats.sqlite");
        let keeper = Keeper::open(seats::Wiring {
            shared: Arc::clone(shared),
            cell: Arc::clone(cell),
            clock,
            open: Box::new(move || Ok(Box::new(seats::Sqlite::open(&path)?))),
        });
        let net = Arc::new(NetStats::telling(failures));
        let clients = Clients::new(Arc::clone(cell));
        let mut options = settings::driver(config, fastrand::u32(..), Arc::clone(&clients));
        options.inside_tls = inside_tls;
        options.guard = Arc::clone(&shared.guard);
        options.inside.retain(|family| !is_without(family.bind));
        let build = {
            let (config, shared) = (config.clone(), Arc::clone(shared));
            move |site| Engine::new(settings::engine(&config, site), Arc::clone(&shared))
        };
        let front = Front::start(&options, cell, Arc::clone(&net), clock, build)?;
        let (probes, stop) = (Arc::new(ProbeStats::default()), CancellationToken::new());
        let prober = Prober {
            probes: Probes::new(settings::schedule(config), config.health.targets),
            cell: Arc::clone(cell),
            clock,
            stats: Arc::clone(&probes),
            clients,
            addresses: front
                .told()
                .iter()
                .map(|(bound, told)| (bound.ip(), told.ip()))
                .collect::<Vec<(IpAddr, IpAddr)>>(),
            stop: stop.clone(),
        };
        let seats = keeper.start(front.claims())?;
        Ok(Self { front, net, probes, stop, prober: prober.spawn()?, seats })
    }

    /// Stops probing and closes everything.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.front.stop().await;
        let ended = tokio::task::spawn_blocking(|| {
            self.seats.stop();
            self.prober.join()
        });
        let _ = ended.await;
    }
}

/// Whether this machine does not speak the address family at all.
fn is_without(address: SocketAddr) -> bool {
    let without = address.is_ipv6() && udp::probe(address).is_err_and(|error| is_without_ipv6(&error));
    if without {
        tracing::warn!(%address, "not used: this machine has no IPv6");
    }
    without
}

#[cfg(test)]
#[path = "plane_tests.rs"]
mod tests;
