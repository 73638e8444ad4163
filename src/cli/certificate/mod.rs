//! `nantucket certificate …`.

pub mod add;
pub mod list;
pub mod rm;

use super::exit::Failure;
use super::reach::Reach;
use super::show::Shown;

/// What to do with certificates.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Add a certificate with its key, or replace the one of that name
    Add(add::Args),
    /// List certificates
    List,
    /// Remove a certificate
    Rm(rm::Args),
}

/// Carries it out.
pub fn execute(command: Command, reach: &Reach) -> Result<Shown, Failure> {
    match command {
        Command::Add(args) => add::execute(&args, reach),
        Command::List => list::execute(reach),
        Command::Rm(args) => rm::execute(&args, reach),
    }
}
