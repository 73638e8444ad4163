//! `nantucket licence confirm` (R61).

use super::sign::Sign;
use crate::cli::exit::Failure;
use crate::cli::show::Shown;
use crate::licence::hardware::HardwareId;
use crate::licence::terms::{Confirmation, Terms};

/// The move.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the volume or server licence that moved
    licence: String,
    /// The machine it is on now, as `nantucket licence hardware` shows it
    #[arg(long, value_name = "ID")]
    hardware: HardwareId,
    /// The machine it was on, where it is worth nothing from now on
    #[arg(long, value_name = "ID")]
    revoke: Option<HardwareId>,
    #[command(flatten)]
    sign: Sign,
}

/// Confirms it.
pub fn execute(args: Args) -> Result<Shown, Failure> {
    let confirmation = Confirmation { licence: args.licence, hardware: args.hardware, revoked: args.revoke };
    let issued = args.sign.date();
    args.sign.issue(issued, Terms::Confirmation(confirmation))
}
