//! Character classes of RFC 3261 §25.1 and small scanners shared by the typed readers.

use super::bad::Bad;

const fn mask(text: &[u8]) -> u128 {
    let mut mask = 0;
    let mut rest = text;
    while let Some((first, more)) = rest.split_first() {
        mask |= 1 << *first;
        rest = more;
    }
    mask
}

const ALNUM: u128 = mask(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
const TOKEN: u128 = ALNUM | mask(b"-.!%*_+`'~");
const CONTROL: u128 = ((1 << 32) - 1) | (1 << 127);

/// A character of a token.
pub const fn is_token(byte: u8) -> bool {
    byte < 128 && TOKEN >> byte & 1 == 1
}

/// Whether all of a non-empty text is a token.
pub fn all_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| is_token(*b))
}

/// 0x00 to 0x1F and 0x7F.
pub const fn is_control(byte: u8) -> bool {
    byte < 128 && CONTROL >> byte & 1 == 1
}

/// What a URI may not have in it, whatever its scheme.
pub const fn is_uri_forbidden(byte: u8) -> bool {
    byte < 128 && (CONTROL | mask(b" <>\"")) >> byte & 1 == 1
}

/// White space inside a value, folds included: lone CR and LF are found before a value is read.
pub const fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The first place at or after `from` that is no white space.
pub fn skip_lws(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.iter().position(|b| !is_lws(*b)).unwrap_or(rest.len())
}

/// The end of `text` without the white space there.
pub fn trim_end(text: &[u8], from: usize, end: usize) -> usize {
    let kept = text.get(from..end).unwrap_or_default();
    from + kept.iter().rposition(|b| !is_lws(*b)).map_or(0, |last| last + 1)
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
