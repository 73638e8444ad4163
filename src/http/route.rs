//! Which instance a request is for, and whether it may go there (R5, R8, R9, R34, R82).
//!
//! A decision and nothing else: it opens no connection and changes no request.

use super::gate;
use crate::model::{NamePolicy, Prefix, Service, State, WebService};
use crate::route::domain;
use crate::route::snapshot::{Host, Instance, Proxy, Snapshot, Web};
use crate::stats::HttpRefusal;
use http::StatusCode;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

/// What is known of a request when its way is looked for.
pub(super) struct Asked<'a> {
    /// Whether it came by https, or a trusted peer says so.
    pub secure: bool,
    /// The name of the TLS handshake.
    pub sni: Option<&'a str>,
    /// The address it came to.
    pub local: IpAddr,
    /// The host it names, without port; HTTP/1.0 may name none.
    pub host: Option<&'a str>,
    /// Path, with query.
    pub target: &'a str,
}

/// What to do with it.
pub(super) enum Decision {
    /// Pass it on.
    Forward(Target),
    /// Refuse it, perhaps in the name of an instance.
    Refuse(HttpRefusal, Option<Arc<Instance>>),
    /// Send the client elsewhere.
    Redirect(StatusCode, String),
    /// The bare proxy: show who we are.
    Landing,
    /// `OPTIONS *` of the proxy itself.
    Capabilities,
}

/// Where a request goes.
pub(super) struct Target {
    pub instance: Arc<Instance>,
    /// Bytes of `/<name>` at the start of the path, where the path selected the instance.
    pub prefix: usize,
}

impl Target {
    /// Its web side.
    pub(super) fn web(&self) -> Option<&Web> {
        self.instance.web.as_deref()
    }

    /// Whether the prefix is removed before the request goes on.
    pub(super) fn strips(&self) -> bool {
        self.prefix > 0 && self.web().is_some_and(|web| web.prefix == Prefix::Strip)
    }
}

/// Decides. `misdirected` says whether two names have different certificates; `mismatch` is told of a host that is
/// another instance's than the TLS name, where the proxy wants to know.
pub(super) fn decide(
    snapshot: &Snapshot,
    proxy: &Proxy,
    asked: &Asked<'_>,
    now_unix: u64,
    misdirected: impl FnOnce(&str, &str) -> bool,
    mismatch: impl FnOnce(&str),
) -> Decision {
    let host = asked.host.unwrap_or_default();
    // HT16
    if let Some(sni) = asked.sni
        && !sni.eq_ignore_ascii_case(host)
        && misdirected(sni, host)
    {
        return Decision::Refuse(HttpRefusal::Misdirected, None);
    }
    let found = match asked.host {
        None => Host::Proxy,
        Some(_) if domain::address(host) == Some(asked.local) => Host::Proxy,
        Some(_) => snapshot.resolve_host(proxy, host.as_bytes(), now_unix),
    };
    if found == Host::Unknown {
        return Decision::Refuse(HttpRefusal::UnknownName, None);
    }
    if names_another(snapshot, proxy, asked, found, now_unix) {
        mismatch(host);
        if proxy.names == NamePolicy::Enforce {
            return Decision::Refuse(HttpRefusal::Misdirected, None);
        }
    }
    if let Some(location) = to_https(proxy, asked, host) {
        return Decision::Redirect(StatusCode::PERMANENT_REDIRECT, location);
    }
    let path = asked.target.split('?').next().unwrap_or_default();
    let (found, prefix) = match found {
        Host::Proxy if path == "*" => return Decision::Capabilities,
        Host::Proxy => match path.get(1..).map(|rest| rest.split('/').next().unwrap_or_default()) {
            None | Some("") => return bare(proxy),
            Some(label) => (snapshot.resolve_label(proxy, label.as_bytes(), now_unix), 1 + label.len()),
        },
        other => (other, 0),
    };
    let Host::Instance { id, former } = found else {
        return Decision::Refuse(HttpRefusal::UnknownName, None);
    };
    let Some(instance) = snapshot.by_id(id) else {
        return Decision::Refuse(HttpRefusal::UnknownName, None);
    };
    if former {
        instance.stats.former_name.inc();
    }
    admit(Target { instance: Arc::clone(instance), prefix }, asked.target, path)
}

