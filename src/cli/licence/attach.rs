//! `nantucket licence attach` and `release`: packs and features of a server licence (R53, R55).

use super::words::line;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use crate::control::licence::view::{Attach, InstalledLicence};

/// What to attach, and to what.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the pack or feature licence
    id: String,
    /// Id of the server licence
    server: String,
}

/// What to release.
#[derive(Debug, clap::Args)]
pub struct Release {
    /// Id of the pack or feature licence
    id: String,
}

/// Attaches it.
pub fn attach(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let attach = Attach { server: args.server.clone() };
    let row: InstalledLicence = reach.node()?.post(&["licences", &args.id, "attach"], &attach)?;
    Ok(Shown::either(reach.json, &row, |it| format!("attached {}\n", line(it))))
}

/// Releases it from its server licence; it keeps its entitlement.
pub fn release(args: &Release, reach: &Reach) -> Result<Shown, Failure> {
    let row: InstalledLicence = reach.node()?.post(&["licences", &args.id, "release"], &())?;
    Ok(Shown::either(reach.json, &row, |it| format!("released {}\n", line(it))))
}
