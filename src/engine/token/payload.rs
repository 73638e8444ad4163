//! A token's inside, before sealing: as few bytes as will do.
//!
//! ```text
//! byte 0   kind (2 bits) | transport (3 bits) | IPv6 (1 bit) | our address follows (1 bit) | device follows (1 bit)
//! byte 1   expiry: days after the key's start, 255 = as long as the key
//!          instance (LEB128)
//! flows:   proxy (LEB128), listener number, [our address], peer address and port | connection (8), [device (8)]
//! backend: backend id (LEB128), address and port
//! rest:    the hidden text
//! ```

use super::{FlowRef, Token};
use crate::ids::{BackendId, ConnId, DeviceId, InstanceId, ListenerId, ProxyId, Transport};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The expiry byte of a token that lives as long as its key.
pub(super) const AS_LONG_AS_KEY: u8 = u8::MAX;

const TO_CLIENT: u8 = 0;
const TO_BACKEND: u8 = 1;
const CONTACT: u8 = 2;
const MASK: u8 = 3;

const V6: u8 = 1 << 5;
const LOCAL: u8 = 1 << 6;
/// Tokens that were sealed before devices were known do not have it.
const DEVICE: u8 = 1 << 7;

/// Appends a token's payload.
pub(super) fn write(token: &Token<'_>, expiry: u8, out: &mut Vec<u8>) {
    let head = match token {
        Token::ToClient { flow, .. } => TO_CLIENT | flow_bits(flow),
        Token::ToBackend { address, transport, .. } => {
            TO_BACKEND | transport_bits(*transport) | family(address.is_ipv6())
        }
        Token::Contact { flow, .. } => CONTACT | flow_bits(flow),
        Token::Mask { .. } => MASK,
    };
    out.extend_from_slice(&[head, expiry]);
    put_number(token.instance().0, out);
    match token {
        Token::ToClient { flow, .. } => put_flow(flow, out),
        Token::ToBackend { backend, address, .. } => {
            put_number(u32::from(backend.0), out);
            put_address(*address, out);
        }
        Token::Contact { flow, uri, .. } => {
            put_flow(flow, out);
            out.extend_from_slice(uri);
        }
        Token::Mask { text, .. } => out.extend_from_slice(text),
    }
}

/// Reads a payload: the token and its expiry byte.
pub(super) fn read(bytes: &[u8]) -> Option<(Token<'_>, u8)> {
    let mut rest = Cursor(bytes);
    let [head, expiry] = *rest.take::<2>()?;
    let transport = transport_of(head)?;
    let instance = InstanceId(rest.number()?);
    let token = match head & 0b11 {
        TO_CLIENT => Token::ToClient { instance, flow: rest.flow(head, transport)? },
        TO_BACKEND if head & DEVICE == 0 => {
            let backend = BackendId(u16::try_from(rest.number()?).ok()?);
            Token::ToBackend { instance, backend, address: rest.address(head & V6 != 0)?, transport }
        }
        CONTACT => {
            let flow = rest.flow(head, transport)?;
            return Some((Token::Contact { instance, flow, uri: rest.0 }, expiry));
        }
        MASK if head & DEVICE == 0 => return Some((Token::Mask { instance, text: rest.0 }, expiry)),
        _ => return None,
    };
    rest.0.is_empty().then_some((token, expiry))
}

const fn family(v6: bool) -> u8 {
    if v6 { V6 } else { 0 }
}

fn flow_bits(flow: &FlowRef) -> u8 {
    let (v6, local) = match flow {
        FlowRef::Udp { local, peer, .. } => (peer.is_ipv6(), local),
        FlowRef::Stream { local, .. } => (local.is_some_and(|ip| ip.is_ipv6()), local),
    };
    // Both ends of a flow are of one family; a local address of the other one is of no use.
    let has = local.is_some_and(|ip| ip.is_ipv6() == v6);
    let device = if flow.device().is_some() { DEVICE } else { 0 };
    transport_bits(flow.transport()) | family(v6) | if has { LOCAL } else { 0 } | device
}

const fn transport_bits(transport: Transport) -> u8 {
    (match transport {
        Transport::Udp => 0,
        Transport::Tcp => 1,
        Transport::Tls => 2,
        Transport::Ws => 3,
        Transport::Wss => 4,
    }) << 2
}

const fn transport_of(head: u8) -> Option<Transport> {
    Some(match (head >> 2) & 0b111 {
        0 => Transport::Udp,
        1 => Transport::Tcp,
        2 => Transport::Tls,
        3 => Transport::Ws,
        4 => Transport::Wss,
        _ => return None,
    })
}

fn put_number(mut n: u32, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_ip(ip: IpAddr, out: &mut Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
}

fn put_address(address: SocketAddr, out: &mut Vec<u8>) {
    put_ip(address.ip(), out);
    out.extend_from_slice(&address.port().to_be_bytes());
}

fn put_flow(flow: &FlowRef, out: &mut Vec<u8>) {
    let listener = flow.listener();
    put_number(u32::from(listener.proxy.0), out);
    out.push(listener.number);
    let (FlowRef::Udp { local, .. } | FlowRef::Stream { local, .. }) = flow;
    if let Some(ip) = local.filter(|_| flow_bits(flow) & LOCAL != 0) {
        put_ip(ip, out);
    }
    match flow {
        FlowRef::Udp { peer, .. } => put_address(*peer, out),
        FlowRef::Stream { conn, .. } => out.extend_from_slice(&conn.0.to_be_bytes()),
    }
    if let Some(device) = flow.device() {
        out.extend_from_slice(&device.0.to_be_bytes());
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(head)
    }

    fn number(&mut self) -> Option<u32> {
        let mut n = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = *self.take::<1>()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0xf {
                return None;
            }
            n |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    fn ip(&mut self, v6: bool) -> Option<IpAddr> {
        Some(if v6 {
            IpAddr::V6(Ipv6Addr::from(*self.take::<16>()?))
        } else {
            IpAddr::V4(Ipv4Addr::from(*self.take::<4>()?))
        })
    }

    fn address(&mut self, v6: bool) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip(v6)?, u16::from_be_bytes(*self.take()?)))
    }

    fn flow(&mut self, head: u8, transport: Transport) -> Option<FlowRef> {
        let proxy = ProxyId(u16::try_from(self.number()?).ok()?);
        let [number] = *self.take::<1>()?;
        let listener = ListenerId { proxy, number };
        let v6 = head & V6 != 0;
        let local = if head & LOCAL != 0 { Some(self.ip(v6)?) } else { None };
        let flow = if transport == Transport::Udp {
            FlowRef::Udp { listener, local, peer: self.address(v6)?, device: None }
        } else {
            let conn = ConnId(u64::from_be_bytes(*self.take()?));
            FlowRef::Stream { listener, local, transport, conn, device: None }
        };
        let device = if head & DEVICE != 0 { Some(DeviceId(u64::from_be_bytes(*self.take()?))) } else { None };
        Some(flow.of(device))
    }
}
