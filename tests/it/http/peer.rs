//! HTTP/1 by hand, from either side, with nothing in between that would mend or refuse it.

use crate::support::PATIENCE;
use socket2::{Domain, Socket, Type};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// One end of a connection.
pub struct Peer<S = TcpStream> {
    pub stream: S,
    buffer: Vec<u8>,
}

/// A message's head.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Start line.
    pub start: String,
    /// Fields in their order, names in lower case.
    pub fields: Vec<(String, String)>,
}

/// A message as it was read.
#[derive(Clone, Debug)]
pub struct Message {
    pub head: Head,
    pub body: Vec<u8>,
}

impl Head {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// The status of an answer.
    pub fn status(&self) -> u16 {
        self.start
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .unwrap_or_else(|| panic!("no answer: {:?}", self.start))
    }
}

impl Message {
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The request that an echoing instance saw.
    pub fn seen(&self) -> Head {
        assert_eq!(self.status(), 200, "{}", self.text());
        head(&self.body)
    }
}

impl Peer {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Reads a head; `None` at the end of the stream.
    pub async fn head(&mut self) -> Option<Head> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let bytes: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Some(head(&bytes));
            }
            if !self.more().await {
                assert!(self.buffer.is_empty(), "half a head: {}", String::from_utf8_lossy(&self.buffer));
                return None;
            }
        }
    }

    /// Reads the body that a request's head announces.
    pub async fn body(&mut self, head: &Head) -> Vec<u8> {
        if head.get("transfer-encoding").is_some() {
            return self.chunks().await.0;
        }
        let length = head.get("content-length").map_or(0, |l| l.parse().unwrap());
        self.exactly(length).await
    }

    /// Reads an answer; for HEAD it has no body.
    pub async fn answer_to(&mut self, method: &str) -> Message {
        let head = self.head().await.expect("an answer, not the end");
        let bodyless = method == "HEAD" || matches!(head.status(), 100..=199 | 204 | 304);
        let body = if bodyless {
            Vec::new()
        } else if head.get("transfer-encoding").is_some() || head.get("content-length").is_some() {
            self.body(&head).await
        } else {
            self.rest().await
        };
        Message { head, body }
    }

    pub async fn answer(&mut self) -> Message {
        self.answer_to("GET").await
    }

    /// Sends a request and reads the answer.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).await;
        self.answer().await
    }

    /// Chunks to their end, with the trailers.
    pub async fn chunks(&mut self) -> (Vec<u8>, Vec<String>) {
        let mut body = Vec::new();
        loop {
            let size = self.line().await;
            let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16).unwrap();
            if size == 0 {
                break;
            }
            body.extend(self.exactly(size).await);
            assert_eq!(self.line().await, "");
        }
        let mut trailers = Vec::new();
        loop {
            match self.line().await {
                line if line.is_empty() => return (body, trailers),
                line => trailers.push(line),
            }
        }
    }

    pub async fn line(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            assert!(self.more().await, "the stream ended inside a line");
        }
    }

    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(self.more().await, "the stream ended {} bytes early", length - self.buffer.len());
        }
        self.buffer.drain(..length).collect()
    }

    /// Everything up to the end of the stream.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Bytes that were read behind the last head.
    pub fn rest_of_buffer(&self) -> u64 {
        self.buffer.len() as u64
    }

    /// Waits for the end of the stream, without another byte.
    pub async fn ended(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }

    async fn more(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        let read = timeout(PATIENCE, self.stream.read(&mut piece)).await.expect("something within the test's patience");
        match read {
            Ok(n) => {
                self.buffer.extend_from_slice(&piece[..n]);
                n > 0
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// An instance's web side by hand.
pub struct Upstream {
    pub address: SocketAddr,
    connections: watch::Sender<usize>,
}

impl Upstream {
    /// Serves each connection with `serve`.
    pub async fn new<F, Done>(serve: F) -> Self
    where
        F: Fn(Peer) -> Done + Send + Sync + 'static,
        Done: Future<Output = ()> + Send + 'static,
    {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), serve)
    }

    /// One that takes little at a time, like one a long way off.
    pub fn far<F, Done>(serve: F) -> Self
    where
        F: Fn(Peer) -> Done + Send + Sync + 'static,
        Done: Future<Output = ()> + Send + 'static,
    {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        socket.set_tcp_mss(536).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(8).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self::on(TcpListener::from_std(socket.into()).unwrap(), serve)
    }

    fn on<F, Done>(listener: TcpListener, serve: F) -> Self
    where
        F: Fn(Peer) -> Done + Send + Sync + 'static,
        Done: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let connections = watch::Sender::new(0);
        let count = connections.clone();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                tcp.set_nodelay(true).unwrap();
                count.send_modify(|count| *count += 1);
                tokio::spawn(serve(Peer::new(tcp)));
            }
        });
        Self { address, connections }
    }

    /// One that answers every request with the request.
    pub async fn echo() -> Self {
        Self::new(|mut peer| async move {
            while let Some((head, raw)) = peer.head_and_bytes().await {
                let mut content = raw;
                content.extend(peer.body(&head).await);
                let length = content.len();
                peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
                if !head.start.starts_with("HEAD ") {
                    peer.send(content).await;
                }
            }
        })
        .await
    }

    /// One that gives every request the same answer, as it is.
    pub async fn says(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::new(move |mut peer| {
            let answer = Arc::clone(&answer);
            async move {
                while let Some(head) = peer.head().await {
                    peer.body(&head).await;
                    peer.send(&answer).await;
                }
            }
        })
        .await
    }

    /// Connections made to it so far.
    pub fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    /// Waits for the first of them.
    pub async fn connected(&self) {
        let mut connections = self.connections.subscribe();
        timeout(PATIENCE, connections.wait_for(|count| *count > 0)).await.expect("a connection").unwrap();
    }
}

impl Peer {
    /// A head with its bytes.
    pub async fn head_and_bytes(&mut self) -> Option<(Head, Vec<u8>)> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let bytes: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Some((head(&bytes), bytes));
            }
            if !self.more().await {
                return None;
            }
        }
    }
}

fn head(bytes: &[u8]) -> Head {
    let end = find(bytes, b"\r\n\r\n").expect("a whole head");
    let text = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap().to_owned();
    let fields = lines
        .map(|line| line.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned())).unwrap())
        .collect();
    Head { start, fields }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
