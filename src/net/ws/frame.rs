//! The frames of RFC 6455 §5: heads read and written, payloads unmasked.

use super::close::Fault;

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opcode {
    /// More of a message that has begun.
    Continuation,
    /// A message of UTF-8, or its beginning.
    Text,
    /// A message of bytes, or its beginning.
    Binary,
    /// The end.
    Close,
    /// A question whether the other end is there.
    Ping,
    /// The answer.
    Pong,
}

impl Opcode {
    const fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// Whether a message may be whole in it, unlike control frames and continuations.
    pub(super) const fn begins_message(self) -> bool {
        matches!(self, Self::Text | Self::Binary)
    }

    /// Whether it may come between the fragments of a message.
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The longest payload of a control frame.
pub const CONTROL: usize = 125;

/// The head of a client's frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) last: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: [u8; 4],
    pub(super) length: u64,
}

/// A head that comes in pieces.
#[derive(Clone, Debug)]
pub(super) struct HeadReader {
    bytes: [u8; 14],
    have: usize,
}

impl HeadReader {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; 14], have: 0 }
    }

    /// Whether a head has begun.
    pub(super) const fn is_partial(&self) -> bool {
        self.have > 0
    }

    /// Takes bytes up to the end of the head. What is wrong is said as soon as it can be seen.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(usize, Option<Head>), Fault> {
        for (at, byte) in bytes.iter().enumerate() {
            if let Some(slot) = self.bytes.get_mut(self.have) {
                *slot = *byte;
            }
            self.have += 1;
            match self.have {
                1 => self.check_first()?,
                2 => self.check_second()?,
                _ => {}
            }
            if self.have >= 2 && self.have == self.length() {
                self.have = 0;
                return Ok((at + 1, Some(self.head()?)));
            }
        }
        Ok((bytes.len(), None))
    }

    fn check_first(&self) -> Result<(), Fault> {
        let opcode = Opcode::of(self.bytes[0] & 0x0f).ok_or(Fault::Protocol)?;
        // No extension was agreed on, so nothing says what a reserved bit means (W04, W10).
        let reserved = self.bytes[0] & 0x70 != 0;
        let in_pieces = opcode.is_control() && self.bytes[0] & 0x80 == 0;
        if reserved || in_pieces { Err(Fault::Protocol) } else { Ok(()) }
    }

    fn check_second(&self) -> Result<(), Fault> {
        let unmasked = self.bytes[1] & 0x80 == 0;
        let control = self.bytes[0] & 0x08 != 0;
        let long = control && usize::from(self.bytes[1] & 0x7f) > CONTROL;
        if unmasked || long { Err(Fault::Protocol) } else { Ok(()) }
    }

    const fn length(&self) -> usize {
        match self.bytes[1] & 0x7f {
            126 => 8,
            127 => 14,
            _ => 6,
        }
    }

    fn head(&self) -> Result<Head, Fault> {
        let [first, second, rest @ ..] = self.bytes;
        let (length, mask, least) = match (second & 0x7f, rest) {
            (126, [a, b, mask @ .., _, _, _, _, _, _]) => (u64::from(u16::from_be_bytes([a, b])), mask, 126),
            (127, [a, b, c, d, e, f, g, h, mask @ ..]) => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), mask, 65_536),
            (short, [mask @ .., _, _, _, _, _, _, _, _]) => (u64::from(short), mask, 0),
        };
        // §5.2: the fewest bytes that will do, and the highest bit unset.
        if length < least || length >> 63 != 0 {
            return Err(Fault::Protocol);
        }
        let opcode = Opcode::of(first & 0x0f).ok_or(Fault::Protocol)?;
        Ok(Head { last: first & 0x80 != 0, opcode, mask, length })
    }
}

/// Unmasks bytes that begin `phase` bytes into a payload (§5.3); doing it again masks them.
pub fn unmask(bytes: &mut [u8], mask: [u8; 4], phase: usize) {
    let mut key = mask;
    key.rotate_left(phase % 4);
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// The head of a frame of ours: whole messages only, and never masked (§5.1).
#[derive(Clone, Copy, Debug)]
pub struct Lead {
    bytes: [u8; 10],
    length: usize,
}

impl Lead {
    /// The longest.
    pub const LONGEST: usize = 10;

    /// For a payload of `length` bytes.
    pub const fn new(opcode: Opcode, length: usize) -> Self {
        let first = 0x80 | opcode.bits();
        let [a, b, c, d, e, f, g, h] = (length as u64).to_be_bytes();
        if length < 126 {
            Self { bytes: [first, h, 0, 0, 0, 0, 0, 0, 0, 0], length: 2 }
        } else if length < 65_536 {
            Self { bytes: [first, 126, g, h, 0, 0, 0, 0, 0, 0], length: 4 }
        } else {
            Self { bytes: [first, 127, a, b, c, d, e, f, g, h], length: 10 }
        }
    }

    /// For a message: text where it is UTF-8, else binary (RFC 7118 §5, W02).
    pub fn of(message: &[u8]) -> Self {
        let opcode = if std::str::from_utf8(message).is_ok() { Opcode::Text } else { Opcode::Binary };
        Self::new(opcode, message.len())
    }

    /// As bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}
