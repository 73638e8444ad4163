//! Changes of an instance's list of users (R49).
//!
//! What is wrong with the users asked for is found as the change is made, so that a field names a user by its place
//! in the request (`users[7].accounts[0]`). The audit says what was added, removed and changed, in short.

use super::{Draft, json, matching};
use crate::control::error::ServiceError;
use crate::control::rows::Kept;
use crate::control::validate;
use crate::ids::InstanceId;
use crate::model::{Instance, SCHEMA, User, Users};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

impl Draft<'_> {
    pub(super) fn put_users(&mut self, name: &str, users: &[User], if_match: Option<u64>) -> Result<(), ServiceError> {
        let (owner, old) = self.find_list(name, if_match)?;
        let action = if old.is_some() { "update-users" } else { "create-users" };
        self.check_users(&owner, users, &[]);
        self.set_users(&owner, old.as_ref(), Some(users.to_vec()), action);
        Ok(())
    }

    pub(super) fn import_users(
        &mut self,
        name: &str,
        users: &[User],
        if_match: Option<u64>,
    ) -> Result<(), ServiceError> {
        let (owner, old) = self.find_list(name, if_match)?;
        let action = if old.is_some() { "update-users" } else { "create-users" };
        let replaced: HashSet<String> = users.iter().map(|user| fold_user(&user.name)).collect();
        let known = old.as_ref().map_or(&[][..], |old| &old.row.users);
        let others: Vec<User> =
            known.iter().filter(|user| !replaced.contains(&fold_user(&user.name))).cloned().collect();
        self.check_users(&owner, users, &others);
        self.set_users(&owner, old.as_ref(), Some(others.into_iter().chain(users.iter().cloned()).collect()), action);
        Ok(())
    }

    pub(super) fn put_user(&mut self, name: &str, user: &User, if_match: Option<u64>) -> Result<(), ServiceError> {
        let (owner, old) = self.list(name, if_match)?;
        let label = fold_user(&user.name);
        let mut users: Vec<User> =
            old.row.users.iter().filter(|other| fold_user(&other.name) != label).cloned().collect();
        let action = if users.len() < old.row.users.len() { "update-user" } else { "create-user" };
        let found = validate::user(&owner.name, user, &users);
        self.problems.extend(found);
        users.push(user.clone());
        self.set_users(&owner, Some(&old), Some(users), action);
        Ok(())
    }

    pub(super) fn delete_user(&mut self, name: &str, user: &str, if_match: Option<u64>) -> Result<(), ServiceError> {
        let (owner, old) = self.list(name, if_match)?;
        let label = fold_user(user);
        let users: Vec<User> = old.row.users.iter().filter(|other| fold_user(&other.name) != label).cloned().collect();
        if users.len() == old.row.users.len() {
            return Err(ServiceError::NotFound { row: format!("user {user} of instance/{}", owner.name) });
        }
        self.set_users(&owner, Some(&old), Some(users), "delete-user");
        Ok(())
    }

    pub(super) fn delete_users(&mut self, name: &str, if_match: Option<u64>) -> Result<(), ServiceError> {
        let (owner, old) = self.list(name, if_match)?;
        self.set_users(&owner, Some(&old), None, "delete-users");
        Ok(())
    }

    /// An instance that goes takes its list with it.
    pub(super) fn forget_users(&mut self, owner: &Instance) {
        if let Some(old) = self.users.get(&owner.id).cloned() {
            self.set_users(owner, Some(&old), None, "delete-users");
        }
    }

    /// The instance of a name, and its list if it has one; a condition needs one.
    fn find_list(
        &self,
        name: &str,
        if_match: Option<u64>,
    ) -> Result<(Arc<Instance>, Option<Kept<Users>>), ServiceError> {
        let owner = self.find_instance(name, None)?.row;
        match self.users.get(&owner.id) {
            Some(kept) => {
                let kept = matching(kept, if_match, || format!("users/{}", owner.name))?;
                Ok((owner, Some(kept)))
            }
            None if if_match.is_some() => Err(ServiceError::no_list(&owner.name)),
            None => Ok((owner, None)),
        }
    }

    fn list(&self, name: &str, if_match: Option<u64>) -> Result<(Arc<Instance>, Kept<Users>), ServiceError> {
        let (owner, list) = self.find_list(name, if_match)?;
        let list = list.ok_or_else(|| ServiceError::no_list(&owner.name))?;
        Ok((owner, list))
    }

    fn check_users(&mut self, owner: &Instance, users: &[User], others: &[User]) {
        let found = validate::users(&owner.name, users, others);
        self.problems.extend(found);
    }

    fn set_users(
        &mut self,
        owner: &Instance,
        old: Option<&Kept<Users>>,
        users: Option<Vec<User>>,
        action: &'static str,
    ) {
        let row = users.map(|mut users| {
            users.sort_by_cached_key(|user| fold_user(&user.name));
            Users { schema: SCHEMA, instance: owner.id, users }
        });
        if let (Some(old), Some(row)) = (old, &row)
            && *old.row == *row
        {
            return;
        }
        let (before, after) = difference(old.map(|old| &*old.row), row.as_ref());
        self.note(action, "users", Some(owner.name.clone()), json(before.as_ref()), json(after.as_ref()));
        let revision = old.map_or(0, |old| old.revision);
        self.users.set(owner.id, row.map(|row| Kept { row: Arc::new(row), revision, next: 0 }));
    }

    /// The users of an instance as they would be.
    pub(in crate::control) fn users_of(&self, id: InstanceId) -> Option<&[User]> {
        self.users.get(&id).map(|kept| kept.row.users.as_slice())
    }
}

/// A name for comparing: without case.
pub(in crate::control) fn fold_user(name: &str) -> String {
    name.to_lowercase()
}

/// One side of a change of a list, for the audit.
#[derive(Serialize)]
struct Side {
    /// How many users there are.
    count: usize,
    /// Those that are on this side only, or otherwise on the other one: kind, class and accounts by name.
    users: BTreeMap<String, String>,
}

/// What differs between two lists, each side with its own.
fn difference(before: Option<&Users>, after: Option<&Users>) -> (Option<Side>, Option<Side>) {
    let of = |list: Option<&Users>| -> BTreeMap<String, String> {
        list.iter().flat_map(|list| &list.users).map(|user| (user.name.clone(), line(user))).collect()
    };
    let (had, has) = (of(before), of(after));
    let side = |list: Option<&Users>, own: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
        let users = own.iter().filter(|(name, line)| other.get(*name) != Some(line));
        list.map(|list| Side {
            count: list.users.len(),
            users: users.map(|(name, line)| (name.clone(), line.clone())).collect(),
        })
    };
    (side(before, &had, &has), side(after, &has, &had))
}

/// A user in one line: `light fax 90 91`.
fn line(user: &User) -> String {
    let word = |value: serde_json::Result<serde_json::Value>| match value {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    };
    let (kind, class) = (word(serde_json::to_value(user.kind)), word(serde_json::to_value(user.class)));
    format!("{kind} {class} {}", user.accounts.join(" "))
}

#[cfg(test)]
mod tests;
