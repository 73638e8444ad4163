//! `nantucket certificate add`.

use crate::admin::problem::Code;
use crate::admin::view::CertificateView;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::{self, Shown};
use crate::model::Certificate;
use std::path::{Path, PathBuf};

/// The certificate.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name by which proxies refer to it
    name: String,
    /// PEM file with the chain, leaf first
    #[arg(long, value_name = "FILE")]
    chain: PathBuf,
    /// PEM file with the private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Replace the certificate of that name; connections stay
    #[arg(long)]
    replace: bool,
}

/// Adds or replaces it.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let row = Certificate::own(&args.name, &read(&args.chain)?, &read(&args.key)?);
    let node = reach.node()?;
    let view: CertificateView = if args.replace {
        node.put(&["certificates", &args.name], None, &row)?
    } else {
        node.post(&["certificates"], &row).map_err(hint)?
    };
    let verb = if args.replace { "replaced" } else { "added" };
    Ok(Shown::either(reach.json, &view, |it| {
        let (names, until) = (show::list(&it.names), show::moment(it.not_after));
        format!("{verb} {} for {names}, valid until {until}\n", it.name)
    }))
}

pub(super) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", path.display())))
}

pub(super) fn hint(failure: Failure) -> Failure {
    match failure {
        Failure::Problem(mut problem) if problem.code == Code::Conflict => {
            problem.detail.push_str("; replace it with --replace");
            Failure::Problem(problem)
        }
        other => other,
    }
}
