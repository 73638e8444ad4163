//! Tokens that were opened of late: the messages of a dialog carry the same ones again and again.
//!
//! What is found here was opened before by the keys of today and has not expired since; nothing else is believed. A
//! few places, found by a part of the text; a token that loses its place is only opened again. A shard's own.

use super::keyring::Keyring;
use super::{MIN_LEN, OpenError, Token, is_plausible, payload};
use subtle::ConstantTimeEq as _;

const PLACES: usize = 128;
/// Longer ones are not kept: those of flows and backends are shorter.
const TEXT: usize = 80;
const BODY: usize = 48;

/// Tokens opened of late, and the room to open others in.
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
        if self.ring != keys.sum() {
            self.places.fill(Place::EMPTY);
            self.ring = keys.sum();
        }
        let slot = slot(text);
        let known = self.places.get(slot).filter(|place| {
            // In constant time: a guess must not be told how much of it is right.
            place.text_len as usize == text.len() && bool::from(place.text().ct_eq(text))
        });
        if known.is_none() {
            return is_plausible(text).then(|| self.open_anew(keys, text, now_unix));
        }
        let place = self.places.get(slot).filter(|place| now_unix < place.until);
        let token = place.map(|place| payload::read(place.body()).ok_or(OpenError::Forged));
        Some(token.unwrap_or(Err(OpenError::Expired)).map(|(token, _)| token))
    }

    fn open_anew(&mut self, keys: &Keyring, text: &[u8], now_unix: u64) -> Result<Token<'_>, OpenError> {
        let (start, until) = keys.open_raw(text, now_unix, &mut self.raw)?;
        let body = self.raw.get(start..).unwrap_or_default();
        if let Some(place) = Place::of(text, body, until) {
            if self.places.is_empty() {
                self.places.resize(PLACES, Place::EMPTY);
            }
            if let Some(slot) = self.places.get_mut(slot(text)) {
                *slot = place;
            }
        }
        payload::read(body).map(|(token, _)| token).ok_or(OpenError::Forged)
    }
}

/// The text begins with the key's id and the SIV, which is as good as random.
fn slot(text: &[u8]) -> usize {
    let word = text.get(4..12).and_then(|part| part.first_chunk()).map_or(0, |part| u64::from_le_bytes(*part));
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % PLACES
}
