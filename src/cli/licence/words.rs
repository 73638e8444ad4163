//! Licences in words, as the operator's commands show them.

use crate::cli::show;
use crate::control::licence::view::InstalledLicence;
use crate::model::Seats;

/// A licence in one line, for what a change reports.
pub(super) fn line(row: &InstalledLicence) -> String {
    let mut text = format!("{} ({}): {}", row.id, show::word(&row.kind), grants(row));
    if let Some(bound) = &row.binding {
        text.push_str(&format!(", {}", show::word(&bound.state)));
        if let Some(deadline) = bound.deadline {
            text.push_str(&format!(" until {}", show::moment(deadline)));
        }
    }
    text
}

/// What a licence grants.
pub(super) fn grants(row: &InstalledLicence) -> String {
    let edition = row.edition.map(|edition| show::word(&edition));
    let release = row.entitlement.as_ref().map(|release| format!("up to {release}"));
    show::list(edition.into_iter().chain(row.users.map(both)).chain(release))
}

/// What a licence belongs to.
pub(super) fn attached(row: &InstalledLicence) -> String {
    let instance = row.instance.as_ref().map(|name| format!("instance {name}"));
    show::list(instance.into_iter().chain(row.server.clone()))
}

/// Users of both kinds.
pub(super) fn both(seats: Seats) -> String {
    match seats {
        Seats { full, light: 0 } => format!("{full} full"),
        Seats { full: 0, light } => format!("{light} light"),
        Seats { full, light } => format!("{full} full, {light} light"),
    }
}
