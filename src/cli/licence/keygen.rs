//! `nantucket licence keygen`.

use super::key;
use crate::cli::exit::Failure;
use crate::cli::show::Shown;
use serde_json::json;
use std::path::PathBuf;

/// The key.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its id, part of every document it signs: small letters, digits, dots and dashes, as in acme-2026. Keys for
    /// tests start with test-; nodes that know another key refuse them
    id: String,
    /// File for the private key; without it, ID.key. It is never overwritten
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Makes it.
pub fn execute(args: &Args) -> Result<Shown, Failure> {
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.key", args.id)));
    let signer = key::make(&args.id, &path)?;
    let (id, public, file) = (signer.id(), signer.public(), path.display().to_string());
    Ok(Shown::either(args.json, &json!({ "id": id, "key": public, "file": file }), |_| {
        format!(
            "the private key is in {file}: keep a copy in a safe place, and show it to nobody\n\n\
             in the configuration of every node that is to accept its licences:\n\n\
             [licence]\nvendor_keys = [{{ id = \"{id}\", key = \"{public}\" }}]\n"
        )
    }))
}
