//! Calls of one instance: dialogs that an INVITE made and no BYE has ended, as far as they passed this node.
//! Not a dialog layer: requests inside a dialog follow their token and need none of this.

use super::Overflow;
use crate::ids::BackendId;
use crate::route::snapshot::Map;
use std::net::SocketAddr;

/// A call without a sign of life for this long is taken for dead, in seconds.
pub const SILENCE: u64 = 12 * 3_600;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Call-ID.
    pub call_id: String,
    /// User part of From of the INVITE.
    pub from: String,
    /// User part of To of the INVITE.
    pub to: String,
    /// Whether the instance placed it (a phone is called).
    pub from_instance: bool,
    /// The backend it was set up with.
    pub backend: BackendId,
    /// Its address.
    pub address: SocketAddr,
    /// Unix seconds of the first 2xx.
    pub since: u64,
    /// Unix seconds of the last message that was seen.
    pub seen: u64,
}

/// Identifies a dialog: a hash of Call-ID and both tags, whoever is the caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DialogKey(pub u64);

/// The calls of one instance.
#[derive(Default, Debug)]
pub struct Calls {
    live: Map<DialogKey, Call>,
    soonest: u64,
}

impl Calls {
    /// Notes a dialog that an INVITE's 2xx made; one that is known is only refreshed.
    pub fn begin(&mut self, key: DialogKey, now: u64, cap: usize, call: impl FnOnce() -> Call) -> Result<(), Overflow> {
        if let Some(known) = self.live.get_mut(&key) {
            known.seen = now;
            return Ok(());
        }
        if self.live.len() >= cap {
            return Err(Overflow);
        }
        if self.live.is_empty() {
            self.soonest = now;
        }
        self.live.insert(key, call());
        Ok(())
    }

    /// Ends a dialog.
    pub fn end(&mut self, key: DialogKey) {
        self.live.remove(&key);
    }

    /// Whether [`Self::expire`] may have something to do.
    pub fn is_due(&self, now: u64) -> bool {
        !self.live.is_empty() && now >= self.soonest.saturating_add(SILENCE)
    }

    /// Ends those that have been silent for [`SILENCE`].
    pub fn expire(&mut self, now: u64) {
        if !self.is_due(now) {
            return;
        }
        self.live.retain(|_, call| call.seen.saturating_add(SILENCE) > now);
        self.soonest = self.live.values().map(|call| call.seen).min().unwrap_or(now);
    }

    /// Ends all.
    pub fn clear(&mut self) {
        self.live.clear();
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Call> {
        self.live.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(now: u64) -> Call {
        Call {
            call_id: "c".into(),
            from: "a".into(),
            to: "b".into(),
            from_instance: false,
            backend: BackendId(1),
            address: "192.0.2.9:5060".parse().unwrap(),
            since: now,
            seen: now,
        }
    }

    #[test]
    fn begins_once_and_ends() {
        let mut calls = Calls::default();
        calls.begin(DialogKey(1), 10, 8, || call(10)).unwrap();
        calls.begin(DialogKey(1), 20, 8, || call(20)).unwrap();
        let only = calls.iter().next().unwrap();
        assert_eq!((calls.len(), only.since, only.seen), (1, 10, 20));
        calls.end(DialogKey(2));
        assert_eq!(calls.len(), 1);
        calls.end(DialogKey(1));
        assert!(calls.is_empty());
    }

    #[test]
    fn the_bound_holds_and_the_known_stay() {
        // T19
        let mut calls = Calls::default();
        calls.begin(DialogKey(1), 0, 1, || call(0)).unwrap();
        assert_eq!(calls.begin(DialogKey(2), 0, 1, || call(0)), Err(Overflow));
        calls.begin(DialogKey(1), 5, 1, || call(0)).unwrap();
        assert_eq!(calls.len(), 1);
    }

    #[test]
    fn silence_ends_a_call_whose_bye_was_never_seen() {
        let mut calls = Calls::default();
        calls.begin(DialogKey(1), 100, 8, || call(100)).unwrap();
        calls.begin(DialogKey(2), 100, 8, || call(100)).unwrap();
        calls.begin(DialogKey(2), 200, 8, || call(200)).unwrap();
        calls.expire(100 + SILENCE - 1);
        assert_eq!(calls.len(), 2);
        calls.expire(100 + SILENCE);
        assert_eq!(calls.len(), 1);
        calls.expire(200 + SILENCE);
        assert!(calls.is_empty());
    }
}
