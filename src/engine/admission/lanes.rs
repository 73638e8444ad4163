//! Who waits outside, and for how long: a queue of numbers, not of requests.
//!
//! A phone that is sent away draws a number; the queue moves on by as many as the PBX registers in the time that
//! passed, whether those called come or not. When a phone comes back too early it keeps its number; when it is its
//! turn it has a right of way. The three lanes are served in their order, each leaving an eighth to those behind,
//! so that nobody waits for ever.

use crate::clock::Tick;
use crate::route::snapshot::Map;

/// Numbers kept for one instance.
pub const WAITING: usize = 65_536;
/// Numbers kept for strangers among them.
pub const STRANGERS: usize = 4_096;
/// The longest wait that is told, in seconds: a queue may turn out shorter than it looked.
pub const LONGEST: u32 = 120;

/// Milliseconds a number is kept after the moment that was told.
const GRACE: u64 = 60_000;
/// Milliseconds between two looks for numbers nobody came back with.
const SWEEP: u64 = 10_000;
/// The share of the PBX's rate that is given out: phones do not come to the second.
const PACE: f64 = 0.9;
/// The share that a lane leaves to those behind it.
const LEFT: f64 = 1.0 / 8.0;

/// Whose turn comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Lane {
    /// Has a registration and would lose it.
    Refresh,
    /// Had one.
    Known,
    /// Nobody we have seen.
    Stranger,
}

/// How a phone stands with the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It has waited, and it is its turn.
    Due,
    /// It has a number that is not called yet.
    Early,
    /// It has none.
    New,
}

/// The lanes of one instance.
#[derive(Default, Debug)]
pub struct Lanes {
    lanes: [Numbers; 3],
    tickets: Map<u64, Ticket>,
    strangers: usize,
    moved: Tick,
    swept: Tick,
}

/// The numbers drawn and called in one lane.
#[derive(Clone, Copy, Default, Debug)]
struct Numbers {
    drawn: f64,
    called: f64,
}

#[derive(Clone, Copy, Debug)]
struct Ticket {
    lane: Lane,
    number: f64,
    until: Tick,
}

impl Numbers {
    fn waiting(&self) -> f64 {
        (self.drawn - self.called).max(0.0)
    }

    fn call(&mut self, phones: f64) {
        self.called = (self.called + phones).min(self.drawn);
    }
}

impl Lanes {
    /// Lets the queue move on: `phones` are registered in a second.
    pub fn pass(&mut self, now: Tick, phones: f64) {
        let mut left = phones * PACE * now.since(self.moved) as f64 / 1_000.0;
        self.moved = now;
        let mut lanes = self.lanes.iter_mut().filter(|lane| lane.waiting() > 0.0).peekable();
        while let Some(lane) = lanes.next() {
            let most = if lanes.peek().is_some() { left * (1.0 - LEFT) } else { left };
            let share = lane.waiting().min(most);
            lane.call(share);
            left -= share;
        }
        if now.since(self.swept) >= SWEEP && !self.tickets.is_empty() {
            self.swept = now;
            self.tickets.retain(|_, ticket| ticket.until > now);
            self.strangers = self.tickets.values().filter(|ticket| ticket.lane == Lane::Stranger).count();
            if self.tickets.is_empty() {
                self.tickets = Map::default();
            }
        }
    }

    /// How a phone stands.
    pub fn standing(&self, account: u64) -> Standing {
        match self.tickets.get(&account) {
            // Half a phone: the clock has milliseconds.
            Some(ticket) if ticket.number <= self.of(ticket.lane).called + 0.5 => Standing::Due,
            Some(_) => Standing::Early,
            None => Standing::New,
        }
    }

    /// Whether somebody waits in a lane before this one.
    pub fn is_behind(&self, lane: Lane) -> bool {
        self.lanes.iter().take(lane as usize).any(|before| before.waiting() >= 1.0)
    }

