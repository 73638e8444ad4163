//! Certificates that are exchanged under load: open connections live on, new handshakes have the new one within a
//! second, and memory stays where it was (S03).

use crate::support::node::Node;
use crate::support::{Net, PATIENCE, until};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConnection, StreamOwned};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

type Tls = StreamOwned<ClientConnection, TcpStream>;

const HOST: &str = "main.pbx.test";

/// A certificate, as the API takes it and as a client trusts it.
fn fresh() -> (serde_json::Value, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).unwrap();
    let row = json!({"name": "front", "chain": made.cert.pem(), "key": made.signing_key.serialize_pem()});
    (row, made.cert.der().clone())
}

/// A connection whose handshake is done, if the certificate served is the trusted one.
fn connect(node: &Node, trusted: &CertificateDer<'static>) -> Option<Tls> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), HOST.try_into().unwrap()).unwrap();
    let mut tls = StreamOwned::new(client, TcpStream::connect((node.ip(), 5061)).unwrap());
    tls.sock.set_read_timeout(Some(PATIENCE)).unwrap();
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock).ok()?;
    }
    Some(tls)
}

/// A keep-alive, answered by the node (RFC 5626 §3.5.1).
#[track_caller]
fn ping(tls: &mut Tls) {
    tls.write_all(b"\r\n\r\n").unwrap();
    let mut pong = [0; 2];
    tls.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\r\n");
}

/// Resident memory of the node, in bytes.
fn resident(node: &Node) -> f64 {
    node.metric("nantucket_process_resident_memory_bytes").unwrap()
}

#[test]
fn certificates_are_exchanged_under_open_connections_and_memory_stays_flat() {
    // S03 R82 R73
    let (connections, reloads) = if super::long() { (5_000, 10_000) } else { (200, 300) };
    let net = Net::new();
    let more = "[limits]\nsource_connections = 10000\nconnections = 20000\nsource_new_flows_burst = 20000\n";
    let node = Node::start_with(net, more);
    let mut row = node.must("GET", "/proxies/main", None);
    row["listeners"].as_array_mut().unwrap().push(json!({"service": "sip-tls", "bind": format!("{}:5061", node.ip())}));
    let (first, mut trusted) = fresh();
    node.must("POST", "/certificates", Some(first));
    node.must("PUT", "/proxies/main", Some(row));
    node.wait_live();
    until("the certificate is served", PATIENCE, || connect(&node, &trusted).is_some());
    let mut open: Vec<Tls> = (0..connections).map(|_| connect(&node, &trusted).unwrap()).collect();
    open.iter_mut().for_each(ping);
    let (mut after_warm_up, mut slowest) = (0.0, Duration::ZERO);
    for n in 0..reloads {
        let (row, fresh) = fresh();
        node.must("PUT", "/certificates/front", Some(row));
        trusted = fresh;
        if n % 50 == 0 {
            let asked = crate::support::now();
            until("the new one is served", PATIENCE, || connect(&node, &trusted).is_some());
            slowest = slowest.max(asked.elapsed());
            let some = n % open.len();
            ping(&mut open[some]);
        }
        if n == reloads / 3 {
            after_warm_up = resident(&node);
        }
    }
    let end = resident(&node);
    println!("{reloads} exchanges: the new one served after {slowest:?} at most, memory {after_warm_up} then {end}");
    // A debug build among other tests waits for the machine, and an allocator for the right moment to give back.
    let (within, room) = if super::long() { (Duration::from_secs(1), 16e6) } else { (PATIENCE, 64e6) };
    assert!(slowest < within, "S03: {slowest:?}");
    assert!(end < after_warm_up + room, "memory grew from {after_warm_up} to {end}");
    open.iter_mut().for_each(ping);
    // S03: a pair that does not belong together leaves the one there is in force.
    let (mut bad, _) = fresh();
    bad["key"] = fresh().0["key"].clone();
    assert_eq!(node.api("PUT", "/certificates/front", Some(bad)).0, 422);
    until("the last good one is served", PATIENCE, || connect(&node, &trusted).is_some());
    assert!(connect(&node, &trusted).is_some(), "and stays");
}
