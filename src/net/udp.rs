//! A datagram socket that knows where a datagram was sent to, answers from there, and hears of ICMP
//! errors (X04, X06).
//!
//! One socket belongs to one worker; the kernel spreads the sources over the workers' sockets of
//! one address (`SO_REUSEPORT`). What lies in the queue is read with one system call into a [`Batch`]; nothing is
//! held back on the way out: `driver` sends at once. Also used by `health`.

use crate::ids::ListenerId;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmmsg,
    recvmsg, sendmmsg, sendto, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

/// Largest datagram there is (X16: V16 wants all of it accepted).
pub const LARGEST: usize = 65_535;
/// Datagrams that one system call takes.
const AT_ONCE: usize = 8;

/// Binds a datagram socket that others of this process may share.
pub fn bind(address: SocketAddr, receive_buffer: usize) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // Where a datagram was sent to is asked only where that is not known anyway: it costs with every datagram.
    let anywhere = address.ip().is_unspecified();
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &anywhere)?;
    } else {
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &anywhere)?;
    }
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // The kernel caps both silently at its own maximum.
    socket.set_recv_buffer_size(receive_buffer)?;
    socket.set_send_buffer_size(receive_buffer)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Fails if anybody, of this process or another, has `address`: `SO_REUSEPORT` would let a second
/// process of the same user join in silently and take half of the datagrams.
pub fn probe(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}

/// A socket in its worker's runtime.
pub struct UdpSocket {
    /// Watched for reading only: a socket watched for writing wakes its worker with every datagram that has left.
    socket: AsyncFd<std::net::UdpSocket>,
    listener: ListenerId,
    local: SocketAddr,
    scratch: RefCell<Scratch>,
}

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes of the datagram.
    pub length: usize,
    /// Who sent it.
    pub peer: SocketAddr,
    /// Our address it was sent to.
    pub local: SocketAddr,
}

/// Room for what one system call reads; one is enough for all sockets of a thread.
pub struct Batch {
    buffers: [Box<[u8]>; AT_ONCE],
    received: [Option<Received>; AT_ONCE],
}

impl Default for Batch {
    fn default() -> Self {
        // Memory that no datagram has reached is not taken from the system.
        Self { buffers: std::array::from_fn(|_| vec![0; LARGEST + 1].into()), received: [None; AT_ONCE] }
    }
}

impl Batch {
    /// The datagrams of the last reading, oldest first.
    pub fn datagrams(&self) -> impl Iterator<Item = (Received, &[u8])> {
        let both = self.received.iter().zip(&self.buffers);
        both.map_while(|(received, buffer)| {
            let received = (*received)?;
            Some((received, buffer.get(..received.length).unwrap_or_default()))
        })
    }

    /// A buffer for one datagram.
    pub fn first(&mut self) -> &mut [u8] {
        let [first, ..] = &mut self.buffers;
        first
    }
}

/// An ICMP error about a datagram of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Bytes of our datagram that came back.
    pub length: usize,
    /// Where it was going.
    pub peer: SocketAddr,
    /// Whether the peer cannot be reached; false for "too large", which the kernel learns from and
    /// the next retransmission survives.
    pub unreachable: bool,
}

struct Scratch {
    control: Vec<u8>,
    incoming: MultiHeaders<SockaddrStorage>,
    v4: MultiHeaders<SockaddrStorage>,
    v6: MultiHeaders<SockaddrStorage>,
}

