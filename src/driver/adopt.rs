//! Connections that somebody else accepted and a worker goes on with: those of a port that HTTP and
//! SIP share, once it is known which of the two is spoken.
//!
//! Whoever accepts asks for a number first, so that the tickets of its TLS session can name the
//! connection, and hands everything over in one letter. A worker that has too many letters does not
//! take it; then it is closed.

use super::mail::{Mail, Post};
use crate::greeting::Greeting;
use crate::ids::{ConnId, ListenerId, Shard, Transport};
use crate::net::socket::Socket;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The first of the numbers of connections that were accepted elsewhere; those below are the workers' own.
pub(super) const FIRST: u32 = 1 << 31;

/// An open connection on its way to a worker, its handshakes done.
pub struct Adopted {
    /// The SIP listener it belongs to.
    pub listener: ListenerId,
    /// Its number, from [`Adopter::reserve`].
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
    /// Its place among the connections of whoever accepted it; given up when it ends.
    pub place: Box<dyn Send>,
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
    pub(super) fn register(self) -> io::Result<Socket> {
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

/// Hands connections over to the workers, in turn; copied to whoever accepts.
#[derive(Clone)]
pub struct Adopter {
    post: Post,
    boot: u32,
    workers: u8,
    last: Arc<AtomicU32>,
}

impl Adopter {
    pub(super) fn new(post: Post, boot: u32, workers: u8) -> Self {
        Self { post, boot, workers, last: Arc::default() }
    }

    /// The number of a connection that may be handed over later.
    pub fn reserve(&self) -> ConnId {
        let number = self.last.fetch_add(1, Relaxed);
        let worker = u8::try_from(number % u32::from(self.workers.max(1))).unwrap_or(0);
        ConnId::new(self.boot, Shard(worker), FIRST | number)
    }

    /// Hands a connection over to the worker its number names; false, and closed, if that has too many letters.
    pub fn adopt(&self, adopted: Adopted) -> bool {
        self.post.put(adopted.conn.shard(), Mail::Adopt(Box::new(adopted)))
    }
}
