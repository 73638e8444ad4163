//! One connection of a generator: TCP, with TLS and the framing of a WebSocket where the plan says so.

use crate::plan::Load;
use memchr::memmem;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

/// The tenant that connections are opened for.
pub const HOST: &str = "t00042.pbx.example";
const MASK: [u8; 4] = [0x3a, 0x91, 0x5c, 0xe7];

/// How generators shake hands: the bench's certificate is trusted, nothing is resumed.
pub fn trust(load: &Load, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&load.trust).expect("the certificate")).expect("a trust anchor");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

pub struct Connection {
    pub socket: TcpStream,
    tls: Option<ClientConnection>,
    websocket: bool,
    /// Bytes of the peer, without TLS; with WebSockets, without their frames once the connection stands.
    pub inbox: Vec<u8>,
    frames: Vec<u8>,
    outbox: Vec<u8>,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects and shakes hands, with SIP over WebSockets also that.
    pub fn open(load: &Load, trust: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let mut it = Self::dial(load, trust.filter(|_| load.over.secure()))?;
        if load.over.websocket() {
            it.upgrade("/", "Sec-WebSocket-Protocol: sip\r\n")?;
            it.websocket = true;
        }
        Ok(it)
    }

    /// Connects, with TLS if there is trust.
    pub fn dial(load: &Load, trust: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let mut socket = TcpStream::connect(load.target)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
        let mut tls = None;
        if let Some(trust) = trust {
            let name = ServerName::try_from(HOST).map_err(io::Error::other)?;
            let mut session = ClientConnection::new(Arc::clone(trust), name).map_err(io::Error::other)?;
            while session.is_handshaking() {
                session.complete_io(&mut socket)?;
            }
            tls = Some(session);
        }
        let buffer = vec![0; 65_536];
        let (inbox, frames, outbox) = Default::default();
        Ok(Self { socket, tls, websocket: false, inbox, frames, outbox, buffer })
    }

    /// Turns the connection into a WebSocket.
    pub fn upgrade(&mut self, path: &str, more: &str) -> io::Result<()> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
Sec-WebSocket-Key: bmFudHVja2V0cGVlcnMhIQ==\r\nSec-WebSocket-Version: 13\r\n{more}Origin: https://{HOST}\r\n\r\n"
        );
        self.write(request.as_bytes());
        let end = loop {
            if let Some(at) = memmem::find(&self.inbox, b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        if !self.inbox.starts_with(b"HTTP/1.1 101") {
            return Err(io::Error::other(String::from_utf8_lossy(&self.inbox).into_owned()));
        }
        self.inbox.drain(..end);
        Ok(())
    }

    pub fn port(&self) -> u16 {
        self.socket.local_addr().map_or(0, |address| address.port())
    }

    pub fn nonblocking(&mut self) {
        self.socket.set_nonblocking(true).expect("a mode of the socket");
    }

    /// Sends one message, in a frame of its own if this is a WebSocket.
    pub fn send(&mut self, message: &[u8]) {
        if self.websocket {
            let frame = frame(message);
            self.write(&frame);
        } else {
            self.write(message);
        }
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            Some(session) => session.writer().write_all(bytes).expect("room in the session"),
            None => self.outbox.extend_from_slice(bytes),
        }
        self.flush();
    }

    /// Sends what the socket takes; what it does not take stays.
    pub fn flush(&mut self) {
        match &mut self.tls {
            Some(session) => while session.wants_write() && session.write_tls(&mut self.socket).is_ok() {},
            None => {
                while !self.outbox.is_empty() {
                    match self.socket.write(&self.outbox) {
                        Ok(taken) => drop(self.outbox.drain(..taken)),
                        Err(_) => break,
                    }
                }
            }
        }
    }

    /// Reads what is there into the inbox. Once the peer has closed, it is an error.
    pub fn fill(&mut self) -> io::Result<()> {
        let plain = if self.websocket { &mut self.frames } else { &mut self.inbox };
        let got = match &mut self.tls {
            Some(session) => session.read_tls(&mut self.socket),
            None => self.socket.read(&mut self.buffer),
        };
        match got {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) if self.tls.is_some() => {}
            Ok(length) => plain.extend_from_slice(&self.buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        if let Some(session) = &mut self.tls {
            session.process_new_packets().map_err(io::Error::other)?;
            while let Ok(length @ 1..) = session.reader().read(&mut self.buffer) {
                plain.extend_from_slice(&self.buffer[..length]);
            }
        }
        if self.websocket {
            self.unframe();
        }
        Ok(())
    }

    /// Moves the text of whole frames to the inbox.
    fn unframe(&mut self) {
        let mut at = 0;
        while let Some([first, second, ..]) = self.frames.get(at..) {
            let (short, control) = (usize::from(second & 0x7f), first & 0x0f > 2);
            let (head, length) = match (short, self.frames.get(at + 2..at + 4)) {
                (126, Some([high, low])) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
                (126, _) => break,
                _ => (2, short),
            };
            let Some(text) = self.frames.get(at + head..at + head + length) else { break };
            if !control {
                self.inbox.extend_from_slice(text);
            }
            at += head + length;
        }
        self.frames.drain(..at);
    }

    /// Says goodbye.
    pub fn close(mut self) {
        if let Some(session) = &mut self.tls {
            session.send_close_notify();
        }
        self.flush();
    }
}

/// A masked text frame.
pub fn frame(text: &[u8]) -> Vec<u8> {
    let mut out = vec![0x81];
    match u16::try_from(text.len()).expect("a short message") {
        length @ ..126 => out.push(0x80 | length as u8),
        length => {
            out.push(0xfe);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(text.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}
