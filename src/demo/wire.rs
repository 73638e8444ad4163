//! The sockets of one end point: datagrams and streams in, one bounded queue of arrivals out.
//!
//! It frames streams and knows nothing of transactions; streams under TLS, and WebSockets on them, are opened here and
//! never accepted. Called by `endpoint`.

use super::lock;
use crate::ids::Transport;
use crate::stats::Counter;
use futures_util::{SinkExt as _, StreamExt as _};
use rustls_pki_types::ServerName;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Messages that may wait on one stream.
const STREAM_QUEUE: usize = 64;
/// Streams an end point keeps.
const MAX_STREAMS: usize = 256;
/// Largest message read from a stream.
const MAX_MESSAGE: usize = 65_535;
/// Tries to find a port that is free for both transports.
const PORT_TRIES: usize = 16;

/// The other side of a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Peer {
    /// How it is reached.
    pub transport: Transport,
    /// Its address.
    pub address: SocketAddr,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.address)
    }
}

/// Bytes that came: one datagram, or one framed message of a stream.
pub struct Arrival {
    /// From where.
    pub from: Peer,
    /// What.
    pub bytes: Vec<u8>,
}

/// What an end point listens on, at one address and port.
#[derive(Clone, Copy, Debug)]
pub struct Bind {
    /// Address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Whether datagrams are taken.
    pub udp: bool,
    /// Whether streams are accepted.
    pub tcp: bool,
}

/// Whom a stream under TLS is opened to.
#[derive(Clone)]
pub struct Trust {
    /// The certificates that are trusted.
    pub connector: TlsConnector,
    /// The server's name.
    pub name: ServerName<'static>,
}

type Streams = Arc<Mutex<HashMap<SocketAddr, mpsc::Sender<Vec<u8>>>>>;

/// The open sockets. They close when it is dropped.
pub struct Wire {
    local: SocketAddr,
    udp: Option<Arc<UdpSocket>>,
    streams: Streams,
    trust: Option<Trust>,
    hub: Hub,
    _stop: DropGuard,
}

/// What the socket tasks share.
#[derive(Clone)]
struct Hub {
    arrivals: mpsc::Sender<Arrival>,
    stop: CancellationToken,
    dropped: Arc<Counter>,
    accepted: Arc<Counter>,
}

impl Wire {
    /// Binds, and starts to read into `arrivals`. Without `trust` nothing is sent over TLS.
    pub async fn open(bind: Bind, trust: Option<Trust>, arrivals: mpsc::Sender<Arrival>) -> io::Result<Self> {
        let (udp, tcp) = bind_both(bind).await?;
        let local = match (&udp, &tcp) {
            (Some(udp), _) => udp.local_addr()?,
            (None, Some(tcp)) => tcp.local_addr()?,
            (None, None) => bind.address,
        };
        let stop = CancellationToken::new();
        let hub = Hub { arrivals, stop: stop.clone(), dropped: Arc::default(), accepted: Arc::default() };
        let streams = Streams::default();
        let udp = udp.map(Arc::new);
        if let Some(socket) = &udp {
            tokio::spawn(stop.clone().run_until_cancelled_owned(read_datagrams(Arc::clone(socket), hub.clone())));
        }
        if let Some(listener) = tcp {
            tokio::spawn(stop.clone().run_until_cancelled_owned(accept(listener, Arc::clone(&streams), hub.clone())));
        }
        Ok(Self { local, udp, streams, trust, hub, _stop: stop.drop_guard() })
    }

