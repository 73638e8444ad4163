//! `nantucket licence verify` (R64).

use super::read;
use crate::cli::exit::Failure;
use crate::cli::show::Shown;
use crate::clock::Clock;
use crate::licence::terms::moment;
use crate::licence::{Document, Keys, armour};
use serde_json::json;
use std::path::PathBuf;

/// The document, and whose it should be.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File with documents; - is standard input
    file: PathBuf,
    /// The vendor's public key; again for another. Without one only the built-in demo key is known
    #[arg(long, env = "NANTUCKET_LICENCE_VENDOR_KEYS", value_delimiter = ',', value_name = "ID=KEY")]
    key: Vec<String>,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Checks it.
pub fn execute(args: &Args) -> Result<Shown, Failure> {
    let keys = keys(&args.key)?;
    let text = read::text(&args.file)?;
    let now = Clock::start().now().unix;
    let read = |text| Document::read(text, &keys, now);
    let documents: Vec<Document> = armour::split(&text)
        .into_iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::Refused(format!("{}: {error}", args.file.display())))?;
    let shown: Vec<_> = documents
        .iter()
        .map(|it| json!({ "id": it.id(), "kind": it.kind(), "key": it.key(), "expires": it.body().expires }))
        .collect();
    Ok(Shown::either(args.json, &shown, |_| documents.iter().map(line).collect()))
}

fn line(document: &Document) -> String {
    let until = document.body().expires.map_or_else(String::new, |at| format!(" until {}", moment(at)));
    let (title, id, holder, key) = (document.kind().title(), document.id(), &document.body().holder, document.key());
    format!("genuine and valid{until}: {title} {id} for {holder}, signed with {key}\n")
}

fn keys(given: &[String]) -> Result<Keys, Failure> {
    let pair = |text: &String| -> Result<(String, String), Failure> {
        let (id, key) = text.split_once('=').ok_or_else(|| Failure::Usage(format!("{text:?}: ID=KEY is expected")))?;
        Ok((id.trim().to_owned(), key.trim().to_owned()))
    };
    let pairs: Vec<_> = given.iter().filter(|it| !it.trim().is_empty()).map(pair).collect::<Result<_, _>>()?;
    Keys::new(pairs.iter().map(|(id, key)| (id.as_str(), key.as_str())))
        .map_err(|error| Failure::Usage(error.to_string()))
}
