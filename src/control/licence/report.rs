//! The licence report as it is handed out (R25, R47): JSON, or comma-separated values.

use crate::licence::report::{Figures, Report, weight};
use crate::model::{Mode, Seats};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The report with its moment and its machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LicenceReport {
    /// Unix seconds of the licence clock.
    pub at: u64,
    /// This machine's hardware id.
    pub hardware: String,
    /// The pool and the instances.
    #[serde(flatten)]
    pub report: Report,
}

/// One kind of users of the pool or of an instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The instance; empty for the pool.
    pub instance: String,
    /// Its mode, or `pool`.
    pub mode: &'static str,
    /// Whether it is switched on.
    pub on: bool,
    /// `full` or `light`.
    pub kind: &'static str,
    /// Where the users are.
    pub figures: Figures,
    /// What the licensed users weigh (R47).
    pub weight: f64,
}

/// The heading of the values.
pub const HEADING: [&str; 10] = [
    "instance",
    "mode",
    "on",
    "kind",
    "licensed",
    "unassigned",
    "assigned_unused",
    "assigned_used",
    "over_allocated",
    "weight",
];

impl LicenceReport {
    /// The pool, then every instance, full users before light ones.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::with_capacity(2 + 2 * self.report.instances.len());
        let mut add = |instance: &str, mode, on, kind: &'static str, figures: Figures| {
            let licensed = u32::try_from(figures.licensed).unwrap_or(u32::MAX);
            let seats =
                if kind == "full" { Seats { full: licensed, light: 0 } } else { Seats { full: 0, light: licensed } };
            rows.push(Row { instance: instance.to_owned(), mode, on, kind, figures, weight: weight(seats) });
        };
        add("", "pool", true, "full", self.report.full);
        add("", "pool", true, "light", self.report.light);
        for line in &self.report.instances {
            let mode = match line.mode {
                Mode::Community => "community",
                Mode::Cloud => "cloud",
                Mode::Dedicated => "dedicated",
            };
            let kinds = [
                ("full", line.licensed.full, line.used.full, line.beyond.full),
                ("light", line.licensed.light, line.used.light, line.beyond.light),
            ];
            for (kind, licensed, used, beyond) in kinds {
                let used = u64::from(used.min(licensed));
                let figures = Figures {
                    licensed: licensed.into(),
                    unassigned: 0,
                    assigned_unused: u64::from(licensed).saturating_sub(used),
                    assigned_used: used,
                    over_allocated: beyond.into(),
                };
                add(&line.instance, mode, line.on, kind, figures);
            }
        }
        rows
    }

    /// Comma-separated values with a heading.
    pub fn csv(&self) -> Result<String, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(HEADING)?;
        for row in self.rows() {
            writer.write_record(row.values())?;
        }
        let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Row {
    /// Its values, in the order of the heading.
    pub fn values(&self) -> [String; 10] {
        let Figures { licensed, unassigned, assigned_unused, assigned_used, over_allocated } = self.figures;
        [
            self.instance.clone(),
            self.mode.to_owned(),
            if self.on { "yes" } else { "no" }.to_owned(),
            self.kind.to_owned(),
            licensed.to_string(),
            unassigned.to_string(),
            assigned_unused.to_string(),
            assigned_used.to_string(),
            over_allocated.to_string(),
            self.weight.to_string(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::licence::report::Line;

    #[test]
    fn it_is_written_with_commas() {
        // R25 R47
        let figures = Figures { licensed: 10, unassigned: 7, assigned_unused: 2, assigned_used: 1, over_allocated: 0 };
        let line = Line {
            instance: "acme, inc".into(),
            mode: Mode::Cloud,
            on: true,
            licensed: Seats { full: 3, light: 3 },
            used: Seats { full: 1, light: 4 },
            beyond: Seats { full: 0, light: 1 },
            weight: 4.5,
        };
        let report = Report { full: figures, light: Figures::default(), instances: vec![line] };
        let report = LicenceReport { at: 1, hardware: "X".into(), report };
        let csv = report.csv().unwrap();
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines[0], HEADING.join(","));
        assert_eq!(lines[1], ",pool,yes,full,10,7,2,1,0,10");
        assert_eq!(lines[3], "\"acme, inc\",cloud,yes,full,3,0,2,1,0,3");
        assert_eq!(lines[4], "\"acme, inc\",cloud,yes,light,3,0,0,3,1,1.5", "a light user weighs half a full one");
        for row in report.rows() {
            let Figures { licensed, unassigned, assigned_unused, assigned_used, .. } = row.figures;
            let sum = unassigned + i64::try_from(assigned_unused + assigned_used).unwrap();
            assert_eq!(sum, i64::try_from(licensed).unwrap(), "{row:?}");
        }
    }
}
