//! `nantucket proxy set`: reads the row, changes what was named, writes it back if nobody else
//! changed it meanwhile.

use super::fields::{Fields, Removals};
use super::show::one_line;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use crate::model::Proxy;

/// What to change.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the proxy
    name: String,
    /// Complete host name that clients are given
    #[arg(long, value_name = "HOST")]
    fqdn: Option<String>,
    /// Domain under which NAME.DOMAIN selects an instance
    #[arg(long, value_name = "DOMAIN")]
    base_domain: Option<String>,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    removals: Removals,
}

/// Changes it.
pub fn execute(args: Args, reach: &Reach) -> Result<Shown, Failure> {
    let node = reach.node()?;
    let path = ["proxies", args.name.as_str()];
    let known = node.get::<Proxy>(&path, &[])?;
    let mut row = known.value.clone();
    args.removals.apply(&mut row);
    args.fields.apply(&mut row);
    row.fqdn = args.fqdn.unwrap_or(row.fqdn);
    row.base_domain = args.base_domain.unwrap_or(row.base_domain);
    if row == known.value {
        return Ok(Shown::either(reach.json, &row, |it| format!("unchanged: {}\n", one_line(it))));
    }
    let written: Proxy = node.put(&path, known.etag.as_deref(), &row)?;
    Ok(Shown::either(reach.json, &written, |it| format!("changed {}\n", one_line(it))))
}
