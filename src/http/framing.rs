//! A second pair of eyes on the bytes of an HTTP/1 client, before hyper parses them.
//!
//! hyper reads messages soundly but keeps some things to itself: it removes a Content-Length that
//! stands beside a Transfer-Encoding (which we refuse, HT04), knows one limit for the whole head
//! (we want 414 and 431, HT12) and does not tell when a head begins (for 408). This follows the
//! framing of the requests only as far as that needs: it stores a line's first bytes and nothing
//! else, and never changes what it sees. Pure; fed by `stream`.

/// What makes the rest of a connection unreadable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// The request line is longer than allowed.
    TargetTooLong,
    /// The fields are longer than allowed.
    FieldsTooLarge,
    /// It is not clear where the message ends: an attack (RFC 9112 §6.1, §6.3).
    Framing,
    /// Whitespace before a field's name, or a bare CR (RFC 9112 §2.2, §5.1, §5.2).
    Syntax,
}

/// How far into a message we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Before a request line; empty lines are skipped (RFC 9112 §2.2).
    Start,
    RequestLine,
    Field,
    /// This many bytes of body are left.
    Body(u64),
    ChunkSize,
    ChunkExtension,
    /// This many bytes of a chunk and its line end are left.
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// An upgrade was asked for: what follows may be no HTTP.
    Opaque,
}

/// How much of a line is kept: enough for every value that matters here.
const KEPT: usize = 80;
/// Longest chunk extension; hyper has a limit of its own for their sum.
const MAX_EXTENSION: u32 = 4096;

/// Follows the requests of one connection.
pub(super) struct Framing {
    state: State,
    max_target: u32,
    max_fields: u32,
    /// Bytes of the current line, also those not kept.
    line: u32,
    /// Bytes of the current head.
    head: u32,
    kept: [u8; KEPT],
    length: Option<u64>,
    coding: bool,
    upgrade: bool,
    size: u64,
    digits: u8,
    after_cr: bool,
}

impl Framing {
    pub(super) fn new(max_target: u32, max_fields: u32) -> Self {
        Self {
            state: State::Start,
            max_target,
            max_fields,
            line: 0,
            head: 0,
            kept: [0; KEPT],
            length: None,
            coding: false,
            upgrade: false,
            size: 0,
            digits: 0,
            after_cr: false,
        }
    }

    /// Whether a head has begun and is not complete.
    pub(super) fn in_head(&self) -> bool {
        matches!(self.state, State::RequestLine | State::Field)
    }

