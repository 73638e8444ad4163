//! `nantucket licence export` and `restore`: the licence book in a file (R62).

use super::read;
use super::words::line;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use crate::control::licence::backup::Backup;
use crate::control::licence::view::InstalledLicence;
use std::path::PathBuf;

/// Where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File to write; without it, standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Where from.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// File that `licence export` wrote; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Writes the book as it is.
pub fn export(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let backup: Backup = reach.node()?.get(&["licence", "export"], &[])?.value;
    let Some(path) = &args.output else { return Ok(Shown::either(true, &backup, |_| String::new())) };
    let text = serde_json::to_string_pretty(&backup).unwrap_or_default() + "\n";
    std::fs::write(path, text)
        .map_err(|error| Failure::Usage(format!("{} cannot be written: {error}", path.display())))?;
    Ok(Shown::either(reach.json, &backup, |it| {
        format!("wrote {} licences to {}\n", it.book.present().count(), path.display())
    }))
}

/// Puts back what a book held.
pub fn restore(args: &Restore, reach: &Reach) -> Result<Shown, Failure> {
    let text = read::text(&args.file)?;
    let backup: Backup = serde_json::from_str(&text)
        .map_err(|error| Failure::Refused(format!("{} is no exported book: {error}", args.file.display())))?;
    let made: Vec<InstalledLicence> = reach.node()?.post(&["licence", "restore"], &backup)?;
    Ok(Shown::either(reach.json, &made, |it| it.iter().map(|it| format!("restored {}\n", line(it))).collect()))
}
