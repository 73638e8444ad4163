//! A flow in 24 bytes, as there is one with each contact and each way to a device. IPv6 has room of its own.

use crate::engine::token::FlowRef;
use crate::ids::{ConnId, DeviceId, Flow, ListenerId, ProxyId, Transport};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A flow, kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Packed {
    V4(V4),
    Other(Box<Flow>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct V4 {
    /// 0 over UDP.
    conn: ConnId,
    local: Ipv4Addr,
    peer: Ipv4Addr,
    local_port: u16,
    peer_port: u16,
    proxy: ProxyId,
    number: u8,
    transport: Transport,
}

/// What tells a flow from others of the node; a token does not tell all of its addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Key {
    Conn(ConnId),
    Peer(ListenerId, SocketAddr),
}

impl Key {
    pub const fn of(flow: &Flow) -> Self {
        match flow {
            Flow::Udp { listener, peer, .. } => Self::Peer(*listener, *peer),
            Flow::Stream { conn, .. } => Self::Conn(*conn),
        }
    }

    pub const fn of_ref(flow: &FlowRef) -> Self {
        match flow {
            FlowRef::Udp { listener, peer, .. } => Self::Peer(*listener, *peer),
            FlowRef::Stream { conn, .. } => Self::Conn(*conn),
        }
    }
}

impl Packed {
    pub fn new(flow: &Flow) -> Self {
        let (SocketAddr::V4(local), SocketAddr::V4(peer)) = (flow.local(), flow.peer()) else {
            return Self::Other(Box::new(*flow));
        };
        let ListenerId { proxy, number } = flow.listener();
        let conn = match flow {
            Flow::Udp { .. } => ConnId(0),
            Flow::Stream { conn, .. } => *conn,
        };
        Self::V4(V4 {
            conn,
            local: *local.ip(),
            peer: *peer.ip(),
            local_port: local.port(),
            peer_port: peer.port(),
            proxy,
            number,
            transport: flow.transport(),
        })
    }

    /// The flow that a token names, with the address at its other end, and without its device.
    pub fn of(flow: &FlowRef, ip: IpAddr) -> Self {
        Self::new(&match flow.flow() {
            Flow::Stream { listener, conn, transport, local, .. } => {
                let local = match (local.ip(), ip) {
                    (it, IpAddr::V6(_)) if it.is_unspecified() => unspecified(ip),
                    (it, _) => it,
                };
                Flow::Stream { listener, conn, transport, local: (local, 0).into(), peer: (ip, 0).into() }
            }
            udp @ Flow::Udp { .. } => udp,
        })
    }

    pub fn flow(&self) -> Flow {
        let it = match self {
            Self::V4(it) => *it,
            Self::Other(flow) => return **flow,
        };
        let listener = ListenerId { proxy: it.proxy, number: it.number };
        let (local, peer) = ((it.local, it.local_port).into(), (it.peer, it.peer_port).into());
        match it.transport {
            Transport::Udp => Flow::Udp { listener, local, peer },
            transport => Flow::Stream { listener, conn: it.conn, transport, local, peer },
        }
    }

    /// As a token names it.
    pub fn flow_ref(&self, device: DeviceId) -> FlowRef {
        FlowRef::from(&self.flow()).of(Some(device))
    }

    /// The address at its other end.
    pub const fn ip(&self) -> IpAddr {
        match self {
            Self::V4(it) => IpAddr::V4(it.peer),
            Self::Other(flow) => flow.peer().ip(),
        }
    }

    pub const fn conn(&self) -> Option<ConnId> {
        match self {
            Self::V4(V4 { transport: Transport::Udp, .. }) => None,
            Self::V4(it) => Some(it.conn),
            Self::Other(flow) => match &**flow {
                Flow::Udp { .. } => None,
                Flow::Stream { conn, .. } => Some(*conn),
            },
        }
    }

    pub fn key(&self) -> Key {
        match self {
            Self::V4(V4 { transport: Transport::Udp, proxy, number, peer, peer_port, .. }) => {
                Key::Peer(ListenerId { proxy: *proxy, number: *number }, (*peer, *peer_port).into())
            }
            Self::V4(it) => Key::Conn(it.conn),
            Self::Other(flow) => Key::of(flow),
        }
    }
}

const fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{tcp, udp};

    #[test]
    fn a_flow_comes_back_as_it_was() {
        assert_eq!((size_of::<Packed>(), size_of::<Option<Packed>>()), (24, 24));
        for flow in [udp("203.0.113.9:4"), udp("[2001:db8::1]:4"), tcp("203.0.113.9:4", 7), tcp("[2001:db8::1]:4", 7)] {
            let packed = Packed::new(&flow);
            assert_eq!((packed.flow(), packed.key(), packed.ip()), (flow, Key::of(&flow), flow.peer().ip()));
            let named = FlowRef::from(&flow).of(Some(DeviceId(5)));
            for named in [named, named.without_local()] {
                let packed = Packed::of(&named, flow.peer().ip());
                assert_eq!((packed.flow_ref(DeviceId(5)), packed.key()), (named, Key::of_ref(&named)));
                assert_eq!((packed.ip(), packed.conn()), (flow.peer().ip(), named.conn()));
            }
        }
    }
}
