//! Plain SIP or HTTP on a port where TLS is spoken: answered in its own language, so that whoever
//! set the device up can read what is wrong (PROTOCOLS 3.3.14).

use super::codec::Said;
use super::counters::Loss;
use crate::sip::frame::{Frame, Framer};
use crate::sip::limits::Limits;
use crate::sip::reply::{self, Reply};
use crate::sip::view::{Index, View};

const SIP: &str = "This port speaks TLS";
const HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Cache-Control: no-store\r\nContent-Length: 22\r\n\r\nThis port speaks TLS.\n";

/// Waits for a whole request, and answers it.
pub(super) fn read(framer: &mut Framer, bytes: &[u8], said: &mut impl FnMut(Said<'_>) -> bool) -> usize {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let (length, is_whole) = match framer.next(rest) {
            Frame::Partial => return at,
            Frame::Blank(n) | Frame::Ping(n) => {
                at += n;
                continue;
            }
            Frame::Message(n) | Frame::Last(n) => (n, true),
            Frame::Broken(_) => (rest.len(), false),
        };
        let request = rest.get(..length).unwrap_or_default();
        if is_http(request) {
            said(Said::Answer(HTTP));
        } else if is_whole {
            let mut answer = Vec::new();
            refuse(request, &mut answer);
            said(Said::Answer(&answer));
        }
        said(Said::End(Some(Loss::NotTls)));
        return bytes.len();
    }
}

fn refuse(request: &[u8], out: &mut Vec<u8>) {
    let mut index = Index::default();
    let Ok(view) = View::read(request, &mut index, &Limits::DEFAULT) else { return };
    if view.is_request() {
        let reply = Reply { status: 400, reason: SIP, to_tag: Some(b"nt-tls"), peer: None, rows: b"" };
        reply::write(&view, &reply, out);
    }
}

fn is_http(request: &[u8]) -> bool {
    let line = request.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    line.windows(6).any(|part| part == b" HTTP/")
}
