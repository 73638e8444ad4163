//! What names stand for: instances by name and by alias. A change of a few names changes the map a few times, and
//! shares the rest with the version before. Built by `compile`, read by `domain` and `diff`.

use super::domain::{self, fold};
use super::problem::{Code, Problem};
use super::text::Text;
use super::trie::{Keyed, Trie};
use crate::ids::InstanceId;
use crate::model::{self, Instance};
use foldhash::fast::RandomState;
use std::collections::BTreeSet;
use std::hash::BuildHasher as _;
use std::sync::Arc;

/// What one name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Named {
    pub(super) id: InstanceId,
    /// Set for a former name: Unix seconds after which it routes no more (R7).
    pub(super) until: Option<u64>,
}

/// A name in lower case, and what it stands for.
#[derive(Clone)]
pub(super) struct Entry {
    hash: u32,
    id: InstanceId,
    until: Option<u64>,
    text: Text,
}

impl Keyed for Entry {
    fn key(&self) -> u32 {
        self.hash
    }
}

impl Entry {
    pub(super) fn name(&self) -> &str {
        &self.text
    }

    pub(super) fn named(&self) -> Named {
        Named { id: self.id, until: self.until }
    }
}

/// Names of one sort. The hash is seeded at random: what is looked up comes from strangers, and names from tenants.
#[derive(Clone, Default)]
pub(super) struct Directory {
    seed: RandomState,
    entries: Trie<Entry>,
}

impl Directory {
    fn hash(&self, name: &str) -> u32 {
        // The upper half: the better one.
        u32::try_from(self.seed.hash_one(name.as_bytes()) >> 32).unwrap_or_default()
    }

    pub(super) fn get(&self, name: &str) -> Option<Named> {
        let found = self.entries.get(self.hash(name), |entry| entry.text.bytes() == name.as_bytes());
        found.map(Entry::named)
    }

    /// Sets what a name stands for; returns what it stood for before.
    pub(super) fn set(&mut self, name: &str, named: Named) -> Option<Named> {
        let Named { id, until } = named;
        let entry = Entry { hash: self.hash(name), id, until, text: name.into() };
        self.entries.put(entry, |entry| entry.text.bytes() == name.as_bytes()).map(|before| before.named())
    }

    /// Takes a name away from whom it stands for.
    fn take(&mut self, name: &str, of: Named) {
        let is = |entry: &Entry| entry.text.bytes() == name.as_bytes() && entry.named() == of;
        self.entries.take(self.hash(name), is);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Whether nothing has changed between two.
    #[cfg(test)]
    pub(super) fn is(&self, other: &Self) -> bool {
        self.entries.is(&other.entries)
    }

    /// Names that stand for something else than before.
    pub(super) fn differences<'a>(&'a self, other: &'a Self, mut tell: impl FnMut(&'a str, Option<Named>)) {
        if self.seed.hash_one(0u8) != other.seed.hash_one(0u8) {
            // They share nothing, and lie in different places.
            self.iter().filter(|old| other.get(old.name()).is_none()).for_each(|old| tell(old.name(), None));
            let news = other.iter().filter(|new| self.get(new.name()) != Some(new.named()));
            return news.for_each(|new| tell(new.name(), Some(new.named())));
        }
        let one = |a: &Entry, b: &Entry| a.text.bytes() == b.text.bytes();
        self.entries.differences(&other.entries, &one, &mut |old, new| match (old, new) {
            (Some(old), None) => tell(old.name(), None),
            (old, Some(new)) if old.map(Entry::named) != Some(new.named()) => tell(new.name(), Some(new.named())),
            _ => {}
        });
    }
}

/// The look-ups of a snapshot.
#[derive(Clone, Default)]
pub(super) struct Names {
    /// Bare labels (names and former names), lower case.
    pub(super) labels: Directory,
    /// Complete hosts (aliases), lower case.
    pub(super) aliases: Directory,
}

/// The names of all proxies, folded.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Fronts {
    names: BTreeSet<String>,
    bases: BTreeSet<String>,
    hosts: BTreeSet<String>,
}

impl Fronts {
    pub(super) fn of(proxies: &[Arc<model::Proxy>]) -> Self {
        let all = |name: fn(&model::Proxy) -> &str| proxies.iter().map(|row| fold(name(row))).collect();
        Self { names: all(|row| &row.name), bases: all(|row| &row.base_domain), hosts: all(|row| &row.fqdn) }
    }
}

/// A row as it was and as it is; nothing where there was or is none.
pub(super) type Renamed = (Option<Arc<Instance>>, Option<Arc<Instance>>);

/// Names given to rows, kept from one compile to the next.
#[derive(Default)]
pub(super) struct Assigned {
    pub(super) names: Names,
    pub(super) problems: Vec<Problem>,
    pub(super) fronts: Fronts,
    /// Former names by their end.
    ends: BTreeSet<(u64, Box<str>, InstanceId)>,
}

