//! The socket of a stream: TCP, or for a stream inside another connection one end of a pair.
//!
//! Nothing here waits but [`Socket::ready`]; called by the layers above it. What was read until the socket was empty is
//! not read again before the kernel says that there is more: on the way of a message, a call that finds nothing costs
//! as much as one that finds something.

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd as _, RawFd};
use std::task::{Context, Poll};
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

    /// Whether there is something to read; else wakes the task when there is.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_read_ready(cx),
            Self::Unix(socket) => socket.poll_read_ready(cx),
        }
    }

    /// Whether there is room to write; else wakes the task when there is.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_write_ready(cx),
            Self::Unix(socket) => socket.poll_write_ready(cx),
        }
    }

    /// Reads what is there.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut got = 0;
        let read = match self {
            Self::Tcp(socket) => socket.try_io(Interest::READABLE, || receive(socket.as_raw_fd(), buffer, &mut got)),
            Self::Unix(socket) => socket.try_io(Interest::READABLE, || receive(socket.as_raw_fd(), buffer, &mut got)),
        };
        match read {
            Err(error) if got == 0 || error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(got),
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

/// Reads, and says that the socket would block if it is empty now, also when something was read: less than asked for is
/// all there is, and what comes later, the end included, is an event of its own.
fn receive(socket: RawFd, buffer: &mut [u8], got: &mut usize) -> io::Result<()> {
    *got = loop {
        match recv(socket, buffer, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    if *got > 0 && *got < buffer.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
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
        match parts {
            // The common case, which the kernel does faster as this.
            [part] => Socket::write(self, part),
            _ => Socket::write_vectored(self, parts),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
