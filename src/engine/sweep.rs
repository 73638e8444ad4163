//! How far the sweep is: every second all rooms of the registry are looked through, some at a time, so that no message
//! waits for a whole round. What is done to a room is `core`'s; this counts.

use crate::clock::{Now, Tick};
use std::ops::Range;

/// How often a round begins, in milliseconds.
const ROUND: u64 = 1_000;
/// Between two steps of a round.
const STEP: u64 = 16;
/// Most steps of a round.
const STEPS: usize = 32;
/// Rooms of a step at the least: fewer than these are one step.
const ROOMS: usize = 256;

/// One shard's way through the registry.
#[derive(Default, Debug)]
pub(super) struct Sweep {
    /// When the next step is.
    pub(super) at: Tick,
    began: Tick,
    /// The next room; 0 begins a round.
    place: usize,
    /// The seconds (Unix) that keep-alives are sent for in this round: after the first, up to the second.
    seconds: (u64, u64),
    /// Keep-alives of this round.
    sent: usize,
    followed: Option<u64>,
}

impl Sweep {
    /// Whether the next step begins a round.
    pub(super) const fn begins(&self) -> bool {
        self.place == 0
    }

    /// Whether a table is another than in the last round.
    pub(super) fn follows(&mut self, revision: u64) -> bool {
        self.followed.replace(revision) != Some(revision)
    }

    /// The rooms of the step that is due now, of so many that there are.
    pub(super) fn next(&mut self, now: Now, rooms: usize) -> Range<usize> {
        if self.begins() {
            self.began = now.tick;
            self.seconds = (self.seconds.1, now.unix);
            self.sent = 0;
        }
        let from = self.place;
        let to = from.saturating_add(ROOMS.max(rooms.div_ceil(STEPS)));
        if to < rooms {
            self.place = to;
            self.at = now.tick.after(STEP);
        } else {
            self.place = 0;
            self.at = self.began.after(ROUND).max(now.tick.after(STEP));
        }
        from..to.min(rooms)
    }

    /// The seconds of this round; the first is 0 in the very first.
    pub(super) const fn seconds(&self) -> (u64, u64) {
        self.seconds
    }

    /// Counts one keep-alive; how many that are in this round.
    pub(super) const fn count(&mut self) -> usize {
        self.sent += 1;
        self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks through one round; the steps with their moments.
    fn round(sweep: &mut Sweep, rooms: usize) -> Vec<(u64, Range<usize>)> {
        assert!(sweep.begins());
        let mut steps = Vec::new();
        while steps.is_empty() || !sweep.begins() {
            let tick = sweep.at;
            steps.push((tick.0, sweep.next(Now { tick, unix: tick.0 / 1_000 }, rooms)));
        }
        steps
    }

    #[test]
    fn every_room_has_its_turn_once_a_second_in_small_steps() {
        for rooms in [0, 1, ROOMS, ROOMS + 1, 10_000, 1_000_000] {
            let mut sweep = Sweep::default();
            for second in 0..3 {
                let steps = round(&mut sweep, rooms);
                assert_eq!(steps[0].0, second * ROUND, "{rooms}");
                assert!(steps.len() <= STEPS, "{rooms}: {}", steps.len());
                let all: Vec<usize> = steps.iter().flat_map(|(_, part)| part.clone()).collect();
                assert_eq!(all, (0..rooms).collect::<Vec<_>>());
                assert_eq!(sweep.seconds(), (second.saturating_sub(1), second));
            }
        }
    }

    #[test]
    fn a_late_step_moves_the_round_and_hurries_nothing() {
        let mut sweep = Sweep::default();
        sweep.next(Now { tick: Tick(0), unix: 0 }, ROOMS + 1);
        sweep.next(Now { tick: Tick(5_000), unix: 5 }, ROOMS + 1);
        assert!(sweep.begins() && sweep.at == Tick(5_000 + STEP));
    }

    #[test]
    fn a_table_is_followed_once() {
        let mut sweep = Sweep::default();
        assert!(sweep.follows(7) && !sweep.follows(7) && sweep.follows(8));
    }
}
