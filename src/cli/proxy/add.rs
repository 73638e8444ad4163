//! `nantucket proxy add`.

use super::fields::Fields;
use super::show::one_line;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use crate::model::Proxy;

/// The new proxy.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its name
    name: String,
    /// Complete host name that clients are given
    #[arg(long, value_name = "HOST")]
    fqdn: String,
    /// Domain under which NAME.DOMAIN selects an instance; without it, the host name
    #[arg(long, value_name = "DOMAIN")]
    base_domain: Option<String>,
    #[command(flatten)]
    fields: Fields,
}

/// Creates it.
pub fn execute(args: Args, reach: &Reach) -> Result<Shown, Failure> {
    let mut row = Proxy::named(&args.name, &args.fqdn, args.base_domain.as_deref().unwrap_or(&args.fqdn));
    args.fields.apply(&mut row);
    let made: Proxy = reach.node()?.post(&["proxies"], &row)?;
    Ok(Shown::either(reach.json, &made, |it| format!("created {}\n", one_line(it))))
}
