//! Client transactions: what we sent to a PBX or a phone and wait on (RFC 3261 §17.1, RFC 6026 §7.2).
//!
//! One machine for both kinds. The CANCEL of an INVITE lives in its machine: it has the same branch, and the
//! timer that retransmits an INVITE is free once a provisional response has come.

use super::timing::Timing;
use super::{Change, Kind, Plan};

/// Where a client transaction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Sent, nothing heard (Calling, Trying).
    Calling,
    /// A provisional response came.
    Proceeding,
    /// INVITE only: a 2xx came; more may come (Timer M).
    Accepted,
    /// A final response came; its repetitions are absorbed (D, K).
    Completed,
}

/// What the CANCEL of an INVITE is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cancel {
    /// Nobody asked for one.
    No,
    /// Asked for; it is sent with the first provisional response (RFC 3261 §9.1).
    Wanted,
    /// Sent, unanswered; the interval of its retransmission.
    Sent(u64),
    /// Answered, or given up.
    Done,
}

/// A client transaction's machine.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// INVITE or other.
    pub kind: Kind,
    /// Whether the transport is reliable.
    pub reliable: bool,
    /// Where it is.
    pub state: State,
    /// Its CANCEL.
    pub cancel: Cancel,
    /// Given up by the response context, which waits for another branch now.
    pub abandoned: bool,
    /// The end timer runs for [`Timing::attempt`], not for 64·T1.
    attempting: bool,
    interval: u64,
}

/// What to do after a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Hand it to the response context.
    pub pass: bool,
    /// Answer it with an ACK (3xx-6xx to INVITE, each time it comes).
    pub ack: bool,
    /// Send the CANCEL now.
    pub cancel: bool,
    /// The transaction is over.
    pub over: bool,
    /// Its timers.
    pub plan: Plan,
}

/// What to do after a timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fired {
    /// Send the request again and arm the retransmission timer.
    Resend(u64),
    /// Send the CANCEL again and arm the retransmission timer.
    ResendCancel(u64),
    /// Nothing came in time (B, F, or C without an answer to the CANCEL): the branch has failed.
    Timeout,
    /// Timer C with a provisional response: cancel, and wait for 64·T1 at most.
    Cancel(Plan),
    /// The silence has lasted long enough to try the next target; this branch goes on in the background.
    Abandon(Plan),
    /// Wait on: the rest of 64·T1.
    Wait(Plan),
    /// Its time in the last state is over.
    Over,
    /// Nothing.
    Nothing,
}

impl Machine {
    /// A machine for a request that is being sent.
    pub const fn new(kind: Kind, reliable: bool, timing: &Timing) -> Self {
        Self {
            kind,
            reliable,
            state: State::Calling,
            cancel: Cancel::No,
            abandoned: false,
            attempting: false,
            interval: timing.t1,
        }
    }

    /// The timers of a request just sent; `more` tells that other targets are left to try.
    pub const fn start(&mut self, timing: &Timing, more: bool) -> Plan {
        let resend = if self.reliable { Change::Stop } else { Change::Start(self.interval) };
        self.attempting = more && timing.attempt < timing.patience();
        let patience = if self.attempting { timing.attempt } else { timing.patience() };
        Plan::new(resend, Change::Start(patience))
    }

    /// A response with this status came (100 to 699); `cancelled` tells that it answers the CANCEL.
    pub fn hear(&mut self, status: u16, timing: &Timing) -> Heard {
        match status {
            100..=199 => self.hear_provisional(status, timing),
            200..=299 => self.hear_success(timing),
            _ => self.hear_failure(timing),
        }
    }

    /// A response to our CANCEL came: it is not sent again.
    pub fn hear_cancel_answer(&mut self) -> Plan {
        if !matches!(self.cancel, Cancel::Sent(_)) {
            return Plan::default();
        }
        self.cancel = Cancel::Done;
        Plan::new(Change::Stop, Change::Keep)
    }

