//! The rows of the store in memory, with their names indexed: read once, then kept up by revisions.
//!
//! A watch is a hint: [`Rows::refresh`] asks for what was written after the revision it has, and
//! reads everything again when that is too long ago. It decides nothing; `draft` checks changes
//! against it, `watch` compiles it.

use super::acme::AcmeAccount;
use super::licence::{Premises, Shelf};
use super::store::{Entries, Entry, Store, StoreError};
use crate::ids::{InstanceId, ProxyId};
use crate::licence::key::Keys;
use crate::licence::pool::Tally;
use crate::model::{Certificate, Instance, Proxy, Table, Users};
use crate::route::domain::fold;
use crate::route::patch::Patch;
use crate::route::problem::{Code, Problem};
use crate::tls::tickets::TicketKey;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The key of the row that gives ids. Every change of the table writes it, so that two writers that
/// do not see each other's rows cannot both succeed.
pub(super) const SEQUENCE: &str = "sequence";

/// The key of the row with the machine and its licence time.
pub(super) const INSTALLATION: &str = "installation";

/// The key of the row with the keys of session tickets.
pub(super) const TICKETS: &str = "tickets";

/// The rows of one store.
pub struct Rows {
    store: Arc<dyn Store>,
    held: RwLock<Held>,
}

impl Rows {
    /// Nothing read yet, and no machine in particular.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self::at(store, Arc::default())
    }

    /// Nothing read yet, on this machine.
    pub fn at(store: Arc<dyn Store>, premises: Arc<Premises>) -> Self {
        Self { store, held: RwLock::new(Held::at(premises)) }
    }

    /// The store they are of.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Takes in what was written since; returns the revision they are at now.
    pub async fn refresh(&self) -> Result<u64, StoreError> {
        let have = self.read().revision;
        let changes = if have == 0 { self.store.all().await } else { self.store.changes(have).await };
        match changes {
            Ok(changes) => Ok(self.write().take(changes)),
            Err(StoreError::Compacted { .. }) => {
                let all = self.store.all().await?;
                let mut fresh = Held::at(Arc::clone(&self.read().premises));
                fresh.take(all);
                let mut held = self.write();
                if fresh.revision >= held.revision {
                    *held = fresh;
                }
                Ok(held.revision)
            }
            Err(error) => Err(error),
        }
    }

    /// Accepts licences of other keys from now on; true if that changes what counts.
    pub(super) fn set_keys(&self, keys: Keys) -> bool {
        let mut held = self.write();
        held.premises.set_keys(keys);
        let before = Arc::clone(&held.shelf.book);
        let Held { shelf, premises, .. } = &mut *held;
        shelf.settle(premises);
        *before != *shelf.book
    }

    /// A table from elsewhere, with its licences as they count on this machine (R58, R64).
    pub(super) fn here(&self, table: &Table) -> Table {
        let premises = Arc::clone(&self.read().premises);
        let (book, _) = (*table.book).clone().verified(&premises.keys());
        let book = book.on(premises.machine.id(), premises.now()).0;
        Table { book: Arc::new(book), ..table.clone() }
    }

    /// What was taken in since this was asked last, for who compiles it, and those entries of the store that are no
    /// rows.
    pub(super) fn patch(&self) -> (Patch, Vec<Problem>) {
        let mut held = self.write();
        let fresh = std::mem::take(&mut held.fresh);
        (held.patch(fresh), held.unreadable().collect())
    }

    /// The next patch is all there is: what became of the last one is not known.
    pub(super) fn forget_patches(&self) {
        self.write().fresh.whole = true;
    }

    /// The rows as a table, and those entries of the store that are no rows.
    pub fn table(&self) -> (Table, Vec<Problem>) {
        let held = self.read();
        let table = Table {
            revision: held.revision,
            instances: held.instances.values().map(|held| Arc::clone(&held.row)).collect(),
            proxies: held.proxies.values().map(|held| Arc::clone(&held.row)).collect(),
            certificates: held.certificates.values().map(|held| Arc::clone(&held.row)).collect(),
            users: held.users.values().map(|held| Arc::clone(&held.row)).collect(),
            book: Arc::clone(&held.shelf.book),
        };
        (table, held.unreadable().collect())
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A row as it is kept.
#[derive(Debug)]
pub(super) struct Kept<T> {
    pub(super) row: Arc<T>,
    /// The revision that wrote it.
    pub(super) revision: u64,
    /// The next number for a part of it: a backend's id, a listener's number.
    pub(super) next: u16,
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self { row: Arc::clone(&self.row), ..*self }
    }
}

/// A row as the store has it.
#[derive(Serialize, Deserialize)]
pub(super) struct Document<T> {
    pub(super) row: T,
    #[serde(default)]
    pub(super) next: u16,
}

/// The ids given last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sequence {
    pub(super) instance: u32,
    pub(super) proxy: u16,
}

