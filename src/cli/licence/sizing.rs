//! `nantucket licence sizing` (R37).

use crate::cli::exit::Failure;
use crate::cli::show::{self, Shown};
use crate::licence::sizing;
use serde_json::json;

/// For how much.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Instances
    #[arg(long, value_name = "N")]
    instances: u64,
    /// Proxies
    #[arg(long, value_name = "N", default_value_t = 1)]
    proxies: u64,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Says how much memory that takes; no node is asked.
pub fn execute(args: &Args) -> Result<Shown, Failure> {
    let megabytes = sizing::machine_mb(args.instances, args.proxies);
    let value = json!({ "instances": args.instances, "proxies": args.proxies, "megabytes": megabytes });
    Ok(Shown::either(args.json, &value, |_| show::facts([("memory", format!("{megabytes} MB"))])))
}
