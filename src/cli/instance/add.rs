//! `nantucket instance add`.

use super::fields::Fields;
use super::show::one_line;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use crate::model::{Instance, State};

/// The new instance.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its name: a DNS label of letters, digits and hyphens
    name: String,
    #[command(flatten)]
    fields: Fields,
    /// Switch it on at once
    #[arg(long)]
    start: bool,
}

/// Creates it.
pub fn execute(args: Args, reach: &Reach) -> Result<Shown, Failure> {
    let state = if args.start { State::On } else { State::Off };
    let mut row = Instance { state, ..Instance::named(&args.name) };
    args.fields.apply(&mut row).map_err(Failure::Usage)?;
    let made: Instance = reach.node()?.post(&["instances"], &row)?;
    Ok(Shown::either(reach.json, &made, |it| format!("created {}\n", one_line(it))))
}
