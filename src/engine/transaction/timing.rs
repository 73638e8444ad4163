//! The timer values of RFC 3261 §17 (table 4), RFC 6026 and RFC 4320, from T1, T2, T4 and C.

/// Base values, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// Round-trip estimate.
    pub t1: u64,
    /// Longest interval between retransmissions.
    pub t2: u64,
    /// Longest a message stays in the network.
    pub t4: u64,
    /// Timer C: how long an INVITE may ring without a sign of life; more than three minutes.
    pub c: u64,
    /// How long a target may stay silent before the next one is tried, where there is a next one
    /// (RFC 3263 §4.3 leaves it to us; waiting 64·T1 would outlast the caller's own patience).
    pub attempt: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { t1: 500, t2: 4_000, t4: 5_000, c: 185_000, attempt: 6_000 }
    }
}

impl Timing {
    /// What timers are started with.
    pub const fn lengths(&self) -> [u64; 10] {
        let (t1, patience, attempt) = (self.t1, self.patience(), self.attempt);
        let rest = patience.saturating_sub(attempt);
        [t1, 2 * t1, 4 * t1, self.t2, self.trying(), self.t4, attempt, rest, patience, self.c]
    }

    /// B, F, H, J, L, M and D's least: 64·T1.
    pub const fn patience(&self) -> u64 {
        64 * self.t1
    }

    /// D: at least 32 s over UDP, 0 over streams.
    pub const fn d(&self, reliable: bool) -> u64 {
        if reliable {
            0
        } else if self.patience() > 32_000 {
            self.patience()
        } else {
            32_000
        }
    }

    /// I and K: T4 over UDP, 0 over streams.
    pub const fn linger(&self, reliable: bool) -> u64 {
        if reliable { 0 } else { self.t4 }
    }

    /// J: 64·T1 over UDP, 0 over streams.
    pub const fn j(&self, reliable: bool) -> u64 {
        if reliable { 0 } else { self.patience() }
    }

    /// When a non-INVITE without an answer gets its 100: the time until a client's Timer E is reset to T2
    /// (RFC 4320 §4.1), which is 3.5 s by default.
    pub const fn trying(&self) -> u64 {
        let (mut interval, mut elapsed) = (self.t1, 0);
        while interval < self.t2 && interval > 0 {
            elapsed += interval;
            interval *= 2;
        }
        elapsed
    }

    /// The interval after `interval`: doubled, at most T2 (E, G).
    pub const fn doubled(&self, interval: u64) -> u64 {
        if interval * 2 < self.t2 { interval * 2 } else { self.t2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_table_4() {
        // T15 T12
        let t = Timing::default();
        assert_eq!((t.t1, t.t2, t.t4), (500, 4_000, 5_000));
        assert_eq!(t.patience(), 32_000);
        assert_eq!((t.d(false), t.d(true)), (32_000, 0));
        assert_eq!((t.linger(false), t.linger(true)), (5_000, 0));
        assert_eq!((t.j(false), t.j(true)), (32_000, 0));
        assert!(t.c > 180_000);
    }

    #[test]
    fn a_non_invite_waits_until_timer_e_is_t2() {
        // T02
        let t = Timing::default();
        assert_eq!(t.trying(), 500 + 1_000 + 2_000);
        let mut interval = t.t1;
        let seen: Vec<u64> = (0..5)
            .map(|_| {
                interval = t.doubled(interval);
                interval
            })
            .collect();
        assert_eq!(seen, [1_000, 2_000, 4_000, 4_000, 4_000]);
    }
}
