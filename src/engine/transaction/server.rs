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
                Answer { send: true, keep: true, over: false, plan: Plan::default() }
            }
            (State::Trying | State::Proceeding, 200..=299) if self.kind == Kind::Invite => {
                self.state = State::Accepted;
                let plan = Plan::new(Change::Stop, Change::Start(timing.patience()));
                Answer { send: true, keep: false, over: false, plan }
            }
            (State::Accepted, 200..=299) => Answer { send: true, keep: false, over: false, plan: Plan::default() },
            (State::Trying | State::Proceeding, _) => self.complete(timing),
            _ => Answer { send: false, keep: false, over: false, plan: Plan::default() },
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

    fn complete(&mut self, timing: &Timing) -> Answer {
        self.state = State::Completed;
        let plan = match self.kind {
            Kind::Invite => {
                let resend = if self.reliable { Change::Stop } else { Change::Start(timing.t1) };
                Plan::new(resend, Change::Start(timing.patience()))
            }
            Kind::Other if self.reliable => Plan::STOP,
            Kind::Other => Plan::new(Change::Stop, Change::Start(timing.j(false))),
        };
        let over = self.kind == Kind::Other && self.reliable;
        Answer { send: true, keep: !over, over, plan }
    }
}
