//! What people and machines look at a node through: the API over HTTPS, and metrics and health
//! pages, there and over plain HTTP.

use super::listeners::own;
use super::node::StartError;
use super::plane::Plane;
use super::state::State;
use crate::admin::live::BoundListener;
use crate::admin::{self, Api, Pages, token};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::service::Service;
use crate::engine::shared::Shared;
use crate::net::tcp;
use crate::observe::metrics::{Metrics, Sources};
use crate::observe::serve;
use crate::route::cell::Cell;
use crate::stats::{HttpStats, UsageStats};
use crate::tls::Certificates;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What it shows and works with.
pub(super) struct Wiring<'a> {
    pub(super) config: &'a Config,
    pub(super) data: &'a Path,
    pub(super) clock: Clock,
    pub(super) service: &'a Arc<Service>,
    pub(super) cell: &'a Arc<Cell>,
    pub(super) state: &'a Arc<State>,
    pub(super) shared: &'a Shared,
    pub(super) plane: &'a Plane,
    pub(super) http: Arc<HttpStats>,
    pub(super) usage: &'a Arc<UsageStats>,
    pub(super) certificates: &'a Arc<Certificates>,
    pub(super) stop: &'a CancellationToken,
}

/// What was opened.
pub(super) struct Office {
    pub(super) listeners: Vec<BoundListener>,
    pub(super) tasks: Vec<JoinHandle<()>>,
}

/// Binds and serves.
pub(super) fn open(wiring: Wiring<'_>) -> Result<Office, StartError> {
    let Wiring { config, data, clock, service, cell, state, shared, plane, http, usage, certificates, stop } = wiring;
    let api_sockets = listen("admin.listen", &config.admin.listen)?;
    let page_sockets = listen("metrics.listen", &config.metrics.listen)?;
    let opened = token::open(data)?;
    if opened.origin == token::Origin::Made {
        tracing::info!(file = %opened.path.display(), "made the API's token");
    }
    let live = Arc::clone(state);
    let api = Api::new(Arc::clone(service), Arc::clone(cell), live, clock, opened.digest);
    let facts = Arc::clone(state);
    let metrics = Arc::new(Metrics::new(Sources {
        cell: Arc::clone(cell),
        node: Arc::clone(&shared.stats),
        net: Arc::clone(&plane.net),
        guard: Arc::clone(&shared.guard),
        http,
        api: Arc::clone(api.stats()),
        probes: Arc::clone(&plane.probes),
        usage: Arc::clone(usage),
        licence_clock: Arc::clone(&shared.licence_clock),
        facts: Box::new(move || facts.facts()),
        instances: config.metrics.instances,
    }));

    let (mut listeners, mut tasks) = (Vec::new(), Vec::new());
    // The names of instances are in the metrics: not for everybody (R9).
    let pages = Pages { open: serve::health(Arc::clone(&metrics)), guarded: serve::metrics(Arc::clone(&metrics)) };
    let tls = certificates.server_config(None, &[b"h2", b"http/1.1"], false)?;
    listeners.extend(api_sockets.iter().map(|(_, address)| own("api", "https", *address)));
    let sockets = api_sockets.into_iter().map(|(socket, _)| socket).collect();
    tasks.push(tokio::spawn(admin::serve(sockets, tls, api, pages, stop.clone())));
    for (socket, address) in page_sockets {
        listeners.push(own("metrics", "http", address));
        tasks.push(tokio::spawn(serve::serve(socket, Arc::clone(&metrics), stop.clone())));
    }
    Ok(Office { listeners, tasks })
}

/// Binds the addresses of one key. IPv6 on a machine without it is no error.
fn listen(key: &'static str, addresses: &[SocketAddr]) -> Result<Vec<(TcpListener, SocketAddr)>, StartError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let bound = tcp::probe(*address).and_then(|()| tcp::bind(*address));
        match bound.and_then(|socket| Ok((socket.local_addr()?, TcpListener::from_std(socket)?))) {
            Ok((bound, socket)) => listeners.push((socket, bound)),
            Err(error) if address.is_ipv6() && is_without_ipv6(&error) => {
                tracing::warn!(%address, "not listened on: this machine has no IPv6");
            }
            Err(source) => return Err(StartError::Listen { key, address: *address, source }),
        }
    }
    Ok(listeners)
}

/// Whether an error says that the machine does not speak IPv6.
pub(super) fn is_without_ipv6(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(nix::errno::Errno::from_raw);
    matches!(errno, Some(nix::errno::Errno::EAFNOSUPPORT | nix::errno::Errno::EADDRNOTAVAIL))
}
