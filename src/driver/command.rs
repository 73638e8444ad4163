//! What a front tells its workers.

use super::listeners::Secure;
use crate::ids::{ListenerId, Transport};
use tokio::sync::oneshot;

/// The sockets of one listener, one for each worker.
#[derive(Debug)]
pub(super) enum Bundle {
    Udp(Vec<std::net::UdpSocket>),
    Stream(Vec<std::net::TcpListener>),
}

/// One worker's socket of a listener.
#[derive(Debug)]
pub(super) enum Socket {
    Udp(std::net::UdpSocket),
    Stream(std::net::TcpListener, Spoken),
}

/// What is spoken on a listening stream socket.
#[derive(Clone, Debug)]
pub(super) struct Spoken {
    /// TCP, TLS, or a WebSocket.
    pub(super) transport: Transport,
    /// Under which TLS; none in the clear.
    pub(super) secure: Option<Secure>,
}

impl Spoken {
    /// Whether the first bytes tell TLS from plain TCP, as on the inside: instances know one port of ours.
    pub(super) const fn is_either(&self) -> bool {
        matches!((self.transport, &self.secure), (Transport::Tcp, Some(_)))
    }
}

impl Bundle {
    /// One for each worker, in order.
    pub(super) fn split(self, spoken: &Spoken) -> Vec<Socket> {
        match self {
            Self::Udp(sockets) => sockets.into_iter().map(Socket::Udp).collect(),
            Self::Stream(sockets) => sockets.into_iter().map(|socket| Socket::Stream(socket, spoken.clone())).collect(),
        }
    }
}

/// One order; `done` is dropped when it has been carried out.
#[derive(Debug)]
pub(super) enum Command {
    /// Serve this socket, instead of the one the listener had.
    Listen { listener: ListenerId, socket: Socket, done: oneshot::Sender<()> },
    /// Listen there no more, and close what was accepted there.
    Unlisten { listener: ListenerId, transport: Transport, done: oneshot::Sender<()> },
    /// Listen there no more; what was accepted there stays.
    Leave { listener: ListenerId, transport: Transport, done: oneshot::Sender<()> },
    /// Close connections towards instances that are gone or switched off.
    Prune,
    /// End.
    Stop,
}