impl Assigned {
    /// Gives names to rows, which come in the order of their ids: every name first, so that no former name or alias
    /// hides one. `refused` is told whose name is another's.
    pub(super) fn afresh(
        rows: &[&Arc<Instance>],
        fronts: Fronts,
        now_unix: u64,
        mut refused: impl FnMut(InstanceId),
    ) -> Self {
        let mut made = Self { fronts, ..Self::default() };
        let mut without = BTreeSet::new();
        for row in rows {
            if let Err(problem) = made.name(row) {
                made.problems.push(problem);
                without.insert(row.id);
                refused(row.id);
            }
        }
        for row in rows.iter().filter(|row| !without.contains(&row.id)) {
            let mut problems = Vec::new();
            made.former_names(row, now_unix, &mut problems);
            made.aliases(row, &mut problems);
            made.problems.append(&mut problems);
        }
        made
    }

    /// Follows changes of a few rows, each as it was and as it is. False if it is not so simple, because names are
    /// in each other's way: then they are to be given afresh.
    pub(super) fn follow(&mut self, changes: &[Renamed], now_unix: u64) -> bool {
        let is_over = self.is_over(now_unix);
        self.expire(now_unix);
        if !self.problems.is_empty() {
            return changes.is_empty() && !is_over;
        }
        changes.iter().filter_map(|(old, _)| old.as_ref()).for_each(|old| self.give_up(old));
        let is = |row: &&Arc<Instance>| !self.fronts.bases.iter().any(|base| self.is_alias(row, base));
        let news: Vec<_> = changes.iter().filter_map(|(_, new)| new.as_ref()).filter(is).cloned().collect();
        let all = changes.iter().filter(|(_, new)| new.is_some()).count();
        let mut problems = Vec::new();
        let named = news.len() == all && news.iter().all(|row| self.name(row).is_ok());
        for row in &news {
            self.former_names(row, now_unix, &mut problems);
            self.aliases(row, &mut problems);
        }
        named && problems.is_empty()
    }

    /// Whether there is work for [`Self::follow`] without a change.
    pub(super) fn is_over(&self, now_unix: u64) -> bool {
        self.ends.first().is_some_and(|(until, ..)| *until < now_unix)
    }

    /// Former names whose time is over stand for nothing.
    fn expire(&mut self, now_unix: u64) {
        while self.is_over(now_unix)
            && let Some((until, label, id)) = self.ends.pop_first()
        {
            self.names.labels.take(&label, Named { id, until: Some(until) });
        }
    }

    fn give_up(&mut self, row: &Instance) {
        let id = row.id;
        self.names.labels.take(&fold(&row.name), Named { id, until: None });
        for former in &row.former_names {
            let label = fold(&former.name);
            self.names.labels.take(&label, Named { id, until: Some(former.until) });
            self.ends.remove(&(former.until, label.into(), id));
        }
        row.aliases.iter().for_each(|alias| self.names.aliases.take(&fold(alias), Named { id, until: None }));
    }

    /// Whether the name of a row is, under a base domain, an alias of another's.
    fn is_alias(&self, row: &Instance, base: &str) -> bool {
        let host = format!("{}.{base}", fold(&row.name));
        self.names.aliases.get(&host).is_some_and(|named| named.id != row.id)
    }

    fn name(&mut self, row: &Instance) -> Result<(), Problem> {
        let label = fold(&row.name);
        let taken = || problem(row, "name".into(), Code::NameTaken, "another row has this name");
        if self.fronts.names.contains(&label) {
            return Err(taken());
        }
        if let Some(owner) = self.names.labels.set(&label, Named { id: row.id, until: None }) {
            self.names.labels.set(&label, owner);
            return Err(taken());
        }
        Ok(())
    }

    fn former_names(&mut self, row: &Instance, now_unix: u64, problems: &mut Vec<Problem>) {
        for (former, n) in row.former_names.iter().zip(0..) {
            if former.until < now_unix {
                continue;
            }
            let field = format!("former_names[{n}].name");
            let label = fold(&former.name);
            if let Err(fault) = domain::check_name(&former.name) {
                problems.push(problem(row, field, Code::NameInvalid, fault));
            } else if self.fronts.names.contains(&label) || self.names.labels.get(&label).is_some() {
                problems.push(problem(row, field, Code::NameTaken, "another row has this name"));
            } else {
                self.names.labels.set(&label, Named { id: row.id, until: Some(former.until) });
                self.ends.insert((former.until, label.into(), row.id));
            }
        }
    }

    fn aliases(&mut self, row: &Instance, problems: &mut Vec<Problem>) {
        for (alias, n) in row.aliases.iter().zip(0..) {
            let field = format!("aliases[{n}]");
            let host = fold(alias);
            if let Err(fault) = domain::check_host(alias) {
                problems.push(problem(row, field, Code::NameInvalid, fault));
            } else if self.fronts.hosts.contains(&host)
                || self.fronts.bases.contains(&host)
                || self.names.aliases.get(&host).is_some()
                || self.under_base(&host).is_some_and(|named| named.id != row.id)
            {
                problems.push(problem(row, field, Code::NameTaken, "this host is another row's"));
            } else {
                self.names.aliases.set(&host, Named { id: row.id, until: None });
            }
        }
    }

    /// What a host stands for as `<name>.<base domain>`.
    fn under_base(&self, host: &str) -> Option<Named> {
        let (label, base) = host.split_once('.')?;
        self.fronts.bases.contains(base).then(|| self.names.labels.get(label))?
    }
}

fn problem(row: &Instance, field: String, code: Code, reason: impl ToString) -> Problem {
    Problem::new(format!("instance/{}", row.name), field, code, reason.to_string())
}
