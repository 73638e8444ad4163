//! `nantucket licence remove`.

use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use serde_json::json;

/// Which one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the licence
    id: String,
}

/// Removes it.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    reach.node()?.delete(&["licences", &args.id])?;
    Ok(Shown::either(reach.json, &json!({ "removed": args.id }), |_| format!("removed {}\n", args.id)))
}
