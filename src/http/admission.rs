//! How many connections there may be: in all, of one source, and in the middle of a handshake.

use crate::route::snapshot::Map;
use crate::stats::HttpStats;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// The counts. The map holds only sources that have a connection, so it is bounded by their number.
pub(super) struct Admission {
    most: usize,
    per_source: u32,
    handshakes: u32,
    in_handshake: AtomicU32,
    sources: Mutex<Sources>,
    stats: Arc<HttpStats>,
}

#[derive(Default)]
struct Sources {
    connections: usize,
    by_address: Map<IpAddr, u32>,
}

/// The right to one connection, given back on drop.
pub(super) struct Place {
    admission: Arc<Admission>,
    source: IpAddr,
}

/// The right to one handshake, given back on drop.
pub(super) struct Handshake(Arc<Admission>);

impl Admission {
    pub(super) fn new(most: usize, per_source: u32, handshakes: u32, stats: Arc<HttpStats>) -> Arc<Self> {
        let in_handshake = AtomicU32::new(0);
        Arc::new(Self { most, per_source, handshakes, in_handshake, sources: Mutex::default(), stats })
    }

    /// A place for a connection; IPv4 addresses count as such however they are written, IPv6 ones
    /// by their network, which is what one customer has.
    pub(super) fn enter(self: &Arc<Self>, source: IpAddr) -> Option<Place> {
        let source = network(source);
        let mut sources = self.lock();
        if sources.connections >= self.most {
            self.stats.refused_full.inc();
            return None;
        }
        let count = sources.by_address.entry(source).or_default();
        if *count >= self.per_source {
            self.stats.refused_source.inc();
            return None;
        }
        *count += 1;
        sources.connections += 1;
        self.stats.connections.inc();
        Some(Place { admission: Arc::clone(self), source })
    }

    /// A place for a TLS handshake.
    pub(super) fn handshake(self: &Arc<Self>) -> Option<Handshake> {
        let one_more = |n: u32| if n < self.handshakes { Some(n + 1) } else { None };
        if self.in_handshake.fetch_update(Relaxed, Relaxed, one_more).is_err() {
            self.stats.handshakes_refused.inc();
            return None;
        }
        self.stats.handshakes.inc();
        Some(Handshake(Arc::clone(self)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sources = self.admission.lock();
        sources.connections = sources.connections.saturating_sub(1);
        if let Some(count) = sources.by_address.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                sources.by_address.remove(&self.source);
            }
        }
        self.admission.stats.connections.dec();
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.in_handshake.fetch_sub(1, Relaxed);
        self.0.stats.handshakes.dec();
    }
}

fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_exactly_and_places_come_back() {
        let stats = Arc::new(HttpStats::default());
        let admission = Admission::new(3, 2, 1, Arc::clone(&stats));
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = admission.enter(ip("192.0.2.1")).unwrap();
        let _second = admission.enter(ip("::ffff:192.0.2.1")).unwrap();
        assert!(admission.enter(ip("192.0.2.1")).is_none());
        assert_eq!((stats.refused_source.read(), stats.refused_full.read()), (1, 0));
        let _third = admission.enter(ip("2001:db8::1")).unwrap();
        assert!(admission.enter(ip("192.0.2.9")).is_none());
        assert_eq!((stats.refused_full.read(), stats.connections.read()), (1, 3));
        drop(first);
        let _again = admission.enter(ip("192.0.2.1")).unwrap();
        assert_eq!(network(ip("2001:db8::1")), network(ip("2001:db8::2:3")));
        drop(_third);
        assert_eq!(admission.lock().by_address.len(), 1, "a source that left is forgotten");

        let handshake = admission.handshake().unwrap();
        assert!(admission.handshake().is_none());
        drop(handshake);
        assert!(admission.handshake().is_some());
        assert_eq!(stats.handshakes_refused.read(), 1);
    }
}
