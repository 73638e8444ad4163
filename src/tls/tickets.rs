//! Session tickets (RFC 5077, RFC 8446 §4.6.1) that any node of a store takes back, also after a restart.
//!
//! The keys come from the store (`control::tickets`), so all nodes of it have the same; `app` hands over those that
//! are valid now. A ticket is sealed for one proxy and for what it demanded of devices then: a session never moves to
//! another proxy, nor past a certificate that has come to be required meanwhile.

use super::resumption;
use aes_siv::KeyInit as _;
use aes_siv::siv::Aes256Siv;
use arc_swap::ArcSwap;
use hmac::{Hmac, Mac};
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};
use sha2::Sha512;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Seconds a ticket is good for.
pub const LIFETIME: u64 = 86_400;
/// Seconds after which new tickets get a new key.
pub const ROTATION: u64 = 86_400;
/// A session is larger with a device's certificates in it, but not larger than this.
const MOST: usize = 16 * 1024;

const ID: usize = 4;
const NONCE: usize = 16;

/// A key that seals tickets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketKey {
    /// Tells keys apart.
    pub id: u32,
    /// What the keys of the proxies are derived from.
    pub secret: [u8; 32],
    /// Unix seconds since which tickets are sealed with it.
    pub since: u64,
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketKey").field("id", &self.id).field("since", &self.since).finish_non_exhaustive()
    }
}

impl TicketKey {
    /// Whether what it sealed may still be good.
    pub const fn is_valid(&self, now_unix: u64) -> bool {
        now_unix < self.since.saturating_add(ROTATION + LIFETIME)
    }

    /// Whether it is time for another one.
    pub const fn is_old(&self, now_unix: u64) -> bool {
        // A clock that was set back must not keep a key for ever.
        now_unix >= self.since.saturating_add(ROTATION) || self.since > now_unix.saturating_add(ROTATION)
    }
}

/// The keys that count now; the first seals.
#[derive(Debug, Default)]
pub(super) struct Ring(ArcSwap<Vec<TicketKey>>);

impl Ring {
    /// Takes other keys, newest first.
    pub(super) fn set(&self, mut keys: Vec<TicketKey>) {
        keys.sort_by_key(|key| std::cmp::Reverse((key.since, key.id)));
        if **self.0.load() != keys {
            self.0.store(Arc::new(keys));
        }
    }
}

/// Seals and opens the tickets of one listener's TLS.
pub(super) struct Ticketer<F> {
    pub(super) ring: Arc<Ring>,
    /// Says what a session must have in common with the one that resumes it.
    pub(super) context: F,
}

impl<F> std::fmt::Debug for Ticketer<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticketer").field("ring", &self.ring).finish_non_exhaustive()
    }
}

impl<F: Fn() -> Vec<u8> + Send + Sync> Ticketer<F> {
    fn cipher(&self, key: &TicketKey) -> Option<Aes256Siv> {
        let mut mac = Hmac::<Sha512>::new_from_slice(&key.secret).ok()?;
        mac.update(b"nantucket tls tickets\0");
        mac.update(&(self.context)());
        let derived = Zeroizing::new(<[u8; 64]>::from(mac.finalize().into_bytes()));
        Aes256Siv::new_from_slice(&derived[..]).ok()
    }
}

impl<F: Fn() -> Vec<u8> + Send + Sync> ProducesTickets for Ticketer<F> {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(LIFETIME).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let ring = self.ring.0.load();
        let key = ring.first()?;
        let mut cipher = self.cipher(key)?;
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).ok()?;
        let id = key.id.to_be_bytes();
        let sealed = cipher.encrypt([&id[..], &nonce], &resumption::note(plain)).ok()?;
        Some([&id[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > MOST {
            return None;
        }
        let (id, rest) = ticket.split_at_checked(ID)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE)?;
        let number = u32::from_be_bytes(id.try_into().ok()?);
        let ring = self.ring.0.load();
        let key = ring.iter().find(|key| key.id == number)?;
        let mut cipher = self.cipher(key)?;
        cipher.decrypt([id, nonce], sealed).ok().and_then(resumption::read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn key(id: u32, since: u64) -> TicketKey {
        TicketKey { id, secret: [u8::try_from(id).unwrap(); 32], since }
    }

    fn ticketer(ring: &Arc<Ring>, context: &'static [u8]) -> Ticketer<impl Fn() -> Vec<u8> + Send + Sync> {
        Ticketer { ring: Arc::clone(ring), context: move || context.to_vec() }
    }

    #[test]
    fn a_ticket_is_taken_back_by_whoever_has_the_key_and_the_context() {
        // S05
        let (here, there) = (Arc::new(Ring::default()), Arc::new(Ring::default()));
        assert_eq!(ticketer(&here, b"a").encrypt(b"session"), None, "no key, no ticket");
        here.set(vec![key(1, NOW)]);
        there.set(vec![key(1, NOW), key(2, NOW + ROTATION)]);
        let ticket = ticketer(&here, b"a").encrypt(b"session").unwrap();
        assert_eq!(ticketer(&there, b"a").decrypt(&ticket).as_deref(), Some(&b"session"[..]), "another node");
        assert_eq!(ticketer(&there, b"b").decrypt(&ticket), None, "another proxy");
        let newer = ticketer(&there, b"a").encrypt(b"session").unwrap();
        assert_eq!(newer[..ID], 2u32.to_be_bytes(), "the newest key seals");
        there.set(vec![key(2, NOW + ROTATION)]);
        assert_eq!(ticketer(&there, b"a").decrypt(&ticket), None, "its key is gone");
    }

    #[test]
    fn a_damaged_ticket_is_none() {
        let ring = Arc::new(Ring::default());
        ring.set(vec![key(1, NOW)]);
        let it = ticketer(&ring, b"a");
        let ticket = it.encrypt(b"session").unwrap();
        for at in 0..ticket.len() {
            let mut damaged = ticket.clone();
            damaged[at] ^= 1;
            assert_eq!(it.decrypt(&damaged), None, "{at}");
            assert_eq!(it.decrypt(&ticket[..at]), None, "{at}");
        }
        assert_eq!(it.decrypt(&vec![0; MOST + 1]), None);
    }

    #[test]
    fn keys_rotate_and_overlap() {
        // S05
        let key = key(1, NOW);
        assert!(!key.is_old(NOW + ROTATION - 1) && key.is_old(NOW + ROTATION));
        assert!(key.is_valid(NOW + ROTATION + LIFETIME - 1) && !key.is_valid(NOW + ROTATION + LIFETIME));
        assert!(key.is_old(NOW - ROTATION - 1), "the clock was set back");
        assert!(!format!("{key:?}").contains("secret"));
    }
}
