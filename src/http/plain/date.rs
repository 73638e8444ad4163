//! The Date that an answer gets whose instance gave none (RFC 9110 §6.6.1), written once a second.

use crate::clock::Now;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use std::cell::RefCell;

thread_local! {
    static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Appends it.
pub(super) fn put(out: &mut Vec<u8>, now: Now) {
    LAST.with_borrow_mut(|(second, text)| {
        if *second != now.unix {
            let made = i64::try_from(now.unix).ok().and_then(|unix| Timestamp::from_second(unix).ok());
            let made = made.and_then(|now| DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok());
            (*second, *text) = (now.unix, made.unwrap_or_default());
        }
        out.extend_from_slice(text.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_http_has_it() {
        let mut out = Vec::new();
        put(&mut out, Now { unix: 784_111_777, ..Now::default() });
        put(&mut out, Now { unix: 784_111_777, ..Now::default() });
        assert_eq!(out, b"Sun, 06 Nov 1994 08:49:37 GMT".repeat(2));
    }
}
