//! What each shard did and holds. A shard counts in a place of its own, which no other writes to: a plain store is
//! enough, and nobody waits for its line of the cache. Whoever reads adds the shards up.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A number that one shard alone writes.
#[derive(Default, Debug)]
pub struct Own(AtomicU64);

impl Own {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Sets it.
    #[inline]
    pub fn set(&self, n: usize) {
        self.0.store(n as u64, Relaxed);
    }

    /// Its value.
    pub fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline]
    fn add(&self, n: u64) {
        // There is no other writer.
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }
}

/// What one shard did, and holds now.
#[derive(Default, Debug)]
#[repr(align(128))]
pub struct ShardStats {
    /// Requests that came.
    pub requests: Own,
    /// Responses that came.
    pub responses: Own,
    /// Requests passed on.
    pub requests_forwarded: Own,
    /// Responses passed on.
    pub responses_forwarded: Own,
    /// Live server transactions: without a final answer.
    pub server_transactions: Own,
    /// Live client transactions.
    pub client_transactions: Own,
    /// Server transactions that are answered and kept for what is repeated.
    pub answered_servers: Own,
    /// Client transactions of that kind.
    pub answered_clients: Own,
    /// Bytes that the answered requests take.
    pub answered_bytes: Own,
    /// Armed timers.
    pub timers: Own,
    /// Bytes of messages kept by transactions.
    pub kept_bytes: Own,
    /// Calls that are being set up: INVITEs without a final answer.
    pub setups: Own,
}

impl ShardStats {
    fn add(&self, other: &Self) {
        for (own, other) in self.all().into_iter().zip(other.all()) {
            own.add(other.read());
        }
    }

    const fn all(&self) -> [&Own; 12] {
        [
            &self.requests,
            &self.responses,
            &self.requests_forwarded,
            &self.responses_forwarded,
            &self.server_transactions,
            &self.client_transactions,
            &self.answered_servers,
            &self.answered_clients,
            &self.answered_bytes,
            &self.timers,
            &self.kept_bytes,
            &self.setups,
        ]
    }
}

/// The shards of a node.
#[derive(Default, Debug)]
pub struct Shards(Mutex<State>);

#[derive(Default, Debug)]
struct State {
    live: Vec<Arc<ShardStats>>,
    /// Of those that ended.
    gone: ShardStats,
}

impl Shards {
    /// A place for a shard that begins.
    pub fn join(&self) -> Arc<ShardStats> {
        let new = Arc::<ShardStats>::default();
        self.state().live.push(Arc::clone(&new));
        new
    }

    /// A shard has ended: what it did stays counted.
    pub fn leave(&self, shard: &Arc<ShardStats>) {
        let mut state = self.state();
        state.gone.add(shard);
        state.live.retain(|live| !Arc::ptr_eq(live, shard));
    }

    /// All shards together.
    pub fn sum(&self) -> ShardStats {
        let (state, sum) = (self.state(), ShardStats::default());
        sum.add(&state.gone);
        state.live.iter().for_each(|shard| sum.add(shard));
        sum
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_added_up_and_what_they_did_stays() {
        let shards = Shards::default();
        let (one, other) = (shards.join(), shards.join());
        for _ in 0..3 {
            one.requests.inc();
        }
        other.requests.inc();
        other.setups.set(7);
        one.setups.set(2);
        let sum = shards.sum();
        assert_eq!((sum.requests.read(), sum.setups.read(), sum.timers.read()), (4, 9, 0));
        other.setups.set(0);
        shards.leave(&other);
        let sum = shards.sum();
        assert_eq!((sum.requests.read(), sum.setups.read()), (4, 2));
        assert_eq!(shards.state().live.len(), 1);
    }
}
