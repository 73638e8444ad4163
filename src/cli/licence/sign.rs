//! What every document of the vendor's has: key, id, holder and dates; and where it goes.

use super::date::{Moment, moment};
use super::{inspect, key, qr};
use crate::cli::exit::Failure;
use crate::cli::show::Shown;
use crate::clock::Clock;
use crate::licence::terms::{Body, DocumentKind, SCHEMA, Terms};
use crate::licence::{Document, Signer};
use serde_json::json;
use std::path::PathBuf;

/// The vendor's options.
#[derive(Debug, clap::Args)]
pub struct Sign {
    /// Private key made by keygen
    #[arg(
        long,
        env = "NANTUCKET_VENDOR_KEY",
        hide_env_values = true,
        value_name = "FILE",
        required_unless_present = "demo"
    )]
    key: Option<PathBuf>,
    /// Sign with the built-in demo key: for trying out, on nodes that know no vendor's key
    #[arg(long, conflicts_with = "key")]
    demo: bool,
    /// Whom it is for
    #[arg(long, value_name = "NAME")]
    holder: String,
    /// Its id; without it, a new one. The same id with a later date takes the place of the earlier document
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Its date; without it, now
    #[arg(long, value_name = "DATE", value_parser = moment)]
    issued: Option<Moment>,
    /// From when on it is worth nothing: 2027-12-31 (its beginning in UTC), or 30d after its date
    #[arg(long, value_name = "DATE", value_parser = moment)]
    expires: Option<Moment>,
    /// File for the document; without it, standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// SVG file for a QR code of it; - shows the code on the terminal
    #[arg(long, value_name = "FILE")]
    qr: Option<PathBuf>,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

impl Sign {
    /// The document's date.
    pub(super) fn date(&self) -> u64 {
        let now = Clock::start().now().unix;
        self.issued.map_or(now, |it| it.from(now))
    }

    /// Signs and writes it.
    pub(super) fn issue(self, issued: u64, terms: Terms) -> Result<Shown, Failure> {
        let signer = match &self.key {
            Some(path) => key::read(path)?,
            None => Signer::demo(),
        };
        let id = match self.id {
            Some(id) => id,
            None => new_id(terms.kind(), issued)?,
        };
        let expires = self.expires.map(|it| it.from(issued));
        let body = Body { schema: SCHEMA, id, issued, holder: self.holder, expires, terms };
        let document =
            Document::issue(&body, &signer).map_err(|error| Failure::Refused(format!("not issued: {error}")))?;
        let blocks = self.qr.as_deref().map_or(Ok(None), |path| qr::write(&document, path))?;
        if let Some(path) = &self.output {
            std::fs::write(path, document.text())
                .map_err(|error| Failure::Usage(format!("{} cannot be written: {error}", path.display())))?;
        }
        let shown = json!({ "id": document.id(), "kind": document.kind(), "document": document.text() });
        Ok(Shown::either(self.json, &shown, |_| {
            let text = match &self.output {
                Some(path) => format!("issued, in {}:\n{}", path.display(), inspect::facts(&document)),
                None => document.text(),
            };
            text + &blocks.unwrap_or_default()
        }))
    }
}

/// An id nobody had: kind, day, and 32 random bits.
fn new_id(kind: DocumentKind, issued: u64) -> Result<String, Failure> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|error| Failure::Usage(format!("no randomness: {error}")))?;
    let day = i64::try_from(issued).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    let day = day.map_or_else(String::new, |day| day.strftime("%Y%m%d").to_string());
    Ok(format!("{}-{day}-{:08x}", kind.name(), u32::from_be_bytes(random)))
}
