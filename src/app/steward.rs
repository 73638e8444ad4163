//! The one task that changes the node while it runs: it follows the table, rotates keys, tries again
//! what failed, and ends it all.

use super::keys::KeyFile;
use super::listeners::Listeners;
use super::plane::Plane;
use super::settings;
use super::state::State;
use super::web::Web;
use crate::admin::live::{BoundListener, Phase};
use crate::clock::Clock;
use crate::config::{Config, reload};
use crate::control::service::Service;
use crate::engine::shared::Shared;
use crate::route::cell::Cell;
use crate::route::snapshot::{Instance, Snapshot};
use crate::route::{Diff, diff};
use crate::tls::Certificates;
use crate::usage::Hook;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How often keys are looked at, and addresses that could not be bound are tried again.
const ROUND: Duration = Duration::from_secs(15);
/// How often a draining node looks whether calls are left.
const LOOK: Duration = Duration::from_millis(100);

const DAY: u64 = 86_400;

/// What the steward can be told.
pub(super) enum Order {
    /// Take another bootstrap configuration.
    Reload(Box<Config>),
    /// Let calls end, then stop.
    Stop { patience: Duration },
}

/// The steward and what it takes care of.
pub(super) struct Steward {
    pub(super) plane: Plane,
    pub(super) web: Web,
    pub(super) state: Arc<State>,
    pub(super) shared: Arc<Shared>,
    pub(super) cell: Arc<Cell>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) keys: KeyFile,
    pub(super) service: Arc<Service>,
    pub(super) clock: Clock,
    pub(super) config: Config,
    /// Those of the API and the metrics.
    pub(super) own_listeners: Vec<BoundListener>,
    pub(super) listeners: Listeners,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) swaps: watch::Receiver<()>,
    /// The table that was followed last.
    pub(super) followed: Arc<Snapshot>,
    /// The day (Unix) on which certificates were last worked out.
    pub(super) certified: u64,
    pub(super) hooks: watch::Sender<Vec<Hook>>,
}

impl Steward {
    /// Works until it is told to stop, or a worker dies.
    pub(super) async fn run(mut self) {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Ok(()) = self.swaps.changed() => self.follow_table().await,
                _ = rounds.tick() => self.look_after().await,
                order = self.orders.recv() => match order {
                    Some(Order::Reload(config)) => self.reload(*config).await,
                    Some(Order::Stop { patience }) => {
                        self.drain(patience).await;
                        break;
                    }
                    None => break,
                },
                shard = self.plane.front.failed() => {
                    tracing::error!(worker = shard.0, "a worker died: stopping");
                    break;
                }
            }
        }
        self.state.enter(Phase::Stopping);
        self.plane.stop().await;
    }

    /// Makes sockets and certificates those of the current table.
    pub(super) async fn follow_table(&mut self) {
        let snapshot = self.cell.load();
        let diff = diff(&self.followed, &snapshot);
        let now = self.clock.now().unix;
        // The self-signed one is looked after daily.
        if concerns_certificates(&diff) || self.certified != now / DAY {
            self.certified = now / DAY;
            if let Err(error) = self.certificates.apply(&snapshot, now) {
                tracing::error!(%error, "certificates");
            }
        }
        self.web.server.apply(&diff);
        // The last who holds a table takes it apart, which may take a while.
        let before = std::mem::replace(&mut self.followed, Arc::clone(&snapshot));
        tokio::task::spawn_blocking(move || drop((diff, before)));
        self.plane.front.prune().await;
        // What leaves an address goes before what may come to it.
        self.web.close(&snapshot).await;
        self.listeners.apply(&mut self.plane.front, &snapshot, &self.certificates).await;
        self.web.open(&snapshot).await;
        let mut shown = self.listeners.show(&self.plane.front, &snapshot);
        shown.extend(self.web.show(&snapshot));
        shown.extend(self.own_listeners.iter().cloned());
        self.state.set_listeners(shown);
    }

    async fn look_after(&mut self) {
        let ring = self.shared.keys.load_full();
        match self.keys.rotate(&ring, self.clock.now().unix) {
            Ok(Some(rotated)) => {
                tracing::info!(keys = rotated.keys().len(), "rotated the keys of tokens");
                self.shared.keys.store(Arc::new(rotated));
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the keys of tokens could not be rotated"),
        }
        renew_tickets(&self.service, &self.certificates).await;
        if self.listeners.has_troubles() || self.web.has_troubles() {
            self.follow_table().await;
        }
    }

    async fn reload(&mut self, new: Config) {
        let changes = reload::changes(&self.config, &new);
        self.plane.front.set_limits(settings::limits(&new));
        self.shared.guard.set_policy(settings::guard(&new));
        self.hooks.send_replace(settings::hooks(&new));
        match settings::vendor_keys(&new) {
            Ok(keys) => match self.service.accept_keys(keys).await {
                Ok(true) => tracing::warn!("other licences count with the keys of the configuration"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "the keys of licences"),
            },
            Err(error) => tracing::error!(%error, "licence.vendor_keys stays as it was"),
        }
        if self.config.softphones != new.softphones {
            self.shared.softphones.store(Arc::new(new.softphones.clone()));
            tracing::info!(patterns = new.softphones.len(), "changed the list of soft clients");
        }
        for key in &changes.live {
            tracing::info!(key, "changed");
        }
        for key in &changes.restart {
            tracing::warn!(key, "changed in the file, but needs a restart");
        }
        self.config = new;
    }

    /// Serves on until no call is left, answered or being set up, or time is over.
    async fn drain(&mut self, patience: Duration) {
        self.state.enter(Phase::Draining);
        let calls_end = async {
            loop {
                // In this order: what was answered in between counts as a call by now.
                let setups = self.shared.stats.shards.sum().setups.read();
                let calls: u64 = self.cell.load().instances.iter().map(|instance| instance.stats.calls.read()).sum();
                if calls + setups == 0 {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let server = &self.web.server;
        let calls_end = async {
            let calls = tokio::time::timeout(patience, calls_end).await;
            // They hold HTTP/2 connections that would be waited for.
            server.end_bridges();
            calls
        };
        let (calls, ()) = tokio::join!(calls_end, server.drain(patience));
        if calls.is_err() {
            tracing::warn!("calls were still in progress when their time was over");
        }
    }
}

/// Whether what names certificates stand for, or what certificates stand for names, may be another.
fn concerns_certificates(diff: &Diff) -> bool {
    let has_own = |instance: &Arc<Instance>| instance.certificate.is_some();
    let proxies = [&diff.proxies_added, &diff.proxies_removed, &diff.proxies_changed];
    proxies.into_iter().any(|list| !list.is_empty())
        || !diff.certificates_set.is_empty()
        || !diff.certificates_removed.is_empty()
        || diff.added.iter().chain(&diff.removed).any(has_own)
        || diff.changed.iter().any(|changed| has_own(&changed.old) || has_own(&changed.new))
}

/// Takes the keys of session tickets from the store. While that is away the ones there are stay in force.
pub(super) async fn renew_tickets(service: &Service, certificates: &Certificates) {
    match service.ticket_keys().await {
        Ok(keys) => certificates.set_ticket_keys(keys),
        Err(error) => tracing::debug!(%error, "the keys of session tickets"),
    }
}
