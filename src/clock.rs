//! Time, read in one place only. Every other module is handed a [`Now`].
//!
//! The pure layers see [`Tick`] (monotonic) and Unix seconds as plain numbers, so that a test or a
//! simulation can let years pass in a millisecond.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment on the process's monotonic clock, in milliseconds since an origin of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// The moment `ms` milliseconds later.
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`, or 0 if that lies ahead.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One reading of both clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Monotonic, for timers.
    pub tick: Tick,
    /// Unix time in seconds, for what outlives the process.
    pub unix: u64,
}

/// Unix seconds as they are kept where there are many of them: right until the year 2106.
pub fn seconds(unix: u64) -> u32 {
    u32::try_from(unix).unwrap_or(u32::MAX)
}

/// The system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose [`Tick`] counts from now.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Reads both clocks.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now { tick: self.tick(), unix: unix.as_secs() }
    }

    /// Reads the monotonic clock alone.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn tick(&self) -> Tick {
        Tick(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The instant of a tick, for a runtime's timer.
    pub fn instant(&self, tick: Tick) -> Instant {
        self.origin + Duration::from_millis(tick.0)
    }
}
