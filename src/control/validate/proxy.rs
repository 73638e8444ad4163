//! A proxy's row.

use super::{count, names, origins};
use crate::control::draft::Draft;
use crate::control::rows::Owner;
use crate::ids::InstanceId;
use crate::model::{DeviceCertificates, Proxy};
use crate::route::domain::{self, fold};
use crate::route::endpoint;
use crate::route::problem::{Code, Problem};
use crate::tls::devices;
use std::collections::BTreeSet;

/// The most listeners of a proxy.
const MOST_LISTENERS: usize = 64;
/// The most networks whose forwarding fields are believed.
const MOST_PEERS: usize = 256;
/// How many hosts that meet are listed.
const MOST_LISTED: usize = 20;

pub(super) fn check(draft: &Draft<'_>, row: &Proxy, problems: &mut Vec<Problem>) {
    let place = format!("proxy/{}", row.name);
    let mut add =
        |field: String, code, reason: String| problems.push(Problem::new(place.as_str(), field, code, reason));
    hosts(draft, row, &mut add);
    listeners(draft, row, &mut add);
    balancers(row, &mut add);
    references(draft, row, &mut add);
    if let Some(url) = &row.redirection_url
        && let Err(reason) = redirection(url)
    {
        add("redirection_url".into(), Code::UrlInvalid, reason);
    }
    let asks = row.device_certificates != DeviceCertificates::Off;
    if (asks || !row.device_authorities.is_empty())
        && let Err(reason) = devices::roots(&row.device_authorities)
    {
        add("device_authorities".into(), Code::CertificateInvalid, reason);
    }
    origins(&place, &row.origins, problems);
    count(&place, "listeners", row.listeners.len(), MOST_LISTENERS, problems);
    count(&place, "trusted_peers", row.trusted_peers.len(), MOST_PEERS, problems);
}

fn hosts(draft: &Draft<'_>, row: &Proxy, add: &mut impl FnMut(String, Code, String)) {
    let (fqdn, base) = (fold(&row.fqdn), fold(&row.base_domain));
    for (field, host) in [("fqdn", &row.fqdn), ("base_domain", &row.base_domain)] {
        if let Err(fault) = domain::check_host(host) {
            add(field.into(), Code::NameInvalid, fault.to_string());
        } else if let Some(owner) = draft.aliases.get(&fold(host)) {
            let owner = draft.instances.get(owner).map_or("", |owner| &owner.row.name);
            add(field.into(), Code::NameTaken, format!("\"{host}\" is an alias of instance {owner}"));
        }
    }
    for other in draft.proxies.values().filter(|other| other.row.id != row.id) {
        if fold(&other.row.fqdn) == fqdn {
            add("fqdn".into(), Code::NameTaken, format!("\"{fqdn}\" is proxy {}'s", other.row.name));
        }
    }
    // An instance's own host, as this or another proxy would serve it, is not the proxy's.
    if let Some((label, parent)) = fqdn.split_once('.')
        && draft.proxies.values().any(|proxy| fold(&proxy.row.base_domain) == parent)
        && let Some(Owner::Instance(_) | Owner::Former(..)) = draft.labels.get(label)
        && let Some(reason) = names::taken(draft, label, InstanceId(0))
    {
        add("fqdn".into(), Code::NameTaken, reason);
    }
    let fronts = draft.proxies.values().filter(|other| other.row.id != row.id).map(|other| fold(&other.row.fqdn));
    let aliases = draft.aliases.entries().map(|(alias, owner)| (alias.clone(), *owner));
    let met = fronts.map(|fqdn| (fqdn, InstanceId(0))).chain(aliases).filter_map(|(host, owner)| {
        let label = host.strip_suffix(&base)?.strip_suffix('.')?;
        match draft.labels.get(label)? {
            Owner::Proxy(_) => None,
            _ => names::taken(draft, label, owner).map(|reason| format!("\"{host}\" is in use, and {reason}")),
        }
    });
    for reason in met.take(MOST_LISTED) {
        add("base_domain".into(), Code::NameTaken, reason);
    }
}

