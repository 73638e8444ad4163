//! What a stream's bytes are taken for: framed SIP, or something that must be answered first.
//!
//! A codec reads what has come and says what it found; it may become another one on the way, as
//! when the request that opens a WebSocket is answered. What goes out is framed by [`Framing`]. It
//! owns no socket and knows no clock; [`super::stream::Connection`] calls it.

use super::counters::Loss;
use super::stray;
use crate::sip::frame::{Frame, Framer};

/// How the bytes of one stream are read.
#[derive(Debug)]
pub enum Codec {
    /// SIP messages that end where their Content-Length says (RFC 3261 §18.3).
    Stream(Framer),
    /// Somebody who speaks plainly where TLS is spoken: told so, and closed.
    Stray(Framer),
}

/// How messages are framed that go out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// As they are.
    Bare,
}

/// What was found.
#[derive(Debug)]
pub enum Said<'a> {
    /// A message.
    Message(&'a [u8]),
    /// A keep-alive, with what it is answered with, as it goes to the peer.
    Ping(&'a [u8]),
    /// These bytes are to go to the peer as they are.
    Answer(&'a [u8]),
    /// There is nothing more to read; what waits is written first.
    End(Option<Loss>),
}

impl Framing {
    /// Most bytes that frame a message.
    pub const HEAD: usize = 14;

    /// What goes before a message, written into `room`.
    pub fn head<'a>(self, _message: &[u8], room: &'a mut [u8; Self::HEAD]) -> &'a [u8] {
        match self {
            Self::Bare => room.get(..0).unwrap_or_default(),
        }
    }
}

impl Codec {
    /// Whether messages may be sent already.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Tells `said` what is at the front of `bytes`, until nothing whole is left or it answers false; returns how many
    /// bytes are done with. The rest is to be there again, with what follows it.
    pub fn read(&mut self, bytes: &mut [u8], mut said: impl FnMut(Said<'_>) -> bool) -> usize {
        match self {
            Self::Stream(framer) => read_stream(framer, bytes, &mut said),
            Self::Stray(framer) => stray::read(framer, bytes, &mut said),
        }
    }

    /// Whether something has begun that is not whole, `rest` being what was left.
    pub fn is_midway(&self, rest: &[u8]) -> bool {
        rest.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }
}

fn read_stream(framer: &mut Framer, bytes: &[u8], said: &mut impl FnMut(Said<'_>) -> bool) -> usize {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let (used, what) = match framer.next(rest) {
            Frame::Partial => return at,
            Frame::Blank(n) => {
                at += n;
                continue;
            }
            // RFC 5626 §5.4: the pong, at once.
            Frame::Ping(n) => (n, Said::Ping(b"\r\n")),
            Frame::Message(n) => (n, Said::Message(rest.get(..n).unwrap_or_default())),
            Frame::Last(n) => {
                let head = rest.get(..n).unwrap_or_default();
                if said(Said::Message(head)) {
                    said(Said::End(Some(Loss::Framing)));
                }
                return at + n;
            }
            Frame::Broken(_) => {
                said(Said::End(Some(Loss::Framing)));
                return at;
            }
        };
        at += used;
        if !said(what) {
            return at;
        }
    }
}
