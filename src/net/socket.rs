//! The socket of a stream: TCP, or for a stream inside another connection one end of a pair.
//!
//! Nothing here waits but [`Socket::ready`]; called by the layers above it.

use socket2::SockRef;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;
use tokio::io::{Interest, Ready};
use tokio::net::{TcpStream, UnixStream};

/// An open stream socket.
#[derive(Debug)]
pub enum Socket {
    /// A connection of the network.
    Tcp(TcpStream),
    /// One end of a pair, whose other end carries the stream through another connection (RFC 8441).
    Unix(UnixStream),
}

impl Socket {
    /// Waits until it can be read or written, as asked.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Self::Tcp(socket) => socket.ready(interest).await,
            Self::Unix(socket) => socket.ready(interest).await,
        }
    }

    /// Reads what is there.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_read(buffer),
            Self::Unix(socket) => socket.try_read(buffer),
        }
    }

    /// Writes what there is room for.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write(bytes),
            Self::Unix(socket) => socket.try_write(bytes),
        }
    }

    /// Writes what there is room for, from several places.
    pub fn write_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write_vectored(parts),
            Self::Unix(socket) => socket.try_write_vectored(parts),
        }
    }

    /// Says that nothing more is sent.
    pub fn end_sending(&self) {
        // It may have gone; nothing depends on it.
        let _ = match self {
            Self::Tcp(socket) => SockRef::from(socket).shutdown(Shutdown::Write),
            Self::Unix(socket) => SockRef::from(socket).shutdown(Shutdown::Write),
        };
    }

    /// Our address on it; none on one end of a pair.
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Makes it send at once, and notice a peer that has vanished.
    pub fn prepare(&self) {
        let Self::Tcp(socket) = self else { return };
        let socket = SockRef::from(socket);
        let _ = socket.set_tcp_nodelay(true);
        let alive = socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(120))
            .with_interval(Duration::from_secs(20))
            .with_retries(3);
        let _ = socket.set_tcp_keepalive(&alive);
        let _ = socket.set_tcp_user_timeout(Some(Duration::from_secs(30)));
    }

    /// Makes the kernel forget what the peer has not read when the socket is closed.
    pub fn forget_unread(&self) {
        if let Self::Tcp(socket) = self {
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
    }
}

/// As the standard library has it, for what reads and writes by itself.
impl io::Read for &Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Socket::read(self, buffer)
    }
}

impl io::Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Socket::write(self, bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        Socket::write_vectored(self, parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
