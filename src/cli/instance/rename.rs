//! `nantucket instance rename` (R7).

use crate::admin::view::{Rename, Renamed};
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::{self, Shown};
use crate::control::plan::RenamePreview;

/// From what to what.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its name now
    name: String,
    /// Its name from now on
    to: String,
    /// Days for which the old name keeps routing
    #[arg(long, default_value_t = 30, value_name = "DAYS")]
    keep_days: u32,
    /// Only show which accounts are affected
    #[arg(long)]
    dry_run: bool,
}

/// Renames it.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let request = Rename { to: args.to.clone(), keep_days: Some(args.keep_days), dry_run: args.dry_run };
    let renamed: Renamed = reach.node()?.post(&["instances", &args.name, "rename"], &request)?;
    let refused = !renamed.preview.problems.is_empty();
    if refused && !reach.json {
        let problems: Vec<String> = renamed.preview.problems.iter().map(ToString::to_string).collect();
        return Err(Failure::Refused(format!("it would be refused:\n  {}", problems.join("\n  "))));
    }
    Ok(Shown { refused, ..Shown::either(reach.json, &renamed, text) })
}

fn text(renamed: &Renamed) -> String {
    let RenamePreview { from, to, keep_until, accounts, bindings, calls, proxies, .. } = &renamed.preview;
    let verb = if renamed.done { "renamed" } else { "would rename" };
    let until = show::moment(*keep_until);
    let mut text = format!("{verb} {from} to {to}; {from} keeps routing until {until}\n");
    if !proxies.is_empty() {
        text.push_str(&format!("changed with it: proxy {}\n", show::list(proxies)));
    }
    if *calls > 0 {
        text.push_str(&format!("{calls} calls go on\n"));
    }
    if accounts.is_empty() {
        text.push_str("no account is registered at the moment\n");
        return text;
    }
    text.push_str(&format!("accounts with {bindings} bindings that have to sign in as …@{to} until then:\n"));
    for account in accounts {
        text.push_str(&format!("  {account}\n"));
    }
    text
}
