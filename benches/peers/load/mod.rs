//! The load: a process of its own that plays phones or browsers and says what it saw.

mod connection;
mod h2;
mod http;
mod phones;
pub mod sip;

use crate::plan::{Load, Over, Seen, Work};
use crate::process;
use std::time::Instant;

/// The generator's process: the plan comes as an argument, the account goes to the standard output.
pub fn main(plan: &str) {
    process::end_with_parent();
    let load: Load = serde_json::from_str(plan).unwrap();
    process::hold_to(&load.cores);
    // Pacing needs wake-ups that are exact to microseconds.
    let _ = nix::sys::prctl::set_timerslack(1_000);
    let seen = match load.work {
        Work::Register | Work::Digest | Work::Call if load.over == Over::Udp => phones::over_udp(&load),
        Work::Register | Work::Digest | Work::Call => phones::over_streams(&load),
        Work::Handshake | Work::GetOnce => http::once(&load),
        Work::Get => http::kept(&load),
        Work::Echo => http::tunnels(&load),
        Work::Get2 => h2::streams(&load),
        Work::Idle => http::idle(&load),
    };
    println!("{}", serde_json::to_string(&seen).unwrap());
}

/// The measured part of a load: reads the system's CPU when it opens and when it closes.
pub struct Window<'a> {
    load: &'a Load,
    began: Instant,
    opened: Option<Mark>,
    closed: Option<Mark>,
}

/// The accounts at one end of the window, in nanoseconds of CPU.
struct Mark {
    at: Instant,
    system: u64,
    bench: u64,
    machine: u64,
}

impl Mark {
    fn now(load: &Load) -> Self {
        let bench = if crate::has_own_namespace() { process::cpu(&process::all()) } else { 0 };
        Self { bench, machine: process::busy(), system: process::cpu(&load.pids), at: Instant::now() }
    }
}

impl<'a> Window<'a> {
    pub fn new(load: &'a Load) -> Self {
        Self { load, began: Instant::now(), opened: None, closed: None }
    }

    /// Nanoseconds since the load began; opens and closes the window when it is time.
    pub fn now(&mut self) -> u64 {
        let ns = self.began.elapsed().as_nanos() as u64;
        if self.opened.is_none() && ns >= self.opens() {
            self.opened = Some(Mark::now(self.load));
        }
        if self.closed.is_none() && ns >= self.closes() {
            self.closed = Some(Mark::now(self.load));
        }
        ns
    }

    pub fn opens(&self) -> u64 {
        (self.load.warm * 1e9) as u64
    }

    pub fn closes(&self) -> u64 {
        ((self.load.warm + self.load.secs) * 1e9) as u64
    }

    /// Whether a unit begun at this time counts.
    pub fn holds(&self, began: u64) -> bool {
        (self.opens()..self.closes()).contains(&began)
    }

    pub fn is_over(&self) -> bool {
        self.closed.is_some()
    }

    pub fn account(self, seen: Seen, latencies: Vec<u32>) -> Seen {
        let (opened, closed) = self.opened.zip(self.closed).expect("the window has closed");
        let secs = (closed.at - opened.at).as_secs_f64();
        let foreign = (closed.machine - opened.machine).saturating_sub(closed.bench - opened.bench);
        let foreign = if crate::has_own_namespace() { foreign as f64 / 1e9 / secs } else { 0.0 };
        Seen { foreign, ..seen.close(latencies, closed.system - opened.system, secs) }
    }
}

/// In tenths of microseconds.
pub fn tenths(from: u64, to: u64) -> u32 {
    u32::try_from(to.saturating_sub(from) / 100).unwrap_or(u32::MAX)
}
