//! What the HTTP front did, and why it refused.

use super::{Counter, Gauge};

/// Why the HTTP front refused a request; the label names it in metrics and in problem documents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HttpRefusal {
    /// Not HTTP as the RFCs have it.
    BadRequest,
    /// A malformed HTTP/2 stream, reset.
    Malformed,
    /// No instance of that name here.
    UnknownName,
    /// The instance has no web access.
    WebOff,
    /// Only the REST part is served.
    RestOnly,
    /// CONNECT without a protocol, TRACE.
    Method,
    /// Head or body came too slowly.
    RequestTimeout,
    /// The body passes the instance's limit.
    BodyTooLarge,
    /// The request target passes the limit.
    TargetTooLong,
    /// The fields pass the limit.
    FieldsTooLarge,
    /// The TLS name and the host have different certificates.
    Misdirected,
    /// An extended CONNECT for something other than a WebSocket.
    Protocol,
    /// No connection to the instance.
    Unreachable,
    /// The instance's answer is not HTTP as the RFCs have it.
    BadAnswer,
    /// The instance is off, starting or stopping.
    InstanceOff,
    /// The instance did not start, or died.
    InstanceFailed,
    /// The instance's share of the node is used up.
    Overloaded,
    /// The instance did not answer in time.
    InstanceTimeout,
    /// The request has been here before.
    Loop,
    /// A light user's, whose licence covers calls only (R46).
    LightUser,
    /// The page whose script wants a WebSocket may not come here (W07).
    Origin,
    /// A WebSocket of another version of the protocol than 13.
    Upgrade,
    /// Its source is banned, there or for this account.
    Banned,
}

impl HttpRefusal {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 23] = [
        Self::BadRequest,
        Self::Malformed,
        Self::UnknownName,
        Self::WebOff,
        Self::RestOnly,
        Self::Method,
        Self::RequestTimeout,
        Self::BodyTooLarge,
        Self::TargetTooLong,
        Self::FieldsTooLarge,
        Self::Misdirected,
        Self::Protocol,
        Self::Unreachable,
        Self::BadAnswer,
        Self::InstanceOff,
        Self::InstanceFailed,
        Self::Overloaded,
        Self::InstanceTimeout,
        Self::Loop,
        Self::LightUser,
        Self::Origin,
        Self::Upgrade,
        Self::Banned,
    ];

    /// Its stable code.
    pub const fn label(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Malformed => "malformed-stream",
            Self::UnknownName => "unknown-name",
            Self::WebOff => "web-off",
            Self::RestOnly => "rest-only",
            Self::Method => "method-not-allowed",
            Self::RequestTimeout => "request-timeout",
            Self::BodyTooLarge => "body-too-large",
            Self::TargetTooLong => "target-too-long",
            Self::FieldsTooLarge => "fields-too-large",
            Self::Misdirected => "misdirected",
            Self::Protocol => "unknown-protocol",
            Self::Unreachable => "instance-unreachable",
            Self::BadAnswer => "bad-answer",
            Self::InstanceOff => "instance-off",
            Self::InstanceFailed => "instance-failed",
            Self::Overloaded => "overloaded",
            Self::InstanceTimeout => "instance-timeout",
            Self::Loop => "loop",
            Self::LightUser => "light-user",
            Self::Origin => "origin-refused",
            Self::Upgrade => "websocket-version",
            Self::Banned => "banned",
        }
    }
}

/// What the HTTP front of the node did.
#[derive(Default, Debug)]
pub struct HttpStats {
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections open.
    pub connections: Gauge,
    /// Connections closed at once because the node had as many as it may.
    pub refused_full: Counter,
    /// Connections closed at once because their source had as many as it may.
    pub refused_source: Counter,
    /// Errors of `accept` (no file descriptors, for example).
    pub accept_errors: Counter,
    /// TLS handshakes going on.
    pub handshakes: Gauge,
    /// Handshakes not begun because too many went on.
    pub handshakes_refused: Counter,
    /// Handshakes that failed.
    pub handshakes_failed: Counter,
    /// Handshakes that took too long.
    pub handshakes_slow: Counter,
    /// Connections of a load balancer that did not begin with the PROXY protocol header they should have.
    pub proxy_headers: Counter,
    /// Requests read.
    pub requests: Counter,
    /// Requests answered by ourselves because we would not or could not pass them on.
    pub refused: [Counter; HttpRefusal::ALL.len()],
    /// Requests whose host is another instance's than the TLS name (S04).
    pub name_mismatches: Counter,
    /// Connections closed because the client read too slowly.
    pub stalled: Counter,
    /// Connections opened to instances.
    pub upstream_opened: Counter,
    /// Requests sent over a kept connection.
    pub upstream_reused: Counter,
    /// Kept connections.
    pub upstream_idle: Gauge,
    /// Connections not kept because their instance had as many as it may.
    pub upstream_surplus: Counter,
    /// Requests sent a second time because a kept connection had closed.
    pub retries: Counter,
    /// Tunnels open.
    pub tunnels: Gauge,
    /// WebSockets for SIP that are streams of HTTP/2 connections.
    pub bridges: Gauge,
    /// Tunnels opened.
    pub tunnels_opened: Counter,
    /// Tunnels closed by us: their instance left, moved or was over its limit, or the node stopped.
    pub tunnels_closed: Counter,
}

impl HttpStats {
    /// Counts a refusal.
    pub fn refuse(&self, why: HttpRefusal) {
        if let Some(counter) = self.refused.get(why as usize) {
            counter.inc();
        }
    }

    /// How often it happened.
    pub fn refused(&self, why: HttpRefusal) -> u64 {
        self.refused.get(why as usize).map_or(0, Counter::read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_counter_of_its_own() {
        let stats = HttpStats::default();
        for (index, why) in HttpRefusal::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, index, "{}", why.label());
            stats.refuse(why);
            assert_eq!(stats.refused(why), 1);
        }
    }
}
