//! `nantucket user export`.

use super::{fetch, no_list};
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;

/// What to write.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the instance
    instance: String,
    /// With semicolons and a byte order mark, as Excel in German opens it
    #[arg(long, conflicts_with = "json")]
    excel: bool,
}

/// Writes it to standard output; JSON if asked for.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let node = reach.node()?;
    let list = fetch(&node, &args.instance)?.ok_or_else(|| no_list(&args.instance))?;
    if reach.json {
        return Ok(Shown::either(true, &list.value, |_| String::new()));
    }
    let query: Vec<_> = args.excel.then(|| ("excel", "true".to_owned())).into_iter().collect();
    let text = node.get_text(&["instances", &args.instance, "users"], &query, "text/csv")?;
    Ok(Shown { text, refused: false })
}
