//! The HTTP side.

use super::sheet::Sheet;
use crate::stats::{HttpRefusal, HttpStats};
use std::fmt;

pub(super) fn write(sheet: &mut Sheet<'_>, stats: &HttpStats) -> fmt::Result {
    sheet.count("http_requests", "HTTP requests read", stats.requests.read())?;
    let refused = HttpRefusal::ALL.map(|why| ([("reason", why.label())], stats.refused(why)));
    sheet.counts("http_refused", "HTTP requests answered by ourselves", refused)?;
    let mismatches = stats.name_mismatches.read();
    sheet.count(
        "http_name_mismatches",
        "HTTP requests over connections opened in another instance's name",
        mismatches,
    )?;
    sheet.count("http_accepted", "HTTP connections accepted", stats.accepted.read())?;
    sheet.gauge("http_connections", "Open HTTP connections", stats.connections.read())?;
    let turned_away = [
        ([("reason", "node-full")], stats.refused_full.read()),
        ([("reason", "source-full")], stats.refused_source.read()),
        ([("reason", "accept-error")], stats.accept_errors.read()),
        ([("reason", "stalled")], stats.stalled.read()),
        ([("reason", "proxy-header")], stats.proxy_headers.read()),
    ];
    sheet.counts("http_connections_lost", "HTTP connections closed by us", turned_away)?;
    sheet.gauge("http_handshakes", "TLS handshakes going on", stats.handshakes.read())?;
    let handshakes = [
        ([("reason", "too-many")], stats.handshakes_refused.read()),
        ([("reason", "failed")], stats.handshakes_failed.read()),
        ([("reason", "slow")], stats.handshakes_slow.read()),
    ];
    sheet.counts("http_handshakes_lost", "TLS handshakes that came to nothing", handshakes)?;
    let upstream = [
        ([("connection", "opened")], stats.upstream_opened.read()),
        ([("connection", "reused")], stats.upstream_reused.read()),
        ([("connection", "surplus")], stats.upstream_surplus.read()),
    ];
    sheet.counts("http_upstream", "Connections to instances", upstream)?;
    sheet.gauge("http_upstream_idle", "Kept connections to instances", stats.upstream_idle.read())?;
    sheet.count("http_retries", "Requests sent once more over a new connection", stats.retries.read())?;
    sheet.gauge("http_tunnels", "Open tunnels", stats.tunnels.read())?;
    sheet.gauge("http_sip_bridges", "WebSockets for SIP inside HTTP/2 connections", stats.bridges.read())?;
    let tunnels =
        [([("event", "opened")], stats.tunnels_opened.read()), ([("event", "closed")], stats.tunnels_closed.read())];
    sheet.counts("http_tunnel_events", "Tunnels opened, and closed by us", tunnels)
}
