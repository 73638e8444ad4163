//! Why a token was not made or not believed.

/// Why a text could not be sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    /// The ring holds no key that is valid now.
    #[error("no key to seal with")]
    NoKey,
    /// The text to hide exceeds [`super::MAX_TEXT`].
    #[error("text too long to hide")]
    TooLong,
}

/// Why a token is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// Not base64url, or too short: truncated, or never a token.
    #[error("not a token")]
    Malformed,
    /// Sealed with a key that is no longer, or never was, in the ring.
    #[error("sealed with an unknown key")]
    UnknownKey,
    /// Does not verify: forged or garbled.
    #[error("does not verify")]
    Forged,
    /// Verified, but its time or its key's time is over.
    #[error("expired")]
    Expired,
}

impl SealError {
    /// The metric label and reason code.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::NoKey => "token-no-key",
            Self::TooLong => "token-too-long",
        }
    }
}

impl OpenError {
    /// The metric label and reason code.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Malformed => "token-malformed",
            Self::UnknownKey => "token-unknown-key",
            Self::Forged => "token-forged",
            Self::Expired => "token-expired",
        }
    }
}
