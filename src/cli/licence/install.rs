//! `nantucket licence install`: System > Update License.

use super::read;
use super::words::line;
use crate::admin::problem::Code;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use crate::control::licence::view::{Install, InstalledLicence};
use std::path::PathBuf;

/// The documents.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File with one or more documents; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Accept a licence that is bound to another machine: a temporary binding of 240 hours begins
    #[arg(long)]
    confirm: bool,
}

/// Installs them, all or none.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let install = Install { document: read::text(&args.file)?, confirm: args.confirm };
    let made: Vec<InstalledLicence> = reach.node()?.post(&["licences"], &install).map_err(hint)?;
    Ok(Shown::either(reach.json, &made, |it| it.iter().map(|it| format!("installed {}\n", line(it))).collect()))
}

fn hint(failure: Failure) -> Failure {
    match failure {
        Failure::Problem(mut problem)
            if problem.code == Code::Conflict && problem.errors.iter().any(|it| it.code == "bound-elsewhere") =>
        {
            problem.detail.push_str("; --confirm accepts that");
            Failure::Problem(problem)
        }
        other => other,
    }
}
