//! From rows to a snapshot: built aside, broken entries left out and reported (R74).
//!
//! The smallest broken part is what is left out: a backend, an alias, a listener; a whole row only
//! if it has no usable name or id. It resolves nothing itself and swaps nothing. What it costs is in proportion to
//! what changed: everything else is shared with the snapshot before. Called by `control::watch`.

use super::build::{self, Terms};
use super::certificate;
use super::handles::{Handles, Kept, KeptCertificate, KeptCertificates, KeptUsers, Strays};
use super::hosts::News;
use super::instances::{Became, Broken, Instances, Placed};
use super::names::{Assigned, Fronts, Renamed};
use super::patch::Patch;
use super::problem::{Code, Problem};
use super::resolved::Resolved;
use super::snapshot::{Map, Snapshot};
use super::sum::{self, Sum};
use crate::ids::InstanceId;
use crate::licence::Roster;
use crate::model::{self, Table};
use crate::stats::InstanceStats;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What became of changes.
pub struct Compiled {
    /// The table with them.
    pub snapshot: Snapshot,
    /// What had to be left out.
    pub problems: Vec<Problem>,
    /// Rows of instances and proxies, sound or not.
    pub rows: [usize; 2],
    /// Host names that are asked for now and were not before, or the other way round.
    pub hosts: News,
}

impl Compiled {
    /// Whether there are rows of a kind but not a sound one among them: then the whole is broken, and the old
    /// snapshot stays (R74).
    pub fn is_broken_whole(&self) -> bool {
        let [instances, proxies] = self.rows;
        (instances != 0 && self.snapshot.instances.is_empty()) || (proxies != 0 && self.snapshot.proxies.is_empty())
    }
}

/// Builds the snapshot of a table, and lists what had to be left out.
pub fn compile(table: &Table, handles: &Handles, resolved: &Resolved, now_unix: u64) -> (Snapshot, Vec<Problem>) {
    let (patch, strays) = Patch::of(table);
    let compiled = run(patch, &strays, handles, resolved, now_unix);
    (compiled.snapshot, compiled.problems)
}

/// Builds the snapshot of the table that these handles compiled last, with changes.
pub fn compile_patch(patch: Patch, handles: &Handles, resolved: &Resolved, now_unix: u64) -> Compiled {
    run(patch, &[], handles, resolved, now_unix)
}

/// Whether a table holds rows but its snapshot not a sound one of a kind: then the whole is broken,
/// and the old snapshot stays (R74).
pub fn is_broken_whole(table: &Table, snapshot: &Snapshot) -> bool {
    (!table.instances.is_empty() && snapshot.instances.is_empty())
        || (!table.proxies.is_empty() && snapshot.proxies.is_empty())
}

fn run(
    patch: Patch,
    strays: &[Arc<model::Instance>],
    handles: &Handles,
    resolved: &Resolved,
    now_unix: u64,
) -> Compiled {
    let mut kept = handles.keep();
    let mut compiler = Compiler { now_unix, limits: handles.defaults, kept: &mut kept, renamed: Vec::new() };
    let fresh_certificates = patch.certificates.is_some();
    if let Some(rows) = patch.certificates {
        compiler.certificates(rows);
    }
    let mut touched = compiler.resolve(resolved);
    touched.extend(compiler.rosters(patch.users, patch.whole));
    let others_count = compiler.book(patch.book);
    if patch.whole {
        compiler.strays(strays);
    }
    compiler.instances(patch.instances, patch.whole, touched, others_count);
    let fresh_proxies = patch.proxies.is_some();
    if let Some(rows) = patch.proxies {
        compiler.kept.proxies.rows = rows;
        compiler.kept.proxies.rows.sort_by_key(|row| row.id);
    }
    let fresh_names = compiler.names(fresh_proxies);
    compiler.finish(patch.revision, fresh_proxies || fresh_certificates || fresh_names)
}

struct Compiler<'a> {
    now_unix: u64,
    limits: model::Limits,
    kept: &'a mut Kept,
    /// Rows whose names changed, and those that can be loaded now and could not before, or the other way round.
    renamed: Vec<Renamed>,
}