impl UdpSocket {
    /// Takes a socket of [`bind`] into the current runtime.
    pub fn adopt(socket: std::net::UdpSocket, listener: ListenerId) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let errors = nix::cmsg_space!(nix::libc::sock_extended_err, nix::libc::sockaddr_in6);
        let (info4, info6) = (nix::cmsg_space!(nix::libc::in_pktinfo), nix::cmsg_space!(nix::libc::in6_pktinfo));
        // The kernel shrinks the room for control data to what it used, and `recvmmsg` of nix leaves it so: there
        // must be the same in every datagram, or none at all.
        let incoming = local.ip().is_unspecified().then(|| {
            if local.is_ipv4() {
                nix::cmsg_space!(nix::libc::in_pktinfo)
            } else {
                nix::cmsg_space!(nix::libc::in6_pktinfo)
            }
        });
        let scratch = Scratch {
            control: vec![0; errors.capacity() + info6.capacity()],
            incoming: MultiHeaders::preallocate(AT_ONCE, incoming),
            v4: MultiHeaders::preallocate(1, Some(info4)),
            v6: MultiHeaders::preallocate(1, Some(info6)),
        };
        #[allow(deprecated, reason = "its successor is unsafe; a std socket keeps its descriptor as long as it lives")]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE | Interest::ERROR)?;
        Ok(Self { socket, listener, local, scratch: RefCell::new(scratch) })
    }

    /// Whose socket it is.
    pub fn listener(&self) -> ListenerId {
        self.listener
    }

    /// The address it is bound to.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Waits for datagrams or errors; to be cleared when there are none left.
    pub async fn ready(&self) -> io::Result<AsyncFdReadyGuard<'_, std::net::UdpSocket>> {
        self.socket.ready(Interest::READABLE | Interest::ERROR).await
    }

    /// Takes what lies in the queue, as much as the batch holds; true if there may be more. An error is that of a
    /// datagram sent earlier, and tells nothing about what lies there.
    pub fn receive(&self, batch: &mut Batch) -> io::Result<bool> {
        batch.received = [None; AT_ONCE];
        let mut scratch = self.scratch.borrow_mut();
        let Batch { buffers, received } = batch;
        let mut slices = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let messages =
            recvmmsg(self.socket.as_raw_fd(), &mut scratch.incoming, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None);
        let messages = match messages {
            Ok(messages) => messages,
            Err(nix::Error::EAGAIN) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut count = 0;
        for (message, place) in messages.zip(received) {
            count += 1;
            let mut local = self.local;
            if local.ip().is_unspecified() {
                for control in message.cmsgs()? {
                    match control {
                        ControlMessageOwned::Ipv4PacketInfo(info) => {
                            local.set_ip(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into());
                        }
                        ControlMessageOwned::Ipv6PacketInfo(info) => {
                            local.set_ip(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                        }
                        _ => {}
                    }
                }
            }
            let peer = message.address.as_ref().and_then(address).ok_or(io::ErrorKind::InvalidData)?;
            *place = Some(Received { length: message.bytes, peer, local });
        }
        Ok(count == AT_ONCE)
    }

    /// Sends one datagram from `local`, or from the kernel's choice where that is unspecified.
    pub fn send(&self, bytes: &[u8], local: SocketAddr, peer: SocketAddr) -> io::Result<()> {
        match self.send_once(bytes, local, peer) {
            // The error of an earlier datagram, perhaps to another peer, is told on the next call;
            // it is in the error queue as well.
            Err(error) if is_late(&error) => self.send_once(bytes, local, peer),
            other => other,
        }
    }

    fn send_once(&self, bytes: &[u8], local: SocketAddr, peer: SocketAddr) -> io::Result<()> {
        let fd = self.socket.as_raw_fd();
        if !self.local.ip().is_unspecified() || local.ip().is_unspecified() {
            match peer {
                SocketAddr::V4(peer) => sendto(fd, bytes, &SockaddrIn::from(peer), MsgFlags::MSG_DONTWAIT)?,
                SocketAddr::V6(peer) => sendto(fd, bytes, &SockaddrIn6::from(peer), MsgFlags::MSG_DONTWAIT)?,
            };
            return Ok(());
        }
        let to = SockaddrStorage::from(peer);
        let mut scratch = self.scratch.borrow_mut();
        let slices = [[IoSlice::new(bytes)]];
        match local {
            SocketAddr::V4(local) => {
                let info = nix::libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: nix::libc::in_addr { s_addr: u32::from_ne_bytes(local.ip().octets()) },
                    ipi_addr: nix::libc::in_addr { s_addr: 0 },
                };
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmmsg(fd, &mut scratch.v4, &slices, [Some(to)], control, MsgFlags::MSG_DONTWAIT)?;
            }
            SocketAddr::V6(local) => {
                let info = nix::libc::in6_pktinfo {
                    ipi6_addr: nix::libc::in6_addr { s6_addr: local.ip().octets() },
                    ipi6_ifindex: 0,
                };
                let control = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmmsg(fd, &mut scratch.v6, &slices, [Some(to)], control, MsgFlags::MSG_DONTWAIT)?;
            }
        }
        Ok(())
    }

    /// Takes one error off the error queue, or says `WouldBlock`.
    pub fn failure(&self, buffer: &mut [u8]) -> io::Result<Failure> {
        let mut scratch = self.scratch.borrow_mut();
        let mut slices = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut scratch.control),
            MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
        )?;
        let mut errno = 0;
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::Ipv4RecvErr(error, _) => errno = error.ee_errno,
                ControlMessageOwned::Ipv6RecvErr(error, _) => errno = error.ee_errno,
                _ => {}
            }
        }
        let peer = message.address.as_ref().and_then(address).unwrap_or(self.local);
        let too_large = i32::try_from(errno).is_ok_and(|errno| errno == nix::libc::EMSGSIZE);
        Ok(Failure { length: message.bytes, peer, unreachable: errno != 0 && !too_large })
    }
}

