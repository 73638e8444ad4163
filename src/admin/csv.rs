//! Users as CSV: read with everything that is wrong told at once, written so that it reads back the same.
//!
//! The first line names the columns, in any order: `name` and `accounts`, and if wanted `kind` and `class`. Accounts are
//! separated by blanks or `|`. Read are commas, semicolons (as Excel in German writes them) and tabs, with or without a
//! byte order mark, quotes and CRLF. Not here: what makes a user valid (`control`). Called by the routes of users.

use super::problem::FieldProblem;
use crate::model::{DeviceClass, Kind, User};
use crate::route::problem::{Code, Problem as RowProblem};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashSet;

/// The byte order mark that Excel puts in front, and expects.
const MARK: &str = "\u{feff}";
/// The longest piece of a value that is told back.
const MOST_VALUE: usize = 80;
/// The code of what is no line of the table.
const SHAPE: &str = "shape";
/// The most problems that are told.
const MOST_PROBLEMS: usize = 10_000;

/// Users as they were read, with where each was and what is not of the right shape.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) users: Vec<User>,
    pub(super) problems: Vec<FieldProblem>,
    lines: Vec<u64>,
}

/// A column that means something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Column {
    Name,
    Kind,
    Class,
    Accounts,
}

impl Column {
    const ALL: [(Self, &str); 4] =
        [(Self::Name, "name"), (Self::Kind, "kind"), (Self::Class, "class"), (Self::Accounts, "accounts")];

    fn of(heading: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| heading.eq_ignore_ascii_case(name)).map(|(column, _)| *column)
    }
}

/// Reads users. `Err` says what keeps the lines from being looked at.
pub(super) fn read(bytes: &[u8]) -> Result<Sheet, Vec<FieldProblem>> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix(MARK).unwrap_or(text),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
            return Err(vec![at(line, "", "", "is not UTF-8: save it as CSV UTF-8", "not-utf-8")]);
        }
    };
    let (separator, body) = separator(text);
    // Excel's line with the separator is a line all the same.
    let skipped = if body.len() < text.len() { 1 } else { 0 };
    let mut reader =
        csv::ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(body.as_bytes());
    let mut records = reader.records().map(|record| record.map_err(|error| error.to_string()));
    let mut problems = Vec::new();
    let columns = match records.next() {
        Some(Ok(heading)) => columns(&heading, skipped + 1, &mut problems),
        Some(Err(reason)) => return Err(vec![at(skipped + 1, "", "", &reason, SHAPE)]),
        None => return Err(vec![at(1, "", "", "is empty: the first line names the columns", "missing")]),
    };
    let mut sheet = Sheet::default();
    let mut lines = Lines { rest: body.as_bytes(), taken: 0, line: skipped + 1 };
    if !problems.is_empty() {
        return Err(problems);
    }
    for record in records {
        let record = match record {
            Ok(record) => record,
            Err(reason) => {
                sheet.problems.push(at(0, "", "", &reason, SHAPE));
                break;
            }
        };
        let line = lines.at(record.position().map_or(0, csv::Position::byte));
        if record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        sheet.lines.push(line);
        sheet.users.push(user(&record, &columns, line, &mut sheet.problems));
        if sheet.problems.len() >= MOST_PROBLEMS {
            break;
        }
    }
    Ok(sheet)
}

