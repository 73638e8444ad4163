//! Whether two URIs are the same (RFC 3261 §19.1.4).
//!
//! For comparison alone: what is passed on stays escaped as it was written.

use super::host;
use super::uri::{Scheme, Uri};

/// Parameters that never match their absence.
const TELLING: [&[u8]; 5] = [b"user", b"ttl", b"method", b"maddr", b"transport"];

/// More parameters or header fields than this are not compared: such URIs are never the same.
const MOST: usize = 64;

/// Whether two URIs are the same. The host's case does not matter, the user's does; `%HH` is its
/// character unless that is a reserved one; a port or one of [`TELLING`] that is in one alone tells
/// them apart, other parameters in one alone do not; header fields must all be in both.
pub fn equal(one: &Uri<'_>, other: &Uri<'_>) -> bool {
    if one.scheme != other.scheme {
        return false;
    }
    if !matches!(one.scheme, Scheme::Sip | Scheme::Sips) {
        return one.text.eq_ignore_ascii_case(other.text);
    }
    both(one.user, other.user, same_text)
        && both(one.password, other.password, same_text)
        && host::same(one.host, other.host)
        && one.port == other.port
        && one.params().take(MOST + 1).count() <= MOST
        && other.params().take(MOST + 1).count() <= MOST
        && params_agree(one, other)
        && params_agree(other, one)
        && same_headers(one.headers, other.headers)
}

fn both(one: Option<&[u8]>, other: Option<&[u8]>, same: fn(&[u8], &[u8]) -> bool) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => same(one, other),
        _ => false,
    }
}

/// Whether each parameter of `one` agrees with the one of its name in `other`, or may be missing.
fn params_agree(one: &Uri<'_>, other: &Uri<'_>) -> bool {
    one.params().all(|(name, value)| {
        let twin = other.params().find(|(found, _)| same_word(found, name));
        match twin {
            Some((_, found)) => same_word(found.unwrap_or_default(), value.unwrap_or_default()),
            None => !TELLING.iter().any(|telling| same_word(telling, name)),
        }
    })
}

fn same_headers(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    let fields = |text: Option<&[u8]>| text.map_or(0, |text| text.split(|b| *b == b'&').take(MOST + 1).count());
    let (left, right) = (fields(one), fields(other));
    if left != right || left > MOST {
        return false;
    }
    let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
    let within = |of: &[u8], field: &[u8]| of.split(|b| *b == b'&').any(|found| same_field(found, field));
    one.split(|b| *b == b'&').all(|field| within(other, field))
        && other.split(|b| *b == b'&').all(|field| within(one, field))
}

fn same_field(one: &[u8], other: &[u8]) -> bool {
    let parts = |text: &'_ [u8]| memchr::memchr(b'=', text).unwrap_or(text.len());
    let ((name, value), (other_name, other_value)) = (one.split_at(parts(one)), other.split_at(parts(other)));
    same_word(name, other_name) && same_text(value, other_value)
}

/// Equal with escapes undone.
fn same_text(one: &[u8], other: &[u8]) -> bool {
    characters(one).eq(characters(other))
}

/// As [`same_text`], in any case.
fn same_word(one: &[u8], other: &[u8]) -> bool {
    let lower = |(byte, escaped): (u8, bool)| (byte.to_ascii_lowercase(), escaped);
    characters(one).map(lower).eq(characters(other).map(lower))
}

/// The bytes of a text, each with whether it is a reserved one that was escaped. A percent sign
/// without two hex digits is itself.
fn characters(text: &[u8]) -> impl Iterator<Item = (u8, bool)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (first, more) = rest.split_first()?;
        let hex = |digit: Option<&u8>| char::from(*digit?).to_digit(16);
        if let (b'%', Some(high), Some(low)) = (first, hex(more.first()), hex(more.get(1))) {
            rest = more.get(2..).unwrap_or_default();
            let byte = (high * 16 + low) as u8;
            return Some((byte, b";/?:@&=+$,".contains(&byte)));
        }
        rest = more;
        Some((*first, false))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        let (one, other) = (Uri::parse(one.as_bytes()).unwrap(), Uri::parse(other.as_bytes()).unwrap());
        let result = equal(&one, &other);
        assert_eq!(result, equal(&other, &one), "comparison is symmetric");
        assert!(equal(&one, &one) && equal(&other, &other));
        result
    }

    #[test]
    fn the_examples_of_rfc3261() {
        // V15
        for (one, other) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ] {
            assert!(!same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn escapes_of_reserved_characters_stay_apart() {
        // V15
        assert!(same("sip:%75se%72@h", "sip:user@h"));
        assert!(same("sip:a%2Db@h", "sip:a-b@h"));
        assert!(same("sip:a%3bb@h", "sip:a%3Bb@h"));
        assert!(!same("sip:a%3Bb@h", "sip:a;b@h"));
        assert!(!same("sip:%00@h", "sip:%00%00@h"));
        assert!(!same("sip:a%0@h", "sip:a@h"));
        assert!(!same("sip:h", "sip:u@h"));
        assert!(!same("sip:u@h", "sips:u@h"));
        assert!(!same("sip:u:p@h", "sip:u:P@h"));
        assert!(same("sip:u@[2001:db8::1]", "sip:u@[2001:DB8:0::1]"));
        assert!(same("sip:u@h.", "sip:u@H"));
        assert!(!same("sip:u@h;lr;user=phone", "sip:u@h;lr"));
        assert!(same("tel:+4989;x=Y", "TEL:+4989;x=y"));
    }

    #[test]
    fn endless_lists_are_not_compared() {
        let many = |n: usize| format!("sip:u@h{}", ";a".repeat(n));
        assert!(same(&many(64), "sip:u@h"));
        let uri = many(65);
        let uri = Uri::parse(uri.as_bytes()).unwrap();
        assert!(!equal(&uri, &Uri::parse(b"sip:u@h").unwrap()));
    }
}
