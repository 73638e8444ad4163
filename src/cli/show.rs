//! How results are shown: tables for people, JSON for scripts.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, ContentArrangement, Table};
use serde::Serialize;

/// The result of a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// What stdout shows.
    pub text: String,
    /// Whether it says that something would be refused: exit code 1 all the same.
    pub refused: bool,
}

impl Shown {
    /// JSON if asked for, else what `text` makes.
    pub fn either<T: Serialize>(json: bool, value: &T, text: impl FnOnce(&T) -> String) -> Self {
        let text = if json { serde_json::to_string_pretty(value).unwrap_or_default() + "\n" } else { text(value) };
        Self { text, refused: false }
    }
}

/// A table without lines, its heading in bold on a terminal.
pub fn table<const N: usize>(heading: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(heading.map(|text| Cell::new(text).add_attribute(Attribute::Bold)));
    for row in rows {
        table.add_row(row);
    }
    lines(&table)
}

/// Names and values, one pair a line.
pub fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    for (name, value) in facts {
        table.add_row([Cell::new(name).add_attribute(Attribute::Bold), Cell::new(value)]);
    }
    lines(&table)
}

fn lines(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.strip_prefix(' ').unwrap_or(&line).trim_end());
        text.push('\n');
    }
    text
}

/// Words with commas, or a dash.
pub fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "-".into() } else { items.join(", ") }
}

/// The word a serialised enum has on the wire.
pub fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// Unix seconds as a date and time in UTC.
pub fn moment(unix: u64) -> String {
    i64::try_from(unix)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| "-".into(), |timestamp| timestamp.to_string())
}

/// Seconds in words: `3d 4h`, `5m 2s`.
pub fn duration(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m {rest}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_trailing_blanks() {
        let text = table(["NAME", "STATE"], [["acme".into(), "on".into()], ["a-longer-name".into(), "off".into()]]);
        let plain: Vec<_> = text.lines().collect();
        assert_eq!(plain.len(), 3);
        assert!(plain[1].starts_with("acme") && plain[2].starts_with("a-longer-name"));
        assert_eq!(plain[1].find("on"), plain[2].find("off"));
        assert!(plain.iter().all(|line| line.trim_end() == *line));
    }

    #[test]
    fn durations_and_moments_are_read_by_people() {
        let shown = [0, 59, 61, 3_600, 90_061].map(duration);
        assert_eq!(shown, ["0s", "59s", "1m 1s", "1h 0m", "1d 1h"]);
        assert_eq!(moment(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(moment(u64::MAX), "-");
    }
}
