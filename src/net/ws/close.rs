//! How a WebSocket ends (RFC 6455 §7): why we end it, and what a client may say.

use super::frame::{Lead, Opcode};

/// What a client does that ends its WebSocket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It does not keep to RFC 6455 (W04).
    Protocol,
    /// Text that is no UTF-8 (W02).
    Text,
    /// A message larger than allowed (W04).
    TooBig,
}

/// Why we end a WebSocket: the status code of our close frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Close {
    /// What the client said.
    Answer(Option<u16>),
    /// The client is at fault.
    Fault(Fault),
    /// The node stops, or the listener is gone.
    Leaving,
}

impl Close {
    /// The status code; none where the client gave none.
    pub const fn code(self) -> Option<u16> {
        match self {
            Self::Answer(code) => code,
            Self::Fault(Fault::Protocol) => Some(1002),
            Self::Fault(Fault::Text) => Some(1007),
            Self::Fault(Fault::TooBig) => Some(1009),
            Self::Leaving => Some(1001),
        }
    }

    /// The frame that says so.
    pub fn frame(self) -> ([u8; 4], usize) {
        let length = if self.code().is_some() { 2 } else { 0 };
        let [high, low] = self.code().unwrap_or_default().to_be_bytes();
        match Lead::new(Opcode::Close, length).bytes() {
            [first, second] => ([*first, *second, high, low], 2 + length),
            _ => ([0; 4], 0),
        }
    }
}

/// The status code of a client's close frame (§5.5.1, §7.4).
pub(super) fn status(payload: &[u8]) -> Result<Option<u16>, Fault> {
    match payload {
        [] => Ok(None),
        [_] => Err(Fault::Protocol),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(Fault::Protocol);
            }
            std::str::from_utf8(reason).map_or(Err(Fault::Text), |_| Ok(Some(code)))
        }
    }
}
