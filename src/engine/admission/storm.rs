//! A storm in a virtual world: an instance comes back, and all its phones want in within seconds.
//!
//! The PBX is a queue with workers: each takes a while for a request, the rest waits. Phones register with digest
//! and come back when they were told to, give or take.

use super::{Answer, Asked, Busy, Gate, Permit};
use crate::clock::{Now, Tick};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

/// What the PBX can do.
#[derive(Clone, Copy)]
struct Pbx {
    workers: usize,
    /// Microseconds for a challenge, and for an answer.
    takes: [u64; 2],
    /// Milliseconds there and back.
    way: u64,
}

impl Pbx {
    /// Phones it registers in a second.
    fn phones(&self) -> f64 {
        self.workers as f64 * 1e6 / (self.takes[0] + self.takes[1]) as f64
    }
}

/// What became of the storm.
#[derive(Debug)]
struct Report {
    /// Milliseconds until the last known phone and the last stranger were registered.
    known: u64,
    strangers: u64,
    /// The most requests that waited in the PBX, and the most milliseconds one did, after the first second.
    queue: usize,
    waited: u64,
    /// The longest a phone was told to wait, and the most refusals one phone got.
    told: u32,
    refusals: u32,
}

struct World {
    gate: Arc<Gate>,
    pbx: Pbx,
    rng: fastrand::Rng,
    queue: VecDeque<(u64, usize, bool)>,
    busy: BinaryHeap<Reverse<(u64, u64, usize, bool)>>,
    permits: Vec<Option<(Permit, u64)>>,
    refused: Vec<u32>,
    done: Vec<Option<u64>>,
    calls: BinaryHeap<Reverse<(u64, usize, bool)>>,
    served: u64,
}

const EPOCH: u64 = 1_800_000_000;
const MS: u64 = 1_000;

fn now(us: u64) -> Now {
    Now { tick: Tick(us / MS), unix: EPOCH + us / 1_000_000 }
}

impl World {
    fn new(pbx: Pbx, seed: u64) -> Self {
        Self {
            gate: Arc::new(Gate::new(Arc::default())),
            pbx,
            rng: fastrand::Rng::with_seed(seed),
            queue: VecDeque::new(),
            busy: BinaryHeap::new(),
            permits: Vec::new(),
            refused: Vec::new(),
            done: Vec::new(),
            calls: BinaryHeap::new(),
            served: 0,
        }
    }

    /// `known` phones that were registered before and `strangers` that were not, all within `ms`.
    fn storm(mut self, known: usize, strangers: usize, ms: u64) -> Report {
        let all = known + strangers;
        for account in 0..known {
            let asked = Asked { account: account as u64, credentials: true };
            let mut permit = self.gate.enter(now(0), asked, || false, 0.5).ok().unwrap();
            permit.sent();
            permit.close(now(0), Answer { status: 200, sent: Some(Tick(0)) });
        }
        self.gate.reset();
        self.permits.resize_with(all, || None);
        self.refused.resize(all, 0);
        self.done.resize(all, None);
        let start = 10_000_000;
        for phone in 0..all {
            let at = start + self.rng.u64(0..ms * MS);
            self.calls.push(Reverse((at, phone, false)));
        }
        let mut report = Report { known: 0, strangers: 0, queue: 0, waited: 0, told: 0, refusals: 0 };
        let mut left = all;
        while left > 0 {
            let call = self.calls.peek().map(|Reverse((at, ..))| *at);
            let answer = self.busy.peek().map(|Reverse((at, ..))| *at);
            let at = call.into_iter().chain(answer).min().unwrap();
            assert!(at < start + 7_200_000_000, "{left} phones were never registered: {report:?}");
            if answer == Some(at) {
                let Reverse((_, _, phone, credentials)) = self.busy.pop().unwrap();
                self.serve(at, start, &mut report);
                left -= usize::from(self.answered(at, phone, credentials));
            } else {
                let Reverse((_, phone, credentials)) = self.calls.pop().unwrap();
                self.call(at, phone, credentials, &mut report);
                self.serve(at, start, &mut report);
            }
        }
        let last = |done: &[Option<u64>]| done.iter().map(|at| (at.unwrap() - start) / MS).max().unwrap_or(0);
        report.known = last(&self.done[..known]);
        report.strangers = last(&self.done[known..]);
        report.refusals = *self.refused.iter().max().unwrap();
        report
    }