    /// The bound address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Arrivals dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.hub.dropped.read()
    }

    /// Streams that others opened to here.
    pub fn accepted(&self) -> u64 {
        self.hub.accepted.read()
    }

    /// Sends one message; a stream that is not there is opened.
    pub async fn send(&self, to: Peer, bytes: &[u8]) -> io::Result<()> {
        if to.transport == Transport::Udp {
            let Some(socket) = &self.udp else { return Err(io::ErrorKind::Unsupported.into()) };
            return socket.send_to(bytes, to.address).await.map(drop);
        }
        let stream = match self.stream(to.address) {
            Some(stream) => stream,
            None => self.connect(to).await?,
        };
        stream.try_send(bytes.to_vec()).map_err(|_| io::ErrorKind::WouldBlock.into())
    }

    /// Closes the stream to a peer, if there is one: the reader on the other side sees it end.
    pub fn close(&self, peer: SocketAddr) {
        lock(&self.streams).remove(&peer);
    }

    fn stream(&self, peer: SocketAddr) -> Option<mpsc::Sender<Vec<u8>>> {
        lock(&self.streams).get(&peer).filter(|stream| !stream.is_closed()).cloned()
    }

    async fn connect(&self, peer: Peer) -> io::Result<mpsc::Sender<Vec<u8>>> {
        let address = peer.address;
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if address.is_ipv4() == self.local.is_ipv4() {
            socket.bind(SocketAddr::new(self.local.ip(), 0))?;
        }
        let stream = socket.connect(address).await?;
        if !matches!(peer.transport, Transport::Tls | Transport::Wss) {
            return serve(stream, peer, &self.streams, &self.hub);
        }
        let Some(trust) = &self.trust else { return Err(io::ErrorKind::Unsupported.into()) };
        stream.set_nodelay(true)?;
        let stream = trust.connector.connect(trust.name.clone(), stream).await?;
        if peer.transport == Transport::Tls {
            let (queue, life) = begin(peer, &self.streams, &self.hub)?;
            spawn_stream(stream, peer, queue.1, life, self.hub.clone());
            return Ok(queue.0);
        }
        let mut request = format!("wss://{}/", trust.name.to_str()).into_client_request().map_err(io::Error::other)?;
        request.headers_mut().insert("sec-websocket-protocol", http::HeaderValue::from_static("sip"));
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.map_err(io::Error::other)?;
        let (queue, life) = begin(peer, &self.streams, &self.hub)?;
        tokio::spawn(life.run_until_cancelled_owned(serve_socket(socket, peer, queue.1, self.hub.clone())));
        Ok(queue.0)
    }
}

/// UDP and TCP on the same port, as every SIP listener has them (RFC 3261 §18.2.1).
async fn bind_both(bind: Bind) -> io::Result<(Option<UdpSocket>, Option<TcpListener>)> {
    let mut tries = PORT_TRIES;
    loop {
        let udp = if bind.udp { Some(UdpSocket::bind(bind.address).await?) } else { None };
        if !bind.tcp {
            return Ok((udp, None));
        }
        let address = udp.as_ref().map_or(Ok(bind.address), UdpSocket::local_addr)?;
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok((udp, Some(listener))),
            Err(error) if bind.address.port() != 0 || tries == 0 => return Err(error),
            Err(_) => tries -= 1,
        }
    }
}

async fn read_datagrams(socket: Arc<UdpSocket>, hub: Hub) {
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        let Ok((length, address)) = socket.recv_from(&mut buffer).await else { continue };
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            continue;
        }
        let from = Peer { transport: Transport::Udp, address };
        if hub.arrivals.try_send(Arrival { from, bytes: bytes.to_vec() }).is_err() {
            hub.dropped.inc();
        }
    }
}

async fn accept(listener: TcpListener, streams: Streams, hub: Hub) {
    loop {
        let Ok((stream, address)) = listener.accept().await else { continue };
        hub.accepted.inc();
        let peer = Peer { transport: Transport::Tcp, address };
        if serve(stream, peer, &streams, &hub).is_err() {
            hub.dropped.inc();
        }
    }
}

/// Both ends of what waits for a stream.
type Queue = (mpsc::Sender<Vec<u8>>, mpsc::Receiver<Vec<u8>>);

