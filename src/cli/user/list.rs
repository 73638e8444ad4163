//! `nantucket user list`.

use super::fetch;
use crate::admin::view::UserList;
use crate::cli::exit::Failure;
use crate::cli::instance::fields::word;
use crate::cli::reach::Reach;
use crate::cli::show::{self, Shown};
use crate::model::Kind;
use serde_json::json;

/// Which ones.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the instance
    instance: String,
    /// Only those whose name or account holds this text
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// Only those of this kind: full or light
    #[arg(long, value_name = "KIND", value_parser = word::<Kind>)]
    kind: Option<Kind>,
}

/// Lists them.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let Some(list) = fetch(&reach.node()?, &args.instance)? else {
        return Ok(Shown::either(reach.json, &json!(null), |_| {
            "no list of users: every account is a full user of its own\n".into()
        }));
    };
    let mut list = list.value;
    let wanted = args.text.as_ref().map(|text| text.to_lowercase());
    let holds = |text: &str| wanted.as_ref().is_none_or(|wanted| text.to_lowercase().contains(wanted));
    list.users.retain(|user| {
        args.kind.is_none_or(|kind| user.kind == kind)
            && (holds(&user.name) || user.accounts.iter().any(|account| holds(account)))
    });
    Ok(Shown::either(reach.json, &list.users, |_| text(&list)))
}

fn text(list: &UserList) -> String {
    if list.users.is_empty() {
        return "no users\n".into();
    }
    let rows = list
        .users
        .iter()
        .map(|user| [user.name.clone(), show::word(&user.kind), show::word(&user.class), user.accounts.join(" ")]);
    show::table(["NAME", "KIND", "CLASS", "ACCOUNTS"], rows)
}
