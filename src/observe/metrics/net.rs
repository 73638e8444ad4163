//! Sockets.

use super::sheet::Sheet;
use crate::net::counters::{Loss, NetStats};
use crate::tls::failures::Reason;
use std::fmt;

pub(super) fn write(sheet: &mut Sheet<'_>, stats: &NetStats) -> fmt::Result {
    let datagrams =
        [([("direction", "in")], stats.datagrams_in.read()), ([("direction", "out")], stats.datagrams_out.read())];
    sheet.counts("net_datagrams", "Datagrams on SIP ports", datagrams)?;
    let messages = [
        ([("direction", "in")], stats.stream_messages_in.read()),
        ([("direction", "out")], stats.stream_messages_out.read()),
    ];
    sheet.counts("net_stream_messages", "SIP messages on streams", messages)?;
    sheet.count("net_keep_alives", "Keep-alives: CRLF and STUN", stats.keep_alives.read())?;
    sheet.count("net_icmp_errors", "ICMP errors about datagrams of ours", stats.icmp_errors.read())?;
    let made = [([("side", "accepted")], stats.accepted.read()), ([("side", "opened")], stats.opened.read())];
    sheet.counts("net_connections_made", "SIP connections accepted and opened", made)?;
    sheet.gauge("net_connections", "Open SIP connections", stats.connections.read())?;
    sheet.count("net_mail", "Letters between workers", stats.handed_over.read())?;
    let lost = Loss::ALL.map(|why| ([("reason", why.label())], stats.lost(why)));
    sheet.counts("net_lost", "What went no further on a SIP port: junk, limits, failures", lost)?;
    let failed = Reason::ALL.iter().map(|why| ([("reason", why.kind())], stats.failures.count(*why)));
    sheet.counts("tls_handshakes_failed", "TLS handshakes of clients that failed", failed)?;
    let evicted = stats.failures.evicted.read();
    sheet.count("tls_failure_sources_evicted", "Sources of failed handshakes forgotten to make room", evicted)
}
