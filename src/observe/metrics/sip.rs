//! The SIP side: messages, transactions, refusals, probes.

use super::sheet::Sheet;
use crate::health::probe::ProbeStats;
use crate::reason::{Drop, Refusal};
use crate::stats::NodeStats;
use std::fmt;

pub(super) fn write(sheet: &mut Sheet<'_>, stats: &NodeStats, probes: &ProbeStats) -> fmt::Result {
    let shards = stats.shards.sum();
    let messages = [
        ([("kind", "request"), ("step", "received")], shards.requests.read()),
        ([("kind", "request"), ("step", "forwarded")], shards.requests_forwarded.read()),
        ([("kind", "response"), ("step", "received")], shards.responses.read()),
        ([("kind", "response"), ("step", "forwarded")], shards.responses_forwarded.read()),
    ];
    sheet.counts("sip_messages", "SIP messages", messages)?;
    let repeated = [
        ([("direction", "in")], stats.retransmissions_in.read()),
        ([("direction", "out")], stats.retransmissions_out.read()),
    ];
    sheet.counts("sip_retransmissions", "SIP requests sent once more, by others and by us", repeated)?;
    let refused = Refusal::ALL.iter().map(|why| ([("reason", why.kind())], stats.refused(*why)));
    sheet.counts("sip_refused", "SIP requests we refused", refused)?;
    let dropped = Drop::ALL.iter().map(|why| ([("reason", why.kind())], stats.dropped(*why)));
    sheet.counts("sip_dropped", "SIP messages dropped without an answer", dropped)?;
    let transactions = [
        ([("side", "server")], shards.server_transactions.read()),
        ([("side", "client")], shards.client_transactions.read()),
    ];
    sheet.gauges("sip_transactions", "SIP transactions without a final answer", transactions)?;
    let answered = [
        ([("side", "server")], shards.answered_servers.read()),
        ([("side", "client")], shards.answered_clients.read()),
    ];
    sheet.gauges("sip_answered", "Answered SIP transactions that are kept for what is repeated", answered)?;
    let bytes = shards.answered_bytes.read();
    sheet.gauge("sip_answered_bytes", "Bytes that the answered requests take", bytes)?;
    let forgotten = [
        ([("side", "server")], stats.server_answers_forgotten.read()),
        ([("side", "client")], stats.client_answers_forgotten.read()),
    ];
    sheet.counts("sip_answered_forgotten", "Those that were forgotten early for want of room", forgotten)?;
    sheet.gauge("sip_setups", "Calls being set up", shards.setups.read())?;
    sheet.gauge("sip_timers", "Armed timers", shards.timers.read())?;
    sheet.gauge("sip_kept_bytes", "Bytes of messages kept by transactions", shards.kept_bytes.read())?;
    sheet.count("sip_failovers", "Requests that went on to another target", stats.failovers.read())?;
    sheet.count("sip_handed_over", "Responses handed to another worker", stats.handed_over.read())?;
    let large = stats.oversized_datagrams.read();
    sheet.count("sip_oversized_datagrams", "Requests too large for UDP that had to stay on it", large)?;
    let overflows = [
        ([("registry", "bindings")], stats.bindings_overflow.read()),
        ([("registry", "calls")], stats.calls_overflow.read()),
        ([("registry", "devices")], stats.devices_overflow.read()),
        ([("registry", "streams")], stats.streams_overflow.read()),
        ([("registry", "shares")], stats.budgets_overflow.read()),
        ([("registry", "waiting")], stats.waiting_overflow.read()),
    ];
    sheet.counts("sip_registry_overflows", "What was not kept for want of room", overflows)?;
    let keep_alives = [
        ([("outcome", "sent")], stats.keep_alives_sent.read()),
        ([("outcome", "left-out")], stats.keep_alives_left_out.read()),
        ([("outcome", "device-gone")], stats.keep_alives_unanswered.read()),
    ];
    sheet.counts("sip_keep_alives", "Keep-alives of ours to devices behind NAT", keep_alives)?;
    let followed = stats.followed.read();
    sheet.count("sip_followed", "Messages that followed their device to another connection or port", followed)?;
    let waiting = stats.waiting.read();
    sheet.gauge("sip_waiting", "Requests and answers that wait for their device to come back", waiting)?;
    let in_vain = stats.waited_in_vain.read();
    sheet.count("sip_waited_in_vain", "Those that waited for a device that did not come back", in_vain)?;

    let mismatches = stats.name_mismatches.read();
    sheet.count(
        "sip_name_mismatches",
        "SIP requests over connections opened in another instance's name",
        mismatches,
    )?;
    let overflows = stats.greetings_overflow.read();
    sheet.count("sip_greetings_overflows", "Connections closed because too many are remembered", overflows)?;

    let seats = &stats.seats;
    sheet.gauge("seats_waiting", "Changes of seats that wait to be written down", seats.waiting.read())?;
    sheet.count("seats_writes", "Times changes of seats were written down", seats.writes.read())?;
    sheet.count("seats_write_failures", "Times seats could not be written down or read", seats.failures.read())?;
    sheet.count("seats_lost", "Ends of seats not written down for want of room", seats.lost.read())?;

    let outcomes = [
        ([("outcome", "sent")], probes.sent.read()),
        ([("outcome", "answered")], probes.answered.read()),
        ([("outcome", "failed")], probes.failed.read()),
    ];
    sheet.counts("probes", "OPTIONS to targets", outcomes)?;
    let turns = [([("to", "up")], probes.ups.read()), ([("to", "down")], probes.downs.read())];
    sheet.counts("probe_turns", "Targets that went up or down by a probe", turns)
}
