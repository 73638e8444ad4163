//! A client that sends any bytes and hears what comes back, up to a fence: an ordinary request
//! behind them, whose answer says that nothing more will come.

use crate::support::wire::{Came, Wire};
use crate::support::{PATIENCE, until};
use nantucket::sip::limits::Limits;
use nantucket::sip::view::{Index, View};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// After this long a phone sends a request again (T1).
const AGAIN: Duration = Duration::from_millis(500);

/// What a client heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// Messages in order, without the fence's.
    pub messages: Vec<Vec<u8>>,
    /// Whether the connection was closed.
    pub closed: bool,
    /// The status of the fence's answer; 0 where none came.
    pub fence: u16,
}

impl Heard {
    /// The statuses of the responses, provisional ones left out.
    pub fn statuses(&self) -> Vec<u16> {
        let mut index = Index::new();
        let status = |bytes: &Vec<u8>| View::read(bytes, &mut index, &Limits::DEFAULT).unwrap().status();
        self.messages.iter().map(status).filter(|status| *status >= 200).collect()
    }
}

/// The number of the next fence, or of anything else that must be its own.
pub fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// An ordinary request of its own to the instance.
pub fn ordinary(domain: &str, via: &str, more: &str) -> (String, Vec<u8>) {
    let call_id = format!("fence-{}", number());
    let request = format!(
        "MESSAGE sip:fence@{domain} SIP/2.0\r\nVia: SIP/2.0/{via};rport;branch=z9hG4bK{call_id}\r\n\
         From: <sip:client@{domain}>;tag=1\r\nTo: <sip:fence@{domain}>\r\nCall-ID: {call_id}\r\nCSeq: 1 MESSAGE\r\n\
         Max-Forwards: 70\r\n{more}Content-Length: 0\r\n\r\n"
    );
    (call_id, request.into_bytes())
}

/// The fence behind some bytes. What is behind a REGISTER is one itself, of an account of its own: both wait until
/// their seats are written down, in their order.
fn fence(behind: &[u8], domain: &str, via: &str) -> (String, Vec<u8>) {
    if !behind.starts_with(b"REGISTER ") {
        return ordinary(domain, via, "");
    }
    let (call_id, request) = ordinary(domain, via, "Contact: <sip:fence@192.0.2.1>;expires=60\r\n");
    let text = String::from_utf8(request).unwrap();
    let text = text.replace("MESSAGE sip:fence@", "REGISTER sip:").replace("1 MESSAGE", "1 REGISTER");
    let own = format!("sip:{call_id}@{domain}");
    let text = text.replace(&format!("sip:fence@{domain}"), &own).replace(&format!("sip:client@{domain}"), &own);
    (call_id, text.into_bytes())
}

fn is_of(bytes: &[u8], call_id: &str) -> bool {
    let mut index = Index::new();
    View::read(bytes, &mut index, &Limits::DEFAULT).is_ok_and(|view| view.call_id() == call_id.as_bytes())
}

/// Sends datagrams from `from`, then a fence.
pub fn over_udp(node: SocketAddr, from: (Ipv4Addr, u16), domain: &str, datagrams: &[Vec<u8>]) -> Heard {
    // A program that another test is starting holds copies of our sockets until it runs.
    let mut socket = None;
    until("the client's port is free", PATIENCE, || {
        socket = UdpSocket::bind(from).ok();
        socket.is_some()
    });
    let socket = socket.unwrap();
    socket.set_read_timeout(Some(AGAIN)).unwrap();
    for datagram in datagrams {
        socket.send_to(datagram, node).unwrap();
    }
    let behind = datagrams.last().map_or(&b""[..], Vec::as_slice);
    let (call_id, fence) = fence(behind, domain, &format!("UDP {}:{}", from.0, from.1));
    socket.send_to(&fence, node).unwrap();
    let (mut heard, mut room) = (Heard::default(), vec![0; 65_536]);
    let mut waited = Duration::ZERO;
    loop {
        let Ok((length, _)) = socket.recv_from(&mut room) else {
            // Of so many a second some are dropped; a phone asks again.
            waited += AGAIN;
            assert!(waited < PATIENCE, "no answer to the fence: {heard:?}");
            socket.send_to(&fence, node).unwrap();
            continue;
        };
        let bytes = room[..length].to_vec();
        if is_of(&bytes, &call_id) {
            heard.fence = status(&bytes);
            return heard;
        }
        heard.messages.push(bytes);
    }
}

fn status(bytes: &[u8]) -> u16 {
    let mut index = Index::new();
    View::read(bytes, &mut index, &Limits::DEFAULT).map_or(0, |view| view.status())
}

/// Sends bytes on a connection of their own, then a fence. With `wait`, no fence follows: it waits for the node to
/// close.
pub fn over_stream(mut wire: Wire, domain: &str, bytes: &[u8], wait: bool) -> Heard {
    let (call_id, fence) = fence(bytes, domain, &wire.via());
    let _ = wire.send(bytes);
    if !wait {
        let _ = wire.send(&fence);
    }
    let mut heard = Heard::default();
    loop {
        match wire.next() {
            Came::Closed => {
                heard.closed = true;
                return heard;
            }
            Came::Message(message) if is_of(&message, &call_id) => {
                heard.fence = status(&message);
                return heard;
            }
            Came::Message(message) => heard.messages.push(message),
        }
    }
}