/// Whose a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Instance(InstanceId),
    /// A former name, and until when (Unix seconds).
    Former(InstanceId, u64),
    Proxy(ProxyId),
}

/// All rows at one revision.
#[derive(Default)]
pub(super) struct Held {
    /// What licences depend on besides the rows.
    pub(super) premises: Arc<Premises>,
    pub(super) revision: u64,
    pub(super) sequence: Sequence,
    /// The revision of the sequence row; 0 before the first change.
    pub(super) sequence_revision: u64,
    pub(super) instances: BTreeMap<InstanceId, Kept<Instance>>,
    pub(super) proxies: BTreeMap<ProxyId, Kept<Proxy>>,
    /// By folded name.
    pub(super) certificates: BTreeMap<String, Kept<Certificate>>,
    /// Lists of users, of those instances that have one.
    pub(super) users: BTreeMap<InstanceId, Kept<Users>>,
    /// Licences.
    pub(super) shelf: Shelf,
    /// Names, former names and proxies' names, folded.
    pub(super) labels: BTreeMap<String, Owner>,
    /// Aliases, folded.
    pub(super) aliases: BTreeMap<String, InstanceId>,
    /// Accounts at ACME authorities.
    pub(super) acme_accounts: BTreeMap<String, AcmeAccount>,
    /// Keys of session tickets.
    pub(super) tickets: Vec<TicketKey>,
    /// The revision of their row; 0 where there is none.
    pub(super) tickets_revision: u64,
    /// What the licences count of instances.
    pub(super) tally: Arc<Tally>,
    /// Entries that cannot be read, by key.
    unreadable: BTreeMap<String, Problem>,
    fresh: Fresh,
}

/// Rows that were written since the last patch.
#[derive(Default)]
struct Fresh {
    /// All of them.
    whole: bool,
    instances: BTreeSet<InstanceId>,
    users: BTreeSet<InstanceId>,
    proxies: bool,
    certificates: bool,
}

impl Held {
    fn at(premises: Arc<Premises>) -> Self {
        let fresh = Fresh { whole: true, ..Fresh::default() };
        let mut held = Self { premises, fresh, ..Self::default() };
        held.shelf.settle(&held.premises);
        held
    }

    fn patch(&self, fresh: Fresh) -> Patch {
        let Fresh { whole, instances, users, proxies, certificates } = fresh;
        let row = |id: &InstanceId| self.instances.get(id).map(|kept| Arc::clone(&kept.row));
        let list = |id: &InstanceId| self.users.get(id).map(|kept| Arc::clone(&kept.row));
        let (instances, users) = if whole {
            let (instances, users) = (self.instances.keys(), self.users.keys());
            (instances.map(|id| (*id, row(id))).collect(), users.map(|id| (*id, list(id))).collect())
        } else {
            let of = |ids: BTreeSet<InstanceId>| ids.into_iter();
            (of(instances).map(|id| (id, row(&id))).collect(), of(users).map(|id| (id, list(&id))).collect())
        };
        let all_proxies = || self.proxies.values().map(|kept| Arc::clone(&kept.row)).collect();
        let all_certificates = || self.certificates.values().map(|kept| Arc::clone(&kept.row)).collect();
        Patch {
            revision: self.revision,
            whole,
            instances,
            users,
            proxies: (whole || proxies).then(all_proxies),
            certificates: (whole || certificates).then(all_certificates),
            book: Arc::clone(&self.shelf.book),
        }
    }

    fn unreadable(&self) -> impl Iterator<Item = Problem> {
        self.unreadable.values().cloned().chain(self.shelf.problems())
    }

    /// Takes in entries; what is not newer is left alone.
    fn take(&mut self, changes: Entries) -> u64 {
        if changes.revision > self.revision {
            let licences = |entry: &Entry| entry.key.starts_with("licence/") || entry.key == INSTALLATION;
            let unsettled = self.revision == 0 || changes.entries.iter().any(licences);
            for entry in changes.entries {
                self.take_entry(entry);
            }
            if unsettled {
                self.shelf.settle(&self.premises);
            }
            self.revision = changes.revision;
        }
        self.revision
    }

