//! Tokens that were sealed or opened of late: the messages of a dialog carry the same ones again and again.
//!
//! What is found here was sealed or opened before by the keys of today and has not expired since; nothing else is believed. A
//! few places, found by a part of the text; a token that loses its place is only opened again. A shard's own.

use super::keyring::Keyring;
use super::{MIN_LEN, OpenError, SealError, Token, is_plausible, payload};
use subtle::ConstantTimeEq as _;

const PLACES: usize = 512;
/// Longer ones are not kept: those of flows and backends are shorter.
const TEXT: usize = 80;
const BODY: usize = 48;

/// Tokens of late, and the room to open others in.
#[derive(Default, Debug)]
pub struct Recent {
    /// Of which keys.
    ring: u64,
    places: Vec<Place>,
    raw: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    text: [u8; TEXT],
    text_len: u8,
    body: [u8; BODY],
    body_len: u8,
    /// Unix second from which it opens no more.
    until: u64,
}

impl Place {
    const EMPTY: Self = Self { text: [0; TEXT], text_len: 0, body: [0; BODY], body_len: 0, until: 0 };

    fn of(text: &[u8], body: &[u8], until: u64) -> Option<Self> {
        let mut place = Self { until, text_len: text.len() as u8, body_len: body.len() as u8, ..Self::EMPTY };
        place.text.get_mut(..text.len())?.copy_from_slice(text);
        place.body.get_mut(..body.len())?.copy_from_slice(body);
        Some(place)
    }

    fn text(&self) -> &[u8] {
        self.text.get(..usize::from(self.text_len)).unwrap_or_default()
    }

    fn body(&self) -> &[u8] {
        self.body.get(..usize::from(self.body_len)).unwrap_or_default()
    }
}

impl Recent {
    /// As [`Keyring::open`]; `None` for what does not look like a token. The hidden text stays until the next one is
    /// opened.
    pub fn open(&mut self, keys: &Keyring, text: &[u8], now_unix: u64) -> Option<Result<Token<'_>, OpenError>> {
        if text.len() < MIN_LEN {
            return None;
        }
        self.follow(keys);
        let slot = slot(text);
        let known =
            self.places.get(slot).filter(|place| place.text_len as usize == text.len() && is_same(place.text(), text));
        if known.is_none() {
            return is_plausible(text).then(|| self.open_anew(keys, text, now_unix));
        }
        let place = self.places.get(slot).filter(|place| now_unix < place.until);
        let token = place.map(|place| payload::read(place.body()).ok_or(OpenError::Forged));
        Some(token.unwrap_or(Err(OpenError::Expired)).map(|(token, _)| token))
    }

    /// As [`Keyring::seal`], of a token that is likely to come back soon.
    pub fn seal(
        &mut self,
        keys: &Keyring,
        token: &Token<'_>,
        now_unix: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        let start = out.len();
        let (expiry, until) = keys.seal_raw(token, now_unix, out)?;
        self.follow(keys);
        self.raw.clear();
        payload::write(token, expiry, &mut self.raw);
        self.keep(out.get(start..).unwrap_or_default(), until, 0);
        Ok(())
    }

    /// What the keys of before opened is believed no more.
    fn follow(&mut self, keys: &Keyring) {
        if self.ring != keys.sum() {
            self.places.fill(Place::EMPTY);
            self.ring = keys.sum();
        }
    }

    /// Keeps a text and what it says, which begins at `body` of what was opened or sealed last.
    fn keep(&mut self, text: &[u8], until: u64, body: usize) {
        let Some(place) = Place::of(text, self.raw.get(body..).unwrap_or_default(), until) else { return };
        if self.places.is_empty() {
            self.places.resize(PLACES, Place::EMPTY);
        }
        if let Some(slot) = self.places.get_mut(slot(text)) {
            *slot = place;
        }
    }

    fn open_anew(&mut self, keys: &Keyring, text: &[u8], now_unix: u64) -> Result<Token<'_>, OpenError> {
        let (start, until) = keys.open_raw(text, now_unix, &mut self.raw)?;
        self.keep(text, until, start);
        payload::read(self.raw.get(start..).unwrap_or_default()).map(|(token, _)| token).ok_or(OpenError::Forged)
    }
}

/// Whether two texts of one length are the same. In constant time: a guess must not be told how much of it is right.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let ((words, rest), (others, last)) = (one.as_chunks(), other.as_chunks());
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let differing = words.iter().zip(others).fold(0, |all, (one, other)| all | (word(one) ^ word(other)));
    let differing = rest.iter().zip(last).fold(differing, |all, (one, other)| all | u64::from(one ^ other));
    differing.ct_eq(&0).into()
}

/// The text begins with the key's id and the SIV, which is as good as random.
fn slot(text: &[u8]) -> usize {
    let word = text.get(4..12).and_then(|part| part.first_chunk()).map_or(0, |part| u64::from_le_bytes(*part));
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % PLACES
}
