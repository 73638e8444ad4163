//! What changed in the rows since they were compiled last: the input of `compile_patch`. Made by `control::rows`.

use crate::ids::InstanceId;
use crate::licence::Book;
use crate::model::{Certificate, Instance, Proxy, Table, Users};
use std::sync::Arc;

/// Changes of a table, or a whole one.
#[derive(Clone, Default)]
pub struct Patch {
    /// The store's revision they lead to.
    pub revision: u64,
    /// Whether these are all rows there are, rather than those that changed.
    pub whole: bool,
    /// Instances as they are now; none where one is gone. Each id at most once.
    pub instances: Vec<(InstanceId, Option<Arc<Instance>>)>,
    /// Lists of users as they are now; none where one is gone.
    pub users: Vec<(InstanceId, Option<Arc<Users>>)>,
    /// All proxies, if one changed.
    pub proxies: Option<Vec<Arc<Proxy>>>,
    /// All certificates, if one changed.
    pub certificates: Option<Vec<Arc<Certificate>>>,
    /// The licence book.
    pub book: Arc<Book>,
}

impl Patch {
    /// A whole table, and the rows that have no id of their own.
    pub fn of(table: &Table) -> (Self, Vec<Arc<Instance>>) {
        let mut rows: Vec<_> = table.instances.iter().collect();
        rows.sort_by_key(|row| row.id);
        let (mut instances, mut strays) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows {
            if row.id.0 == 0 || instances.last().is_some_and(|(last, _)| *last == row.id) {
                strays.push(Arc::clone(row));
            } else {
                instances.push((row.id, Some(Arc::clone(row))));
            }
        }
        let users = table.users.iter().map(|row| (row.instance, Some(Arc::clone(row)))).collect();
        let patch = Self {
            revision: table.revision,
            whole: true,
            instances,
            users,
            proxies: Some(table.proxies.clone()),
            certificates: Some(table.certificates.clone()),
            book: Arc::clone(&table.book),
        };
        (patch, strays)
    }
}