    fn take_entry(&mut self, entry: Entry) {
        self.unreadable.remove(&entry.key);
        let (kind, id) = entry.key.split_once('/').unwrap_or((&entry.key, ""));
        let taken = match kind {
            "instance" => match id.parse().map(InstanceId) {
                Ok(id) => parse::<Instance>(&entry).and_then(|row| match row {
                    Some(row) if row.row.id != id => Err(format!("its row has the id {}", row.row.id.0)),
                    row => {
                        self.set_instance(id, row);
                        Ok(())
                    }
                }),
                Err(_) => Err("its key holds no id".into()),
            },
            "proxy" => match id.parse().map(ProxyId) {
                Ok(id) => parse(&entry).map(|row| self.set_proxy(id, row)),
                Err(_) => Err("its key holds no id".into()),
            },
            "certificate" => parse(&entry).map(|row| {
                self.fresh.certificates = true;
                match row {
                    Some(row) => self.certificates.insert(id.to_owned(), row),
                    None => self.certificates.remove(id),
                };
            }),
            "users" => match id.parse().map(InstanceId) {
                Ok(id) => parse(&entry).map(|row| {
                    self.fresh.users.insert(id);
                    match row {
                        Some(row) => self.users.insert(id, row),
                        None => self.users.remove(&id),
                    };
                }),
                Err(_) => Err("its key holds no id".into()),
            },
            "licence" => parse(&entry).map(|row| {
                match row {
                    Some(row) => self.shelf.licences.insert(id.to_owned(), row),
                    None => self.shelf.licences.remove(id),
                };
            }),
            INSTALLATION => parse(&entry).map(|row| self.shelf.installation = row),
            SEQUENCE => match serde_json::from_str(entry.value.as_deref().unwrap_or("null")) {
                Ok(sequence) => {
                    self.sequence = sequence;
                    self.sequence_revision = entry.revision;
                    Ok(())
                }
                Err(error) => Err(error.to_string()),
            },
            "acme" => match entry.value.as_deref().map(serde_json::from_str) {
                Some(Ok(account)) => {
                    self.acme_accounts.insert(id.to_owned(), account);
                    Ok(())
                }
                Some(Err(error)) => Err(error.to_string()),
                None => {
                    self.acme_accounts.remove(id);
                    Ok(())
                }
            },
            TICKETS => {
                // Keys that cannot be read are replaced: they only spare handshakes.
                let read = entry.value.as_deref().map(serde_json::from_str);
                self.tickets = read.and_then(Result::ok).unwrap_or_default();
                self.tickets_revision = if entry.value.is_some() { entry.revision } else { 0 };
                Ok(())
            }
            // Other kinds are other rooms' rows.
            _ => Ok(()),
        };
        if let Err(reason) = taken {
            let problem =
                Problem::new(entry.key.as_str(), "", Code::SchemaUnknown, format!("cannot be read: {reason}"));
            self.unreadable.insert(entry.key, problem);
        }
    }

    pub(super) fn set_instance(&mut self, id: InstanceId, new: Option<Kept<Instance>>) {
        self.fresh.instances.insert(id);
        let tally = Arc::make_mut(&mut self.tally);
        if let Some(old) = self.instances.remove(&id) {
            tally.remove(&old.row);
            for label in labels_of(&old.row).map(|(label, _)| label) {
                if matches!(self.labels.get(&label), Some(Owner::Instance(owner) | Owner::Former(owner, _)) if *owner == id)
                {
                    self.labels.remove(&label);
                }
            }
            for alias in old.row.aliases.iter().map(|alias| fold(alias)) {
                if self.aliases.get(&alias) == Some(&id) {
                    self.aliases.remove(&alias);
                }
            }
        }
        if let Some(new) = new {
            tally.add(&new.row);
            self.labels.extend(labels_of(&new.row));
            self.aliases.extend(new.row.aliases.iter().map(|alias| (fold(alias), id)));
            self.instances.insert(id, new);
        }
    }

    pub(super) fn set_proxy(&mut self, id: ProxyId, new: Option<Kept<Proxy>>) {
        self.fresh.proxies = true;
        if let Some(old) = self.proxies.remove(&id) {
            let label = fold(&old.row.name);
            if self.labels.get(&label) == Some(&Owner::Proxy(id)) {
                self.labels.remove(&label);
            }
        }
        if let Some(new) = new {
            self.labels.insert(fold(&new.row.name), Owner::Proxy(id));
            self.proxies.insert(id, new);
        }
    }
}

/// The names of an instance, present and former.
pub(super) fn labels_of(row: &Instance) -> impl Iterator<Item = (String, Owner)> + '_ {
    let former = row.former_names.iter().map(|former| (fold(&former.name), Owner::Former(row.id, former.until)));
    former.chain([(fold(&row.name), Owner::Instance(row.id))])
}

fn parse<T: DeserializeOwned>(entry: &Entry) -> Result<Option<Kept<T>>, String> {
    let Some(text) = &entry.value else { return Ok(None) };
    let document: Document<T> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(Some(Kept { row: Arc::new(document.row), revision: entry.revision, next: document.next }))
}

/// The key of an instance's row.
pub(super) fn instance_key(id: InstanceId) -> String {
    format!("instance/{:010}", id.0)
}

/// The key of a proxy's row.
pub(super) fn proxy_key(id: ProxyId) -> String {
    format!("proxy/{:05}", id.0)
}

