//! What a set of changes would do: rows, listeners, and the calls and bindings they touch.

use super::draft::{Draft, fold_user};
use super::rows::Kept;
use super::usage::{InUse, Usage};
use crate::ids::InstanceId;
use crate::model::{Instance, Proxy, State, User, Users};
use crate::route::problem::Problem;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use utoipa::ToSchema;

/// The effect of changes that were not made.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// The revision it was made on.
    pub revision: u64,
    /// Instances that would appear.
    pub added: Vec<Touched>,
    /// Instances that would disappear.
    pub removed: Vec<Touched>,
    /// Instances that would be reached elsewhere: other backends or another web target.
    pub retargeted: Vec<Touched>,
    /// Instances that would change their state.
    pub state: Vec<Touched>,
    /// Instances that would change their name.
    pub renamed: Vec<Touched>,
    /// Instances with any other change.
    pub changed: Vec<Touched>,
    /// Proxies that would appear, by name.
    pub proxies_added: Vec<String>,
    /// Proxies that would disappear, by name.
    pub proxies_removed: Vec<String>,
    /// Proxies that would change, by name.
    pub proxies_changed: Vec<String>,
    /// Listeners that would be opened, as in `sip-udp 0.0.0.0:5060`.
    pub listeners_opened: Vec<String>,
    /// Listeners that would be closed.
    pub listeners_closed: Vec<String>,
    /// Certificates that would be stored, replaced or removed, by name.
    pub certificates: Vec<String>,
    /// Lists of users that would be made, changed or taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UsersTouched>,
    /// Calls in progress of the instances that would be removed, switched off or retargeted.
    pub calls: u64,
    /// Their registered contacts.
    pub bindings: u64,
    /// Why it would be refused; empty if it would not.
    pub problems: Vec<Problem>,
}

/// An instance in a plan.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Touched {
    /// Its id; 0 for one that would be made.
    pub id: InstanceId,
    /// Its name after the change (before it, for a removed one).
    pub name: String,
    /// What was, for people: old targets, state or name.
    pub before: String,
    /// What would be.
    pub after: String,
    /// Its calls in progress.
    pub calls: u64,
    /// Its bindings.
    pub bindings: u64,
}

/// What becomes of an instance's list of users.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct UsersTouched {
    /// The instance's name.
    pub instance: String,
    /// Users of the list afterwards; absent if there is none then, and every account is a user of its own (R49).
    pub count: Option<usize>,
    /// Users that were not there before.
    pub added: usize,
    /// Users that are there no more.
    pub removed: usize,
    /// Users with another kind, device class or account.
    pub changed: usize,
}

impl UsersTouched {
    /// What a draft makes of lists.
    pub(super) fn of(draft: &Draft<'_>) -> Vec<Self> {
        let lists = draft.users.changed().filter(|(_, before, after)| before.is_some() || after.is_some());
        lists
            .map(|(id, before, after)| {
                let owner = draft.instances.get(id).or(draft.instances.before(id));
                let of = |list: Option<&Kept<Users>>| -> HashMap<String, User> {
                    let users = list.iter().flat_map(|list| &list.row.users);
                    users.map(|user| (fold_user(&user.name), user.clone())).collect()
                };
                let (had, has) = (of(before), of(after));
                let missing = |one: &HashMap<String, User>, other: &HashMap<String, User>| {
                    one.keys().filter(|name| !other.contains_key(*name)).count()
                };
                Self {
                    instance: owner.map(|owner| owner.row.name.clone()).unwrap_or_default(),
                    count: after.map(|after| after.row.users.len()),
                    added: missing(&has, &had),
                    removed: missing(&had, &has),
                    changed: has.iter().filter(|(name, user)| had.get(*name).is_some_and(|old| old != *user)).count(),
                }
            })
            .collect()
    }
}

/// What a rename would mean (R7).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RenamePreview {
    /// The name now.
    pub from: String,
    /// The name then.
    pub to: String,
    /// Unix seconds until which the old name would route.
    pub keep_until: u64,
    /// Registered accounts, which sign in under the old name; may be cut short.
    pub accounts: Vec<String>,
    /// Registered contacts.
    pub bindings: u64,
    /// Calls in progress (they go on).
    pub calls: u64,
    /// Proxies whose rows name it and would be changed with it.
    pub proxies: Vec<String>,
    /// Why it would be refused; empty if it would not.
    pub problems: Vec<Problem>,
}

