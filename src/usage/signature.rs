//! How a receiver knows that a webhook is ours and was not kept back: an HMAC-SHA256 over the moment of sending, a
//! dot and the body, with a secret that both know. Pure.
//!
//! ```text
//! Nantucket-Signature: t=1795000000,v1=<64 hex digits>
//! ```

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// The header it is sent in.
pub const HEADER: &str = "nantucket-signature";

/// The header's value for a body sent at this moment (Unix seconds).
pub fn sign(secret: &[u8], at: u64, body: &[u8]) -> String {
    let mut text = format!("t={at},v1=");
    for byte in mac(secret, at, body).finalize().into_bytes() {
        // A String takes every write.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Whether a header's value is right for a body, and not older than `patience` seconds (or that far ahead).
pub fn verify(secret: &[u8], value: &str, body: &[u8], now: u64, patience: u64) -> bool {
    let parts = value.split_once(',').and_then(|(at, mac)| Some((at.strip_prefix("t=")?, mac.strip_prefix("v1=")?)));
    let Some((Ok(at), hex)) = parts.map(|(at, hex)| (at.parse::<u64>(), hex)) else { return false };
    if at.abs_diff(now) > patience {
        return false;
    }
    let digits = (0..hex.len()).step_by(2).map(|n| u8::from_str_radix(hex.get(n..n + 2)?, 16).ok());
    digits.collect::<Option<Vec<u8>>>().is_some_and(|given| mac(secret, at, body).verify_slice(&given).is_ok())
}

fn mac(secret: &[u8], at: u64, body: &[u8]) -> Hmac<Sha256> {
    // RFC 2104 §2: a key is filled up with zeros to the hash's block; a longer one is hashed before.
    let mut key = [0; 64];
    if secret.len() > key.len() {
        key.iter_mut().zip(Sha256::digest(secret)).for_each(|(to, from)| *to = from);
    } else {
        key.iter_mut().zip(secret).for_each(|(to, from)| *to = *from);
    }
    let mut mac = Hmac::<Sha256>::new(&key.into());
    mac.update(at.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hmac_of_moment_and_body() {
        // R72; made with: printf '1795000000.{"a":1}' | openssl dgst -sha256 -hmac whale
        let expected = "43aeb446ccf6e823011139dece927c2a37169ae2cb07cc7974d5dd96eb67f16b";
        assert_eq!(sign(b"whale", 1_795_000_000, b"{\"a\":1}"), format!("t=1795000000,v1={expected}"));
        for length in [1, 63, 64, 65, 200] {
            let secret = vec![7; length];
            let mut other = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
            other.update(b"5.body");
            let hex: String = other.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(sign(&secret, 5, b"body"), format!("t=5,v1={hex}"), "{length}");
        }
    }

    #[test]
    fn what_was_changed_or_kept_back_is_not_believed() {
        // R72
        let good = sign(b"whale", 1_000, b"body");
        assert!(verify(b"whale", &good, b"body", 1_300, 300));
        assert!(!verify(b"whale", &good, b"body", 1_301, 300));
        assert!(!verify(b"whale", &good, b"Body", 1_000, 300));
        assert!(!verify(b"shark", &good, b"body", 1_000, 300));
        assert!(!verify(b"whale", &good.replace("t=1000", "t=1001"), b"body", 1_000, 300));
        for wrong in ["", "t=1000", "t=1000,v1=", "t=x,v1=00", "t=1000,v1=zz", "t=1000,v1=0"] {
            assert!(!verify(b"whale", wrong, b"body", 1_000, 300), "{wrong}");
        }
    }
}
