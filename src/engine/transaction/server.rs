//! Server transactions: what we were asked and have to answer (RFC 3261 §17.2, RFC 6026 §7.1, RFC 4320).

use super::timing::Timing;
use super::{Change, Kind, Plan};

/// Where a server transaction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Non-INVITE without any answer yet.
    Trying,
    /// No final answer yet.
    Proceeding,
    /// INVITE answered 2xx: its retransmissions are absorbed, further 2xx pass (Timer L).
    Accepted,
    /// Answered finally; repeated (G) until the ACK comes or time is up (H, J).
    Completed,
    /// INVITE: the ACK came (Timer I).
    Confirmed,
}

/// A server transaction's machine.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// INVITE or other.
    pub kind: Kind,
    /// Whether the transport is reliable.
    pub reliable: bool,
    /// Where it is.
    pub state: State,
    interval: u64,
}

/// What to do with a response that is to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// It may be sent.
    pub send: bool,
    /// It is kept, to be repeated for a retransmitted request.
    pub keep: bool,
    /// The transaction is over.
    pub over: bool,
    /// Nothing but the response is left, to be repeated for so many milliseconds (J).
    pub left: Option<u64>,
    /// Its timers.
    pub plan: Plan,
}

/// What to do with a request that matches the transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// Send the last response again.
    Resend,
    /// Nothing: absorbed.
    Absorb,
    /// An ACK that belongs to a 2xx: it goes on to the PBX or phone.
    Pass,
    /// The ACK that was waited for.
    Confirm {
        /// The transaction is over.
        over: bool,
        /// Its timers.
        plan: Plan,
    },
}

/// What to do after a timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fired {
    /// Send the last response again and arm the retransmission timer.
    Resend(u64),
    /// Send 100 (RFC 4320 §4.1).
    Trying,
    /// The transaction is over.
    Over,
    /// Nothing.
    Nothing,
}

impl Answer {
    /// Sent and not kept.
    const fn passed(plan: Plan) -> Self {
        Self { send: true, keep: false, over: false, left: None, plan }
    }
}

impl Machine {
    /// A machine for a request that just came.
    pub const fn new(kind: Kind, reliable: bool, timing: &Timing) -> Self {
        let state = match kind {
            Kind::Invite => State::Proceeding,
            Kind::Other => State::Trying,
        };
        Self { kind, reliable, state, interval: timing.t1 }
    }

    /// The timers of a request that just came.
    pub const fn start(&self, timing: &Timing) -> Plan {
        match self.kind {
            Kind::Invite => Plan::STOP,
            Kind::Other => Plan::new(Change::Start(timing.trying()), Change::Stop),
        }
    }

    /// A response with this status is to be sent.
    pub fn answer(&mut self, status: u16, timing: &Timing) -> Answer {
        match (self.state, status) {
            (State::Trying | State::Proceeding, 100..=199) => {
                self.state = State::Proceeding;
                Answer { keep: true, ..Answer::passed(Plan::default()) }
            }
            (State::Trying | State::Proceeding, 200..=299) if self.kind == Kind::Invite => {
                self.state = State::Accepted;
                let plan = Plan::new(Change::Stop, Change::Start(timing.patience()));
                Answer::passed(plan)
            }
            (State::Accepted, 200..=299) => Answer::passed(Plan::default()),
            (State::Trying | State::Proceeding, _) => self.complete(timing),
            _ => Answer { send: false, ..Answer::passed(Plan::default()) },
        }
    }

    /// A request that matches came again, or its ACK.
    pub fn repeat(&mut self, is_ack: bool, timing: &Timing) -> Repeat {
        match (self.state, is_ack) {
            (State::Proceeding | State::Completed, false) => Repeat::Resend,
            (State::Accepted, true) => Repeat::Pass,
            (State::Completed, true) if self.kind == Kind::Invite => {
                self.state = State::Confirmed;
                let linger = timing.linger(self.reliable);
                let plan = if linger == 0 { Plan::STOP } else { Plan::new(Change::Stop, Change::Start(linger)) };
                Repeat::Confirm { over: linger == 0, plan }
            }
            _ => Repeat::Absorb,
        }
    }

    /// The retransmission timer fired.
    pub fn on_resend(&mut self, timing: &Timing) -> Fired {
        match (self.state, self.kind) {
            (State::Trying, _) => Fired::Trying,
            (State::Completed, Kind::Invite) => {
                self.interval = timing.doubled(self.interval);
                Fired::Resend(self.interval)
            }
            _ => Fired::Nothing,
        }
    }

