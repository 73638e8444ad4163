//! Who may open new flows, and how fast: tables of fixed size, so that no flood of sources makes
//! them grow (DESIGN 10).
//!
//! [`Sources`] is shared by all workers and has no lock: each source has a bucket that refills at
//! a steady rate (GCRA, one number a source). [`Recent`] is a worker's own memory of the datagram flows
//! it has seen lately, so that only a new one is charged.

use crate::clock::Tick;
pub use crate::ids::source_key;
use foldhash::fast::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Slots that one key may be in.
const WAYS: usize = 4;
/// Bits of a slot that hold time in milliseconds: 34 years.
const TIME_BITS: u32 = 40;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// How many new flows one source may open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Steady new flows a second; 0 switches the limit off.
    pub per_second: u32,
    /// At once, after a pause.
    pub burst: u32,
}

/// A bucket a source, in a table that never grows. A source is an IPv4 address or an IPv6 /64.
pub struct Sources {
    /// Upper bits: part of the source's hash. Lower 40 bits: the moment its bucket is full again.
    /// A slot whose moment has passed holds nothing worth keeping.
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
    rate: AtomicU64,
}

impl Sources {
    /// A table for about `capacity` sources that are in debt at one time.
    pub fn new(capacity: usize, rate: Rate) -> Self {
        let slots = (0..capacity.next_power_of_two().max(WAYS)).map(|_| AtomicU64::new(0)).collect();
        Self { slots, hasher: RandomState::default(), rate: AtomicU64::new(pack(rate)) }
    }

    /// Changes the rate of everybody.
    pub fn set_rate(&self, rate: Rate) {
        self.rate.store(pack(rate), Relaxed);
    }

    /// Charges `source` for one new flow; false if it has used up its share.
    pub fn admit(&self, source: IpAddr, now: Tick) -> bool {
        let rate = unpack(self.rate.load(Relaxed));
        if rate.per_second == 0 {
            return true;
        }
        let hash = self.hasher.hash_one(source_key(source));
        let tag = hash & !TIME_MASK;
        let now = now.0 & TIME_MASK;
        // In milliseconds; sub-millisecond intervals round up, which makes the limit 1,000 a second.
        let interval = 1000u64.div_ceil(u64::from(rate.per_second));
        let tolerance = interval * u64::from(rate.burst.max(1));
        let Some(slot) = self.slot(hash, tag, now) else { return true };
        let before = slot.load(Relaxed);
        let due = if before & !TIME_MASK == tag { (before & TIME_MASK).max(now) } else { now };
        let next = due + interval;
        if next > now + tolerance {
            return false;
        }
        // A lost race forgives one flow; that is cheaper than a loop.
        let _ = slot.compare_exchange(before, tag | (next & TIME_MASK), Relaxed, Relaxed);
        true
    }

    /// The slot of a source: its own, else one that holds nothing, else the one nearest to it.
    fn slot(&self, hash: u64, tag: u64, now: u64) -> Option<&AtomicU64> {
        let set = self.set(hash)?;
        if let Some(own) = set.iter().find(|slot| {
            let value = slot.load(Relaxed);
            value & !TIME_MASK == tag && value & TIME_MASK > now
        }) {
            return Some(own);
        }
        set.iter().min_by_key(|slot| slot.load(Relaxed) & TIME_MASK)
    }

    fn set(&self, hash: u64) -> Option<&[AtomicU64]> {
        set(&self.slots, hash)
    }
}

/// The datagram flows a worker has seen lately.
pub struct Recent {
    slots: Box<[u64]>,
    hasher: RandomState,
    keep: u64,
}

impl Recent {
    /// Remembers about `capacity` flows for `keep` milliseconds after their last datagram.
    pub fn new(capacity: usize, keep: u64) -> Self {
        let slots = vec![0; capacity.next_power_of_two().max(WAYS)].into_boxed_slice();
        Self { slots, hasher: RandomState::default(), keep }
    }

    /// Whether the flow was seen lately; notes that it is alive if so.
    pub fn knows(&mut self, peer: SocketAddr, port: u16, now: Tick) -> bool {
        let keep = self.keep;
        let (tag, set) = self.entry(peer, port);
        let now = now.0 & TIME_MASK;
        let Some(slot) = set.iter_mut().find(|slot| **slot & !TIME_MASK == tag && **slot & TIME_MASK != 0) else {
            return false;
        };
        if now.saturating_sub(*slot & TIME_MASK) > keep {
            return false;
        }
        *slot = tag | now.max(1);
        true
    }