impl Compiler<'_> {
    fn certificates(&mut self, mut rows: Vec<Arc<model::Certificate>>) {
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        let mut before = std::mem::take(&mut self.kept.certificates.by_row);
        let (mut names, mut made) = (BTreeSet::new(), KeptCertificates { first_end: u64::MAX, ..Default::default() });
        let (mut sound, mut by_name) = (Vec::new(), Map::default());
        for row in rows {
            if row.is_awaited() {
                // Nothing is wrong with it: an authority will issue it.
                continue;
            }
            let place = format!("certificate/{}", row.name);
            if !names.insert(row.name.to_ascii_lowercase()) {
                made.problems.push(Problem::new(place, "name", Code::Duplicate, "another certificate has this name"));
                continue;
            }
            let known = before.remove(&row.name).filter(|known| same(&known.row, &row));
            let known = known.unwrap_or_else(|| KeptCertificate {
                hash: sum::hash(&*row),
                parsed: certificate::parse(&row)
                    .map(Arc::new)
                    .map_err(|fault| Problem::new(place, fault.field, fault.code, fault.reason)),
                row: Arc::clone(&row),
            });
            made.sum.add(&known.hash);
            match &known.parsed {
                Ok(parsed) => {
                    made.first_end = made.first_end.min(parsed.not_after);
                    by_name.insert(row.name.to_ascii_lowercase().into(), Arc::clone(parsed));
                    sound.push(Arc::clone(parsed));
                }
                Err(problem) => made.problems.push(problem.clone()),
            }
            made.by_row.insert(row.name.clone(), known);
        }
        (made.sound, made.by_name) = (sound.into(), Arc::new(by_name));
        self.kept.certificates = made;
    }

    /// Takes over what host names stand for; returns the instances that ask for one that stands for something else.
    fn resolve(&mut self, resolved: &Resolved) -> BTreeMap<InstanceId, Why> {
        let (mut moved, mut touched) = (Vec::new(), BTreeMap::new());
        self.kept.resolved.differences(resolved, |host| moved.push(Box::<str>::from(host)));
        for host in moved {
            let askers = self.kept.hosts.follow(&host, &self.kept.resolved, resolved);
            touched.extend(askers.map(|id| (id, Why::Moved)));
        }
        self.kept.resolved = resolved.clone();
        touched
    }

    /// Takes over lists of users; returns the instances whose list is another.
    fn rosters(&mut self, lists: Vec<(InstanceId, Option<Arc<model::Users>>)>, whole: bool) -> Vec<(InstanceId, Why)> {
        let Kept { rosters, users, .. } = &mut *self.kept;
        let mut touched = Vec::new();
        let mut drop_list = |id: InstanceId, rosters: &mut Map<InstanceId, KeptUsers>| {
            if let Some(old) = rosters.remove(&id) {
                users.subtract(&sum::hash(&*old.row));
                touched.push((id, Why::Terms));
            }
        };
        if whole {
            let live: BTreeSet<_> = lists.iter().map(|(id, _)| *id).collect();
            let gone: Vec<_> = rosters.keys().filter(|id| !live.contains(id)).copied().collect();
            gone.into_iter().for_each(|id| drop_list(id, rosters));
        }
        let mut fresh = Vec::new();
        for (id, row) in lists {
            if let (Some(row), Some(known)) = (&row, rosters.get(&id))
                && same(&known.row, row)
            {
                continue;
            }
            drop_list(id, rosters);
            fresh.extend(row.map(|row| (id, row)));
        }
        for (id, row) in fresh {
            users.add(&sum::hash(&*row));
            touched.push((id, Why::Terms));
            rosters.insert(id, KeptUsers { roster: Arc::new(Roster::new(&row.users)), row });
        }
        touched
    }

    /// Takes over the licence book; true if other licences count than before.
    fn book(&mut self, book: Arc<crate::licence::Book>) -> bool {
        let known = self.kept.book.take();
        if let Some((known, hash)) = known {
            if Arc::ptr_eq(&known, &book) {
                self.kept.book = Some((known, hash));
                return false;
            }
            let counts = !known.counts_as(&book);
            self.kept.book = Some((Arc::clone(&book), sum::hash(&*book)));
            return counts;
        }
        self.kept.book = Some((Arc::clone(&book), sum::hash(&*book)));
        true
    }

    fn strays(&mut self, rows: &[Arc<model::Instance>]) {
        let mut strays = Strays::default();
        for row in rows {
            let (place, reason) = (format!("instance/{}", row.name), format!("{} is not an id of its own", row.id.0));
            strays.problems.push(Problem::new(place, "id", Code::IdInvalid, reason));
            strays.sum.add(&sum::hash(&**row));
        }
        self.kept.strays = strays;
    }

    fn instances(
        &mut self,
        rows: Vec<(InstanceId, Option<Arc<model::Instance>>)>,
        whole: bool,
        mut touched: BTreeMap<InstanceId, Why>,
        others_count: bool,
    ) {
        if whole {
            let mut listed = rows.iter().map(|(id, _)| *id).peekable();
            let known = self.kept.instances.every().map(|placed| placed.id);
            let gone: Vec<_> = known
                .filter(|id| {
                    while listed.next_if(|listed| listed < id).is_some() {}
                    listed.next_if_eq(id).is_none()
                })
                .collect();
            gone.into_iter().for_each(|id| self.remove(id));
        }
        if self.kept.instances.rows() == 0 {
            let mut all = Vec::with_capacity(rows.len());
            for (id, row) in rows {
                touched.remove(&id);
                all.extend(row.map(|row| Placed { id, became: self.make(id, &row, None) }));
            }
            self.kept.instances = Instances::of(all);
            return;
        }
        for (id, row) in rows {
            match row {
                Some(row) => {
                    let known = self.kept.instances.row(id).map(Became::row);
                    if !known.is_some_and(|known| same(known, &row)) {
                        self.build(id, &row);
                        touched.remove(&id);
                    }
                }
                None => self.remove(id),
            }
        }
        if others_count {
            let all = self.kept.instances.every().map(|placed| placed.id);
            all.for_each(|id| _ = touched.entry(id).or_insert(Why::Terms));
        }
        for (id, why) in touched {
            let Some(known) = self.kept.instances.row(id) else { continue };
            let terms = self.terms(known.row());
            if why == Why::Moved || known.built().is_some_and(|known| !terms.hold_for(known)) {
                let row = Arc::clone(known.row());
                self.build(id, &row);
            }
        }
    }

    fn terms(&self, row: &model::Instance) -> Terms {
        let book = self.kept.book.as_ref().map(|(book, _)| book);
        Terms {
            allowance: book.map_or(crate::licence::Allowance::COMMUNITY, |book| book.allowance(row)),
            roster: self.kept.rosters.get(&row.id).map(|known| Arc::clone(&known.roster)),
        }
    }

    fn remove(&mut self, id: InstanceId) {
        let Some(was) = self.kept.instances.take(id) else { return };
        self.kept.rows.subtract(&sum::hash(&**was.row()));
        self.kept.problems.remove(&id);
        self.kept.hosts.set(id, Vec::new(), &self.kept.resolved);
        if was.built().is_some() {
            self.renamed.push((Some(Arc::clone(was.row())), None));
        }
    }

    fn build(&mut self, id: InstanceId, row: &Arc<model::Instance>) {
        let was = self.kept.instances.row(id).cloned();
        let became = self.make(id, row, was.as_ref());
        self.kept.instances.put(id, became);
    }

    /// What becomes of a row, and all that is kept of it elsewhere.
    fn make(&mut self, id: InstanceId, row: &Arc<model::Instance>, was: Option<&Became>) -> Became {
        let terms = self.terms(row);
        let kept = &mut *self.kept;
        let old_row = was.map(|was| Arc::clone(was.row()));
        if !old_row.as_ref().is_some_and(|old| Arc::ptr_eq(old, row)) {
            if let Some(old) = &old_row {
                kept.rows.subtract(&sum::hash(&**old));
            }
            kept.rows.add(&sum::hash(&**row));
        }
        let stats = was.map(|was| Arc::clone(was.stats()));
        let stats = stats.unwrap_or_else(|| Arc::new(InstanceStats::of(id, &kept.touched)));
        let built = build::instance(row, was, stats.clone(), &kept.resolved, self.limits, terms);
        let was_built = was.is_some_and(|was| was.built().is_some());
        let is_nameless = matches!(was, Some(Became::Nameless(_)));
        let same_names = old_row.as_ref().is_some_and(|old| {
            old.name == row.name && old.aliases == row.aliases && old.former_names == row.former_names
        });
        if was_built != built.instance.is_some() || (built.instance.is_some() && !same_names) {
            let new = built.instance.as_ref().map(|_| Arc::clone(row));
            self.renamed.push((old_row.filter(|_| was_built), new));
        }
        let became = match built.instance {
            Some(instance) if is_nameless => Became::Nameless(instance),
            Some(instance) => Became::Sound(instance),
            None => Became::Broken(Arc::new(Broken { row: Arc::clone(row), stats })),
        };
        kept.hosts.set(id, built.hosts, &kept.resolved);
        if built.problems.is_empty() {
            kept.problems.remove(&id);
        } else {
            kept.problems.insert(id, built.problems);
        }
        became
    }

    /// Gives names to rows; true if one stands for something else than before.
    fn names(&mut self, fresh_proxies: bool) -> bool {
        let kept = &mut *self.kept;
        let fronts = fresh_proxies.then(|| Fronts::of(&kept.proxies.rows));
        let stays = fronts.as_ref().is_none_or(|fronts| *fronts == kept.assigned.fronts);
        if stays && self.renamed.is_empty() && !kept.assigned.is_over(self.now_unix) {
            return false;
        }
        if stays && kept.assigned.follow(&self.renamed, self.now_unix) {
            return true;
        }
        let fronts = fronts.unwrap_or_else(|| Fronts::of(&kept.proxies.rows));
        let rows = kept.instances.every().filter(|placed| placed.became.built().is_some());
        let rows: Vec<_> = rows.map(|placed| placed.became.row()).collect();
        let mut refused = BTreeSet::new();
        let made = Assigned::afresh(&rows, fronts, self.now_unix, |id| _ = refused.insert(id));
        let changed = kept.instances.every().filter_map(|placed| {
            let other = match (&placed.became, refused.contains(&placed.id)) {
                (Became::Sound(instance), true) => Became::Nameless(Arc::clone(instance)),
                (Became::Nameless(instance), false) => Became::Sound(Arc::clone(instance)),
                _ => return None,
            };
            Some((placed.id, other))
        });
        let changed: Vec<_> = changed.collect();
        changed.into_iter().for_each(|(id, became)| kept.instances.put(id, became));
        kept.assigned = made;
        true
    }

    fn finish(self, revision: u64, fresh_proxies: bool) -> Compiled {
        let Kept { certificates, assigned, instances, touched, .. } = &*self.kept;
        let mut snapshot = Snapshot {
            revision,
            certificates: Arc::clone(&certificates.sound),
            by_certificate: Arc::clone(&certificates.by_name),
            instances: instances.clone(),
            touched: Arc::clone(touched),
            names: assigned.names.clone(),
            ..Snapshot::default()
        };
        if fresh_proxies {
            proxies(self.kept, &snapshot);
        }
        let kept = self.kept;
        snapshot.proxies.clone_from(&kept.proxies.sound);
        snapshot.index_proxies();
        let mut sum = Sum::default();
        let book = kept.book.iter().map(|(_, hash)| hash);
        book.for_each(|hash| sum.add(hash));
        for part in [&kept.rows, &kept.strays.sum, &kept.users, &kept.proxies.sum, &kept.certificates.sum] {
            sum.join(part);
        }
        snapshot.hash = sum.finish();
        snapshot.resolution = kept.hosts.resolution();
        let mut problems = kept.certificates.problems(self.now_unix);
        problems.extend_from_slice(&kept.strays.problems);
        problems.extend(kept.problems.values().flatten().cloned());
        problems.extend_from_slice(&kept.assigned.problems);
        problems.extend_from_slice(&kept.proxies.problems);
        let rows = [kept.instances.rows() + kept.strays.problems.len(), kept.proxies.rows.len()];
        Compiled { snapshot, problems, rows, hosts: kept.hosts.news() }
    }
}

