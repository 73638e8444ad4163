//! What was decided on REGISTERs of late, for the page that says why a phone was refused (R69).
//!
//! Refusals and grants have a ring each, so that a flood of the one does not push out the other; a refresh is no
//! decision. Kept in the room of the instance.

use crate::ids::Transport;
use crate::licence::ledger::Counts;
use crate::model::{Kind, Seats};
use crate::reason::Refusal;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Refusals kept of an instance.
pub const KEPT: usize = 256;
/// Grants kept: every instance has some, and who has a seat is known without them.
const GRANTS: usize = 32;
/// Bytes kept of what a device says of itself.
const LONGEST: usize = 128;

/// What became of a REGISTER.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It got a seat: the PBX answered 2xx.
    Granted,
    /// We refused it.
    Refused(Refusal),
    /// It would have been refused, but shadow mode let it pass.
    Shadowed(Refusal),
}

/// One decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Unix seconds.
    pub at: u64,
    /// User part of its To.
    pub account: String,
    /// The user whose account that is; none where nobody's.
    pub user: Option<String>,
    /// What the user is licensed as.
    pub kind: Option<Kind>,
    /// What the device is told apart by; empty where that was not asked.
    pub device: String,
    /// Its User-Agent.
    pub user_agent: String,
    /// Its Call-ID.
    pub call_id: String,
    /// Where it came from.
    pub source: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// What became of it.
    pub outcome: Outcome,
    /// Users with a seat at that moment.
    pub counts: Counts,
    /// Seats there were.
    pub seats: Seats,
    /// Seats there were for both kinds together.
    pub total: u32,
    /// The table's revision by which it was decided.
    pub revision: u64,
}

/// The decisions of one instance.
#[derive(Default, Debug)]
pub struct Decisions {
    granted: VecDeque<Decision>,
    refused: VecDeque<Decision>,
}

impl Decisions {
    /// Notes one; the oldest of its sort goes when there are as many as are kept.
    pub fn note(&mut self, decision: Decision) {
        let (ring, most) = match decision.outcome {
            Outcome::Granted => (&mut self.granted, GRANTS),
            Outcome::Refused(_) | Outcome::Shadowed(_) => (&mut self.refused, KEPT),
        };
        if ring.len() >= most {
            ring.pop_front();
        }
        ring.push_back(decision);
    }

    /// All of them, the newest of each sort first.
    pub fn iter(&self) -> impl Iterator<Item = &Decision> {
        self.refused.iter().rev().chain(self.granted.iter().rev())
    }
}

/// What a device says of itself, for people, cut to what is kept.
pub fn told(text: &[u8]) -> String {
    String::from_utf8_lossy(text.get(..LONGEST).unwrap_or(text)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(at: u64, outcome: Outcome) -> Decision {
        Decision {
            at,
            account: "a".into(),
            user: None,
            kind: None,
            device: String::new(),
            user_agent: String::new(),
            call_id: String::new(),
            source: "203.0.113.9:5060".parse().unwrap(),
            transport: Transport::Udp,
            outcome,
            counts: Counts::default(),
            seats: Seats::default(),
            total: 0,
            revision: 1,
        }
    }

    #[test]
    fn a_flood_of_refusals_leaves_the_grants() {
        // R69
        let mut all = Decisions::default();
        all.note(decision(1, Outcome::Granted));
        for at in 0..=KEPT as u64 {
            all.note(decision(at, Outcome::Refused(Refusal::SeatsExhausted)));
        }
        let times: Vec<u64> = all.iter().map(|d| d.at).collect();
        assert_eq!((times.len(), times[0], times[KEPT - 1], times[KEPT]), (KEPT + 1, KEPT as u64, 1, 1));
        assert_eq!(told(&[b'x'; 500]).len(), LONGEST);
    }
}
