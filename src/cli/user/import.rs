//! `nantucket user import`: the node reads the CSV, and tells every problem with its line.

use super::summary;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use crate::control::plan::UsersTouched;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use ureq::http::Method;

/// What to take in.
#[derive(Debug, clap::Args)]
#[command(after_help = "The first line of a CSV file names its columns, in any order: name and accounts, and if \
    wanted kind (full or light) and class (phone, softphone, fax, dect, adapter, camera, door). Accounts are \
    separated by blanks or |. Commas, semicolons and tabs are read, with or without a byte order mark. Nothing is \
    changed unless every line is valid.")]
pub struct Args {
    /// Name of the instance
    instance: String,
    /// CSV file in UTF-8, or JSON if its name ends with .json; - is standard input, and CSV
    file: PathBuf,
    /// Remove the users that are not in the file
    #[arg(long)]
    replace: bool,
    /// Only say what would change, or what is wrong
    #[arg(long)]
    dry_run: bool,
}

/// Takes it in.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let text = read(&args.file)?;
    let json = args.file.extension().is_some_and(|it| it.eq_ignore_ascii_case("json"));
    let media_type = if json { "application/json" } else { "text/csv" };
    let method = if args.replace { Method::PUT } else { Method::POST };
    let query: Vec<_> = args.dry_run.then(|| ("dry_run", "true".to_owned())).into_iter().collect();
    let path = ["instances", args.instance.as_str(), "users"];
    let touched: UsersTouched = reach.node()?.send_text(method, &path, &query, (media_type, text))?;
    Ok(Shown::either(reach.json, &touched, |it| summary(it, args.dry_run)))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let done = if path.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut text).map(|_| ())
    } else {
        std::fs::read(path).map(|bytes| text = bytes)
    };
    done.map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", path.display())))?;
    Ok(text)
}
