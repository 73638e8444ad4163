//! The keys that seal and open tokens.
//!
//! The newest valid key seals, every valid one opens. Keys are rotated weekly and stay good for
//! five weeks after their last use, longer than any token lives, so that dialogs and bindings
//! outlast rotations and restarts (P04, R75). The ring is immutable: a rotation makes a new one.

use super::payload::{self, AS_LONG_AS_KEY};
use super::{MAX_TEXT, MIN_LEN, OpenError, SealError, Token};
use aes_siv::siv::{Aes128Siv, IV_SIZE};
use aes_siv::{KeyInit, Tag};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foldhash::fast::FixedState;
use serde::{Deserialize, Serialize};
use std::hash::{BuildHasher, Hash, Hasher};

/// Seconds of a day.
pub const DAY: u64 = 86_400;
/// How long a key seals before it is due for replacement, in seconds.
pub const ROTATION: u64 = 7 * DAY;
/// How long a replaced key goes on opening, in seconds.
pub const OVERLAP: u64 = 35 * DAY;

/// Days a token lives. Dialogs and subscriptions may last for weeks; less than [`OVERLAP`].
const LIFE_DAYS: u64 = 28;
/// Most keys a ring holds: five weeks of weekly ones, and room for rotations by hand.
const MAX_KEYS: usize = 16;

/// One key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// In clear at the front of every token it seals.
    pub id: u8,
    /// Two AES-128 keys: CMAC and CTR.
    #[serde(with = "secret_text")]
    pub secret: [u8; 32],
    /// Unix seconds from which it seals.
    pub not_before: u64,
    /// Unix seconds from which it opens no more.
    pub not_after: u64,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// The keys of a node, newest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Keyring {
    keys: Vec<Key>,
    sum: u64,
}

impl Keyring {
    /// A ring of these keys, in any order. Of two with one id the newer counts; beyond a bound of 16
    /// the oldest are left out.
    pub fn new(mut keys: Vec<Key>) -> Self {
        keys.sort_by_key(|k| std::cmp::Reverse(k.not_before));
        let mut seen = [false; 256];
        keys.retain(|k| seen.get_mut(usize::from(k.id)).is_some_and(|s| !std::mem::replace(s, true)));
        keys.truncate(MAX_KEYS);
        let mut sum = FixedState::default().build_hasher();
        for key in &keys {
            (key.id, key.secret, key.not_before, key.not_after).hash(&mut sum);
        }
        Self { keys, sum: sum.finish() }
    }

    /// The keys, newest first, to be kept on disk.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Tells this ring from others that were here before it. It stays in the process.
    pub(super) const fn sum(&self) -> u64 {
        self.sum
    }

    /// Whether a new key is due: there is none that seals, or it has sealed for [`ROTATION`].
    pub fn is_due(&self, now_unix: u64) -> bool {
        self.sealing(now_unix).is_none_or(|k| now_unix >= k.not_before.saturating_add(ROTATION))
    }

    /// The ring with a new key from `secret` (32 random bytes) on top and without the expired ones.
    /// The key that sealed until now opens for [`OVERLAP`] more.
    pub fn rotated(&self, now_unix: u64, secret: [u8; 32]) -> Self {
        let newest = self.keys.iter().map(|k| k.not_before).max();
        let id = self.keys.first().map_or(0, |k| k.id.wrapping_add(1));
        // After a clock that ran ahead the new key must still be the newest.
        let not_before = newest.map_or(now_unix, |n| now_unix.max(n.saturating_add(1)));
        let sealing = self.sealing(now_unix).map(|k| k.id);
        let mut keys: Vec<Key> = self.keys.iter().filter(|k| k.not_after > now_unix && k.id != id).cloned().collect();
        for key in keys.iter_mut().filter(|k| Some(k.id) == sealing) {
            key.not_after = key.not_after.max(now_unix.saturating_add(OVERLAP));
        }
        keys.insert(0, Key { id, secret, not_before, not_after: not_before.saturating_add(ROTATION + OVERLAP) });
        Self::new(keys)
    }

    /// Appends the text of a token to `out`.
    pub fn seal(&self, token: &Token<'_>, now_unix: u64, out: &mut Vec<u8>) -> Result<(), SealError> {
        self.seal_raw(token, now_unix, out).map(drop)
    }

