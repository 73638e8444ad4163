//! `nantucket proxy …`.

pub mod add;
pub mod fields;
pub mod list;
pub mod rm;
pub mod set;
pub mod show;

use super::exit::Failure;
use super::reach::Reach;
use super::show::Shown;

/// What to do with proxies.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Create a proxy
    Add(add::Args),
    /// List proxies
    List,
    /// Show one proxy
    Show(show::Args),
    /// Change a proxy; what is not named stays
    Set(set::Args),
    /// Remove a proxy and close its listeners
    Rm(rm::Args),
}

/// Carries it out.
pub fn execute(command: Command, reach: &Reach) -> Result<Shown, Failure> {
    match command {
        Command::Add(args) => add::execute(args, reach),
        Command::List => list::execute(reach),
        Command::Show(args) => show::execute(&args, reach),
        Command::Set(args) => set::execute(args, reach),
        Command::Rm(args) => rm::execute(&args, reach),
    }
}
