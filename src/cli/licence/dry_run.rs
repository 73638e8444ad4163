//! `nantucket licence dry-run`: what would be refused right now, if something were different.

use super::read;
use super::words::both;
use crate::cli::exit::Failure;
use crate::cli::instance::fields::Licence;
use crate::cli::reach::Reach;
use crate::cli::show::{self, Shown};
use crate::control::licence::view::{DryRun, Supposed, SupposedBooking};
use crate::model::Licensing;
use std::path::PathBuf;

/// What is supposed.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["instance", "document", "moved"]))]
pub struct Args {
    /// An instance with another mode or booking, as --mode, --users, --light and --server say
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    #[command(flatten)]
    licence: Licence,
    /// A licence that would be installed; - is standard input
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// Another machine: another CPU, or a new key pair
    #[arg(long)]
    moved: bool,
}

/// Shows what it would mean. Refused if the change itself would be.
pub fn execute(args: Args, reach: &Reach) -> Result<Shown, Failure> {
    let node = reach.node()?;
    let booking = match args.instance {
        None => None,
        Some(instance) => {
            let mut licence = node.get::<Licensing>(&["instances", &instance, "licence"], &[])?.value;
            args.licence.apply(&mut licence);
            Some(SupposedBooking { instance, licence })
        }
    };
    let document = args.document.as_deref().map(read::text).transpose()?;
    let supposed = Supposed { booking, document, moved: args.moved };
    let run: DryRun = node.post(&["licence", "dry-run"], &supposed)?;
    Ok(Shown { refused: !run.problems.is_empty(), ..Shown::either(reach.json, &run, text) })
}

fn text(run: &DryRun) -> String {
    let mut text = String::new();
    for problem in &run.problems {
        text.push_str(&format!("it would be refused: {problem}\n"));
    }
    for note in &run.notes {
        text.push_str(&format!("{note}\n"));
    }
    if run.instances.is_empty() {
        text.push_str("no instance's users would notice\n");
        return text;
    }
    let rows = run.instances.iter().map(|it| {
        let clients = if it.softphones_refused { "refused" } else { "as now" };
        [it.name.clone(), both(it.before), both(it.after), both(it.used), both(it.refused), clients.to_owned()]
    });
    text.push_str(&show::table(["INSTANCE", "NOW", "THEN", "USED", "REFUSED", "SOFT CLIENTS"], rows));
    for it in run.instances.iter().filter(|it| !it.users.is_empty()) {
        text.push_str(&format!("refused in {} if they registered anew: {}\n", it.name, show::list(&it.users)));
    }
    text.push_str(&format!("{} users in all; whoever is registered stays\n", run.refused));
    text
}
