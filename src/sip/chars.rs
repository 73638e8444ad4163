//! Character classes of RFC 3261 §25.1 and small scanners shared by the typed readers.

const TOKEN: u8 = 1;
const CONTROL: u8 = 2;
const URI_FORBIDDEN: u8 = 4;
const LWS: u8 = 8;
const HOST: u8 = 16;

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
        let host = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        *slot = token as u8 * TOKEN
            + control as u8 * CONTROL
            + forbidden as u8 * URI_FORBIDDEN
            + lws as u8 * LWS
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

/// The port that is written from `from` on, and where its digits end; `None` for no digits or more than fits.
#[inline]
pub fn port(text: &[u8], from: usize) -> (Option<u16>, usize) {
    const TOO_LARGE: u32 = 1 << 16;
    let (mut value, mut at) = (0, from);
    while let Some(digit) = text.get(at).map(|b| b.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        value = (value * 10 + u32::from(digit)).min(TOO_LARGE);
        at += 1;
    }
    (u16::try_from(value).ok().filter(|_| at > from), at)
}

/// A decimal number of digits only; `None` for anything else or more than fits.
#[inline]
pub fn number<N: TryFrom<u64>>(text: &[u8]) -> Option<N> {
    if text.is_empty() {
        return None;
    }
    let mut value = 0u64;
    let is_short = text.len() < 19;
    for byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        let digit = u64::from(byte - b'0');
        // Eighteen digits always fit.
        value = if is_short { value * 10 + digit } else { value.checked_mul(10)?.checked_add(digit)? };
    }
    N::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::port;

    #[test]
    fn ports_are_digits_that_fit() {
        for (text, read) in [
            ("5060", Some(5060)),
            ("5060;x", Some(5060)),
            ("0", Some(0)),
            ("00065535", Some(65_535)),
            ("65536", None),
            ("4294967296", None),
            ("99999999999999999999999999", None),
            ("", None),
            ("x", None),
        ] {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            assert_eq!(port(format!(":{text}").as_bytes(), 1), (read, 1 + digits), "{text}");
        }
    }
}
