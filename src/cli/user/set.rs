//! `nantucket user set`: reads the user, changes what was named, writes it back if nobody else changed the list
//! meanwhile.

use super::{fetch, find, no_list, one_line};
use crate::admin::problem::{Code, Problem};
use crate::cli::exit::Failure;
use crate::cli::instance::fields::word;
use crate::cli::reach::Reach;
use crate::cli::show::Shown;
use crate::model::{DeviceClass, Kind, User};

/// What may be said about a user.
#[derive(Debug, clap::Args)]
pub struct Fields {
    /// Licensed as: full or light
    #[arg(long, value_name = "KIND", value_parser = word::<Kind>)]
    kind: Option<Kind>,
    /// What the device is: phone, softphone, fax, dect, adapter, camera or door
    #[arg(long, value_name = "CLASS", value_parser = word::<DeviceClass>)]
    class: Option<DeviceClass>,
    /// An account the devices register with; give it again for more
    #[arg(long = "account", value_name = "ACCOUNT")]
    accounts: Vec<String>,
}

impl Fields {
    /// Writes what was said into the row.
    pub(super) fn apply(self, row: &mut User) {
        if let Some(kind) = self.kind {
            row.kind = kind;
        }
        if let Some(class) = self.class {
            row.class = class;
        }
        if !self.accounts.is_empty() {
            row.accounts = self.accounts;
        }
    }
}

/// What to change.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the instance
    instance: String,
    /// The user's name
    name: String,
    #[command(flatten)]
    fields: Fields,
    /// An account to add to those there are; give it again for more
    #[arg(long = "add-account", value_name = "ACCOUNT", conflicts_with = "accounts")]
    added: Vec<String>,
    /// An account to take away; give it again for more
    #[arg(long = "remove-account", value_name = "ACCOUNT", conflicts_with = "accounts")]
    removed: Vec<String>,
}

/// Changes it.
pub fn execute(args: Args, reach: &Reach) -> Result<Shown, Failure> {
    let node = reach.node()?;
    let list = fetch(&node, &args.instance)?.ok_or_else(|| no_list(&args.instance))?;
    let Some(known) = find(&list.value, &args.name) else {
        return Err(Problem::new(Code::NotFound, format!("{} has no user {}", args.instance, args.name)).into());
    };
    let mut user = known.clone();
    args.fields.apply(&mut user);
    user.accounts.retain(|account| !args.removed.contains(account));
    user.accounts.extend(args.added);
    if user == *known {
        return Ok(Shown::either(reach.json, &user, |it| format!("unchanged: {}\n", one_line(it))));
    }
    let path = ["instances", args.instance.as_str(), "users", user.name.as_str()];
    let written: User = node.put(&path, list.etag.as_deref(), &user)?;
    Ok(Shown::either(reach.json, &written, |it| format!("changed {}\n", one_line(it))))
}