    /// The INVITE is to be cancelled. True if the CANCEL goes out now, with the timers it needs.
    pub fn ask_cancel(&mut self, timing: &Timing) -> Option<Plan> {
        if self.kind != Kind::Invite || self.cancel != Cancel::No {
            return None;
        }
        match self.state {
            State::Calling => {
                self.cancel = Cancel::Wanted;
                None
            }
            State::Proceeding => Some(self.start_cancel(timing)),
            State::Accepted | State::Completed => None,
        }
    }

    /// The CANCEL goes out once more, another way. Its timers.
    pub const fn cancel_again(&mut self, timing: &Timing) -> Plan {
        self.start_cancel(timing)
    }

    /// Whether a final response may still come.
    pub const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Calling | State::Proceeding)
    }

    /// The retransmission timer fired.
    pub fn on_resend(&mut self, timing: &Timing) -> Fired {
        if let Cancel::Sent(interval) = self.cancel {
            let next = timing.doubled(interval);
            self.cancel = Cancel::Sent(next);
            return Fired::ResendCancel(next);
        }
        match (self.kind, self.state) {
            // RFC 3261 §17.1.1.2: Timer A doubles without bound; B ends it.
            (Kind::Invite, State::Calling) => self.interval = self.interval.saturating_mul(2),
            (Kind::Other, State::Calling) => self.interval = timing.doubled(self.interval),
            (Kind::Other, State::Proceeding) => self.interval = timing.t2,
            _ => return Fired::Nothing,
        }
        Fired::Resend(self.interval)
    }

    /// The state's end fired; `more` tells that other targets are left to try.
    pub fn on_end(&mut self, timing: &Timing, more: bool) -> Fired {
        if self.attempting {
            self.attempting = false;
            let rest = Change::Start(timing.patience().saturating_sub(timing.attempt));
            if self.state == State::Calling && more && self.cancel == Cancel::No {
                self.abandoned = true;
                if self.kind == Kind::Invite {
                    // RFC 3261 §9.1: cancelled as soon as it shows a sign of life.
                    self.cancel = Cancel::Wanted;
                }
                return Fired::Abandon(Plan::new(Change::Stop, rest));
            }
            return Fired::Wait(Plan::new(Change::Keep, rest));
        }
        match self.state {
            State::Calling => Fired::Timeout,
            State::Proceeding if self.kind == Kind::Other => Fired::Timeout,
            State::Proceeding if self.cancel == Cancel::No => Fired::Cancel(self.start_cancel(timing)),
            State::Proceeding => Fired::Timeout,
            State::Accepted | State::Completed => Fired::Over,
        }
    }

    fn hear_provisional(&mut self, status: u16, timing: &Timing) -> Heard {
        let first = self.state == State::Calling;
        if !first && self.state != State::Proceeding {
            return Heard { pass: false, ack: false, cancel: false, over: false, plan: Plan::default() };
        }
        self.state = State::Proceeding;
        self.attempting &= self.kind == Kind::Other;
        if self.kind == Kind::Other {
            // RFC 4320 §4.1: no provisional response to a non-INVITE is passed on.
            if first {
                self.interval = timing.t2;
            }
            return Heard { pass: false, ack: false, cancel: false, over: false, plan: Plan::default() };
        }
        if self.cancel == Cancel::Wanted {
            let plan = self.start_cancel(timing);
            return Heard { pass: status != 100, ack: false, cancel: true, over: false, plan };
        }
        let resend = if first { Change::Stop } else { Change::Keep };
        // RFC 3261 §16.7(2): Timer C is reset by 101 to 199; the first 100 starts it.
        let end =
            if self.cancel == Cancel::No && (first || status != 100) { Change::Start(timing.c) } else { Change::Keep };
        Heard { pass: status != 100, ack: false, cancel: false, over: false, plan: Plan::new(resend, end) }
    }

    fn hear_success(&mut self, timing: &Timing) -> Heard {
        match (self.kind, self.state) {
            (Kind::Other, State::Calling | State::Proceeding) => self.complete(timing.linger(self.reliable), false),
            (Kind::Invite, State::Calling | State::Proceeding) => {
                self.state = State::Accepted;
                self.attempting = false;
                let plan = Plan::new(Change::Stop, Change::Start(timing.patience()));
                Heard { pass: true, ack: false, cancel: false, over: false, plan }
            }
            // RFC 6026 §7.2: every 2xx in Accepted is passed up.
            (_, State::Accepted) => Heard { pass: true, ack: false, cancel: false, over: false, plan: Plan::default() },
            (_, State::Completed) => Self::absorbed(false),
        }
    }

    fn hear_failure(&mut self, timing: &Timing) -> Heard {
        match (self.kind, self.state) {
            (Kind::Other, State::Calling | State::Proceeding) => self.complete(timing.linger(self.reliable), false),
            (Kind::Invite, State::Calling | State::Proceeding) => self.complete(timing.d(self.reliable), true),
            (Kind::Invite, State::Completed) => Self::absorbed(true),
            _ => Self::absorbed(false),
        }
    }

    fn complete(&mut self, linger: u64, ack: bool) -> Heard {
        self.state = State::Completed;
        self.attempting = false;
        let plan = if linger == 0 { Plan::STOP } else { Plan::new(Change::Stop, Change::Start(linger)) };
        Heard { pass: true, ack, cancel: false, over: linger == 0, plan }
    }

    const fn absorbed(ack: bool) -> Heard {
        let plan = Plan::new(Change::Keep, Change::Keep);
        Heard { pass: false, ack, cancel: false, over: false, plan }
    }

    const fn start_cancel(&mut self, timing: &Timing) -> Plan {
        self.cancel = Cancel::Sent(timing.t1);
        let resend = if self.reliable { Change::Stop } else { Change::Start(timing.t1) };
        // RFC 3261 §9.1: without a final response within 64·T1 the INVITE counts as cancelled.
        Plan::new(resend, Change::Start(timing.patience()))
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
    fn timer_a_doubles_without_bound_and_b_ends_it() {
        // T15
        let mut m = invite(false);
        assert_eq!(m.start(&T, false), Plan::new(Change::Start(500), Change::Start(32_000)));
        let seen: Vec<Fired> = (0..4).map(|_| m.on_resend(&T)).collect();
        assert_eq!(seen, [1_000, 2_000, 4_000, 8_000].map(Fired::Resend));
        assert_eq!(m.on_end(&T, false), Fired::Timeout);
        assert_eq!(invite(true).start(&T, false), Plan::new(Change::Stop, Change::Start(32_000)));
    }

    #[test]
    fn timer_e_doubles_up_to_t2_and_is_t2_in_proceeding() {
        // T15
        let mut m = other(false);
        m.start(&T, false);
        let seen: Vec<Fired> = (0..5).map(|_| m.on_resend(&T)).collect();
        assert_eq!(seen, [1_000, 2_000, 4_000, 4_000, 4_000].map(Fired::Resend));
        let mut m = other(false);
        m.hear(100, &T);
        assert_eq!(m.on_resend(&T), Fired::Resend(4_000));
        assert_eq!(m.on_end(&T, false), Fired::Timeout);
    }

    #[test]
    fn a_provisional_stops_timer_a_and_starts_timer_c() {
        // T12
        let mut m = invite(false);
        let first = m.hear(100, &T);
        assert!(!first.pass, "100 is not passed on");
        assert_eq!(first.plan, Plan::new(Change::Stop, Change::Start(185_000)));
        let again = m.hear(100, &T);
        assert_eq!(again.plan.end, Change::Keep, "only 101 to 199 reset it");
        for status in [101, 180, 199] {
            let ringing = m.hear(status, &T);
            assert_eq!((ringing.pass, ringing.plan.end), (true, Change::Start(185_000)));
        }
        assert_eq!(m.on_end(&T, false), Fired::Cancel(Plan::new(Change::Start(500), Change::Start(32_000))));
        assert_eq!(m.on_resend(&T), Fired::ResendCancel(1_000));
        assert_eq!(m.hear_cancel_answer().resend, Change::Stop);
        assert_eq!(m.on_end(&T, false), Fired::Timeout, "no answer to the INVITE within 64·T1");
    }

    #[test]
    fn every_2xx_passes_while_accepted() {
        // T06 T08
        let mut m = invite(false);
        let first = m.hear(200, &T);
        assert_eq!((first.pass, first.ack, first.plan), (true, false, Plan::new(Change::Stop, Change::Start(32_000))));
        for status in [200, 202] {
            assert!(m.hear(status, &T).pass);
        }
        assert!(!m.hear(486, &T).pass && !m.hear(486, &T).ack && !m.hear(180, &T).pass);
        assert_eq!(m.on_end(&T, false), Fired::Over);
    }

    #[test]
    fn a_failure_is_acked_each_time_and_passed_once() {
        // T08 T15
        let mut m = invite(false);
        let first = m.hear(486, &T);
        assert_eq!((first.pass, first.ack, first.plan.end), (true, true, Change::Start(32_000)));
        let again = m.hear(486, &T);
        assert_eq!((again.pass, again.ack, again.plan), (false, true, Plan::default()));
        let mut m = invite(true);
        assert!(m.hear(486, &T).over, "D is 0 on a stream");
        let mut m = other(false);
        let done = m.hear(486, &T);
        assert_eq!((done.pass, done.ack, done.plan.end), (true, false, Change::Start(5_000)));
        assert!(!m.hear(486, &T).pass);
        assert!(other(true).hear(200, &T).over, "K is 0 on a stream");
    }

    #[test]
    fn a_provisional_to_a_non_invite_is_not_passed() {
        // T02
        for status in [100, 101, 180, 199] {
            assert!(!other(false).hear(status, &T).pass);
        }
    }

    #[test]
    fn cancel_waits_for_the_first_provisional() {
        // C01 T14
        let mut m = invite(false);
        assert_eq!(m.ask_cancel(&T), None);
        let heard = m.hear(180, &T);
        assert!(heard.cancel && heard.pass);
        assert_eq!(heard.plan, Plan::new(Change::Start(500), Change::Start(32_000)));
        assert!(!m.hear(180, &T).cancel, "once");
        let mut m = invite(false);
        m.hear(180, &T);
        assert!(m.ask_cancel(&T).is_some());
        assert_eq!(m.ask_cancel(&T), None, "once");
        for mut done in [invite(false), invite(false)] {
            done.hear(200, &T);
            assert_eq!(done.ask_cancel(&T), None);
        }
        assert_eq!(other(false).ask_cancel(&T), None);
    }

    #[test]
    fn silence_gives_way_to_the_next_target() {
        // F15
        let mut m = invite(false);
        assert_eq!(m.start(&T, true).end, Change::Start(6_000));
        assert_eq!(m.on_end(&T, true), Fired::Abandon(Plan::new(Change::Stop, Change::Start(26_000))));
        let heard = m.hear(180, &T);
        assert!(heard.cancel, "a late sign of life is cancelled");
        let mut m = other(false);
        m.start(&T, true);
        m.hear(100, &T);
        assert_eq!(m.on_end(&T, true), Fired::Wait(Plan::new(Change::Keep, Change::Start(26_000))));
        assert_eq!(m.on_end(&T, true), Fired::Timeout);
        let mut m = other(false);
        m.start(&T, true);
        assert!(matches!(m.on_end(&T, false), Fired::Wait(_)), "the other target went down meanwhile");
        let mut m = invite(false);
        m.start(&T, true);
        m.ask_cancel(&T);
        assert!(matches!(m.on_end(&T, true), Fired::Wait(_)), "a cancelled call goes nowhere else");
    }
}
