//! What lies between the messages of a stream and its socket: nothing, or TLS.
//!
//! TLS is driven by hand: bytes in, bytes out, no task and no second queue, so that what a peer has
//! not read yet is held once. What is sent before the handshake is done waits inside. Which
//! certificates are shown and believed was decided by whoever made the session.

use super::outbox::Outbox;
use super::socket::Socket;
use crate::greeting::Greeting;
use crate::ids::ConnId;
use crate::tls::{hello, identity, resumption};
use rustls::{ClientConnection, Connection as Session, HandshakeKind, ServerConnection};
use std::io::{self, IoSlice, Read as _, Write as _};

/// The first bytes of a TLS connection are looked at in a piece no larger than this.
const FIRST: usize = hello::MOST;

/// What lies between messages and socket.
pub enum Layer {
    /// Nothing.
    Plain(Outbox),
    /// TLS.
    Tls(Box<Tls>),
}

/// One TLS session.
pub struct Tls {
    session: Session,
    /// For what waits to be written.
    bound: usize,
    /// A client's first bytes, until the handshake is done: they tell why it failed.
    first: Option<Vec<u8>>,
    /// The connection it is, for the server's tickets.
    conn: Option<ConnId>,
    /// The connection that the ticket was given to which the client showed.
    shown: Option<ConnId>,
}

/// What reading found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Got {
    /// So many bytes of messages.
    Bytes(usize),
    /// So many bytes of somebody who does not speak TLS where TLS is spoken; the layer is plain now.
    Stray(usize),
    /// Nothing more at present.
    Nothing,
    /// The peer has closed it.
    Closed,
}

/// Why a layer ended.
#[derive(Debug)]
pub enum Broken {
    /// The socket.
    Socket,
    /// More waits than may.
    Full,
    /// TLS: an alert for the peer may wait to be written.
    Tls(rustls::Error),
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Socket
    }
}

impl Layer {
    /// None, with room for `bound` bytes that wait.
    pub fn plain(bound: usize) -> Self {
        Self::Plain(Outbox::new(bound))
    }

    /// The server's side of a session that begins; `conn` is what its tickets remember.
    pub fn server(mut session: ServerConnection, conn: ConnId, bound: usize) -> Self {
        session.set_resumption_data(&conn.0.to_be_bytes());
        let mut layer = Self::of(session.into(), bound);
        if let Self::Tls(tls) = &mut layer {
            tls.first = Some(Vec::new());
            tls.conn = Some(conn);
        }
        layer
    }

    /// A session that was begun elsewhere.
    pub fn adopted(session: ServerConnection, bound: usize) -> Self {
        Self::of(session.into(), bound)
    }

    /// The client's side of a session that begins.
    pub fn client(session: ClientConnection, bound: usize) -> Self {
        Self::of(session.into(), bound)
    }

    fn of(mut session: Session, bound: usize) -> Self {
        session.set_buffer_limit(Some(bound));
        Self::Tls(Box::new(Tls { session, bound, first: None, conn: None, shown: None }))
    }

    /// Whether messages can pass.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(tls) => !tls.session.is_handshaking(),
        }
    }

    /// Whether nothing waits to be written.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Plain(outbox) => outbox.is_empty(),
            Self::Tls(tls) => !tls.session.wants_write(),
        }
    }

    /// Whether it is TLS.
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// What a client said in the handshake; to be asked when it is done.
    pub fn greeting(&self) -> Greeting {
        match self {
            Self::Tls(tls) => tls.greeting(),
            Self::Plain(_) => Greeting::default(),
        }
    }

    /// The first bytes of a client whose handshake is not done.
    pub fn first(&self) -> Option<&[u8]> {
        match self {
            Self::Tls(tls) => tls.first.as_deref(),
            Self::Plain(_) => None,
        }
    }

    /// Sends `head` and `body`, or keeps what cannot be sent yet; true if something waits then.
    pub fn put(&mut self, socket: Option<&Socket>, head: &[u8], body: &[u8]) -> Result<bool, Broken> {
        match self {
            Self::Plain(outbox) => put_plain(outbox, socket, head, body),
            Self::Tls(tls) => tls.put(socket, head, body),
        }
    }

    /// Writes what waits, as far as there is room; true if something went.
    pub fn flush(&mut self, socket: &Socket) -> io::Result<bool> {
        match self {
            Self::Plain(outbox) => outbox.flush(|bytes| socket.write(bytes)),
            Self::Tls(tls) => tls.flush(socket),
        }
    }

    /// Reads what has come into `buffer`.
    pub fn read(&mut self, socket: &Socket, buffer: &mut [u8]) -> Result<Got, Broken> {
        match self {
            Self::Plain(_) => read_plain(socket, buffer),
            Self::Tls(tls) => match tls.read(socket, buffer)? {
                Got::Stray(length) => {
                    *self = Self::plain(tls.bound);
                    Ok(Got::Stray(length))
                }
                got => Ok(got),
            },
        }
    }

    /// Says that nothing more is sent (X14); it waits behind what waits already.
    pub fn say_goodbye(&mut self) {
        if let Self::Tls(tls) = self {
            tls.session.send_close_notify();
        }
    }
}

