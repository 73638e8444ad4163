//! Which server transaction a request belongs to (RFC 3261 §17.2.3), and hashes of dialogs and accounts.
//!
//! The parts are hashed with seeds of the process: 128 bits, so that no stranger can make two requests meet.
//! A branch without the cookie is matched as RFC 2543 did (T16).

use crate::engine::registry::DialogKey;
use crate::sip::method::Method;
use crate::sip::via::Via;
use crate::sip::view::View;
use foldhash::quality::{FixedState, RandomState};
use std::hash::{BuildHasher, Hasher};

/// Most bytes of the parts of a key that are hashed in one piece.
const PARTS: usize = 256;

/// Identifies a server transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key(pub u128);

impl Key {
    /// The To-tag of our own answers in this transaction: the same each time it is asked (RFC 3261 §8.2.7).
    pub const fn tag(self) -> u64 {
        (self.0 >> 64) as u64 ^ self.0 as u64
    }
}

/// Hashes with this process's seeds.
pub struct Keyer {
    high: FixedState,
    low: FixedState,
    dialogs: RandomState,
}

impl Keyer {
    /// A keyer with seeds drawn from `rng`. Transactions are a shard's own; the two ends of a dialog may
    /// meet different shards, so `dialogs` is the same for all of them.
    pub fn new(rng: &mut fastrand::Rng, dialogs: RandomState) -> Self {
        Self { high: FixedState::with_seed(rng.u64(..)), low: FixedState::with_seed(rng.u64(..)), dialogs }
    }

    /// The transaction of a request. An ACK has the key of its INVITE; a CANCEL has one of its own. `None`
    /// where the top Via cannot be read.
    pub fn of(&self, request: &View<'_>) -> Option<Key> {
        let class = match request.method() {
            Method::Ack => Method::Invite.text(),
            other => other.text(),
        };
        self.with_class(request, class)
    }

    /// The transaction that a CANCEL wants to end.
    pub fn cancelled_by(&self, cancel: &View<'_>) -> Option<Key> {
        self.with_class(cancel, Method::Invite.text())
    }

    fn with_class(&self, request: &View<'_>, class: &[u8]) -> Option<Key> {
        let via = request.top_via().ok()?;
        if let Some(branch) = via.unique_branch()
            && let Some(halves) = self.halves(class, &via, branch)
        {
            return Some(halves);
        }
        let half = |state: &FixedState| {
            let mut hash = state.build_hasher();
            part(&mut hash, class);
            lower(&mut hash, via.host);
            hash.write_u16(via.port.unwrap_or(0));
            if let Some(branch) = via.unique_branch() {
                hash.write_u8(1);
                part(&mut hash, branch);
                return hash.finish();
            }
            hash.write_u8(2);
            part(&mut hash, request.uri());
            part(&mut hash, request.from().ok().and_then(|from| from.tag()).unwrap_or_default());
            part(&mut hash, request.call_id());
            hash.write_u32(request.cseq().map_or(0, |(number, _)| number));
            part(&mut hash, via.text());
            hash.finish()
        };
        Some(Key(u128::from(half(&self.high)) << 64 | u128::from(half(&self.low))))
    }

    /// The key of a branch that identifies its transaction; `None` if it is too long. The parts are brought together
    /// once and hashed in one piece: each write has its price.
    fn halves(&self, class: &[u8], via: &Via<'_>, branch: &[u8]) -> Option<Key> {
        let mut room = [0; PARTS];
        let (head, mut rest) = room.split_first_chunk_mut::<8>()?;
        let [class_length, host_length, branch_length] = [class, via.host, branch].map(|part| part.len() as u16);
        let numbers = [class_length, host_length, branch_length, via.port.unwrap_or(0)];
        for (place, number) in head.as_chunks_mut().0.iter_mut().zip(numbers) {
            *place = number.to_le_bytes();
        }
        for (part, is_host) in [(class, false), (via.host, true), (branch, false)] {
            let (place, behind) = std::mem::take(&mut rest).split_at_mut_checked(part.len())?;
            place.copy_from_slice(part);
            if is_host {
                place.make_ascii_lowercase();
            }
            rest = behind;
        }
        let used = PARTS - rest.len();
        let parts = room.get(..used)?;
        let half = |state: &FixedState| {
            let mut hash = state.build_hasher();
            hash.write(parts);
            hash.finish()
        };
        Some(Key(u128::from(half(&self.high)) << 64 | u128::from(half(&self.low))))
    }

    /// The dialog of a message with both tags, the same in both directions.
    pub fn dialog(&self, message: &View<'_>) -> Option<DialogKey> {
        let (from, to) = (message.from().ok()?, message.to().ok()?);
        let tag = |tag: &[u8]| {
            let mut hash = self.dialogs.build_hasher();
            hash.write(tag);
            hash.finish()
        };
        let (one, other) = (tag(from.tag()?), tag(to.tag()?));
        let mut hash = self.dialogs.build_hasher();
        part(&mut hash, message.call_id());
        hash.write_u64(one.min(other));
        hash.write_u64(one.max(other));
        Some(DialogKey(hash.finish()))
    }

    /// A hash of a sent-by: host in any case, and port.
    pub fn sent_by(&self, host: &[u8], port: Option<u16>) -> u64 {
        let mut hash = self.high.build_hasher();
        lower(&mut hash, host);
        hash.write_u16(port.unwrap_or(5060));
        hash.finish()
    }
}

