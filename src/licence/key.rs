//! Keys that documents are signed with: the vendor's private one, and those a node accepts, by id (R64).
//!
//! As soon as one key of a vendor is known, the demo key and test keys are accepted no more. Nothing here reads a
//! file or makes randomness.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use std::fmt;

/// The id of the built-in key.
pub const DEMO: &str = "demo";
/// What the ids of keys for tests start with.
pub const TEST: &str = "test-";

/// Everybody can read it: what it signs is worth nothing outside of a demonstration.
const DEMO_SEED: &[u8; 32] = b"nantucket demo key, not a secret";
const MAX_ID: usize = 32;

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The id is not one.
    #[error("{0:?} is no key id: 1 to {MAX_ID} small letters, digits, dots and dashes are expected")]
    Id(String),
    /// The id belongs to the built-in key.
    #[error("the key id {DEMO:?} is the built-in demo key's")]
    Reserved,
    /// Not base64 of 32 bytes.
    #[error("the key {0:?} is not 32 bytes in base64")]
    Text(String),
    /// Not a point of the curve, or one that makes forging easy.
    #[error("the key {0:?} is no usable Ed25519 key")]
    Weak(String),
    /// Two keys of one id.
    #[error("the key id {0:?} is there twice")]
    Twice(String),
    /// The demo key under another name.
    #[error("the key {0:?} is the built-in demo key, which everybody can sign with")]
    Demo(String),
}

/// A private key with its id.
#[derive(Clone)]
pub struct Signer {
    id: String,
    key: SigningKey,
}

/// The keys a node accepts.
#[derive(Clone, Debug)]
pub struct Keys {
    known: Vec<(String, VerifyingKey)>,
    vendor: bool,
}

/// Why no key of that id is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Unknown,
    Demo,
}

impl Signer {
    /// A key made of 32 random bytes.
    pub fn new(id: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        check_id(id)?;
        if id == DEMO {
            return Err(KeyError::Reserved);
        }
        Ok(Self { id: id.to_owned(), key: SigningKey::from_bytes(seed) })
    }

    /// The built-in key, for demonstrations and tests.
    pub fn demo() -> Self {
        Self { id: DEMO.to_owned(), key: SigningKey::from_bytes(DEMO_SEED) }
    }

    /// Its id, part of every document it signs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public key, as configurations have it.
    pub fn public(&self) -> String {
        STANDARD.encode(self.key.verifying_key().as_bytes())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; Signature::BYTE_SIZE] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Keys {
    /// Only the built-in key: no vendor is known.
    pub fn demo() -> Self {
        Self { known: vec![(DEMO.to_owned(), Signer::demo().key.verifying_key())], vendor: false }
    }

    /// The keys of a configuration, as pairs of id and base64. Without one of a vendor the demo key and test keys
    /// are accepted, with one they are not.
    pub fn new<'a>(configured: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, KeyError> {
        let mut keys = Self::demo();
        let demo = Signer::demo().key.verifying_key();
        for (id, text) in configured {
            check_id(id)?;
            let key = public(id, text)?;
            if id == DEMO {
                return Err(KeyError::Reserved);
            }
            if key == demo {
                return Err(KeyError::Demo(id.to_owned()));
            }
            if keys.known.iter().any(|(known, _)| known == id) {
                return Err(KeyError::Twice(id.to_owned()));
            }
            keys.vendor |= !is_test(id);
            keys.known.push((id.to_owned(), key));
        }
        Ok(keys)
    }

    /// Whether a vendor's key is known, and thus the demo key and test keys are refused.
    pub const fn has_vendor(&self) -> bool {
        self.vendor
    }

    /// The ids accepted.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|(id, _)| id.as_str()).filter(|id| !(self.vendor && is_test(id)))
    }

    pub(super) fn find(&self, id: &str) -> Result<&VerifyingKey, Refused> {
        if self.vendor && is_test(id) {
            return Err(Refused::Demo);
        }
        self.known.iter().find(|(known, _)| known == id).map(|(_, key)| key).ok_or(Refused::Unknown)
    }
}

fn is_test(id: &str) -> bool {
    id == DEMO || id.starts_with(TEST)
}

fn public(id: &str, text: &str) -> Result<VerifyingKey, KeyError> {
    let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let bytes = bytes.ok_or_else(|| KeyError::Text(id.to_owned()))?;
    VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak()).ok_or_else(|| KeyError::Weak(id.to_owned()))
}

fn check_id(id: &str) -> Result<(), KeyError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    if (1..=MAX_ID).contains(&id.len()) && id.bytes().all(fits) {
        return Ok(());
    }
    Err(KeyError::Id(id.chars().take(2 * MAX_ID).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, seed: u8) -> (String, String) {
        let signer = Signer::new(id, &[seed; 32]).unwrap();
        (id.to_owned(), signer.public())
    }

    fn keys(list: &[(String, String)]) -> Result<Keys, KeyError> {
        Keys::new(list.iter().map(|(id, key)| (id.as_str(), key.as_str())))
    }

    #[test]
    fn with_a_vendors_key_demo_and_test_keys_are_refused() {
        // R64
        let none = keys(&[]).unwrap();
        assert!(none.find(DEMO).is_ok() && !none.has_vendor());
        assert_eq!(none.find("acme"), Err(Refused::Unknown));
        let test = keys(&[key("test-1", 1)]).unwrap();
        assert!(test.find(DEMO).is_ok() && test.find("test-1").is_ok() && !test.has_vendor());
        let vendor = keys(&[key("test-1", 1), key("acme", 2)]).unwrap();
        assert!(vendor.find("acme").is_ok() && vendor.has_vendor());
        assert_eq!((vendor.find(DEMO), vendor.find("test-1")), (Err(Refused::Demo), Err(Refused::Demo)));
        assert_eq!(vendor.ids().collect::<Vec<_>>(), ["acme"]);
    }

    #[test]
    fn keys_that_cannot_be_used_are_named() {
        let (_, good) = key("acme", 1);
        let one = |id: &str, text: &str| keys(&[(id.into(), text.into())]).map(|_| ());
        assert_eq!(one("acme", &format!(" {good}\n")), Ok(()));
        assert_eq!(one("demo", &good), Err(KeyError::Reserved));
        assert_eq!(one("acme", &Signer::demo().public()), Err(KeyError::Demo("acme".into())));
        assert_eq!(one("acme", &good[4..]), Err(KeyError::Text("acme".into())));
        assert_eq!(one("acme", "!"), Err(KeyError::Text("acme".into())));
        // The neutral element verifies anything.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert_eq!(one("acme", &STANDARD.encode(neutral)), Err(KeyError::Weak("acme".into())));
        assert_eq!(keys(&[key("a", 1), key("a", 2)]).map(|_| ()), Err(KeyError::Twice("a".into())));
        let long = "a".repeat(MAX_ID);
        assert_eq!(one(&long, &good), Ok(()));
        for id in ["", "Acme", "a b", "ä", &format!("{long}a")] {
            assert_eq!(one(id, &good), Err(KeyError::Id(id.into())));
        }
    }

    #[test]
    fn a_private_key_is_not_shown() {
        let shown = format!("{:?}", Signer::new("acme", &[7; 32]).unwrap());
        assert_eq!(shown, "Signer { id: \"acme\", .. }");
        assert_eq!(Signer::new(DEMO, &[7; 32]).map(|_| ()), Err(KeyError::Reserved));
    }
}
