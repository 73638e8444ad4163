//! `nantucket certificate acme …`: certificates that an authority issues by itself.

use crate::acme::{State, Status};
use crate::admin::view::CertificateView;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::{self, Shown};
use crate::model::{Acme, AcmeChallenge, Certificate, SCHEMA};
use std::path::PathBuf;

/// What to do with them.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Have a certificate issued by an authority, and renewed in time
    Add(Add),
    /// Show how it stands with them
    Status,
    /// Order one now
    Renew(Renew),
}

/// The certificate.
#[derive(Debug, clap::Args)]
pub struct Add {
    /// Name by which proxies and instances refer to it
    name: String,
    /// A host it is for, which the authority reaches this node under; give it again for more
    #[arg(long = "host", value_name = "HOST", required = true)]
    hosts: Vec<String>,
    /// Address of the authority's directory
    #[arg(long, value_name = "URL", default_value = "https://acme-v02.api.letsencrypt.org/directory")]
    directory: String,
    /// A mail address the authority may write to; give it again for more
    #[arg(long = "contact", value_name = "MAIL")]
    contacts: Vec<String>,
    /// Agree to the authority's terms of service
    #[arg(long)]
    agree_terms: bool,
    /// How the hosts are shown to be ours: http-01 or tls-alpn-01
    #[arg(long, value_name = "CHALLENGE", default_value = "http-01",
        value_parser = crate::cli::instance::fields::word::<AcmeChallenge>)]
    challenge: AcmeChallenge,
    /// PEM file with the root of a private authority's own server
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Replace the certificate of that name; what it holds serves on until the new one is issued
    #[arg(long)]
    replace: bool,
}

/// Which one.
#[derive(Debug, clap::Args)]
pub struct Renew {
    /// Name of the certificate
    name: String,
}

/// Carries it out.
pub fn execute(command: Command, reach: &Reach) -> Result<Shown, Failure> {
    match command {
        Command::Add(args) => add(args, reach),
        Command::Status => status(reach),
        Command::Renew(args) => renew(&args, reach),
    }
}

fn add(args: Add, reach: &Reach) -> Result<Shown, Failure> {
    let root = args.root.as_deref().map(super::add::read).transpose()?.unwrap_or_default();
    let acme = Acme {
        names: args.hosts,
        directory: args.directory,
        contact: args.contacts,
        terms_agreed: args.agree_terms,
        challenge: args.challenge,
        root,
    };
    let (chain, key) = (String::new(), String::new());
    let row = Certificate { schema: SCHEMA, name: args.name.clone(), chain, key, acme: Some(acme) };
    let node = reach.node()?;
    let view: CertificateView = if args.replace {
        node.put(&["certificates", &args.name], None, &row)?
    } else {
        node.post(&["certificates"], &row).map_err(super::add::hint)?
    };
    Ok(Shown::either(reach.json, &view, |it| {
        format!("{} will be ordered; see: nantucket certificate acme status\n", it.name)
    }))
}

fn status(reach: &Reach) -> Result<Shown, Failure> {
    let rows: Vec<CertificateView> = reach.node()?.all(&["certificates"], &[])?;
    let rows: Vec<_> = rows.into_iter().filter(|row| row.acme.is_some()).collect();
    Ok(Shown::either(reach.json, &rows, |rows| text(rows)))
}

fn text(rows: &[CertificateView]) -> String {
    if rows.is_empty() {
        return "no certificates of an authority\n".into();
    }
    let lines = rows.iter().map(|row| {
        let status = row.acme_status.clone().unwrap_or_default();
        let until = if row.not_after == 0 { "-".into() } else { show::moment(row.not_after) };
        let next = if status.next == 0 { "now".into() } else { show::moment(status.next) };
        let hosts = show::list(row.acme.iter().flat_map(|acme| &acme.names));
        [row.name.clone(), hosts, show::word(&status.state), until, next]
    });
    let mut text = show::table(["NAME", "FOR", "STATE", "VALID UNTIL", "NEXT ORDER"], lines);
    for row in rows {
        if let Some(Status { state: State::Failed, error, advice, failures, .. }) = &row.acme_status {
            text.push_str(&format!("\n{}: failed {failures} times: {error}\n  {advice}\n", row.name));
        }
    }
    text
}

fn renew(args: &Renew, reach: &Reach) -> Result<Shown, Failure> {
    let status: Status = reach.node()?.post(&["certificates", &args.name, "renew"], &serde_json::json!({}))?;
    Ok(Shown::either(reach.json, &status, |_| {
        format!("{} is ordered now; see: nantucket certificate acme status\n", args.name)
    }))
}
