//! From rows to a snapshot: built aside, broken entries left out and reported (R74).
//!
//! The smallest broken part is what is left out: a backend, an alias, a listener; a whole row only
//! if it has no usable name or id. It resolves nothing itself and swaps nothing. Called by
//! `control::watch`.

use super::build::{self, Terms};
use super::certificate;
use super::handles::{Handles, Hashed, Kept, KeptCertificate};
use super::names::{self, Fronts};
use super::problem::{Code, Problem};
use super::resolved::Resolved;
use super::snapshot::{Certificate, Snapshot};
use crate::licence::Roster;
use crate::model::{self, Table};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Builds the snapshot of a table, and lists what had to be left out.
pub fn compile(table: &Table, handles: &Handles, resolved: &Resolved, now_unix: u64) -> (Snapshot, Vec<Problem>) {
    let mut kept = handles.keep();
    let mut compiler = Compiler {
        table,
        resolved,
        now_unix,
        limits: handles.defaults,
        kept: &mut kept,
        hash: Sum::default(),
        snapshot: Snapshot { revision: table.revision, ..Snapshot::default() },
        problems: Vec::new(),
    };
    compiler.certificates();
    compiler.rosters();
    compiler.instances();
    compiler.proxies();
    compiler.finish()
}

/// Whether a table holds rows but its snapshot not a sound one of a kind: then the whole is broken,
/// and the old snapshot stays (R74).
pub fn is_broken_whole(table: &Table, snapshot: &Snapshot) -> bool {
    (!table.instances.is_empty() && snapshot.instances.is_empty())
        || (!table.proxies.is_empty() && snapshot.proxies.is_empty())
}

struct Compiler<'a> {
    table: &'a Table,
    resolved: &'a Resolved,
    now_unix: u64,
    limits: model::Limits,
    kept: &'a mut Kept,
    hash: Sum,
    snapshot: Snapshot,
    problems: Vec<Problem>,
}

