//! Messages out of a stream of bytes (RFC 3261 §18.3, RFC 5626 §3.5.1).
//!
//! The caller owns the buffer and drops what a frame took from its front. What is found is only
//! where a message ends; nothing of it is judged, but a message whose end cannot be known
//! is the last one of its stream. Called by `net`.

use super::bad::Bad;
use super::chars::{number, skip_lws, trim_end};
use super::limits::Limits;
use super::name::Name;

/// What is at the front of the buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    /// Not all of it is there; read more.
    Partial,
    /// A double CRLF before a message, of `.0` bytes: a ping, to be answered with one CRLF (X07).
    Ping(usize),
    /// Line ends before a message that ask for nothing: a pong (V11).
    Blank(usize),
    /// A message of `.0` bytes.
    Message(usize),
    /// The head of a message, `.0` bytes, whose end cannot be known: Content-Length is missing,
    /// foul or larger than allowed (V10). Hand it on so that it is answered, and close.
    Last(usize),
    /// No message can come of it any more: close.
    Broken(Bad),
}

/// The state between reads: how far the buffer was searched already.
#[derive(Clone, Debug)]
pub struct Framer {
    limits: Limits,
    searched: usize,
    /// The whole length of the message, once its head is there.
    length: Option<usize>,
}

impl Framer {
    /// For one stream.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, searched: 0, length: None }
    }

    /// What `buffer` starts with. After anything but [`Frame::Partial`], the bytes it names must
    /// be gone from the front before the next call.
    pub fn next(&mut self, buffer: &[u8]) -> Frame {
        if let Some(length) = self.length {
            return self.whole(buffer, length);
        }
        if self.searched == 0 {
            match buffer {
                [b'\r', b'\n', b'\r', b'\n', ..] => return Frame::Ping(4),
                [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return Frame::Partial,
                [b'\r', b'\n', ..] => return Frame::Blank(2),
                [b'\r' | b'\n', ..] => return Frame::Blank(1),
                _ => {}
            }
        }
        let Some(head) = self.head_end(buffer) else {
            let most = self.limits.head.min(self.limits.message);
            return if buffer.len() > most + 4 { Frame::Broken(Bad::HeadTooLarge) } else { Frame::Partial };
        };
        match content_length(buffer.get(..head).unwrap_or_default()) {
            Some(body) if head.saturating_add(body) <= self.limits.message => {
                self.length = Some(head + body);
                self.whole(buffer, head + body)
            }
            _ => {
                self.searched = 0;
                Frame::Last(head)
            }
        }
    }

    fn whole(&mut self, buffer: &[u8], length: usize) -> Frame {
        if buffer.len() < length {
            return Frame::Partial;
        }
        self.length = None;
        self.searched = 0;
        Frame::Message(length)
    }

    /// One past the empty line, searched from where the last search ended.
    fn head_end(&mut self, buffer: &[u8]) -> Option<usize> {
        let from = self.searched;
        let rest = buffer.get(from..).unwrap_or_default();
        let found = memchr::memchr_iter(b'\n', rest)
            .map(|place| from + place + 1)
            .find(|end| buffer.get(end.saturating_sub(4)..*end) == Some(b"\r\n\r\n"));
        if found.is_none() {
            self.searched = buffer.len();
        }
        found
    }
}

/// The one Content-Length of a head; `None` where there is none, a foul one, or several.
fn content_length(head: &[u8]) -> Option<usize> {
    let mut length = None;
    let mut at = memchr::memchr(b'\n', head)? + 1;
    while at < head.len() {
        let rest = head.get(at..).unwrap_or_default();
        let mut end = at + memchr::memchr(b'\n', rest)? + 1;
        while matches!(head.get(end), Some(b' ' | b'\t')) {
            let folded = head.get(end..).unwrap_or_default();
            end += memchr::memchr(b'\n', folded)? + 1;
        }
        // Only `l` and `Content-Length` are read any further.
        if matches!(head.get(at).map(|b| b | 0x20), Some(b'l' | b'c')) {
            let row = head.get(at..end).unwrap_or_default();
            if let Some(colon) = memchr::memchr(b':', row) {
                let label = row.get(..trim_end(row, 0, colon)).unwrap_or_default();
                if Name::of(label) == Name::ContentLength {
                    let start = skip_lws(row, colon + 1);
                    let value = row.get(start..trim_end(row, start, row.len())).unwrap_or_default();
                    if length.replace(number::<usize>(value)?).is_some() {
                        return None;
                    }
                }
            }
        }
        at = end;
    }
    length
}
