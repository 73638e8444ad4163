//! `nantucket proxy add`.

use super::fields::Fields;
use super::show::one_line;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use crate::ids::ProxyId;
use crate::model::{Proxy, SCHEMA, Unknown};

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
    let mut row = Proxy {
        schema: SCHEMA,
        id: ProxyId(0),
        name: args.name,
        base_domain: args.base_domain.unwrap_or_else(|| args.fqdn.clone()),
        fqdn: args.fqdn,
        listeners: Vec::new(),
        instances: None,
        default_instance: None,
        redirection_url: None,
        certificate: None,
        unknown: Unknown::default(),
        https_redirect: true,
        trusted_peers: Vec::new(),
    };
    args.fields.apply(&mut row);
    let made: Proxy = reach.node()?.post(&["proxies"], &row)?;
    Ok(Shown::either(reach.json, &made, |it| format!("created {}\n", one_line(it))))
}