/// Why an instance is looked at again although its row is the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// A host name stands for something else.
    Moved,
    /// Its licences or users may be others.
    Terms,
}

impl KeptCertificates {
    /// What is wrong with them at a moment.
    fn problems(&self, now_unix: u64) -> Vec<Problem> {
        let mut problems = self.problems.clone();
        if self.first_end < now_unix {
            let over = self.sound.iter().filter(|parsed| parsed.not_after < now_unix).map(|parsed| {
                let reason = "its time is over; it is still served";
                Problem::new(format!("certificate/{}", parsed.name), "chain", Code::CertificateExpired, reason)
            });
            problems.extend(over);
        }
        problems
    }
}

/// Builds the proxies on the instances and certificates of a half-built snapshot.
fn proxies(kept: &mut Kept, snapshot: &Snapshot) {
    let kept = &mut kept.proxies;
    let mut taken = build::Taken::default();
    let before = std::mem::take(&mut kept.by_id);
    (kept.sum, kept.sound, kept.problems) = Default::default();
    for row in &kept.rows {
        kept.sum.add(&sum::hash(&**row));
        let Some(proxy) = build::proxy(row, snapshot, &mut taken, &mut kept.problems) else { continue };
        let proxy = match before.get(&row.id) {
            Some(known) if known.same(&proxy) => Arc::clone(known),
            _ => Arc::new(proxy),
        };
        kept.by_id.insert(row.id, Arc::clone(&proxy));
        kept.sound.push(proxy);
    }
}

/// Whether two rows are one, or say the same.
fn same<T: PartialEq>(a: &Arc<T>, b: &Arc<T>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

#[cfg(test)]
mod tests;