    /// The state's end fired.
    pub const fn on_end(&self) -> Fired {
        match self.state {
            State::Trying | State::Proceeding => Fired::Nothing,
            State::Accepted | State::Completed | State::Confirmed => Fired::Over,
        }
    }

    /// Whether a final response is still owed.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Trying | State::Proceeding)
    }

    /// Whether it is a call that is being set up.
    pub const fn is_setup(&self) -> bool {
        self.is_open() && matches!(self.kind, Kind::Invite)
    }

    fn complete(&mut self, timing: &Timing) -> Answer {
        self.state = State::Completed;
        match self.kind {
            Kind::Invite => {
                let resend = if self.reliable { Change::Stop } else { Change::Start(timing.t1) };
                let plan = Plan::new(resend, Change::Start(timing.patience()));
                Answer { keep: true, ..Answer::passed(plan) }
            }
            Kind::Other => match timing.j(self.reliable) {
                0 => Answer { over: true, ..Answer::passed(Plan::STOP) },
                j => Answer { left: Some(j), ..Answer::passed(Plan::STOP) },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Timing = Timing { t1: 500, t2: 4_000, t4: 5_000, c: 185_000, attempt: 6_000 };

    fn invite(reliable: bool) -> Machine {
        Machine::new(Kind::Invite, reliable, &T)
    }

    fn other(reliable: bool) -> Machine {
        Machine::new(Kind::Other, reliable, &T)
    }

    #[test]
    fn a_failure_is_repeated_until_the_ack() {
        // T15 T17 C05
        let mut m = invite(false);
        let answer = m.answer(486, &T);
        assert_eq!(answer.plan, Plan::new(Change::Start(500), Change::Start(32_000)));
        assert!(answer.keep);
        let seen: Vec<Fired> = (0..5).map(|_| m.on_resend(&T)).collect();
        assert_eq!(seen, [1_000, 2_000, 4_000, 4_000, 4_000].map(Fired::Resend));
        assert_eq!(m.repeat(false, &T), Repeat::Resend);
        let confirm = m.repeat(true, &T);
        assert_eq!(confirm, Repeat::Confirm { over: false, plan: Plan::new(Change::Stop, Change::Start(5_000)) });
        assert_eq!((m.repeat(true, &T), m.repeat(false, &T)), (Repeat::Absorb, Repeat::Absorb));
        assert_eq!(m.on_end(), Fired::Over);
        let mut m = invite(true);
        assert_eq!(m.answer(486, &T).plan.resend, Change::Stop, "G is for UDP");
        assert!(matches!(m.repeat(true, &T), Repeat::Confirm { over: true, .. }), "I is 0 on a stream");
    }

    #[test]
    fn accepted_absorbs_invites_and_passes_acks_and_2xx() {
        // T06 T07
        let mut m = invite(false);
        let answer = m.answer(200, &T);
        assert_eq!((answer.keep, answer.plan), (false, Plan::new(Change::Stop, Change::Start(32_000))));
        assert_eq!((m.repeat(false, &T), m.repeat(true, &T)), (Repeat::Absorb, Repeat::Pass));
        assert!(m.answer(200, &T).send && m.answer(202, &T).send);
        assert!(!m.answer(486, &T).send && !m.answer(180, &T).send);
        assert_eq!(m.on_end(), Fired::Over);
    }

    #[test]
    fn after_a_failure_nothing_else_is_answered() {
        // T06
        let mut m = invite(false);
        m.answer(486, &T);
        assert!(!m.answer(200, &T).send && !m.answer(180, &T).send && !m.answer(603, &T).send);
    }

    #[test]
    fn a_non_invite_gets_its_100_late_and_its_answer_for_64_t1() {
        // T02 T15 T17
        let mut m = other(false);
        assert_eq!(m.start(&T), Plan::new(Change::Start(3_500), Change::Stop));
        assert_eq!(m.repeat(false, &T), Repeat::Absorb, "there is no response yet");
        assert_eq!(m.on_resend(&T), Fired::Trying);
        assert!(m.answer(100, &T).send);
        assert_eq!(m.repeat(false, &T), Repeat::Resend);
        let answer = m.answer(200, &T);
        assert_eq!((answer.over, answer.left, answer.plan.end), (false, Some(32_000), Change::Stop));
        assert_eq!((m.repeat(false, &T), m.on_end()), (Repeat::Resend, Fired::Over));
        assert!(other(true).answer(200, &T).over, "J is 0 on a stream");
    }
}
