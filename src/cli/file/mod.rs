//! Files that people write, in TOML or JSON: read with errors that name file, line and key.
//!
//! What a document means is not known here. Used by `plan` and `check`.

mod position;

use super::exit::Failure;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report};
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;
/// Findings that are shown with their lines; the rest is counted.
const MAX_SHOWN: usize = 20;

/// One step of a path such as `instances[3].name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A member of a table.
    Key(String),
    /// An element of a list.
    Index(usize),
}

/// Takes a path apart.
pub fn steps(path: &str) -> Vec<Step> {
    path.split(['.', '[', ']'])
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().map_or_else(|_| Step::Key(part.into()), Step::Index))
        .collect()
}

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Path of the field, as in `instances[0].name`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// A file as it was read.
pub struct Source {
    name: String,
    text: String,
    json: bool,
}

impl Source {
    /// Reads a file; `-` is standard input. JSON if it is named so or starts like it, else TOML.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        use std::io::Read as _;
        let name = path.display().to_string();
        let mut text = String::new();
        let read = if name == "-" {
            std::io::stdin().take(MAX_FILE).read_to_string(&mut text)
        } else {
            std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
        };
        read.map_err(|error| Failure::Usage(format!("{name} cannot be read: {error}")))?;
        Ok(Self::new(name, text))
    }

    fn new(name: String, text: String) -> Self {
        let json = name.ends_with(".json") || (!name.ends_with(".toml") && text.trim_start().starts_with('{'));
        Self { name, text, json }
    }

    /// Reads the document.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let parsed = if self.json { parse_json(&self.text) } else { parse_toml(&self.text) };
        parsed.map_err(|Bad { path, reason, span }| {
            let key = if path == "." { String::new() } else { path };
            let span = span.unwrap_or_else(|| self.locate(&key));
            Failure::Refused(self.show(&Finding { key, reason }, span))
        })
    }

    /// All findings with their lines.
    pub fn report(&self, findings: &[Finding]) -> String {
        let mut text = String::new();
        for finding in findings.iter().take(MAX_SHOWN) {
            text.push_str(&self.show(finding, self.locate(&finding.key)));
        }
        if let Some(more) = findings.len().checked_sub(MAX_SHOWN).filter(|more| *more > 0) {
            let _ = writeln!(text, "and {more} more");
        }
        text
    }

    fn show(&self, finding: &Finding, span: Range<usize>) -> String {
        let (line, column) = line_and_column(&self.text, span.start);
        let key = if finding.key.is_empty() { String::new() } else { format!("{}: ", finding.key) };
        let head = format!("{}:{line}:{column}: {key}{}", self.name, finding.reason);
        let span = first_line(&self.text, span);
        let diagnostic = MietteDiagnostic::new(head.clone()).with_label(LabeledSpan::at(span, "here"));
        let report = Report::new(diagnostic).with_source_code(NamedSource::new(&self.name, self.text.clone()));
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(usize::MAX);
        let mut text = String::new();
        match handler.render_report(&mut text, report.as_ref()) {
            // The cross in front of the head is for programs that print no `error:` of their own.
            Ok(()) => text.strip_prefix("  × ").map_or_else(|| text.clone(), str::to_owned),
            Err(_) => format!("{head}\n"),
        }
    }

    fn locate(&self, path: &str) -> Range<usize> {
        let steps = steps(path);
        if self.json {
            return position::locate(&self.text, &steps);
        }
        locate_toml(&self.text, &steps)
    }
}

struct Bad {
    path: String,
    reason: String,
    span: Option<Range<usize>>,
}

fn parse_toml<T: DeserializeOwned>(text: &str) -> Result<T, Bad> {
    let bad = |path: String, error: &toml::de::Error| Bad {
        span: error.span().filter(|span| !span.is_empty() || path.is_empty()),
        reason: error.message().to_owned(),
        path,
    };
    let reader = toml::Deserializer::parse(text).map_err(|error| bad(String::new(), &error))?;
    serde_path_to_error::deserialize(reader).map_err(|error| bad(error.path().to_string(), error.inner()))
}

