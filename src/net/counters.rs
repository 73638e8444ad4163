//! What sockets count. The names of the reasons are the labels of the metrics.

use crate::stats::{Counter, Gauge};
use crate::tls::failures::Failures;
use std::sync::Arc;

/// Why something that arrived, or a connection, went no further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Loss {
    /// STUN that is no sound Binding request.
    Stun,
    /// Media on the SIP port.
    Rtp,
    /// A TLS or DTLS record on a plain port.
    Dtls,
    /// Other bytes that cannot begin a SIP message.
    Junk,
    /// More new flows of one source than its share.
    NewFlows,
    /// More connections of one source than its share.
    SourceConnections,
    /// More connections than the worker may hold.
    Connections,
    /// More connections to instances than the worker may open.
    PoolFull,
    /// A connection that said nothing in time.
    FirstByte,
    /// A message that did not become complete in time.
    Partial,
    /// A connection that was silent for too long.
    Idle,
    /// A stream that cannot be framed.
    Framing,
    /// A peer that does not read what it is sent.
    Stalled,
    /// A connection that could not be opened.
    Connect,
    /// Sending to a flow that is gone.
    FlowGone,
    /// A datagram the kernel would not send.
    Refused,
    /// Mail between workers that found the box full.
    MailboxFull,
    /// More handshakes under way than may be.
    Handshakes,
    /// More handshakes of one source under way than its share.
    SourceHandshakes,
    /// A handshake that was not done in time.
    HandshakeSlow,
    /// A TLS handshake that failed.
    Handshake,
    /// A TLS connection whose records cannot be read.
    Tls,
    /// Plain SIP or HTTP where TLS is spoken.
    NotTls,
    /// A request that was to open a WebSocket and did not.
    Upgrade,
    /// A client that does not keep to the WebSocket protocol.
    WebSocket,
    /// A connection that does not begin with the PROXY protocol header it should have.
    ProxyHeader,
    /// From a source that is banned.
    Banned,
}

impl Loss {
    /// All, in the order of their discriminants.
    pub const ALL: [Self; 27] = [
        Self::Stun,
        Self::Rtp,
        Self::Dtls,
        Self::Junk,
        Self::NewFlows,
        Self::SourceConnections,
        Self::Connections,
        Self::PoolFull,
        Self::FirstByte,
        Self::Partial,
        Self::Idle,
        Self::Framing,
        Self::Stalled,
        Self::Connect,
        Self::FlowGone,
        Self::Refused,
        Self::MailboxFull,
        Self::Handshakes,
        Self::SourceHandshakes,
        Self::HandshakeSlow,
        Self::Handshake,
        Self::Tls,
        Self::NotTls,
        Self::Upgrade,
        Self::WebSocket,
        Self::ProxyHeader,
        Self::Banned,
    ];

    /// The label in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Stun => "stun",
            Self::Rtp => "rtp",
            Self::Dtls => "dtls",
            Self::Junk => "junk",
            Self::NewFlows => "new-flows",
            Self::SourceConnections => "source-connections",
            Self::Connections => "connections",
            Self::PoolFull => "pool-full",
            Self::FirstByte => "first-byte-timeout",
            Self::Partial => "partial-timeout",
            Self::Idle => "idle-timeout",
            Self::Framing => "framing",
            Self::Stalled => "stalled",
            Self::Connect => "connect",
            Self::FlowGone => "flow-gone",
            Self::Refused => "refused",
            Self::MailboxFull => "mailbox-full",
            Self::Handshakes => "handshakes",
            Self::SourceHandshakes => "source-handshakes",
            Self::HandshakeSlow => "handshake-timeout",
            Self::Handshake => "handshake",
            Self::Tls => "tls",
            Self::NotTls => "not-tls",
            Self::Upgrade => "websocket-upgrade",
            Self::WebSocket => "websocket-protocol",
            Self::ProxyHeader => "proxy-header",
            Self::Banned => "banned",
        }
    }
}

/// The counters of all workers together.
#[derive(Default, Debug)]
pub struct NetStats {
    /// TLS handshakes that failed; the HTTP front has the same.
    pub failures: Arc<Failures>,
    losses: [Counter; Loss::ALL.len()],
    /// Datagrams received, keep-alives included.
    pub datagrams_in: Counter,
    /// Datagrams sent.
    pub datagrams_out: Counter,
    /// Framed messages received.
    pub stream_messages_in: Counter,
    /// Messages written to streams.
    pub stream_messages_out: Counter,
    /// Keep-alives, of datagrams and streams.
    pub keep_alives: Counter,
    /// ICMP errors about our datagrams.
    pub icmp_errors: Counter,
    /// Connections accepted, from either side.
    pub accepted: Counter,
    /// Connections opened towards instances.
    pub opened: Counter,
    /// Open connections.
    pub connections: Gauge,
    /// Mail handed from one worker to another.
    pub handed_over: Counter,
}

impl NetStats {
    /// Nothing counted yet; handshakes that fail are told there.
    pub fn telling(failures: Arc<Failures>) -> Self {
        Self { failures, ..Self::default() }
    }

    /// Counts one loss.
    pub fn lose(&self, why: Loss) {
        if let Some(counter) = self.losses.get(why as usize) {
            counter.inc();
        }
    }

    /// Losses for one reason.
    pub fn lost(&self, why: Loss) -> u64 {
        self.losses.get(why as usize).map_or(0, Counter::read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_and_a_label_of_its_own() {
        let stats = NetStats::default();
        for (index, why) in Loss::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, index);
            stats.lose(why);
            assert_eq!(stats.lost(why), 1);
            assert!(Loss::ALL[..index].iter().all(|other| other.label() != why.label()));
        }
    }
}
