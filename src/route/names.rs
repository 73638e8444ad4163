//! What names stand for: instances by id, by name and by alias, the same for every snapshot until a
//! name changes. Built by `compile`, read by `domain` and `diff`.

use super::domain::{self, fold};
use super::handles::KeptInstance;
use super::problem::{Code, Problem};
use super::snapshot::{InstanceIndex, Map, Named};
use crate::ids::InstanceId;
use crate::model::{self, Table};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The look-ups of a snapshot.
#[derive(Default)]
pub(super) struct Names {
    pub(super) by_id: Map<InstanceId, InstanceIndex>,
    /// Bare labels (names and former names), lower case.
    pub(super) by_label: Map<Box<str>, Named>,
    /// Complete hosts (aliases), lower case.
    pub(super) by_alias: Map<Box<str>, Named>,
}

/// The names of all proxies, folded.
#[derive(PartialEq, Eq)]
pub(super) struct Fronts {
    names: BTreeSet<String>,
    bases: BTreeSet<String>,
    hosts: BTreeSet<String>,
}

impl Fronts {
    pub(super) fn of(table: &Table) -> Self {
        let all = |name: fn(&model::Proxy) -> &str| table.proxies.iter().map(|row| fold(name(row))).collect();
        Self { names: all(|row| &row.name), bases: all(|row| &row.base_domain), hosts: all(|row| &row.fqdn) }
    }
}

/// Names given to rows, kept from one compile to the next.
pub(super) struct Assigned {
    pub(super) names: Arc<Names>,
    /// For each row: whether it has its name, and so a place in the snapshot.
    pub(super) sound: Vec<bool>,
    pub(super) problems: Vec<Problem>,
    fronts: Fronts,
    /// Unix seconds until which no former name ends.
    until: u64,
}

impl Assigned {
    /// Whether it still holds, given that no row's names changed.
    pub(super) fn holds(&self, fronts: &Fronts, now_unix: u64) -> bool {
        now_unix <= self.until && self.fronts == *fronts
    }
}

/// Gives names to rows, which are in the order of their ids: every name first, so that no former name
/// or alias hides one.
pub(super) fn assign(
    ids: &[InstanceId],
    kept: &Map<InstanceId, KeptInstance>,
    fronts: Fronts,
    now_unix: u64,
) -> Assigned {
    let mut giver = Giver { names: Names::default(), problems: Vec::new(), fronts, until: u64::MAX, now_unix };
    giver.names.by_label.reserve(ids.len());
    giver.names.by_id.reserve(ids.len());
    let rows: Vec<_> = ids.iter().filter_map(|id| kept.get(id)?.built.as_ref()).collect();
    let mut sound = Vec::with_capacity(rows.len());
    let mut places = 0;
    for built in &rows {
        let has = built.instance.is_some() && giver.name(&built.source.row, &built.label, InstanceIndex(places));
        places += u32::from(has);
        sound.push(has);
    }
    for (built, _) in rows.iter().zip(&sound).filter(|(_, sound)| **sound) {
        let row = &built.source.row;
        if let Some(place) = giver.names.by_id.get(&row.id).copied() {
            giver.former_names(row, place);
            giver.aliases(row, place);
        }
    }
    let Giver { names, problems, fronts, until, .. } = giver;
    Assigned { names: Arc::new(names), sound, problems, fronts, until }
}

struct Giver {
    names: Names,
    problems: Vec<Problem>,
    fronts: Fronts,
    until: u64,
    now_unix: u64,
}

impl Giver {
    fn name(&mut self, row: &model::Instance, label: &str, place: InstanceIndex) -> bool {
        if self.fronts.names.contains(label) || self.names.by_label.contains_key(label) {
            self.problem(row, "name".into(), Code::NameTaken, "another row has this name");
            return false;
        }
        self.names.by_label.insert(label.into(), Named { instance: place, until: None });
        self.names.by_id.insert(row.id, place);
        true
    }

    fn former_names(&mut self, row: &model::Instance, instance: InstanceIndex) {
        for (former, n) in row.former_names.iter().zip(0..) {
            if former.until < self.now_unix {
                continue;
            }
            let field = format!("former_names[{n}].name");
            let label = fold(&former.name);
            if let Err(fault) = domain::check_name(&former.name) {
                self.problem(row, field, Code::NameInvalid, fault);
            } else if self.fronts.names.contains(&label) || self.names.by_label.contains_key(label.as_str()) {
                self.problem(row, field, Code::NameTaken, "another row has this name");
            } else {
                self.until = self.until.min(former.until);
                self.names.by_label.insert(label.into(), Named { instance, until: Some(former.until) });
            }
        }
    }

    fn aliases(&mut self, row: &model::Instance, instance: InstanceIndex) {
        for (alias, n) in row.aliases.iter().zip(0..) {
            let field = format!("aliases[{n}]");
            let host = fold(alias);
            if let Err(fault) = domain::check_host(alias) {
                self.problem(row, field, Code::NameInvalid, fault);
            } else if self.fronts.hosts.contains(&host)
                || self.fronts.bases.contains(&host)
                || self.names.by_alias.contains_key(host.as_str())
                || self.under_base(&host).is_some_and(|named| named.instance != instance)
            {
                self.problem(row, field, Code::NameTaken, "this host is another row's");
            } else {
                self.names.by_alias.insert(host.into(), Named { instance, until: None });
            }
        }
    }

    /// What a host stands for as `<name>.<base domain>`.
    fn under_base(&self, host: &str) -> Option<&Named> {
        let (label, base) = host.split_once('.')?;
        self.fronts.bases.contains(base).then(|| self.names.by_label.get(label))?
    }

    fn problem(&mut self, row: &model::Instance, field: String, code: Code, reason: impl ToString) {
        self.problems.push(Problem::new(format!("instance/{}", row.name), field, code, reason.to_string()));
    }
}
