//! An instance's row.

use super::{count, names, text};
use crate::control::draft::Draft;
use crate::model::Instance;
use crate::route::domain::{self, fold};
use crate::route::problem::{Code, Problem};

/// The most aliases of an instance.
const MOST_ALIASES: usize = 64;
/// The most former names of an instance.
const MOST_FORMER: usize = 16;
/// The largest weight of a backend.
const MOST_WEIGHT: u16 = 1_000;

pub(super) fn check(draft: &Draft<'_>, row: &Instance, problems: &mut Vec<Problem>) {
    let place = format!("instance/{}", row.name);
    let mut problem = |field: String, code, reason: String| {
        problems.push(Problem::new(place.as_str(), field, code, reason));
    };
    for (backend, n) in row.backends.iter().zip(0..).filter(|(backend, _)| backend.weight > MOST_WEIGHT) {
        let reason = format!("{} is more than {MOST_WEIGHT}", backend.weight);
        problem(format!("backends[{n}].weight"), Code::OutOfRange, reason);
    }
    for (alias, n) in row.aliases.iter().zip(0..) {
        let (field, host) = (format!("aliases[{n}]"), fold(alias));
        if let Err(fault) = domain::check_host(alias) {
            problem(field, Code::NameInvalid, fault.to_string());
        } else if !host.contains('.') {
            let reason = "an alias is a complete host name; a single word would be another name".into();
            problem(field, Code::NameInvalid, reason);
        } else if let Some(proxy) =
            draft.proxies.values().find(|proxy| fold(&proxy.row.fqdn) == host || fold(&proxy.row.base_domain) == host)
        {
            problem(field, Code::NameTaken, format!("\"{host}\" is proxy {}'s", proxy.row.name));
        } else if let Some(reason) = names::under_base(draft, &host, row.id) {
            problem(field, Code::NameTaken, reason);
        }
    }
    // A new name must not take over what is somebody else's host already.
    for proxy in draft.proxies.values() {
        let host = format!("{}.{}", fold(&row.name), fold(&proxy.row.base_domain));
        if let Some(other) = draft.aliases.get(&host).filter(|owner| **owner != row.id) {
            let other = draft.instances.get(other).map_or("", |other| &other.row.name);
            problem("name".into(), Code::NameTaken, format!("\"{host}\" is an alias of instance {other}"));
        }
        if let Some(front) = draft.proxies.values().find(|front| fold(&front.row.fqdn) == host) {
            problem("name".into(), Code::NameTaken, format!("\"{host}\" is proxy {}'s", front.row.name));
        }
    }
    text(&place, "display_name", &row.display_name, 128, problems);
    count(&place, "aliases", row.aliases.len(), MOST_ALIASES, problems);
    count(&place, "former_names", row.former_names.len(), MOST_FORMER, problems);
    problems.extend(crate::route::check_instance(row));
}

/// A row that goes away must not be named by a proxy.
pub(super) fn check_unused(draft: &Draft<'_>, row: &Instance, problems: &mut Vec<Problem>) {
    let label = fold(&row.name);
    for proxy in draft.proxies.values() {
        let lists = proxy.row.instances.iter().flatten().any(|name| fold(name) == label);
        let default = proxy.row.default_instance.as_ref().is_some_and(|name| fold(name) == label);
        for (names, field) in [(lists, "instances"), (default, "default_instance")] {
            if names {
                let reason = format!("proxy {} names it in {field}", proxy.row.name);
                problems.push(Problem::new(format!("instance/{}", row.name), "", Code::InUse, reason));
            }
        }
    }
}
