//! `nantucket explain`.

use super::exit::Failure;
use super::reach::Reach;
use super::show::{self, Shown};
use crate::admin::view::{Answer, Decision, Entitlement, Explanation};
use std::net::IpAddr;

/// What is asked.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("question").required(true).multiple(true).args(["register", "host", "device", "call_id"])))]
pub struct Args {
    /// Address of the phone or browser
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    /// A phone registers, or calls from, this account
    #[arg(long, value_name = "USER@NAME")]
    register: Option<String>,
    /// A browser asks for this host, with or without a path
    #[arg(long, value_name = "HOST[/PATH]", conflicts_with_all = ["register", "device", "call_id"])]
    host: Option<String>,
    /// Why was a device refused: its User-Agent or device id holds this text
    #[arg(long, value_name = "TEXT")]
    device: Option<String>,
    /// Why was the REGISTER with this Call-ID refused
    #[arg(long, value_name = "ID")]
    call_id: Option<String>,
    /// Only this instance
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Ask this proxy only
    #[arg(long, value_name = "NAME")]
    proxy: Option<String>,
}

/// Asks the node.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let mut query = Vec::new();
    let mut ask = |name, value: Option<String>| query.extend(value.map(|value| (name, value)));
    ask("from", args.from.map(|ip| ip.to_string()));
    ask("register", args.register.clone());
    ask("proxy", args.proxy.clone());
    ask("device", args.device.clone());
    ask("call_id", args.call_id.clone());
    ask("instance", args.instance.clone());
    if let Some(host) = &args.host {
        let (host, path) = host.split_at(host.find('/').unwrap_or(host.len()));
        ask("host", Some(host.to_owned()));
        ask("path", (!path.is_empty()).then(|| path.to_owned()));
    }
    let explanation: Explanation = reach.node()?.get(&["explain"], &query)?.value;
    let asks_for_route = args.register.is_some() || args.host.is_some();
    Ok(Shown::either(reach.json, &explanation, |it| text(it, asks_for_route)))
}

fn text(explanation: &Explanation, asks_for_route: bool) -> String {
    let mut text = format!("{} (table revision {})\n", explanation.question, explanation.revision);
    if explanation.answers.is_empty() && asks_for_route {
        text.push_str("\nThere is no proxy, so nothing listens.\n");
    }
    for answer in &explanation.answers {
        text.push_str(&one(answer));
    }
    for entitlement in &explanation.licences {
        text.push_str(&licences(entitlement));
    }
    text.push_str(&decisions(&explanation.decisions, asks_for_route));
    text
}

/// Whether an account may register now.
fn licences(it: &Entitlement) -> String {
    let verdict = it.refusal.as_deref().unwrap_or("passes");
    let mut text = format!("\nlicences of {}, account {}: {verdict}\n", it.instance, it.account);
    for (step, number) in it.steps.iter().zip(1..) {
        text.push_str(&format!("  {number}. {step}\n"));
    }
    text
}

/// What was decided of late.
fn decisions(decisions: &[Decision], routed: bool) -> String {
    if decisions.is_empty() {
        return if routed { String::new() } else { "\nNo decision on such a REGISTER is remembered.\n".into() };
    }
    let rows = decisions.iter().map(|it| {
        [
            show::moment(it.at),
            format!("{}@{}", it.account, it.instance),
            show::word(&it.became),
            format!("{} ({})", it.text, it.revision),
            it.user_agent.clone(),
            format!("{}:{}", it.transport, it.source),
            it.call_id.clone(),
        ]
    });
    let table = show::table(["WHEN", "ACCOUNT", "BECAME", "WHY (REVISION)", "DEVICE", "FROM", "CALL-ID"], rows);
    format!("\ndecisions of late\n{table}")
}

fn one(answer: &Answer) -> String {
    let mut text = format!("\nproxy {}: {}", answer.proxy, show::word(&answer.rule));
    if let Some(status) = answer.status {
        text.push_str(&format!(", status {status}"));
    }
    text.push('\n');
    for (step, number) in answer.steps.iter().zip(1..) {
        text.push_str(&format!("  {number}. {step}\n"));
    }
    if let Some(web) = &answer.web {
        text.push_str(&format!("  web: {web}\n"));
    }
    if !answer.targets.is_empty() {
        let rows = answer.targets.iter().map(|it| {
            let state = if it.up { "up" } else { "down" };
            [
                it.transport.to_string(),
                it.address.to_string(),
                it.priority.to_string(),
                it.weight.to_string(),
                state.to_owned(),
            ]
        });
        for line in show::table(["TARGET", "ADDRESS", "PRIORITY", "WEIGHT", "HEALTH"], rows).lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}
