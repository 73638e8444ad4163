//! One name space for instances and proxies (R2, R3, R13), and hosts that belong to one row only.

use crate::control::draft::Draft;
use crate::control::rows::Owner;
use crate::ids::InstanceId;
use crate::model::{Instance, Proxy};
use crate::route::domain::{self, RESERVED, fold};
use crate::route::problem::{Code, Problem};

/// Enters the names of an instance into a draft; what is wrong with them is returned, and a name that
/// is somebody else's stays theirs.
pub(in crate::control) fn claim_instance(draft: &mut Draft<'_>, row: &Instance) -> Vec<Problem> {
    let place = format!("instance/{}", row.name);
    let mut problems = Vec::new();
    let known = draft.instances.before(&row.id);
    let label = fold(&row.name);
    let had = known.is_some_and(|known| fold(&known.row.name) == label);
    shape(&place, "name", &row.name, had, &mut problems);
    if !had && RESERVED.contains(&label.as_str()) {
        problems.push(Problem::new(place.as_str(), "name", Code::NameReserved, format!("\"{label}\" is reserved")));
    }
    if let Some(reason) = taken(draft, &label, row.id) {
        problems.push(Problem::new(place.as_str(), "name", Code::NameTaken, reason));
    } else {
        draft.labels.set(label.clone(), Some(Owner::Instance(row.id)));
    }
    for (former, n) in row.former_names.iter().zip(0..) {
        let field = format!("former_names[{n}].name");
        let old = fold(&former.name);
        shape(&place, &field, &former.name, true, &mut problems);
        if old == label || row.former_names.iter().take(n).any(|other| fold(&other.name) == old) {
            problems.push(Problem::new(place.as_str(), field, Code::Duplicate, "is there twice"));
        } else if let Some(reason) = taken(draft, &old, row.id) {
            problems.push(Problem::new(place.as_str(), field, Code::NameTaken, reason));
        } else {
            draft.labels.set(old, Some(Owner::Former(row.id, former.until)));
        }
    }
    for (alias, n) in row.aliases.iter().zip(0..) {
        let field = format!("aliases[{n}]");
        let host = fold(alias);
        match draft.aliases.get(&host).copied() {
            _ if row.aliases.iter().take(n).any(|other| fold(other) == host) => {
                problems.push(Problem::new(place.as_str(), field, Code::Duplicate, "is there twice"));
            }
            Some(owner) if owner != row.id => {
                let reason = format!("\"{host}\" is an alias of instance {}", name_of(draft, owner));
                problems.push(Problem::new(place.as_str(), field, Code::NameTaken, reason));
            }
            _ => draft.aliases.set(host, Some(row.id)),
        }
    }
    problems
}

/// Enters the name of a proxy into a draft, as [`claim_instance`] does.
pub(in crate::control) fn claim_proxy(draft: &mut Draft<'_>, row: &Proxy) -> Vec<Problem> {
    let place = format!("proxy/{}", row.name);
    let mut problems = Vec::new();
    let label = fold(&row.name);
    let had = draft.proxies.before(&row.id).is_some_and(|known| fold(&known.row.name) == label);
    shape(&place, "name", &row.name, had, &mut problems);
    if !had && RESERVED.contains(&label.as_str()) {
        problems.push(Problem::new(place.as_str(), "name", Code::NameReserved, format!("\"{label}\" is reserved")));
    }
    match draft.labels.get(&label).copied() {
        Some(owner) if owner != Owner::Proxy(row.id) && is_live(owner, draft.now) => {
            let reason = format!("\"{label}\" is the name of {}", describe(draft, owner));
            problems.push(Problem::new(place.as_str(), "name", Code::NameTaken, reason));
        }
        _ => draft.labels.set(label, Some(Owner::Proxy(row.id))),
    }
    problems
}

/// Whether somebody but `id` has a label, and who; former names count until their date.
pub(super) fn taken(draft: &Draft<'_>, label: &str, id: InstanceId) -> Option<String> {
    let owner = *draft.labels.get(label)?;
    let own = matches!(owner, Owner::Instance(of) | Owner::Former(of, _) if of == id);
    (!own && is_live(owner, draft.now)).then(|| format!("\"{label}\" is the name of {}", describe(draft, owner)))
}

/// Whether a host is `<name>.<base domain>` of a name that somebody but `id` has, and who.
pub(super) fn under_base(draft: &Draft<'_>, host: &str, id: InstanceId) -> Option<String> {
    let (label, parent) = host.split_once('.')?;
    if !draft.proxies.values().any(|proxy| fold(&proxy.row.base_domain) == parent) {
        return None;
    }
    if RESERVED.contains(&label) {
        return Some(format!("\"{label}\" is reserved under {parent}"));
    }
    taken(draft, label, id)
}

fn is_live(owner: Owner, now: u64) -> bool {
    !matches!(owner, Owner::Former(_, until) if until < now)
}

fn describe(draft: &Draft<'_>, owner: Owner) -> String {
    match owner {
        Owner::Instance(id) => format!("instance {}", name_of(draft, id)),
        Owner::Former(id, until) => format!("instance {} as it was called before (until {until})", name_of(draft, id)),
        Owner::Proxy(id) => {
            let name = draft.proxies.get(&id).map_or("", |proxy| &proxy.row.name);
            format!("proxy {name}")
        }
    }
}

fn name_of<'d>(draft: &'d Draft<'_>, id: InstanceId) -> &'d str {
    draft.instances.get(&id).map_or("", |instance| &instance.row.name)
}

/// The shape of a name; an old one may start or end with `-` (R2).
fn shape(place: &str, field: &str, name: &str, old: bool, problems: &mut Vec<Problem>) {
    let checked = if old { domain::check_name(name) } else { domain::check_new_name(name) };
    if let Err(fault) = checked {
        problems.push(Problem::new(place, field, Code::NameInvalid, fault.to_string()));
    }
}
