//! The guard: what was counted against strangers, and who is kept out.

use super::sheet::Sheet;
use crate::guard::{GuardStats, Kind, Scope};
use std::fmt;

pub(super) fn write(sheet: &mut Sheet<'_>, stats: &GuardStats) -> fmt::Result {
    let reports = Kind::ALL.map(|kind| ([("kind", kind.label())], stats.reports(kind)));
    sheet.counts("guard_failures", "What was counted against strangers", reports)?;
    let bans = Scope::ALL.map(|scope| ([("scope", scope.label())], stats.bans(scope)));
    sheet.counts("guard_bans_made", "Bans that were made", bans)?;
    let hits = Scope::ALL.map(|scope| ([("scope", scope.label())], stats.hits(scope)));
    sheet.counts("guard_kept_out", "Messages and connections that bans kept out", hits)?;
    sheet.gauge("guard_bans", "Bans that have not ended", stats.live.read())?;
    sheet.count(
        "guard_spared",
        "Times a source was not banned because phones are registered there",
        stats.spared.read(),
    )?;
    sheet.count("guard_masked", "Answers that do not tell strangers whether an account exists", stats.masked.read())?;
    sheet.gauge("guard_tarpits", "Connections of banned sources that are held", stats.tarpits.read())?;
    let lost = [
        ([("what", "bans")], stats.overflows.read()),
        ([("what", "sources")], stats.forgotten.read()),
        ([("what", "tarpits")], stats.tarpits_full.read()),
        ([("what", "events")], stats.untold.read()),
    ];
    sheet.counts("guard_overflows", "What the guard did not keep for want of room", lost)
}
