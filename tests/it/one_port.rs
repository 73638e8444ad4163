//! HTTPS, SIP over TLS and WSS on one port, and the same in the clear; services come and go there while connections stay.

use crate::support::node::Node;
use crate::support::{Net, PATIENCE};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;

type Secure = StreamOwned<ClientConnection, TcpStream>;

const OPTIONS: &str = "OPTIONS sip:main.pbx.test SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bKone\r\n\
    From: <sip:a@main.pbx.test>;tag=1\r\nTo: <sip:main.pbx.test>\r\nCall-ID: one\r\nCSeq: 1 OPTIONS\r\n\
    Max-Forwards: 5\r\nContent-Length: 0\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: main.pbx.test\r\n\r\n";
const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: main.pbx.test\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n";

struct Door {
    node: Node,
    at: SocketAddr,
}

impl Door {
    /// Lists these services on one address; a service keeps its number.
    fn speaks(&self, services: &[(u8, &str)]) {
        let bind = self.at.to_string();
        let listener = |(number, service): &(u8, &str)| json!({"number": number, "service": service, "bind": bind});
        let listeners: Vec<_> = services.iter().map(listener).collect();
        self.node.must("PATCH", "/proxies/main", Some(json!({"listeners": listeners, "https_redirect": false})));
        self.node.wait_live();
        let open = || self.node.sum("nantucket_listener_up", &[&format!("address=\"{bind}\"")]) as usize;
        crate::support::until("it listens", PATIENCE, || open() == services.len());
    }

    fn plain(&self) -> TcpStream {
        let socket = TcpStream::connect(self.at).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn secure(&self, alpn: &[&[u8]]) -> Secure {
        let mut config: ClientConfig = (*self.node.tls_client()).clone();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let session = ClientConnection::new(Arc::new(config), "main.pbx.test".try_into().unwrap()).unwrap();
        StreamOwned::new(session, self.plain())
    }
}

/// Says something and hears the beginning of the answer.
#[track_caller]
fn ask(stream: &mut (impl Read + Write), said: &[u8]) -> String {
    stream.write_all(said).unwrap();
    stream.flush().unwrap();
    let mut answer = [0; 4096];
    let length = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

/// A client's text frame, masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&[0x81, 0x80 | 126, length[0], length[1], 0, 0, 0, 0], text.as_bytes()].concat()
}

// R73 R78 W01
#[test]
fn https_sip_and_websockets_share_a_port_and_part_again() {
    let net = Net::new();
    let node = Node::start(net);
    let door = Door { at: (node.ip(), 443).into(), node };
    let (https, wss, tls) = ((4, "https"), (5, "sip-wss"), (6, "sip-tls"));
    door.speaks(&[https]);
    let mut browser = door.secure(&[b"http/1.1"]);
    assert!(ask(&mut browser, GET.as_bytes()).starts_with("HTTP/1.1 "));

    door.speaks(&[https, wss, tls]);
    // Who has said nothing yet holds nobody up.
    let _silent: Vec<_> = (0..20).map(|_| door.plain()).collect();
    let mut mute = door.secure(&[]);
    mute.conn.complete_io(&mut mute.sock).unwrap();
    assert!(ask(&mut browser, GET.as_bytes()).starts_with("HTTP/1.1 "), "what was there goes on");
    let mut phones = Vec::new();
    for alpn in [&[&b"sip"[..]][..], &[b"sip/2"], &[]] {
        let mut phone = door.secure(alpn);
        assert!(ask(&mut phone, OPTIONS.as_bytes()).starts_with("SIP/2.0 200 "), "{alpn:?}");
        phones.push(phone);
    }
    assert!(ask(&mut door.secure(&[]), GET.as_bytes()).starts_with("HTTP/1.1 "), "told by its first bytes");
    let mut client = door.secure(&[b"http/1.1"]);
    let opened = ask(&mut client, UPGRADE.as_bytes());
    assert!(opened.starts_with("HTTP/1.1 101 ") && opened.to_lowercase().contains("sec-websocket-protocol: sip\r\n"));
    let over = |client: &mut Secure| ask(client, &frame(&OPTIONS.replace("/TLS", "/WSS")));
    assert!(over(&mut client).contains("SIP/2.0 200 "));

    // HTTPS goes, then SIP over TLS; WSS has the socket for itself, then not at all.
    door.speaks(&[wss, tls]);
    assert!(over(&mut client).contains("SIP/2.0 200 "));
    assert!(ask(&mut door.secure(&[]), OPTIONS.as_bytes()).starts_with("SIP/2.0 200 "));
    assert!(ask(&mut door.secure(&[b"http/1.1"]), GET.as_bytes()).starts_with("HTTP/1.1 404 "));
    door.speaks(&[wss]);
    assert!(over(&mut client).contains("SIP/2.0 200 "), "it has lost nothing");
    assert_eq!(phones[0].read(&mut [0; 16]).unwrap_or(0), 0, "the listener of these is gone");
    assert!(ask(&mut door.secure(&[]), UPGRADE.as_bytes()).starts_with("HTTP/1.1 101 "));
    door.speaks(&[https, wss]);
    assert!(over(&mut client).contains("SIP/2.0 200 "));
    assert!(ask(&mut door.secure(&[b"http/1.1"]), GET.as_bytes()).starts_with("HTTP/1.1 "));
    door.speaks(&[https]);
    let mut last = [0; 4];
    client.read_exact(&mut last).unwrap();
    assert_eq!(last, [0x88, 2, 0x03, 0xe9], "1001");
}

// R78 W01
#[test]
fn http_sip_and_websockets_share_a_port_in_the_clear() {
    let node = Node::start(Net::new());
    shares_in_the_clear(Door { at: (node.ip(), 80).into(), node });
}

// R78 X13 W01
#[test]
fn http_sip_and_websockets_share_a_port_of_ipv6() {
    shares_in_the_clear(Door { node: Node::start(Net::new()), at: (Ipv6Addr::LOCALHOST, 5166).into() });
}

fn shares_in_the_clear(door: Door) {
    door.speaks(&[(3, "http"), (5, "sip-ws"), (6, "sip-tcp")]);
    assert!(ask(&mut door.plain(), GET.as_bytes()).starts_with("HTTP/1.1 "));
    let mut phone = door.plain();
    for byte in OPTIONS.as_bytes() {
        phone.write_all(&[*byte]).unwrap();
    }
    assert!(ask(&mut phone, b"\r\n\r\n").starts_with("SIP/2.0 200 "));
    let mut client = door.plain();
    assert!(ask(&mut client, UPGRADE.as_bytes()).starts_with("HTTP/1.1 101 "));
    assert!(ask(&mut client, &frame(OPTIONS)).contains("SIP/2.0 200 "));
    let refused = ask(&mut door.plain(), UPGRADE.replace("Version: 13", "Version: 8").as_bytes());
    assert!(refused.starts_with("HTTP/1.1 426 ") && refused.to_lowercase().contains("sec-websocket-version: 13"));
    door.node.must("PATCH", "/proxies/main", Some(json!({"origins": ["https://app.example"]})));
    door.node.wait_live();
    let foreign = UPGRADE.replace("Upgrade: websocket", "Origin: https://evil.example\r\nUpgrade: websocket");
    assert!(ask(&mut door.plain(), foreign.as_bytes()).starts_with("HTTP/1.1 403 "));
    let own = foreign.replace("evil", "app");
    assert!(ask(&mut door.plain(), own.as_bytes()).starts_with("HTTP/1.1 101 "));
}
