//! Where the first byte of a kind is: sixteen bytes are looked at at once, and never past the end of a text.
//!
//! A place is where it is in `text`, and `text.len()` for nowhere. What the kinds mean is said in `chars`, byte by
//! byte; a test holds the two together. Used by the readers of this module's neighbours.

use super::bad::Bad;
use wide::u8x16;

/// How many bytes are looked at at once.
pub(super) const BLOCK: usize = 16;

/// Which of these bytes are this one.
#[inline(always)]
pub(super) fn is(block: u8x16, byte: u8) -> u8x16 {
    block.simd_eq(u8x16::splat(byte))
}

/// Which of these bytes are at most this one.
#[inline(always)]
fn at_most(block: u8x16, byte: u8) -> u8x16 {
    block.min(u8x16::splat(byte)).simd_eq(block)
}

/// The first place from `from` on whose byte `kind` marks.
#[inline(always)]
fn first(text: &[u8], from: usize, kind: impl Fn(u8x16) -> u8x16) -> usize {
    let marks = |block: &[u8; BLOCK]| kind(u8x16::new(*block)).to_bitmask();
    let (blocks, rest) = text.get(from..).unwrap_or_default().as_chunks();
    let mut at = from;
    for block in blocks {
        let found = marks(block);
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += BLOCK;
    }
    if rest.is_empty() {
        return text.len();
    }
    let found = match text.last_chunk() {
        // The end of the block before is looked at again, and counts for nothing.
        Some(last) => marks(last) >> (BLOCK - rest.len()),
        None => marks(&padded(text, at)) & ((1 << rest.len()) - 1),
    };
    if found == 0 { text.len() } else { at + found.trailing_zeros() as usize }
}

/// A text that is shorter than a block.
#[cold]
fn padded(text: &[u8], at: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block.iter_mut().zip(text.iter().skip(at)).for_each(|(to, from)| *to = *from);
    block
}

/// This byte.
#[inline]
pub(super) fn byte(text: &[u8], from: usize, byte: u8) -> usize {
    first(text, from, |block| is(block, byte))
}

/// CR or LF.
#[inline(always)]
pub(super) fn line_break(text: &[u8], from: usize) -> usize {
    first(text, from, |block| is(block, b'\r') | is(block, b'\n'))
}

/// What no URI may have.
#[inline]
pub(super) fn uri_forbidden(text: &[u8], from: usize) -> usize {
    first(text, from, |block| {
        let bracket = is(block | u8x16::splat(b'<' ^ b'>'), b'>');
        at_most(block, b' ') | bracket | is(block, b'"') | is(block, 0x7f)
    })
}

/// A control or a space.
#[inline]
pub(super) fn blank(text: &[u8], from: usize) -> usize {
    first(text, from, |block| at_most(block, b' ') | is(block, 0x7f))
}

/// What cannot be in the unquoted value of a parameter.
#[inline]
pub(super) fn value_end(text: &[u8], from: usize) -> usize {
    first(text, from, |block| {
        at_most(block, b' ') | is(block, b';') | is(block, b',') | is(block, b'"') | is(block, 0x7f)
    })
}

/// What cannot be in the name of a host.
#[inline]
pub(super) fn host_end(text: &[u8], from: usize) -> usize {
    first(text, from, |block| {
        let letter = at_most((block | u8x16::splat(0x20)) - u8x16::splat(b'a'), 25);
        let other = at_most(block - u8x16::splat(b'-'), b'9' - b'-') & !is(block, b'/');
        !(letter | other | is(block, b'_'))
    })
}

/// What ends a value of a list, or hides such an end: comma, quote, bracket.
#[inline]
pub(super) fn list_mark(text: &[u8], from: usize) -> usize {
    first(text, from, |block| is(block, b',') | is(block, b'"') | is(block, b'<'))
}

/// The place just after the quoted string that starts at `open` (its opening quote).
pub(super) fn quoted_end(text: &[u8], open: usize) -> Result<usize, Bad> {
    let mut at = open + 1;
    loop {
        at = first(text, at, |block| is(block, b'"') | is(block, b'\\'));
        match text.get(at) {
            None => return Err(Bad::Quote),
            Some(b'"') => return Ok(at + 1),
            Some(_) => at += 2,
        }
    }
}

/// A word of small letters, up to as long as a block, that is looked for in any case.
#[derive(Clone, Copy)]
pub(super) struct Word {
    /// Its bytes as one number, the first in the lowest bits.
    bits: u128,
    mask: u128,
    /// The bit of each of its letters that tells the case.
    case: u128,
    /// How long it is.
    pub(super) length: usize,
}

impl Word {
    pub(super) const fn new(text: &[u8]) -> Self {
        let (mut bits, mut mask, mut case, mut rest) = (0, 0, 0, text);
        while let [before @ .., last] = rest {
            bits = bits << 8 | *last as u128;
            mask = mask << 8 | 0xff;
            case = case << 8 | if last.is_ascii_alphabetic() { 0x20 } else { 0 };
            rest = before;
        }
        Self { bits, mask, case, length: text.len() }
    }

    /// Whether it is at the start of what [`block_at`] read.
    #[inline(always)]
    pub(super) const fn is_at(&self, block: u128) -> bool {
        // Mostly the first letter tells.
        (block | self.case) as u8 == self.bits as u8 && block & self.mask | self.case == self.bits
    }
}

