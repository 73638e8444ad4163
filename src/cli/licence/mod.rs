//! `nantucket licence …`.
//!
//! The vendor's side works offline and needs no node: `keygen`, `issue`, `confirm`, `detach`, `inspect`, `verify`, with
//! what they share in `key`, `sign`, `date`, `qr` and `read`.

pub mod confirm;
mod date;
pub mod detach;
pub mod inspect;
pub mod issue;
mod key;
pub mod keygen;
mod qr;
mod read;
mod sign;
pub mod verify;

use super::exit::Failure;
use super::show::Shown;

/// What to do with licences.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Vendor: make a key pair to sign licences with
    Keygen(keygen::Args),
    /// Vendor: issue a licence
    #[command(subcommand)]
    Issue(issue::Command),
    /// Vendor: confirm the move of a licence to another machine
    Confirm(confirm::Args),
    /// Vendor: take a licence out of its update contract
    Detach(detach::Args),
    /// Show what a licence document says, whoever signed it
    Inspect(inspect::Args),
    /// Check that a licence document is genuine and valid now
    Verify(verify::Args),
}

/// Carries it out.
pub fn execute(command: Command) -> Result<Shown, Failure> {
    match command {
        Command::Keygen(args) => keygen::execute(&args),
        Command::Issue(command) => issue::execute(command),
        Command::Confirm(args) => confirm::execute(args),
        Command::Detach(args) => detach::execute(args),
        Command::Inspect(args) => inspect::execute(&args),
        Command::Verify(args) => verify::execute(&args),
    }
}
