//! What must never be in a log: credentials, nonces, our tokens. The one place that takes them out.

use std::fmt;

/// Bytes of a message that are shown at most.
const SHOWN: usize = 2_048;
const HIDDEN: &str = "***";
/// Header fields whose whole value is a secret.
const SECRET_FIELDS: [&str; 5] =
    ["authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate", "authentication-info"];
/// Shortest run of token characters that may be one of our tokens.
const TOKEN: usize = 40;

/// A SIP message or a part of one, fit for a log: one line, bounded, without secrets.
#[derive(Clone, Copy)]
pub struct Sip<'a>(pub &'a [u8]);

/// A piece of text from a stranger (a Call-ID, a user name): one line, bounded, no control characters.
#[derive(Clone, Copy)]
pub struct Text<'a>(pub &'a [u8]);

impl fmt::Display for Sip<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..SHOWN).unwrap_or(self.0);
        let mut secret = false;
        for (number, line) in shown.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let folded = matches!(line.first(), Some(b' ' | b'\t'));
            if folded && secret {
                continue;
            }
            if number > 0 {
                f.write_str(" | ")?;
            }
            let colon = line.iter().position(|byte| *byte == b':').filter(|_| !folded && number > 0);
            let label = colon.and_then(|at| std::str::from_utf8(line.get(..at)?).ok()).unwrap_or_default().trim();
            secret = SECRET_FIELDS.iter().any(|field| field.eq_ignore_ascii_case(label));
            if secret {
                write!(f, "{label}: {HIDDEN}")?;
            } else {
                without_tokens(line, f)?;
            }
        }
        if shown.len() < self.0.len() { f.write_str(" …") } else { Ok(()) }
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..128).unwrap_or(self.0);
        printable(shown, f)?;
        if shown.len() < self.0.len() { f.write_str("…") } else { Ok(()) }
    }
}

/// Writes a line with every long run of base64url characters (what a token looks like) hidden.
fn without_tokens(line: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut rest = line;
    while !rest.is_empty() {
        let run = rest.iter().position(|byte| !is_token(byte)).unwrap_or(rest.len());
        let (token, tail) = rest.split_at(run);
        if token.len() >= TOKEN {
            f.write_str(HIDDEN)?
        } else {
            printable(token, f)?
        }
        let gap = tail.iter().position(is_token).unwrap_or(tail.len());
        let (between, tail) = tail.split_at(gap);
        printable(between, f)?;
        rest = tail;
    }
    Ok(())
}

fn printable(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char.is_control() { write!(f, "{}", char.escape_default())? } else { fmt::Write::write_char(f, char)? }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_nonces_and_tokens_are_hidden() {
        let token = "A".repeat(60);
        let message = format!(
            "REGISTER sip:acme SIP/2.0\r\nRoute: <sip:{token}@192.0.2.1;lr>\r\n\
             Authorization: Digest username=\"6001\",\r\n nonce=\"secret1\", response=\"secret2\"\r\n\
             proxy-authenticate: Digest nonce=\"secret3\"\r\nCall-ID: abc\r\n\r\n"
        );
        let shown = Sip(message.as_bytes()).to_string();
        assert_eq!(
            shown,
            "REGISTER sip:acme SIP/2.0 | Route: <sip:***@192.0.2.1;lr> | Authorization: *** | \
             proxy-authenticate: *** | Call-ID: abc |  | "
        );
    }

    #[test]
    fn a_log_line_stays_one_line() {
        let shown = Text(b"call\r\nERROR forged line\x1b[31m\xff").to_string();
        assert_eq!(shown, "call\\r\\nERROR forged line\\u{1b}[31m\\xff");
        assert!(Text(&[b'x'; 4000]).to_string().len() < 140);
        assert!(Sip(&[b' '; 9000]).to_string().len() < 2_100);
    }
}
