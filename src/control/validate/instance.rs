//! An instance's row.

use super::{count, names, origins, text};
use crate::control::draft::Draft;
use crate::model::{Instance, SignIn};
use crate::route::domain::{self, fold};
use crate::route::problem::{Code, Problem};
use ipnet::IpNet;

/// The most aliases of an instance.
const MOST_ALIASES: usize = 64;
/// The most former names of an instance.
const MOST_FORMER: usize = 16;
/// The most emergency numbers of an instance.
const MOST_NUMBERS: usize = 16;
/// The most networks of a list.
const MOST_NETWORKS: usize = 64;
/// The longest of the numbers.
const MOST_DIGITS: usize = 16;
/// The most paths of sign-ins.
const MOST_PATHS: usize = 16;
/// The longest of them, in bytes.
const MOST_PATH: usize = 256;
/// The longest name of a field or claim.
const MOST_FIELD: usize = 64;
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
    for (backend, n) in row.backends.iter().zip(0..) {
        if let Some(reason) = unknown_certificate(draft, &backend.tls.certificate) {
            problem(format!("backends[{n}].tls.certificate"), Code::ReferenceUnknown, reason);
        }
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
    if let Some(name) = &row.certificate
        && draft.certificates.get(&fold(name)).is_none()
    {
        let reason = format!("there is no certificate \"{}\"", name.escape_debug());
        problem("certificate".into(), Code::ReferenceUnknown, reason);
    }
    emergency(&place, &row.emergency_numbers, problems);
    origins(&place, &row.origins, problems);
    if let Some(web) = &row.web {
        sign_in(&place, &web.sign_in, problems);
    }
    networks(&place, "only_from", &row.only_from, problems);
    networks(&place, "never_ban", &row.never_ban, problems);
    text(&place, "display_name", &row.display_name, 128, problems);
    count(&place, "aliases", row.aliases.len(), MOST_ALIASES, problems);
    count(&place, "former_names", row.former_names.len(), MOST_FORMER, problems);
    problems.extend(crate::route::check_instance(row));
}

/// Why a certificate cannot be named, if it cannot.
fn unknown_certificate(draft: &Draft<'_>, name: &str) -> Option<String> {
    let known = name.is_empty() || draft.certificates.get(&fold(name)).is_some();
    (!known).then(|| format!("there is no certificate \"{}\"", name.escape_debug()))
}

/// Numbers as they are dialled, each once (R71).
fn emergency(place: &str, numbers: &[String], problems: &mut Vec<Problem>) {
    for (number, n) in numbers.iter().zip(0..) {
        let field = format!("emergency_numbers[{n}]");
        let dialled = |c: char| c.is_ascii_digit() || matches!(c, '*' | '#' | '+');
        if number.is_empty() || number.len() > MOST_DIGITS || !number.chars().all(dialled) {
            let reason = format!("is not 1 to {MOST_DIGITS} digits, \"*\", \"#\" and \"+\"");
            problems.push(Problem::new(place, field, Code::TextInvalid, reason));
        } else if numbers.iter().take(n).any(|other| other == number) {
            problems.push(Problem::new(place, field, Code::Duplicate, "is there twice"));
        }
    }
    count(place, "emergency_numbers", numbers.len(), MOST_NUMBERS, problems);
}

/// Networks, each once and without bits behind its length.
fn networks(place: &str, field: &str, networks: &[IpNet], problems: &mut Vec<Problem>) {
    for (network, n) in networks.iter().zip(0..) {
        let field = format!("{field}[{n}]");
        if network.trunc() != *network {
            let reason = format!("has bits behind its length: {} is meant?", network.trunc());
            problems.push(Problem::new(place, field, Code::AddressInvalid, reason));
        } else if networks.iter().take(n).any(|other| other == network) {
            problems.push(Problem::new(place, field, Code::Duplicate, "is there twice"));
        }
    }
    count(place, field, networks.len(), MOST_NETWORKS, problems);
}

/// Where sign-ins are sent to: paths without anything behind them, of which a `*` may be the end (R46).
fn sign_in(place: &str, row: &SignIn, problems: &mut Vec<Problem>) {
    for (path, n) in row.paths.iter().zip(0..) {
        let begin = path.strip_suffix('*').unwrap_or(path);
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '?' | '#' | '*');
        if !begin.starts_with('/') || !begin.chars().all(plain) || path.len() > MOST_PATH {
            let reason = format!("is no path as in /login or /auth/*, of at most {MOST_PATH} bytes");
            problems.push(Problem::new(place, format!("web.sign_in.paths[{n}]"), Code::UrlInvalid, reason));
        }
    }
    count(place, "web.sign_in.paths", row.paths.len(), MOST_PATHS, problems);
    if row.field.is_empty() && !row.paths.is_empty() {
        let reason = "is empty: the field with the user's name is needed where there are paths";
        problems.push(Problem::new(place, "web.sign_in.field", Code::Missing, reason));
    }
    text(place, "web.sign_in.field", &row.field, MOST_FIELD, problems);
    text(place, "web.sign_in.claim", &row.claim, MOST_FIELD, problems);
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
