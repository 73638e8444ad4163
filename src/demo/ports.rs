//! Free ports of the loopback, kept for the node until it has bound them.
//!
//! The node binds its addresses itself, so a port has to be chosen before. A socket that is bound
//! and does not listen keeps it from everyone who lets the kernel choose, other demos among them,
//! and lets in who asks for it by number. Called by `stage`.

use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Tries to find a port that is free everywhere.
const TRIES: usize = 64;

/// The node's ports.
pub(super) struct Ports {
    /// SIP over UDP and TCP.
    pub(super) sip: u16,
    /// SIP over TLS.
    pub(super) sip_tls: u16,
    /// HTTP.
    pub(super) http: u16,
    /// HTTPS, and SIP over WebSocket.
    pub(super) https: u16,
    /// The API.
    pub(super) api: u16,
    /// Metrics.
    pub(super) metrics: u16,
    /// Towards the instances.
    pub(super) inside: u16,
    /// Whether there is IPv6.
    pub(super) v6: bool,
    _kept: Vec<Socket>,
}

impl Ports {
    /// The ports asked for; free ones for those that are 0.
    pub(super) fn keep(args: &super::Args) -> io::Result<Self> {
        let v6 = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        let mut kept = Vec::new();
        let mut port = |asked: u16| if asked == 0 { free(v6, &mut kept) } else { Ok(asked) };
        let (sip, http, https) = (port(args.sip_port)?, port(args.http_port)?, port(args.https_port)?);
        let sip_tls = port(args.sip_tls_port)?;
        let (api, metrics, inside) = (port(args.api_port)?, port(args.metrics_port)?, port(0)?);
        Ok(Self { sip, sip_tls, http, https, api, metrics, inside, v6, _kept: kept })
    }

    /// A port on every loopback address there is.
    pub(super) fn everywhere(&self, port: u16) -> impl Iterator<Item = SocketAddr> + use<> {
        loopbacks(self.v6).map(move |ip| SocketAddr::new(ip, port))
    }
}

fn loopbacks(v6: bool) -> impl Iterator<Item = IpAddr> {
    let second: Option<IpAddr> = v6.then(|| Ipv6Addr::LOCALHOST.into());
    std::iter::once(IpAddr::from(Ipv4Addr::LOCALHOST)).chain(second)
}

/// A port that nobody has, over UDP and TCP, on every loopback address.
fn free(v6: bool, kept: &mut Vec<Socket>) -> io::Result<u16> {
    for _ in 0..TRIES {
        let first = hold(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let port = first.local_addr()?.as_socket().map_or(0, |address| address.port());
        let datagrams = loopbacks(v6).all(|ip| UdpSocket::bind((ip, port)).is_ok());
        let second = v6.then(|| hold(SocketAddr::from((Ipv6Addr::LOCALHOST, port)))).transpose();
        if let (true, Ok(second)) = (datagrams, second) {
            kept.push(first);
            kept.extend(second);
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Binds without sharing, so that the choice is alone with its port, and allows sharing afterwards.
fn hold(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.bind(&address.into())?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tcp;

    #[test]
    fn kept_ports_are_given_to_the_node_and_to_no_other_demo() {
        let args = super::super::Args { http_port: 8080, ..super::super::Args::default() };
        let (one, other) = (Ports::keep(&args).unwrap(), Ports::keep(&args).unwrap());
        assert_eq!((one.http, other.http), (8080, 8080));
        let mut all: Vec<u16> =
            [&one, &other].iter().flat_map(|p| [p.sip, p.sip_tls, p.https, p.api, p.metrics, p.inside]).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 12);
        for address in one.everywhere(one.sip) {
            tcp::probe(address).unwrap();
            tcp::bind(address).unwrap();
        }
    }
}
