//! How many accepted connections there are, or handshakes under way, in all and by source: one small
//! lock, taken when one comes and when it goes.

use super::admission::source_key;
use super::counters::Loss;
use crate::route::snapshot::Map;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// The count of all workers together.
pub struct Guests {
    by_source: Mutex<Map<u64, u32>>,
    total: AtomicU32,
    max_total: AtomicU32,
    max_source: AtomicU32,
    too_many: TooMany,
}

/// What is counted where there is no room: in all, and of one source.
type TooMany = (Loss, Loss);

/// One connection's place; leaving it makes room for another.
pub struct Place {
    guests: Arc<Guests>,
    source: u64,
}

impl Guests {
    /// Room for `total` connections, `source` of them from one source.
    pub fn new(total: u32, source: u32) -> Arc<Self> {
        Self::of(total, source, (Loss::Connections, Loss::SourceConnections))
    }

    /// Room for `total` handshakes at once, `source` of them from one source.
    pub fn handshakes(total: u32, source: u32) -> Arc<Self> {
        Self::of(total, source, (Loss::Handshakes, Loss::SourceHandshakes))
    }

    fn of(total: u32, source: u32, too_many: TooMany) -> Arc<Self> {
        Arc::new(Self {
            by_source: Mutex::default(),
            total: AtomicU32::new(0),
            max_total: AtomicU32::new(total),
            max_source: AtomicU32::new(source),
            too_many,
        })
    }

    /// Changes the bounds; connections that are open stay.
    pub fn set_limits(&self, total: u32, source: u32) {
        self.max_total.store(total, Relaxed);
        self.max_source.store(source, Relaxed);
    }

    /// Takes a place for a connection from `source`.
    pub fn enter(self: &Arc<Self>, source: IpAddr) -> Result<Place, Loss> {
        let source = source_key(source);
        let mut by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        if self.total.load(Relaxed) >= self.max_total.load(Relaxed) {
            return Err(self.too_many.0);
        }
        let count = by_source.entry(source).or_insert(0);
        if *count >= self.max_source.load(Relaxed) {
            return Err(self.too_many.1);
        }
        *count += 1;
        self.total.fetch_add(1, Relaxed);
        Ok(Place { guests: Arc::clone(self), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_source = self.guests.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        self.guests.total.fetch_sub(1, Relaxed);
        if let Some(count) = by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_and_all_together_have_a_bound() {
        let guests = Guests::new(3, 2);
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let one = guests.enter(a).unwrap_or_else(|_| panic!("room for one"));
        let _two = guests.enter(a).unwrap_or_else(|_| panic!("room for two"));
        assert_eq!(guests.enter(a).err(), Some(Loss::SourceConnections));
        let _three = guests.enter(b).unwrap_or_else(|_| panic!("room for three"));
        assert_eq!(guests.enter(b).err(), Some(Loss::Connections));
        drop(one);
        assert!(guests.enter(b).is_ok());
        drop(guests.enter(a));
        assert_eq!(guests.by_source.lock().unwrap().len(), 2);
    }

    #[test]
    fn a_source_without_connections_leaves_nothing_behind() {
        let guests = Guests::new(10, 10);
        for n in 0..1000u32 {
            assert!(guests.enter(std::net::Ipv4Addr::from(n).into()).is_ok());
        }
        assert!(guests.by_source.lock().unwrap().is_empty());
        assert_eq!(guests.total.load(Relaxed), 0);
    }
}
