//! `nantucket instance show`.

use crate::admin::live::Binding;
use crate::admin::view::{InstanceHealth, Target};
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::{self, Shown};
use crate::ids::Transport;
use crate::model::{Backend, BackendTls, Instance, Licensing, Mode, SecondDevice};

/// Which one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its name
    name: String,
    /// Show its registered contacts too
    #[arg(long)]
    bindings: bool,
}

/// Shows it.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let node = reach.node()?;
    let row: Instance = node.get(&["instances", &args.name], &[])?.value;
    if reach.json && !args.bindings {
        return Ok(Shown::either(true, &row, |_| String::new()));
    }
    let by_name = [("instance", row.name.clone())];
    if reach.json {
        let bindings: Vec<Binding> = node.all(&["bindings"], &by_name)?;
        return Ok(Shown::either(true, &bindings, |_| String::new()));
    }
    let health: Vec<InstanceHealth> = node.all(&["health"], &by_name)?;
    let mut text = facts(&row);
    if let Some(health) = health.first() {
        text.push('\n');
        text.push_str(&live(health));
    }
    if args.bindings {
        let bindings: Vec<Binding> = node.all(&["bindings"], &by_name)?;
        text.push('\n');
        text.push_str(&contacts(&bindings));
    }
    Ok(Shown { text, refused: false })
}

/// The row in one line, for what a change reports.
pub fn one_line(row: &Instance) -> String {
    let backends = show::list(row.backends.iter().map(|it| format!("{}:{}", it.transport, it.address)));
    format!("{} (id {}, {}), backends: {backends}", row.name, row.id.0, show::word(&row.state))
}

fn facts(row: &Instance) -> String {
    let mut facts = vec![
        ("name", row.name.clone()),
        ("display name", if row.display_name.is_empty() { "-".into() } else { row.display_name.clone() }),
        ("id", row.id.0.to_string()),
        ("state", show::word(&row.state)),
        ("aliases", show::list(&row.aliases)),
        ("language", show::word(&row.language)),
        ("emergency", show::list(&row.emergency_numbers)),
        ("origins", if row.origins.is_empty() { "as the proxy".into() } else { show::list(&row.origins) }),
        ("certificate", row.certificate.clone().unwrap_or_else(|| "as the proxy".into())),
        ("devices from", if row.only_from.is_empty() { "everywhere".into() } else { show::list(&row.only_from) }),
        ("never banned", show::list(&row.never_ban)),
        ("release", if row.version.is_empty() { "-".into() } else { row.version.clone() }),
        ("licence", licence(&row.licence)),
    ];
    for former in &row.former_names {
        facts.push(("former name", format!("{}, routes until {}", former.name, show::moment(former.until))));
    }
    for backend in &row.backends {
        facts.push((
            "backend",
            format!(
                "{}: {}:{}, priority {}, weight {}, profile {}{}",
                backend.id.0,
                backend.transport,
                backend.address,
                backend.priority,
                backend.weight,
                show::word(&backend.profile),
                tls(backend)
            ),
        ));
    }
    if let Some(web) = &row.web {
        let verify = if web.verify { ", certificate verified" } else { "" };
        let (prefix, service) = (show::word(&web.prefix), show::word(&web.service));
        facts.push(("web", format!("{}, service {service}, prefix {prefix}{verify}", web.url)));
        if !web.sign_in.paths.is_empty() {
            facts.push(("sign-in", format!("field {} at {}", web.sign_in.field, web.sign_in.paths.join(", "))));
        }
    }
    let limit = |n: u64| if n == 0 { "the node's default".to_owned() } else { n.to_string() };
    facts.push(("max transactions", limit(row.limits.transactions.into())));
    facts.push(("max HTTP requests", limit(row.limits.http_requests.into())));
    facts.push(("max HTTP body", limit(row.limits.http_body_bytes)));
    show::facts(facts)
}

/// What holds for a backend over TLS.
fn tls(backend: &Backend) -> String {
    let BackendTls { verify, name, wildcard, certificate, authorities } = &backend.tls;
    if backend.transport != Transport::Tls {
        return String::new();
    }
    let mut said = String::from(if *verify { ", verified" } else { ", not verified" });
    if *verify && !name.is_empty() {
        said += &format!(" as {name}");
    }
    if *verify && *wildcard {
        said += " or by a wildcard";
    }
    if *verify {
        said += if authorities.is_empty() { " by the system's authorities" } else { " by its own authorities" };
    }
    if !certificate.is_empty() {
        said += &format!(", shown certificate {certificate}");
    }
    said
}

/// Mode and booking in words.
pub fn licence(licence: &Licensing) -> String {
    let mut text = show::word(&licence.mode);
    match licence.mode {
        Mode::Community => {}
        Mode::Cloud => {
            text.push_str(&format!(", booked {} full and {} light", licence.booked.full, licence.booked.light))
        }
        Mode::Dedicated => text.push_str(&format!(", server licence {}", show::list(&licence.server))),
    }
    if licence.second_device == SecondDevice::LastWins {
        text.push_str(", last device wins");
    }
    if licence.shadow {
        text.push_str(", shadow: nothing is refused");
    }
    text
}

fn live(health: &InstanceHealth) -> String {
    let mut text = show::facts([
        ("bindings", health.bindings.to_string()),
        ("calls", health.calls.to_string()),
        ("HTTP at work", health.http_active.to_string()),
    ]);
    text.push('\n');
    let rows = health.targets.iter().map(|Target { backend, address, transport, up, falls, .. }| {
        let state = if *up { "up" } else { "down" };
        [backend.0.to_string(), transport.to_string(), address.to_string(), state.into(), falls.to_string()]
    });
    text.push_str(&show::table(["BACKEND", "TRANSPORT", "ADDRESS", "HEALTH", "FALLS"], rows));
    text
}

fn contacts(bindings: &[Binding]) -> String {
    let rows = bindings.iter().map(|it| {
        [
            it.account.clone(),
            it.contact.clone(),
            show::list(it.transport),
            show::list(it.source),
            it.user_agent.clone(),
            show::moment(it.expires),
        ]
    });
    show::table(["ACCOUNT", "CONTACT", "TRANSPORT", "SOURCE", "USER AGENT", "EXPIRES"], rows)
}
