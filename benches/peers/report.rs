//! The figures of a run, and the table they make.

use crate::goals::{Bound, GOALS, Goal};
use crate::systems::System;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

/// What was measured, a value for each round.
#[derive(Default)]
pub struct Figures(BTreeMap<(&'static str, System), Vec<f64>>);

impl Figures {
    pub fn add(&mut self, work: &'static str, system: System, value: f64) {
        self.0.entry((work, system)).or_default().push(value);
    }

    pub fn of(&self, work: &'static str, system: System) -> Option<&[f64]> {
        self.0.get(&(work, system)).map(Vec::as_slice)
    }

    /// The table in Markdown.
    pub fn table(&self) -> String {
        let mut out = "| work | unit | Nantucket | beside | its figure | ratio | goal | met |\n\
|---|---|---|---|---|---|---|---|\n"
            .to_owned();
        for goal in GOALS {
            if let Some(row) = self.row(goal) {
                out += &row;
            }
        }
        out
    }

    fn row(&self, goal: &Goal) -> Option<String> {
        let ours = self.of(goal.work, System::Nantucket)?;
        let mut out = format!("| {} | {} | {} ", goal.work, goal.unit, spread(ours));
        let compared = match goal.beside {
            None => {
                out += "| | | ";
                median(ours)
            }
            Some(system) => {
                let theirs = self.of(goal.work, system)?;
                // Of each round by itself: systems run side by side, and the machine drifts.
                let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
                let _ = write!(out, "| {} | {} | {} ", system.name(), spread(theirs), spread(&ratios));
                median(&ratios)
            }
        };
        let (goal, met) = match goal.bound {
            Bound::AtMost(bound) => (format!("≤ {bound}"), if compared <= bound { "yes" } else { "**no**" }),
            Bound::AtLeast(bound) => (format!("≥ {bound}"), if compared >= bound { "yes" } else { "**no**" }),
            Bound::None => (String::new(), ""),
        };
        let _ = writeln!(out, "| {goal} | {met} |");
        Some(out)
    }
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle.wrapping_sub(1)), sorted.get(middle)) {
        (Some(low), Some(high)) if sorted.len().is_multiple_of(2) => (low + high) / 2.0,
        (_, Some(value)) => *value,
        _ => f64::NAN,
    }
}

/// The median, and from where to where.
fn spread(values: &[f64]) -> String {
    let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), value| (a.min(*value), b.max(*value)));
    if values.len() < 2 {
        return number(median(values));
    }
    format!("{} [{}..{}]", number(median(values)), number(least), number(most))
}

/// Three digits that say something.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Where and when this was measured.
pub fn machine(cores: usize) -> String {
    let said = |program: &str, words: &[&str]| {
        let out = Command::new(program).args(words).output().map(|out| out.stdout).unwrap_or_default();
        String::from_utf8_lossy(&out).trim().to_owned()
    };
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|row| row.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, name)| name);
    let mut versions: Vec<String> =
        [System::KamailioStateless, System::Haproxy, System::Nginx].into_iter().filter_map(System::version).collect();
    versions.push(format!("Nantucket {}", env!("CARGO_PKG_VERSION")));
    format!(
        "{}; {cores} × {model}; {}; {}",
        said("date", &["-u", "+%F %H:%M UTC"]),
        said("uname", &["-sr"]),
        versions.join("; ")
    )
}
