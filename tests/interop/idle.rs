//! What a TLS connection costs that has spoken and is silent: most connections are that, most of the time.
//!
//! `tests/run` holds 400 of them, `tests/run soak` 10,000; the latter's figure is the one to quote.

use crate::support::node::Node;
use crate::support::{Net, PATIENCE, until};
use rustls::{ClientConnection, StreamOwned};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Bytes of the process that one may cost.
const BOUND: u64 = 24 * 1024;
/// Connections before those that are counted, so that what all share is there already.
const FIRST: u64 = 100;

fn connect(node: &Node, config: &Arc<rustls::ClientConfig>) -> Tls {
    let client = ClientConnection::new(Arc::clone(config), node.fqdn().try_into().unwrap()).unwrap();
    let socket = TcpStream::connect((node.ip(), 5061)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(client, socket)
}

/// A request and its answer, and a keep-alive, as of a phone.
fn speak(tls: &mut Tls, n: u64) {
    let request = format!(
        "OPTIONS sip:nobody.pbx.test SIP/2.0\r\n\
         Via: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK{n};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:{n}@nobody.pbx.test>;tag=f{n}\r\n\
         To: <sip:nobody.pbx.test>\r\n\
         Call-ID: {n}@192.0.2.1\r\n\
         CSeq: 1 OPTIONS\r\n\
         X-Padding: {}\r\n\
         Content-Length: 0\r\n\r\n",
        "x".repeat(600)
    );
    tls.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut some = [0; 2048];
        let read = tls.read(&mut some).unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&some[..read]);
    }
    assert!(answer.starts_with(b"SIP/2.0 "));
    tls.write_all(b"\r\n\r\n").unwrap();
    let mut pong = [0; 2];
    tls.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\r\n");
}

/// Memory of the node that is not a file's, in bytes.
fn memory(node: &Node) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", node.pid())).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn cost(services: &[&str]) {
    let connections = if super::long() { 10_000 } else { 400 };
    let net = Net::new();
    let more = "[limits]\nsource_connections = 20000\nconnections = 20000\nsource_new_flows_burst = 20000\n";
    let node = Node::start_with(net, more);
    let mut row = node.must("GET", "/proxies/main", None);
    let listeners = row["listeners"].as_array_mut().unwrap();
    listeners.extend(services.iter().map(|it| json!({"service": it, "bind": format!("{}:5061", node.ip())})));
    node.must("PUT", "/proxies/main", Some(row));
    node.wait_live();
    let config = node.tls_client();
    until("it listens", PATIENCE, || TcpStream::connect((node.ip(), 5061)).is_ok());
    let open = |from: u64, to: u64| -> Vec<Tls> {
        let one = |n| {
            let mut tls = connect(&node, &config);
            speak(&mut tls, n);
            tls
        };
        (from..to).map(one).collect()
    };
    let mut all = open(0, FIRST);
    let before = memory(&node);
    all.extend(open(FIRST, FIRST + connections));
    let spent = memory(&node).saturating_sub(before);
    println!("{connections} idle TLS connections on {services:?}: {spent} bytes, {} for each", spent / connections);
    assert!(spent <= connections * BOUND, "{} bytes for each", spent / connections);
    // They are all there, and can be spoken to.
    for (n, tls) in all.iter_mut().enumerate().step_by(50) {
        speak(tls, 1_000_000 + n as u64);
    }
}

#[test]
fn an_idle_tls_connection_costs_so_many_bytes() {
    cost(&["sip-tls"]);
}

#[test]
fn an_idle_tls_connection_of_a_shared_port_costs_so_many_bytes() {
    cost(&["sip-tls", "sip-wss"]);
}