/// Makes a stream known, with what waits for it, and how long it lives.
fn begin(peer: Peer, streams: &Streams, hub: &Hub) -> io::Result<(Queue, CancellationToken)> {
    let (sender, queue) = mpsc::channel::<Vec<u8>>(STREAM_QUEUE);
    let mut streams = lock(streams);
    streams.retain(|_, stream| !stream.is_closed());
    if streams.len() >= MAX_STREAMS {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    streams.insert(peer.address, sender.clone());
    Ok(((sender, queue), hub.stop.child_token()))
}

fn serve(stream: TcpStream, peer: Peer, streams: &Streams, hub: &Hub) -> io::Result<mpsc::Sender<Vec<u8>>> {
    stream.set_nodelay(true)?;
    let ((sender, queue), life) = begin(peer, streams, hub)?;
    spawn_stream(stream, peer, queue, life, hub.clone());
    Ok(sender)
}

/// Starts the two tasks of a stream.
fn spawn_stream(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    peer: Peer,
    mut queue: mpsc::Receiver<Vec<u8>>,
    closed: CancellationToken,
    hub: Hub,
) {
    let (reader, mut writer) = tokio::io::split(stream);
    let write = async move {
        while let Some(bytes) = queue.recv().await {
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    };
    let read = read_stream(reader, peer, hub);
    let gone = closed.clone();
    tokio::spawn(async move {
        closed.run_until_cancelled(write).await;
        closed.cancel();
    });
    tokio::spawn(async move {
        gone.run_until_cancelled(read).await;
        gone.cancel();
    });
}

/// A WebSocket: each message is a SIP message (RFC 7118 §5).
async fn serve_socket(
    mut socket: WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>,
    from: Peer,
    mut queue: mpsc::Receiver<Vec<u8>>,
    hub: Hub,
) {
    loop {
        tokio::select! {
            sent = queue.recv() => {
                let Some(bytes) = sent else { return drop(socket.close(None).await) };
                let Ok(text) = String::from_utf8(bytes) else { return };
                if socket.send(tungstenite::Message::text(text)).await.is_err() {
                    return;
                }
            }
            came = socket.next() => {
                let Some(Ok(message)) = came else { return };
                if !(message.is_text() || message.is_binary()) || message.len() <= 2 {
                    continue;
                }
                let bytes = message.into_data().to_vec();
                if hub.arrivals.send(Arrival { from, bytes }).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn read_stream(mut reader: impl AsyncRead + Unpin, from: Peer, hub: Hub) {
    let mut buffer = Vec::new();
    while let Ok(1..) = reader.read_buf(&mut buffer).await {
        loop {
            match frame(&mut buffer) {
                Ok(Some(bytes)) => {
                    if hub.arrivals.send(Arrival { from, bytes }).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(()) => return,
            }
        }
    }
}

/// Takes the first whole message off a stream's buffer (RFC 3261 §18.3); an error when the stream
/// cannot be framed.
fn frame(buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>, ()> {
    let blank = buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    buffer.drain(..blank);
    let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") else {
        return if buffer.len() > MAX_MESSAGE { Err(()) } else { Ok(None) };
    };
    let head = std::str::from_utf8(buffer.get(..end).unwrap_or_default()).map_err(drop)?;
    let body: usize = head
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| matches!(name.trim().to_ascii_lowercase().as_str(), "content-length" | "l"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or(())?;
    let length = end.saturating_add(4).saturating_add(body);
    if length > MAX_MESSAGE {
        return Err(());
    }
    if buffer.len() < length {
        return Ok(None);
    }
    Ok(Some(buffer.drain(..length).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 2\r\n\r\nhi";

    async fn wire(udp: bool, tcp: bool) -> (Wire, mpsc::Receiver<Arrival>) {
        let (sender, receiver) = mpsc::channel(8);
        let bind = Bind { address: "127.0.0.1:0".parse().unwrap(), udp, tcp };
        (Wire::open(bind, None, sender).await.unwrap(), receiver)
    }

    #[test]
    fn messages_are_cut_from_a_stream_byte_by_byte() {
        let mut buffer = Vec::new();
        let mut whole = 0;
        for byte in b"\r\n\r\n".iter().chain(MESSAGE).chain(MESSAGE) {
            buffer.push(*byte);
            if let Some(message) = frame(&mut buffer).unwrap() {
                assert_eq!(message, MESSAGE);
                whole += 1;
            }
        }
        assert_eq!((whole, buffer.len()), (2, 0));
    }

    #[test]
    fn a_stream_without_length_cannot_be_framed() {
        assert_eq!(frame(&mut b"OPTIONS sip:a SIP/2.0\r\nA: b\r\n\r\n".to_vec()), Err(()));
        assert_eq!(frame(&mut b"A b\r\nContent-Length: 99999999\r\n\r\n".to_vec()), Err(()));
    }

    #[tokio::test]
    async fn both_transports_share_a_port_and_answer_on_the_same_stream() {
        let (server, mut heard) = wire(true, true).await;
        let (client, mut answers) = wire(true, false).await;
        for transport in [Transport::Udp, Transport::Tcp] {
            let peer = Peer { transport, address: server.local() };
            client.send(peer, MESSAGE).await.unwrap();
            let arrival = heard.recv().await.unwrap();
            assert_eq!((arrival.from.transport, arrival.bytes.as_slice()), (transport, MESSAGE));
            server.send(arrival.from, MESSAGE).await.unwrap();
            assert_eq!(answers.recv().await.unwrap().from, peer);
        }
        assert_eq!((server.accepted(), client.accepted()), (1, 0));
    }

    #[tokio::test]
    async fn nobody_listening_is_an_error() {
        let (closed, _) = wire(false, true).await;
        let address = closed.local();
        drop(closed);
        let (client, _answers) = wire(false, false).await;
        let refused = async {
            while client.send(Peer { transport: Transport::Tcp, address }, MESSAGE).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(5), refused).await.unwrap();
    }
}
