//! The gate of one instance: lets REGISTERs in, and learns from how they are answered.

use super::known::{Challenged, Known};
use super::lanes::{Lane, Lanes, Standing};
use super::limit::{Limit, Pass, START, Sample};
use crate::clock::{Now, Tick};
use crate::stats::InstanceStats;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A REGISTER that wants in.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Hash of its account.
    pub account: u64,
    /// Whether it carries credentials.
    pub credentials: bool,
}

/// The PBX has as much as it can do; come back after so many seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy(pub u32);

/// How a REGISTER was answered: by the PBX, or by us because the PBX could not be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// When it was sent; none where more than one target was tried.
    pub sent: Option<Tick>,
}

/// The gate of one instance, shared by all shards.
pub struct Gate {
    stats: Arc<InstanceStats>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    limit: Limit,
    lanes: Lanes,
    known: Known,
    challenged: Challenged,
    in_flight: u32,
    last: Now,
}

/// A REGISTER on its way. Say with [`Permit::sent`] that it was sent, and with [`Permit::close`] how it was
/// answered. One that is dropped was never answered; one that was never sent says nothing of the PBX.
pub struct Permit {
    gate: Arc<Gate>,
    account: u64,
    pass: Pass,
    /// Whether it answers a challenge that was let in before.
    continues: bool,
    alone: bool,
    sent: bool,
    open: bool,
}

impl Gate {
    /// A gate that knows nobody.
    pub fn new(stats: Arc<InstanceStats>) -> Self {
        let state = State::default();
        stats.registers.limit.set(state.limit.now().into());
        Self { stats, state: Mutex::new(state) }
    }

    /// Lets a REGISTER in, or says when it should come back. `registered` tells whether its account has a
    /// registration now, and is asked only when it matters; `dice` is in 0 to 1.
    pub fn enter(
        self: &Arc<Self>,
        now: Now,
        asked: Asked,
        registered: impl FnOnce() -> bool,
        dice: f64,
    ) -> Result<Permit, Busy> {
        let mut state = self.lock();
        state.pass(now);
        let Asked { account, credentials } = asked;
        let continues = credentials && state.challenged.take(now.tick, account);
        let limit = state.limit.now();
        if state.in_flight >= (limit / 4).max(1) {
            let lane = state.lane(account, now, registered);
            if state.in_flight >= state.room(limit, lane, account, continues) {
                let busy = state.send_away(now, account, lane, continues, dice, &self.stats);
                self.show(&state);
                self.stats.registers.refused.inc();
                return Err(busy);
            }
        }
        if !continues {
            state.lanes.enter(account);
        }
        let alone = state.limit.is_alone(state.in_flight);
        state.in_flight += 1;
        self.show(&state);
        let pass = if credentials { Pass::Second } else { Pass::First };
        Ok(Permit { gate: Arc::clone(self), account, pass, continues, alone, sent: false, open: true })
    }

    /// Brings the gauges up to date while nobody comes.
    pub fn pass(&self, now: Now) {
        if self.stats.registers.waiting.read() > 0 {
            let mut state = self.lock();
            state.pass(now);
            self.show(&state);
        }
    }

    /// The instance is off: what was learned of its PBX and who waits is forgotten, who is known stays.
    pub fn reset(&self) {
        let mut state = self.lock();
        state.limit = Limit::default();
        state.lanes.clear();
        state.challenged = Challenged::default();
        self.show(&state);
    }

