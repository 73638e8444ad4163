//! CSeq: a number and a method (RFC 3261 §20.16).

use super::bad::Bad;
use super::chars::{all_token, is_lws, number, skip_lws};
use super::method::Method;
use super::name::Name;

/// Reads the value of a CSeq row: up to 2³²−1, white space or a fold, a method.
pub fn parse(value: &[u8]) -> Result<(u32, Method<'_>), Bad> {
    const BAD: Bad = Bad::Header(Name::CSeq);
    let digits = value.iter().position(|b| is_lws(*b)).ok_or(BAD)?;
    let (count, rest) = value.split_at_checked(digits).ok_or(BAD)?;
    let method = rest.get(skip_lws(rest, 0)..).unwrap_or_default();
    if !all_token(method) {
        return Err(BAD);
    }
    Ok((number(count).ok_or(BAD)?, Method::of(method)))
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
