//! A client's connection: SIP over TCP, over TLS, and over WebSocket on either. Whoever holds it sends bytes and hears
//! messages; every byte sent is his own.

use super::PATIENCE;
use nantucket::sip::frame::{Frame, Framer};
use nantucket::sip::limits::Limits;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// What it is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Over {
    /// As a Via names it.
    pub const fn via(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// Whether each message has a frame of its own, so that its length need not be in it.
    pub const fn is_socket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    const fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }
}

/// What came.
#[derive(Debug)]
pub enum Came {
    Message(Vec<u8>),
    /// The end of it, or a WebSocket's close frame.
    Closed,
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// The connection.
pub struct Wire {
    over: Over,
    local: SocketAddr,
    stream: Box<dyn Stream>,
    begun: Vec<u8>,
    framer: Framer,
}

impl Wire {
    /// To this address; TLS with this configuration and the server's name.
    #[track_caller]
    pub fn open(over: Over, to: &str, tls: &Arc<ClientConfig>, name: &str) -> Self {
        let socket = TcpStream::connect(to).unwrap_or_else(|error| panic!("{to}: {error}"));
        Self::over(over, socket, tls, name)
    }

    /// Over a stream that is open.
    #[track_caller]
    pub fn over(over: Over, socket: TcpStream, tls: &Arc<ClientConfig>, name: &str) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let local = socket.local_addr().unwrap();
        let stream: Box<dyn Stream> = if over.is_tls() {
            let connection = ClientConnection::new(Arc::clone(tls), name.to_owned().try_into().unwrap()).unwrap();
            Box::new(StreamOwned::new(connection, socket))
        } else {
            Box::new(socket)
        };
        let mut wire = Self { over, local, stream, begun: Vec::new(), framer: Framer::new(Limits::DEFAULT) };
        if over.is_socket() {
            wire.upgrade(name);
        }
        wire
    }

    /// Its sent-by for a Via.
    pub fn via(&self) -> String {
        format!("{} {}", self.over.via(), self.local)
    }

    /// Sends a message, or bytes that are none. One frame on a WebSocket.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.over.is_socket() {
            // Not all that is sent is UTF-8 (W02).
            let opcode = if std::str::from_utf8(bytes).is_ok() { 1 } else { 2 };
            return self.frame(opcode, bytes);
        }
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The next message. Keep-alives between messages are skipped.
    #[track_caller]
    pub fn next(&mut self) -> Came {
        loop {
            let taken = if self.over.is_socket() { self.take_frame() } else { self.take_message() };
            if let Some(came) = taken {
                return came;
            }
            let mut room = [0; 16 * 1024];
            match self.stream.read(&mut room) {
                Ok(0) => return Came::Closed,
                Ok(n) => self.begun.extend_from_slice(&room[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nothing came, and it is not closed"),
                Err(_) => return Came::Closed,
            }
        }
    }

    fn take_message(&mut self) -> Option<Came> {
        loop {
            match self.framer.next(&self.begun) {
                Frame::Partial => return None,
                Frame::Message(taken) => return Some(Came::Message(self.begun.drain(..taken).collect())),
                Frame::Ping(taken) | Frame::Blank(taken) => drop(self.begun.drain(..taken)),
                odd => panic!("a stream that cannot be framed: {odd:?}: {}", self.begun.escape_ascii()),
            }
        }
    }

    /// A frame of the server's: never masked, and a message of ours is never in pieces.
    fn take_frame(&mut self) -> Option<Came> {
        loop {
            let [first, second, ..] = self.begun[..] else { return None };
            assert_eq!((first & 0xf0, second & 0x80), (0x80, 0), "a final frame, not masked, nothing reserved");
            let (at, length) = match usize::from(second) {
                126 => (4, usize::from(u16::from_be_bytes(self.begun.get(2..4)?.try_into().unwrap()))),
                127 => (10, u64::from_be_bytes(self.begun.get(2..10)?.try_into().unwrap()) as usize),
                length => (2, length),
            };
            self.begun.get(..at + length)?;
            let payload: Vec<u8> = self.begun.drain(..at + length).skip(at).collect();
            match first & 0x0f {
                1 | 2 if payload.iter().all(|byte| matches!(byte, b'\r' | b'\n')) => {}
                1 | 2 => return Some(Came::Message(payload)),
                8 => return Some(Came::Closed),
                9 => self.frame(10, &payload).unwrap(),
                10 => {}
                other => panic!("opcode {other}"),
            }
        }
    }

    fn frame(&mut self, opcode: u8, payload: &[u8]) -> std::io::Result<()> {
        let mut out = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..126 => out.push(0x80 | length as u8),
            length @ 126..65_536 => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let mask = [0x5a, 0xa5, 0x3c, 0xc3];
        out.extend_from_slice(&mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.stream.write_all(&out)?;
        self.stream.flush()
    }

    #[track_caller]
    fn upgrade(&mut self, host: &str) {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: sip\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes()).unwrap();
        self.stream.flush().unwrap();
        let mut room = [0; 1];
        while !self.begun.ends_with(b"\r\n\r\n") {
            assert_eq!(self.stream.read(&mut room).unwrap(), 1, "the end instead of 101");
            self.begun.push(room[0]);
        }
        let head = String::from_utf8(std::mem::take(&mut self.begun)).unwrap().to_ascii_lowercase();
        // W01, and the answer to RFC 6455's own key.
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(head.contains("sec-websocket-protocol: sip\r\n"), "{head}");
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    }
}
