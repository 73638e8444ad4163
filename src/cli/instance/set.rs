//! `nantucket instance set`: reads the row, changes what was named, writes it back if nobody else
//! changed it meanwhile.

use super::fields::{Fields, Removals};
use super::show::one_line;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use crate::model::Instance;

/// What to change.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the instance
    name: String,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    removals: Removals,
}

/// Changes it.
pub fn execute(args: Args, reach: &Reach) -> Result<Shown, Failure> {
    let node = reach.node()?;
    let path = ["instances", args.name.as_str()];
    let known = node.get::<Instance>(&path, &[])?;
    let mut row = known.value.clone();
    args.removals.apply(&mut row);
    args.fields.apply(&mut row).map_err(Failure::Usage)?;
    if row == known.value {
        return Ok(Shown::either(reach.json, &row, |it| format!("unchanged: {}\n", one_line(it))));
    }
    let written: Instance = node.put(&path, known.etag.as_deref(), &row)?;
    Ok(Shown::either(reach.json, &written, |it| format!("changed {}\n", one_line(it))))
}
