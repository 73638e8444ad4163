//! `nantucket user …`: who is a user of an instance.

pub mod add;
pub mod export;
pub mod import;
pub mod list;
pub mod rm;
pub mod set;

use super::exit::Failure;
use super::reach::{Node, Reach, Tagged};
use super::show::{self, Shown};
use crate::admin::problem::Code;
use crate::admin::view::UserList;
use crate::control::plan::UsersTouched;
use crate::model::{Instance, User};

/// What to do with users.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the users of an instance
    List(list::Args),
    /// Add a user
    Add(add::Args),
    /// Change a user; what is not named stays
    Set(set::Args),
    /// Remove a user, or the whole list
    Rm(rm::Args),
    /// Take in users from a CSV or JSON file
    Import(import::Args),
    /// Write users as CSV
    Export(export::Args),
}

/// Carries it out.
pub fn execute(command: Command, reach: &Reach) -> Result<Shown, Failure> {
    match command {
        Command::List(args) => list::execute(&args, reach),
        Command::Add(args) => add::execute(args, reach),
        Command::Set(args) => set::execute(args, reach),
        Command::Rm(args) => rm::execute(&args, reach),
        Command::Import(args) => import::execute(&args, reach),
        Command::Export(args) => export::execute(&args, reach),
    }
}

/// The list of an instance; none where every account is a user of its own (R49).
fn fetch(node: &Node, instance: &str) -> Result<Option<Tagged<UserList>>, Failure> {
    match node.get(&["instances", instance, "users"], &[]) {
        Ok(list) => Ok(Some(list)),
        Err(Failure::Problem(problem)) if problem.code == Code::NotFound => {
            // The instance has no list, or there is no instance.
            node.get::<Instance>(&["instances", instance], &[])?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Where there is no list, and one is needed.
fn no_list(instance: &str) -> Failure {
    Failure::Refused(format!(
        "{instance} has no list of users: every account is a full user of its own. With a list only its accounts \
         register, so begin it with all of them: nantucket user import {instance} FILE"
    ))
}

fn find<'a>(list: &'a UserList, name: &str) -> Option<&'a User> {
    let label = name.to_lowercase();
    list.users.iter().find(|user| user.name.to_lowercase() == label)
}

fn one_line(user: &User) -> String {
    let (kind, class) = (show::word(&user.kind), show::word(&user.class));
    format!("{} ({kind}, {class}), accounts: {}", user.name, user.accounts.join(" "))
}

fn summary(touched: &UsersTouched, dry_run: bool) -> String {
    let UsersTouched { instance, count, added, removed, changed } = touched;
    let (has, count) = (if dry_run { "would have" } else { "has" }, count.unwrap_or_default());
    format!("{instance} {has} {count} users: {added} added, {changed} changed, {removed} removed\n")
}
