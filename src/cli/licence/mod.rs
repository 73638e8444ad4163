//! `nantucket licence …`.
//!
//! The vendor's side works offline and needs no node: `keygen`, `issue`, `confirm`, `detach`, `inspect`, `verify`, with
//! what they share in `key`, `sign`, `date`, `qr` and `read`. The operator's side talks to a node: the other commands,
//! with what they show in `words`.

pub mod attach;
pub mod book;
pub mod confirm;
mod date;
pub mod detach;
pub mod dry_run;
pub mod export;
pub mod hardware;
pub mod inspect;
pub mod install;
pub mod issue;
mod key;
pub mod keygen;
pub mod list;
mod qr;
mod read;
pub mod remove;
pub mod report;
pub mod show;
mod sign;
pub mod sizing;
pub mod verify;
mod words;

use super::With;
use super::exit::Failure;
use super::reach::Reach;
use super::show::Shown;

/// What to do with licences.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Install a licence, or a confirmation or detachment of the vendor (System > Update License)
    Install(With<install::Args>),
    /// List the licences installed
    List(Reach),
    /// Show a licence, or without an id the pool and what each instance may use
    Show(With<show::Args>),
    /// Remove a licence that nothing uses
    Remove(With<remove::Args>),
    /// Attach a pack or feature licence to a server licence
    Attach(With<attach::Args>),
    /// Release a pack or feature licence from its server licence
    Release(With<attach::Release>),
    /// Book users of the volume licence for an instance, or change its mode
    Book(With<book::Args>),
    /// Show what is licensed, unassigned, assigned and unused, and used
    Report(With<report::Args>),
    /// Show what would be refused right now with another booking, another licence or on another machine
    DryRun(With<dry_run::Args>),
    /// Show this machine's hardware id and what it is made of
    Hardware(Reach),
    /// Write the licence book to a file
    Export(With<export::Args>),
    /// Put back what an exported book held
    Restore(With<export::Restore>),
    /// Say how much memory instances and proxies take; works without a node
    Sizing(sizing::Args),
    /// Vendor: make a key pair to sign licences with
    Keygen(keygen::Args),
    /// Vendor: issue a licence
    #[command(subcommand)]
    Issue(issue::Command),
    /// Vendor: confirm the move of a licence to another machine
    Confirm(confirm::Args),
    /// Vendor: take a licence out of its update contract
    Detach(detach::Args),
    /// Show what a licence document says, whoever signed it
    Inspect(inspect::Args),
    /// Check that a licence document is genuine and valid now
    Verify(verify::Args),
}

/// Carries it out.
pub fn execute(command: Command) -> Result<Shown, Failure> {
    match command {
        Command::Install(it) => install::execute(&it.args, &it.reach),
        Command::List(reach) => list::execute(&reach),
        Command::Show(it) => show::execute(&it.args, &it.reach),
        Command::Remove(it) => remove::execute(&it.args, &it.reach),
        Command::Attach(it) => attach::attach(&it.args, &it.reach),
        Command::Release(it) => attach::release(&it.args, &it.reach),
        Command::Book(it) => book::execute(it.args, &it.reach),
        Command::Report(it) => report::execute(&it.args, &it.reach),
        Command::DryRun(it) => dry_run::execute(it.args, &it.reach),
        Command::Hardware(reach) => hardware::execute(&reach),
        Command::Export(it) => export::export(&it.args, &it.reach),
        Command::Restore(it) => export::restore(&it.args, &it.reach),
        Command::Sizing(args) => sizing::execute(&args),
        Command::Keygen(args) => keygen::execute(&args),
        Command::Issue(command) => issue::execute(command),
        Command::Confirm(args) => confirm::execute(args),
        Command::Detach(args) => detach::execute(args),
        Command::Inspect(args) => inspect::execute(&args),
        Command::Verify(args) => verify::execute(&args),
    }
}