fn put_plain(outbox: &mut Outbox, socket: Option<&Socket>, head: &[u8], body: &[u8]) -> Result<bool, Broken> {
    let mut written = 0;
    if let Some(socket) = socket.filter(|_| outbox.is_empty()) {
        let sent = match head {
            [] => socket.write(body),
            _ => socket.write_vectored(&[IoSlice::new(head), IoSlice::new(body)]),
        };
        match sent {
            Ok(n) => written = n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(Broken::Socket),
        }
    }
    for part in [head, body] {
        let done = written.min(part.len());
        written -= done;
        let rest = part.get(done..).unwrap_or_default();
        if !rest.is_empty() {
            outbox.push(rest).map_err(|_| Broken::Full)?;
        }
    }
    Ok(!outbox.is_empty())
}

fn read_plain(socket: &Socket, buffer: &mut [u8]) -> Result<Got, Broken> {
    match socket.read(buffer) {
        Ok(0) => Ok(Got::Closed),
        Ok(n) => Ok(Got::Bytes(n)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Got::Nothing),
        Err(_) => Err(Broken::Socket),
    }
}

impl Tls {
    fn put(&mut self, socket: Option<&Socket>, head: &[u8], body: &[u8]) -> Result<bool, Broken> {
        let parts = [IoSlice::new(head), IoSlice::new(body)];
        let taken = match head {
            [] => self.session.writer().write(body)?,
            _ => self.session.writer().write_vectored(&parts)?,
        };
        if taken < head.len() + body.len() {
            return Err(Broken::Full);
        }
        if let Some(socket) = socket {
            self.flush(socket)?;
        }
        Ok(self.session.wants_write())
    }

    fn flush(&mut self, mut socket: &Socket) -> io::Result<bool> {
        let mut moved = false;
        while self.session.wants_write() {
            match self.session.write_tls(&mut socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => moved = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    }

    fn read(&mut self, mut socket: &Socket, buffer: &mut [u8]) -> Result<Got, Broken> {
        loop {
            match self.session.reader().read(buffer) {
                Ok(0) => return Ok(Got::Closed),
                Ok(n) => return Ok(Got::Bytes(n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The peer went without a word, as many phones do (X14).
                Err(_) => return Ok(Got::Closed),
            }
            let read = match &mut self.first {
                Some(first) if self.session.is_handshaking() && first.len() < FIRST => {
                    let room = buffer.len().min(FIRST - first.len());
                    match socket.read(buffer.get_mut(..room).unwrap_or_default()) {
                        Ok(n) if first.is_empty() && is_stray(buffer.get(..n).unwrap_or_default()) => {
                            return Ok(Got::Stray(n));
                        }
                        Ok(n) => {
                            let came = buffer.get(..n).unwrap_or_default();
                            first.extend_from_slice(came);
                            self.session.read_tls(&mut { came })
                        }
                        Err(error) => Err(error),
                    }
                }
                _ => {
                    self.first = self.first.take().filter(|_| self.session.is_handshaking());
                    self.session.read_tls(&mut socket)
                }
            };
            match read {
                Ok(_) => self.process()?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Got::Nothing),
                Err(_) => return Err(Broken::Socket),
            };
        }
    }

    fn process(&mut self) -> Result<(), Broken> {
        let processed = match self.conn.filter(|_| self.session.is_handshaking()) {
            Some(conn) => {
                let (processed, shown) = resumption::during(conn, || self.session.process_new_packets());
                self.shown = shown.or(self.shown);
                processed
            }
            None => self.session.process_new_packets(),
        };
        processed.map(|_| ()).map_err(Broken::Tls)
    }

    fn greeting(&self) -> Greeting {
        let Session::Server(session) = &self.session else { return Greeting::default() };
        let said = greeting(session);
        let is_resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        Greeting { resumed: said.resumed.or(self.shown.filter(|_| is_resumed)), ..said }
    }
}

/// What a client said in the handshake of this session.
pub fn greeting(session: &ServerConnection) -> Greeting {
    let device = session.peer_certificates().and_then(<[_]>::first);
    Greeting {
        sni: session.server_name().map(Into::into),
        identities: device.map(|it| identity::of(it).uris).unwrap_or_default(),
        resumed: resumed(session),
        ..Greeting::default()
    }
}

/// The connection whose session this one resumes.
pub fn resumed(session: &ServerConnection) -> Option<ConnId> {
    let data = session.received_resumption_data()?;
    Some(ConnId(u64::from_be_bytes(data.try_into().ok()?)))
}

/// Whether bytes begin a text, as SIP or HTTP, and no TLS or SSL hello (PROTOCOLS 3.3.14).
fn is_stray(bytes: &[u8]) -> bool {
    matches!(bytes, [b'A'..=b'Z' | b'a'..=b'z' | b'\r' | b'\n', ..])
}
