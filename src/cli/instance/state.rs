//! `nantucket instance start` and `stop`.

use super::show::one_line;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use crate::model::Instance;

/// Which one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the instance
    name: String,
}

/// Which way.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// On.
    Start,
    /// Off.
    Stop,
}

/// Switches it.
pub fn execute(args: &Args, change: Change, reach: &Reach) -> Result<Shown, Failure> {
    let (verb, done) = match change {
        Change::Start => ("start", "started"),
        Change::Stop => ("stop", "stopped"),
    };
    let row: Instance = reach.node()?.post(&["instances", &args.name, verb], &())?;
    Ok(Shown::either(reach.json, &row, |it| format!("{done} {}\n", one_line(it))))
}
