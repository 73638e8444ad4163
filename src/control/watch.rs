//! From the store to the data plane: watch, read, resolve, compile, swap, remember.
//!
//! A watch is a hint; what is read is what was written after the revision served. The first change is
//! served at once, further ones every [`GAP`] at the most, so that a burst of changes costs a few
//! compiles. What is broken as a whole is refused and the old table stays (R74). Started by `app`.

use super::resolve::{Lookup, Names};
use super::rows::Rows;
use super::status::{Source, Status};
use super::store::StoreError;
use crate::clock::{Clock, Tick};
use crate::model::Table;
use crate::route::cell::{Cell, Stored};
use crate::route::compile::is_broken_whole;
use crate::route::handles::Handles;
use crate::route::lastgood::{self, LastGood, LoadError};
use crate::route::problem::{Code, Problem};
use crate::route::snapshot::Snapshot;
use crate::route::{Diff, compile, diff};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The least time between two swaps.
const GAP: Duration = Duration::from_millis(20);
/// How often the store is asked without a hint.
const ROUND: Duration = Duration::from_secs(1);
/// The least time in milliseconds between two writes of the last good table.
const SAVE_GAP: u64 = 2_000;
/// How long the start waits for DNS, all names together.
const FIRST_ANSWERS: Duration = Duration::from_secs(2);

/// The place of problems with the store itself.
const STORE: &str = "store";

/// Told of every swap, after it; must be quick.
pub type OnChange = Box<dyn FnMut(&Diff, &Arc<Snapshot>) + Send>;

/// What the pipeline works on.
pub struct Wiring {
    /// The rows of the store.
    pub rows: Arc<Rows>,
    /// What the data plane reads.
    pub cell: Arc<Cell>,
    /// What outlives a snapshot.
    pub handles: Arc<Handles>,
    /// Where the pipeline's state is told.
    pub status: Arc<Status>,
    /// The time.
    pub clock: Clock,
    /// Addresses for host names.
    pub lookup: Arc<dyn Lookup>,
    /// Where the last good table is.
    pub last_good: PathBuf,
    /// Told of every swap.
    pub on_change: OnChange,
}

/// The pipeline.
pub struct Watch {
    rows: Arc<Rows>,
    cell: Arc<Cell>,
    handles: Arc<Handles>,
    status: Arc<Status>,
    clock: Clock,
    names: Names,
    /// Where the last good table is.
    path: PathBuf,
    on_change: OnChange,
    /// What to save; none while the file says the same.
    unsaved: Option<LastGood>,
    saving: Option<JoinHandle<()>>,
    saved_at: Tick,
    /// The problems logged last.
    logged: Vec<Problem>,
    /// The revision of the store compiled last, served or not.
    tried: Option<u64>,
}

/// Neither store nor last good table.
#[derive(Debug, thiserror::Error)]
#[error("{store}; and {last_good}")]
pub struct StartError {
    /// Why not the store.
    pub store: StoreError,
    /// Why not the last good table.
    pub last_good: LoadError,
}

impl Watch {
    /// A pipeline that has not started.
    pub fn new(wiring: Wiring) -> Self {
        let Wiring { rows, cell, handles, status, clock, lookup, last_good, on_change } = wiring;
        let (names, path) = (Names::new(lookup), last_good);
        let (unsaved, saving, saved_at, logged, tried) = (None, None, Tick(0), Vec::new(), None);
        Self { rows, cell, handles, status, clock, names, path, on_change, unsaved, saving, saved_at, logged, tried }
    }

    /// Serves the first table: the store's, or the last good one when the store is away (R76). When it
    /// returns, the cell holds it.
    pub async fn start(&mut self) -> Result<Source, StartError> {
        let source = match self.rows.refresh().await {
            Ok(_) => {
                let (table, unreadable) = self.rows.table();
                self.first(Arc::new(table), unreadable, Source::Store).await;
                Source::Store
            }
            Err(store) => {
                let path = self.path.clone();
                let loaded = tokio::task::spawn_blocking(move || lastgood::load(&path)).await;
                let loaded = loaded.unwrap_or(Err(LoadError::Damaged("its reader ended")));
                let last = loaded.map_err(|last_good| StartError { store: store.clone(), last_good })?;
                tracing::warn!(revision = last.table.revision, why = %store, "serving the last good table");
                self.names.resolved = last.resolved;
                self.status.update(|served| served.fresh_at = last.fresh_at);
                let table = Arc::new(self.rows.here(&last.table));
                self.first(table, vec![away(&store)], Source::LastGood).await;
                Source::LastGood
            }
        };
        Ok(source)
    }

