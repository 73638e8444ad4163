//! `nantucket licence detach` (R55).

use super::sign::Sign;
use crate::cli::exit::Failure;
use crate::cli::show::Shown;
use crate::licence::terms::{Detachment, Terms};

/// The licence.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the pack or feature licence
    licence: String,
    /// The server licence it leaves
    #[arg(long, value_name = "ID")]
    server: String,
    #[command(flatten)]
    sign: Sign,
}

/// Detaches it.
pub fn execute(args: Args) -> Result<Shown, Failure> {
    let issued = args.sign.date();
    args.sign.issue(issued, Terms::Detachment(Detachment { licence: args.licence, server: args.server }))
}
