//! How many requests a PBX is given at once: as many as it answers without letting them wait.
//!
//! The latency of an unqueued answer is learned; while answers come about as fast, the limit grows, at first by
//! doubling; when they take longer than twice that and a little more, or fail, it shrinks. The two passes of a
//! digest are told apart: a challenge costs a PBX less than a look-up of the password.

use crate::clock::Tick;

/// Bounds of the limit, and where it starts. The least is what any PBX has room for: a moment in which the machine
/// was busy with something else must not turn phones away.
pub const LEAST: u32 = 8;
pub const MOST: u32 = 1_024;
pub const START: u32 = 32;

/// Milliseconds that answers may take longer than twice the unqueued ones before the limit shrinks.
const SLACK: f64 = 30.0;
/// Milliseconds within which the answers of one judgement are collected, at the least.
const WINDOW: u64 = 40;
/// Milliseconds over which the rate is measured.
const METER: u64 = 250;
/// Milliseconds during which a second failure says no more than the first.
const CALM: u64 = 250;
/// What a failure leaves of the limit, and what one judgement leaves of it at the least.
const HALF: f64 = 0.5;
/// Milliseconds an answer is thought to take before one came.
const GUESS: f64 = 100.0;

/// Which pass of a digest a request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pass {
    /// Without credentials: it will be challenged.
    First,
    /// With credentials.
    Second,
}

/// An answer that came from the PBX.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Which pass it answers.
    pub pass: Pass,
    /// When the request was sent.
    pub sent: Tick,
    /// Whether hardly anything else was on its way when it was sent.
    pub alone: bool,
    /// Whether it is a challenge.
    pub challenge: bool,
}

/// The limit of one instance.
#[derive(Debug)]
pub struct Limit {
    limit: f64,
    doubling: bool,
    /// Milliseconds of an unqueued answer, by pass.
    floors: [Option<f64>; 2],
    /// Milliseconds answers take of late.
    takes: Option<f64>,
    changed: Tick,
    cut: Option<Tick>,
    window: Window,
    meter: Meter,
    /// Requests answered in a second while there was always more to do.
    rate: Option<f64>,
    /// Share of challenges among the answers.
    challenges: f64,
}

/// The answers that are judged together.
#[derive(Clone, Copy, Default, Debug)]
struct Window {
    began: Tick,
    answers: u32,
    took: f64,
    floor: f64,
    full: bool,
}

/// The answers that are counted together.
#[derive(Clone, Copy, Default, Debug)]
struct Meter {
    began: Tick,
    answers: u32,
    challenges: u32,
    idle: bool,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            limit: f64::from(START),
            doubling: true,
            floors: [None; 2],
            takes: None,
            changed: Tick(0),
            cut: None,
            window: Window::default(),
            meter: Meter::default(),
            rate: None,
            challenges: HALF,
        }
    }
}

impl Limit {
    /// The limit now.
    pub fn now(&self) -> u32 {
        (self.limit as u32).clamp(LEAST, MOST)
    }

    /// Phones the PBX can register in a second, each with as many passes as were seen.
    pub fn phones(&self) -> f64 {
        // Before it was measured: as many as are at work, divided by what one takes.
        let rate = self.rate.unwrap_or_else(|| self.limit * 1_000.0 / self.takes.unwrap_or(GUESS).max(GUESS / 10.0));
        (rate * (1.0 - self.challenges)).max(0.1)
    }

    /// Whether so few are on their way that an answer's latency is the PBX's own.
    pub fn is_alone(&self, in_flight: u32) -> bool {
        in_flight <= 2 || f64::from(in_flight) <= self.limit / 8.0
    }

    /// An answer came; `in_flight` counts its request.
    pub fn answered(&mut self, now: Tick, in_flight: u32, sample: &Sample) {
        let took = now.since(sample.sent) as f64;
        let floor = self.learn_floor(took, sample);
        self.takes = Some(self.takes.map_or(took, |takes| takes + (took - takes) / 8.0));
        self.meter.answers += 1;
        self.meter.challenges += u32::from(sample.challenge);
        let full = f64::from(in_flight) >= self.limit * 0.75;
        self.meter.idle |= f64::from(in_flight) < self.limit * 0.5;
        // What was sent under another limit says nothing of this one.
        if sample.sent >= self.changed {
            if self.window.answers == 0 {
                self.window.began = now;
            }
            self.window.answers += 1;
            self.window.took += took;
            self.window.floor += floor;
            self.window.full |= full;
        }
        self.measure(now);
        self.judge(now);
    }

    /// The PBX said that it cannot, or nothing at all.
    pub fn failed(&mut self, now: Tick) {
        if self.cut.is_some_and(|cut| now.since(cut) < CALM) {
            return;
        }
        self.cut = Some(now);
        self.doubling = false;
        self.set(now, self.limit * HALF);
    }

    /// Time passed; `in_flight` requests are unanswered.
    pub fn pass(&mut self, now: Tick, in_flight: u32) {
        self.meter.idle |= in_flight < self.now().div_ceil(2);
        self.measure(now);
    }

    fn learn_floor(&mut self, took: f64, sample: &Sample) -> f64 {
        let [first, second] = &mut self.floors;
        let slot = if sample.pass == Pass::First { first } else { second };
        let floor = match *slot {
            Some(floor) if took >= floor && sample.alone => floor + (took - floor) / 8.0,
            Some(floor) => floor.min(took),
            None => took,
        };
        *slot = Some(floor);
        floor
    }

