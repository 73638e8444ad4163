//! The one pass over a message's head that fills an [`Index`].
//!
//! It finds; it does not judge: a fault that leaves the rest readable is kept as a flaw, so that
//! `check` can still answer by the Via that was found. Only what cannot be a message is an error.

use super::bad::Bad;
use super::chars::{all_token, number, skip_lws, trim_end};
use super::cseq::CSeq;
use super::index::{Index, Row, StartLine, Value};
use super::limits::Limits;
use super::list::{Item, Items};
use super::method::Method;
use super::name::Name;
use super::seek;
use super::span::Span;
use super::{name_addr, uri, via};

/// Fills the index; an error where `bytes` is no SIP message at all.
pub(super) fn read(bytes: &[u8], index: &mut Index, limits: &Limits) -> Result<(), Bad> {
    index.clear();
    // RFC 3261 §7.5: CRLFs before the start-line are ignored.
    let begin = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).ok_or(Bad::Empty)?;
    index.begin = begin as u32;
    if bytes.len() - begin > limits.message {
        index.note(Bad::MessageTooLarge);
    }
    let first = line_end(bytes, begin, index);
    index.start = start_line(bytes, begin, first.text, index, limits)?;
    let after = rows(bytes, first.next, index, limits);
    values(bytes, index, limits);
    body(bytes, after, index, limits);
    Ok(())
}

struct Line {
    /// One past the last byte before the line end.
    text: usize,
    /// The first byte of the next line.
    next: usize,
}

/// The end of the line that starts at `from`. A CR or LF alone is a flaw, and is taken for no line
/// end, so that nothing behind it is ever read as a row (V14).
#[inline(always)]
fn line_end(bytes: &[u8], from: usize, index: &mut Index) -> Line {
    let mut at = from;
    loop {
        let place = seek::line_break(bytes, at);
        match bytes.get(place..) {
            Some([b'\r', b'\n', ..]) => return Line { text: place, next: place + 2 },
            Some([_, ..]) => {}
            _ => {
                index.note(Bad::NoEmptyLine);
                return Line { text: bytes.len(), next: bytes.len() };
            }
        }
        index.note(Bad::BareLineEnd);
        at = place + 1;
    }
}

/// The end of a row that goes on in the line at `from`.
#[cold]
fn folds_end(bytes: &[u8], from: usize, index: &mut Index) -> Line {
    let mut line = line_end(bytes, from, index);
    while matches!(bytes.get(line.next), Some(b' ' | b'\t')) {
        line = line_end(bytes, line.next, index);
    }
    line
}

fn start_line(bytes: &[u8], from: usize, end: usize, index: &mut Index, limits: &Limits) -> Result<StartLine, Bad> {
    let line = bytes.get(from..end).unwrap_or_default();
    if line.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"SIP/")) {
        return Ok(status_line(line, from, index));
    }
    let trimmed = trim_end(bytes, from, end);
    let method_end = from + line.iter().position(|b| *b == b' ').ok_or(Bad::NotSip)?;
    let version_start = bytes.get(from..trimmed).and_then(|text| memchr::memrchr(b' ', text)).ok_or(Bad::NotSip)?;
    let version = Span::new(from + version_start + 1, trimmed);
    let name = version.text(bytes);
    if !name.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"SIP/")) {
        return Err(Bad::NotSip);
    }
    let method = Span::new(from, method_end);
    // With only two parts there is no URI: an empty one, which `check` refuses.
    let uri = Span::new(method_end + 1, (from + version_start).max(method_end + 1));
    if !name.eq_ignore_ascii_case(b"SIP/2.0") {
        index.note(Bad::Version);
    }
    if method.len() > limits.method {
        index.note(Bad::MethodTooLong);
    }
    if uri.len() > limits.uri {
        index.note(Bad::UriTooLong);
    }
    index.uri = uri::Parts::checked(bytes.get(..uri.end as usize).unwrap_or_default(), uri.start as usize);
    // One that is sound has no space in it.
    let spaced = index.uri.is_err() && (uri.is_empty() || uri.text(bytes).iter().any(|b| matches!(b, b' ' | b'\t')));
    let known = Method::of(method.text(bytes)).known();
    if spaced || trimmed != end || known.is_none() && !all_token(method.text(bytes)) {
        index.note(Bad::StartLine);
    }
    Ok(StartLine::Request { known, method, uri, version })
}

fn status_line(line: &[u8], from: usize, index: &mut Index) -> StartLine {
    let mut parts = line.splitn(3, |b| *b == b' ');
    if !parts.next().unwrap_or_default().eq_ignore_ascii_case(b"SIP/2.0") {
        index.note(Bad::Version);
    }
    let code = parts.next().unwrap_or_default();
    let reason = parts.next().unwrap_or_default();
    let status = if code.len() == 3 { number::<u16>(code).unwrap_or(0) } else { 0 };
    if !(100..700).contains(&status) {
        index.note(Bad::Status);
    }
    let end = from + line.len();
    StartLine::Response { status, reason: Span::new(end - reason.len(), end) }
}

