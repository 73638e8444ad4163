//! Why the data plane refused or dropped a message: one word for each cause, the same in the metric's label,
//! the log and the `Warning` text a client gets. What status a cause has is `engine::refusal`'s business.

/// Declares an enum whose variants each have one stable word.
macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// All of them, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable word for it.
            pub const fn kind(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

reasons! {
    /// Why a request was refused by us, not by a PBX or phone.
    Refusal {
        /// Not a sound SIP request.
        Malformed = "malformed",
        /// A Request-URI that is not `sip:`, `sips:` or `tel:`.
        Scheme = "unsupported-scheme",
        /// A SIP version other than 2.0.
        Version = "unsupported-version",
        /// Max-Forwards was 0.
        TooManyHops = "too-many-hops",
        /// The request came round again with nothing changed.
        Loop = "loop",
        /// No breadth left for one branch (RFC 5393).
        Breadth = "max-breadth",
        /// Proxy-Require asks for something unknown.
        Extension = "unknown-extension",
        /// Longer than we take.
        TooLarge = "too-large",
        /// A token that is forged, damaged, expired, or of another place.
        Token = "bad-token",
        /// A Route to somewhere else.
        ForeignRoute = "foreign-route",
        /// From an instance, but without a token that says where to.
        NoToken = "no-token",
        /// With a token, but from an address that is not its instance's.
        ForeignSource = "foreign-source",
        /// R-URI, To and From do not agree on the instance.
        InstanceMismatch = "instance-mismatch",
        /// The TLS name or the WebSocket's host is of another instance than the request (S04).
        NameMismatch = "name-mismatch",
        /// The page whose script opened the WebSocket may not come to this instance (W07).
        Origin = "origin-refused",
        /// A device whose certificate names somebody else than the request (S01).
        DeviceIdentity = "device-identity",
        /// A `sips` request whose next hop is not over TLS (F13).
        SipsNotAllowed = "sips-not-allowed",
        /// No such name here.
        UnknownInstance = "unknown-instance",
        /// The instance is not switched on.
        InstanceOff = "instance-off",
        /// The instance has no target that could serve.
        NoTarget = "no-target",
        /// No target of the instance could be reached.
        Unreachable = "unreachable",
        /// The shard's share of transactions is used up.
        NodeBusy = "node-busy",
        /// The instance's share of transactions is used up.
        InstanceBusy = "instance-busy",
        /// Every seat of the user's kind is taken (R20, R48).
        SeatsExhausted = "seats-exhausted",
        /// A light user's second, different device (R43).
        LightSecondDevice = "light-second-device",
        /// A light user's soft client (R46).
        LightSoftphone = "light-softphone",
        /// A method that a light user has not (R45).
        LightMethod = "light-method",
        /// An account that is on no list of users (R49).
        NotLicensedUser = "not-licensed-user",
        /// No valid licence is there (R58, R63).
        LicenceDeactivated = "licence-deactivated",
        /// A soft client without the right to one (R58).
        SoftphoneRight = "softphone-not-licensed",
        /// The last seat is being decided on; try again (R66).
        SeatsPending = "seats-pending",
        /// A seat could not be written down; try again.
        SeatsUnsaved = "seats-unsaved",
        /// More phones register than the instance can answer; try again.
        RegistrarBusy = "registrar-busy",
        /// The phone's flow is gone.
        FlowGone = "flow-gone",
        /// Its source is banned, there or for this account.
        Banned = "banned",
        /// From where the instance takes no devices.
        SourceRefused = "source-refused",
        /// More new requests for the instance than its share of a worker.
        InstanceRate = "instance-rate",
        /// More client connections than one instance may have.
        InstanceConnections = "instance-connections",
        /// A CANCEL for no request we know.
        NoTransaction = "no-transaction",
        /// The PBX or phone did not answer.
        Timeout = "timeout",
        /// Cancelled by the caller.
        Cancelled = "cancelled",
        /// We could not write the forwarded request.
        Internal = "internal",
    }
}

impl Refusal {
    /// Those that licences are the reason of: counted for each instance.
    pub const LICENCE: [Self; 9] = [
        Self::SeatsExhausted,
        Self::LightSecondDevice,
        Self::LightSoftphone,
        Self::LightMethod,
        Self::NotLicensedUser,
        Self::LicenceDeactivated,
        Self::SoftphoneRight,
        Self::SeatsPending,
        Self::SeatsUnsaved,
    ];

    /// Its place among [`Self::LICENCE`].
    pub fn licence_index(self) -> Option<usize> {
        Self::LICENCE.iter().position(|why| *why == self)
    }

    /// Whether it is over in a moment, so that those who are told come back at different times.
    pub const fn passes(self) -> bool {
        matches!(self, Self::SeatsPending | Self::SeatsUnsaved | Self::RegistrarBusy)
    }
}

reasons! {
    /// Why a message was dropped without an answer.
    Drop {
        /// Not SIP, or so damaged that nobody can be answered.
        Unreadable = "unreadable",
        /// A response that is not sound.
        MalformedResponse = "malformed-response",
        /// A response whose top Via is not ours.
        ForeignVia = "foreign-via",
        /// A response that nobody waits for.
        UnmatchedResponse = "unmatched-response",
        /// A response from another place than the request went to.
        ResponseSource = "response-source",
        /// A response whose other Vias are not the request's.
        ViaMismatch = "via-mismatch",
        /// A provisional response to a request that has none (RFC 4320).
        Provisional = "provisional",
        /// A response after the request was answered.
        Late = "late-response",
        /// An ACK that belongs to no INVITE and has no way to go.
        UnmatchedAck = "unmatched-ack",
        /// An ACK for a device that is gone.
        FlowGone = "flow-gone",
        /// An ACK that would have been refused, were it another request.
        RefusedAck = "refused-ack",
        /// A request for a name we do not know, at a proxy that keeps silent.
        UnknownInstance = "unknown-instance",
        /// A request of a scanner.
        Scanner = "scanner",
        /// A request from a source that is banned, there or for this account.
        Banned = "banned",
        /// More new requests for the instance than are even refused.
        InstanceRate = "instance-rate",
        /// A response to a shard that is not the one it belongs to, a second time.
        WrongShard = "wrong-shard",
        /// A response that could not be sent.
        Unsendable = "unsendable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_distinct() {
        let refusals: std::collections::HashSet<_> = Refusal::ALL.iter().map(|r| r.kind()).collect();
        let drops: std::collections::HashSet<_> = Drop::ALL.iter().map(|d| d.kind()).collect();
        assert_eq!((refusals.len(), drops.len()), (Refusal::ALL.len(), Drop::ALL.len()));
    }
}
