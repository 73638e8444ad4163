//! `nantucket licence inspect`.

use super::{qr, read};
use crate::cli::exit::Failure;
use crate::cli::show::{self, Shown};
use crate::licence::terms::{Right, Terms, moment};
use crate::licence::{Document, armour};
use crate::model::{Kind, Seats};
use serde_json::json;
use std::path::PathBuf;

/// The document.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File with documents; - is standard input
    file: PathBuf,
    /// SVG file for a QR code of it; - shows the code on the terminal
    #[arg(long, value_name = "FILE")]
    qr: Option<PathBuf>,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Shows it.
pub fn execute(args: &Args) -> Result<Shown, Failure> {
    let text = read::text(&args.file)?;
    let refused = |error| Failure::Refused(format!("{}: {error}", args.file.display()));
    let documents: Vec<Document> =
        armour::split(&text).into_iter().map(Document::parse).collect::<Result<_, _>>().map_err(refused)?;
    let mut blocks = String::new();
    if let Some(path) = &args.qr {
        let [document] = documents.as_slice() else {
            return Err(Failure::Usage("a QR code holds one document, and there are several".to_owned()));
        };
        blocks = qr::write(document, path)?.unwrap_or_default();
    }
    let shown: Vec<_> = documents.iter().map(|it| json!({ "key": it.key(), "content": it.body() })).collect();
    Ok(Shown::either(args.json, &shown, |_| {
        let facts: Vec<String> = documents.iter().map(facts).collect();
        facts.join("\n") + "\nthe signature was not checked: `nantucket licence verify` does that\n" + &blocks
    }))
}

/// What a document says.
pub(super) fn facts(document: &Document) -> String {
    let body = document.body();
    let mut facts = vec![
        ("kind", document.kind().title().to_owned()),
        ("id", body.id.clone()),
        ("holder", body.holder.clone()),
        ("issued", moment(body.issued)),
        ("expires", body.expires.map_or_else(|| "never".to_owned(), moment)),
        ("signed with", document.key().to_owned()),
    ];
    facts.extend(terms(&body.terms));
    show::facts(facts)
}

fn terms(terms: &Terms) -> Vec<(&'static str, String)> {
    let machine = |id: &Option<_>| match id {
        Some(id) => format!("{id}"),
        None => "the first it is installed on".to_owned(),
    };
    match terms {
        Terms::Volume(it) => vec![
            ("users", users(it.users)),
            ("soft clients", softphones(&it.rights)),
            ("machine", machine(&it.hardware)),
        ],
        Terms::Server(it) => vec![
            ("edition", it.edition.name().to_owned()),
            ("included users", it.included.to_string()),
            ("release", it.entitlement.to_string()),
            ("soft clients", softphones(&it.rights)),
            ("machine", machine(&it.hardware)),
        ],
        Terms::Pack(it) => vec![
            ("users", users(seats(it.kind, it.count))),
            ("release", it.entitlement.to_string()),
            ("server licence", it.server.clone().unwrap_or_else(|| "any".to_owned())),
        ],
        Terms::Feature(it) => vec![
            ("soft clients", softphones(&it.rights)),
            ("release", it.entitlement.to_string()),
            ("server licence", it.server.clone()),
        ],
        Terms::Contract(it) => vec![
            ("server licence", it.server.clone()),
            ("release", it.release.to_string()),
            ("from", moment(it.from)),
            ("until", moment(it.until)),
        ],
        Terms::Confirmation(it) => vec![
            ("licence", it.licence.clone()),
            ("machine", it.hardware.to_string()),
            ("revoked", show::list(it.revoked)),
        ],
        Terms::Detachment(it) => vec![("licence", it.licence.clone()), ("server licence", it.server.clone())],
    }
}

const fn seats(kind: Kind, count: u32) -> Seats {
    match kind {
        Kind::Full => Seats { full: count, light: 0 },
        Kind::Light => Seats { full: 0, light: count },
    }
}

fn users(seats: Seats) -> String {
    format!("{} full, {} light", seats.full, seats.light)
}

fn softphones(rights: &[Right]) -> String {
    if rights.contains(&Right::Softphone) { "yes" } else { "no" }.to_owned()
}
