//! The copy of the table on disk, kept up by what changes: the whole is written when the changes at its end have become
//! half as much. Called by `watch`.

use crate::clock::Tick;
use crate::ids::InstanceId;
use crate::licence::Book;
use crate::model::{Certificate, Proxy, Table, Users};
use crate::route::lastgood::{self, Change, LastGood};
use crate::route::patch::Patch;
use crate::route::resolved::Resolved;
use crate::route::snapshot::Snapshot;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// The least time in milliseconds between two writes.
const GAP: u64 = 2_000;
/// Bytes of changes that are not worth a new copy.
const FEW: u64 = 1 << 20;

/// The copy.
pub(super) struct Copy {
    path: PathBuf,
    /// What a whole copy holds besides the snapshot's rows.
    rest: Rest,
    /// Changes that may be of a table that is not good.
    noted: Option<Noted>,
    /// What to write; none while the file says the same.
    unsaved: Option<Unsaved>,
    /// What host names stood for in the last write.
    resolved: Resolved,
    saving: Option<JoinHandle<Option<Written>>>,
    saved_at: Tick,
    written: Option<Written>,
}

#[derive(Clone, Default)]
struct Rest {
    proxies: Vec<Arc<Proxy>>,
    certificates: Vec<Arc<Certificate>>,
    users: BTreeMap<InstanceId, Arc<Users>>,
    book: Arc<Book>,
}

/// Changes since the last good table.
enum Noted {
    Whole,
    Change(Change),
}

struct Unsaved {
    noted: Noted,
    snapshot: Arc<Snapshot>,
    resolved: Resolved,
    fresh_at: u64,
}

/// Bytes of the file.
#[derive(Clone, Copy)]
struct Written {
    /// Of the whole copy in it.
    whole: u64,
    /// Of all.
    all: u64,
}

impl Copy {
    pub(super) fn new(path: PathBuf) -> Self {
        let (rest, noted, unsaved, resolved, saving, written) = Default::default();
        Self { path, rest, noted, unsaved, resolved, saving, saved_at: Tick(0), written }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes note of changes that are about to be compiled.
    pub(super) fn note(&mut self, patch: &Patch) {
        let Patch { revision, whole, instances, users, proxies, certificates, book } = patch;
        let other_book = !Arc::ptr_eq(&self.rest.book, book);
        self.rest.book = Arc::clone(book);
        proxies.iter().for_each(|proxies| self.rest.proxies.clone_from(proxies));
        certificates.iter().for_each(|certificates| self.rest.certificates.clone_from(certificates));
        if *whole {
            self.rest.users.clear();
        }
        for (id, list) in users {
            match list {
                Some(list) => drop(self.rest.users.insert(*id, Arc::clone(list))),
                None => drop(self.rest.users.remove(id)),
            }
        }
        if *whole {
            self.noted = Some(Noted::Whole);
            return;
        }
        let change = Change {
            revision: *revision,
            instances: instances.iter().cloned().collect(),
            users: users.iter().cloned().collect(),
            proxies: proxies.clone(),
            certificates: certificates.clone(),
            book: other_book.then(|| Arc::clone(book)),
            ..Change::default()
        };
        self.noted = Some(join(self.noted.take(), Noted::Change(change)));
    }

    /// What was noted makes a good table.
    pub(super) fn is_good(&mut self, snapshot: &Arc<Snapshot>, resolved: &Resolved, fresh_at: u64) {
        let Some(noted) = self.noted.take() else { return };
        let before = self.unsaved.take().map(|unsaved| unsaved.noted);
        let (snapshot, resolved) = (Arc::clone(snapshot), resolved.clone());
        self.unsaved = Some(Unsaved { noted: join(before, noted), snapshot, resolved, fresh_at });
    }

    /// Starts to write, unless it is being written or was just now.
    pub(super) fn save(&mut self, now: Tick) {
        let idle = self.saving.as_ref().is_none_or(JoinHandle::is_finished);
        if idle && (self.saved_at == Tick(0) || now.since(self.saved_at) >= GAP) && self.unsaved.is_some() {
            self.saved_at = now;
            self.start();
        }
    }

    /// Writes what is not yet written.
    pub(super) async fn finish(&mut self) {
        for _ in 0..2 {
            if let Some(saving) = self.saving.take() {
                self.written = saving.await.unwrap_or_default();
            }
            self.start();
        }
    }

    fn start(&mut self) {
        use futures_util::FutureExt as _;
        if let Some(saving) = self.saving.take() {
            // It has ended: see `save`.
            self.written = saving.now_or_never().and_then(Result::ok).flatten();
        }
        let Some(Unsaved { noted, snapshot, resolved, fresh_at }) = self.unsaved.take() else { return };
        let path = self.path.clone();
        let room = self.written.filter(|written| written.all - written.whole < (written.whole / 2).max(FEW));
        self.saving = Some(match (noted, room) {
            (Noted::Change(mut change), Some(written)) => {
                self.resolved.differences(&resolved, |host| {
                    change.hosts.insert(host.to_owned(), resolved.get(host).to_vec());
                });
                (change.revision, change.fresh_at) = (snapshot.revision, fresh_at);
                tokio::task::spawn_blocking(move || {
                    told(&path, lastgood::append(&path, &change)).map(|all| Written { all, ..written })
                })
            }
            _ => {
                let (rest, resolved) = (self.rest.clone(), resolved.clone());
                tokio::task::spawn_blocking(move || {
                    let table = Arc::new(table(&snapshot, rest));
                    let saved = lastgood::save(&path, &LastGood { table, resolved, fresh_at });
                    told(&path, saved).map(|all| Written { all, whole: all })
                })
            }
        });
        self.resolved = resolved;
    }
}

/// The rows of a snapshot.
fn table(snapshot: &Snapshot, rest: Rest) -> Table {
    Table {
        revision: snapshot.revision,
        instances: snapshot.instances.every_row().map(Arc::clone).collect(),
        proxies: rest.proxies,
        certificates: rest.certificates,
        users: rest.users.into_values().collect(),
        book: rest.book,
    }
}

fn told(path: &Path, result: std::io::Result<u64>) -> Option<u64> {
    result
        .inspect_err(|error| tracing::error!(path = %path.display(), %error, "the last good table cannot be written"))
        .ok()
}

fn join(before: Option<Noted>, later: Noted) -> Noted {
    match (before, later) {
        (Some(Noted::Change(mut change)), Noted::Change(later)) => {
            change.join(later);
            Noted::Change(change)
        }
        (Some(Noted::Whole), _) => Noted::Whole,
        (_, later) => later,
    }
}