    /// Phones that wait.
    pub fn waiting(&self) -> u64 {
        self.lanes.iter().map(Numbers::waiting).sum::<f64>() as u64
    }

    /// A phone was let in: its number is used up.
    pub fn enter(&mut self, account: u64) {
        if self.tickets.is_empty() {
            return;
        }
        let Some(ticket) = self.tickets.remove(&account) else { return };
        if ticket.lane == Lane::Stranger {
            self.strangers = self.strangers.saturating_sub(1);
        }
        let lane = self.of_mut(ticket.lane);
        // It went before its turn: all behind it move up.
        if ticket.number > lane.called + 0.5 {
            lane.call(1.0);
        }
    }

    /// A phone is sent away; the seconds after which it should come back. `dice` is in 0 to 1.
    pub fn send_away(&mut self, now: Tick, account: u64, lane: Lane, phones: f64, dice: f64) -> (u32, bool) {
        let known = self.tickets.get(&account).copied();
        let kept = match known {
            Some(ticket) if ticket.lane == lane && ticket.number > self.of(lane).called + 0.5 => Some(ticket.number),
            _ => None,
        };
        let full = known.is_none()
            && (self.tickets.len() >= WAITING || (lane == Lane::Stranger && self.strangers >= STRANGERS));
        let number = match kept {
            Some(number) => number,
            // Not to be counted again whenever it comes back.
            None if full => self.of(lane).drawn + 1.0,
            None => {
                let lane = self.of_mut(lane);
                lane.drawn += 1.0;
                lane.drawn
            }
        };
        let wait = self.wait(lane, number, phones);
        let told = told(wait, dice);
        if !full {
            let until = now.after(u64::from(told) * 1_000 + GRACE);
            self.tickets.insert(account, Ticket { lane, number, until });
            let was = known.is_some_and(|ticket| ticket.lane == Lane::Stranger);
            match (was, lane == Lane::Stranger) {
                (false, true) => self.strangers += 1,
                (true, false) => self.strangers = self.strangers.saturating_sub(1),
                _ => {}
            }
        }
        (told, !full)
    }

    /// Forgets all who wait.
    pub fn clear(&mut self) {
        *self = Self { moved: self.moved, ..Self::default() };
    }

    /// Seconds until a number is called.
    fn wait(&self, lane: Lane, number: f64, phones: f64) -> f64 {
        let before: f64 = self.lanes.iter().take(lane as usize).map(Numbers::waiting).sum();
        let own = (number - self.of(lane).called).max(0.0);
        let behind = self.lanes.iter().skip(lane as usize + 1).any(|lane| lane.waiting() > 0.0);
        let pace = phones * PACE * if behind { 1.0 - LEFT } else { 1.0 };
        (before + own) / pace.max(0.01)
    }

    const fn of(&self, lane: Lane) -> &Numbers {
        let [refresh, known, stranger] = &self.lanes;
        match lane {
            Lane::Refresh => refresh,
            Lane::Known => known,
            Lane::Stranger => stranger,
        }
    }

    const fn of_mut(&mut self, lane: Lane) -> &mut Numbers {
        let [refresh, known, stranger] = &mut self.lanes;
        match lane {
            Lane::Refresh => refresh,
            Lane::Known => known,
            Lane::Stranger => stranger,
        }
    }
}