    /// Closes the meter when it is time. Only a PBX that always had more to do shows what it can do.
    fn measure(&mut self, now: Tick) {
        let elapsed = now.since(self.meter.began);
        if elapsed < METER {
            return;
        }
        let Meter { answers, challenges, idle, .. } = self.meter;
        // A meter that stood still for long measured the pause.
        if !idle && elapsed < 8 * METER {
            let seen = f64::from(answers) * 1_000.0 / elapsed as f64;
            self.rate = Some(self.rate.map_or(seen, |rate| rate + (seen - rate) * 0.3));
        }
        if answers >= 8 {
            let seen = f64::from(challenges) / f64::from(answers);
            // Phones that never succeed must not stretch the time of all others without end.
            self.challenges = (self.challenges + (seen - self.challenges) * 0.3).clamp(0.0, 0.6);
        }
        self.meter = Meter { began: now, ..Meter::default() };
    }

    fn judge(&mut self, now: Tick) {
        let Window { began, answers, took, floor, full } = self.window;
        let elapsed = now.since(began);
        let enough = answers >= self.now().min(8) || (answers > 0 && elapsed >= 1_000);
        if elapsed < WINDOW || !enough {
            return;
        }
        let (took, floor) = (took / f64::from(answers), floor / f64::from(answers));
        let most = 2.0 * floor + SLACK;
        if took > most {
            self.doubling = false;
            self.set(now, self.limit * (most / took).clamp(HALF, 0.9));
        } else if took <= 1.5 * floor + SLACK / 2.0 && full {
            let step = if self.doubling { self.limit } else { (self.limit / 10.0).max(1.0) };
            self.set(now, self.limit + step);
        } else {
            self.window = Window::default();
        }
    }

    fn set(&mut self, now: Tick, limit: f64) {
        self.limit = limit.clamp(f64::from(LEAST), f64::from(MOST));
        self.changed = now;
        self.window = Window::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PBX that is given as many requests as the limit allows, and answers each after `latency` of how many it
    /// has then.
    fn run(limit: &mut Limit, start: u64, ms: u64, latency: impl Fn(u32) -> u64) -> u64 {
        let mut flying: Vec<(u64, u64, bool)> = Vec::new();
        for at in start..start + ms {
            while flying.len() < limit.now() as usize {
                let before = flying.len() as u32;
                flying.push((at, at + latency(before + 1), limit.is_alone(before)));
            }
            while let Some(n) = flying.iter().position(|(_, due, _)| *due <= at) {
                let in_flight = flying.len() as u32;
                let (sent, _, alone) = flying.swap_remove(n);
                let sample = Sample { pass: Pass::Second, sent: Tick(sent), alone, challenge: false };
                limit.answered(Tick(at), in_flight, &sample);
            }
        }
        start + ms
    }

    #[test]
    fn it_grows_while_answers_stay_fast_and_never_over_its_bound() {
        let mut limit = Limit::default();
        run(&mut limit, 0, 10_000, |_| 5);
        assert_eq!(limit.now(), MOST);
        assert!(limit.phones() > 10_000.0, "{}", limit.phones());
    }

    #[test]
    fn it_settles_where_answers_do_not_wait() {
        // One worker that takes 10 ms for each: 100 a second, and every further request only waits.
        let mut limit = Limit::default();
        limit.answered(Tick(10), 1, &Sample { pass: Pass::Second, sent: Tick(0), alone: true, challenge: false });
        run(&mut limit, 10, 20_000, |n| u64::from(n) * 10);
        assert!((LEAST..=LEAST + 2).contains(&limit.now()), "{}", limit.now());
        // It becomes ten times as fast.
        run(&mut limit, 20_010, 20_000, |n| 1 + u64::from(n));
        assert!((10..=25).contains(&limit.now()), "{}", limit.now());
    }

    #[test]
    fn failures_halve_it_once_in_a_while_and_some_stay() {
        let mut limit = Limit::default();
        (0..10).for_each(|n| limit.failed(Tick(1_000 + n)));
        assert_eq!(limit.now(), START / 2);
        limit.failed(Tick(1_000 + CALM - 1));
        assert_eq!(limit.now(), START / 2);
        limit.failed(Tick(1_000 + CALM));
        assert_eq!(limit.now(), START / 4);
        (0..100).for_each(|n| limit.failed(Tick(10_000 + n * CALM)));
        assert_eq!(limit.now(), LEAST);
        run(&mut limit, 100_000, 20_000, |_| 5);
        assert!(limit.now() > START, "it comes back: {}", limit.now());
    }

    #[test]
    fn what_was_never_full_does_not_grow() {
        let mut limit = Limit::default();
        for at in 0..10_000 {
            let sample = Sample { pass: Pass::First, sent: Tick(at), alone: true, challenge: false };
            limit.answered(Tick(at + 2), 3, &sample);
        }
        assert_eq!(limit.now(), START);
    }

    #[test]
    fn a_pass_that_takes_longer_is_no_queue() {
        // A challenge in 1 ms, a look-up in 80 ms.
        let mut limit = Limit::default();
        let mut at = 0;
        for _ in 0..2_000 {
            for (pass, took) in [(Pass::First, 1), (Pass::Second, 80)] {
                at += 1;
                let sample = Sample { pass, sent: Tick(1_000 + at - took.min(at)), alone: false, challenge: false };
                let in_flight = limit.now();
                limit.answered(Tick(1_000 + at), in_flight, &sample);
            }
        }
        assert_eq!(limit.now(), MOST);
    }

    #[test]
    fn a_pbx_that_became_slower_for_good_is_believed() {
        let mut limit = Limit::default();
        let now = run(&mut limit, 0, 5_000, |_| 2);
        run(&mut limit, now, 60_000, |n| if n <= 4 { 200 } else { 300 });
        assert!(limit.now() >= 4, "{}", limit.now());
    }
}
