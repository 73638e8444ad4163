//! Marks as CSV (RFC 4180): the same for the API and the command line. Pure.

use super::months::Mark;
use crate::model::Kind;

const COLUMNS: [&str; 7] = ["month", "instance", "instance_id", "kind", "used", "licensed", "at"];

/// One line a mark, after a line that names the columns; times are RFC 3339 in UTC.
pub fn csv(marks: &[Mark]) -> String {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    // A Vec takes every write, and all records have as many fields.
    let _ = writer.write_record(COLUMNS);
    for mark in marks {
        let kind = if mark.kind == Kind::Light { "light" } else { "full" };
        let at = i64::try_from(mark.at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
        let _ = writer.write_record([
            mark.month.to_string(),
            mark.name.clone(),
            mark.instance.0.to_string(),
            kind.to_owned(),
            mark.used.to_string(),
            mark.licensed.to_string(),
            at.map_or_else(String::new, |at| at.to_string()),
        ]);
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::InstanceId;
    use crate::usage::Month;

    #[test]
    fn a_mark_is_a_line() {
        // R72
        let month = Month::from_number(202_611).unwrap();
        let mark = Mark {
            month,
            name: "acme".into(),
            instance: InstanceId(7),
            kind: Kind::Light,
            used: 3,
            licensed: 5,
            at: 1_795_000_000,
        };
        let text = csv(&[mark]);
        let lines: Vec<_> = text.split_terminator("\r\n").collect();
        assert_eq!(
            lines,
            ["month,instance,instance_id,kind,used,licensed,at", "2026-11,acme,7,light,3,5,2026-11-18T11:06:40Z"]
        );
    }
}