    fn close(&self, permit: &Permit, answer: Option<(Now, Answer)>) {
        let mut state = self.lock();
        let in_flight = state.in_flight;
        match answer.filter(|_| permit.sent) {
            None if !permit.sent => {}
            None => {
                let last = state.last.tick;
                state.limit.failed(last);
            }
            Some((now, Answer { status: 408 | 500 | 503 | 504, .. })) => state.limit.failed(now.tick),
            Some((now, Answer { status, sent })) => {
                let challenge = matches!(status, 401 | 407);
                if let Some(sent) = sent {
                    let sample = Sample { pass: permit.pass, sent, alone: permit.alone, challenge };
                    state.limit.answered(now.tick, in_flight, &sample);
                }
                // One that was let in for its challenge and is challenged again comes in as any other.
                if challenge && !permit.continues {
                    state.challenged.note(now.tick, permit.account);
                }
                if (200..300).contains(&status) && !state.known.confirm(permit.account, now.unix) {
                    self.stats.registers.forgotten.inc();
                }
            }
        }
        state.in_flight = in_flight.saturating_sub(1);
        self.show(&state);
    }

    fn show(&self, state: &State) {
        let stats = &self.stats.registers;
        stats.in_flight.set(state.in_flight.into());
        stats.limit.set(state.limit.now().into());
        stats.waiting.set(state.lanes.waiting());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pass(&mut self, now: Now) {
        self.last = now;
        self.limit.pass(now.tick, self.in_flight);
        self.lanes.pass(now.tick, self.limit.phones());
    }

    fn lane(&self, account: u64, now: Now, registered: impl FnOnce() -> bool) -> Lane {
        if registered() {
            Lane::Refresh
        } else if self.known.has(account, now.unix) {
            Lane::Known
        } else {
            Lane::Stranger
        }
    }

    /// How many may be on their way for this one to follow.
    fn room(&self, limit: u32, lane: Lane, account: u64, continues: bool) -> u32 {
        if continues {
            // The PBX has begun with it; each was let in once, when the limit may have been another.
            return 2 * limit.max(START);
        }
        match self.lanes.standing(account) {
            Standing::Due => limit + (limit / 2).max(1),
            Standing::Early | Standing::New if self.lanes.is_behind(lane) => (limit / 4).max(1),
            Standing::Early | Standing::New => limit,
        }
    }

    fn send_away(
        &mut self,
        now: Now,
        account: u64,
        lane: Lane,
        continues: bool,
        dice: f64,
        stats: &InstanceStats,
    ) -> Busy {
        if continues {
            self.challenged.note(now.tick, account);
        }
        let (seconds, kept) = self.lanes.send_away(now.tick, account, lane, self.limit.phones(), dice);
        if !kept {
            stats.registers.forgotten.inc();
        }
        Busy(seconds)
    }
}

impl Permit {
    /// It was sent to the PBX.
    pub const fn sent(&mut self) {
        self.sent = true;
    }

