//! `nantucket proxy list`.

use super::show::listeners;
use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::{self, Shown};
use crate::model::Proxy;

/// Lists them.
pub fn execute(reach: &Reach) -> Result<Shown, Failure> {
    let rows: Vec<Proxy> = reach.node()?.all(&["proxies"], &[])?;
    Ok(Shown::either(reach.json, &rows, |rows| text(rows)))
}

fn text(rows: &[Proxy]) -> String {
    if rows.is_empty() {
        return "no proxies\n".into();
    }
    let rows = rows.iter().map(|row| {
        let serves = row.instances.as_ref().map_or_else(|| "all".into(), show::list);
        [row.name.clone(), row.fqdn.clone(), row.base_domain.clone(), listeners(row), serves]
    });
    show::table(["NAME", "FQDN", "BASE DOMAIN", "LISTENERS", "INSTANCES"], rows)
}