fn listeners(draft: &Draft<'_>, row: &Proxy, add: &mut impl FnMut(String, Code, String)) {
    let mut numbers = BTreeSet::new();
    for (listener, n) in row.listeners.iter().zip(0..) {
        if listener.number == 0 || !numbers.insert(listener.number) {
            let reason = format!("{} is not a number of its own", listener.number);
            add(format!("listeners[{n}].number"), Code::IdInvalid, reason);
        }
        let own = row.listeners.iter().take(n).map(|other| (other, &row.name));
        let others = draft.proxies.values().filter(|other| other.row.id != row.id);
        let others = others.flat_map(|other| other.row.listeners.iter().map(|listener| (listener, &other.row.name)));
        for (other, name) in own.chain(others) {
            let one_proxy = *name == row.name;
            if crate::route::conflicts((listener.service, listener.bind), (other.service, other.bind), one_proxy) {
                let reason = format!("{} is taken by proxy {name}'s listener on {}", listener.bind, other.bind);
                add(format!("listeners[{n}].bind"), Code::ListenerConflict, reason);
            }
        }
        if let Some(advertise) = &listener.advertise
            && let Err(reason) = endpoint::target(advertise, 5060)
        {
            add(format!("listeners[{n}].advertise"), Code::AddressInvalid, reason);
        }
    }
}

fn references(draft: &Draft<'_>, row: &Proxy, add: &mut impl FnMut(String, Code, String)) {
    let exists = |name: &str| matches!(draft.labels.get(&fold(name)), Some(Owner::Instance(_)));
    let unknown = |name: &str| format!("there is no instance \"{}\"", name.escape_debug());
    let mut listed = BTreeSet::new();
    for (name, n) in row.instances.iter().flatten().zip(0..) {
        if !exists(name) {
            add(format!("instances[{n}]"), Code::ReferenceUnknown, unknown(name));
        } else if !listed.insert(fold(name)) {
            add(format!("instances[{n}]"), Code::Duplicate, "is there twice".into());
        }
    }
    if let Some(name) = &row.default_instance {
        if !exists(name) {
            add("default_instance".into(), Code::ReferenceUnknown, unknown(name));
        } else if row.instances.is_some() && !listed.contains(&fold(name)) {
            add("default_instance".into(), Code::ReferenceUnknown, format!("\"{name}\" is not among its instances"));
        }
    }
    if let Some(name) = &row.certificate
        && draft.certificates.get(&fold(name)).is_none()
    {
        let reason = format!("there is no certificate \"{}\"", name.escape_debug());
        add("certificate".into(), Code::ReferenceUnknown, reason);
    }
}

/// The most load balancers of a proxy.
const MOST_BALANCERS: usize = 64;

/// Balancers are few, and everybody is none: whoever writes the header says where a client comes from.
fn balancers(row: &Proxy, add: &mut impl FnMut(String, Code, String)) {
    for (network, n) in row.proxy_protocol.iter().zip(0..).filter(|(network, _)| network.prefix_len() == 0) {
        let reason = format!("{network} is everybody: any client could say it comes from anywhere");
        add(format!("proxy_protocol[{n}]"), Code::OutOfRange, reason);
    }
    if row.proxy_protocol.len() > MOST_BALANCERS {
        let reason = format!("has {} entries, at most {MOST_BALANCERS} are allowed", row.proxy_protocol.len());
        add("proxy_protocol".into(), Code::TooMany, reason);
    }
}

fn redirection(url: &str) -> Result<(), String> {
    let parsed = url::Url::parse(url).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err("does not start with http:// or https://".into());
    }
    // The parser drops control characters and blanks; a header would not.
    if url.len() > 2_000 || url.bytes().any(|b| !(0x21..0x7f).contains(&b)) {
        return Err("is longer than 2000 bytes or holds characters that must be escaped".into());
    }
    Ok(())
}
