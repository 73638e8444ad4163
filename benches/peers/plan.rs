//! What the main process tells a generator, and what it hears back: one line of JSON each way.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    pub work: Work,
    pub target: SocketAddr,
    pub over: Over,
    /// Units begun in a second; closed loops begin the next when the last has ended.
    pub rate: f64,
    /// Seconds before the measured window, and of the window.
    pub warm: f64,
    pub secs: f64,
    /// Sockets, connections or phones' addresses.
    pub sockets: usize,
    pub tenants: usize,
    /// The processes whose CPU the window is charged with.
    pub pids: Vec<i32>,
    pub cores: Vec<usize>,
    /// The certificate that servers show.
    pub trust: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// A phone refreshes its registration: REGISTER, 200.
    Register,
    /// A phone is challenged first: REGISTER, 401, REGISTER, 200.
    Digest,
    /// INVITE, 180, 200, ACK, BYE, 200.
    Call,
    /// A connection with a full TLS handshake, closed again.
    Handshake,
    /// As many TLS connections as `sockets`, held until the generator is ended.
    Idle,
    /// GET on a kept connection.
    Get,
    /// A new TLS connection with one GET.
    GetOnce,
    /// GET on streams of kept HTTP/2 connections.
    Get2,
    /// 1 KiB through a WebSocket tunnel and back.
    Echo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Over {
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Over {
    pub fn secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    pub fn websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// What a generator saw in its window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Units begun, ended well, and ended with a wrong answer.
    pub begun: u64,
    pub ok: u64,
    pub wrong: u64,
    /// The first wrong answer.
    pub example: Option<String>,
    /// Units begun more than 5 ms after their time: the generator could not keep up.
    pub late: u64,
    pub secs: f64,
    /// Microseconds.
    pub p50: f64,
    pub p99: f64,
    /// Microseconds of CPU of the system, a unit.
    pub cpu: f64,
    /// Share of one core that it had.
    pub share: f64,
    /// Share of one core that was busy with anything but this bench.
    pub foreign: f64,
}

impl Seen {
    /// Share of the units that never ended or ended wrong.
    pub fn lost(&self) -> f64 {
        if self.begun == 0 { 1.0 } else { self.begun.saturating_sub(self.ok) as f64 / self.begun as f64 }
    }

    /// Ends the account of a window: latencies in tenths of microseconds, CPU in nanoseconds.
    pub fn close(mut self, mut latencies: Vec<u32>, cpu: u64, secs: f64) -> Self {
        latencies.sort_unstable();
        let at = |share: f64| {
            let place = (latencies.len().saturating_sub(1) as f64 * share) as usize;
            latencies.get(place).map_or(0.0, |tenths| f64::from(*tenths) / 10.0)
        };
        (self.p50, self.p99) = (at(0.5), at(0.99));
        self.secs = secs;
        self.cpu = cpu as f64 / 1e3 / (self.ok.max(1)) as f64;
        self.share = cpu as f64 / 1e9 / secs;
        self
    }
}