    /// Takes what was read.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Opaque => return Ok(()),
                State::Body(left) => self.skip(bytes, left, State::Start, State::Body),
                State::Chunk(left) => self.skip(bytes, left, State::ChunkEnd, State::Chunk),
                State::Start | State::RequestLine | State::Field | State::Trailer => self.text(bytes)?,
                State::ChunkSize | State::ChunkExtension | State::ChunkEnd => self.chunk(bytes)?,
            };
        }
        Ok(())
    }

    fn skip<'a>(&mut self, bytes: &'a [u8], left: u64, then: State, rest: fn(u64) -> State) -> &'a [u8] {
        match usize::try_from(left).ok().and_then(|n| bytes.split_at_checked(n)) {
            Some((_, after)) => {
                self.state = then;
                after
            }
            None => {
                self.state = rest(left - bytes.len() as u64);
                &[]
            }
        }
    }

    /// One line of a head or trailer, or as much of it as there is.
    fn text<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        let end = memchr::memchr(b'\n', bytes);
        let (line, rest) = match end {
            Some(at) => bytes.split_at(at + 1),
            None => (bytes, &[][..]),
        };
        let start = self.line as usize;
        for (slot, byte) in self.kept.iter_mut().skip(start).zip(line) {
            *slot = *byte;
        }
        let length = u32::try_from(line.len()).unwrap_or(u32::MAX);
        self.line = self.line.saturating_add(length);
        if self.state == State::Start {
            let blank = self.kept().iter().all(|b| matches!(b, b'\r' | b'\n'));
            if !blank {
                self.state = State::RequestLine;
            }
        }
        match self.state {
            State::RequestLine if self.line > self.max_target => return Err(Fault::TargetTooLong),
            State::Field | State::Trailer => {
                self.head = self.head.saturating_add(length);
                if self.head > self.max_fields {
                    return Err(Fault::FieldsTooLarge);
                }
            }
            _ => {}
        }
        // A CR is followed by LF or is an error; the last byte's follower comes with the next read.
        let body = line.strip_suffix(b"\n").unwrap_or(line);
        let body = body.strip_suffix(b"\r").unwrap_or(body);
        if (self.after_cr && line != b"\n") || memchr::memchr(b'\r', body).is_some() {
            return Err(Fault::Syntax);
        }
        self.after_cr = end.is_none() && line.ends_with(b"\r");
        if end.is_some() {
            self.end_of_line()?;
            self.line = 0;
        }
        Ok(rest)
    }

    fn end_of_line(&mut self) -> Result<(), Fault> {
        let line = self.kept().trim_ascii_end();
        match self.state {
            State::RequestLine => {
                (self.length, self.coding, self.upgrade, self.head) = (None, false, false, 0);
                self.state = State::Field;
            }
            State::Field if line.is_empty() => self.end_of_head()?,
            State::Field => self.field()?,
            State::Trailer if line.is_empty() => self.state = State::Start,
            _ => {}
        }
        Ok(())
    }

    fn field(&mut self) -> Result<(), Fault> {
        let line = self.kept();
        if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
            return Err(Fault::Syntax);
        }
        let Some(colon) = memchr::memchr(b':', line) else {
            // A name longer than what is kept is none of ours; without any colon hyper refuses it.
            return Ok(());
        };
        let (name, value) = line.split_at(colon);
        if name.ends_with(b" ") || name.ends_with(b"\t") {
            return Err(Fault::Syntax);
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = digits(value).ok_or(Fault::Framing)?;
            if self.coding || self.length.is_some_and(|other| other != length) || self.line as usize > KEPT {
                return Err(Fault::Framing);
            }
            self.length = Some(length);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.length.is_some() || self.line as usize > KEPT {
                return Err(Fault::Framing);
            }
            self.coding = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
        }
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<(), Fault> {
        self.head = 0;
        self.state = match (self.upgrade, self.coding, self.length) {
            (true, ..) => State::Opaque,
            (false, true, _) => {
                (self.size, self.digits) = (0, 0);
                State::ChunkSize
            }
            (false, false, Some(length)) if length > 0 => State::Body(length),
            _ => State::Start,
        };
        Ok(())
    }

    /// Chunk framing (RFC 9112 §7.1), a byte at a time.
    fn chunk<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        let Some((&byte, rest)) = bytes.split_first() else { return Ok(bytes) };
        match (self.state, byte) {
            (State::ChunkSize, b'\n') if self.digits == 0 => return Err(Fault::Framing),
            (State::ChunkSize | State::ChunkExtension, b'\n') => {
                self.line = 0;
                self.state = if self.size == 0 { State::Trailer } else { State::Chunk(self.size) };
                (self.size, self.digits) = (0, 0);
            }
            (State::ChunkSize, b';' | b' ' | b'\t') => (self.state, self.line) = (State::ChunkExtension, 0),
            (State::ChunkSize | State::ChunkEnd, b'\r') => {}
            (State::ChunkSize, digit) => {
                let value = char::from(digit).to_digit(16).ok_or(Fault::Framing)?;
                self.digits += 1;
                if self.digits > 16 {
                    return Err(Fault::Framing);
                }
                self.size = self.size << 4 | u64::from(value);
            }
            (State::ChunkExtension, _) => {
                self.line += 1;
                if self.line > MAX_EXTENSION {
                    return Err(Fault::Framing);
                }
            }
            (State::ChunkEnd, b'\n') => self.state = State::ChunkSize,
            _ => return Err(Fault::Framing),
        }
        Ok(rest)
    }

    fn kept(&self) -> &[u8] {
        self.kept.get(..(self.line as usize).min(KEPT)).unwrap_or_default()
    }
}

