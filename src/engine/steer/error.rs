//! Why a message is not steered.

use crate::engine::token::{OpenError, SealError};
use crate::sip::bad::Bad;
use crate::sip::edit::Overlap;

/// Why a request goes nowhere. Always the sender's doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SteerError {
    /// A Route or the Request-URI cannot be read: 400.
    #[error("malformed {0}")]
    Malformed(Bad),
    /// A token of ours that is not believed: 403 (F03).
    #[error("token {0}")]
    Token(OpenError),
    /// A token in a place where it does not belong, or from the wrong side: 403.
    #[error("token in the wrong place")]
    Misplaced,
    /// A Route to somewhere else: 403 (F04).
    #[error("route to a foreign host")]
    ForeignRoute,
    /// What it carries names more than one instance: 403 (R10).
    #[error("names more than one instance")]
    InstanceMismatch,
    /// It came round with nothing changed: 482 (L01, L02).
    #[error("loop")]
    Loop,
    /// Max-Breadth leaves none for us: 440 (L03).
    #[error("no breadth left")]
    Breadth,
}

impl SteerError {
    /// The metric label and reason code.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Malformed(bad) => bad.kind(),
            Self::Token(error) => error.kind(),
            Self::Misplaced => "token-misplaced",
            Self::ForeignRoute => "foreign-route",
            Self::InstanceMismatch => "instance-mismatch",
            Self::Loop => "loop",
            Self::Breadth => "max-breadth",
        }
    }
}

/// Why a message could not be edited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EditError {
    /// A token could not be sealed: no key, or the text to hide is too long.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A header that must be edited cannot be read.
    #[error(transparent)]
    Malformed(#[from] Bad),
    /// Two edits met: a mistake of ours.
    #[error(transparent)]
    Overlap(#[from] Overlap),
}

impl EditError {
    /// The metric label and reason code.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Seal(error) => error.kind(),
            Self::Malformed(bad) => bad.kind(),
            Self::Overlap(_) => "overlap",
        }
    }
}
