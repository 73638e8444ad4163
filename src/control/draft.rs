//! A table with changes made to it on paper: what `service` commits or `plan` describes.
//!
//! Each change claims its names at once; everything else is validated at the end, against the table
//! as it would be, so that a set of changes may be in any sensible order. It writes nothing. Lists of
//! users are in a file of their own.

mod licences;
mod users;

pub(super) use users::fold_user;

use super::change::{Asked, Change};
use super::error::ServiceError;
use super::overlay::Overlay;
use super::rows::{self, Document, Held, Kept, Owner, SEQUENCE, Sequence};
use super::store::{Commit, NewAudit};
use super::usage::Usage;
use super::validate;
use crate::ids::{BackendId, InstanceId, ProxyId};
use crate::licence::Book;
use crate::model::{Backend, Certificate, FormerName, Instance, Proxy, SCHEMA, Users};
use crate::route::domain::fold;
use crate::route::problem::{Code, Problem};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How long an old name routes after a rename, in seconds, unless said otherwise (R7).
pub const KEEP_NAME: u64 = 30 * 24 * 3600;

/// The table as it would be.
pub(super) struct Draft<'a> {
    pub(super) base: &'a Held,
    /// What instances are doing; none where there is no node, and where nothing is known of its licences.
    pub(super) usage: Option<&'a dyn Usage>,
    pub(super) now: u64,
    pub(super) sequence: Sequence,
    pub(super) instances: Overlay<'a, InstanceId, Kept<Instance>>,
    pub(super) proxies: Overlay<'a, ProxyId, Kept<Proxy>>,
    pub(super) certificates: Overlay<'a, String, Kept<Certificate>>,
    pub(super) users: Overlay<'a, InstanceId, Kept<Users>>,
    /// The licence book as it would be.
    pub(super) book: Arc<Book>,
    pub(super) labels: Overlay<'a, String, Owner>,
    pub(super) aliases: Overlay<'a, String, InstanceId>,
    pub(super) problems: Vec<Problem>,
    audit: Vec<Noted>,
}

/// An audit entry without time and author.
struct Noted {
    action: &'static str,
    object: String,
    before: Option<serde_json::Value>,
    after: Option<serde_json::Value>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(base: &'a Held, now: u64) -> Self {
        Self {
            base,
            usage: None,
            now,
            sequence: base.sequence,
            instances: Overlay::new(&base.instances),
            proxies: Overlay::new(&base.proxies),
            certificates: Overlay::new(&base.certificates),
            users: Overlay::new(&base.users),
            book: Arc::clone(&base.shelf.book),
            labels: Overlay::new(&base.labels),
            aliases: Overlay::new(&base.aliases),
            problems: Vec::new(),
            audit: Vec::new(),
        }
    }

