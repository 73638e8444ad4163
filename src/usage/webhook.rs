//! Delivery of events to the addresses an operator names, each signed, in order, and again until it is taken.
//!
//! The journal is the queue: a hook remembers the last event it is done with, so that what was not delivered is
//! delivered after a restart. An event may come twice (its id says so) and never out of order. A hook that is behind
//! by more than a bound passes over the oldest events; an event that nobody takes is given up after some tries, so
//! that it holds up no other. Both are counted.

use super::backoff::{TRIES, pause};
use super::event::{Recorded, Topic};
use super::journal::{Journal, Waiting};
use super::post::{Letter, Poster};
use super::signature;
use crate::clock::Clock;
use crate::stats::UsageStats;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Events that may wait for one hook.
const BOUND: u64 = 1_000;

/// One address and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Where events are posted.
    pub url: Url,
    /// File with the secret that signs them; read again for every delivery.
    pub secret_file: PathBuf,
    /// What it is told; empty is everything.
    pub topics: Vec<Topic>,
}

/// All hooks at work.
pub(super) struct Hooks {
    journal: Arc<Journal>,
    clock: Clock,
    stats: Arc<UsageStats>,
    newest: watch::Receiver<u64>,
    poster: Option<Arc<Poster>>,
    running: Vec<Running>,
}

struct Running {
    hook: Hook,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Hooks {
    pub(super) fn new(
        journal: Arc<Journal>,
        clock: Clock,
        stats: Arc<UsageStats>,
        newest: watch::Receiver<u64>,
    ) -> Self {
        Self { journal, clock, stats, newest, poster: None, running: Vec::new() }
    }

    /// Delivers until `stop`, to the hooks that `wanted` has.
    pub(super) async fn run(mut self, mut wanted: watch::Receiver<Vec<Hook>>, stop: CancellationToken) {
        loop {
            let hooks = wanted.borrow_and_update().clone();
            self.apply(hooks).await;
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { stop.cancelled().await; break },
                () = stop.cancelled() => break,
            }
        }
        self.end(|_| false).await;
    }

    /// Makes the hooks those that are wanted; what stays as it is goes on.
    async fn apply(&mut self, hooks: Vec<Hook>) {
        self.end(|hook| hooks.contains(hook)).await;
        let urls: Vec<String> = hooks.iter().map(|hook| hook.url.to_string()).collect();
        if let Err(error) = self.journal.call(move |journal| journal.keep_hooks(&urls)).await {
            tracing::error!(%error, "webhooks that are no more were not forgotten");
        }
        for hook in hooks {
            if self.running.iter().any(|running| running.hook == hook) {
                continue;
            }
            let poster = self.poster.get_or_insert_with(|| Arc::new(Poster::new()));
            let stop = CancellationToken::new();
            let delivery = Delivery {
                hook: hook.clone(),
                journal: Arc::clone(&self.journal),
                clock: self.clock,
                stats: Arc::clone(&self.stats),
                poster: Arc::clone(poster),
                newest: self.newest.clone(),
                shown: 0,
            };
            let ended = stop.clone();
            let task = tokio::spawn(async move {
                tokio::select! {
                    () = delivery.run() => {}
                    () = ended.cancelled() => {}
                }
            });
            self.running.push(Running { hook, stop, task });
        }
    }

    /// Ends the hooks that do not stay.
    async fn end(&mut self, stays: impl Fn(&Hook) -> bool) {
        let (staying, leaving) = std::mem::take(&mut self.running).into_iter().partition(|it| stays(&it.hook));
        self.running = staying;
        let leaving: Vec<Running> = leaving;
        for Running { stop, task, .. } in leaving {
            stop.cancel();
            let _ = task.await;
        }
    }
}

/// One hook at work.
struct Delivery {
    hook: Hook,
    journal: Arc<Journal>,
    clock: Clock,
    stats: Arc<UsageStats>,
    poster: Arc<Poster>,
    newest: watch::Receiver<u64>,
    /// How many of its events the gauge counts.
    shown: u64,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.stats.hook_waiting.sub(self.shown);
    }
}

impl Delivery {
    async fn run(mut self) {
        let url: Arc<str> = self.hook.url.as_str().into();
        let mut failures = 0;
        loop {
            self.newest.borrow_and_update();
            match self.next(Arc::clone(&url)).await {
                Ok(Some(event)) => {
                    failures = 0;
                    self.deliver(&event).await;
                    self.done(Arc::clone(&url), event.id).await;
                }
                Ok(None) => {
                    if self.newest.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    failures += 1;
                    self.stats.journal_errors.inc();
                    tracing::error!(%error, "a webhook could not read what waits for it");
                    tokio::time::sleep(pause(failures, fastrand::f64())).await;
                }
            }
        }
    }

    /// The next event that waits.
    async fn next(&mut self, url: Arc<str>) -> Result<Option<Recorded>, super::JournalError> {
        let topics = self.hook.topics.clone();
        let found = self.journal.call(move |journal| {
            let after = journal.delivered(&url)?;
            journal.waiting(after, &topics, BOUND)
        });
        let Waiting { next, count, passed } = found.await?;
        self.show(count);
        if passed > 0 {
            self.stats.hook_overflows.add(passed);
            tracing::warn!(host = self.host(), passed, "a webhook is so far behind that events were passed over");
        }
        Ok(next)
    }

    /// Sends one event until it is taken or given up.
    async fn deliver(&self, event: &Recorded) {
        for tries in 1..=TRIES {
            match self.send(event).await {
                Ok(()) => return self.stats.hook_deliveries.inc(),
                Err(reason) => {
                    self.stats.hook_failures.inc();
                    tracing::warn!(host = self.host(), event = event.id, tries, reason, "a webhook was not taken");
                }
            }
            if tries < TRIES {
                tokio::time::sleep(pause(tries, fastrand::f64())).await;
            }
        }
        self.stats.hook_given_up.inc();
        tracing::error!(host = self.host(), event = event.id, "a webhook was given up");
    }

    async fn send(&self, event: &Recorded) -> Result<(), String> {
        let path = &self.hook.secret_file;
        let secret = tokio::fs::read(path).await.map_err(|error| format!("{}: {error}", path.display()))?;
        let secret = secret.trim_ascii();
        if secret.is_empty() {
            return Err(format!("{} is empty", path.display()));
        }
        let body = serde_json::to_vec(event).map_err(|error| error.to_string())?;
        let at = self.clock.now().unix;
        let letter = Letter {
            headers: vec![
                (signature::HEADER, signature::sign(secret, at, &body)),
                ("nantucket-event", event.id.to_string()),
                ("nantucket-topic", event.event.topic().word().to_owned()),
            ],
            body,
        };
        self.poster.post(&self.hook.url, letter).await.map_err(|error| error.to_string())
    }

    async fn done(&mut self, url: Arc<str>, id: u64) {
        let noted = self.journal.call(move |journal| journal.set_delivered(&url, id)).await;
        if let Err(error) = noted {
            self.stats.journal_errors.inc();
            tracing::error!(%error, "a webhook could not note how far it has come");
        }
    }

    fn show(&mut self, count: u64) {
        self.stats.hook_waiting.add(count);
        self.stats.hook_waiting.sub(self.shown);
        self.shown = count;
    }

    /// What is logged of the address: the rest may be secret.
    fn host(&self) -> &str {
        self.hook.url.host_str().unwrap_or_default()
    }
}
