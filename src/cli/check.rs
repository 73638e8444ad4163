//! `nantucket check`: a table file, without a node.

use super::exit::Failure;
use super::file::Source;
use super::show::Shown;
use crate::admin::view::Wanted;
use std::path::PathBuf;

/// Which files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Table file, TOML or JSON; - is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Checks them.
pub fn execute(args: &Args) -> Result<Shown, Failure> {
    let Some(path) = &args.file else { return Ok(Shown::default()) };
    let source = Source::read(path)?;
    let wanted: Wanted = source.parse()?;
    Ok(Shown(format!("{}: {} instances\n", path.display(), wanted.instances.len())))
}