/// A part and its length, so that no two lists of parts are the same bytes.
fn part(hash: &mut impl Hasher, bytes: &[u8]) {
    hash.write_usize(bytes.len());
    hash.write(bytes);
}

fn lower(hash: &mut impl Hasher, bytes: &[u8]) {
    hash.write_usize(bytes.len());
    // Not byte by byte: each write has its price.
    let mut room = [0; 64];
    for chunk in bytes.chunks(room.len()) {
        let Some(small) = room.get_mut(..chunk.len()) else { continue };
        small.copy_from_slice(chunk);
        small.make_ascii_lowercase();
        hash.write(small);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::limits::Limits;
    use crate::sip::view::Index;

    fn key(keyer: &Keyer, method: &str, via: &str, rest: &str) -> Key {
        with(&message(method, via, rest), |view| keyer.of(view).unwrap())
    }

    fn message(method: &str, via: &str, rest: &str) -> String {
        format!(
            "{method} sip:b@c SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@c>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: x\r\n\
             CSeq: 1 {method}\r\n{rest}\r\n"
        )
    }

    fn with<T>(text: &str, look: impl FnOnce(&View<'_>) -> T) -> T {
        let mut index = Index::new();
        look(&View::read(text.as_bytes(), &mut index, &Limits::DEFAULT).unwrap())
    }

    fn keyer() -> Keyer {
        Keyer::new(&mut fastrand::Rng::with_seed(1), RandomState::default())
    }

    #[test]
    fn branch_sent_by_and_method_make_the_transaction() {
        // T16
        let k = keyer();
        let via = "SIP/2.0/UDP h.example:5070;branch=z9hG4bKabc";
        let invite = key(&k, "INVITE", via, "");
        assert_eq!(key(&k, "INVITE", "SIP/2.0/UDP H.Example:5070;rport;branch=z9hG4bKabc", "X: y\r\n"), invite);
        assert_eq!(key(&k, "ACK", via, ""), invite, "an ACK has its INVITE's key");
        assert_ne!(key(&k, "CANCEL", via, ""), invite);
        let cancelled = with(&message("CANCEL", via, ""), |view| k.cancelled_by(view).unwrap());
        assert_eq!(cancelled, invite);
        for other in [
            "SIP/2.0/UDP h.example:5071;branch=z9hG4bKabc",
            "SIP/2.0/UDP h.example;branch=z9hG4bKabc",
            "SIP/2.0/UDP i.example:5070;branch=z9hG4bKabc",
            "SIP/2.0/UDP h.example:5070;branch=z9hG4bKabd",
        ] {
            assert_ne!(key(&k, "INVITE", other, ""), invite, "{other}");
        }
        assert_ne!(key(&k, "OPTIONS", via, ""), invite);
    }

    #[test]
    fn long_branches_make_transactions_too() {
        let k = keyer();
        let via = |length: usize| format!("SIP/2.0/UDP H.example;branch=z9hG4bK{}", "x".repeat(length));
        let keys = [200, 220, 240, 260, 400].map(|length| key(&k, "INVITE", &via(length), ""));
        for (place, one) in keys.iter().enumerate() {
            assert!(keys.iter().skip(place + 1).all(|other| one != other), "{place}");
        }
        assert_eq!(key(&k, "INVITE", &via(400).to_lowercase().replace("z9hg4bk", "z9hG4bK"), "X: y\r\n"), keys[4]);
    }

    #[test]
    fn without_the_cookie_the_whole_request_counts() {
        // T16, badbranch
        let k = keyer();
        for via in ["SIP/2.0/UDP h", "SIP/2.0/UDP h;branch=z9hG4bK", "SIP/2.0/UDP h;branch=7"] {
            let one = key(&k, "INVITE", via, "");
            assert_eq!(key(&k, "INVITE", via, ""), one);
            assert_eq!(key(&k, "ACK", via, ""), one);
            let other = message("INVITE", via, "").replace("Call-ID: x", "Call-ID: y");
            assert_ne!(with(&other, |view| k.of(view).unwrap()), one, "{via}");
            let other = message("INVITE", via, "").replace("CSeq: 1", "CSeq: 2");
            assert_ne!(with(&other, |view| k.of(view).unwrap()), one, "{via}");
        }
    }

    #[test]
    fn a_dialog_is_the_same_from_both_ends() {
        let k = keyer();
        let dialog = |from: &str, to: &str| {
            let text = message("BYE", "SIP/2.0/UDP h;branch=z9hG4bK1", "")
                .replace("tag=1", from)
                .replace("To: <sip:b@c>", &format!("To: <sip:b@c>{to}"));
            with(&text, |view| k.dialog(view))
        };
        assert_eq!(dialog("tag=1", ";tag=2"), dialog("tag=2", ";tag=1"));
        assert_ne!(dialog("tag=1", ";tag=2"), dialog("tag=1", ";tag=3"));
        assert_eq!(dialog("tag=1", ""), None);
    }

    #[test]
    fn a_dialog_is_the_same_at_every_shard() {
        let dialogs = RandomState::default();
        let text = message("BYE", "SIP/2.0/UDP h;branch=z9hG4bK1", "").replace("To: <sip:b@c>", "To: <sip:b@c>;tag=2");
        let [one, other] = [1, 2].map(|seed| {
            let keyer = Keyer::new(&mut fastrand::Rng::with_seed(seed), dialogs.clone());
            with(&text, |view| (keyer.of(view), keyer.dialog(view)))
        });
        assert_ne!(one.0, other.0, "the seeds differ");
        assert!(one.1.is_some() && one.1 == other.1);
    }
}