    /// As [`Self::seal`]: its expiry, and the Unix second from which it opens no more.
    pub(super) fn seal_raw(&self, token: &Token<'_>, now_unix: u64, out: &mut Vec<u8>) -> Result<(u8, u64), SealError> {
        if let Token::Contact { uri: text, .. } | Token::Mask { text, .. } = token
            && text.len() > MAX_TEXT
        {
            return Err(SealError::TooLong);
        }
        let key = self.sealing(now_unix).ok_or(SealError::NoKey)?;
        let expiry = match token {
            // The PBX tells contacts apart by their text: it may change only when the key does.
            Token::Contact { .. } => AS_LONG_AS_KEY,
            _ => expiry_byte(key, now_unix),
        };

        // Raw bytes first, their text behind them, then the text moves to the front.
        let start = out.len();
        out.push(key.id);
        out.extend_from_slice(&[0; IV_SIZE]);
        payload::write(token, expiry, out);
        let raw_len = out.len() - start;
        out.resize(start + raw_len + raw_len.div_ceil(3) * 4, 0);
        let written = out.get_mut(start..).and_then(|area| {
            let (raw, text) = area.split_at_mut_checked(raw_len)?;
            let (head, body) = raw.split_at_mut_checked(1 + IV_SIZE)?;
            let tag = Aes128Siv::new(&key.secret.into()).encrypt_inout_detached(NO_HEADERS, body.into()).ok()?;
            head.get_mut(1..)?.copy_from_slice(&tag);
            URL_SAFE_NO_PAD.encode_slice(&*raw, text).ok()
        });
        let Some(written) = written else {
            out.truncate(start);
            return Err(SealError::TooLong);
        };
        out.copy_within(start + raw_len..start + raw_len + written, start);
        out.truncate(start + written);
        Ok((expiry, end(key, expiry)))
    }

    /// Opens a token's text. Its hidden texts are left in `scratch`, which is overwritten.
    pub fn open<'s>(&self, text: &[u8], now_unix: u64, scratch: &'s mut Vec<u8>) -> Result<Token<'s>, OpenError> {
        let (start, _) = self.open_raw(text, now_unix, scratch)?;
        payload::read(scratch.get(start..).unwrap_or_default()).map(|(token, _)| token).ok_or(OpenError::Forged)
    }

    /// As [`Self::open`]: where the payload is in `scratch`, and the Unix second from which it opens no more.
    pub(super) fn open_raw(
        &self,
        text: &[u8],
        now_unix: u64,
        scratch: &mut Vec<u8>,
    ) -> Result<(usize, u64), OpenError> {
        if text.len() < MIN_LEN {
            return Err(OpenError::Malformed);
        }
        scratch.clear();
        scratch.resize(text.len().div_ceil(4) * 3, 0);
        let len = URL_SAFE_NO_PAD.decode_slice(text, scratch).map_err(|_| OpenError::Malformed)?;
        scratch.truncate(len);

        let (head, body) = scratch.split_at_mut_checked(1 + IV_SIZE).ok_or(OpenError::Malformed)?;
        let (id, tag) = head.split_first().ok_or(OpenError::Malformed)?;
        let tag = Tag::try_from(tag as &[u8]).map_err(|_| OpenError::Malformed)?;
        let key = self.keys.iter().find(|k| k.id == *id).ok_or(OpenError::UnknownKey)?;
        Aes128Siv::new(&key.secret.into())
            .decrypt_inout_detached(NO_HEADERS, (&mut *body).into(), &tag)
            .map_err(|_| OpenError::Forged)?;

        let (_, expiry) = payload::read(body).ok_or(OpenError::Forged)?;
        let until = end(key, expiry);
        if now_unix >= until {
            return Err(OpenError::Expired);
        }
        Ok((1 + IV_SIZE, until))
    }

    /// The newest key whose time has begun and not ended; failing that (a clock set back), the newest
    /// that has not ended.
    fn sealing(&self, now_unix: u64) -> Option<&Key> {
        let alive = || self.keys.iter().filter(|k| k.not_after > now_unix);
        alive().find(|k| k.not_before <= now_unix).or_else(|| alive().next())
    }
}

const NO_HEADERS: [&[u8]; 0] = [];

/// A whole number of days, so that a refresh within a day writes the same text again.
fn expiry_byte(key: &Key, now_unix: u64) -> u8 {
    let days = now_unix.saturating_sub(key.not_before) / DAY + 1 + LIFE_DAYS;
    u8::try_from(days).unwrap_or(AS_LONG_AS_KEY)
}

/// The Unix second from which a token opens no more.
fn end(key: &Key, expiry: u8) -> u64 {
    let ends = if expiry == AS_LONG_AS_KEY { u64::MAX } else { key.not_before + u64::from(expiry) * DAY };
    ends.min(key.not_after)
}

/// A secret as base64 text in the key file.
mod secret_text {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(secret: &[u8; 32], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(secret))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; 32], D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(d)?;
        let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| D::Error::custom("secret is not base64"))?;
        bytes.try_into().map_err(|_| D::Error::custom("secret is not 32 bytes"))
    }
}
