//! Parameters of a challenge or of credentials: `Digest realm="x", nonce="y", …` (RFC 3261 §25.1). Found, not judged;
//! nothing here computes a digest.

use super::seek::quoted_end;
use super::span::Span;

/// The value of a parameter, without its quotes, and where it is in `value`.
pub fn param<'a>(value: &'a [u8], name: &[u8]) -> Option<(&'a [u8], Span)> {
    let scheme = value.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
    let mut at = scheme;
    loop {
        while value.get(at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b',' | b'\r' | b'\n')) {
            at += 1;
        }
        let start = at;
        while value.get(at).is_some_and(|byte| !matches!(byte, b'=' | b',')) {
            at += 1;
        }
        let label = value.get(start..at)?.trim_ascii();
        if label.is_empty() {
            return None;
        }
        if value.get(at) != Some(&b'=') {
            continue;
        }
        at += 1;
        while value.get(at).is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
            at += 1;
        }
        let (from, to) = if value.get(at) == Some(&b'"') {
            let end = quoted_end(value, at).ok()?;
            let inner = (at + 1, end - 1);
            at = end;
            inner
        } else {
            let from = at;
            while value.get(at).is_some_and(|byte| !matches!(byte, b',' | b' ' | b'\t' | b'\r' | b'\n')) {
                at += 1;
            }
            (from, at)
        };
        if label.eq_ignore_ascii_case(name) {
            let span = Span { start: u32::try_from(from).ok()?, end: u32::try_from(to).ok()? };
            return Some((value.get(from..to)?, span));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_in_any_form() {
        let value = b"Digest realm=\"a, nonce=\\\"x\",nonce = \"n1==\" , stale=TRUE,\r\n opaque=\"\", algorithm=MD5";
        let found = |name: &str| param(value, name.as_bytes()).map(|(text, _)| String::from_utf8_lossy(text));
        assert_eq!(found("nonce").as_deref(), Some("n1=="));
        assert_eq!(found("STALE").as_deref(), Some("TRUE"));
        assert_eq!(found("opaque").as_deref(), Some(""));
        assert_eq!(found("algorithm").as_deref(), Some("MD5"));
        assert_eq!(found("qop"), None);
        let (text, span) = param(value, b"nonce").unwrap();
        assert_eq!(&value[span.start as usize..span.end as usize], text);
        for broken in [&b""[..], b"Digest", b"Digest ", b"Digest nonce=\"x", b"Digest ,,", b"Digest nonce"] {
            assert_eq!(param(broken, b"nonce"), None, "{}", String::from_utf8_lossy(broken));
        }
    }
}
