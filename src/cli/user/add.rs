//! `nantucket user add`.

use super::{fetch, find, no_list, one_line, set};
use crate::admin::view::UserList;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use crate::control::plan::UsersTouched;
use crate::model::User;

/// The new user.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the instance
    instance: String,
    /// The user's name
    name: String,
    #[command(flatten)]
    fields: set::Fields,
    /// Begin the list with this user, where there is none: all other accounts are refused from then on
    #[arg(long)]
    begin: bool,
}

/// Adds it.
pub fn execute(args: Args, reach: &Reach) -> Result<Shown, Failure> {
    let node = reach.node()?;
    let path = ["instances", args.instance.as_str(), "users"];
    let known = fetch(&node, &args.instance)?;
    if let Some(user) = known.as_ref().and_then(|list| find(&list.value, &args.name)) {
        let hint = format!("nantucket user set {} \"{}\"", args.instance, user.name);
        return Err(Failure::Refused(format!("there is a user {} already; change it with {hint}", user.name)));
    }
    let mut user = User { name: args.name, ..User::default() };
    args.fields.apply(&mut user);
    let etag = match known {
        Some(list) => list.etag,
        None if args.begin => {
            let _: UsersTouched = node.post(&path, &UserList { users: vec![user.clone()] })?;
            return Ok(Shown::either(reach.json, &user, |it| format!("added {}\n", one_line(it))));
        }
        None => return Err(no_list(&args.instance)),
    };
    let made: User = node.put(&["instances", &args.instance, "users", &user.name], etag.as_deref(), &user)?;
    Ok(Shown::either(reach.json, &made, |it| format!("added {}\n", one_line(it))))
}
