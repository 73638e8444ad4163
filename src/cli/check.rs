//! `nantucket check`: a configuration and a table file, without a node.

use super::exit::Failure;
use super::file::{Finding, Source};
use super::plan::finding;
use super::show::{self, Shown};
use crate::admin::view::Wanted;
use crate::clock::Clock;
use crate::config;
use crate::control::offline;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Which files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Bootstrap file; without it and without --file, the default one, under the environment's variables
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Table file, TOML or JSON, with all rows that its rows refer to; - is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// What was checked and found sound.
#[derive(Debug, Default, Serialize)]
struct Sound {
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<Table>,
}

#[derive(Debug, Serialize)]
struct Table {
    file: String,
    instances: usize,
    proxies: usize,
    certificates: usize,
}

/// Checks them.
pub fn execute(args: &Args) -> Result<Shown, Failure> {
    let mut sound = Sound::default();
    if args.config.is_some() || args.file.is_none() {
        let path = args.config.as_deref();
        config::file::load(path, &|name| std::env::var(name).ok())
            .map_err(|error| Failure::Refused(error.to_string()))?;
        let shown = path.map_or_else(|| "the default configuration".into(), |path| path.display().to_string());
        sound.config = Some(shown);
    }
    if let Some(path) = &args.file {
        sound.table = Some(table(path)?);
    }
    Ok(Shown::either(args.json, &sound, text))
}

fn table(path: &Path) -> Result<Table, Failure> {
    let source = Source::read(path)?;
    let wanted: Wanted = source.parse()?;
    let changes: Vec<_> = wanted.clone().into_changes().collect();
    let now = Clock::start().now().unix;
    let found = offline::problems(&changes, now).map_err(|error| {
        Failure::Refused(format!("{}: {error}: a single change needs its row in the file", path.display()))
    })?;
    let findings: Vec<Finding> = found.iter().map(|problem| finding(&wanted, problem)).collect();
    if !findings.is_empty() {
        return Err(Failure::Refused(format!("the table is not valid:\n{}", source.report(&findings).trim_end())));
    }
    Ok(Table {
        file: path.display().to_string(),
        instances: wanted.instances.len(),
        proxies: wanted.proxies.len(),
        certificates: wanted.certificates.len(),
    })
}

fn text(sound: &Sound) -> String {
    let config = sound.config.as_ref().map(|file| ("configuration", format!("{file} is valid")));
    let table = sound.table.as_ref().map(|it| {
        let Table { file, instances, proxies, certificates } = it;
        ("table", format!("{file} is valid: {instances} instances, {proxies} proxies, {certificates} certificates"))
    });
    show::facts(config.into_iter().chain(table))
}
