//! The OPTIONS that asks a target whether it is there, and what comes back.

use crate::ids::Transport;

use crate::sip::limits::Limits;
use crate::sip::view::{Index, View};
use std::net::SocketAddr;

/// What our branches begin with; the probe's number follows in hex.
const BRANCH: &str = "z9hG4bKNp";

/// Writes the request of probe `number` from `local` (as it is told) to `target`.
pub(super) fn request(number: u64, local: SocketAddr, target: SocketAddr, transport: Transport) -> String {
    let via = transport.via_name();
    let (scheme, param) = match transport {
        Transport::Udp => ("sip", ""),
        Transport::Tls => ("sips", ""),
        _ => ("sip", ";transport=tcp"),
    };
    format!(
        "OPTIONS {scheme}:{target}{param} SIP/2.0\r\n\
         Via: SIP/2.0/{via} {local};rport;branch={BRANCH}{number:016x}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:nantucket@{local}>;tag={number:016x}\r\n\
         To: <sip:{target}>\r\n\
         Call-ID: {number:016x}@{}\r\n\
         CSeq: 1 OPTIONS\r\n\
         User-Agent: nantucket\r\n\
         Content-Length: 0\r\n\r\n",
        local.ip(),
    )
}

/// The number of the probe that `bytes` is a final response to.
pub(super) fn answered(bytes: &[u8], index: &mut Index) -> Option<u64> {
    let view = View::read(bytes, index, &Limits::DEFAULT).ok()?;
    if view.is_request() || view.status() < 200 {
        return None;
    }
    let branch = view.top_via().ok()?.branch()?;
    let digits = std::str::from_utf8(branch.strip_prefix(BRANCH.as_bytes())?).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

/// The number of the probe whose request (or its beginning) `bytes` is.
pub(super) fn asked(bytes: &[u8]) -> Option<u64> {
    let start = memchr::memmem::find(bytes, BRANCH.as_bytes())? + BRANCH.len();
    let digits = std::str::from_utf8(bytes.get(start..start + 16)?).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: &str) -> Vec<u8> {
        let sent = request(0xbeef, "192.0.2.1:5".parse().unwrap(), "192.0.2.9:5060".parse().unwrap(), Transport::Udp);
        let via = sent.lines().nth(1).unwrap();
        format!("SIP/2.0 {status}\r\n{via};received=192.0.2.1\r\nContent-Length: 0\r\n\r\n").into_bytes()
    }

    #[test]
    fn any_final_response_answers_and_nothing_else_does() {
        let mut index = Index::default();
        for status in ["200 OK", "404 Not Found", "401 Unauthorized", "503 No"] {
            assert_eq!(answered(&response(status), &mut index), Some(0xbeef), "{status}");
        }
        assert_eq!(answered(&response("100 Trying"), &mut index), None);
        assert_eq!(answered(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKother\r\n\r\n", &mut index), None);
        assert_eq!(answered(b"garbage", &mut index), None);
    }

    #[test]
    fn the_request_is_sound_and_known_again() {
        let target = "[2001:db8::9]:5060".parse().unwrap();
        let text = request(7, "[2001:db8::1]:5".parse().unwrap(), target, Transport::Tcp);
        let mut index = Index::default();
        let view = View::read(text.as_bytes(), &mut index, &Limits::DEFAULT).unwrap();
        assert!(view.is_request() && view.flaw().is_none());
        assert_eq!(view.uri(), b"sip:[2001:db8::9]:5060;transport=tcp");
        assert_eq!(asked(text.as_bytes()), Some(7));
        assert_eq!(asked(&text.as_bytes()[..40]), None);
    }
}
