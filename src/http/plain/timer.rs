//! One timer for all deadlines of a connection, set anew only when one comes nearer than it: a deadline that moved away
//! meanwhile is looked at again when it fires.

use crate::clock::{Clock, Tick};
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is mostly left alone.
pub(in crate::http) struct Timer {
    clock: Clock,
    armed: Tick,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    pub(in crate::http) fn new(clock: Clock) -> Self {
        Self { clock, armed: Tick(u64::MAX), sleep: None }
    }

    /// Ready when `due` has passed.
    pub(in crate::http) fn poll(&mut self, cx: &mut Context<'_>, due: Tick) -> Poll<()> {
        loop {
            let instant = Instant::from_std(self.clock.instant(due));
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(instant)));
            if due < self.armed {
                self.armed = due;
                sleep.as_mut().reset(instant);
            }
            ready!(sleep.as_mut().poll(cx));
            if due <= self.clock.tick() {
                return Poll::Ready(());
            }
            self.armed = Tick(u64::MAX);
        }
    }
}
