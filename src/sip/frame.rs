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
        // The empty line is no part of what is bounded.
        let most = self.limits.head.min(self.limits.message) + 2;
        let head = match self.head_end(buffer) {
            Some(head) if head <= most => head,
            None if buffer.len() < most => return Frame::Partial,
            _ => return Frame::Broken(Bad::HeadTooLarge),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn first(bytes: &[u8]) -> Frame {
        Framer::new(Limits::DEFAULT).next(bytes)
    }

    fn head(rows: &str) -> String {
        format!("BYE sip:a SIP/2.0\r\n{rows}\r\n")
    }

    /// All frames of a stream that comes `step` bytes at a time.
    fn frames(bytes: &[u8], step: usize) -> Vec<Frame> {
        let (mut framer, mut buffer, mut found) = (Framer::new(Limits::DEFAULT), Vec::new(), Vec::new());
        for piece in bytes.chunks(step) {
            buffer.extend_from_slice(piece);
            loop {
                let frame = framer.next(&buffer);
                let taken = match frame {
                    Frame::Partial => break,
                    Frame::Ping(taken) | Frame::Blank(taken) | Frame::Message(taken) | Frame::Last(taken) => taken,
                    Frame::Broken(_) => buffer.len(),
                };
                buffer.drain(..taken);
                found.push(frame);
            }
        }
        found
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        // V11 X07
        let one = head("Content-Length: 3\r\n") + "a\r\n";
        let two = head("To: x\r\nl :\r\n 0\r\n");
        let stream = format!("\r\n\r\n{one}\r\n{two}\r\n\r\n\r\n\r\n{one}");
        let expected = [
            Frame::Ping(4),
            Frame::Message(one.len()),
            Frame::Blank(2),
            Frame::Message(two.len()),
            Frame::Ping(4),
            Frame::Ping(4),
            Frame::Message(one.len()),
        ];
        for step in [1, 2, 3, 5, 50, stream.len()] {
            assert_eq!(frames(stream.as_bytes(), step), expected, "by {step}");
        }
    }

    #[test]
    fn a_hidden_request_stays_hidden() {
        // PROTOCOLS 3.3.5
        let inner = head("Content-Length: 0\r\n");
        let outer = head(&format!("Content-Length: {}\r\n", inner.len())) + &inner;
        assert_eq!(frames(outer.as_bytes(), 1), [Frame::Message(outer.len())]);
        // A Content-Length in a folded row or in another field is none.
        let rows =
            "X: a\r\n Content-Length: 900\r\nY: Content-Length: 901\r\nContent-Length2: 5\r\nContent-Length: 0\r\n";
        assert_eq!(first(head(rows).as_bytes()), Frame::Message(head(rows).len()));
    }

    #[test]
    fn an_end_that_cannot_be_known_ends_the_stream() {
        // V10
        for rows in [
            "",
            "To: x\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 4294967296000000000000\r\n",
            "Content-Length: 65536\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "l: 0\r\nContent-Length: 0\r\n",
            "Content-Length: 5,5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 0x5\r\n",
        ] {
            let head = head(rows);
            let bytes = format!("{head}and more");
            assert_eq!(first(bytes.as_bytes()), Frame::Last(head.len()), "{rows}");
        }
    }

    #[test]
    fn a_head_is_broken_above_its_bound_however_it_comes() {
        // DESIGN 10
        let text = head("Content-Length: 0\r\n");
        let length = text.len() - 2;
        for (bound, expected) in [
            (length + 1, Frame::Message(text.len())),
            (length, Frame::Message(text.len())),
            (length - 1, Frame::Broken(Bad::HeadTooLarge)),
        ] {
            let limits = Limits { head: bound, ..Limits::DEFAULT };
            assert_eq!(Framer::new(limits).next(text.as_bytes()), expected);
            let mut framer = Framer::new(limits);
            let found = (1..=text.len()).map(|end| framer.next(&text.as_bytes()[..end])).find(|f| *f != Frame::Partial);
            assert_eq!(found, Some(expected), "byte by byte");
        }
    }

    #[test]
    fn a_message_may_be_as_long_as_the_bound() {
        // V16
        let length = head("Content-Length: 1000\r\n").len() + 1000;
        let bytes = head("Content-Length: 1000\r\n") + &"x".repeat(1000);
        for (message, expected) in [
            (length + 1, Frame::Message(length)),
            (length, Frame::Message(length)),
            (length - 1, Frame::Last(length - 1000)),
        ] {
            assert_eq!(Framer::new(Limits { message, ..Limits::DEFAULT }).next(bytes.as_bytes()), expected);
        }
    }

    #[test]
    fn line_ends_alone_wait_for_their_second_half() {
        // X07
        for bytes in [&b""[..], b"\r", b"\r\n", b"\r\n\r"] {
            assert_eq!(first(bytes), Frame::Partial);
        }
        assert_eq!(first(b"\r\nx"), Frame::Blank(2));
        assert_eq!(first(b"\n"), Frame::Blank(1));
        assert_eq!(first(b"\rx"), Frame::Blank(1));
        assert_eq!(first(b"\r\n\rx"), Frame::Blank(2));
    }
}