/// Whether the TLS name is one instance's and the host another's (S04), and the proxy looks at that. One certificate
/// may cover both: HT16 alone would let it pass.
fn names_another(snapshot: &Snapshot, proxy: &Proxy, asked: &Asked<'_>, host: Host, now_unix: u64) -> bool {
    let (Some(sni), Host::Instance { id, .. }) = (asked.sni, host) else { return false };
    proxy.names != NamePolicy::Off
        && matches!(snapshot.resolve_host(proxy, sni.as_bytes(), now_unix),
            Host::Instance { id: named, .. } if named != id)
}

/// Whether the instance takes it.
fn admit(target: Target, whole: &str, path: &str) -> Decision {
    let refuse = |target: Target, why| Decision::Refuse(why, Some(target.instance));
    match target.instance.state {
        State::On => {}
        State::Failed => return refuse(target, HttpRefusal::InstanceFailed),
        State::Off | State::Starting | State::Stopping => return refuse(target, HttpRefusal::InstanceOff),
    }
    let Some(web) = gate::reachable(&target.instance) else {
        return refuse(target, HttpRefusal::WebOff);
    };
    let inner = path.get(target.prefix..).unwrap_or_default();
    if web.service == WebService::Rest && !is_rest(inner) {
        return refuse(target, HttpRefusal::RestOnly);
    }
    if inner.is_empty() && target.strips() {
        // Relative links of the page need the slash.
        let query = whole.get(path.len()..).unwrap_or_default();
        return Decision::Redirect(StatusCode::PERMANENT_REDIRECT, format!("{path}/{query}"));
    }
    Decision::Forward(target)
}

/// Where the bare proxy sends a browser (R5).
fn bare(proxy: &Proxy) -> Decision {
    match &proxy.redirection_url {
        Some(url) => Decision::Redirect(StatusCode::FOUND, url.to_string()),
        None => Decision::Landing,
    }
}

/// The https address of a plain request, where the proxy wants that and has one.
fn to_https(proxy: &Proxy, asked: &Asked<'_>, host: &str) -> Option<String> {
    if asked.secure || !proxy.https_redirect || asked.target == "*" {
        return None;
    }
    let listener = proxy.listeners.iter().find(|l| l.service == Service::Https)?;
    let advertised = listener.advertise.as_deref().and_then(|a| a.rsplit_once(':')).and_then(|(_, p)| p.parse().ok());
    let port = match advertised {
        Some(port) => port,
        // Behind a forwarded port nobody told us of, 443 is the only sensible guess.
        None if listener.advertise.is_some() => 443,
        None => listener.bind.port(),
    };
    let host = if host.is_empty() { &*proxy.fqdn } else { host };
    let mut location = String::with_capacity(16 + host.len() + asked.target.len());
    location.push_str("https://");
    location.push_str(host);
    if port != 443 {
        // Writing to a string cannot fail.
        let _ = write!(location, ":{port}");
    }
    location.push_str(asked.target);
    Some(location)
}

/// Whether a path lies inside `/services`, however the instance decodes it (R82).
fn is_rest(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/services") else { return false };
    if !(rest.is_empty() || rest.starts_with('/')) {
        return false;
    }
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(rest).collect();
    // Decoded twice it must not climb either: `%252e`, encoded slashes and backslashes have no
    // business in a REST path.
    if decoded.contains(&b'\\')
        || decoded.contains(&b'%')
        || memchr::memmem::find(rest.to_ascii_lowercase().as_bytes(), b"%2f").is_some()
    {
        return false;
    }
    decoded.split(|b| *b == b'/').all(|segment| {
        let name = segment.split(|b| *b == b';').next().unwrap_or_default();
        name != b"." && name != b".."
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_is_what_lies_under_services_only() {
        // R82
        for inside in
            ["/services", "/services/", "/services/a/b", "/services/a%20b", "/services/a..b/...", "/services/;x=1"]
        {
            assert!(is_rest(inside), "{inside}");
        }
        for outside in [
            "/",
            "",
            "/servicesx",
            "/Services/",
            "/services/..",
            "/services/../admin",
            "/services/%2e%2e/admin",
            "/services/%2E./admin",
            "/services/..;/admin",
            "/services/..;a=b/admin",
            "/services/..%2fadmin",
            "/services/..%5cadmin",
            "/services/..\\admin",
            "/services/%252e%252e/admin",
            "//services/",
        ] {
            assert!(!is_rest(outside), "{outside}");
        }
    }
}
