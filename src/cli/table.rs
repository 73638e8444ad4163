//! `nantucket table`.

use super::exit::Failure;
use super::reach::Reach;
use super::show::{self, Shown};
use crate::control::service::{Source, TableInfo};

/// Shows the table's revision, hash and problems.
pub fn execute(reach: &Reach) -> Result<Shown, Failure> {
    let table: TableInfo = reach.node()?.get(&["table"], &[])?.value;
    Ok(Shown::either(reach.json, &table, text))
}

fn text(table: &TableInfo) -> String {
    let mut text = show::facts([
        ("revision", table.revision.to_string()),
        ("serving", format!("{} (from {})", table.serving, source(table.source))),
        ("age", show::duration(table.age)),
        ("hash", table.hash.clone()),
        ("instances", table.instances.to_string()),
        ("proxies", table.proxies.to_string()),
        ("certificates", table.certificates.to_string()),
    ]);
    text.push('\n');
    if table.problems.is_empty() {
        text.push_str("no problems\n");
        return text;
    }
    let rows = table
        .problems
        .iter()
        .map(|it| [it.row.clone(), it.field.clone(), it.reason.clone(), it.code.text().to_owned()]);
    text.push_str(&show::table(["ROW", "FIELD", "PROBLEM", "CODE"], rows));
    text
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Store => "the store",
        Source::LastGood => "the last good copy on disk",
    }
}
