//! Listening sockets as a wanted set: what stays is not touched, what is new is bound before
//! anything old is closed, and what cannot be bound is reported and leaves the rest alone (R73).

use super::command::Bundle;
use crate::ids::{ListenerId, Transport};
use crate::net::{tcp, udp};
use crate::route::snapshot::Snapshot;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// What the TLS of a listener is done with; exchanged while it listens.
pub type Secure = Arc<ArcSwap<ServerConfig>>;

/// An address that is to be listened on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Whose.
    pub listener: ListenerId,
    /// What is spoken there.
    pub transport: Transport,
    /// Where; port 0 takes any.
    pub bind: SocketAddr,
    /// Whether it has its socket together with others: then whoever accepts there hands its connections over.
    pub shared: bool,
}

/// An address that is listened on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bound {
    /// As it was wanted.
    pub wanted: Wanted,
    /// As it is.
    pub address: SocketAddr,
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct Trouble {
    /// Which.
    pub wanted: Wanted,
    /// Why.
    pub error: io::Error,
}

/// The SIP listeners of a snapshot.
pub fn wanted(snapshot: &Snapshot) -> Vec<Wanted> {
    let listeners = snapshot.proxies.iter().flat_map(|proxy| proxy.listeners.iter().map(move |it| (proxy, it)));
    listeners
        .filter_map(|(proxy, listener)| {
            let transport = listener.service.sip()?;
            let shared = proxy.sharing(listener).nth(1).is_some();
            Some(Wanted { listener: listener.id, transport, bind: listener.bind, shared })
        })
        .collect()
}

impl Wanted {
    /// Whether it is the same listener, perhaps at another address.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.listener, self.transport) == (other.listener, other.transport)
    }

    /// Binds one socket for each worker.
    pub(super) fn bind(&self, workers: u8, receive_buffer: usize) -> io::Result<(SocketAddr, Bundle)> {
        match self.transport {
            Transport::Udp => {
                udp::probe(self.bind)?;
                let first = udp::bind(self.bind, receive_buffer)?;
                let address = first.local_addr()?;
                let rest = (1..workers).map(|_| udp::bind(address, receive_buffer));
                let sockets = std::iter::once(Ok(first)).chain(rest).collect::<io::Result<_>>()?;
                Ok((address, Bundle::Udp(sockets)))
            }
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                tcp::probe(self.bind)?;
                let first = tcp::bind(self.bind)?;
                let address = first.local_addr()?;
                let rest = (1..workers).map(|_| tcp::bind(address));
                let sockets = std::iter::once(Ok(first)).chain(rest).collect::<io::Result<_>>()?;
                Ok((address, Bundle::Stream(sockets)))
            }
        }
    }
}

impl Bound {
    /// Whether nothing has to be done for `wanted`.
    fn serves(&self, wanted: &Wanted) -> bool {
        self.wanted.is_same(wanted)
            && self.wanted.shared == wanted.shared
            && (self.wanted.bind == wanted.bind || self.address == wanted.bind)
    }

    /// Whether it is in the way of `wanted`.
    pub(super) fn blocks(&self, wanted: &Wanted) -> bool {
        let overlap = |a: SocketAddr, b: SocketAddr| a.ip() == b.ip() || a.ip().is_unspecified();
        let (ours, theirs) = (self.address, wanted.bind);
        let own = !self.wanted.shared && !wanted.shared;
        own && (self.wanted.transport == Transport::Udp) == (wanted.transport == Transport::Udp)
            && ours.is_ipv4() == theirs.is_ipv4()
            && ours.port() == theirs.port()
            && (overlap(ours, theirs) || overlap(theirs, ours))
    }
}

/// What has to happen so that `wanted` becomes what is bound.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Listeners that are wanted no more.
    pub(super) close: Vec<Bound>,
    /// Those to bind; one with the same listener at another address is replaced.
    pub(super) open: Vec<Wanted>,
}

/// Compares.
pub(super) fn plan(bound: &[Bound], wanted: &[Wanted]) -> Plan {
    let close = bound.iter().filter(|bound| !wanted.iter().any(|wanted| wanted.is_same(&bound.wanted)));
    let open = wanted.iter().filter(|wanted| !bound.iter().any(|bound| bound.serves(wanted)));
    Plan { close: close.copied().collect(), open: open.copied().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ProxyId;

    fn udp(number: u8, bind: &str) -> Wanted {
        let listener = ListenerId { proxy: ProxyId(1), number };
        Wanted { listener, transport: Transport::Udp, bind: bind.parse().unwrap(), shared: false }
    }

    fn at(wanted: Wanted) -> Bound {
        Bound { wanted, address: wanted.bind }
    }

    #[test]
    fn what_stays_is_left_alone() {
        // R73
        let (a, b, c) = (udp(1, "127.0.0.1:1"), udp(2, "127.0.0.1:2"), udp(3, "127.0.0.1:3"));
        assert_eq!(plan(&[at(a), at(b)], &[a, b]), Plan::default());
        assert_eq!(plan(&[at(a), at(b)], &[b, c]), Plan { close: vec![at(a)], open: vec![c] });
    }

    #[test]
    fn a_socket_that_is_shared_from_now_on_is_given_up() {
        // R73 R78
        let own = udp(1, "127.0.0.1:1");
        let shared = Wanted { shared: true, ..own };
        assert_eq!(plan(&[at(own)], &[shared]), Plan { close: vec![], open: vec![shared] });
        assert_eq!(plan(&[at(shared)], &[own]), Plan { close: vec![], open: vec![own] });
        assert!(at(own).blocks(&own) && !at(shared).blocks(&own), "it has no socket that is in the way");
    }

    #[test]
    fn a_listener_that_moves_is_opened_before_it_is_closed() {
        // R73
        let (old, new) = (udp(1, "127.0.0.1:1"), udp(1, "127.0.0.1:2"));
        assert_eq!(plan(&[at(old)], &[new]), Plan { close: vec![], open: vec![new] });
    }

    #[test]
    fn every_worker_gets_a_socket_of_the_same_address() {
        let (address, Bundle::Udp(sockets)) = udp(1, "127.0.0.1:0").bind(3, 1 << 16).unwrap() else {
            panic!("not udp")
        };
        assert_eq!(sockets.len(), 3);
        assert!(sockets.iter().all(|socket| socket.local_addr().unwrap() == address));
        assert_ne!(address.port(), 0);
        let again = udp(2, &address.to_string());
        assert_eq!(again.bind(3, 1 << 16).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