/// Writes users; for Excel in German with semicolons and a byte order mark.
pub(super) fn write(users: &[User], excel: bool) -> String {
    let mut text = String::from(if excel { MARK } else { "" });
    let separator = if excel { b';' } else { b',' };
    let mut writer = csv::WriterBuilder::new()
        .delimiter(separator)
        .terminator(if excel { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
        .from_writer(Vec::new());
    let rows =
        users.iter().map(|user| [user.name.clone(), word(&user.kind), word(&user.class), user.accounts.join(" ")]);
    for row in std::iter::once(Column::ALL.map(|(_, name)| name.to_owned())).chain(rows) {
        // A Vec takes every write, and all rows have one length.
        let _ = writer.write_record(&row);
    }
    let bytes = writer.into_inner().unwrap_or_default();
    text.push_str(&String::from_utf8_lossy(&bytes));
    text
}

impl Sheet {
    /// All problems in the order of their lines: those of the sheet, and what was found in its users. Of a line that has
    /// not the right number of fields nothing else is told.
    pub(super) fn with(&self, found: &[RowProblem]) -> Vec<FieldProblem> {
        let torn: HashSet<_> = self.problems.iter().filter(|told| told.code == SHAPE).map(|told| told.line).collect();
        let placed = found.iter().filter_map(|problem| self.place(problem)).filter(|told| !torn.contains(&told.line));
        let mut all: Vec<FieldProblem> = self.problems.iter().cloned().chain(placed).collect();
        all.sort_by_key(|told| told.line);
        all
    }

    /// A problem of a user, told by line and column.
    pub(super) fn place(&self, problem: &RowProblem) -> Option<FieldProblem> {
        let (number, rest) = problem.field.strip_prefix("users[")?.split_once("].")?;
        let number: usize = number.parse().ok()?;
        let (line, user) = (*self.lines.get(number)?, self.users.get(number)?);
        let (column, index) = rest.split_once('[').unwrap_or((rest, ""));
        let value = match (column, index.trim_end_matches(']').parse::<usize>()) {
            ("name", _) => user.name.clone(),
            (_, Ok(index)) => user.accounts.get(index).cloned().unwrap_or_default(),
            _ => user.accounts.join(" "),
        };
        Some(at(line, column, &value, &problem.reason, problem.code.text()))
    }
}

/// The separator of a text, and the text behind Excel's line `sep=;` if there is one.
fn separator(text: &str) -> (u8, &str) {
    if let Some(rest) = text.strip_prefix("sep=")
        && let Some(separator @ (b',' | b';' | b'\t')) = rest.as_bytes().first().copied()
        && let Some(rest) = rest.get(1..)
        && let Some(rest) = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n'))
    {
        return (separator, rest);
    }
    let heading = text.lines().next().unwrap_or_default();
    let count = |separator: u8| heading.bytes().filter(|byte| *byte == separator).count();
    // The last of equals is taken: a heading with a single column has none, and a comma does for it.
    let separator = [b'\t', b';', b','].into_iter().max_by_key(|separator| count(*separator)).unwrap_or(b',');
    (separator, text)
}

/// Which line a place of a text is on.
struct Lines<'a> {
    /// What is behind the place asked for last.
    rest: &'a [u8],
    taken: u64,
    line: u64,
}

impl Lines<'_> {
    /// The line of the first text at a place or behind it: records are told to begin before the ends of the lines above.
    fn at(&mut self, place: u64) -> u64 {
        while let Some((byte, rest)) = self.rest.split_first()
            && (self.taken < place || matches!(byte, b'\r' | b'\n'))
        {
            let ends = *byte == b'\n' || (*byte == b'\r' && rest.first() != Some(&b'\n'));
            self.line += u64::from(ends);
            self.taken += 1;
            self.rest = rest;
        }
        self.line
    }
}

fn columns(heading: &csv::StringRecord, line: u64, problems: &mut Vec<FieldProblem>) -> Vec<Option<Column>> {
    let mut found = Vec::new();
    for text in heading.iter().map(str::trim) {
        let column = Column::of(text);
        if column.is_none() {
            let known = Column::ALL.map(|(_, name)| name).join(", ");
            problems.push(at(line, text, text, &format!("is no column; there are {known}"), "unknown-column"));
        } else if found.contains(&column) {
            problems.push(at(line, text, text, "is there twice", Code::Duplicate.text()));
        }
        found.push(column);
    }
    for (column, name) in [(Column::Name, "name"), (Column::Accounts, "accounts")] {
        if !found.contains(&Some(column)) {
            problems.push(at(line, name, "", "is missing in the first line", Code::Missing.text()));
        }
    }
    found
}

fn user(record: &csv::StringRecord, columns: &[Option<Column>], line: u64, problems: &mut Vec<FieldProblem>) -> User {
    let mut user =
        User { name: String::new(), kind: Kind::default(), accounts: Vec::new(), class: DeviceClass::default() };
    if record.len() != columns.len() {
        let reason = format!("has {} fields, the first line has {}", record.len(), columns.len());
        problems.push(at(line, "", record.iter().next().unwrap_or_default(), &reason, SHAPE));
    }
    for (column, text) in columns.iter().zip(record.iter().map(str::trim)) {
        match column {
            Some(Column::Name) => text.clone_into(&mut user.name),
            Some(Column::Kind) => user.kind = parse(text, "kind", line, problems),
            Some(Column::Class) => user.class = parse(text, "class", line, problems),
            Some(Column::Accounts) => {
                let parts = text.split(|c: char| c.is_whitespace() || c == '|');
                user.accounts = parts.filter(|part| !part.is_empty()).map(str::to_owned).collect();
            }
            None => {}
        }
    }
    user
}

/// A word of an enumeration; an empty field is the usual one.
fn parse<T: DeserializeOwned + Default>(text: &str, column: &str, line: u64, problems: &mut Vec<FieldProblem>) -> T {
    if text.is_empty() {
        return T::default();
    }
    serde_json::from_value(Value::String(text.to_lowercase())).unwrap_or_else(|error| {
        problems.push(at(line, column, text, &error.to_string(), "unknown-word"));
        T::default()
    })
}

fn at(line: u64, column: &str, value: &str, reason: &str, code: &str) -> FieldProblem {
    FieldProblem {
        row: String::new(),
        field: column.to_owned(),
        reason: reason.to_owned(),
        code: code.to_owned(),
        line: (line > 0).then_some(line),
        value: Some(value.chars().take(MOST_VALUE).collect()),
    }
}

fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
