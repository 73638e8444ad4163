//! One engine with a phone on one side and a PBX on the other, driven without allocating anything itself.

use super::{INSIDE, NOW, OWN, snapshot};
use nantucket::clock::{Now, Tick};
use nantucket::engine::Engine;
use nantucket::engine::config::{Config, Inside, InsideAddress};
use nantucket::engine::contract::{Input, Output};
use nantucket::engine::shared::Shared;
use nantucket::engine::token::Keyring;
use nantucket::ids::{Flow, ListenerId, Shard};
use nantucket::licence::ledger::Change;
use nantucket::route::snapshot::Snapshot;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The PBX of instance 1.
pub const PBX: &str = "10.0.0.1:5060";

pub struct Line {
    pub engine: Engine,
    pub shared: Arc<Shared>,
    pub snapshot: Snapshot,
    pub now: Now,
    /// The last request that was forwarded.
    pub request: Vec<u8>,
    /// The last response that was forwarded or made.
    pub response: Vec<u8>,
    answer: Vec<u8>,
    /// What answers and timers took.
    pub spent: Duration,
    pub timers: Duration,
}

impl Line {
    pub fn new() -> Self {
        Self::with(snapshot(1))
    }

    /// With this table.
    pub fn with(snapshot: Snapshot) -> Self {
        let inside = InsideAddress { shared: INSIDE.parse().unwrap(), own: OWN.parse().unwrap() };
        // Shard 0 looks after the registry once a second, which is no message's cost.
        let shard = Shard(1);
        let (transactions, kept_bytes, answered_bytes) = (1 << 20, usize::MAX, usize::MAX);
        let config = Config {
            shard,
            transactions,
            kept_bytes,
            answered_bytes,
            bindings: 1 << 20,
            inside: Inside { v4: Some(inside), v6: None },
            seed: 7,
            ..Config::default()
        };
        let shared = Arc::new(Shared::new(Keyring::default().rotated(NOW, [7; 32])));
        let room = || Vec::with_capacity(8_192);
        Self {
            engine: Engine::new(config, Arc::clone(&shared)),
            shared,
            snapshot,
            now: Now { tick: Tick(1_000), unix: NOW },
            request: room(),
            response: room(),
            answer: room(),
            spent: Duration::ZERO,
            timers: Duration::ZERO,
        }
    }

    /// The flow of the PBX's datagrams.
    pub fn inside() -> Flow {
        Flow::Udp { listener: ListenerId::INSIDE_V4, local: INSIDE.parse().unwrap(), peer: PBX.parse().unwrap() }
    }

    /// A message comes in. How many messages go out.
    pub fn feed(&mut self, flow: Flow, bytes: &[u8]) -> usize {
        self.engine.handle(self.now, Input::Message { flow, bytes }, &self.snapshot);
        self.drain()
    }

    /// What got the last forwarded request answers it.
    pub fn answer(&mut self, flow: Flow, start: &[u8], rows: &[u8]) -> usize {
        let mut answer = std::mem::take(&mut self.answer);
        answer.clear();
        answer.extend_from_slice(start);
        answer.extend_from_slice(b"\r\n");
        for line in self.request.split_inclusive(|b| *b == b'\n').take_while(|line| *line != b"\r\n") {
            let copied: [&[u8]; 6] = [b"Via:", b"Record-Route:", b"From:", b"To:", b"Call-ID:", b"CSeq:"];
            if !copied.iter().any(|name| line.starts_with(name)) {
                continue;
            }
            let untagged = line.starts_with(b"To:") && !line.windows(5).any(|w| w == b";tag=");
            if untagged {
                answer.extend_from_slice(&line[..line.len() - 2]);
                answer.extend_from_slice(b";tag=t1\r\n");
            } else {
                answer.extend_from_slice(line);
            }
        }
        answer.extend_from_slice(rows);
        answer.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        let start = Instant::now();
        let out = self.feed(flow, &answer);
        self.spent += start.elapsed();
        self.answer = answer;
        out
    }

    /// Time passes.
    pub fn pass(&mut self, ms: u64) {
        let start = Instant::now();
        let end = self.now.tick.after(ms);
        let unix = NOW + end.0 / 1_000;
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            self.now = Now { tick: at.max(self.now.tick), unix };
            self.engine.handle_timeout(self.now, &self.snapshot);
            self.drain();
        }
        self.now = Now { tick: end, unix };
        self.timers += start.elapsed();
    }

    fn drain(&mut self) -> usize {
        let mut sent = 0;
        let mut saves = false;
        while let Some(output) = self.engine.poll_output() {
            if matches!(output, Output::Save) {
                saves = true;
                continue;
            }
            let Output::Send { bytes, .. } = output else { panic!("{output:?}") };
            let last = if bytes.starts_with(b"SIP/2.0 ") { &mut self.response } else { &mut self.request };
            last.clear();
            last.extend_from_slice(bytes);
            sent += 1;
        }
        if saves { sent + self.keep() } else { sent }
    }

    /// Claims of seats are written down at once.
    fn keep(&mut self) -> usize {
        let mut sent = 0;
        for entry in self.shared.registry.journal.take(usize::MAX) {
            if let Change::Put { ticket: Some(ticket), .. } = entry.change {
                self.engine.handle(self.now, Input::Claimed { ticket, saved: true }, &self.snapshot);
                sent += self.drain();
            }
        }
        sent
    }
}
