//! `nantucket user rm`.

use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use serde_json::json;

/// Which one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the instance
    instance: String,
    /// The user's name
    #[arg(required_unless_present = "all")]
    name: Option<String>,
    /// Take the whole list away: every account is a full user of its own again
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

/// Removes it.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let node = reach.node()?;
    let Some(name) = &args.name else {
        node.delete(&["instances", &args.instance, "users"])?;
        let text =
            format!("{} has no list of users any more: every account is a full user of its own\n", args.instance);
        return Ok(Shown::either(reach.json, &json!({ "removed": null }), |_| text));
    };
    node.delete(&["instances", &args.instance, "users", name])?;
    Ok(Shown::either(reach.json, &json!({ "removed": name }), |_| format!("removed {name}\n")))
}