fn parse_json<T: DeserializeOwned>(text: &str) -> Result<T, Bad> {
    let bad = |path: String, error: &serde_json::Error| {
        let at = offset(text, error.line(), error.column());
        let place = format!(" at line {} column {}", error.line(), error.column());
        Bad { path, reason: error.to_string().replace(&place, ""), span: Some(at..at) }
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let value =
        serde_path_to_error::deserialize(&mut reader).map_err(|error| bad(error.path().to_string(), error.inner()))?;
    reader.end().map_err(|error| bad(String::new(), &error))?;
    Ok(value)
}

fn locate_toml(text: &str, steps: &[Step]) -> Range<usize> {
    let Ok(table) = DeTable::parse(text) else { return 0..0 };
    let mut found = table.span();
    let mut value = &DeValue::Table(table.into_inner());
    for step in steps {
        let next = match step {
            Step::Key(key) => value.get(key.as_str()),
            Step::Index(index) => value.get(*index),
        };
        let Some(next) = next else { break };
        found = next.span();
        value = next.get_ref();
    }
    found
}

/// The byte at a line and a column, both counted from 1, the column in bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let at = (start + column.saturating_sub(1)).min(text.len());
    text.floor_char_boundary(at)
}

/// Line and column of a byte, both counted from 1, the column in characters.
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..text.floor_char_boundary(at)).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    (before.matches('\n').count() + 1, column + 1)
}

/// A span cut at the end of its first line, so that a whole table does not fill the screen.
fn first_line(text: &str, span: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    let end = text.floor_char_boundary(span.end).max(start);
    let line = text.get(start..end).and_then(|it| it.lines().next()).unwrap_or_default();
    start..start + line.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Instance;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Document {
        instances: Vec<Instance>,
    }

    fn refusal(name: &str, text: &str) -> String {
        match Source::new(name.into(), text.into()).parse::<Document>() {
            Err(Failure::Refused(text)) => text,
            other => panic!("{:?}", other.map(|it| it.instances)),
        }
    }

    #[test]
    fn a_wrong_type_names_file_line_and_key() {
        let toml = refusal("table.toml", "[[instances]]\nname = \"acme\"\n\n[[instances]]\nname = 5\n");
        assert!(toml.contains("table.toml:5:8: instances[1].name: invalid type: integer `5`"), "{toml}");
        let json = refusal("table.json", "{\n \"instances\": [\n  {\"name\": 5}\n ]\n}");
        assert!(json.contains("table.json:3:12: instances[0].name: invalid type: integer `5`"), "{json}");
    }

    #[test]
    fn an_unknown_key_and_broken_syntax_are_found_too() {
        let toml = refusal("table.toml", "[[instances]]\nname = \"acme\"\ncolour = 1\n");
        assert!(toml.contains("table.toml:3:1: instances[0]") && toml.contains("unknown field `colour`"), "{toml}");
        let toml = refusal("table.toml", "[[instances]]\nname = \n");
        assert!(toml.contains("table.toml:2:"), "{toml}");
        let json = refusal("x.json", "{\"instances\": [");
        assert!(json.contains("x.json:1:"), "{json}");
        let json = refusal("x.json", "{\"instances\": []} {}");
        assert!(json.contains("x.json:1:19: trailing characters"), "{json}");
    }

    #[test]
    fn findings_are_shown_with_their_lines() {
        let finding = |key: &str| Finding { key: key.into(), reason: "no good".into() };
        let toml = Source::new("t.toml".into(), "a = [1,\n 2]\n[[b.c]]\nd = \"é\"\n[[b.c]]\nd = 4".into());
        for (key, place) in
            [("a[1]", "t.toml:2:2: a[1]: no"), ("b.c[1].d", "t.toml:6:5: b.c[1].d: no"), ("", "t.toml:1:1: no")]
        {
            let shown = toml.report(&[finding(key)]);
            assert!(shown.contains(place), "{shown}");
        }
        let shown = toml.report(&vec![finding("a"); MAX_SHOWN + 2]);
        assert_eq!(shown.matches("a: no good").count(), MAX_SHOWN);
        assert!(shown.ends_with("and 2 more\n"));
    }

    #[test]
    fn the_kind_of_a_file_is_told_by_its_name_or_its_start() {
        let json = |name: &str, text: &str| Source::new(name.into(), text.into()).json;
        assert!(json("a.json", "") && json("-", " {}") && !json("a.toml", "{}") && !json("-", "a = 1"));
    }
}
