//! Messages out of a client's frames (RFC 6455 §5, §6.2).

use super::close::{self, Fault};
use super::frame::{CONTROL, Head, HeadReader, Opcode, unmask};

/// Capacity that a WebSocket may keep between messages that came in pieces.
const KEPT: usize = 16 * 1024;

/// What a client sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// A message; `text` is UTF-8.
    Message {
        /// Whether it was sent as text.
        text: bool,
        /// The whole of it.
        bytes: &'a [u8],
    },
    /// To be answered with a pong that says the same.
    Ping(&'a [u8]),
    /// Nothing to do.
    Pong,
    /// The client ends it, with this status code. Nothing after it counts.
    Close(Option<u16>),
}

/// The state between reads.
#[derive(Debug)]
pub struct Reader {
    /// Bytes of one message.
    limit: usize,
    head: HeadReader,
    frame: Option<Frame>,
    /// A message in pieces: whether it is text, once its first frame has begun.
    text: Option<bool>,
    pieces: Vec<u8>,
    /// How much of `pieces` is known to be UTF-8.
    checked: usize,
    /// `pieces` was handed out.
    done: bool,
    control: [u8; CONTROL],
    control_length: usize,
}

/// A frame whose head is read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    head: Head,
    left: usize,
    phase: usize,
}

impl Reader {
    /// For one WebSocket, with messages of at most `limit` bytes.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            head: HeadReader::new(),
            frame: None,
            text: None,
            pieces: Vec::new(),
            checked: 0,
            done: false,
            control: [0; CONTROL],
            control_length: 0,
        }
    }

    /// Whether a frame or a message has begun and is not complete.
    pub const fn is_partial(&self) -> bool {
        self.head.is_partial() || self.frame.is_some() || self.text.is_some()
    }

    /// What `bytes` start with, and how many of them it took; without an event all were taken. Payload is unmasked
    /// in place. After a close or a fault nothing more may be fed.
    ///
    /// # Errors
    /// What the client did wrong; the WebSocket has to end.
    pub fn next<'a>(&'a mut self, bytes: &'a mut [u8]) -> Result<(usize, Option<Event<'a>>), Fault> {
        self.forget_delivered();
        let mut at = 0;
        let frame = loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let frame = match self.frame {
                Some(frame) => frame,
                None => {
                    let (used, head) = self.head.take(rest)?;
                    at += used;
                    let Some(head) = head else { return Ok((at, None)) };
                    self.begin(head)?
                }
            };
            let here = frame.left.min(bytes.len() - at);
            let whole = here as u64 == frame.head.length;
            let piece = bytes.get_mut(at..at + here).unwrap_or_default();
            unmask(piece, frame.head.mask, frame.phase);
            at += here;
            if whole && frame.head.last && frame.head.opcode.begins_message() {
                break frame;
            }
            self.keep(frame, at, here, bytes)?;
            if here < frame.left {
                self.frame = Some(Frame { left: frame.left - here, phase: (frame.phase + here) % 4, ..frame });
                return Ok((at, None));
            }
            self.frame = None;
            if frame.head.opcode.is_control() {
                return Ok((at, Some(self.control_event(frame.head.opcode)?)));
            }
            if frame.head.last {
                return Ok((at, Some(self.message()?)));
            }
        };
        // The common case: a message in one frame that is all there.
        self.frame = None;
        let text = self.text.take() == Some(true);
        let payload = bytes.get(at - frame.left..at).unwrap_or_default();
        if text && std::str::from_utf8(payload).is_err() {
            return Err(Fault::Text);
        }
        Ok((at, Some(Event::Message { text, bytes: payload })))
    }

    fn forget_delivered(&mut self) {
        if self.done {
            self.done = false;
            self.checked = 0;
            self.pieces.clear();
            if self.pieces.capacity() > KEPT {
                self.pieces = Vec::new();
            }
        }
    }

    fn begin(&mut self, head: Head) -> Result<Frame, Fault> {
        let left = usize::try_from(head.length).map_err(|_| Fault::TooBig)?;
        match (head.opcode, self.text) {
            (Opcode::Continuation, None) | (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Fault::Protocol),
            (Opcode::Text, None) => self.text = Some(true),
            (Opcode::Binary, None) => self.text = Some(false),
            _ => {}
        }
        if !head.opcode.is_control() && left > self.limit.saturating_sub(self.pieces.len()) {
            return Err(Fault::TooBig);
        }
        let frame = Frame { head, left, phase: 0 };
        self.frame = Some(frame);
        Ok(frame)
    }

    /// Keeps what is not yet whole.
    fn keep(&mut self, frame: Frame, end: usize, length: usize, bytes: &[u8]) -> Result<(), Fault> {
        let piece = bytes.get(end - length..end).unwrap_or_default();
        if frame.head.opcode.is_control() {
            let room = self.control.get_mut(self.control_length..self.control_length + length);
            room.ok_or(Fault::Protocol)?.copy_from_slice(piece);
            self.control_length += length;
            return Ok(());
        }
        self.pieces.extend_from_slice(piece);
        if self.text == Some(true) {
            self.check_text(false)?;
        }
        Ok(())
    }

    /// What can already be seen to be no UTF-8 is refused before the message ends.
    fn check_text(&mut self, whole: bool) -> Result<(), Fault> {
        let fresh = self.pieces.get(self.checked..).unwrap_or_default();
        match std::str::from_utf8(fresh) {
            Ok(_) => self.checked = self.pieces.len(),
            Err(error) if error.error_len().is_none() && !whole => self.checked += error.valid_up_to(),
            Err(_) => return Err(Fault::Text),
        }
        Ok(())
    }

    fn message(&mut self) -> Result<Event<'_>, Fault> {
        let text = self.text.take() == Some(true);
        if text {
            self.check_text(true)?;
        }
        self.done = true;
        Ok(Event::Message { text, bytes: &self.pieces })
    }

    fn control_event(&mut self, opcode: Opcode) -> Result<Event<'_>, Fault> {
        let payload = self.control.get(..self.control_length).unwrap_or_default();
        self.control_length = 0;
        Ok(match opcode {
            Opcode::Ping => Event::Ping(payload),
            Opcode::Close => Event::Close(close::status(payload)?),
            _ => Event::Pong,
        })
    }
}
