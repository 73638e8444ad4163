//! The task that looks every second and writes down what is worth it, and what others report.
//!
//! A journal that cannot be written holds nobody up: what waits is bounded, tried again every second, and counted.

use super::event::Event;
use super::journal::{FILE, Journal, JournalError, MonthQuery, Notes};
use super::months::{Month, Months};
use super::watcher::{Moment, Watcher};
use super::webhook::{Hook, Hooks};
use crate::clock::Clock;
use crate::licence::clock::HighWater;
use crate::model::Seats;
use crate::route::cell::Cell;
use crate::stats::UsageStats;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const LOOK: Duration = Duration::from_secs(1);
/// Events that may wait to be written down.
const QUEUE: usize = 10_000;

/// Where the rest of the program reports what operators should be told. Copies share one queue.
#[derive(Clone, Debug, Default)]
pub struct Events {
    queue: Arc<Mutex<VecDeque<Event>>>,
    stats: Arc<UsageStats>,
}

impl Events {
    /// Reports one; never waits. It is written down within a second.
    pub fn push(&self, event: Event) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() < QUEUE {
            queue.push_back(event);
        } else {
            self.stats.events_lost.inc();
        }
    }

    /// What is counted of events, the journal and webhooks.
    pub fn stats(&self) -> &Arc<UsageStats> {
        &self.stats
    }

    fn take(&self) -> VecDeque<Event> {
        std::mem::take(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is looked at and where it is kept.
pub struct Usage {
    /// The table with its counters.
    pub cell: Arc<Cell>,
    /// Wall time.
    pub clock: Clock,
    /// The same as licences see it.
    pub licence_clock: Arc<HighWater>,
    /// Where it is written down.
    pub journal: Arc<Journal>,
    /// What others report.
    pub events: Events,
    /// Users booked beyond what the volume licence has (R22).
    pub over: Box<dyn Fn() -> Seats + Send + Sync>,
}

/// Opens the journal of a data directory. One that cannot be used is replaced by one in memory until the next
/// start: calls go on without it.
pub fn open(data: &Path, stats: &UsageStats) -> Result<Arc<Journal>, JournalError> {
    let path = data.join(FILE);
    let opened = Journal::open(&path).or_else(|error| {
        tracing::error!(file = %path.display(), %error, "the use of licences is not kept");
        stats.journal_errors.inc();
        Journal::in_memory()
    });
    opened.map(Arc::new)
}

impl Usage {
    /// Looks until `stop`, and once more then. Webhooks are those that `hooks` has.
    pub async fn run(self, hooks: watch::Receiver<Vec<Hook>>, stop: CancellationToken) {
        let mut watcher = match self.journal.call(|journal| journal.given()).await {
            Ok(given) => Watcher::new(Months::default(), &given),
            Err(error) => {
                self.fail(&error);
                Watcher::default()
            }
        };
        let newest = self.journal.call(Journal::newest).await.unwrap_or(0);
        let (newest, told) = watch::channel(newest);
        let delivery = Hooks::new(Arc::clone(&self.journal), self.clock, Arc::clone(self.events.stats()), told);
        let delivery = tokio::spawn(delivery.run(hooks, stop.clone()));
        let mut waiting = Notes::default();
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let last = tokio::select! {
                _ = ticks.tick() => false,
                () = stop.cancelled() => true,
            };
            self.look(&mut watcher, &mut waiting).await;
            if !waiting.is_empty() {
                waiting = self.write(waiting, &newest).await;
            }
            if last {
                break;
            }
        }
        let _ = delivery.await;
    }

    async fn look(&self, watcher: &mut Watcher, waiting: &mut Notes) {
        let now = self.clock.now().unix;
        let month = Month::of(now);
        let turn = if month == watcher.month() { None } else { self.replay(month).await };
        let over = (self.over)();
        self.events.stats().over_full.set(over.full.into());
        self.events.stats().over_light.set(over.light.into());
        let moment = Moment { now, licence: self.licence_clock.at(now), over };
        let mut notes = watcher.look(&self.cell.load(), moment, turn);
        notes.events.extend(self.events.take().into_iter().map(|event| (now, event)));
        for (_, event) in &notes.events {
            tracing::warn!(topic = event.topic().word(), "{}", event.text());
        }
        waiting.marks.append(&mut notes.marks);
        waiting.events.append(&mut notes.events);
        waiting.given.append(&mut notes.given);
    }

    /// What the ledger says of a month.
    async fn replay(&self, month: Month) -> Option<Months> {
        let query = MonthQuery { from: Some(month), to: Some(month), ..MonthQuery::default() };
        match self.journal.call(move |journal| journal.months(&query)).await {
            Ok(marks) => Some(Months::replay(month, &marks)),
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    /// Writes what waits; returns what still does.
    async fn write(&self, notes: Notes, newest: &watch::Sender<u64>) -> Notes {
        let notes = Arc::new(notes);
        let written = Arc::clone(&notes);
        let stats = self.events.stats();
        match self.journal.call(move |journal| journal.note(&written)).await {
            Ok(id) => {
                stats.events.add(notes.events.len() as u64);
                newest.send_if_modified(|known| std::mem::replace(known, id) != id);
                Notes::default()
            }
            Err(error) => {
                self.fail(&error);
                let mut notes = Arc::unwrap_or_clone(notes);
                let lost = notes.events.len().saturating_sub(QUEUE);
                stats.events_lost.add(lost as u64);
                notes.events.drain(..lost);
                notes.marks.drain(..notes.marks.len().saturating_sub(QUEUE));
                notes.given.drain(..notes.given.len().saturating_sub(QUEUE));
                notes
            }
        }
    }

    fn fail(&self, error: &JournalError) {
        self.events.stats().journal_errors.inc();
        tracing::error!(%error, "the journal of licence use");
    }
}

#[cfg(test)]
mod tests;
