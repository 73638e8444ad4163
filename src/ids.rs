//! Identifiers that every layer shares: stable, small, and copied freely.
//!
//! They are given by the control plane (instances, proxies, backends) or made by the data plane
//! (connections). None of them is reused while something that outlives a reload may still name it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// An instance (one customer's private PBX). Given once by the control plane, never reused, so
/// that a token or a binding of a deleted instance can never meet a new one.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
pub struct InstanceId(pub u32);

/// A proxy (a named front with addresses, services and a certificate). `0` is never given: it
/// stands for the side towards the instances in a [`ListenerId`].
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
pub struct ProxyId(pub u16);

/// One backend of one instance; unique inside the instance, never reused there.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
pub struct BackendId(pub u16);

/// A listening address: the proxy it belongs to and its number inside that proxy's row.
/// Stable across reloads, restarts and nodes, so a token may carry it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ListenerId {
    /// The proxy, or `ProxyId(0)` for the inside (towards the instances).
    pub proxy: ProxyId,
    /// The listener's number in the proxy's row.
    pub number: u8,
}

impl ListenerId {
    /// The node's own address towards the instances, named in Record-Route and Path; the number
    /// tells the address family (4 or 6).
    pub const INSIDE_V4: Self = Self { proxy: ProxyId(0), number: 4 };
    /// As [`Self::INSIDE_V4`], for IPv6.
    pub const INSIDE_V6: Self = Self { proxy: ProxyId(0), number: 6 };

    /// Whether messages on it come from (and go to) instances.
    pub const fn is_inside(self) -> bool {
        self.proxy.0 == 0
    }
}

/// A stream connection of this process: boot generation (24 bits, random at start), shard (8 bits),
/// serial (32 bits). A connection of an earlier process never equals one of this.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnId(pub u64);

impl ConnId {
    /// Builds an id from its parts; the boot generation keeps its lower 24 bits.
    pub const fn new(boot: u32, shard: Shard, serial: u32) -> Self {
        Self(((boot as u64 & 0xff_ffff) << 40) | ((shard.0 as u64) << 32) | serial as u64)
    }

    /// The shard whose thread owns the connection.
    pub const fn shard(self) -> Shard {
        Shard((self.0 >> 32) as u8)
    }

    /// Its number among the connections of its shard.
    pub const fn serial(self) -> u32 {
        self.0 as u32
    }

    /// The boot generation of the process that made it.
    pub const fn boot(self) -> u32 {
        (self.0 >> 40) as u32
    }
}

/// A device of one account of one instance: what stays the same when its connection or port changes. It is sealed
/// in tokens and never shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DeviceId(pub u64);

/// What counts as one source: an IPv4 address, or the /64 of an IPv6 one. An IPv4 address written as IPv6 is the IPv4
/// address (RFC 5118 §4.9).
pub fn source_key(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        // No IPv6 prefix in use begins with 32 zero bits, so the two kinds never meet.
        IpAddr::V6(v6) => u64::try_from(u128::from(v6) >> 64).unwrap_or(u64::MAX),
    }
}

/// A worker: one thread with its sockets, its engine shard and its timers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Shard(pub u8);

/// The transports SIP messages come over (RFC 3261 §18, RFC 7118).
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A plain stream.
    Tcp,
    /// A stream under TLS.
    Tls,
    /// A WebSocket.
    Ws,
    /// A WebSocket under TLS.
    Wss,
}

impl Transport {
    /// Whether retransmission timers are zero on it (RFC 3261 §17, RFC 7118 §5).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// The name in a Via header (`SIP/2.0/<name>`).
    pub const fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// The value of a `transport` URI parameter. `ws` serves both WebSockets (RFC 7118 §5.2.2),
    /// and TLS is written as `tcp` with a `sips` scheme or remembered by a token (RFC 5630 §5.3).
    pub const fn uri_name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp | Self::Tls => "tcp",
            Self::Ws | Self::Wss => "ws",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        })
    }
}

/// The way a message came, and the way back over the same socket or connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Flow {
    /// Datagrams between one of our addresses and a peer.
    Udp {
        /// The listener whose socket it is.
        listener: ListenerId,
        /// Our address as the peer sees it; unspecified where it is not known (from a token), and
        /// then the socket's own or the kernel's choice.
        local: SocketAddr,
        /// The peer's address.
        peer: SocketAddr,
    },
    /// A connection that is (or was) open.
    Stream {
        /// The listener that accepted it, or the inside listener for one opened by us.
        listener: ListenerId,
        /// Which connection.
        conn: ConnId,
        /// TCP, TLS, WS or WSS.
        transport: Transport,
        /// Our end.
        local: SocketAddr,
        /// The peer's end.
        peer: SocketAddr,
    },
}

impl Flow {
    /// The listener it belongs to.
    pub const fn listener(&self) -> ListenerId {
        match self {
            Self::Udp { listener, .. } | Self::Stream { listener, .. } => *listener,
        }
    }

    /// The peer's address.
    pub const fn peer(&self) -> SocketAddr {
        match self {
            Self::Udp { peer, .. } | Self::Stream { peer, .. } => *peer,
        }
    }

    /// Our address on it.
    pub const fn local(&self) -> SocketAddr {
        match self {
            Self::Udp { local, .. } | Self::Stream { local, .. } => *local,
        }
    }

    /// Its transport.
    pub const fn transport(&self) -> Transport {
        match self {
            Self::Udp { .. } => Transport::Udp,
            Self::Stream { transport, .. } => *transport,
        }
    }
}