/// Whether `error` tells of a datagram sent earlier.
pub fn is_late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
    ) || matches!(error.raw_os_error(), Some(nix::libc::ENOPROTOOPT | nix::libc::EPROTO | nix::libc::EHOSTDOWN))
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*v4).into());
    }
    storage.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTENER: ListenerId = ListenerId::INSIDE_V4;

    fn open(address: &str) -> UdpSocket {
        UdpSocket::adopt(bind(address.parse().unwrap(), 1 << 20).unwrap(), LISTENER).unwrap()
    }

    /// The next datagram; the only one that is there.
    async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Received {
        let mut batch = Batch::default();
        loop {
            let mut ready = socket.ready().await.unwrap();
            assert!(!socket.receive(&mut batch).unwrap());
            ready.clear_ready();
            if let Some((received, bytes)) = batch.datagrams().next() {
                assert_eq!(batch.datagrams().count(), 1);
                buffer[..bytes.len()].copy_from_slice(bytes);
                return received;
            }
        }
    }

    #[tokio::test]
    async fn what_lies_in_the_queue_is_read_at_once_and_in_order() {
        // X04
        for address in ["127.0.0.1:0", "0.0.0.0:0"] {
            let socket = open(address);
            let phone = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let mut batch = Batch::default();
            for round in [AT_ONCE + 1, 1, AT_ONCE, 0, 3] {
                for n in 0..round {
                    let reached: SocketAddr = format!("127.0.0.1:{}", socket.local().port()).parse().unwrap();
                    phone.send_to(&[n as u8], reached).await.unwrap();
                }
                let mut seen = Vec::new();
                let mut more = true;
                while more {
                    more = socket.receive(&mut batch).unwrap();
                    assert!(batch.datagrams().all(|(it, _)| it.local.ip().is_loopback() && it.length == 1));
                    seen.extend(batch.datagrams().map(|(_, bytes)| bytes[0] as usize));
                }
                assert_eq!(seen, (0..round).collect::<Vec<_>>(), "{address}");
            }
        }
    }

    #[tokio::test]
    async fn an_answer_leaves_from_the_address_the_request_reached() {
        // X04
        let socket = open("0.0.0.0:0");
        let phone = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let reached: SocketAddr = format!("127.0.0.77:{}", socket.local().port()).parse().unwrap();
        phone.send_to(b"hello", reached).await.unwrap();

        let mut buffer = [0; 2000];
        let received = receive(&socket, &mut buffer).await;
        assert_eq!((received.local, received.peer), (reached, phone.local_addr().unwrap()));
        assert_eq!(&buffer[..received.length], b"hello");

        socket.send(b"world", received.local, received.peer).unwrap();
        let (length, from) = phone.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..length], from), (&b"world"[..], reached));
    }

    #[tokio::test]
    async fn an_answer_over_ipv6_leaves_from_the_address_the_request_reached() {
        // X04 X13
        let socket = open("[::]:0");
        let phone = tokio::net::UdpSocket::bind("[::1]:0").await.unwrap();
        let reached: SocketAddr = format!("[::1]:{}", socket.local().port()).parse().unwrap();
        phone.send_to(b"hello", reached).await.unwrap();
        let mut buffer = [0; 2000];
        let received = receive(&socket, &mut buffer).await;
        assert_eq!(received.local, reached);
        socket.send(b"world", received.local, received.peer).unwrap();
        let (_, from) = phone.recv_from(&mut buffer).await.unwrap();
        assert_eq!(from, reached);
    }

    #[tokio::test]
    async fn a_closed_port_is_told_with_the_datagram_that_met_it() {
        // X06
        let socket = open("127.0.0.1:0");
        let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer = closed.local_addr().unwrap();
        drop(closed);
        socket.send(b"OPTIONS sip:nobody SIP/2.0", socket.local(), peer).unwrap();
        let mut buffer = [0; 2000];
        let failure = loop {
            let mut ready = socket.ready().await.unwrap();
            match socket.failure(&mut buffer) {
                Ok(failure) => break failure,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            ready.clear_ready();
        };
        assert_eq!((failure.peer, failure.unreachable), (peer, true));
        assert_eq!(&buffer[..failure.length], b"OPTIONS sip:nobody SIP/2.0");
    }

    #[tokio::test]
    async fn the_error_of_one_peer_does_not_stop_a_datagram_to_another() {
        // X06
        let socket = open("127.0.0.1:0");
        let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let gone = closed.local_addr().unwrap();
        drop(closed);
        let other = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send(b"x", socket.local(), gone).unwrap();
        socket.send(b"y", socket.local(), other.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 10];
        assert_eq!(other.recv(&mut buffer).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn the_largest_datagram_passes() {
        // V16
        let socket = open("127.0.0.1:0");
        let phone = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let large = vec![b'x'; LARGEST - 28];
        phone.send_to(&large, socket.local()).await.unwrap();
        let mut buffer = vec![0; LARGEST];
        assert_eq!(receive(&socket, &mut buffer).await.length, large.len());
        socket.send(&large, socket.local(), phone.local_addr().unwrap()).unwrap();
        assert_eq!(phone.recv(&mut buffer).await.unwrap(), large.len());
    }

    #[test]
    fn an_address_in_use_is_noticed_before_it_is_shared() {
        let first = bind("127.0.0.1:0".parse().unwrap(), 1 << 16).unwrap();
        let address = first.local_addr().unwrap();
        assert_eq!(probe(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(bind(address, 1 << 16).is_ok());
        assert!(probe("127.0.0.1:0".parse().unwrap()).is_ok());
    }
}