/// A length: digits and nothing else (RFC 9110 §8.6), so neither sign nor list.
pub(super) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds it whole and a byte at a time; both must say the same.
    fn read(text: &[u8]) -> Result<State, Fault> {
        let mut whole = Framing::new(64, 256);
        let one = whole.feed(text).map(|()| whole.state);
        let mut bytes = Framing::new(64, 256);
        let other = text.iter().try_for_each(|b| bytes.feed(std::slice::from_ref(b))).map(|()| bytes.state);
        assert_eq!(one, other, "{}", String::from_utf8_lossy(text));
        one
    }

    #[test]
    fn follows_sound_requests() {
        for text in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"\r\n\r\nGET / HTTP/1.1\nHost: a\n\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\nabc",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\na;x=\"y\"\r\n\r\n34567\r\n8\r\n0;z\r\nT: v\r\n\r\n",
        ] {
            assert_eq!(read(text), Ok(State::Start), "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(read(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\x81\x05\r\r\r"), Ok(State::Opaque));
    }

    #[test]
    fn two_framings_are_none() {
        // HT04
        for fields in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 3",
            "transfer-encoding:chunked\r\nA: b\r\nCONTENT-LENGTH:0",
            "Content-Length: 3\r\nContent-Length: 4",
            "Content-Length: 3, 3",
            "Content-Length: +3",
            "Content-Length: 3 3",
            "Content-Length: 0x3",
            "Content-Length:",
            "Content-Length: 18446744073709551616",
            "Content-Length:                                                                                 3",
        ] {
            let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
            assert_eq!(read(text.as_bytes()), Err(Fault::Framing), "{fields}");
        }
        let second = b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(read(second), Err(Fault::Framing), "also in a pipelined one");
    }

    #[test]
    fn chunk_sizes_are_bounded() {
        // HT05
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for bad in ["11111111111111111\r\n", "\r\n", "g\r\n", "-1\r\n", "0x3\r\n", "3\r\nabcd\r\n"] {
            assert_eq!(read(format!("{head}{bad}").as_bytes()), Err(Fault::Framing), "{bad:?}");
        }
        assert_eq!(read(format!("{head}ffffffffffffffff\r\n").as_bytes()), Ok(State::Chunk(u64::MAX)));
        let long = format!("{head}1;{}\r\n", "e".repeat(MAX_EXTENSION as usize + 1));
        assert_eq!(read(long.as_bytes()), Err(Fault::Framing));
        let fits = format!("{head}1;{}\r\nx\r\n", "e".repeat(MAX_EXTENSION as usize - 1));
        assert_eq!(read(fits.as_bytes()), Ok(State::ChunkSize));
    }

    #[test]
    fn lines_are_bounded_each_by_its_own_limit() {
        // HT12
        let target = |n: usize| format!("GET /{} HTTP/1.1\r\n", "a".repeat(n));
        let room = 64 - target(0).len();
        assert_eq!(read(target(room).as_bytes()), Ok(State::Field));
        assert_eq!(read(target(room + 1).as_bytes()), Err(Fault::TargetTooLong));
        assert_eq!(read(&[b'A'; 65]), Err(Fault::TargetTooLong), "also before the line ends");
        let fields = |n: usize| format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(n));
        assert_eq!(read(fields(256 - 7).as_bytes()), Ok(State::Start));
        assert_eq!(read(fields(256 - 6).as_bytes()), Err(Fault::FieldsTooLarge));
    }

    #[test]
    fn odd_white_space_is_refused() {
        // HT03
        for fields in ["Host : a", "Host\t: a", " Host: a", "\tHost: a", "A: b\r\n c", "A: b\rc", "A: b\r\rC: d"] {
            let text = format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n");
            assert_eq!(read(text.as_bytes()), Err(Fault::Syntax), "{fields:?}");
        }
        assert_eq!(read(b"GET /\r HTTP/1.1\r\n"), Err(Fault::Syntax));
    }
}
