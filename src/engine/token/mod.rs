//! Tokens: what Nantucket writes into Record-Route, Path, Contact and masked URIs, and reads back.
//!
//! A token is sealed with AES-SIV (RFC 5297): short, deterministic, hidden from whoever carries it,
//! and not forgeable. "Is this entry ours?" is answered by a token that opens, never by the host
//! and port beside it, because PBXs behind NAT rewrite those (DESIGN 4, PROTOCOLS 1). A token says
//! all that routing needs, so any shard, any node and a restarted process can serve it.
//!
//! The text is `base64url(key id | SIV | payload)`, safe in a URI's user part and in a parameter.
//! This module knows no message and no table: `steer` puts tokens into headers and takes them out,
//! `app` keeps the keys on disk.

mod error;
mod keyring;
mod payload;
mod recent;

pub use error::{OpenError, SealError};
pub use keyring::{DAY, Key, Keyring, OVERLAP, ROTATION};
pub use recent::Recent;

use crate::ids::{BackendId, ConnId, DeviceId, Flow, InstanceId, ListenerId, Transport};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Longest text a [`Token::Mask`] or [`Token::Contact`] may hide.
pub const MAX_TEXT: usize = 1024;

/// No token is shorter than this; nothing below it is worth a decryption.
pub const MIN_LEN: usize = 34;

/// What a token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token<'a> {
    /// In Path and in the inside half of a Record-Route pair: to this client, over this flow.
    ToClient {
        /// Whose client.
        instance: InstanceId,
        /// The way to it.
        flow: FlowRef,
    },
    /// In the outside half of a Record-Route pair: to this address of the instance, whatever the
    /// table says today (R75).
    ToBackend {
        /// Which instance.
        instance: InstanceId,
        /// The backend as it was when the dialog began.
        backend: BackendId,
        /// Its address.
        address: SocketAddr,
        /// UDP or TCP.
        transport: Transport,
    },
    /// In the Contact of a REGISTER towards a PBX without Path: to this client, with its own URI.
    Contact {
        /// Whose client.
        instance: InstanceId,
        /// The way to it.
        flow: FlowRef,
        /// The Contact URI as the client wrote it.
        uri: &'a [u8],
    },
    /// Something of an instance's inside that a client may carry but not read (R8).
    Mask {
        /// Whose inside.
        instance: InstanceId,
        /// A URI, as it was.
        text: &'a [u8],
    },
}

impl Token<'_> {
    /// The instance it belongs to.
    pub const fn instance(&self) -> InstanceId {
        match self {
            Self::ToClient { instance, .. }
            | Self::ToBackend { instance, .. }
            | Self::Contact { instance, .. }
            | Self::Mask { instance, .. } => *instance,
        }
    }
}

/// A flow as a token carries it: enough to find the socket or the connection again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FlowRef {
    /// Datagrams from a listener's socket to a peer.
    Udp {
        /// The listener.
        listener: ListenerId,
        /// Our address as the peer knows it, for hosts with several.
        local: Option<IpAddr>,
        /// The peer.
        peer: SocketAddr,
        /// Whose flow it is, where that is known.
        device: Option<DeviceId>,
    },
    /// A connection of the process that sealed it.
    Stream {
        /// The listener that accepted it.
        listener: ListenerId,
        /// Our address as the peer knows it.
        local: Option<IpAddr>,
        /// TCP, TLS, WS or WSS.
        transport: Transport,
        /// Which connection.
        conn: ConnId,
        /// Whose flow it is, where that is known.
        device: Option<DeviceId>,
    },
}

impl FlowRef {
    /// The listener it belongs to.
    pub const fn listener(&self) -> ListenerId {
        match self {
            Self::Udp { listener, .. } | Self::Stream { listener, .. } => *listener,
        }
    }

    /// Its transport.
    pub const fn transport(&self) -> Transport {
        match self {
            Self::Udp { .. } => Transport::Udp,
            Self::Stream { transport, .. } => *transport,
        }
    }

    /// The device it leads to, where that is known.
    pub const fn device(&self) -> Option<DeviceId> {
        match self {
            Self::Udp { device, .. } | Self::Stream { device, .. } => *device,
        }
    }

    /// The connection it is, if it is one.
    pub const fn conn(&self) -> Option<ConnId> {
        match self {
            Self::Udp { .. } => None,
            Self::Stream { conn, .. } => Some(*conn),
        }
    }

    /// The same flow, as that of this device.
    pub const fn of(mut self, whose: Option<DeviceId>) -> Self {
        match &mut self {
            Self::Udp { device, .. } | Self::Stream { device, .. } => *device = whose,
        }
        self
    }

    /// The same flow without our own address, for listeners bound to one: saves bytes (F18).
    pub const fn without_local(mut self) -> Self {
        match &mut self {
            Self::Udp { local, .. } | Self::Stream { local, .. } => *local = None,
        }
        self
    }

    /// Whether both are the same way, whoever is at its end.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Udp { listener, peer, .. }, Self::Udp { listener: its, peer: to, .. }) => {
                listener == its && peer == to
            }
            (Self::Stream { conn, .. }, Self::Stream { conn: other, .. }) => conn == other,
            _ => false,
        }
    }

    /// The flow to send over. Addresses the token does not carry are unspecified, ports of our own
    /// are 0: the driver knows them from the listener or the connection.
    pub fn flow(&self) -> Flow {
        match *self {
            Self::Udp { listener, local, peer, .. } => {
                let ours = local.unwrap_or(if peer.is_ipv4() {
                    IpAddr::V4(Ipv4Addr::UNSPECIFIED)
                } else {
                    IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
                });
                Flow::Udp { listener, local: SocketAddr::new(ours, 0), peer }
            }
            Self::Stream { listener, local, transport, conn, .. } => {
                let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
                Flow::Stream {
                    listener,
                    conn,
                    transport,
                    local: SocketAddr::new(local.unwrap_or(unknown), 0),
                    peer: SocketAddr::new(unknown, 0),
                }
            }
        }
    }

    /// Whether a message that came over `flow` came over this one.
    pub fn is(&self, flow: &Flow) -> bool {
        match (self, flow) {
            (Self::Udp { listener, peer, .. }, Flow::Udp { listener: other, peer: from, .. }) => {
                listener == other && peer == from
            }
            (Self::Stream { conn, .. }, Flow::Stream { conn: other, .. }) => conn == other,
            _ => false,
        }
    }
}

impl From<&Flow> for FlowRef {
    fn from(flow: &Flow) -> Self {
        let ip = flow.local().ip();
        let local = (!ip.is_unspecified()).then_some(ip);
        match *flow {
            Flow::Udp { listener, peer, .. } => Self::Udp { listener, local, peer, device: None },
            Flow::Stream { listener, conn, transport, .. } => {
                Self::Stream { listener, local, transport, conn, device: None }
            }
        }
    }
}

/// Whether a text could be a token: long enough and nothing but base64url. Cheap; says nothing of
/// authenticity.
pub fn is_plausible(text: &[u8]) -> bool {
    text.len() >= MIN_LEN && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests;
