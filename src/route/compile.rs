//! From rows to a snapshot: built aside, broken entries left out and reported (R74).
//!
//! The smallest broken part is what is left out: a backend, an alias, a listener; a whole row only
//! if it has no usable name or id. It resolves nothing itself and swaps nothing. Called by
//! `control::watch`.

use super::build;
use super::certificate;
use super::domain::{self, fold};
use super::handles::{Handles, Hashed, Kept, KeptCertificate};
use super::problem::{Code, Problem};
use super::resolved::Resolved;
use super::snapshot::{Certificate, InstanceIndex, Map, Named, Snapshot};
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
        hash: Sha256::new(),
        snapshot: Snapshot { revision: table.revision, ..Snapshot::default() },
        problems: Vec::new(),
    };
    compiler.certificates();
    compiler.instances();
    compiler.names();
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
    hash: Sha256,
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
            self.hash.update(known.source.hash);
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

    fn instances(&mut self) {
        let fronts: BTreeSet<String> = self.table.proxies.iter().map(|row| fold(&row.name)).collect();
        let mut rows: Vec<_> = self.table.instances.iter().collect();
        rows.sort_by_key(|row| row.id);
        let ids: BTreeSet<_> = rows.iter().map(|row| row.id).collect();
        self.kept.instances.retain(|id, _| ids.contains(id));
        self.kept.hosts.clear();
        self.snapshot.instances.reserve(rows.len());
        self.snapshot.by_label.reserve(rows.len());
        let mut last = None;
        for row in rows {
            let place = || format!("instance/{}", row.name);
            if last.replace(row.id) == Some(row.id) || row.id.0 == 0 {
                let reason = format!("{} is not an id of its own", row.id.0);
                self.problems.push(Problem::new(place(), "id", Code::IdInvalid, reason));
                self.hash.update(hashed(row).hash);
                continue;
            }
            let kept = self.kept.instances.entry(row.id).or_default();
            let built = build::instance(row, kept, self.resolved, self.limits);
            self.hash.update(built.source.hash);
            self.problems.extend_from_slice(&built.problems);
            self.kept.hosts.extend(built.hosts.iter().cloned());
            let Some(instance) = &built.instance else { continue };
            if fronts.contains(&*built.label) || self.snapshot.by_label.contains_key(&built.label) {
                self.problems.push(Problem::new(place(), "name", Code::NameTaken, "another row has this name"));
                continue;
            }
            let index = InstanceIndex(u32::try_from(self.snapshot.instances.len()).unwrap_or(u32::MAX));
            self.snapshot.by_label.insert(built.label.clone(), Named { instance: index, until: None });
            self.snapshot.instances.push(Arc::clone(instance));
        }
        self.snapshot.index();
    }

    /// Former names and aliases: they come after every name, so that none of them hides one.
    fn names(&mut self) {
        let fronts: BTreeSet<String> = self.table.proxies.iter().map(|row| fold(&row.name)).collect();
        let bases: BTreeSet<String> = self.table.proxies.iter().map(|row| fold(&row.base_domain)).collect();
        let hosts: BTreeSet<String> = self.table.proxies.iter().map(|row| fold(&row.fqdn)).collect();
        let mut rows: Vec<_> = self.table.instances.iter().collect();
        rows.retain(|row| !(row.former_names.is_empty() && row.aliases.is_empty()));
        rows.sort_by_key(|row| row.id);
        for row in rows {
            let Some(instance) = self.snapshot.index_of(row.id) else { continue };
            if self.snapshot.instance(instance).is_none_or(|sound| *sound.name != *row.name) {
                continue;
            }
            let place = || format!("instance/{}", row.name);
            for (former, n) in row.former_names.iter().zip(0..).filter(|(former, _)| former.until >= self.now_unix) {
                let field = || format!("former_names[{n}].name");
                let label: Box<str> = fold(&former.name).into();
                if let Err(fault) = domain::check_name(&former.name) {
                    self.problems.push(Problem::new(place(), field(), Code::NameInvalid, fault.to_string()));
                } else if fronts.contains(&*label) || self.snapshot.by_label.contains_key(&label) {
                    self.problems.push(Problem::new(place(), field(), Code::NameTaken, "another row has this name"));
                } else {
                    self.snapshot.by_label.insert(label, Named { instance, until: Some(former.until) });
                }
            }
            for (alias, n) in row.aliases.iter().zip(0..) {
                let field = || format!("aliases[{n}]");
                let host: Box<str> = fold(alias).into();
                if let Err(fault) = domain::check_host(alias) {
                    self.problems.push(Problem::new(place(), field(), Code::NameInvalid, fault.to_string()));
                } else if hosts.contains(&*host)
                    || bases.contains(&*host)
                    || self.snapshot.by_alias.contains_key(&host)
                    || named_under(&bases, &self.snapshot.by_label, &host)
                        .is_some_and(|named| named.instance != instance)
                {
                    self.problems.push(Problem::new(place(), field(), Code::NameTaken, "this host is another row's"));
                } else {
                    self.snapshot.by_alias.insert(host, Named { instance, until: None });
                }
            }
        }
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
            self.hash.update(source.hash);
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
        self.snapshot.index();
        self.snapshot.hash = self.hash.finalize().into();
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
        (self.snapshot, self.problems)
    }
}

/// What a host stands for as `<name>.<base domain>`.
fn named_under<'a>(bases: &BTreeSet<String>, labels: &'a Map<Box<str>, Named>, host: &str) -> Option<&'a Named> {
    let (label, base) = host.split_once('.')?;
    bases.contains(base).then(|| labels.get(label))?
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
