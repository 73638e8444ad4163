//! CSeq: a number and a method (RFC 3261 §20.16).

use super::bad::Bad;
use super::chars::{all_token, is_lws, number, skip_lws};
use super::method::Method;
use super::name::Name;
use super::span::Span;

/// What a CSeq says.
#[derive(Clone, Copy, Debug)]
pub(super) struct CSeq {
    number: u32,
    known: Option<Method<'static>>,
    method: Span,
}

impl CSeq {
    /// Reads the value at `span` of `buffer`.
    pub(super) fn read(buffer: &[u8], span: Span) -> Result<Self, Bad> {
        let (number, method) = parse(span.text(buffer))?;
        let place = Span { start: span.end - method.text().len() as u32, end: span.end };
        Ok(Self { number, known: method.known(), method: place })
    }

    /// Number and method.
    #[inline]
    pub(super) fn parts<'a>(&self, buffer: &'a [u8]) -> (u32, Method<'a>) {
        (self.number, self.known.unwrap_or_else(|| Method::Other(self.method.text(buffer))))
    }
}

/// Reads the value of a CSeq row: up to 2³²−1, white space or a fold, a method.
fn parse(value: &[u8]) -> Result<(u32, Method<'_>), Bad> {
    const BAD: Bad = Bad::Header(Name::CSeq);
    let digits = value.iter().position(|b| is_lws(*b)).ok_or(BAD)?;
    let (count, rest) = value.split_at_checked(digits).ok_or(BAD)?;
    let method = rest.get(skip_lws(rest, 0)..).unwrap_or_default();
    let count = number(count).ok_or(BAD)?;
    match Method::of(method) {
        Method::Other(name) if !all_token(name) => Err(BAD),
        method => Ok((count, method)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_bounded_and_the_method_a_token() {
        assert_eq!(parse(b"0009\r\n  INVITE").unwrap(), (9, Method::Invite));
        assert_eq!(parse(b"4294967295 ACK").unwrap(), (u32::MAX, Method::Ack));
        for bad in ["4294967296 ACK", "-1 ACK", "1", "1 ", "ACK", "1 A CK", "1ACK", "0x1 ACK", ""] {
            assert_eq!(parse(bad.as_bytes()), Err(Bad::Header(Name::CSeq)), "{bad}");
        }
    }
}