    /// Follows the store until `stop`; then writes what is not yet saved.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut hint = self.rows.store().watch();
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let clock = self.clock;
        loop {
            let news = tokio::select! {
                () = stop.cancelled() => break,
                hinted = hint.changed() => {
                    if hinted.is_err() {
                        break;
                    }
                    false
                }
                news = self.names.answered(|| clock.now().tick) => news,
                _ = round.tick() => {
                    self.names.ask(clock.now().tick);
                    self.save();
                    false
                }
            };
            let began = clock.now().tick;
            if self.follow(news).await {
                self.save();
                let spent = Duration::from_millis(clock.now().tick.since(began));
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(GAP.saturating_sub(spent)) => {}
                }
            }
        }
        self.saved_at = Tick(0);
        if let Some(saving) = self.saving.take() {
            _ = saving.await;
        }
        self.save();
        if let Some(saving) = self.saving.take() {
            _ = saving.await;
        }
    }

    /// Reads what changed and serves it; true if something was compiled.
    async fn follow(&mut self, news: bool) -> bool {
        let had = self.status.read();
        let hindrance = match self.rows.refresh().await {
            Ok(revision) if revision < self.cell.revision() => {
                let reason = format!("the store is at revision {revision}, served is {}", self.cell.revision());
                Some(Problem::new(STORE, "", Code::TableOlder, reason))
            }
            Ok(revision) => {
                if self.tried != Some(revision) || news {
                    let (table, unreadable) = self.rows.table();
                    self.serve(Arc::new(table), unreadable, Source::Store).await;
                    return true;
                }
                if had.source == Source::Store && had.revision == revision {
                    self.status.update(|served| served.fresh_at = self.clock.now().unix);
                }
                None
            }
            Err(error) => Some(away(&error)),
        };
        let known = had.problems.iter().find(|problem| problem.row == STORE);
        if known != hindrance.as_ref() {
            let others = had.problems.iter().filter(|problem| problem.row != STORE).cloned();
            let problems: Vec<_> = others.chain(hindrance).collect();
            self.log(&problems);
            self.status.update(|served| served.problems = Arc::new(problems));
        }
        false
    }

    /// Serves a table as soon as its host names are known, or are not answered for.
    async fn first(&mut self, table: Arc<Table>, problems: Vec<Problem>, source: Source) {
        let (_, _) = self.compile(Arc::clone(&table)).await;
        let clock = self.clock;
        let answers = async {
            while self.names.is_asking() {
                self.names.answered(|| clock.now().tick).await;
            }
        };
        _ = tokio::time::timeout(FIRST_ANSWERS, answers).await;
        self.serve(table, problems, source).await;
        self.save();
    }

    async fn serve(&mut self, table: Arc<Table>, mut problems: Vec<Problem>, source: Source) {
        let began = self.clock.now();
        if source == Source::Store {
            self.tried = Some(table.revision);
        }
        let (snapshot, found) = self.compile(Arc::clone(&table)).await;
        let compile_ms = self.clock.now().tick.since(began.tick);
        problems.extend(found);
        if is_broken_whole(&table, &snapshot) {
            let reason = format!("no row of revision {} is sound; what was served before stays", table.revision);
            problems.push(Problem::new("table", "", Code::TableBroken, reason));
            self.log(&problems);
            return self.status.update(|served| served.problems = Arc::new(problems));
        }
        self.log(&problems);
        let snapshot = Arc::new(snapshot);
        let stored = self.cell.store(Arc::clone(&snapshot));
        if let Stored::Older { newest } = stored {
            tracing::warn!(revision = snapshot.revision, newest, "an older table is not served");
            return;
        }
        self.status.update(|served| {
            served.source = source;
            served.revision = snapshot.revision;
            served.hash = snapshot.hash;
            served.counts = [snapshot.instances.len(), snapshot.proxies.len(), snapshot.certificates.len()];
            served.problems = Arc::new(problems);
            served.compile_ms = compile_ms;
            if source == Source::Store {
                served.fresh_at = began.unix;
            }
        });
        if source == Source::Store {
            let resolved = self.names.resolved.clone();
            self.unsaved = Some(LastGood { table, resolved, fresh_at: began.unix });
        }
        if let Stored::Swapped { old } = stored {
            let diff = diff(&old, &snapshot);
            tracing::info!(
                revision = snapshot.revision,
                added = diff.added.len(),
                removed = diff.removed.len(),
                changed = diff.changed.len(),
                compile_ms,
                "serving a new table"
            );
            (self.on_change)(&diff, &snapshot);
        }
    }

    /// Compiles beside the runtime, and asks for the host names it finds.
    async fn compile(&mut self, table: Arc<Table>) -> (Snapshot, Vec<Problem>) {
        let (handles, resolved, now) = (Arc::clone(&self.handles), self.names.resolved.clone(), self.clock.now());
        let compiled = tokio::task::spawn_blocking(move || {
            let (snapshot, problems) = compile(&table, &handles, &resolved, now.unix);
            (snapshot, problems, handles.hosts())
        });
        match compiled.await {
            Ok((snapshot, problems, hosts)) => {
                self.names.want(&hosts, now.tick);
                (snapshot, problems)
            }
            // Only a panic or the end of the runtime gets here: nothing sound was compiled.
            Err(error) => (Snapshot::default(), vec![Problem::new("table", "", Code::TableBroken, error.to_string())]),
        }
    }

    /// Starts to write the last good table, unless it is being written or was just now.
    fn save(&mut self) {
        let now = self.clock.now().tick;
        let idle = self.saving.as_ref().is_none_or(JoinHandle::is_finished);
        if !idle || (self.saved_at != Tick(0) && now.since(self.saved_at) < SAVE_GAP) {
            return;
        }
        let Some(last) = self.unsaved.take() else { return };
        self.saved_at = now;
        let path = self.path.clone();
        self.saving = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = lastgood::save(&path, &last) {
                tracing::error!(path = %path.display(), %error, "the last good table cannot be written");
            }
        }));
    }

    /// Logs problems once, not with every compile.
    fn log(&mut self, problems: &[Problem]) {
        for problem in problems.iter().filter(|problem| !self.logged.contains(problem)) {
            tracing::warn!(row = problem.row, field = problem.field, code = problem.code.text(), "{}", problem.reason);
        }
        self.logged = problems.to_vec();
    }
}

fn away(error: &StoreError) -> Problem {
    Problem::new(STORE, "", Code::StoreUnavailable, error.to_string())
}

#[cfg(test)]
mod tests;
