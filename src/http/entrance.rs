//! Which of the languages of a shared address a client speaks: by the protocol it asked for in the TLS handshake, else by
//! its first bytes. It waits for no more than it needs, and not for long; nothing but the connection itself waits along.

use super::door::{self, Services};
use super::wire::Wire;
use bytes::BytesMut;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

/// What tells the two apart is within so many bytes; what has not said it by then is HTTP's to refuse.
const ENOUGH: usize = 256;

/// What is spoken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// HTTP, with what was read already.
    Http(BytesMut),
    /// SIP, with what was read already.
    Sip(BytesMut),
}

/// Finds out; `None` where nothing came in time.
pub(super) async fn listen(services: &Services, wire: &mut Wire, patience: Duration) -> Option<Spoken> {
    let none = BytesMut::new();
    let has_http = services.http.is_some() || services.ws.is_some();
    match wire.alpn() {
        alpn if services.sip.is_some() && (door::is_sip(alpn) || !has_http) => return Some(Spoken::Sip(none)),
        Some(_) => return Some(Spoken::Http(none)),
        None if services.sip.is_none() => return Some(Spoken::Http(none)),
        None => {}
    }
    let first = async {
        let mut read = BytesMut::with_capacity(ENOUGH);
        loop {
            if let Some(is_sip) = tell(&read) {
                return Some(if is_sip { Spoken::Sip(read) } else { Spoken::Http(read) });
            }
            if !matches!(wire.read_buf(&mut read).await, Ok(1..)) {
                return None;
            }
        }
    };
    timeout(patience, first).await.ok().flatten()
}

/// Whether bytes begin SIP; `None` while either is possible. A request of HTTP asks for a path, for `*` or for an
/// `http` URI, and nothing else has its CONNECT; a keep-alive is SIP's (RFC 5626 §3.5.1).
fn tell(bytes: &[u8]) -> Option<bool> {
    if bytes.first().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
        return Some(true);
    }
    let Some(blank) = memchr::memchr(b' ', bytes) else {
        // Neither has anything like it before the first blank: HTTP says so in words.
        let strange = bytes.iter().any(|byte| !byte.is_ascii_graphic()) || bytes.len() >= ENOUGH;
        return strange.then_some(false);
    };
    if bytes.get(..blank) == Some(b"CONNECT") {
        return Some(false);
    }
    let target = bytes.get(blank + 1..).unwrap_or_default();
    match target {
        [] => None,
        [b'/' | b'*', ..] => Some(false),
        _ => {
            let scheme = target.get(..target.len().min(4)).unwrap_or_default();
            let http = b"http".get(..scheme.len()).is_some_and(|begin| scheme.eq_ignore_ascii_case(begin));
            if http && scheme.len() < 4 { None } else { Some(!http) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        // R78
        for (bytes, sip) in [
            ("REGISTER sip:acme SIP/2.0\r\n", true),
            ("OPTIONS sip:acme SIP/2.0\r\n", true),
            ("INVITE tel:+49 SIP/2.0\r\n", true),
            ("FOO hxx:1 SIP/2.0\r\n", true),
            ("SIP/2.0 200 OK\r\n", true),
            ("\r\n\r\n", true),
            ("GET / HTTP/1.1\r\n", false),
            ("OPTIONS * HTTP/1.1\r\n", false),
            ("OPTIONS HTTP://acme/ HTTP/1.1\r\n", false),
            ("CONNECT acme:443 HTTP/1.1\r\n", false),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false),
            ("\u{16}\u{3}\u{1}", false),
        ] {
            let told = (0..=bytes.len()).find_map(|end| tell(&bytes.as_bytes()[..end]));
            assert_eq!(told, Some(sip), "{bytes:?}");
            assert_eq!(tell(b""), None);
        }
        assert_eq!(tell(&[b'x'; ENOUGH]), Some(false), "it ends");
        assert_eq!(tell(&[b'x'; ENOUGH - 1]), None);
    }
}