    /// It was answered.
    pub fn close(mut self, now: Now, answer: Answer) {
        self.open = false;
        self.gate.close(&self, Some((now, answer)));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.open {
            self.gate.close(self, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::limit::LEAST;
    use super::*;

    fn gate() -> Arc<Gate> {
        Arc::new(Gate::new(Arc::default()))
    }

    fn at(ms: u64) -> Now {
        Now { tick: Tick(ms), unix: 1_000_000 + ms / 1_000 }
    }

    fn ask(gate: &Arc<Gate>, ms: u64, account: u64, credentials: bool) -> Result<Permit, Busy> {
        let mut permit = gate.enter(at(ms), Asked { account, credentials }, || false, 0.5)?;
        permit.sent();
        Ok(permit)
    }

    fn answer(permit: Permit, ms: u64, status: u16) {
        permit.close(at(ms), Answer { status, sent: Some(Tick(ms - 1)) });
    }

    fn registers(gate: &Gate) -> [u64; 4] {
        let stats = &gate.stats.registers;
        [stats.in_flight.read(), stats.limit.read(), stats.waiting.read(), stats.refused.read()]
    }

    #[test]
    fn the_limit_holds_and_what_is_answered_makes_room() {
        let gate = gate();
        let mut flying: Vec<Permit> = (0..START.into()).map(|n| ask(&gate, 1_000, n, false).ok().unwrap()).collect();
        let Err(Busy(after)) = ask(&gate, 1_000, 100, false) else { panic!("over the limit") };
        assert!((1..=2).contains(&after), "{after}");
        assert_eq!(registers(&gate), [START.into(), START.into(), 1, 1]);
        answer(flying.pop().unwrap(), 1_002, 404);
        assert_eq!(registers(&gate)[0], u64::from(START) - 1);
        // Never sent says nothing of the PBX; never answered does.
        let unsent = gate.enter(at(1_003), Asked { account: 101, credentials: true }, || false, 0.5).ok().unwrap();
        assert!(ask(&gate, 1_003, 102, false).is_err());
        drop(unsent);
        assert_eq!(registers(&gate)[..2], [u64::from(START) - 1, START.into()]);
        drop(flying.pop());
        assert_eq!(registers(&gate)[..2], [u64::from(START) - 2, u64::from(START / 2)]);
        drop(flying);
        assert_eq!(registers(&gate)[0], 0);
    }

    #[test]
    fn the_answer_to_a_challenge_goes_before_all_others_and_once() {
        let gate = gate();
        answer(ask(&gate, 1_000, 7, false).ok().unwrap(), 1_002, 401);
        let flying: Vec<Permit> =
            (100..100 + u64::from(START)).map(|n| ask(&gate, 1_003, n, false).ok().unwrap()).collect();
        assert!(ask(&gate, 1_003, 8, true).is_err(), "credentials alone are no way in");
        let second = ask(&gate, 1_003, 7, true).ok().unwrap();
        // A wrong password: no third pass ahead of others.
        answer(second, 1_004, 401);
        assert!(ask(&gate, 1_005, 7, true).is_err());
        drop(flying);
    }

    #[test]
    fn known_before_strangers_and_none_is_shut_out() {
        let gate = gate();
        for account in 0..1_000 {
            answer(ask(&gate, 1_000 + account, account, true).ok().unwrap(), 1_001 + account, 200);
        }
        gate.reset();
        // A PBX that says nothing while all come at once.
        let full: Vec<Permit> = (0..u64::from(START)).map(|n| ask(&gate, 10_000, n, true).ok().unwrap()).collect();
        let wait = |account| ask(&gate, 10_000, account, true).err().unwrap().0;
        let strangers: Vec<u32> = (5_000..5_400).map(wait).collect();
        let known: Vec<u32> = (100..600).map(wait).collect();
        assert!(known[0] <= 2 && known[499] < 10, "{known:?}");
        assert!(wait(5_399) > known[499], "the known are now before it");
        assert!(strangers[0] <= 2);
        drop(full);
        // Room, but the known wait: a stranger without a turn gets a quarter of it.
        let limit = u32::try_from(registers(&gate)[1]).unwrap();
        let some: Vec<Permit> = (9_000..).map_while(|account| ask(&gate, 10_000, account, true).ok()).collect();
        assert_eq!(some.len() as u32, limit / 4);
        assert!(ask(&gate, 10_000, 700, true).is_ok(), "a known one gets the rest");
    }

    #[test]
    fn an_outage_leaves_some_and_off_and_on_forgets_it() {
        let gate = gate();
        for n in 0..20 {
            drop(ask(&gate, n * 32_000, n, true).ok().unwrap());
        }
        assert_eq!(registers(&gate)[1], u64::from(LEAST));
        gate.reset();
        assert_eq!(registers(&gate)[1], u64::from(START));
    }

    #[test]
    fn shards_share_it() {
        let gate = gate();
        let worker = |base: u64| {
            let gate = Arc::clone(&gate);
            move || {
                for n in 0..5_000u64 {
                    if let Ok(permit) = ask(&gate, 1_000 + n, base + n, n % 2 == 0) {
                        assert!(gate.stats.registers.in_flight.read() > 0);
                        answer(permit, 1_001 + n, if n % 3 == 0 { 401 } else { 200 });
                    }
                }
            }
        };
        let threads: Vec<_> = (0..4).map(|n| std::thread::spawn(worker(n * 10_000))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(registers(&gate)[0], 0);
    }
}
