//! Connections that somebody accepted for the workers: those of a port that HTTP and SIP share, once it is known which
//! of the two is spoken, and WebSockets that HTTP has opened.
//!
//! What `http` hands over and `driver` takes; neither knows the other.

use super::socket::Socket;
use crate::greeting::Greeting;
use crate::ids::{ConnId, ListenerId, Transport};
use std::io;
use std::net::SocketAddr;

/// Who goes on with connections that were accepted elsewhere.
pub trait Workers: Send + Sync {
    /// The number of a connection that may be handed over later.
    fn reserve(&self) -> ConnId;

    /// Hands a connection over to the worker its number names; false, and closed, if that has too many letters.
    fn adopt(&self, adopted: Adopted) -> bool;
}

/// An open connection on its way to a worker, its handshakes done.
pub struct Adopted {
    /// The SIP listener it belongs to.
    pub listener: ListenerId,
    /// Its number, from [`Workers::reserve`].
    pub conn: ConnId,
    /// How SIP is spoken on it.
    pub transport: Transport,
    /// Our end.
    pub local: SocketAddr,
    /// The client's end.
    pub peer: SocketAddr,
    /// The socket; not blocking.
    pub socket: Handed,
    /// Its TLS session, where it has one that was not ended before.
    pub session: Option<rustls::ServerConnection>,
    /// What was read of it, and decrypted, already.
    pub read: Vec<u8>,
    /// What the client said in the handshakes.
    pub greeting: Greeting,
}

/// A socket that belongs to no runtime.
#[derive(Debug)]
pub enum Handed {
    /// A connection of the network.
    Tcp(std::net::TcpStream),
    /// One end of a pair, whose other end is pumped through a stream of another connection.
    Unix(std::os::unix::net::UnixStream),
}

impl Handed {
    /// Makes it the calling runtime's.
    pub fn register(self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(socket) => Socket::Tcp(tokio::net::TcpStream::from_std(socket)?),
            Self::Unix(socket) => Socket::Unix(tokio::net::UnixStream::from_std(socket)?),
        })
    }
}

impl std::fmt::Debug for Adopted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { listener, conn, transport, peer, .. } = self;
        let mut shown = f.debug_struct("Adopted");
        shown.field("listener", listener).field("conn", conn).field("transport", transport).field("peer", peer);
        shown.finish_non_exhaustive()
    }
}