/// The key of the row with an instance's users.
pub(super) fn users_key(id: InstanceId) -> String {
    format!("users/{:010}", id.0)
}

/// The key of a licence's row.
pub(super) fn licence_key(id: &str) -> String {
    format!("licence/{id}")
}

/// The key of a certificate's row, by its folded name.
pub(super) fn certificate_key(folded: &str) -> String {
    format!("certificate/{folded}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::store::sqlite::Sqlite;
    use crate::control::store::suite::write;
    use crate::route::testing::{instance, proxy};

    async fn put<T: Serialize>(store: &Arc<dyn Store>, key: &str, row: T) {
        let text = serde_json::to_string(&Document { row, next: 2 }).unwrap();
        store.commit(write(key, Some(&text))).await.unwrap();
    }

    fn open() -> (Arc<dyn Store>, Rows, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(&folder.path().join("store.sqlite")).unwrap());
        (Arc::clone(&store), Rows::new(store), folder)
    }

    #[tokio::test]
    async fn rows_follow_the_store_and_keep_what_did_not_change() {
        let (store, rows, _folder) = open();
        put(&store, &instance_key(InstanceId(1)), instance(1, "acme")).await;
        put(&store, &instance_key(InstanceId(2)), instance(2, "other")).await;
        put(&store, &proxy_key(ProxyId(1)), proxy(1, "front")).await;
        assert_eq!(rows.refresh().await, Ok(3));
        let (before, _) = rows.table();
        put(&store, &instance_key(InstanceId(2)), instance(2, "renamed")).await;
        store.commit(write(&proxy_key(ProxyId(1)), None)).await.unwrap();
        assert_eq!(rows.refresh().await, Ok(5));
        let (after, problems) = rows.table();
        assert_eq!((after.instances.len(), after.proxies.len(), problems.len()), (2, 0, 0));
        assert!(Arc::ptr_eq(&before.instances[0], &after.instances[0]));
        let held = rows.read();
        assert_eq!(held.labels.keys().collect::<Vec<_>>(), ["acme", "renamed"]);
        assert_eq!(held.labels["renamed"], Owner::Instance(InstanceId(2)));
    }

    #[tokio::test]
    async fn an_unreadable_row_is_reported_and_the_rest_is_read() {
        // R74
        let (store, rows, _folder) = open();
        put(&store, &instance_key(InstanceId(1)), instance(1, "acme")).await;
        store.commit(write(&instance_key(InstanceId(2)), Some("{\"row\":{}}"))).await.unwrap();
        store.commit(write("instance/x", Some("{}"))).await.unwrap();
        store.commit(write("other/1", Some("{}"))).await.unwrap();
        rows.refresh().await.unwrap();
        let (table, problems) = rows.table();
        assert_eq!(table.instances.len(), 1);
        let keys: Vec<_> = problems.iter().map(|problem| problem.row.as_str()).collect();
        assert_eq!(keys, ["instance/0000000002", "instance/x"]);
        put(&store, &instance_key(InstanceId(2)), instance(2, "mended")).await;
        store.commit(write("instance/x", None)).await.unwrap();
        rows.refresh().await.unwrap();
        assert_eq!(rows.table().0.instances.len(), 2);
    }

    #[tokio::test]
    async fn a_last_good_table_counts_as_it_does_on_this_machine() {
        // R58 R76
        let at = |key: u8| {
            let machine = crate::licence::hardware::Machine { cpu: Vec::new(), key: [key; 32] };
            Premises::new(machine, Keys::demo(), Arc::default(), Box::new(|| 1_800_000_000))
        };
        let (_, rows, _folder) = open();
        let document = crate::licence::Document::parse(&crate::control::licence::testing::volume(10, 0)).unwrap();
        let book = crate::licence::Book::new(at(1).machine.id(), 1_800_000_000);
        let Ok(crate::licence::Installed::Done(book)) = book.install(document, false, 1_800_000_000) else { panic!() };
        let table = Table { book: Arc::new(book), ..Table::default() };
        let standing = |key: u8| {
            let here = Rows::at(Arc::clone(rows.store()), Arc::new(at(key))).here(&table);
            here.book.allowance(&instance(1, "acme")).standing
        };
        assert_eq!(standing(1), crate::licence::Standing::Active);
        assert_eq!(standing(2), crate::licence::Standing::Unlicensed);
    }

    #[tokio::test]
    async fn an_older_answer_changes_nothing() {
        // R74
        let mut held = Held::default();
        let at = |revision, value: Option<&str>| Entries {
            revision,
            entries: vec![Entry { key: SEQUENCE.into(), value: value.map(Into::into), revision }],
        };
        held.take(at(5, Some("{\"instance\":5,\"proxy\":1}")));
        held.take(at(4, Some("{\"instance\":4,\"proxy\":1}")));
        assert_eq!((held.revision, held.sequence.instance), (5, 5));
    }
}
