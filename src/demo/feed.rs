//! What the demo tells while it runs: steps with their outcome, the ladder of messages, leaks.
//!
//! Written by `round` and by the taps of phones and PBXs, read by `view`; in plain mode it prints a
//! line as soon as a step is done. Everything kept is bounded.

use super::endpoint::{Glance, Tap};
use super::lock;
use crate::clock::{Clock, Tick};
use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

/// Messages the ladder keeps.
const LADDER: usize = 100;
/// Steps kept of one round.
const STEPS: usize = 200;
/// Leaks kept: one is bad enough.
const LEAKS: usize = 8;

/// How a step ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Under way.
    Running,
    /// As it should be, after so many milliseconds.
    Passed(u64),
    /// Not as it should be.
    Failed(String),
}

/// One assertion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The rule or duty it proves, as in RULES and PROTOCOLS.
    pub rule: &'static str,
    /// What is done, in the field's own words.
    pub what: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// One message on the ladder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rung {
    /// When.
    pub at: Tick,
    /// Whose end point.
    pub who: String,
    /// Whether that end point sent it.
    pub sent: bool,
    /// Whether that end point is a PBX.
    pub pbx: bool,
    /// Method, or status and method.
    pub what: String,
}

/// The end of a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Steps that passed.
    pub passed: usize,
    /// Steps that did not.
    pub failed: usize,
}

impl Verdict {
    /// Whether nothing failed, and something was tried.
    pub const fn good(self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

/// A copy of everything, for drawing.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// Which round, from 1.
    pub round: u32,
    /// Its steps.
    pub steps: VecDeque<Step>,
    /// The newest messages, oldest first.
    pub ladder: VecDeque<Rung>,
    /// Messages so far.
    pub messages: u64,
    /// The last verdict.
    pub verdict: Option<Verdict>,
    /// Calls placed between rounds, and how many of them failed.
    pub gentle: (u64, u64),
    /// Private addresses that a phone was shown (R8).
    pub leaks: Vec<String>,
}

impl Story {
    /// What went wrong, and the verdict: what stays on the screen after the view is gone.
    pub fn lines(&self) -> Vec<String> {
        let failed = self.steps.iter().filter(|step| !matches!(step.outcome, Outcome::Passed(_)));
        failed.map(plain_line).chain(self.verdict.map(verdict_line)).collect()
    }
}

/// The feed.
pub struct Feed {
    story: Mutex<Story>,
    private: Mutex<Vec<String>>,
    clock: Clock,
    plain: bool,
}

impl Feed {
    /// A new one; `plain` prints every step.
    pub fn new(clock: Clock, plain: bool) -> Arc<Self> {
        Arc::new(Self { story: Mutex::default(), private: Mutex::default(), clock, plain })
    }

    /// The clock of the ladder.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// A copy for drawing.
    pub fn story(&self) -> Story {
        lock(&self.story).clone()
    }

    /// Adds addresses that no phone may be shown (R8).
    pub fn hide(&self, addresses: impl IntoIterator<Item = String>) {
        let mut private = lock(&self.private);
        for address in addresses {
            if !private.contains(&address) {
                private.push(address);
            }
        }
    }

    /// The private addresses that phones were shown.
    pub fn leaks(&self) -> Vec<String> {
        lock(&self.story).leaks.clone()
    }

