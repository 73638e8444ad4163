//! `nantucket proxy show`.

use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::{self, Shown};
use crate::model::Proxy;

/// Which one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its name
    name: String,
}

/// Shows it.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let row: Proxy = reach.node()?.get(&["proxies", &args.name], &[])?.value;
    Ok(Shown::either(reach.json, &row, facts))
}

/// The row in one line, for what a change reports.
pub fn one_line(row: &Proxy) -> String {
    format!("{} (id {}), {}, listeners: {}", row.name, row.id.0, row.fqdn, listeners(row))
}

/// What it listens on, in one line.
pub fn listeners(row: &Proxy) -> String {
    show::list(row.listeners.iter().map(|it| format!("{}={}", show::word(&it.service), it.bind)))
}

fn facts(row: &Proxy) -> String {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let mut facts = vec![
        ("name", row.name.clone()),
        ("id", row.id.0.to_string()),
        ("fqdn", row.fqdn.clone()),
        ("base domain", row.base_domain.clone()),
        ("instances", row.instances.as_ref().map_or_else(|| "all".into(), show::list)),
        ("default instance", or_dash(&row.default_instance)),
        ("redirect", or_dash(&row.redirection_url)),
        ("certificate", row.certificate.clone().unwrap_or_else(|| "self-signed".into())),
        ("name policy", show::word(&row.names)),
        ("device certificates", show::word(&row.device_certificates)),
        ("keep-alive", show::word(&row.keep_alive)),
        ("unknown names", show::word(&row.unknown)),
        ("HTTP to HTTPS", if row.https_redirect { "redirect" } else { "no redirect" }.into()),
        ("trusted peers", show::list(&row.trusted_peers)),
        ("PROXY protocol", show::list(&row.proxy_protocol)),
        ("TLS routes", show::word(&row.tls_routes)),
        ("origins", if row.origins.is_empty() { "all".into() } else { show::list(&row.origins) }),
    ];
    for listener in &row.listeners {
        let advertise = listener.advertise.as_ref().map_or_else(String::new, |host| format!(", told as {host}"));
        let (number, service) = (listener.number, show::word(&listener.service));
        facts.push(("listener", format!("{number}: {service} on {}{advertise}", listener.bind)));
    }
    show::facts(facts)
}
