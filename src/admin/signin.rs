//! Counts failed sign-ins per source, so that a stranger who tries tokens is told to stop and
//! cannot fill the log.
//!
//! A good token is never refused here: its 256 bits cannot be guessed, and an operator who shares
//! an address with a misbehaving script must not be locked out.

use crate::clock::Tick;
use crate::route::snapshot::Map;
use crate::stats::ApiStats;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Failures that one source may have in a [`WINDOW_MS`].
pub const FAILURES: u32 = 10;
/// How long failures are remembered, in milliseconds from the first.
pub const WINDOW_MS: u64 = 60_000;
/// Sources remembered at once.
pub const SOURCES: usize = 1024;

/// The sources that failed lately.
#[derive(Default)]
pub struct SignIns {
    sources: Mutex<Map<IpAddr, Source>>,
    stats: Arc<ApiStats>,
}

#[derive(Clone, Copy)]
struct Source {
    since: Tick,
    failures: u32,
}

impl SignIns {
    /// None yet.
    pub fn new(stats: Arc<ApiStats>) -> Self {
        Self { sources: Mutex::default(), stats }
    }

    /// Notes a failure. `Err` names the seconds after which the source may try again.
    pub fn fail(&self, source: IpAddr, now: Tick) -> Result<(), u64> {
        self.stats.sign_ins_failed.inc();
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let key = group(source);
        if sources.len() >= SOURCES && !sources.contains_key(&key) {
            self.make_room(&mut sources, now);
        }
        let known = match sources.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Source { since: now, failures: 0 }),
        };
        if now.since(known.since) >= WINDOW_MS {
            *known = Source { since: now, failures: 0 };
        }
        known.failures = known.failures.saturating_add(1);
        if known.failures <= FAILURES {
            return Ok(());
        }
        self.stats.sign_ins_limited.inc();
        Err((WINDOW_MS - now.since(known.since)).div_ceil(1000))
    }

    fn make_room(&self, sources: &mut Map<IpAddr, Source>, now: Tick) {
        sources.retain(|_, source| now.since(source.since) < WINDOW_MS);
        if sources.len() < SOURCES {
            return;
        }
        let oldest = sources.iter().min_by_key(|(_, source)| source.since).map(|(key, _)| *key);
        if let Some(key) = oldest {
            sources.remove(&key);
            self.stats.sources_evicted.inc();
        }
    }
}

/// A subscriber has a whole /64 of IPv6, so it counts as one.
fn group(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn the_last_allowed_failure_passes_and_the_next_is_limited() {
        let signins = SignIns::new(Arc::default());
        for _ in 0..FAILURES {
            assert_eq!(signins.fail(SOURCE, Tick(5)), Ok(()));
        }
        assert_eq!(signins.fail(SOURCE, Tick(5)), Err(60));
        assert_eq!(signins.fail(SOURCE, Tick(5 + WINDOW_MS - 1)), Err(1));
        assert_eq!(signins.fail(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), Tick(5)), Ok(()));
        assert_eq!(signins.fail(SOURCE, Tick(5 + WINDOW_MS)), Ok(()));
        assert_eq!(
            (signins.stats.sign_ins_failed.read(), signins.stats.sign_ins_limited.read()),
            (u64::from(FAILURES) + 4, 2)
        );
    }

    #[test]
    fn one_ipv6_subscriber_is_one_source() {
        let signins = SignIns::new(Arc::default());
        for host in 0..u128::from(FAILURES) {
            assert_eq!(signins.fail(IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) | host)), Tick(0)), Ok(()));
        }
        assert!(signins.fail("2001:db8::ffff".parse().unwrap(), Tick(0)).is_err());
        assert!(signins.fail("2001:db8:0:1::".parse().unwrap(), Tick(0)).is_ok());
        for _ in 0..FAILURES {
            assert!(signins.fail(SOURCE, Tick(0)).is_ok());
        }
        assert!(signins.fail("::ffff:192.0.2.1".parse().unwrap(), Tick(0)).is_err());
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let signins = SignIns::new(Arc::default());
        let source = |n: usize| IpAddr::V4(Ipv4Addr::from_bits(n as u32));
        for n in 0..SOURCES {
            signins.fail(source(n), Tick(n as u64)).unwrap();
        }
        assert_eq!(signins.stats.sources_evicted.read(), 0);
        signins.fail(source(SOURCES), Tick(SOURCES as u64)).unwrap();
        assert_eq!(signins.stats.sources_evicted.read(), 1);
        let known = signins.sources.lock().unwrap();
        assert_eq!(known.len(), SOURCES);
        assert!(!known.contains_key(&source(0)) && known.contains_key(&source(1)));
    }

    #[test]
    fn what_has_run_out_makes_room_first() {
        let signins = SignIns::new(Arc::default());
        for n in 0..SOURCES {
            signins.fail(IpAddr::V4(Ipv4Addr::from_bits(n as u32)), Tick(0)).unwrap();
        }
        signins.fail(IpAddr::V4(Ipv4Addr::BROADCAST), Tick(WINDOW_MS)).unwrap();
        assert_eq!(signins.stats.sources_evicted.read(), 0);
        assert_eq!(signins.sources.lock().unwrap().len(), 1);
    }
}
