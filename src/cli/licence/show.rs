//! `nantucket licence show`: one licence, or what all of them come to.

use super::words::{attached, both, grants};
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::{self, Shown};
use crate::control::licence::view::{InstalledLicence, InstanceLicence, LicenceState, StandingView};

/// Which one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of a licence; without it, the pool and what each instance may use
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Print the document as it was signed
    #[arg(long, requires = "id")]
    document: bool,
}

/// Shows it.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let node = reach.node()?;
    let Some(id) = &args.id else {
        let state: LicenceState = node.get(&["licence"], &[])?.value;
        return Ok(Shown::either(reach.json, &state, all));
    };
    let row: InstalledLicence = node.get(&["licences", id], &[])?.value;
    Ok(Shown::either(reach.json, &row, |row| if args.document { row.document.clone() } else { one(row) }))
}

fn one(row: &InstalledLicence) -> String {
    let mut facts = vec![
        ("id", row.id.clone()),
        ("kind", show::word(&row.kind)),
        ("holder", row.holder.clone()),
        ("grants", grants(row)),
        ("belongs to", attached(row)),
        ("rights", show::list(row.rights.iter().map(show::word))),
        ("issued", show::moment(row.issued)),
        ("installed", show::moment(row.installed)),
        ("expires", row.expires.map_or_else(|| "never".into(), show::moment)),
        ("signed with", row.key.clone()),
    ];
    if let Some(entitlement) = &row.entitlement {
        facts.push(("up to release", entitlement.clone()));
    }
    if let Some(bound) = &row.binding {
        let until = bound.deadline.map_or_else(String::new, |at| format!(" until {}", show::moment(at)));
        facts.push(("binding", format!("{}{until}, to {}", show::word(&bound.state), bound.hardware)));
    }
    if let Some(why) = &row.void {
        facts.push(("void", why.clone()));
    }
    show::facts(facts)
}

fn all(state: &LicenceState) -> String {
    let mut facts = vec![("hardware id", state.hardware.id.clone())];
    match &state.pool {
        None => facts.push(("volume licence", "none".into())),
        Some(pool) => {
            facts.push(("volume licence", pool.licence.clone()));
            facts.push(("licensed", both(pool.licensed)));
            facts.push(("booked", both(pool.booked)));
            facts.push(("unassigned", both(pool.unassigned)));
            if pool.over_allocated != crate::model::Seats::default() {
                facts.push(("over-allocated by", both(pool.over_allocated)));
            }
        }
    }
    facts.push(("community", format!("{} of 3 instances", state.community)));
    facts.push(("next change", state.next_change.map_or_else(|| "-".into(), show::moment)));
    let mut text = show::facts(facts);
    for warning in &state.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    if !state.instances.is_empty() {
        text.push('\n');
        text.push_str(&instances(&state.instances));
    }
    text
}

fn instances(instances: &[InstanceLicence]) -> String {
    let rows = instances.iter().map(|it| {
        let standing = match (it.standing, it.until) {
            (StandingView::Active, Some(until)) => format!("active until {}", show::moment(until)),
            (standing, _) => show::word(&standing),
        };
        let users = it.total.map_or_else(|| both(it.seats), |total| format!("{total} in all"));
        [
            it.name.clone(),
            show::word(&it.state),
            show::word(&it.licence.mode),
            users,
            both(it.used),
            standing,
            if it.softphones { "yes".into() } else { "no".into() },
        ]
    });
    show::table(["INSTANCE", "STATE", "MODE", "USERS", "USED", "STANDING", "SOFT CLIENTS"], rows)
}
