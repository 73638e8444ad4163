//! What the driver is told at its start, and the bounds that may change while it runs.

use super::listeners::Secure;
use crate::engine::config::Inside;
use crate::guard::Guard;
use crate::ids::Shard;
use crate::net::admission::Rate;
use crate::net::stream::StreamLimits;
use crate::tls::client::Clients;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What a front is built with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Worker threads, 1 to 64.
    pub workers: u8,
    /// Told apart from earlier processes in connection ids; 24 bits.
    pub boot: u32,
    /// Addresses towards the instances, at most one for each family.
    pub inside: Vec<InsideOptions>,
    /// Bounds.
    pub limits: Limits,
    /// TLS towards the instances.
    pub clients: Arc<Clients>,
    /// TLS of instances towards us, on the inside's TCP port; none takes plain TCP only.
    pub inside_tls: Option<Secure>,
    /// Who is up to no good.
    pub guard: Arc<Guard>,
}

/// One address towards the instances.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InsideOptions {
    /// The stable shared address; port 0 takes any.
    pub bind: SocketAddr,
    /// What instances are told instead of it.
    pub advertise: Option<IpAddr>,
}

/// Bounds of what sockets may cost (DESIGN 10); times in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Of one connection.
    pub stream: StreamLimits,
    /// Of one message.
    pub message: crate::sip::limits::Limits,
    /// New flows of one source.
    pub new_flows: Rate,
    /// Sources that may be in debt at one time before the oldest is forgiven. Fixed at start.
    pub sources: usize,
    /// Datagram flows a worker remembers. Fixed at start.
    pub remembered_flows: usize,
    /// For how long it remembers a silent one.
    pub flow_memory: u64,
    /// Accepted connections of the whole node.
    pub connections: u32,
    /// Accepted connections of one source.
    pub source_connections: u32,
    /// TLS and WebSocket handshakes under way, of the whole node.
    pub handshakes: u32,
    /// Those of one source.
    pub source_handshakes: u32,
    /// Connections a worker may open.
    pub pool: usize,
    /// Letters in a worker's box. Fixed at start.
    pub mailbox: usize,
    /// Wanted socket buffer in bytes. Fixed when a socket is bound.
    pub receive_buffer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stream: StreamLimits {
                outbox: 256 * 1024,
                first_byte: 10_000,
                handshake: 8_000,
                partial: 8_000,
                idle: 3_900_000,
                stall: 10_000,
                connect: 4_000,
            },
            message: crate::sip::limits::Limits::DEFAULT,
            new_flows: Rate { per_second: 100, burst: 2_000 },
            sources: 65_536,
            remembered_flows: 131_072,
            flow_memory: 600_000,
            connections: 50_000,
            source_connections: 2_000,
            handshakes: 4_096,
            source_handshakes: 256,
            pool: 4_096,
            mailbox: 4_096,
            receive_buffer: 4 * 1024 * 1024,
        }
    }
}

/// What a worker's engine has to know of where it is.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Which worker.
    pub shard: Shard,
    /// Of how many.
    pub shards: u8,
    /// The boot generation.
    pub boot: u32,
    /// Addresses towards the instances, as they are told.
    pub inside: Inside,
}
