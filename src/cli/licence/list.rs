//! `nantucket licence list`.

use super::words::{attached, grants};
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::{self, Shown};
use crate::control::licence::view::InstalledLicence;

/// Lists the licences installed.
pub fn execute(reach: &Reach) -> Result<Shown, Failure> {
    let rows: Vec<InstalledLicence> = reach.node()?.all(&["licences"], &[])?;
    Ok(Shown::either(reach.json, &rows, |rows| text(rows)))
}

fn text(rows: &[InstalledLicence]) -> String {
    if rows.is_empty() {
        return "no licences: community instances work without one\n".into();
    }
    let rows = rows.iter().map(|row| {
        let state = match (&row.void, &row.binding) {
            (Some(_), _) => "void".to_owned(),
            (None, Some(bound)) => show::word(&bound.state),
            (None, None) => "valid".into(),
        };
        let ends = row.binding.as_ref().and_then(|bound| bound.deadline).into_iter().chain(row.expires).min();
        let ends = ends.map_or_else(|| "-".into(), show::moment);
        [row.id.clone(), show::word(&row.kind), grants(row), attached(row), state, ends, row.holder.clone()]
    });
    show::table(["ID", "KIND", "GRANTS", "BELONGS TO", "STATE", "ENDS", "HOLDER"], rows)
}
