//! The licence clock: wall time that never goes back. Setting a machine's clock back lengthens nothing (R60).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The latest moment seen, in Unix seconds. It is kept on disk and restored before the first use.
#[derive(Debug, Default)]
pub struct HighWater(AtomicU64);

impl HighWater {
    /// A clock that has seen this moment.
    pub const fn new(seen: u64) -> Self {
        Self(AtomicU64::new(seen))
    }

    /// The licence time at a moment of the wall clock: the later of it and all moments before.
    pub fn at(&self, now_unix: u64) -> u64 {
        self.0.fetch_max(now_unix, Relaxed).max(now_unix)
    }

    /// The latest moment seen.
    pub fn seen(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back() {
        // R60
        let clock = HighWater::new(100);
        assert_eq!((clock.at(99), clock.at(100), clock.at(101), clock.at(50)), (100, 100, 101, 101));
        assert_eq!(clock.seen(), 101);
    }
}
