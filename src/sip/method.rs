//! Methods: case-sensitive tokens (RFC 3261 §7.1).

/// The method of a request or of CSeq.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs, reason = "each is the method of its name")]
pub enum Method<'a> {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Register,
    Prack,
    Update,
    Info,
    Subscribe,
    Notify,
    Refer,
    Message,
    Publish,
    /// Any other, as written (V03).
    Other(&'a [u8]),
}

impl<'a> Method<'a> {
    /// The method of this name; `invite` is not `INVITE`.
    pub const fn of(text: &'a [u8]) -> Self {
        match text {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"PRACK" => Self::Prack,
            b"UPDATE" => Self::Update,
            b"INFO" => Self::Info,
            b"SUBSCRIBE" => Self::Subscribe,
            b"NOTIFY" => Self::Notify,
            b"REFER" => Self::Refer,
            b"MESSAGE" => Self::Message,
            b"PUBLISH" => Self::Publish,
            other => Self::Other(other),
        }
    }

    /// Itself, unless it is any other.
    pub(super) const fn known(self) -> Option<Method<'static>> {
        Some(match self {
            Self::Invite => Method::Invite,
            Self::Ack => Method::Ack,
            Self::Bye => Method::Bye,
            Self::Cancel => Method::Cancel,
            Self::Options => Method::Options,
            Self::Register => Method::Register,
            Self::Prack => Method::Prack,
            Self::Update => Method::Update,
            Self::Info => Method::Info,
            Self::Subscribe => Method::Subscribe,
            Self::Notify => Method::Notify,
            Self::Refer => Method::Refer,
            Self::Message => Method::Message,
            Self::Publish => Method::Publish,
            Self::Other(_) => return None,
        })
    }

    /// Its name.
    pub const fn text(self) -> &'a [u8] {
        match self {
            Self::Invite => b"INVITE",
            Self::Ack => b"ACK",
            Self::Bye => b"BYE",
            Self::Cancel => b"CANCEL",
            Self::Options => b"OPTIONS",
            Self::Register => b"REGISTER",
            Self::Prack => b"PRACK",
            Self::Update => b"UPDATE",
            Self::Info => b"INFO",
            Self::Subscribe => b"SUBSCRIBE",
            Self::Notify => b"NOTIFY",
            Self::Refer => b"REFER",
            Self::Message => b"MESSAGE",
            Self::Publish => b"PUBLISH",
            Self::Other(text) => text,
        }
    }
}