impl Plan {
    /// Describes a draft.
    pub(super) fn of(draft: Draft<'_>, usage: &dyn Usage) -> Self {
        let mut plan = Self { revision: draft.base.revision, ..Self::default() };
        for (id, before, after) in draft.instances.changed() {
            plan.instance(before.map(|kept| &*kept.row), after.map(|kept| &*kept.row), &usage.of(*id));
        }
        let (mut opened, mut closed) = (Vec::new(), Vec::new());
        for (_, before, after) in draft.proxies.changed() {
            let (before, after) = (before.map(|kept| &*kept.row), after.map(|kept| &*kept.row));
            match (before, after) {
                (None, Some(new)) => plan.proxies_added.push(new.name.clone()),
                (Some(old), None) => plan.proxies_removed.push(old.name.clone()),
                (Some(_), Some(new)) => plan.proxies_changed.push(new.name.clone()),
                (None, None) => {}
            }
            closed.extend(before.iter().flat_map(|row| listeners(row)));
            opened.extend(after.iter().flat_map(|row| listeners(row)));
        }
        plan.listeners_opened = opened.iter().filter(|one| !closed.contains(one)).cloned().collect();
        plan.listeners_closed = closed.into_iter().filter(|one| !opened.contains(one)).collect();
        plan.certificates = draft.certificates.changed().map(|(name, ..)| name.clone()).collect();
        plan.users = UsersTouched::of(&draft);
        plan.problems = draft.problems;
        plan
    }

    fn instance(&mut self, before: Option<&Instance>, after: Option<&Instance>, in_use: &InUse) {
        let touched = |row: &Instance, before: String, after: String| Touched {
            id: row.id,
            name: row.name.clone(),
            before,
            after,
            calls: in_use.calls,
            bindings: in_use.bindings,
        };
        let interrupted = match (before, after) {
            (None, None) => return,
            (None, Some(new)) => {
                self.added.push(Touched { id: InstanceId(0), ..touched(new, String::new(), targets(new)) });
                false
            }
            (Some(old), None) => {
                self.removed.push(touched(old, targets(old), String::new()));
                old.state == State::On
            }
            (Some(old), Some(new)) => {
                let mut interrupted = false;
                let counted = self.retargeted.len() + self.state.len() + self.renamed.len();
                if targets(old) != targets(new) {
                    self.retargeted.push(touched(new, targets(old), targets(new)));
                    interrupted = true;
                }
                if old.state != new.state {
                    self.state.push(touched(new, state(old), state(new)));
                    interrupted |= old.state == State::On;
                }
                if old.name != new.name {
                    self.renamed.push(touched(new, old.name.clone(), new.name.clone()));
                }
                if counted == self.retargeted.len() + self.state.len() + self.renamed.len() {
                    self.changed.push(touched(new, String::new(), String::new()));
                }
                interrupted
            }
        };
        if interrupted {
            self.calls += in_use.calls;
            self.bindings += in_use.bindings;
        }
    }
}

impl RenamePreview {
    /// Describes a draft that holds nothing but a rename.
    pub(super) fn of(draft: Draft<'_>, keep_until: u64, usage: &dyn Usage) -> Self {
        let renamed = draft.instances.changed().find_map(|(id, before, after)| Some((*id, before?, after?)));
        let (from, to, in_use) = match renamed {
            Some((id, before, after)) => (before.row.name.clone(), after.row.name.clone(), usage.of(id)),
            None => Default::default(),
        };
        Self {
            from,
            to,
            keep_until,
            accounts: in_use.accounts,
            bindings: in_use.bindings,
            calls: in_use.calls,
            proxies: draft
                .proxies
                .changed()
                .filter_map(|(_, _, after)| after)
                .map(|kept| kept.row.name.clone())
                .collect(),
            problems: draft.problems,
        }
    }
}

fn targets(row: &Instance) -> String {
    let backends = row.backends.iter().map(|backend| format!("{} {}", backend.transport, backend.address));
    backends.chain(row.web.iter().map(|web| web.url.clone())).collect::<Vec<_>>().join(", ")
}

fn state(row: &Instance) -> String {
    serde_json::to_value(row.state).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn listeners(row: &Proxy) -> Vec<String> {
    let service = |service| serde_json::to_value(service).ok().and_then(|value| value.as_str().map(str::to_owned));
    row.listeners
        .iter()
        .map(|listener| format!("{} {}", service(listener.service).unwrap_or_default(), listener.bind))
        .collect()
}
