//! `nantucket audit`.

use super::exit::Failure;
use super::reach::Reach;
use super::show::{self, Shown};
use crate::control::store::{AuditEntry, AuditPage};
use serde_json::Value;

/// Which entries.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only changes of this row, as in instance/acme
    #[arg(value_name = "ROW")]
    object: Option<String>,
    /// How many at most, newest first
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only entries older than this number
    #[arg(long, value_name = "ID")]
    before: Option<u64>,
}

/// Lists them.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.object.clone().map(|object| ("object", object)));
    query.extend(args.before.map(|id| ("before", id.to_string())));
    let page: AuditPage = reach.node()?.get(&["audit"], &query)?.value;
    Ok(Shown::either(reach.json, &page, text))
}

fn text(page: &AuditPage) -> String {
    if page.entries.is_empty() {
        return "no entries\n".into();
    }
    let rows = page.entries.iter().map(|entry| {
        let AuditEntry { id, revision, at, who, action, object, before, after } = entry;
        [
            id.to_string(),
            show::moment(*at),
            revision.to_string(),
            who.clone(),
            action.clone(),
            object.clone(),
            fields(before.as_ref(), after.as_ref()),
        ]
    });
    let mut text = show::table(["ID", "WHEN", "REVISION", "WHO", "WHAT", "ROW", "FIELDS"], rows);
    if let Some(next) = page.next {
        text.push_str(&format!("older ones: --before {next}\n"));
    }
    text
}

/// The names of the fields that differ; `--json` has the rows themselves.
fn fields(before: Option<&Value>, after: Option<&Value>) -> String {
    let (Some(Value::Object(before)), Some(Value::Object(after))) = (before, after) else { return "-".into() };
    let changed = before.iter().filter(|(name, value)| after.get(*name) != Some(value)).map(|(name, _)| name);
    let added = after.keys().filter(|name| !before.contains_key(*name));
    show::list(changed.chain(added))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // R77
    #[test]
    fn the_fields_that_differ_are_named() {
        let (before, after) = (json!({"a": 1, "b": 2, "c": 3}), json!({"a": 1, "b": 5, "d": 4}));
        assert_eq!(fields(Some(&before), Some(&after)), "b, c, d");
        assert_eq!(fields(None, Some(&after)), "-");
    }
}
