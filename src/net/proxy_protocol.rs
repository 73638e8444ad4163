//! The PROXY protocol (v1 and v2): a load balancer's word on whose connection it is passing on.
//!
//! It is read before anything else is known of a connection, so that every count and every rule is
//! about the client and not about the balancer. Only peers that a proxy's row names are believed, and
//! those must send it. It reads exactly the header: what follows stays in the socket. Called by the
//! workers and by the HTTP front when they accept.

use super::counters::Loss;
use ipnet::IpNet;
use proxy_header::{Error, ParseConfig, ProxyHeader};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// No header is longer: one with addresses, and room for what cloud providers add.
const LONGEST: usize = 1024;

/// Both ends of a connection as the client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// The client.
    pub peer: SocketAddr,
    /// The address it reached.
    pub local: SocketAddr,
}

/// Whether a peer begins its connections with a header.
pub fn is_expected(peer: IpAddr, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|network| network.contains(&peer))
}

/// Reads the header; `own` are the ends of the connection itself, which stand where the balancer speaks for itself.
///
/// # Errors
/// [`Loss::ProxyHeader`]: there is no such header, or it does not come in time.
pub async fn read(stream: &TcpStream, own: Ends, patience: Duration) -> Result<Ends, Loss> {
    let read = tokio::time::timeout(patience, read_header(stream, own)).await;
    read.ok().and_then(Result::ok).ok_or(Loss::ProxyHeader)
}

async fn read_header(stream: &TcpStream, own: Ends) -> io::Result<Ends> {
    let mut buffer = [0; LONGEST];
    let mut held = 0;
    loop {
        let room = buffer.get_mut(held..).unwrap_or_default();
        let there = stream.peek(room).await?;
        if there == 0 {
            // The end, or a header that is too long.
            return Err(io::ErrorKind::InvalidData.into());
        }
        let seen = buffer.get(..held + there).unwrap_or_default();
        let (length, ends) = match ProxyHeader::parse(seen, ParseConfig::default()) {
            Ok((header, length)) => (length, Some(ends(&header, own))),
            Err(Error::BufferTooShort) => (held + there, None),
            Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        };
        take(stream, buffer.get_mut(held..length).unwrap_or_default()).await?;
        held = length;
        if let Some(ends) = ends {
            return Ok(ends);
        }
    }
}

fn ends(header: &ProxyHeader<'_>, own: Ends) -> Ends {
    header.proxied_address().map_or(own, |told| Ends { peer: told.source, local: told.destination })
}

/// Takes bytes out of the socket that were seen to be there.
async fn take(stream: &TcpStream, mut room: &mut [u8]) -> io::Result<()> {
    while !room.is_empty() {
        stream.ready(Interest::READABLE).await?;
        match stream.try_read(room) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => room = room.get_mut(n..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const V1: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 50000 5061\r\n";
    const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

    fn v2(length: u8, rest: &[u8], command: u8, family: u8) -> Vec<u8> {
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        bytes.extend([0x20 | command, family, 0, length]);
        bytes.extend(rest);
        bytes
    }

    fn v2_v6() -> Vec<u8> {
        let ip = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
        let mut rest = [ip("2001:db8::7"), ip("2001:db8::1")].concat();
        rest.extend([0xc3, 0x50, 0x13, 0xc5]);
        v2(36, &rest, 1, 0x21)
    }

    /// What becomes of these bytes, sent in pieces of so many; and what is left in the socket.
    async fn told(bytes: &[u8], piece: usize) -> (Result<Ends, Loss>, Vec<u8>, Ends) {
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut near = TcpStream::connect(door.local_addr().unwrap()).await.unwrap();
        near.set_nodelay(true).unwrap();
        let (mut far, peer) = door.accept().await.unwrap();
        let own = Ends { peer, local: far.local_addr().unwrap() };
        let send = async {
            for part in bytes.chunks(piece) {
                // The reader may have had enough.
                let _ = near.write_all(part).await;
                tokio::task::yield_now().await;
            }
            let _ = near.shutdown().await;
        };
        let (told, ()) = tokio::join!(read(&far, own, Duration::from_secs(20)), send);
        let mut rest = Vec::new();
        let _ = far.read_to_end(&mut rest).await;
        (told, rest, own)
    }

    #[tokio::test]
    async fn both_versions_tell_both_ends_and_leave_what_follows() {
        // S06: also byte by byte
        let v6 = v2_v6();
        for (header, peer, local) in
            [(V1, "203.0.113.7:50000", "192.0.2.1:5061"), (&v6, "[2001:db8::7]:50000", "[2001:db8::1]:5061")]
        {
            for piece in [1, 7, 1_000] {
                let (told, rest, _) = told(&[header, b"REGISTER"].concat(), piece).await;
                assert_eq!(told, Ok(Ends { peer: peer.parse().unwrap(), local: local.parse().unwrap() }), "{piece}");
                assert_eq!(rest, b"REGISTER", "{piece}");
            }
        }
    }

    #[tokio::test]
    async fn a_balancer_may_speak_for_itself() {
        for header in [UNKNOWN.to_vec(), v2(0, b"", 0, 0)] {
            let (told, _, own) = told(&header, 1_000).await;
            assert_eq!(told, Ok(own));
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 2_000]].concat();
        for bytes in
            [&b"REGISTER sip:x SIP/2.0\r\n"[..], b"\x16\x03\x01\x02\x00", b"PROXY TCP9 1 2 3 4\r\n", &long, b""]
        {
            assert_eq!(told(bytes, 1_000).await.0, Err(Loss::ProxyHeader), "{bytes:?}");
        }
    }

    #[test]
    fn only_those_who_are_named_are_believed() {
        let trusted = ["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        assert!(is_expected("192.0.2.7".parse().unwrap(), &trusted));
        assert!(is_expected("::ffff:192.0.2.7".parse().unwrap(), &trusted));
        assert!(is_expected("2001:db8::1".parse().unwrap(), &trusted));
        assert!(!is_expected("192.0.3.7".parse().unwrap(), &trusted));
        assert!(!is_expected("192.0.2.7".parse().unwrap(), &[]));
    }
}
