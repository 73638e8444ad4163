//! `nantucket instance add`.

use super::fields::Fields;
use super::show::one_line;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use crate::ids::InstanceId;
use crate::model::{Instance, Language, Limits, SCHEMA, State};

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
    let mut row = Instance {
        schema: SCHEMA,
        id: InstanceId(0),
        name: args.name,
        display_name: String::new(),
        aliases: Vec::new(),
        former_names: Vec::new(),
        state: if args.start { State::On } else { State::Off },
        backends: Vec::new(),
        web: None,
        limits: Limits::default(),
        language: Language::default(),
    };
    args.fields.apply(&mut row).map_err(Failure::Usage)?;
    let made: Instance = reach.node()?.post(&["instances"], &row)?;
    Ok(Shown::either(reach.json, &made, |it| format!("created {}\n", one_line(it))))
}
