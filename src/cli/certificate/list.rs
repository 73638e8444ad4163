//! `nantucket certificate list`.

use crate::admin::view::CertificateView;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::{self, Shown};

/// Lists them.
pub fn execute(reach: &Reach) -> Result<Shown, Failure> {
    let rows: Vec<CertificateView> = reach.node()?.all(&["certificates"], &[])?;
    Ok(Shown::either(reach.json, &rows, |rows| text(rows)))
}

fn text(rows: &[CertificateView]) -> String {
    if rows.is_empty() {
        return "no certificates\n".into();
    }
    let rows = rows.iter().map(|row| {
        [
            row.name.clone(),
            show::list(&row.names),
            if row.not_after == 0 { "not issued yet".into() } else { show::moment(row.not_after) },
            row.issuer.clone(),
        ]
    });
    show::table(["NAME", "FOR", "VALID UNTIL", "ISSUER"], rows)
}
