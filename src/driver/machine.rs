//! What a worker drives: the engine, or a stand-in in the tests of the driver.

use crate::clock::{Now, Tick};
use crate::engine::Engine;
use crate::engine::contract::{Input, Output, Verdict};
use crate::route::snapshot::Snapshot;

/// A pure machine that eats inputs and leaves outputs (DESIGN 1).
pub trait Machine {
    /// Takes in one thing that happened.
    fn handle(&mut self, now: Now, input: Input<'_>, routes: &Snapshot);
    /// The next thing to do.
    fn poll_output(&mut self) -> Option<Output<'_>>;
    /// What became of the last message, if it went no further.
    fn take_verdict(&mut self) -> Option<Verdict>;
    /// When it wants [`Self::handle_timeout`] at the latest.
    fn poll_timeout(&mut self) -> Option<Tick>;
    /// Lets timers fire.
    fn handle_timeout(&mut self, now: Now, routes: &Snapshot);
}

impl Machine for Engine {
    fn handle(&mut self, now: Now, input: Input<'_>, routes: &Snapshot) {
        Self::handle(self, now, input, routes);
    }

    fn poll_output(&mut self) -> Option<Output<'_>> {
        Self::poll_output(self)
    }

    fn take_verdict(&mut self) -> Option<Verdict> {
        Self::take_verdict(self)
    }

    fn poll_timeout(&mut self) -> Option<Tick> {
        Self::poll_timeout(self)
    }

    fn handle_timeout(&mut self, now: Now, routes: &Snapshot) {
        Self::handle_timeout(self, now, routes);
    }
}