    /// Says something in plain mode.
    pub fn say(&self, line: &str) {
        if self.plain {
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }

    /// Starts a round.
    pub fn begin(&self) -> u32 {
        let mut story = lock(&self.story);
        story.round = story.round.saturating_add(1);
        story.steps.clear();
        story.verdict = None;
        story.leaks.clear();
        story.round
    }

    /// Starts a step.
    pub fn step(&self, rule: &'static str, what: &str) {
        let mut story = lock(&self.story);
        if story.steps.len() >= STEPS {
            story.steps.pop_front();
        }
        story.steps.push_back(Step { rule, what: what.to_owned(), outcome: Outcome::Running });
    }

    /// Ends the last step.
    pub fn done(&self, outcome: Outcome) {
        let line = {
            let mut story = lock(&self.story);
            let Some(step) = story.steps.back_mut() else { return };
            step.outcome = outcome;
            plain_line(step)
        };
        self.say(&line);
    }

    /// Ends the round.
    pub fn end(&self) -> Verdict {
        let verdict = {
            let mut story = lock(&self.story);
            let passed = story.steps.iter().filter(|step| matches!(step.outcome, Outcome::Passed(_))).count();
            let verdict = Verdict { passed, failed: story.steps.len() - passed };
            story.verdict = Some(verdict);
            verdict
        };
        self.say(&verdict_line(verdict));
        verdict
    }

    /// Counts a call placed between rounds.
    pub fn gentle(&self, failed: bool) {
        let (calls, failures) = {
            let mut story = lock(&self.story);
            story.gentle.0 += 1;
            story.gentle.1 += u64::from(failed);
            story.gentle
        };
        if calls % 10 == 0 {
            self.say(&format!("....  {calls} calls, {failures} failed"));
        }
    }

    /// A watcher for end points: of a PBX, or of a phone, which may not be shown private addresses.
    pub fn tap(self: &Arc<Self>, pbx: bool) -> Tap {
        let feed = Arc::clone(self);
        Arc::new(move |glance| feed.message(glance, pbx))
    }

    fn message(&self, glance: &Glance<'_>, pbx: bool) {
        let leak = if pbx || glance.sent { None } else { self.leak(glance) };
        let what = glance.message.summary();
        let mut story = lock(&self.story);
        story.messages += 1;
        if let Some(leak) = leak.filter(|_| story.leaks.len() < LEAKS) {
            story.leaks.push(leak);
        }
        if what.ends_with("OPTIONS") && pbx {
            return;
        }
        if story.ladder.len() >= LADDER {
            story.ladder.pop_front();
        }
        let at = self.clock.now().tick;
        story.ladder.push_back(Rung { at, who: glance.who.to_owned(), sent: glance.sent, pbx, what });
    }

    /// The private address in a message's head, if there is one. Bodies are the media's.
    fn leak(&self, glance: &Glance<'_>) -> Option<String> {
        let head = glance.bytes.split_at_checked(memchr::memmem::find(glance.bytes, b"\r\n\r\n")?)?.0;
        let private = lock(&self.private);
        let shown = private.iter().find(|address| memchr::memmem::find(head, address.as_bytes()).is_some())?;
        Some(format!("{shown} to {} in {}", glance.who, glance.message.summary()))
    }
}

fn verdict_line(verdict: Verdict) -> String {
    let word = if verdict.good() { "PASS" } else { "FAIL" };
    format!("{word}  {} ok, {} failed", verdict.passed, verdict.failed)
}

/// A step as a line for logs and pipes.
fn plain_line(step: &Step) -> String {
    match &step.outcome {
        Outcome::Running => format!("....  {:<4} {}", step.rule, step.what),
        Outcome::Passed(ms) => format!("ok    {:<4} {} ({ms} ms)", step.rule, step.what),
        Outcome::Failed(why) => format!("FAIL  {:<4} {}: {why}", step.rule, step.what),
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Message;
    use super::super::wire::Peer;
    use super::*;
    use crate::ids::Transport;

    fn feed() -> Arc<Feed> {
        Feed::new(Clock::start(), false)
    }

    fn show(feed: &Arc<Feed>, pbx: bool, text: &str) {
        let bytes = text.as_bytes();
        let message = Message::read(bytes).unwrap();
        let peer = Peer { transport: Transport::Udp, address: "127.0.0.1:5060".parse().unwrap() };
        feed.tap(pbx)(&Glance { who: "alice", sent: false, peer, message: &message, bytes });
    }

    #[test]
    fn a_verdict_counts_what_did_not_pass() {
        let feed = feed();
        feed.begin();
        assert!(!feed.end().good(), "nothing tried is not good");
        for outcome in [Outcome::Passed(1), Outcome::Running, Outcome::Failed("no".into()), Outcome::Passed(2)] {
            feed.step("R1", "x");
            feed.done(outcome);
        }
        assert_eq!(feed.end(), Verdict { passed: 2, failed: 2 });
        assert_eq!(feed.begin(), 2);
        assert!(feed.story().steps.is_empty());
    }

    #[test]
    fn private_addresses_are_noticed_in_heads_that_phones_receive() {
        // R8
        let feed = feed();
        feed.hide(["127.0.0.11".to_owned()]);
        let clean = "OPTIONS sip:a SIP/2.0\r\nContact: <sip:a@127.0.0.1>\r\n\r\nc=IN IP4 127.0.0.11";
        let leaky = "OPTIONS sip:a SIP/2.0\r\nContact: <sip:a@127.0.0.11>\r\n\r\n";
        show(&feed, false, clean);
        show(&feed, true, leaky);
        assert!(feed.leaks().is_empty());
        show(&feed, false, leaky);
        assert_eq!(feed.leaks(), ["127.0.0.11 to alice in OPTIONS"]);
        assert_eq!(feed.story().messages, 3);
    }

    #[test]
    fn the_ladder_forgets_the_oldest() {
        let feed = feed();
        for number in 0..LADDER + 5 {
            show(&feed, false, &format!("SIP/2.0 200 OK\r\nCSeq: {number} INVITE\r\n\r\n"));
        }
        assert_eq!(feed.story().ladder.len(), LADDER);
    }
}
