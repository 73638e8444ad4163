//! Responses of our own to a request (RFC 3261 §8.2.6), without a body.
//!
//! Not for responses that are passed on: those are the PBX's, changed by `edit`. Called by `engine`.

use super::decimal;
use super::name::Name;
use super::span::Span;
use super::view::View;
use std::net::SocketAddr;

/// A response to make.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Its status.
    pub status: u16,
    /// Its reason phrase.
    pub reason: &'a str,
    /// The To-tag, put where the request has none; `None` for a 100 (T11).
    pub to_tag: Option<&'a [u8]>,
    /// Where the request came from, for `received` and `rport` in its top Via; `None` where the
    /// bytes have been stamped already.
    pub peer: Option<SocketAddr>,
    /// More header rows, each with its CRLF.
    pub rows: &'a [u8],
}

/// Appends the response to `out`: the request's Via rows in order, From, To, Call-ID and CSeq as
/// they are written, then `rows`, and Content-Length 0. What the request lacks is left out.
pub fn write(request: &View<'_>, reply: &Reply<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"SIP/2.0 ");
    decimal::write(reply.status.into(), out);
    out.push(b' ');
    out.extend_from_slice(reply.reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    let stamp = reply.peer.and_then(|peer| request.top_via().ok().map(|via| via.stamp(peer)));
    let mut changes = stamp.iter().flat_map(|stamp| stamp.changes()).peekable();
    for row in request.rows_named(Name::Via) {
        let mut at = row.line.start;
        while let Some((span, mark)) = changes.next_if(|(span, _)| span.end <= row.value.end) {
            out.extend_from_slice(request.text(Span { start: at, end: span.start }));
            mark.write(out);
            at = span.end;
        }
        out.extend_from_slice(request.text(Span { start: at, end: row.value.end }));
        out.extend_from_slice(b"\r\n");
    }
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
        let Some(row) = request.first(name) else { continue };
        out.extend_from_slice(request.text(Span { start: row.line.start, end: row.value.end }));
        if let (Name::To, Some(tag)) = (name, reply.to_tag)
            && request.to().is_ok_and(|to| to.tag().is_none())
        {
            out.extend_from_slice(b";tag=");
            out.extend_from_slice(tag);
        }
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(reply.rows);
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::limits::Limits;
    use crate::sip::view::Index;

    fn replied(request: &str, reply: &Reply<'_>) -> String {
        let mut index = Index::new();
        let view = View::read(request.as_bytes(), &mut index, &Limits::DEFAULT).unwrap();
        let mut out = Vec::new();
        write(&view, reply, &mut out);
        String::from_utf8(out).unwrap()
    }

    const REQUEST: &str = "INVITE sip:a SIP/2.0\r\nv: SIP/2.0/UDP h;rport;branch=1,\r\n SIP/2.0/UDP i\r\nX: y\r\nf: <sip:f>;tag=2\r\n\
                           VIA:SIP/2.0/UDP j\r\nto:\r\n <sip:t> \r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 4\r\n\r\nbody";
    const TEMPLATE: Reply<'_> = Reply { status: 404, reason: "Not Found", to_tag: Some(b"x1"), peer: None, rows: b"" };

    #[test]
    fn the_request_is_mirrored() {
        // T11, RFC 3261 §8.2.6.2
        let peer = Some("192.0.2.9:7000".parse().unwrap());
        assert_eq!(
            replied(REQUEST, &Reply { peer, rows: b"Retry-After: 5\r\n", ..TEMPLATE }),
            "SIP/2.0 404 Not Found\r\nv: SIP/2.0/UDP h;rport=7000;branch=1;received=192.0.2.9,\r\n SIP/2.0/UDP i\r\n\
             VIA:SIP/2.0/UDP j\r\nf: <sip:f>;tag=2\r\nto:\r\n <sip:t>;tag=x1\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\
             Retry-After: 5\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_to_tag_is_added_only_where_there_is_none() {
        // T11
        let tagged = REQUEST.replace("<sip:t> ", "<sip:t>;x;TAG=old");
        assert!(replied(&tagged, &TEMPLATE).contains("<sip:t>;x;TAG=old\r\n"));
        let trying = Reply { status: 100, reason: "Trying", to_tag: None, ..TEMPLATE };
        assert!(replied(REQUEST, &trying).contains("to:\r\n <sip:t>\r\nCall-ID"));
        let uri_tag = REQUEST.replace("<sip:t> ", "<sip:t;tag=uri>");
        assert!(replied(&uri_tag, &TEMPLATE).contains("<sip:t;tag=uri>;tag=x1\r\n"));
    }

    #[test]
    fn what_is_missing_or_broken_is_mirrored_as_it_is() {
        // V01: insuf has no To, From and Call-ID.
        let request = "BYE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h;;\r\nTo: \"x\r\nCSeq: 1";
        assert_eq!(
            replied(request, &TEMPLATE),
            "SIP/2.0 404 Not Found\r\nVia: SIP/2.0/UDP h;;\r\nTo: \"x\r\nCSeq: 1\r\nContent-Length: 0\r\n\r\n"
        );
    }
}
