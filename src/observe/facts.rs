//! What the metrics and the health pages show of the node that no counter knows: told by `app`.

use std::net::SocketAddr;

/// The node at one moment.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Where it is in its life: `starting`, `serving`, `draining`, `stopping`.
    pub phase: &'static str,
    /// Whether it wants traffic.
    pub ready: bool,
    /// Why not, or what else is wrong, for people.
    pub remarks: Vec<String>,
    /// Every listening address it has or should have.
    pub listeners: Vec<Listening>,
    /// Seconds since the table was last known to be the newest (R76).
    pub table_age: u64,
    /// Rows that had to be left out (R74).
    pub table_problems: usize,
    /// Unix seconds of the start.
    pub started: u64,
    /// Unix seconds now.
    pub now: u64,
}

/// A listening address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// A proxy's name, `inside`, `api` or `metrics`.
    pub owner: String,
    /// As in `sip-udp`.
    pub service: String,
    /// Address and port.
    pub address: SocketAddr,
    /// Whether it is bound.
    pub up: bool,
}
