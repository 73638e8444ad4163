//! What a stream's bytes are taken for: framed SIP, or something that must be answered first.
//!
//! A codec reads what has come and says what it found; it may become another one on the way, as
//! when the request that opens a WebSocket is answered. What goes out is framed by [`Framing`]. It
//! owns no socket and knows no clock; [`super::stream::Connection`] calls it.

use super::counters::Loss;
use super::stray;
use super::ws::frame::CONTROL;
use super::ws::sip::{self, Content, content};
use super::ws::upgrade::{Asked, Request};
use super::ws::{self, Close, Event, Lead, Opcode};
use crate::ids::Transport;
use crate::sip::frame::{Frame, Framer};
use crate::sip::limits::Limits;

/// How the bytes of one stream are read.
#[derive(Debug)]
pub enum Codec {
    /// SIP messages that end where their Content-Length says (RFC 3261 §18.3).
    Stream(Framer),
    /// Somebody who speaks plainly where TLS is spoken: told so, and closed.
    Stray(Framer),
    /// A request that is to open a WebSocket, whose messages have at most so many bytes.
    Upgrade(usize),
    /// A WebSocket, one SIP message in each of its own (RFC 7118 §5).
    WebSocket(ws::Reader),
}

/// How messages are framed that go out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// As they are.
    Bare,
    /// Each a message of a WebSocket.
    Frames,
}