    fn call(&mut self, at: u64, phone: usize, credentials: bool, report: &mut Report) {
        let asked = Asked { account: phone as u64, credentials };
        let dice = self.rng.f64();
        match self.gate.enter(now(at), asked, || false, dice) {
            Ok(mut permit) => {
                permit.sent();
                self.permits[phone] = Some((permit, at));
                self.queue.push_back((at + self.pbx.way * MS / 2, phone, credentials));
            }
            Err(Busy(seconds)) => {
                self.refused[phone] += 1;
                report.told = report.told.max(seconds);
                // A phone's own clock: up to a second late; one in ten is impatient.
                let wait = u64::from(seconds) * 1_000_000;
                let wait = if phone.is_multiple_of(10) { wait / 2 } else { wait + self.rng.u64(0..1_000_000) };
                self.calls.push(Reverse((at + wait, phone, credentials)));
            }
        }
    }

    fn serve(&mut self, at: u64, start: u64, report: &mut Report) {
        while self.busy.len() < self.pbx.workers {
            let Some((came, phone, credentials)) = self.queue.pop_front() else { break };
            self.served += 1;
            let begins = at.max(came);
            if at > start + 1_000_000 {
                report.waited = report.waited.max((begins - came) / MS);
            }
            let takes = self.pbx.takes[usize::from(credentials)];
            self.busy.push(Reverse((begins + takes, self.served, phone, credentials)));
        }
        if at > start + 1_000_000 {
            report.queue = report.queue.max(self.queue.len());
        }
    }

    /// The PBX has answered; true if the phone is registered now.
    fn answered(&mut self, at: u64, phone: usize, credentials: bool) -> bool {
        let (permit, sent) = self.permits[phone].take().unwrap();
        let at = at + self.pbx.way * MS / 2;
        let status = if credentials { 200 } else { 401 };
        permit.close(now(at), Answer { status, sent: Some(Tick(sent / MS)) });
        if credentials {
            self.done[phone] = Some(at);
        } else {
            self.calls.push(Reverse((at + self.rng.u64(1..40) * MS, phone, true)));
        }
        credentials
    }
}

/// The bound: the phones divided by the PBX's rate of them, a quarter more for those that come late, and a wait.
fn bound(phones: usize, pbx: &Pbx) -> u64 {
    (phones as f64 / pbx.phones() * 1.25 * 1_000.0) as u64 + 10_000
}

#[test]
fn twenty_thousand_come_back_within_five_seconds() {
    let pbxs = [
        Pbx { workers: 1, takes: [1_000, 1_000], way: 2 },
        Pbx { workers: 8, takes: [2_000, 20_000], way: 2 },
        Pbx { workers: 4, takes: [500, 1_500], way: 40 },
        Pbx { workers: 2, takes: [10_000, 10_000], way: 1 },
    ];
    for (seed, pbx) in pbxs.into_iter().enumerate() {
        let report = World::new(pbx, seed as u64).storm(20_000, 0, 5_000);
        println!("{:.0} phones a second: {report:?}, bound {}", pbx.phones(), bound(20_000, &pbx));
        assert!(report.known <= bound(20_000, &pbx), "{report:?}");
        assert!(report.waited <= 200, "{report:?}");
    }
}

#[test]
fn the_known_are_registered_first() {
    let pbx = Pbx { workers: 1, takes: [1_000, 1_000], way: 2 };
    let report = World::new(pbx, 7).storm(4_000, 4_000, 5_000);
    println!("{report:?}");
    assert!(report.known < bound(4_000, &pbx) * 9 / 7, "{report:?}");
    assert!(report.strangers <= bound(8_000, &pbx), "{report:?}");
}

#[test]
fn a_small_instance_never_notices() {
    let pbx = Pbx { workers: 1, takes: [5_000, 5_000], way: 2 };
    let report = World::new(pbx, 9).storm(20, 0, 5_000);
    assert_eq!((report.refusals, report.told), (0, 0));
}
