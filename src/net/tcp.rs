//! Listening and connecting stream sockets.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream};

/// Connections the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// Binds a listening socket that others of this process may share.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Fails if anybody listens on `address`: see `udp::probe`.
pub fn probe(address: SocketAddr) -> io::Result<()> {
    socket(address)?.bind(&address.into())
}

/// Opens a connection from `local`, or from the kernel's choice where that is unspecified or of the
/// other family.
pub async fn connect(local: IpAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = if peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if !local.is_unspecified() && local.is_ipv4() == peer.is_ipv4() {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    socket.connect(peer).await
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_noticed_before_it_is_shared() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        assert_eq!(probe(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(bind(address).is_ok());
        assert!(probe("127.0.0.1:0".parse().unwrap()).is_ok());
    }

    #[tokio::test]
    async fn a_connection_leaves_from_the_address_it_is_told() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let peer = listener.local_addr().unwrap();
        let stream = connect("127.0.0.9".parse().unwrap(), peer).await.unwrap();
        assert_eq!(stream.local_addr().unwrap().ip(), "127.0.0.9".parse::<IpAddr>().unwrap());
        let any = connect("::".parse().unwrap(), peer).await.unwrap();
        assert!(any.local_addr().unwrap().ip().is_loopback());
    }
}
