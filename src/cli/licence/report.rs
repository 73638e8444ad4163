//! `nantucket licence report` (R25).

use crate::cli::exit::Failure;
use crate::cli::reach::Reach;
use crate::cli::show::{self, Shown};
use crate::control::licence::report::LicenceReport;

/// In which form.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print comma-separated values
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// Shows it.
pub fn execute(args: &Args, reach: &Reach) -> Result<Shown, Failure> {
    let report: LicenceReport = reach.node()?.get(&["licence", "report"], &[])?.value;
    if args.csv {
        let text = report.csv().map_err(|error| Failure::Refused(error.to_string()))?;
        return Ok(Shown { text, refused: false });
    }
    Ok(Shown::either(reach.json, &report, text))
}

fn text(report: &LicenceReport) -> String {
    let rows = report.rows().into_iter().map(|row| {
        let [instance, mode, on, kind, licensed, unassigned, unused, used, over, weight] = row.values();
        let name = if instance.is_empty() { mode } else { format!("{instance} ({mode})") };
        [name, on, kind, licensed, unassigned, unused, used, over, weight]
    });
    let heading = ["OF", "ON", "KIND", "LICENSED", "UNASSIGNED", "UNUSED", "USED", "OVER", "WEIGHT"];
    let facts = show::facts([("at", show::moment(report.at)), ("hardware id", report.hardware.clone())]);
    format!("{facts}\n{}", show::table(heading, rows))
}
