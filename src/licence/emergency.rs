//! Which calls pass whatever the licence says (R71). Asked by whoever would refuse a call for a reason of licences.

/// Whether a request's URI is that of an emergency call: `urn:service:sos` (RFC 5031), or a `sip:` or `tel:` URI
/// whose user part is one of the numbers, visual separators left aside (RFC 3966 §5.1.1).
pub fn is_emergency(uri: &[u8], numbers: &[Box<str>]) -> bool {
    let Some(colon) = memchr::memchr(b':', uri) else { return false };
    let (scheme, rest) = (uri.get(..colon).unwrap_or_default(), uri.get(colon + 1..).unwrap_or_default());
    if scheme.eq_ignore_ascii_case(b"urn") {
        return is_sos(rest);
    }
    let user = if scheme.eq_ignore_ascii_case(b"tel") {
        rest
    } else {
        let Some(at) = memchr::memchr(b'@', rest) else { return false };
        rest.get(..at).unwrap_or_default()
    };
    let end = user.iter().position(|b| matches!(b, b';' | b':' | b'?')).unwrap_or(user.len());
    let user = user.get(..end).unwrap_or_default();
    numbers.iter().any(|number| dials(user, number.as_bytes()))
}

/// `service:sos` and what is below it, `service:sos.fire` for example.
fn is_sos(rest: &[u8]) -> bool {
    const SOS: &[u8] = b"service:sos";
    let Some(start) = rest.get(..SOS.len()) else { return false };
    start.eq_ignore_ascii_case(SOS) && matches!(rest.get(SOS.len()), None | Some(b'.' | b';'))
}

/// Whether both are the same number. What is no digit in the operator's number is compared as well.
fn dials(dialled: &[u8], number: &[u8]) -> bool {
    let digits = |text: &'_ [u8]| {
        text.iter().copied().filter(|b| !matches!(b, b'-' | b'.' | b'(' | b')' | b' ')).collect::<Small>()
    };
    let number = digits(number);
    number.used > 0 && digits(dialled) == number
}

/// A short number on the stack; one that is longer than any emergency number equals none.
#[derive(PartialEq, Eq)]
struct Small {
    text: [u8; 32],
    used: usize,
}

impl FromIterator<u8> for Small {
    fn from_iter<T: IntoIterator<Item = u8>>(bytes: T) -> Self {
        let mut small = Self { text: [0; 32], used: 0 };
        for byte in bytes {
            if let Some(slot) = small.text.get_mut(small.used) {
                *slot = byte;
            }
            small.used += 1;
        }
        small
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(uri: &str) -> bool {
        is_emergency(uri.as_bytes(), &["110".into(), "112".into(), "+49 110".into()])
    }

    #[test]
    fn the_numbers_and_the_service_urn() {
        // R71
        for uri in [
            "sip:112@acme",
            "SIPS:110@acme;transport=tls",
            "sip:112;phone-context=+49@acme",
            "sip:1-1.2@acme",
            "sip:112:secret@acme",
            "sip:+49110@acme",
            "tel:112",
            "tel:1-1-2;phone-context=+49",
            "urn:service:sos",
            "URN:service:sos.fire",
        ] {
            assert!(is(uri), "{uri}");
        }
        for uri in [
            "sip:111@acme",
            "sip:1120@acme",
            "sip:11@acme",
            "sip:acme",
            "sip:112.example.com",
            "sip:@acme",
            "urn:service:counseling",
            "urn:service:sosx",
            "tel:113",
            "112",
            "",
        ] {
            assert!(!is(uri), "{uri}");
        }
        assert!(!is_emergency(b"sip:@acme", &["".into()]));
        let long = format!("sip:{}@acme", "1".repeat(40));
        assert!(!is_emergency(long.as_bytes(), &["1".repeat(39).into()]));
    }
}