/// The bytes from `from` on as one number, the first in its lowest bits, and nothing behind the end.
#[inline(always)]
pub(super) fn block_at(text: &[u8], from: usize) -> u128 {
    let rest = text.get(from..).unwrap_or_default();
    match (rest.first_chunk(), text.last_chunk()) {
        (Some(block), _) => u128::from_le_bytes(*block),
        (None, Some(last)) if !rest.is_empty() => u128::from_le_bytes(*last) >> (8 * (BLOCK - rest.len())),
        _ => u128::from_le_bytes(padded(text, from)),
    }
}

/// The first bytes of a block as one number, with capital letters made small; other bytes may become others.
#[inline(always)]
pub(super) fn small_start(block: &[u8; BLOCK], length: usize) -> Option<u128> {
    const CASE: u128 = u128::from_le_bytes([0x20; BLOCK]);
    Some((u128::from_le_bytes(*block) | CASE) & MASKS.get(length)?)
}

/// The bits of so many bytes, the first in the lowest ones.
static MASKS: [u128; BLOCK + 1] = masks();

const fn masks() -> [u128; BLOCK + 1] {
    let mut all = [u128::MAX; BLOCK + 1];
    let mut rest: &mut [u128] = &mut all;
    let mut bits = 0;
    while let Some((mask, more)) = rest.split_first_mut() {
        if bits < u128::BITS {
            *mask = (1 << bits) - 1;
        }
        bits += 8;
        rest = more;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::chars::{is_control, is_host, is_lws, is_uri_forbidden};
    use super::*;

    #[test]
    fn blocks_hold_what_the_table_says() {
        let ends_value = |byte: u8| matches!(byte, b';' | b',' | b'"') || is_control(byte) || is_lws(byte);
        for byte in 0..=u8::MAX {
            for length in [1, 7, 15, 16, 17, 31, 32, 33, 40] {
                for place in 0..length {
                    let mut text = vec![b'a'; length];
                    text[place] = byte;
                    for from in [0, place / 2, place, place + 1, length] {
                        let found = |is: bool| if is && from <= place { place } else { length };
                        assert_eq!(line_break(&text, from), found(matches!(byte, b'\r' | b'\n')), "{byte}");
                        assert_eq!(uri_forbidden(&text, from), found(is_uri_forbidden(byte)), "{byte}");
                        assert_eq!(super::value_end(&text, from), found(ends_value(byte)), "{byte}");
                        assert_eq!(host_end(&text, from), found(!is_host(byte)), "{byte}");
                        assert_eq!(blank(&text, from), found(is_control(byte) || byte == b' '), "{byte}");
                        assert_eq!(list_mark(&text, from), found(matches!(byte, b',' | b'"' | b'<')), "{byte}");
                        if byte != b'a' {
                            assert_eq!(super::byte(&text, from, byte), found(true));
                        }
                    }
                }
            }
        }
        assert_eq!(byte(b"abc", 7, b'a'), 3, "nothing is behind the end");
    }

    #[test]
    fn the_first_of_two_is_found() {
        for (text, place) in
            [("abcdefg\r\nbcdefghi", 7), ("\n\rabcdefghijklmno", 0), ("abc\x0c\x0b\x0e\x0d\x0aabcdefgh", 6)]
        {
            assert_eq!(line_break(text.as_bytes(), 0), place, "{text:?}");
        }
    }

    #[test]
    fn words_are_the_same_in_any_case_and_wherever_they_are() {
        let text = b";Branch=x;rport;TAG=abcdefghijklmnop;maddr";
        for (name, from) in [("branch", 1), ("rport", 10), ("tag", 16), ("abcdefghijklmnop", 20), ("maddr", 37)] {
            let (word, end) = (Word::new(name.as_bytes()), from + name.len());
            for (text, from) in [(&text[..], from), (&text[..end], from), (&text[from..], 0), (&text[from..end], 0)] {
                assert!(word.is_at(block_at(text, from)), "{name}");
                assert!(!word.is_at(block_at(text, from + 1)), "{name}");
                assert!(!word.is_at(block_at(&text[..from + name.len() - 1], from)), "{name}");
            }
        }
        assert!(Word::new(b"tag").is_at(block_at(b"Tag", 0)) && !Word::new(b"tag").is_at(block_at(b"Tag", 7)));
        for other in ["reg\rid", "REG-I$", "reg-i", "\u{12}eg-id"] {
            assert!(!Word::new(b"reg-id").is_at(block_at(other.as_bytes(), 0)), "{other:?}");
        }
        assert_eq!(small_start(&[b'a'; BLOCK], 17), None);
    }

    #[test]
    fn quoted_strings_end_at_their_quote() {
        for (text, end) in
            [("\"\"", 2), ("\"a\\\"b\" \"", 6), ("\"\\\\\";\"", 4), ("\"aaaaaaaaaaaaaaaaaaaaaaaa\"x", 26)]
        {
            assert_eq!(quoted_end(text.as_bytes(), 0), Ok(end), "{text}");
        }
        for open in ["\"", "\"a", "\"a\\\"", "\"\\"] {
            assert_eq!(quoted_end(open.as_bytes(), 0), Err(Bad::Quote), "{open}");
        }
    }
}
