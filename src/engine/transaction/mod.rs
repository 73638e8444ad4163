//! The four transaction machines of RFC 3261 §17 with RFC 6026 and RFC 4320, as data.
//!
//! A machine knows its state and its transport's kind; it is told of messages and timers and answers what has
//! to be done. It holds no message, arms no timer and sends nothing: `core` does, from [`Plan`]. [`timing`] has
//! the timer values, [`key`] the matching of server transactions.

pub mod client;
pub mod key;
pub mod server;
pub mod timing;

/// The two timers a transaction can have running, as they are to be after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Retransmission (A, E, G), the delayed 100 of a non-INVITE, or the CANCEL's retransmission.
    pub resend: Change,
    /// The end of the state (B, C, D, F, H, I, J, K, L, M).
    pub end: Change,
}

/// What becomes of a timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Change {
    /// It runs on as it was.
    #[default]
    Keep,
    /// It is stopped.
    Stop,
    /// It is started (anew): milliseconds from now.
    Start(u64),
}

impl Plan {
    /// Both timers stopped: the transaction is over.
    pub const STOP: Self = Self { resend: Change::Stop, end: Change::Stop };

    const fn new(resend: Change, end: Change) -> Self {
        Self { resend, end }
    }
}

/// INVITE transactions and all others differ (RFC 3261 §17).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// INVITE, with its ACK.
    Invite,
    /// Any other method.
    Other,
}
