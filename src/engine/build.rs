//! The two requests a proxy makes from one it has sent: the ACK for a 3xx-6xx (RFC 3261 §17.1.1.3) and the
//! CANCEL (§9.1). Both have the INVITE's Request-URI, Route, Call-ID, CSeq number and our Via alone.

use crate::sip::view::{Name, Row, Span, View};
use std::io::Write as _;

/// Appends the ACK for `response` to the INVITE we sent.
pub fn ack(invite: &View<'_>, response: &View<'_>, out: &mut Vec<u8>) {
    write(invite, b"ACK", response.first(Name::To).map(|to| (response, to)), out);
}

/// Appends the CANCEL of the INVITE we sent.
pub fn cancel(invite: &View<'_>, out: &mut Vec<u8>) {
    write(invite, b"CANCEL", invite.first(Name::To).map(|to| (invite, to)), out);
}

fn write(invite: &View<'_>, method: &[u8], to: Option<(&View<'_>, &Row)>, out: &mut Vec<u8>) {
    let Ok(via) = invite.top_via() else { return };
    let Ok((number, _)) = invite.cseq() else { return };
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(invite.uri());
    out.extend_from_slice(b" SIP/2.0\r\nVia: ");
    out.extend_from_slice(via.text());
    out.extend_from_slice(b"\r\nMax-Forwards: 70\r\n");
    for route in invite.rows_named(Name::Route) {
        out.extend_from_slice(invite.text(route.line));
    }
    for name in [Name::From, Name::CallId] {
        if let Some(row) = invite.first(name) {
            copy(invite, row, out);
        }
    }
    if let Some((message, row)) = to {
        copy(message, row, out);
    }
    // A Vec takes every write.
    let _ = write!(out, "CSeq: {number} ");
    out.extend_from_slice(method);
    out.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
}

fn copy(message: &View<'_>, row: &Row, out: &mut Vec<u8>) {
    out.extend_from_slice(message.text(Span { start: row.line.start, end: row.value.end }));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::limits::Limits;
    use crate::sip::view::Index;

    const INVITE: &str = "INVITE sip:b@c;x=1 SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bK1, SIP/2.0/UDP q\r\n\
        Route: <sip:r;lr>, <sip:s>\r\nRoute: <sip:t>\r\nf: <sip:a@c>;tag=1\r\nTo: <sip:b@c>\r\ni: x\r\n\
        CSeq: 7 INVITE\r\nRequire: 100rel\r\nContent-Length: 1\r\n\r\nx";

    #[test]
    fn a_cancel_has_what_the_invite_had_and_one_via() {
        // C01 C03
        let mut index = Index::new();
        let invite = View::read(INVITE.as_bytes(), &mut index, &Limits::DEFAULT).unwrap();
        let mut out = Vec::new();
        cancel(&invite, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "CANCEL sip:b@c;x=1 SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
             Route: <sip:r;lr>, <sip:s>\r\nRoute: <sip:t>\r\nf: <sip:a@c>;tag=1\r\ni: x\r\nTo: <sip:b@c>\r\n\
             CSeq: 7 CANCEL\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn an_ack_has_the_responses_to() {
        // T08
        let response = "SIP/2.0 486 Busy\r\nVia: SIP/2.0/UDP p\r\nTo: <sip:b@c>;tag=9\r\nFrom: <sip:a@c>;tag=1\r\n\r\n";
        let (mut index, mut other) = (Index::new(), Index::new());
        let invite = View::read(INVITE.as_bytes(), &mut index, &Limits::DEFAULT).unwrap();
        let response = View::read(response.as_bytes(), &mut other, &Limits::DEFAULT).unwrap();
        let mut out = Vec::new();
        ack(&invite, &response, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("ACK sip:b@c;x=1 SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bK1\r\n"));
        assert!(text.contains("\r\nTo: <sip:b@c>;tag=9\r\nCSeq: 7 ACK\r\n"));
    }
}
