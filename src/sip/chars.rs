//! Character classes of RFC 3261 §25.1 and small scanners shared by the typed readers.

use super::bad::Bad;

const TOKEN: u8 = 1;
const CONTROL: u8 = 2;
const URI_FORBIDDEN: u8 = 4;
const LWS: u8 = 8;
const VALUE_END: u8 = 16;
const HOST: u8 = 32;

/// The classes of each byte.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut rest: &mut [u8] = &mut table;
    let mut byte = 0u8;
    while let Some((slot, more)) = rest.split_first_mut() {
        let token = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        let control = byte.is_ascii_control();
        let forbidden = control || matches!(byte, b' ' | b'<' | b'>' | b'"');
        let lws = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let value_end = control || lws || matches!(byte, b';' | b',' | b'"');
        let host = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        *slot = token as u8 * TOKEN
            + control as u8 * CONTROL
            + forbidden as u8 * URI_FORBIDDEN
            + lws as u8 * LWS
            + value_end as u8 * VALUE_END
            + host as u8 * HOST;
        rest = more;
        byte = byte.wrapping_add(1);
    }
    table
}

#[inline]
fn is(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|found| found & class != 0)
}

/// A character of a token.
#[inline]
pub fn is_token(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// Whether all of a non-empty text is a token.
#[inline]
pub fn all_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| is_token(*b))
}

/// 0x00 to 0x1F and 0x7F.
#[inline]
pub fn is_control(byte: u8) -> bool {
    is(byte, CONTROL)
}

/// What a URI may not have in it, whatever its scheme.
#[inline]
pub fn is_uri_forbidden(byte: u8) -> bool {
    is(byte, URI_FORBIDDEN)
}

/// White space inside a value, folds included: lone CR and LF are found before a value is read.
#[inline]
pub fn is_lws(byte: u8) -> bool {
    is(byte, LWS)
}

/// A character of a host name.
#[inline]
pub fn is_host(byte: u8) -> bool {
    is(byte, HOST)
}

/// Whether a byte is in a block. Without a branch for each byte this is one comparison for all of them.
#[inline(always)]
fn holds(block: &[u8; 16], byte: u8) -> bool {
    block.iter().fold(false, |found, b| found | (*b == byte))
}

/// The first byte of a kind, looked for in blocks first: values are too short for a search by vectors of memory to pay.
#[inline(always)]
fn seek(text: &[u8], has: impl Fn(&[u8; 16]) -> bool, is: impl Fn(u8) -> bool) -> Option<usize> {
    let (blocks, rest) = text.as_chunks::<16>();
    for (number, block) in blocks.iter().enumerate() {
        if has(block)
            && let Some(place) = block.iter().position(|b| is(*b))
        {
            return Some(number * 16 + place);
        }
    }
    Some(blocks.len() * 16 + rest.iter().position(|b| is(*b))?)
}

/// The first CR or LF.
#[inline(always)]
pub fn line_break(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    let (blocks, rest) = text.as_chunks::<16>();
    for (number, block) in blocks.iter().enumerate() {
        if !holds(block, b'\r') & !holds(block, b'\n') {
            continue;
        }
        let (words, _) = block.as_chunks::<8>();
        for (half, bytes) in words.iter().enumerate() {
            // The lowest bit of these is that of the first byte that is 0; above it there may be others.
            let zero = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
            let word = u64::from_le_bytes(*bytes);
            let found = zero(word ^ (ONES * 13)) | zero(word ^ (ONES * 10));
            if found != 0 {
                return Some(number * 16 + half * 8 + found.trailing_zeros() as usize / 8);
            }
        }
    }
    Some(blocks.len() * 16 + rest.iter().position(|b| matches!(b, b'\r' | b'\n'))?)
}

/// The first of this byte.
#[inline]
pub fn find(text: &[u8], byte: u8) -> Option<usize> {
    seek(text, |block| holds(block, byte), |b| b == byte)
}