/// What was found.
#[derive(Debug)]
pub enum Said<'a> {
    /// A message.
    Message(&'a [u8]),
    /// Somebody asks for a WebSocket: it is open if this is answered with true.
    Asked(&'a Asked),
    /// A keep-alive, with what it is answered with, as it goes to the peer.
    Ping(&'a [u8]),
    /// These bytes are to go to the peer as they are.
    Answer(&'a [u8]),
    /// There is nothing more to read; what waits is written first.
    End(Option<Loss>),
}

impl Framing {
    /// Most bytes that frame a message.
    pub const HEAD: usize = Lead::LONGEST;

    /// What goes before a message, written into `room`.
    pub fn head<'a>(self, message: &[u8], room: &'a mut [u8; Self::HEAD]) -> &'a [u8] {
        let lead = match self {
            Self::Bare => return &[],
            Self::Frames => Lead::of(message),
        };
        let bytes = lead.bytes();
        match room.get_mut(..bytes.len()) {
            Some(head) => {
                head.copy_from_slice(bytes);
                head
            }
            None => &[],
        }
    }

    /// What is said before we close it by our own will.
    pub fn farewell(self) -> Option<([u8; 4], usize)> {
        match self {
            Self::Bare => None,
            Self::Frames => Some(Close::Leaving.frame()),
        }
    }
}

impl Codec {
    /// For a stream that begins with SIP, or with a handshake where its transport has one.
    pub const fn beginning(transport: Transport, limits: Limits) -> Self {
        match transport {
            Transport::Ws | Transport::Wss => Self::Upgrade(limits.message),
            Transport::Udp | Transport::Tcp | Transport::Tls => Self::Stream(Framer::new(limits)),
        }
    }

    /// For a stream on which SIP is spoken already.
    pub const fn open(transport: Transport, limits: Limits) -> Self {
        match transport {
            Transport::Ws | Transport::Wss => Self::WebSocket(ws::Reader::new(limits.message)),
            Transport::Udp | Transport::Tcp | Transport::Tls => Self::Stream(Framer::new(limits)),
        }
    }

    /// How messages go out on the same stream.
    pub const fn framing(&self) -> Framing {
        match self {
            Self::Stream(_) | Self::Stray(_) | Self::Upgrade(_) => Framing::Bare,
            Self::WebSocket(_) => Framing::Frames,
        }
    }

    /// Whether messages may be sent already.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Stream(_) | Self::WebSocket(_))
    }

    /// Tells `said` what is at the front of `bytes`, until nothing whole is left or it answers false; returns how many
    /// bytes are done with. The rest is to be there again, with what follows it.
    pub fn read(&mut self, bytes: &mut [u8], mut said: impl FnMut(Said<'_>) -> bool) -> usize {
        match self {
            Self::Stream(framer) => read_stream(framer, bytes, &mut said),
            Self::Stray(framer) => stray::read(framer, bytes, &mut said),
            Self::WebSocket(reader) => read_frames(reader, bytes, &mut said),
            Self::Upgrade(limit) => {
                let (limit, (used, is_open)) = (*limit, read_upgrade(bytes, &mut said));
                if !is_open {
                    return used;
                }
                let mut reader = ws::Reader::new(limit);
                // Frames may follow at once.
                let more = read_frames(&mut reader, bytes.get_mut(used..).unwrap_or_default(), &mut said);
                *self = Self::WebSocket(reader);
                used + more
            }
        }
    }

    /// Whether something has begun that is not whole, `rest` being what was left.
    pub fn is_midway(&self, rest: &[u8]) -> bool {
        match self {
            Self::WebSocket(reader) => reader.is_partial(),
            Self::Stream(_) | Self::Stray(_) | Self::Upgrade(_) => {
                rest.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
            }
        }
    }
}

/// How many bytes are done with, and whether the WebSocket is open.
fn read_upgrade(bytes: &[u8], said: &mut impl FnMut(Said<'_>) -> bool) -> (usize, bool) {
    match Request::read(bytes) {
        Request::Partial => (0, false),
        Request::Asked(length, asked) => (length, said(Said::Asked(&asked))),
        Request::Refused(why) => {
            if said(Said::Answer(&why.answer())) {
                said(Said::End(Some(Loss::Upgrade)));
            }
            (bytes.len(), false)
        }
    }
}

fn read_frames(reader: &mut ws::Reader, bytes: &mut [u8], said: &mut impl FnMut(Said<'_>) -> bool) -> usize {
    let mut at = 0;
    loop {
        let close = match reader.next(bytes.get_mut(at..).unwrap_or_default()) {
            Err(fault) => Close::Fault(fault),
            Ok((used, event)) => {
                at += used;
                let goes_on = match event {
                    None => return at,
                    Some(Event::Message { bytes, .. }) => read_content(bytes, said),
                    Some(Event::Ping(payload)) => {
                        let mut room = [0; 2 + CONTROL];
                        said(Said::Answer(small_frame(Opcode::Pong, payload, &mut room)))
                    }
                    Some(Event::Pong) => true,
                    Some(Event::Close(code)) => {
                        end(Close::Answer(code), None, said);
                        return at;
                    }
                };
                if goes_on {
                    continue;
                }
                return at;
            }
        };
        end(close, Some(Loss::WebSocket), said);
        return at;
    }
}

fn end(close: Close, why: Option<Loss>, said: &mut impl FnMut(Said<'_>) -> bool) {
    let (frame, length) = close.frame();
    if said(Said::Answer(frame.get(..length).unwrap_or_default())) {
        said(Said::End(why));
    }
}

fn read_content(bytes: &[u8], said: &mut impl FnMut(Said<'_>) -> bool) -> bool {
    match content(bytes) {
        // W08
        Content::Ping => said(Said::Ping(small_frame(Opcode::Text, sip::PONG, &mut [0; 2 + CONTROL]))),
        Content::Blank => true,
        Content::Message(message) => said(Said::Message(message)),
    }
}

/// A frame of at most [`CONTROL`] bytes.
fn small_frame<'a>(opcode: Opcode, payload: &[u8], room: &'a mut [u8; 2 + CONTROL]) -> &'a [u8] {
    let (head, rest) = room.split_at_mut(2);
    let length = payload.len().min(CONTROL);
    head.copy_from_slice(Lead::new(opcode, length).bytes().get(..2).unwrap_or(&[0, 0]));
    for (to, from) in rest.iter_mut().zip(payload) {
        *to = *from;
    }
    room.get(..2 + length).unwrap_or_default()
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
