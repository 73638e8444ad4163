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
