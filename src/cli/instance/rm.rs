//! `nantucket instance rm`.

use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use serde_json::json;

/// Which one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the instance
    name: String,
}

/// Removes it.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    reach.node()?.delete(&["instances", &args.name])?;
    Ok(Shown::either(reach.json, &json!({ "removed": args.name }), |_| format!("removed {}\n", args.name)))
}