impl Compiler<'_> {
    fn certificates(&mut self) {
        let mut rows: Vec<_> = self.table.certificates.iter().collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        self.kept.certificates.retain(|name, _| rows.binary_search_by(|row| row.name.as_str().cmp(name)).is_ok());
        let mut names = BTreeSet::new();
        for row in rows {
            if row.is_awaited() {
                // Nothing is wrong with it: an authority will issue it.
                continue;
            }
            let place = format!("certificate/{}", row.name);
            if !names.insert(row.name.to_ascii_lowercase()) {
                self.problems.push(Problem::new(place, "name", Code::Duplicate, "another certificate has this name"));
                continue;
            }
            let known = self.kept.certificates.remove(&row.name).filter(|known| same(&known.source.row, row));
            let known = known.unwrap_or_else(|| KeptCertificate {
                source: hashed(row),
                parsed: certificate::parse(row)
                    .map(Arc::new)
                    .map_err(|fault| Problem::new(place.clone(), fault.field, fault.code, fault.reason)),
            });
            self.hash.add(&known.source.hash);
            match &known.parsed {
                Ok(parsed) => {
                    self.expiry(&place, parsed);
                    self.snapshot.certificates.push(Arc::clone(parsed));
                }
                Err(problem) => self.problems.push(problem.clone()),
            }
            self.kept.certificates.insert(row.name.clone(), known);
        }
    }

    fn expiry(&mut self, place: &str, parsed: &Certificate) {
        if parsed.not_after < self.now_unix {
            let reason = "its time is over; it is still served";
            self.problems.push(Problem::new(place, "chain", Code::CertificateExpired, reason));
        }
    }

    fn rosters(&mut self) {
        let mut before = std::mem::take(&mut self.kept.rosters);
        for row in &self.table.users {
            let known = before.remove(&row.instance).filter(|(source, _)| same(&source.row, row));
            let known = known.unwrap_or_else(|| (hashed(row), Arc::new(Roster::new(&row.users))));
            self.hash.add(&known.0.hash);
            self.kept.rosters.insert(row.instance, known);
        }
        let known = self.kept.book.take().filter(|known| Arc::ptr_eq(&known.row, &self.table.book));
        let book = self.kept.book.insert(known.unwrap_or_else(|| hashed(&self.table.book)));
        self.hash.add(&book.hash);
    }

    fn instances(&mut self) {
        let mut rows: Vec<_> = self.table.instances.iter().collect();
        rows.sort_by_key(|row| row.id);
        self.kept.hosts.clear();
        let mut ids = Vec::with_capacity(rows.len());
        let mut built = Vec::with_capacity(rows.len());
        let mut renamed = false;
        for row in rows {
            if row.id.0 == 0 || ids.last() == Some(&row.id) {
                let (place, reason) =
                    (format!("instance/{}", row.name), format!("{} is not an id of its own", row.id.0));
                self.problems.push(Problem::new(place, "id", Code::IdInvalid, reason));
                self.hash.add(&hashed(row).hash);
                continue;
            }
            let kept = self.kept.instances.entry(row.id).or_default();
            let terms = Terms {
                allowance: self.table.book.allowance(row),
                roster: self.kept.rosters.get(&row.id).map(|(_, roster)| Arc::clone(roster)),
            };
            let resolved = (self.resolved, &self.kept.resolved);
            let (one, other_names) = build::instance(row, kept, resolved, self.limits, terms);
            renamed |= other_names;
            self.hash.add(&one.source.hash);
            self.problems.extend_from_slice(&one.problems);
            self.kept.hosts.extend(one.hosts.iter().cloned());
            ids.push(row.id);
            built.push(one.instance.clone());
        }
        if self.kept.instances.len() != ids.len() {
            let live: BTreeSet<_> = ids.iter().collect();
            self.kept.instances.retain(|id, _| live.contains(id));
            renamed = true;
        }
        let fronts = Fronts::of(self.table);
        let assigned = match self.kept.assigned.take() {
            Some(known) if !renamed && known.holds(&fronts, self.now_unix) => known,
            _ => names::assign(&ids, &self.kept.instances, fronts, self.now_unix),
        };
        let assigned = self.kept.assigned.insert(assigned);
        self.problems.extend_from_slice(&assigned.problems);
        self.snapshot.names = Arc::clone(&assigned.names);
        let sound = built.into_iter().zip(&assigned.sound).filter(|(_, sound)| **sound);
        self.snapshot.instances = sound.filter_map(|(instance, _)| instance).collect();
    }

    fn proxies(&mut self) {
        let mut rows: Vec<_> = self.table.proxies.iter().collect();
        rows.sort_by_key(|row| row.id);
        let ids: BTreeSet<_> = rows.iter().map(|row| row.id).collect();
        self.kept.proxies.retain(|id, _| ids.contains(id));
        self.kept.proxy_rows.retain(|id, _| ids.contains(id));
        let mut taken = build::Taken::default();
        for row in rows {
            let source = match self.kept.proxy_rows.get(&row.id) {
                Some(known) if same(&known.row, row) => known.clone(),
                _ => hashed(row),
            };
            self.hash.add(&source.hash);
            self.kept.proxy_rows.insert(row.id, source);
            let Some(proxy) = build::proxy(row, &self.snapshot, &mut taken, &mut self.problems) else { continue };
            let proxy = match self.kept.proxies.get(&row.id) {
                Some(known) if known.same(&proxy) => Arc::clone(known),
                _ => Arc::new(proxy),
            };
            self.kept.proxies.insert(row.id, Arc::clone(&proxy));
            self.snapshot.proxies.push(proxy);
        }
    }

    fn finish(mut self) -> (Snapshot, Vec<Problem>) {
        self.snapshot.index_proxies();
        self.snapshot.hash = self.hash.finish();
        let mut addresses = Sha256::new();
        for host in &self.kept.hosts {
            addresses.update(host.as_bytes());
            addresses.update([0]);
            for ip in self.resolved.get(host) {
                addresses.update(ip.to_string());
                addresses.update([0]);
            }
        }
        self.snapshot.resolution = addresses.finalize().into();
        if self.kept.resolved != *self.resolved {
            self.kept.resolved = self.resolved.clone();
        }
        (self.snapshot, self.problems)
    }
}

/// The hash of a set of rows: a sum of their hashes, so that neither order nor number of rows costs
/// more than an addition each.
#[derive(Default)]
struct Sum {
    lanes: [u64; 4],
    rows: u64,
}

impl Sum {
    fn add(&mut self, hash: &[u8; 32]) {
        let (lanes, _) = hash.as_chunks::<8>();
        for (sum, lane) in self.lanes.iter_mut().zip(lanes) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*lane));
        }
        self.rows += 1;
    }

    fn finish(&self) -> [u8; 32] {
        let mut whole = Sha256::new();
        self.lanes.iter().chain([&self.rows]).for_each(|number| whole.update(number.to_le_bytes()));
        whole.finalize().into()
    }
}

/// Whether two rows are one, or say the same.
pub(super) fn same<T: PartialEq>(a: &Arc<T>, b: &Arc<T>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

/// A row with its hash: over its JSON, whose fields have one order.
pub(super) fn hashed<T: serde::Serialize>(row: &Arc<T>) -> Hashed<T> {
    let json = serde_json::to_vec(row).unwrap_or_default();
    Hashed { row: Arc::clone(row), hash: Sha256::digest(json).into() }
}

#[cfg(test)]
mod tests;
