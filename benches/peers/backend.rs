//! What stands behind the proxies: PBXs that answer SIP, and their web servers.
//!
//! One thread, as cheap as it can be: it must never be what is measured.

use crate::load::sip::{name, rows};
use crate::{buffers, process};
use memchr::memmem;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

/// The ports of the four PBXs and of their four web servers.
pub const SIP: [u16; 4] = [6060, 6061, 6062, 6063];
pub const WEB: [u16; 4] = [9080, 9081, 9082, 9083];

const SDP: &[u8] = b"v=0\r\no=- 77 77 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
m=audio 18000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";
const CHALLENGE: &[u8] = b"WWW-Authenticate: Digest realm=\"pbx\",nonce=\"1763740287/6d0d0e8b1f63b1a2\",\
opaque=\"5ccc069c403ebaf9\",algorithm=md5,qop=\"auth\"\r\n";
const PAGE: [u8; 128] = [b'.'; 128];

/// The process: `cores` is the list it is held to.
pub fn main(cores: &str) {
    process::end_with_parent();
    process::hold_to(&serde_json::from_str::<Vec<usize>>(cores).unwrap());
    let bind = |port| {
        let socket = UdpSocket::bind(("127.0.0.1", port)).unwrap();
        socket.set_nonblocking(true).unwrap();
        buffers(&socket);
        socket
    };
    let pbxs = SIP.map(bind);
    let webs = WEB.map(|port| {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    });
    let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
    let event = |number: usize| EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
    pbxs.iter().enumerate().for_each(|(number, socket)| epoll.add(socket, event(number)).unwrap());
    webs.iter().enumerate().for_each(|(number, socket)| epoll.add(socket, event(4 + number)).unwrap());
    println!("ready");

    let mut clients: HashMap<usize, Client> = HashMap::new();
    let mut next = 8;
    let mut events = vec![EpollEvent::empty(); 256];
    let (mut datagram, mut out) = (vec![0; 65_536], Vec::new());
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE).unwrap_or(0);
        for event_ in &events[..ready] {
            match event_.data() as usize {
                number @ 0..4 => {
                    let socket = &pbxs[number];
                    while let Ok((length, from)) = socket.recv_from(&mut datagram) {
                        answer(socket, SIP[number], &datagram[..length], from, &mut out);
                    }
                }
                number @ 4..8 => {
                    while let Ok((socket, _)) = webs[number - 4].accept() {
                        socket.set_nonblocking(true).unwrap();
                        let _ = socket.set_nodelay(true);
                        epoll.add(&socket, event(next)).unwrap();
                        clients.insert(next, Client { socket, inbox: Vec::new(), tunnel: false });
                        next += 1;
                    }
                }
                number => {
                    if clients.get_mut(&number).is_some_and(|client| client.serve(&mut datagram).is_none()) {
                        clients.remove(&number);
                    }
                }
            }
        }
    }
}

/// Answers one SIP request as a PBX would.
fn answer(socket: &UdpSocket, port: u16, message: &[u8], to: SocketAddr, out: &mut Vec<u8>) {
    let mut send = |status: &str, rows: &[&[u8]], body: &[u8]| {
        out.clear();
        respond(message, status, rows, body, out);
        let _ = socket.send_to(out, to);
    };
    if message.starts_with(b"REGISTER ") {
        let asks = memmem::find(message, b"-ask@").is_some() && memmem::find(message, b"\nAuthorization:").is_none();
        if asks {
            return send("401 Unauthorized", &[CHALLENGE], b"");
        }
        let contact = self::rows(message).find(|row| name(row) == Some(b"Contact")).unwrap_or_default();
        send("200 OK", &[contact, b";expires=3600\r\n"], b"");
    } else if message.starts_with(b"INVITE ") {
        let contact = format!("Contact: <sip:pbx@127.0.0.1:{port}>\r\n");
        send("180 Ringing", &[contact.as_bytes()], b"");
        send("200 OK", &[contact.as_bytes(), b"Content-Type: application/sdp\r\n"], SDP);
    } else if !message.starts_with(b"ACK ") && !message.starts_with(b"SIP/2.0 ") && message.len() > 20 {
        send("200 OK", &[], b"");
    }
}

fn respond(request: &[u8], status: &str, more: &[&[u8]], body: &[u8], out: &mut Vec<u8>) {
    let registers = request.starts_with(b"REGISTER ");
    let _ = write!(out, "SIP/2.0 {status}\r\n");
    for row in rows(request) {
        match name(row) {
            Some(b"Via" | b"From" | b"Call-ID" | b"CSeq") => out.extend_from_slice(row),
            Some(b"Record-Route") if !registers => out.extend_from_slice(row),
            Some(b"Path") if registers => out.extend_from_slice(row),
            Some(b"To") => {
                out.extend_from_slice(row);
                if memmem::find(row, b";tag=").is_none() {
                    out.extend_from_slice(b";tag=pbx");
                }
            }
            _ => continue,
        }
        out.extend_from_slice(b"\r\n");
    }
    more.iter().for_each(|part| out.extend_from_slice(part));
    let _ = write!(out, "Server: PBX 1.0\r\nContent-Length: {}\r\n\r\n", body.len());
    out.extend_from_slice(body);
}

/// A connection to one of the web servers.
struct Client {
    socket: TcpStream,
    inbox: Vec<u8>,
    /// A WebSocket: everything goes back as it came.
    tunnel: bool,
}

impl Client {
    /// Answers what has come in. None once the connection is over.
    fn serve(&mut self, buffer: &mut [u8]) -> Option<()> {
        let length = match self.socket.read(buffer) {
            Ok(0) => return None,
            Ok(length) => length,
            Err(error) => return (error.kind() == ErrorKind::WouldBlock).then_some(()),
        };
        if self.tunnel {
            return self.socket.write_all(&buffer[..length]).ok();
        }
        self.inbox.extend_from_slice(&buffer[..length]);
        while let Some(end) = memmem::find(&self.inbox, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&self.inbox[..end]).into_owned();
            self.inbox.drain(..end + 4);
            let key = head.lines().filter_map(|row| row.split_once(": "));
            let key = key.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
            let response = if let Some((_, key)) = key {
                self.tunnel = true;
                let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
                format!(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
Sec-WebSocket-Accept: {accept}\r\n\r\n"
                )
                .into_bytes()
            } else {
                let head = b"HTTP/1.1 200 OK\r\nServer: PBX\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n";
                [&head[..], &PAGE].concat()
            };
            self.socket.write_all(&response).ok()?;
        }
        Some(())
    }
}