/// Whole seconds for a wait, spread so that those sent away together do not come back together.
fn told(wait: f64, dice: f64) -> u32 {
    let most = f64::from(LONGEST);
    // Rather too early: who comes before its turn is told the rest, who comes after it leaves the PBX idle.
    let spread = if wait > most { most * (0.5 + dice / 2.0) } else { wait * (0.75 + dice / 4.0) + dice };
    (spread.ceil() as u32).clamp(1, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(lanes: &mut Lanes, now: u64, account: u64, lane: Lane) -> u32 {
        lanes.send_away(Tick(now), account, lane, 100.0, 0.0).0
    }

    #[test]
    fn the_wait_is_the_queue_divided_by_the_rate() {
        let mut lanes = Lanes::default();
        let waits: Vec<u32> = (0..900).map(|account| away(&mut lanes, 0, account, Lane::Known)).collect();
        // 100 a second, of which nine tenths are given out; at the least three quarters of the wait are told.
        assert_eq!((waits[0], waits[119], waits[120], waits[899]), (1, 1, 2, 8));
        assert_eq!(lanes.waiting(), 900);
        lanes.pass(Tick(5_000), 100.0);
        assert_eq!(lanes.waiting(), 450);
        assert_eq!((lanes.standing(449), lanes.standing(450)), (Standing::Due, Standing::Early));
        assert_eq!((away(&mut lanes, 5_000, 899, Lane::Known), lanes.waiting()), (4, 450), "it keeps its number");
        assert_eq!((away(&mut lanes, 5_000, 449, Lane::Known), lanes.waiting()), (4, 451), "its turn is over");
        lanes.pass(Tick(60_000), 100.0);
        assert_eq!((lanes.waiting(), lanes.standing(899)), (0, Standing::Due));
    }

    #[test]
    fn the_known_come_first_and_leave_an_eighth() {
        let mut lanes = Lanes::default();
        (0..90).for_each(|account| _ = away(&mut lanes, 0, account, Lane::Stranger));
        (100..190).for_each(|account| _ = away(&mut lanes, 0, account, Lane::Known));
        assert!(lanes.is_behind(Lane::Stranger) && !lanes.is_behind(Lane::Known));
        assert_eq!(away(&mut lanes, 0, 500, Lane::Stranger), 2, "the known are before it");
        assert_eq!(away(&mut lanes, 0, 501, Lane::Known), 1);
        lanes.pass(Tick(1_000), 100.0);
        assert_eq!(lanes.waiting(), 92);
        assert_eq!((lanes.standing(100 + 78), lanes.standing(10), lanes.standing(12)), {
            (Standing::Due, Standing::Due, Standing::Early)
        });
    }

    #[test]
    fn who_is_let_in_early_moves_the_others_up() {
        let mut lanes = Lanes::default();
        (0..10).for_each(|account| _ = away(&mut lanes, 0, account, Lane::Known));
        lanes.enter(9);
        assert_eq!((lanes.waiting(), lanes.standing(0), lanes.standing(9)), (9, Standing::Due, Standing::New));
        lanes.enter(0);
        assert_eq!(lanes.waiting(), 9);
    }

    #[test]
    fn the_bounds_hold_and_nobody_is_counted_twice_for_it() {
        // T19
        let mut lanes = Lanes::default();
        for account in 0..STRANGERS as u64 + 10 {
            lanes.send_away(Tick(0), account, Lane::Stranger, 100.0, 0.5);
        }
        assert_eq!((lanes.tickets.len(), lanes.waiting()), (STRANGERS, STRANGERS as u64));
        for account in 0..WAITING as u64 {
            lanes.send_away(Tick(0), 100_000 + account, Lane::Known, 100.0, 0.5);
        }
        assert_eq!(lanes.tickets.len(), WAITING);
        assert!(!lanes.send_away(Tick(0), u64::MAX, Lane::Refresh, 100.0, 0.5).1);
        lanes.pass(Tick(3_600_000), 100.0);
        assert_eq!((lanes.tickets.len(), lanes.tickets.capacity(), lanes.strangers), (0, 0, 0));
    }

    #[test]
    fn what_is_told_has_a_spread_and_an_end() {
        assert_eq!((told(0.0, 0.0), told(0.2, 0.9), told(10.0, 0.0), told(10.0, 0.99)), (1, 2, 8, 11));
        assert_eq!((told(1e9, 0.0), told(1e9, 1.0)), (LONGEST / 2, LONGEST));
    }
}
