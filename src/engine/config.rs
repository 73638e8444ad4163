//! What one shard's engine is told at its start; none of it changes while it runs.

use super::budget::Rate;
use super::transaction::timing::Timing;
use crate::ids::Shard;
use crate::sip::limits::Limits;
use std::net::{IpAddr, SocketAddr};

/// One shard's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which shard it is.
    pub shard: Shard,
    /// How many shards the node has.
    pub shards: u8,
    /// The process's boot generation, as in [`crate::ids::ConnId`].
    pub boot: u32,
    /// For the branches' nonces and the tables' hashes; random in a process, chosen in a simulation.
    pub seed: u64,
    /// Timer values.
    pub timing: Timing,
    /// Bounds of a message.
    pub limits: Limits,
    /// Our addresses towards the instances.
    pub inside: Inside,
    /// Whether a phone that does not say it supports Path gets none, as RFC 3327 has it (P02).
    pub strict_path: bool,
    /// Live server transactions of this shard (T19): those without a final answer.
    pub transactions: usize,
    /// Bytes of answered ones, which are kept for what is repeated; the oldest are forgotten first.
    pub answered_bytes: usize,
    /// New requests of one instance.
    pub new_requests: Rate,
    /// Bytes of messages that transactions may keep (T19); one instance's at most a quarter of it.
    pub kept_bytes: usize,
    /// Targets of an instance tried for one request.
    pub attempts: usize,
    /// Failures in a row that make a target down.
    pub fall: u32,
    /// Good answers in a row that make it up.
    pub rise: u32,
    /// Seconds in the `Retry-After` of our 503.
    pub retry_after: u32,
    /// Bindings kept for one instance.
    pub bindings: usize,
    /// Calls kept for one instance.
    pub calls: usize,
    /// Client connections of one instance over which something is registered.
    pub connections: u32,
    /// Milliseconds for which a device that lost its connection is waited for, and keeps its seat.
    pub reconnect: u64,
    /// As long after the start of the process a device is waited for that was connected to the one before.
    pub reconnect_start: u64,
    /// Milliseconds between two keep-alives of ours to one device.
    pub keep_alive: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shard: Shard(0),
            shards: 1,
            boot: 0,
            seed: 0,
            timing: Timing::default(),
            limits: Limits::DEFAULT,
            inside: Inside::default(),
            strict_path: false,
            transactions: 20_000,
            answered_bytes: 64 * 1024 * 1024,
            new_requests: Rate { per_second: 4_000, burst: 8_000 },
            kept_bytes: 256 * 1024 * 1024,
            attempts: 4,
            fall: 3,
            rise: 2,
            retry_after: 10,
            bindings: 20_000,
            calls: 20_000,
            connections: 20_000,
            reconnect: 10_000,
            reconnect_start: 30_000,
            keep_alive: 25_000,
        }
    }
}

/// The node's addresses towards the instances, by address family.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inside {
    /// For IPv4 targets.
    pub v4: Option<InsideAddress>,
    /// For IPv6 targets.
    pub v6: Option<InsideAddress>,
}

/// One family's addresses towards the instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InsideAddress {
    /// The stable address that all shards serve, over UDP and TCP: named in Record-Route, Path and
    /// Contact, and in Via over a stream.
    pub shared: SocketAddr,
    /// This shard's own UDP socket: named in Via over UDP, so that answers return to the shard.
    pub own: SocketAddr,
}

impl Inside {
    /// The stable addresses of both families.
    pub fn shared(&self) -> [Option<SocketAddr>; 2] {
        [self.v4.map(|a| a.shared), self.v6.map(|a| a.shared)]
    }

    /// The addresses for a target of this family.
    pub const fn towards(&self, target: IpAddr) -> Option<InsideAddress> {
        match target {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}