/// The first byte that no URI may have.
#[inline]
pub fn find_uri_forbidden(text: &[u8]) -> Option<usize> {
    let has = |block: &[u8; 16]| {
        let low = block.iter().fold(false, |found, b| found | (*b <= b' '));
        let bracket = block.iter().fold(false, |found, b| found | (b | 2 == b'>'));
        low | bracket | holds(block, b'"') | holds(block, 0x7f)
    };
    seek(text, has, is_uri_forbidden)
}

/// The first byte that cannot be in the unquoted value of a parameter.
#[inline]
pub fn find_value_end(text: &[u8]) -> Option<usize> {
    let has = |block: &[u8; 16]| {
        let low = block.iter().fold(false, |found, b| found | (*b <= b' '));
        low | holds(block, b';') | holds(block, b',') | holds(block, b'"') | holds(block, 0x7f)
    };
    seek(text, has, |b| is(b, VALUE_END))
}

/// How many bytes at the start of a text may be in the name of a host.
#[inline]
pub fn host_run(text: &[u8]) -> usize {
    seek(text, |block| !all_host(block), |b| !is_host(b)).unwrap_or(text.len())
}

/// As the table says, without a look-up for each byte.
#[inline(always)]
fn all_host(block: &[u8; 16]) -> bool {
    block.iter().fold(true, |all, b| {
        let letter = (b | 0x20).wrapping_sub(b'a') < 26;
        let other = (b.wrapping_sub(b'-') < 13) & (*b != b'/');
        all & (letter | other | (*b == b'_'))
    })
}

/// The first place at or after `from` that is no white space.
#[inline]
pub fn skip_lws(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while text.get(at).is_some_and(|b| is_lws(*b)) {
        at += 1;
    }
    at
}

/// The end of `text` without the white space there.
#[inline]
pub fn trim_end(text: &[u8], from: usize, end: usize) -> usize {
    let mut end = end;
    while end > from && text.get(end - 1).is_some_and(|b| is_lws(*b)) {
        end -= 1;
    }
    end
}

/// The place just after the quoted string that starts at `open` (its opening quote).
pub fn skip_quoted(text: &[u8], open: usize) -> Result<usize, Bad> {
    let mut at = open + 1;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', rest) {
            None => return Err(Bad::Quote),
            Some(found) if rest.get(found) == Some(&b'"') => return Ok(at + found + 1),
            Some(found) => at += found + 2,
        }
    }
}

/// A decimal number of digits only; `None` for anything else or more than fits.
#[inline]
pub fn number<N: TryFrom<u64>>(text: &[u8]) -> Option<N> {
    if text.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    N::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_what_the_table_says() {
        for byte in 0..=u8::MAX {
            for place in [0, 7, 8, 15, 16, 31, 32, 39] {
                let mut text = [b'a'; 40];
                text[place] = byte;
                let found = |is: bool| is.then_some(place);
                assert_eq!(line_break(&text), found(matches!(byte, b'\r' | b'\n')), "{byte}");
                assert_eq!(find_uri_forbidden(&text), found(is_uri_forbidden(byte)), "{byte}");
                assert_eq!(find_value_end(&text), found(is(byte, VALUE_END)), "{byte}");
                assert_eq!(host_run(&text), found(!is_host(byte)).unwrap_or(40), "{byte}");
                assert_eq!(find(&text, byte), if byte == b'a' { Some(0) } else { Some(place) });
            }
        }
    }

    #[test]
    fn the_first_of_two_line_ends_is_found() {
        for (text, place) in
            [("abcdefg\r\nbcdefghi", 7), ("\n\rabcdefghijklmno", 0), ("abc\x0c\x0b\x0e\x0d\x0aabcdefgh", 6)]
        {
            assert_eq!(line_break(text.as_bytes()), Some(place), "{text:?}");
        }
    }
}
