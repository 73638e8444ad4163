//! A worker's alarm: a timer that the kernel keeps, and that is readable when it has rung, as a socket is.
//!
//! The runtime's own timers become the timeout of each wait for sockets. Under load that sets the processor's timer and
//! takes it back with every message, which costs more than to read the message; this one is set once a round.

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Rings once each time it is set.
pub(super) struct Alarm(AsyncFd<Timer>);

struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    /// One of the current runtime, not set.
    pub(super) fn new() -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        #[allow(deprecated, reason = "its successor is unsafe; the timer keeps its descriptor as long as it lives")]
        Ok(Self(AsyncFd::with_interest(Timer(timer), Interest::READABLE)?))
    }

    /// Lets it ring `after` this; what was set before is forgotten.
    pub(super) fn set(&self, after: Duration) {
        // Nothing at all would unset it.
        let after = TimeSpec::from_duration(after.max(Duration::from_nanos(1)));
        let set = self.0.get_ref().0.set(Expiration::OneShot(after), TimerSetTimeFlags::empty());
        debug_assert_eq!(set, Ok(()), "the kernel refuses only what is no timer or no time");
    }

    /// Waits until it rings; fails where the runtime ends.
    pub(super) async fn rings(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            let rang = self.0.get_ref().0.wait();
            ready.clear_ready();
            match rang {
                // It was set anew before anybody looked.
                Err(nix::Error::EAGAIN) => {}
                rang => return Ok(rang?),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Tick};

    #[tokio::test]
    async fn an_alarm_rings_when_it_was_set_to_last() {
        let alarm = Alarm::new().unwrap();
        let clock = Clock::start();
        alarm.set(Duration::from_secs(3600));
        alarm.set(Duration::from_millis(20));
        alarm.rings().await.unwrap();
        assert!(clock.tick() >= Tick(20));
        // Rung and not looked at, then set anew: it rings once, at the later time.
        alarm.set(Duration::ZERO);
        alarm.0.readable().await.unwrap().retain_ready();
        let looked = clock.tick();
        alarm.set(Duration::from_millis(20));
        alarm.rings().await.unwrap();
        assert!(clock.tick() >= looked.after(20));
        assert!(tokio::time::timeout(Duration::from_millis(20), alarm.rings()).await.is_err());
    }
}
