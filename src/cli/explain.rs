//! `nantucket explain`.

use super::exit::Failure;
use super::reach::Reach;
use super::show::{self, Shown};
use crate::admin::view::{Answer, Explanation};
use std::net::IpAddr;

/// What is asked.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("question").required(true).args(["register", "host"])))]
pub struct Args {
    /// Address of the phone or browser
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    /// A phone registers, or calls from, this account
    #[arg(long, value_name = "USER@NAME")]
    register: Option<String>,
    /// A browser asks for this host, with or without a path
    #[arg(long, value_name = "HOST[/PATH]")]
    host: Option<String>,
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
    if let Some(host) = &args.host {
        let (host, path) = host.split_at(host.find('/').unwrap_or(host.len()));
        ask("host", Some(host.to_owned()));
        ask("path", (!path.is_empty()).then(|| path.to_owned()));
    }
    let explanation: Explanation = reach.node()?.get(&["explain"], &query)?.value;
    Ok(Shown::either(reach.json, &explanation, text))
}

fn text(explanation: &Explanation) -> String {
    let mut text = format!("{} (table revision {})\n", explanation.question, explanation.revision);
    if explanation.answers.is_empty() {
        text.push_str("\nThere is no proxy, so nothing listens.\n");
    }
    for answer in &explanation.answers {
        text.push_str(&one(answer));
    }
    text
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