/// Reads the rows; the place just after the empty line.
fn rows(bytes: &[u8], from: usize, index: &mut Index, limits: &Limits) -> usize {
    let mut at = from;
    loop {
        if bytes.get(at..at + 2) == Some(b"\r\n") {
            index.headers_end = at as u32;
            if at - index.begin as usize > limits.head {
                index.note(Bad::HeadTooLarge);
            }
            return at + 2;
        }
        if at >= bytes.len() {
            index.note(Bad::NoEmptyLine);
            index.headers_end = bytes.len() as u32;
            return bytes.len();
        }
        let start = at;
        let label = bytes.get(at..).and_then(<[u8]>::first_chunk).and_then(Name::before_colon);
        // There is no line end in a name that is known.
        let mut line = line_end(bytes, label.map_or(at, |(_, length)| at + length + 1), index);
        if matches!(bytes.get(line.next), Some(b' ' | b'\t')) {
            line = folds_end(bytes, line.next, index);
        }
        at = line.next;
        if at - start > limits.row {
            index.note(Bad::RowTooLong);
        }
        if index.rows.len() >= limits.rows {
            index.note(Bad::TooManyRows);
            continue;
        }
        match label {
            Some((name, length)) => push(bytes, start, (name, length), start + length, &line, index),
            None => row(bytes, start, &line, index),
        }
    }
}

/// A row whose name is none of the usual ones, or not written as usual.
fn row(bytes: &[u8], start: usize, line: &Line, index: &mut Index) {
    let text = bytes.get(..line.text).unwrap_or_default();
    let colon = seek::byte(text, start, b':');
    if colon == text.len() {
        return index.note(Bad::HeaderName);
    }
    let mut written = text.get(start..colon).unwrap_or_default();
    let mut name = Name::of(written);
    if name == Name::Other {
        // HCOLON: white space before the colon is allowed in SIP (V12).
        while let Some((b' ' | b'\t', shorter)) = written.split_last() {
            written = shorter;
        }
        if !all_token(written) {
            return index.note(Bad::HeaderName);
        }
        if start + written.len() < colon {
            name = Name::of(written);
        }
    }
    push(bytes, start, (name, written.len()), colon, line, index);
}

/// Notes the row at `start` with a name so long.
#[inline]
fn push(bytes: &[u8], start: usize, (name, length): (Name, usize), colon: usize, line: &Line, index: &mut Index) {
    let text = bytes.get(..line.text).unwrap_or_default();
    let value = skip_lws(text, colon + 1);
    let end = trim_end(text, value, text.len());
    let (line, label) = (Span::new(start, line.next), Span::new(start, start + length));
    index.push(Row { name, line, label, value: Span::new(value, end) });
}

/// Reads the values of Via, of the fields of addresses, and CSeq.
fn values(bytes: &[u8], index: &mut Index, limits: &Limits) {
    let Index { rows, vias, addresses, cseq, start, .. } = index;
    let via = |span| via::Parts::read(bytes, span);
    let address = |span| name_addr::Parts::read(bytes, span, true);
    // The answers' own parties were those of the request: hardly anybody asks for their URIs.
    let is_request = matches!(start, StartLine::Request { .. });
    let party = |span| name_addr::Parts::read(bytes, span, is_request);
    // `check` bounds each field; what is more than all of them may have is not read.
    let (most_vias, most_addresses) = (limits.values + 1, 8 * limits.values);
    let mut all = true;
    for row in rows {
        let name = row.name;
        match name {
            Name::Via => {
                for item in Items::of(bytes, row) {
                    if vias.len() >= most_vias {
                        break;
                    }
                    vias.push(Value::read(name, item, via));
                }
            }
            Name::Contact | Name::Route | Name::RecordRoute | Name::Path => {
                for item in Items::of(bytes, row) {
                    if addresses.len() >= most_addresses {
                        all = false;
                        break;
                    }
                    addresses.push(Value::read(name, item, address));
                }
            }
            Name::From | Name::To | Name::ReferTo => {
                addresses.push(Value::read(name, Ok(Item::whole(row)), party));
            }
            // The first counts.
            Name::CSeq if matches!(cseq, Err(Bad::Missing(_))) => *cseq = CSeq::read(bytes, row.value),
            _ => {}
        }
    }
    if !all {
        index.note(Bad::TooManyValues);
    }
}

/// V09: what is behind Content-Length is no part of the message; without one all of it is body.
fn body(bytes: &[u8], from: usize, index: &mut Index, limits: &Limits) {
    let all = bytes.len() - from;
    let slot = index.first.get(Name::ContentLength as usize).copied().unwrap_or_default();
    let length = match index.rows.get(usize::from(slot)) {
        None => all,
        Some(row) => match number::<usize>(row.value.text(bytes)) {
            None => {
                index.note(Bad::ContentLength);
                all
            }
            Some(length) if length > limits.message => {
                index.note(Bad::MessageTooLarge);
                all
            }
            Some(length) if length > all => {
                index.note(Bad::ShortBody);
                all
            }
            Some(length) => length,
        },
    };
    index.body = Span::new(from, from + length);
}