    /// On a node: the rules of the licences hold (B, E).
    pub(super) fn on(mut self, usage: &'a dyn Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// Makes one change. Rows that do not exist or are at another revision end it; what is wrong with
    /// the rows asked for goes into `problems`.
    pub(super) fn make(&mut self, asked: &Asked) -> Result<(), ServiceError> {
        let if_match = asked.if_match;
        match &asked.change {
            Change::CreateInstance { row } => self.create_instance(row),
            Change::UpdateInstance { name, row } => {
                let old = self.find_instance(name, if_match)?;
                self.update_instance(&old, row, "update-instance");
            }
            Change::PutInstance { row } => match self.find_instance(&row.name, if_match) {
                Ok(old) => self.update_instance(&old, row, "update-instance"),
                Err(ServiceError::NotFound { .. }) if if_match.is_none() => self.create_instance(row),
                Err(error) => return Err(error),
            },
            Change::DeleteInstance { name } => {
                let old = self.find_instance(name, if_match)?;
                self.put_instance(Some(&old), None, "delete-instance");
                self.forget_users(&old.row);
            }
            Change::SetState { name, state } => {
                let old = self.find_instance(name, if_match)?;
                let row = Instance { state: *state, ..(*old.row).clone() };
                self.put_instance(Some(&old), Some((row, old.next)), "set-state");
            }
            Change::SetLicence { name, licence } => {
                let old = self.find_instance(name, if_match)?;
                let row = Instance { licence: licence.clone(), ..(*old.row).clone() };
                self.put_instance(Some(&old), Some((row, old.next)), "set-licence");
            }
            Change::RenameInstance { name, to, keep_until } => {
                let old = self.find_instance(name, if_match)?;
                self.rename_instance(&old, to, keep_until.unwrap_or(self.now.saturating_add(KEEP_NAME)));
            }
            Change::InstallLicence { document, confirm } => self.install_licence(document, *confirm),
            Change::RemoveLicence { id } => self.remove_licence(id)?,
            Change::AttachLicence { id, server } => self.attach_licence(id, server)?,
            Change::ReleaseLicence { id } => self.release_licence(id)?,
            Change::RestoreLicences { backup } => self.restore_licences(backup),
            Change::CreateProxy { row } => self.create_proxy(row),
            Change::UpdateProxy { name, row } => {
                let old = self.find_proxy(name, if_match)?;
                self.update_proxy(&old, row);
            }
            Change::PutProxy { row } => match self.find_proxy(&row.name, if_match) {
                Ok(old) => self.update_proxy(&old, row),
                Err(ServiceError::NotFound { .. }) if if_match.is_none() => self.create_proxy(row),
                Err(error) => return Err(error),
            },
            Change::DeleteProxy { name } => {
                let old = self.find_proxy(name, if_match)?;
                self.put_proxy(Some(&old), None, "delete-proxy");
            }
            Change::PutCertificate { row } => match self.find_certificate(&row.name, if_match) {
                Ok(old) => self.put_certificate(Some(&old), Some(row.clone()), "update-certificate"),
                Err(ServiceError::NotFound { .. }) if if_match.is_none() => {
                    self.put_certificate(None, Some(row.clone()), "create-certificate")
                }
                Err(error) => return Err(error),
            },
            Change::DeleteCertificate { name } => {
                let old = self.find_certificate(name, if_match)?;
                self.put_certificate(Some(&old), None, "delete-certificate");
            }
            Change::PutUsers { instance, users } => self.put_users(instance, users, if_match)?,
            Change::ImportUsers { instance, users } => self.import_users(instance, users, if_match)?,
            Change::PutUser { instance, user } => self.put_user(instance, user, if_match)?,
            Change::DeleteUser { instance, user } => self.delete_user(instance, user, if_match)?,
            Change::DeleteUsers { instance } => self.delete_users(instance, if_match)?,
        }
        Ok(())
    }

    /// Validates everything that was touched against the table as it would be.
    pub(super) fn check(&mut self) {
        let found = validate::draft(self);
        self.problems.extend(found);
    }

    /// What to write, or nothing if nothing would change.
    pub(super) fn commit(self, who: &str) -> serde_json::Result<Option<Commit>> {
        let mut compare = vec![(SEQUENCE.to_owned(), self.base.sequence_revision)];
        let mut write = vec![(SEQUENCE.to_owned(), Some(serde_json::to_string(&self.sequence)?))];
        for (id, before, after) in self.instances.changed() {
            entry(rows::instance_key(*id), before, after, &mut compare, &mut write)?;
        }
        for (id, before, after) in self.proxies.changed() {
            entry(rows::proxy_key(*id), before, after, &mut compare, &mut write)?;
        }
        for (name, before, after) in self.certificates.changed() {
            entry(rows::certificate_key(name), before, after, &mut compare, &mut write)?;
        }
        for (id, before, after) in self.users.changed() {
            entry(rows::users_key(*id), before, after, &mut compare, &mut write)?;
        }
        for (key, before, text) in self.licence_entries()? {
            compare.push((key.clone(), before));
            write.push((key, Some(text)));
        }
        let note = |Noted { action, object, before, after }| NewAudit {
            at: self.now,
            who: who.to_owned(),
            action: action.to_owned(),
            object,
            before,
            after,
        };
        let audit: Vec<_> = self.audit.into_iter().map(note).collect();
        Ok((!audit.is_empty()).then_some(Commit { compare, write, audit }))
    }

    fn create_instance(&mut self, row: &Instance) {
        if row.id.0 != 0 {
            self.problem(&format!("instance/{}", row.name), "id", Code::IdInvalid, "ids are given, not asked for");
        }
        let Some(next) = self.sequence.instance.checked_add(1) else {
            return self.problem(&format!("instance/{}", row.name), "id", Code::IdsExhausted, "no id is left");
        };
        self.sequence.instance = next;
        let mut row = Instance { id: InstanceId(next), schema: SCHEMA, ..row.clone() };
        let next = self.number_backends(&mut row, None);
        self.put_instance(None, Some((row, next)), "create-instance");
    }

    fn update_instance(&mut self, old: &Kept<Instance>, row: &Instance, action: &'static str) {
        let place = format!("instance/{}", old.row.name);
        if row.id.0 != 0 && row.id != old.row.id {
            self.problem(&place, "id", Code::IdInvalid, format!("its id is {}", old.row.id.0));
        }
        if fold(&row.name) != fold(&old.row.name) {
            self.problem(&place, "name", Code::RenameExplicit, "a name is changed by a rename, not by an update");
            return;
        }
        let mut row = Instance { id: old.row.id, schema: SCHEMA, ..row.clone() };
        let next = self.number_backends(&mut row, Some(old));
        self.put_instance(Some(old), Some((row, next)), action);
    }

    fn rename_instance(&mut self, old: &Kept<Instance>, to: &str, keep_until: u64) {
        let mut row = (*old.row).clone();
        let (from, label) = (fold(&row.name), fold(to));
        row.former_names.retain(|former| former.until >= self.now && fold(&former.name) != label);
        if from != label && keep_until > self.now {
            row.former_names.push(FormerName { name: std::mem::take(&mut row.name), until: keep_until });
        }
        row.name = to.to_owned();
        self.put_instance(Some(old), Some((row, old.next)), "rename-instance");
        let mut renamed = Vec::new();
        for proxy in self.proxies.values() {
            let mut row = (*proxy.row).clone();
            let names = row.instances.iter_mut().flatten().chain(row.default_instance.as_mut());
            let mut touched = false;
            for name in names.filter(|name| fold(name) == from) {
                to.clone_into(name);
                touched = true;
            }
            renamed.extend(touched.then(|| (proxy.clone(), row)));
        }
        for (proxy, row) in renamed {
            let next = proxy.next;
            self.put_proxy(Some(&proxy), Some((row, next)), "update-proxy");
        }
    }

    fn create_proxy(&mut self, row: &Proxy) {
        if row.id.0 != 0 {
            self.problem(&format!("proxy/{}", row.name), "id", Code::IdInvalid, "ids are given, not asked for");
        }
        let Some(next) = self.sequence.proxy.checked_add(1) else {
            return self.problem(&format!("proxy/{}", row.name), "id", Code::IdsExhausted, "no id is left");
        };
        self.sequence.proxy = next;
        let mut row = Proxy { id: ProxyId(next), schema: SCHEMA, ..row.clone() };
        let next = number_listeners(&mut row, None);
        self.put_proxy(None, Some((row, next)), "create-proxy");
    }

    fn update_proxy(&mut self, old: &Kept<Proxy>, row: &Proxy) {
        if row.id.0 != 0 && row.id != old.row.id {
            let place = format!("proxy/{}", old.row.name);
            self.problem(&place, "id", Code::IdInvalid, format!("its id is {}", old.row.id.0));
        }
        let mut row = Proxy { id: old.row.id, schema: SCHEMA, ..row.clone() };
        let next = number_listeners(&mut row, Some(old));
        self.put_proxy(Some(old), Some((row, next)), "update-proxy");
    }

    fn put_instance(&mut self, old: Option<&Kept<Instance>>, new: Option<(Instance, u16)>, action: &'static str) {
        if let (Some(old), Some((row, _))) = (old, &new)
            && *old.row == *row
        {
            return;
        }
        let id = new.as_ref().map(|(row, _)| row.id).or(old.map(|old| old.row.id)).unwrap_or(InstanceId(0));
        if let Some(old) = old {
            for (label, _) in rows::labels_of(&old.row) {
                let own = |owner: &&Owner| matches!(**owner, Owner::Instance(of) | Owner::Former(of, _) if of == id);
                if self.labels.get(&label).filter(own).is_some() {
                    self.labels.set(label, None);
                }
            }
            for alias in old.row.aliases.iter().map(|alias| fold(alias)) {
                if self.aliases.get(&alias) == Some(&id) {
                    self.aliases.set(alias, None);
                }
            }
        }
        if let Some((row, _)) = &new {
            let found = validate::claim_instance(self, row);
            self.problems.extend(found);
        }
        let (before, after) = (old.map(|old| &*old.row), new.as_ref().map(|(row, _)| row));
        self.note(action, "instance", before.or(after).map(|row| row.name.clone()), json(before), json(after));
        let revision = old.map_or(0, |old| old.revision);
        self.instances.set(id, new.map(|(row, next)| Kept { row: Arc::new(row), revision, next }));
    }

    fn put_proxy(&mut self, old: Option<&Kept<Proxy>>, new: Option<(Proxy, u16)>, action: &'static str) {
        if let (Some(old), Some((row, _))) = (old, &new)
            && *old.row == *row
        {
            return;
        }
        let id = new.as_ref().map(|(row, _)| row.id).or(old.map(|old| old.row.id)).unwrap_or(ProxyId(0));
        if let Some(old) = old
            && self.labels.get(&fold(&old.row.name)) == Some(&Owner::Proxy(id))
        {
            self.labels.set(fold(&old.row.name), None);
        }
        if let Some((row, _)) = &new {
            let found = validate::claim_proxy(self, row);
            self.problems.extend(found);
        }
        let (before, after) = (old.map(|old| &*old.row), new.as_ref().map(|(row, _)| row));
        self.note(action, "proxy", before.or(after).map(|row| row.name.clone()), json(before), json(after));
        let revision = old.map_or(0, |old| old.revision);
        self.proxies.set(id, new.map(|(row, next)| Kept { row: Arc::new(row), revision, next }));
    }

    fn put_certificate(&mut self, old: Option<&Kept<Certificate>>, new: Option<Certificate>, action: &'static str) {
        let new = new.map(|row| Certificate { schema: SCHEMA, ..row }).map(|row| match old {
            // Other wishes leave what the authority issued in force until it issues anew.
            Some(old) if row.is_awaited() => {
                Certificate { chain: old.row.chain.clone(), key: old.row.key.clone(), ..row }
            }
            _ => row,
        });
        if let (Some(old), Some(row)) = (old, &new)
            && *old.row == *row
        {
            return;
        }
        let (before, after) = (old.map(|old| &*old.row), new.as_ref());
        let Some(name) = after.or(before).map(|row| row.name.clone()) else { return };
        self.note(action, "certificate", Some(name.clone()), redacted(before), redacted(after));
        let revision = old.map_or(0, |old| old.revision);
        self.certificates.set(fold(&name), new.map(|row| Kept { row: Arc::new(row), revision, next: 0 }));
    }

    /// Gives a number to each backend without one: that of the old backend with the same address and
    /// transport, else a new one. A number that was given before is never given to another (returned
    /// is the next one).
    fn number_backends(&mut self, row: &mut Instance, old: Option<&Kept<Instance>>) -> u16 {
        let place = format!("instance/{}", row.name);
        let known = old.map_or(&[][..], |old| &old.row.backends);
        let given = old.map_or(1, |old| old.next.max(1));
        let mut next = given;
        let mut used = BTreeSet::new();
        for (backend, n) in row.backends.iter().zip(0..).filter(|(backend, _)| backend.id.0 != 0) {
            if backend.id.0 < given && !known.iter().any(|other| other.id == backend.id) {
                let reason = format!("{} was another backend's; 0 asks for a new id", backend.id.0);
                self.problem(&place, &format!("backends[{n}].id"), Code::IdInvalid, reason);
            }
            next = next.max(backend.id.0.saturating_add(1));
            used.insert(backend.id);
        }
        for backend in row.backends.iter_mut().filter(|backend| backend.id.0 == 0) {
            let same = |other: &&Backend| other.address == backend.address && other.transport == backend.transport;
            backend.id = match known.iter().filter(|other| !used.contains(&other.id)).find(same) {
                Some(other) => other.id,
                None if next == u16::MAX => {
                    self.problem(&place, "backends", Code::IdsExhausted, "no backend id is left");
                    break;
                }
                None => {
                    next += 1;
                    BackendId(next - 1)
                }
            };
            used.insert(backend.id);
        }
        next
    }

    fn find_instance(&self, name: &str, if_match: Option<u64>) -> Result<Kept<Instance>, ServiceError> {
        let missing = || ServiceError::NotFound { row: format!("instance/{name}") };
        let Some(Owner::Instance(id)) = self.labels.get(&fold(name)) else { return Err(missing()) };
        let kept = self.instances.get(id).ok_or_else(missing)?;
        matching(kept, if_match, || format!("instance/{}", kept.row.name))
    }

    fn find_proxy(&self, name: &str, if_match: Option<u64>) -> Result<Kept<Proxy>, ServiceError> {
        let missing = || ServiceError::NotFound { row: format!("proxy/{name}") };
        let Some(Owner::Proxy(id)) = self.labels.get(&fold(name)) else { return Err(missing()) };
        let kept = self.proxies.get(id).ok_or_else(missing)?;
        matching(kept, if_match, || format!("proxy/{}", kept.row.name))
    }

    fn find_certificate(&self, name: &str, if_match: Option<u64>) -> Result<Kept<Certificate>, ServiceError> {
        let missing = || ServiceError::NotFound { row: format!("certificate/{name}") };
        let kept = self.certificates.get(&fold(name)).ok_or_else(missing)?;
        matching(kept, if_match, || format!("certificate/{}", kept.row.name))
    }

    fn note(
        &mut self,
        action: &'static str,
        kind: &str,
        name: Option<String>,
        before: Option<serde_json::Value>,
        after: Option<serde_json::Value>,
    ) {
        self.audit.push(Noted { action, object: format!("{kind}/{}", name.unwrap_or_default()), before, after });
    }

    fn problem(&mut self, row: &str, field: &str, code: Code, reason: impl Into<String>) {
        self.problems.push(Problem::new(row, field, code, reason));
    }
}

fn matching<T>(kept: &Kept<T>, if_match: Option<u64>, row: impl FnOnce() -> String) -> Result<Kept<T>, ServiceError> {
    match if_match {
        Some(wanted) if wanted != kept.revision => Err(ServiceError::Stale { row: row(), revision: kept.revision }),
        _ => Ok(kept.clone()),
    }
}

/// Gives a number to each listener without one: that of the old listener with the same service and
/// address, else the next free one after the last given.
fn number_listeners(row: &mut Proxy, old: Option<&Kept<Proxy>>) -> u16 {
    let mut next = old.map_or(1, |old| old.next.max(1));
    let mut used: BTreeSet<u8> = row.listeners.iter().map(|listener| listener.number).collect();
    for listener in row.listeners.iter_mut().filter(|listener| listener.number == 0) {
        let same = |l: &&crate::model::Listener| l.service == listener.service && l.bind == listener.bind;
        let known = old.and_then(|old| old.row.listeners.iter().filter(|l| !used.contains(&l.number)).find(same));
        let free = (0..255u16).map(|step| (next - 1 + step) % 255 + 1).filter_map(|n| u8::try_from(n).ok());
        let Some(number) = known.map(|l| l.number).or_else(|| free.into_iter().find(|n| !used.contains(n))) else {
            break;
        };
        if known.is_none() {
            next = u16::from(number) % 255 + 1;
        }
        listener.number = number;
        used.insert(number);
    }
    next
}

fn entry<T: serde::Serialize>(
    key: String,
    before: Option<&Kept<T>>,
    after: Option<&Kept<T>>,
    compare: &mut Vec<(String, u64)>,
    write: &mut Vec<(String, Option<String>)>,
) -> serde_json::Result<()> {
    if before.is_none() && after.is_none() {
        return Ok(());
    }
    compare.push((key.clone(), before.map_or(0, |before| before.revision)));
    let text = |kept: &Kept<T>| serde_json::to_string(&Document { row: &*kept.row, next: kept.next });
    write.push((key, after.map(text).transpose()?));
    Ok(())
}

fn json<T: serde::Serialize>(row: Option<&T>) -> Option<serde_json::Value> {
    row.and_then(|row| serde_json::to_value(row).ok())
}

/// A certificate for the audit: without its key.
fn redacted(row: Option<&Certificate>) -> Option<serde_json::Value> {
    json(row.map(|row| Certificate { key: "(secret)".into(), ..row.clone() }).as_ref())
}
