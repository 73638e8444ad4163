//! From the store to the data plane: watch, read, resolve, compile, swap, remember.
//!
//! A watch is a hint; what is read is what was written after the revision served. The first change is
//! served at once, further ones every [`GAP`] at the most, so that a burst of changes costs a few
//! compiles. What is broken as a whole is refused and the old table stays (R74). Started by `app`.

use super::copy::Copy;
use super::resolve::{Lookup, Names};
use super::rows::Rows;
use super::status::{Source, Status};
use super::store::StoreError;
use crate::clock::Clock;
use crate::route::cell::{Cell, Stored};
use crate::route::handles::Handles;
use crate::route::lastgood::{self, LoadError};
use crate::route::patch::Patch;
use crate::route::problem::{Code, Problem};
use crate::route::snapshot::Snapshot;
use crate::route::{Compiled, Diff, compile_patch, diff};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The least time between two swaps.
const GAP: Duration = Duration::from_millis(5);
/// How often the store is asked without a hint.
const ROUND: Duration = Duration::from_secs(1);
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
    copy: Copy,
    on_change: OnChange,
    /// Tables that were replaced and are still read by a worker: the last one who holds a table takes it apart, which
    /// is not to be a worker.
    retired: Vec<Arc<Snapshot>>,
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
        let (names, copy) = (Names::new(lookup), Copy::new(last_good));
        let (retired, logged, tried) = (Vec::new(), Vec::new(), None);
        Self { rows, cell, handles, status, clock, names, copy, on_change, retired, logged, tried }
    }

    /// Serves the first table: the store's, or the last good one when the store is away (R76). When it
    /// returns, the cell holds it.
    pub async fn start(&mut self) -> Result<Source, StartError> {
        let source = match self.rows.refresh().await {
            Ok(_) => {
                let (patch, unreadable) = self.rows.patch();
                self.first(patch, unreadable, Source::Store).await;
                Source::Store
            }
            Err(store) => {
                let path = self.copy.path().to_owned();
                let loaded = tokio::task::spawn_blocking(move || lastgood::load(&path)).await;
                let loaded = loaded.unwrap_or(Err(LoadError::Damaged("its reader ended")));
                let last = loaded.map_err(|last_good| StartError { store: store.clone(), last_good })?;
                tracing::warn!(revision = last.table.revision, why = %store, "serving the last good table");
                self.names.resolved = last.resolved;
                self.status.update(|served| served.fresh_at = last.fresh_at);
                let (patch, _) = Patch::of(&self.rows.here(&last.table));
                self.first(patch, vec![away(&store)], Source::LastGood).await;
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
                    self.bury();
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
        self.copy.finish().await;
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
                    let (patch, unreadable) = self.rows.patch();
                    self.serve(patch, unreadable, Source::Store).await;
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
    async fn first(&mut self, patch: Patch, problems: Vec<Problem>, source: Source) {
        let (revision, book) = (patch.revision, Arc::clone(&patch.book));
        self.copy.note(&patch);
        _ = self.compile(patch).await;
        let clock = self.clock;
        let answers = async {
            while self.names.is_asking() {
                self.names.answered(|| clock.now().tick).await;
            }
        };
        _ = tokio::time::timeout(FIRST_ANSWERS, answers).await;
        self.serve(Patch { revision, book, ..Patch::default() }, problems, source).await;
        self.save();
    }

    async fn serve(&mut self, patch: Patch, mut problems: Vec<Problem>, source: Source) {
        let began = self.clock.now();
        let revision = patch.revision;
        if source == Source::Store {
            self.tried = Some(revision);
        }
        self.copy.note(&patch);
        let Some(compiled) = self.compile(patch).await else { return };
        let compile_ms = self.clock.now().tick.since(began.tick);
        let is_broken = compiled.is_broken_whole();
        problems.extend(compiled.problems);
        if is_broken {
            let reason = format!("no row of revision {revision} is sound; what was served before stays");
            problems.push(Problem::new("table", "", Code::TableBroken, reason));
            self.log(&problems);
            return self.status.update(|served| served.problems = Arc::new(problems));
        }
        self.log(&problems);
        let snapshot = Arc::new(compiled.snapshot);
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
            self.copy.is_good(&snapshot, &self.names.resolved, began.unix);
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
            self.retired.push(old);
        }
    }

    /// Compiles beside the runtime, and asks for the host names it finds.
    async fn compile(&mut self, patch: Patch) -> Option<Compiled> {
        let (handles, resolved, now) = (Arc::clone(&self.handles), self.names.resolved.clone(), self.clock.now());
        match tokio::task::spawn_blocking(move || compile_patch(patch, &handles, &resolved, now.unix)).await {
            Ok(compiled) => {
                self.names.want(&compiled.hosts, now.tick);
                Some(compiled)
            }
            // Only a panic or the end of the runtime gets here: nothing sound was compiled.
            Err(error) => {
                tracing::error!(%error, "the table was not compiled");
                self.rows.forget_patches();
                self.tried = None;
                None
            }
        }
    }

    /// Writes the last good table, unless it is being written or was just now.
    fn save(&mut self) {
        self.copy.save(self.clock.now().tick);
    }

    /// Takes tables apart that nobody reads any more, where nobody waits for it.
    fn bury(&mut self) {
        let (read, done) = std::mem::take(&mut self.retired).into_iter().partition(|old| Arc::strong_count(old) > 1);
        self.retired = read;
        let done: Vec<_> = done;
        if !done.is_empty() {
            tokio::task::spawn_blocking(move || drop(done));
        }
    }

    /// Logs problems once, not with every compile.
    fn log(&mut self, problems: &[Problem]) {
        if self.logged == problems {
            return;
        }
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
