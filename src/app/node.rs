//! A node inside a program: started in order, stopped in the reverse.

use super::clerk::{self, Clerk};
use super::data::DataDir;
use super::expiry::Watchman;
use super::first::{self, FirstError};
use super::keys::KeyFile;
use super::machine;
use super::office::{self, Office};
use super::plane::Plane;
use super::settings;
use super::state::State;
use super::steward::{Order, Steward, renew_tickets};
use super::warden::Warden;
use super::web::Web;
use crate::acme;
use crate::admin::live::{BoundListener, Live as _, Phase};
use crate::admin::token;
use crate::clock::Clock;
use crate::config::Config;
use crate::control;
use crate::control::licence::Premises;
use crate::control::resolve::System;
use crate::control::rows::Rows;
use crate::control::service::Service;
use crate::control::status::Status;
use crate::control::store::absent::Absent;
use crate::control::store::sqlite::Sqlite;
use crate::control::store::{Store, StoreError};
use crate::control::watch::{Watch, Wiring};
use crate::engine::shared::Shared;
use crate::http;
use crate::licence::key::KeyError;
use crate::model;
use crate::route::cell::Cell;
use crate::route::handles::Handles;
use crate::route::snapshot::Snapshot;
use crate::stats::HttpStats;
use crate::tls::{self, Certificates};
use crate::usage;
use arc_swap::ArcSwap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Orders that may wait for the steward.
const ORDERS: usize = 8;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error("data directory {0}")]
    Data(#[source] io::Error),
    /// The keys of tokens.
    #[error("keys of calls in progress: {0}")]
    Keys(#[source] io::Error),
    /// The key pair of the installation.
    #[error("hardware id: {0}")]
    Machine(#[source] io::Error),
    /// A key of the vendor.
    #[error("licence.vendor_keys: {0}")]
    VendorKeys(#[from] KeyError),
    /// Neither the store nor the last good table.
    #[error("table: {0}")]
    Table(#[from] control::watch::StartError),
    /// The first proxy.
    #[error(transparent)]
    First(#[from] FirstError),
    /// The addresses towards the instances, or threads.
    #[error("inside.bind: {0}")]
    Inside(#[source] io::Error),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The HTTP front.
    #[error("http: {0}")]
    Http(#[from] http::ListenError),
    /// The journal of licence use.
    #[error("licence use: {0}")]
    Usage(#[from] usage::JournalError),
    /// The API's token.
    #[error(transparent)]
    Token(#[from] token::Error),
    /// An address of the API or the metrics.
    #[error("{key}: {address}: {source}")]
    Listen {
        /// The configuration's key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// A running node.
pub struct Node {
    state: Arc<State>,
    service: Arc<Service>,
    cell: Arc<Cell>,
    orders: mpsc::Sender<Order>,
    steward: JoinHandle<()>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    /// Held until the end.
    _data: DataDir,
}

impl Node {
    /// Starts a node: it serves when this returns.
    ///
    /// # Errors
    /// If something the node itself needs is missing. A listener of the table that cannot be bound is
    /// no error: see [`Self::listeners`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        // A second node of this process finds it installed.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let clock = Clock::start();
        let data = DataDir::open(&config.data_dir).map_err(StartError::Data)?;
        let (keys, ring) = KeyFile::open(data.path(), clock.now().unix).map_err(StartError::Keys)?;
        let shared = Arc::new(Shared::new(ring));
        shared.softphones.store(Arc::new(config.softphones.clone()));
        shared.guard.set_policy(settings::guard(&config));
        let status = Arc::new(Status::new(clock));
        let cell = Arc::new(Cell::new(Snapshot::default()));
        let state = State::new(Arc::clone(&shared), Arc::clone(&cell), Arc::clone(&status), clock);
        state.enter(Phase::Starting);

        let store = open_store(data.path());
        let is_away = store.is_err();
        let premises = Arc::new(Premises::new(
            machine::open(data.path()).map_err(StartError::Machine)?,
            settings::vendor_keys(&config)?,
            Arc::clone(&shared.licence_clock),
            Box::new(move || clock.now().unix),
        ));
        tracing::info!(id = %premises.machine.id(), "hardware");
        let store = store.unwrap_or_else(|error| Arc::new(Absent::new(error)));
        let rows = Arc::new(Rows::at(store, premises));
        let in_use = Arc::clone(&state);
        let service = Arc::new(Service::new(Arc::clone(&rows), Arc::clone(&status), in_use, clock));
        let events = usage::Events::default();
        if !is_away {
            // Before anything is served: the machine may be another one (R58).
            match service.settle_licences().await {
                Ok(settled) => clerk::tell(&events, &settled.notices),
                // The rows count as they are on this machine; the clerk tries again.
                Err(error) => tracing::error!(%error, "licences could not be looked at"),
            }
            first::make_proxy(&service, &config.first_proxy).await?;
        }
        let (swapped, swaps) = watch::channel(());
        let mut table = Watch::new(Wiring {
            rows,
            cell: Arc::clone(&cell),
            handles: Arc::new(Handles::new(defaults(&config))),
            status,
            clock,
            lookup: Arc::new(System),
            last_good: data.path().join("lastgood.json"),
            on_change: Box::new(move |_, _| swapped.send_modify(|()| ())),
        });
        table.start().await?;

        let certificates = Certificates::open(&data.path().join("tls"), own_names(&config), clock.now().unix)?;
        certificates.apply(&cell.load(), clock.now().unix)?;
        let failures = Arc::clone(certificates.failures());
        state.set_tls_failures(&failures);
        let inside_tls = Arc::new(ArcSwap::new(certificates.server_config(None, &[], false)?));
        let plane =
            Plane::start(&config, &cell, &shared, failures, clock, Some(inside_tls)).map_err(StartError::Inside)?;
        for bound in plane.front.inside() {
            tracing::info!(owner = "inside", transport = %bound.wanted.transport, address = %bound.address, "listening");
        }

        let journal = usage::open(data.path(), events.stats())?;
        state.set_journal(&journal);
        state.set_closer(plane.front.closer());
        let stop = CancellationToken::new();
        let http_stats = Arc::new(HttpStats::default());
        let web = http::Server::new(
            http::Config { guard: Arc::clone(&shared.guard), ..settings::http(&config) },
            Arc::clone(&cell),
            Arc::clone(&certificates),
            Arc::clone(&http_stats),
            clock,
            Some(Arc::new(plane.front.adopter())),
        )?;
        let Office { listeners: own_listeners, mut tasks } = office::open(office::Wiring {
            config: &config,
            data: data.path(),
            clock,
            service: &service,
            cell: &cell,
            state: &state,
            shared: &shared,
            plane: &plane,
            http: http_stats,
            usage: events.stats(),
            certificates: &certificates,
            stop: &stop,
        })?;
        let watchman = Watchman {
            cell: Arc::clone(&cell),
            clock,
            journal: Arc::clone(&journal),
            events: events.clone(),
            stop: stop.clone(),
        };
        tasks.push(tokio::spawn(watchman.run()));
        let agent = acme::Agent {
            service: Arc::clone(&service),
            challenges: Arc::clone(certificates.challenges()),
            board: Arc::clone(state.board()),
            clock,
            stop: stop.clone(),
        };
        tasks.push(tokio::spawn(agent.run()));
        let (hooks, told) = watch::channel(settings::hooks(&config));
        let watched = usage::Usage {
            cell: Arc::clone(&cell),
            clock,
            licence_clock: Arc::clone(&shared.licence_clock),
            journal,
            events: events.clone(),
            over: {
                let service = Arc::clone(&service);
                Box::new(move || service.over_allocated())
            },
        };
        tasks.push(tokio::spawn(watched.run(told, stop.clone())));
        tasks.push(tokio::spawn(table.run(stop.clone())));
        let warden = Warden::open(&shared.guard, &cell, clock, events.clone(), data.path());
        tasks.push(tokio::spawn(warden.run(stop.clone())));
        let clerk = Clerk { service: Arc::clone(&service), events, stop: stop.clone() };
        tasks.push(tokio::spawn(clerk.run()));
        let (orders, received) = mpsc::channel(ORDERS);
        let mut steward = Steward {
            plane,
            web: Web::new(web),
            state: Arc::clone(&state),
            shared,
            cell: Arc::clone(&cell),
            certificates,
            keys,
            service: Arc::clone(&service),
            clock,
            config,
            own_listeners,
            listeners: super::listeners::Listeners::default(),
            orders: received,
            swaps,
            followed: Arc::default(),
            certified: 0,
            hooks,
        };
        renew_tickets(&steward.service, &steward.certificates).await;
        steward.follow_table().await;
        state.enter(Phase::Serving);
        let steward = tokio::spawn(steward.run());
        Ok(Self { state, service, cell, orders, steward, stop, tasks, _data: data })
    }

    /// Every listening address the node has or should have.
    pub fn listeners(&self) -> Vec<BoundListener> {
        self.state.listeners()
    }

    /// The control plane's operations.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// The table that is served.
    pub fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    /// Takes another bootstrap configuration as far as it can be taken while running.
    pub async fn reload(&self, config: Config) {
        let _ = self.orders.send(Order::Reload(Box::new(config))).await;
    }

    /// Waits until the node has ended by itself, which it does only when a part of it has failed.
    pub async fn failed(&mut self) {
        let _ = (&mut self.steward).await;
    }

    /// Waits for calls to end, at most `patience`, and stops.
    pub async fn stop(self, patience: Duration) {
        let _ = self.orders.send(Order::Stop { patience }).await;
        let _ = self.steward.await;
        self.stop.cancel();
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

/// Opens the store. Without it a node serves the last table it had (R76).
fn open_store(dir: &Path) -> Result<Arc<dyn Store>, StoreError> {
    match Sqlite::open(&dir.join("store.sqlite")) {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) => {
            tracing::error!(%error, "the store is away");
            Err(error)
        }
    }
}

/// What a limit of 0 in an instance's row stands for.
pub(super) const fn defaults(config: &Config) -> model::Limits {
    model::Limits {
        transactions: config.limits.instance_transactions,
        http_requests: config.http.instance_requests,
        http_body_bytes: config.http.body_bytes,
    }
}

/// Names and addresses of the API for the self-signed certificate.
fn own_names(config: &Config) -> Vec<String> {
    let specific = config.admin.listen.iter().filter(|address| !address.ip().is_unspecified());
    let mut names: Vec<String> = specific.map(|address| address.ip().to_string()).collect();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    names.extend(Some(host.trim().to_owned()).filter(|host| !host.is_empty()));
    names
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