    /// Remembers a flow, in the place of the one silent for longest if need be.
    pub fn note(&mut self, peer: SocketAddr, port: u16, now: Tick) {
        let (tag, set) = self.entry(peer, port);
        if let Some(slot) = set.iter_mut().min_by_key(|slot| **slot & TIME_MASK) {
            *slot = tag | (now.0 & TIME_MASK).max(1);
        }
    }

    fn entry(&mut self, peer: SocketAddr, port: u16) -> (u64, &mut [u64]) {
        let hash = self.hasher.hash_one((peer, port));
        let sets = self.slots.len() / WAYS;
        let at = usize::try_from(hash & TIME_MASK).unwrap_or(0) % sets.max(1) * WAYS;
        (hash & !TIME_MASK, self.slots.get_mut(at..at + WAYS).unwrap_or_default())
    }
}

fn set(slots: &[AtomicU64], hash: u64) -> Option<&[AtomicU64]> {
    let sets = slots.len() / WAYS;
    let at = usize::try_from(hash & TIME_MASK).unwrap_or(0) % sets.max(1) * WAYS;
    slots.get(at..at + WAYS)
}

const fn pack(rate: Rate) -> u64 {
    ((rate.per_second as u64) << 32) | rate.burst as u64
}

const fn unpack(packed: u64) -> Rate {
    Rate { per_second: (packed >> 32) as u32, burst: packed as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 5 };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let sources = Sources::new(1024, RATE);
        let admitted = (0..20).filter(|_| sources.admit(ip("192.0.2.1"), Tick(1000))).count();
        assert_eq!(admitted, 5);
        let later = (0..20).filter(|_| sources.admit(ip("192.0.2.1"), Tick(1200))).count();
        assert_eq!(later, 2);
        let rested = (0..20).filter(|_| sources.admit(ip("192.0.2.1"), Tick(60_000))).count();
        assert_eq!(rested, 5);
    }

    #[test]
    fn one_source_does_not_spend_the_share_of_another() {
        let sources = Sources::new(1024, RATE);
        while sources.admit(ip("192.0.2.1"), Tick(1)) {}
        assert!(sources.admit(ip("192.0.2.2"), Tick(1)));
        while sources.admit(ip("2001:db8:0:1::5"), Tick(1)) {}
        assert!(!sources.admit(ip("2001:db8:0:1::6"), Tick(1)), "one /64 is one source");
        assert!(sources.admit(ip("2001:db8:0:2::5"), Tick(1)));
        assert!(!sources.admit(ip("::ffff:192.0.2.1"), Tick(1)), "an IPv4 address is one source in either spelling");
    }

    #[test]
    fn no_number_of_sources_makes_the_table_grow_or_refuse_strangers() {
        let sources = Sources::new(64, RATE);
        let slots = sources.slots.len();
        for n in 0..100_000u32 {
            assert!(sources.admit(std::net::Ipv4Addr::from(n).into(), Tick(1)));
        }
        assert_eq!(sources.slots.len(), slots);
    }

    #[test]
    fn rate_zero_is_no_limit_and_a_change_holds_at_once() {
        let sources = Sources::new(64, Rate { per_second: 0, burst: 0 });
        assert!((0..1000).all(|_| sources.admit(ip("192.0.2.1"), Tick(1))));
        sources.set_rate(Rate { per_second: 1, burst: 1 });
        assert!(sources.admit(ip("192.0.2.1"), Tick(1)));
        assert!(!sources.admit(ip("192.0.2.1"), Tick(1)));
    }

    #[test]
    fn a_flow_is_known_while_it_speaks() {
        let mut recent = Recent::new(1024, 1000);
        let peer = "192.0.2.1:5060".parse().unwrap();
        assert!(!recent.knows(peer, 5060, Tick(0)));
        recent.note(peer, 5060, Tick(0));
        assert!(recent.knows(peer, 5060, Tick(1000)));
        assert!(!recent.knows(peer, 5061, Tick(1000)), "another port of ours is another flow");
        assert!(recent.knows(peer, 5060, Tick(2000)));
        assert!(!recent.knows(peer, 5060, Tick(3001)));
    }
}
