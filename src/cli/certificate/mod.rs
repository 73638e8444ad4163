//! `nantucket certificate …`.

pub mod acme;
pub mod add;
pub mod failures;
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
    /// Certificates that an authority issues by itself (ACME)
    #[command(subcommand)]
    Acme(acme::Command),
    /// Show the TLS handshakes that failed, and what to do about them
    Failures,
}

/// Carries it out.
pub fn execute(command: Command, reach: &Reach) -> Result<Shown, Failure> {
    match command {
        Command::Add(args) => add::execute(&args, reach),
        Command::List => list::execute(reach),
        Command::Rm(args) => rm::execute(&args, reach),
        Command::Acme(command) => acme::execute(command, reach),
        Command::Failures => failures::execute(reach),
    }
}
