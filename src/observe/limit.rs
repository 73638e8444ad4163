//! Log lines that strangers can cause: so many a second for each reason, the rest only counted.

use crate::clock::Tick;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Lines a second for one reason.
const LINES: u64 = 5;
const SECOND: u64 = 1_000;

/// The lines of one reason.
#[derive(Debug, Default)]
pub struct Limit {
    /// The second that is counted.
    second: AtomicU64,
    lines: AtomicU64,
    suppressed: AtomicU64,
}

impl Limit {
    /// A reason without lines yet.
    pub const fn new() -> Self {
        Self { second: AtomicU64::new(0), lines: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }

    /// Whether a line may be written now, and if so, how many were not since the last one.
    pub fn pass(&self, now: Tick) -> Option<u64> {
        let second = now.0 / SECOND + 1;
        if self.second.swap(second, Relaxed) != second {
            self.lines.store(0, Relaxed);
        }
        if self.lines.fetch_add(1, Relaxed) >= LINES {
            self.suppressed.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.suppressed.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_lines_a_second_and_the_rest_is_counted() {
        let limit = Limit::new();
        let passed = (0..100).filter(|_| limit.pass(Tick(10)).is_some()).count();
        assert_eq!(passed, 5);
        assert_eq!(limit.pass(Tick(999)), None);
        assert_eq!(limit.pass(Tick(1_000)), Some(96));
        assert_eq!(limit.pass(Tick(1_000)), Some(0));
    }
}
