//! The management API.

use super::sheet::Sheet;
use crate::stats::ApiStats;
use std::fmt;

pub(super) fn write(sheet: &mut Sheet<'_>, stats: &ApiStats) -> fmt::Result {
    sheet.count("api_requests", "Requests of the management API", stats.requests.read())?;
    sheet.gauge("api_connections", "Open connections of the management API", stats.connections.read())?;
    sheet.count("api_full", "Times a connection had to wait for a place", stats.full.read())?;
    let sign_ins = [
        ([("answer", "refused")], stats.sign_ins_failed.read()),
        ([("answer", "limited")], stats.sign_ins_limited.read()),
    ];
    sheet.counts(
        "api_sign_ins",
        "Requests without the right token; the limited ones are among the refused",
        sign_ins,
    )?;
    sheet.count("api_sources_evicted", "Sources of them forgotten early", stats.sources_evicted.read())
}
