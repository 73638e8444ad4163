//! `nantucket instance …`.

pub mod add;
pub mod fields;
pub mod list;
pub mod rename;
pub mod rm;
pub mod set;
pub mod show;
pub mod state;

use super::exit::Failure;
use super::reach::Reach;
use super::show::Shown;

/// What to do with instances.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Create an instance
    Add(add::Args),
    /// List instances
    List(list::Args),
    /// Show one instance with its targets
    Show(show::Args),
    /// Change an instance; what is not named stays
    Set(set::Args),
    /// Switch an instance on
    Start(state::Args),
    /// Switch an instance off
    Stop(state::Args),
    /// Give an instance another name; the old one keeps routing for a while
    Rename(rename::Args),
    /// Remove an instance for ever
    Rm(rm::Args),
}

/// Carries it out.
pub fn execute(command: Command, reach: &Reach) -> Result<Shown, Failure> {
    match command {
        Command::Add(args) => add::execute(args, reach),
        Command::List(args) => list::execute(&args, reach),
        Command::Show(args) => show::execute(&args, reach),
        Command::Set(args) => set::execute(args, reach),
        Command::Start(args) => state::execute(&args, state::Change::Start, reach),
        Command::Stop(args) => state::execute(&args, state::Change::Stop, reach),
        Command::Rename(args) => rename::execute(&args, reach),
        Command::Rm(args) => rm::execute(&args, reach),
    }
}
