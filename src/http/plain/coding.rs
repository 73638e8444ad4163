//! Where the body of an answer ends (RFC 9112 §6.3), and its chunks taken apart and made anew (§7.1): what goes on has
//! a framing of our own, whatever it came in.

use std::io::Write as _;

/// Bytes of chunk extensions in one body.
const MAX_EXTENSIONS: u32 = 16 * 1024;
/// Bytes of a trailer section.
const MAX_TRAILER: u32 = 16 * 1024;

/// How the rest of a body is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Coding {
    /// So many bytes are left.
    Length(u64),
    /// Chunks.
    Chunked(Chunks),
    /// Until the connection ends.
    UntilClose,
}

/// How far into the chunks of a body we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Chunks {
    state: State,
    size: u64,
    digits: u8,
    extensions: u32,
    trailer: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line of the trailer section.
    Trailer,
    TrailerLine,
    TrailerEnd,
    Done,
}

/// What is not chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bad;

impl Chunks {
    /// Whether the last chunk and the trailer section are past.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes chunks apart, hands over their data, and says how many bytes were used; the trailers end here.
    pub(super) fn read(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> Result<usize, Bad> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            match self.state {
                State::Done => break,
                State::Data => {
                    let length = usize::try_from(self.size).unwrap_or(usize::MAX).min(rest.len());
                    let (piece, after) = rest.split_at_checked(length).ok_or(Bad)?;
                    data(piece);
                    self.size -= length as u64;
                    rest = after;
                    if self.size == 0 {
                        self.state = State::DataCr;
                    }
                    continue;
                }
                _ => self.step(byte)?,
            }
            rest = after;
        }
        Ok(bytes.len() - rest.len())
    }

    fn step(&mut self, byte: u8) -> Result<(), Bad> {
        self.state = match (self.state, byte) {
            (State::Size | State::Extension, b'\r') if self.digits > 0 => State::SizeEnd,
            (State::Size, b';' | b' ' | b'\t') if self.digits > 0 => State::Extension,
            (State::Size, digit) => {
                let value = char::from(digit).to_digit(16).ok_or(Bad)?;
                if self.digits >= 16 {
                    return Err(Bad);
                }
                self.digits += 1;
                self.size = self.size << 4 | u64::from(value);
                State::Size
            }
            (State::Extension, b'\n') => return Err(Bad),
            (State::Extension, _) => {
                self.extensions += 1;
                if self.extensions > MAX_EXTENSIONS {
                    return Err(Bad);
                }
                State::Extension
            }
            (State::SizeEnd, b'\n') => {
                self.digits = 0;
                if self.size == 0 { State::Trailer } else { State::Data }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::Trailer, b'\r') => State::TrailerEnd,
            (State::TrailerEnd, b'\n') => State::Done,
            (State::TrailerLine, b'\n') => State::Trailer,
            (State::Trailer | State::TrailerLine, _) => {
                self.trailer += 1;
                if self.trailer > MAX_TRAILER {
                    return Err(Bad);
                }
                State::TrailerLine
            }
            _ => return Err(Bad),
        };
        Ok(())
    }
}

/// Writes one chunk; nothing for no data, which would end the body.
pub(super) fn put_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{:x}\r\n", data.len());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}

/// Ends the chunks.
pub(super) fn put_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads it whole and a byte at a time; both must say the same.
    fn read(text: &[u8]) -> Result<(Vec<u8>, usize, bool), Bad> {
        let (mut whole, mut data) = (Chunks::default(), Vec::new());
        let one = whole.read(text, |piece| data.extend_from_slice(piece));
        let (mut bytes, mut again, mut used) = (Chunks::default(), Vec::new(), 0);
        let other = text.iter().try_for_each(|byte| {
            used += bytes.read(std::slice::from_ref(byte), |piece| again.extend_from_slice(piece))?;
            Ok(())
        });
        assert_eq!(one.map(|used| (&data, used, whole.is_done())), other.map(|()| (&again, used, bytes.is_done())));
        one.map(|used| (data, used, whole.is_done()))
    }

    #[test]
    fn chunks_are_taken_apart() {
        // HT05
        let text = b"5;ext=\"1\";x\r\nhello\r\n6 \r\n world\r\n0\r\nX-Sum: 1\r\n\r\nrest";
        assert_eq!(read(text), Ok((b"hello world".to_vec(), text.len() - 4, true)));
        assert_eq!(read(b"3\r\nab"), Ok((b"ab".to_vec(), 5, false)));
        for bad in [
            &b"11111111111111111\r\n"[..],
            b"\r\n",
            b"g\r\n",
            b"-1\r\n",
            b"3\nabc\r\n",
            b"3\r\nabcd\r\n",
            b"3;x\nabc\r\n",
            b"3\rabc",
        ] {
            assert_eq!(read(bad), Err(Bad), "{bad:?}");
        }
    }

    #[test]
    fn a_chunk_is_made_of_data_only() {
        let mut out = Vec::new();
        put_chunk(&mut out, b"");
        put_chunk(&mut out, &[b'x'; 17]);
        put_end(&mut out);
        assert_eq!(out, b"11\r\nxxxxxxxxxxxxxxxxx\r\n0\r\n\r\n");
    }
}
