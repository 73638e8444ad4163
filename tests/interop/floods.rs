//! What strangers and broken devices do to a node, on every port: calls of others go on, and memory stays in its
//! bound. Spoofed sources and scanners are not here: they are the guard's.
//!
//! `tests/run` runs the short form; `tests/run soak` the long one.

use super::pbx::Pbx;
use super::sipp::{Over as Sip, Run};
use crate::support::node::Node;
use crate::support::now;
use crate::support::sip::{Peer, request, response, status, value};
use crate::support::wire::{Came, Over, Wire};
use crate::support::{Net, PATIENCE, until};
use rustls::{ClientConnection, StreamOwned};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Ports of the node.
const PORTS: &[(&str, u16)] = &[
    ("sip-udp", 5060),
    ("sip-tcp", 5060),
    ("sip-tls", 5061),
    ("sip-ws", 8080),
    ("sip-wss", 8444),
    ("http", 80),
    ("https", 443),
    // One port for everything.
    ("https", 7443),
    ("sip-tls", 7443),
    ("sip-wss", 7443),
];

/// Ports with connections, and those of them with a handshake.
const STREAMS: usize = 9;
const SECURE: usize = 6;

/// What a node may grow by while it is flooded, kB: the bounds of what a few hundred connections and 20,000
/// transactions may hold, far below what came in.
const ROOM: u64 = 192 * 1024;

struct World {
    net: Net,
    node: Node,
    _harbor: Pbx,
    _lighthouse: Pbx,
}

impl World {
    /// Two instances, each on a Kamailio of its own: `harbor` is at war, `lighthouse` at peace.
    fn new() -> Self {
        let net = Net::new();
        let (harbor, lighthouse) = (Pbx::start(net, 11, "harbor"), Pbx::start(net, 12, "lighthouse"));
        let node = Node::start_with(
            net,
            "[timers]\nfirst_byte = \"2s\"\nhandshake = \"2s\"\npartial = \"2s\"\nstall = \"2s\"\n\
             [http]\nhandshake = \"2s\"\nhead = \"2s\"\n",
        );
        let listeners = PORTS.iter().enumerate().map(|(n, (service, port))| {
            json!({"number": n + 1, "service": service, "bind": format!("{}:{port}", node.ip())})
        });
        let listeners: Vec<_> = listeners.collect();
        node.must("PATCH", "/proxies/main", Some(json!({"listeners": listeners})));
        for (_, port) in PORTS {
            node.wait_listening(&format!("{}:{port}", node.ip()));
        }
        node.add_instance("harbor", &harbor.address(), "tcp");
        node.add_instance("lighthouse", &lighthouse.address(), "udp");
        Run::new("register", net.ip(40), 5080, Sip::Udp)
            .to(&node.sip())
            .account("bob", "lighthouse", "")
            .start()
            .finish();
        Self { net, node, _harbor: harbor, _lighthouse: lighthouse }
    }

    fn at(&self, port: u16) -> SocketAddr {
        (self.node.ip(), port).into()
    }

    /// Calls of the instance at peace, from begin to end, while `war` goes on in a thread of its own until it is told
    /// to end; what the node has grown by, in kB.
    fn peace(&self, war: impl FnOnce(&AtomicBool) + Send) -> u64 {
        let calls = if super::long() { 1_200 } else { 40 };
        let (sip, net, end) = (self.node.sip(), self.net, AtomicBool::new(false));
        let before = self.resident();
        std::thread::scope(|threads| {
            threads.spawn(|| war(&end));
            let _ends = Ends(&end);
            let answers = Run::new("answer", net.ip(40), 5080, Sip::Udp).calls(calls, 10, 0).patience(300).start();
            let call = |ip, over| {
                Run::new("call", net.ip(ip), 5080, over)
                    .to(&sip)
                    .calls(calls / 2, 5, 100)
                    .account("alice", "lighthouse", "bob")
                    .patience(300)
                    .start()
            };
            let (one, other) = (call(41, Sip::Tcp), call(42, Sip::Tcp));
            one.finish();
            other.finish();
            answers.finish();
        });
        self.resident().saturating_sub(before)
    }

    /// Resident memory in kB.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.node.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn lost(&self, reason: &str) -> f64 {
        self.node.sum("nantucket_net_lost_total", &[&format!("reason=\"{reason}\"")])
    }
}

/// A connection that says a byte now and then.
struct Slow {
    what: String,
    stream: Box<dyn Slowly>,
    says: Vec<u8>,
    said: usize,
    closed: bool,
}

trait Slowly: Read + Write + Send {}

impl<T: Read + Write + Send> Slowly for T {}

impl Slow {
    /// Says one more byte, and sees whether it is closed.
    fn go_on(&mut self) {
        if self.closed {
            return;
        }
        if let Some(byte) = self.says.get(self.said) {
            match self.stream.write(&[*byte]).and_then(|n| self.stream.flush().map(|()| n)) {
                Ok(n) => self.said += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.closed = true,
            }
        }
        match self.stream.read(&mut [0; 512]) {
            Ok(0) => self.closed = true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.closed = true,
        }
    }
}

/// The ways to be slow on a port: to say nothing, to begin what it expects, and behind the handshake.
fn slow_ones(world: &World, from: u8, service: &str, port: u16, count: usize) -> Vec<Slow> {
    let tls = world.node.tls_client();
    let connection = || ClientConnection::new(Arc::clone(&tls), world.node.fqdn().try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    connection().write_tls(&mut hello).unwrap();
    let sip = format!("INVITE sip:bob@harbor SIP/2.0\r\nX: {}", "x".repeat(4_000)).into_bytes();
    let http = format!("GET / HTTP/1.1\r\nHost: {}\r\nX: {}", world.node.fqdn(), "x".repeat(4_000)).into_bytes();
    let is_tls = matches!(service, "https" | "sip-tls" | "sip-wss");
    let inner = if matches!(service, "sip-tcp" | "sip-tls") { sip } else { http };
    let mut all = Vec::new();
    let mut add = |what: &str, stream: Box<dyn Slowly>, says: Vec<u8>| {
        let what = format!("{service} on {port}, {what}");
        all.push(Slow { what, stream, says, said: 0, closed: false });
    };
    let open = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((world.net.ip(from), 0)).into()).unwrap();
        socket.connect(&world.at(port).into()).unwrap();
        TcpStream::from(socket)
    };
    let still = |stream: TcpStream| {
        stream.set_nonblocking(true).unwrap();
        stream
    };
    for _ in 0..count {
        add("silent", Box::new(still(open())), Vec::new());
        add("slow", Box::new(still(open())), if is_tls { hello.clone() } else { inner.clone() });
        if is_tls {
            let (mut connection, mut stream) = (connection(), open());
            let mut shaken = Ok((0, 0));
            while connection.is_handshaking() && shaken.is_ok() {
                shaken = connection.complete_io(&mut stream);
            }
            // Who has been slow for long enough is turned away at the door.
            if shaken.is_ok() {
                let stream = StreamOwned::new(connection, still(stream));
                add("slow behind the handshake", Box::new(stream), inner.clone());
            }
        }
    }
    all
}

// R73 S06 HT12, 3.3.16: those who are slow on every port are closed, and felt by nobody.
#[test]
fn slow_clients_on_every_port_are_closed_and_calls_go_on() {
    let world = World::new();
    let count = if super::long() { 60 } else { 8 };
    let grown = world.peace(|end| {
        let mut rounds = 0;
        // At least once, and as long as the calls go on.
        while rounds == 0 || !end.load(Ordering::Relaxed) {
            rounds += 1;
            let ports = PORTS.iter().filter(|(service, _)| *service != "sip-udp").enumerate();
            let mut all: Vec<Slow> = ports
                .flat_map(|(n, (service, port))| slow_ones(&world, 100 + n as u8, service, *port, count))
                .collect();
            assert!(rounds > 1 || all.len() >= 2 * count * STREAMS + SECURE, "{} at first", all.len());
            until("all slow clients are closed", PATIENCE, || {
                all.iter_mut().for_each(Slow::go_on);
                let open: Vec<_> = all.iter().filter(|slow| !slow.closed).map(|slow| slow.what.as_str()).collect();
                if open.len() < 3 && !open.is_empty() {
                    println!("still open: {open:?}");
                }
                open.is_empty()
            });
        }
    });
    assert!(grown < ROOM, "{grown} kB more than before");
    for reason in ["first-byte-timeout", "partial-timeout", "handshake-timeout"] {
        assert!(world.lost(reason) > 0.0, "nobody was closed for {reason}");
    }
}

/// A PBX that takes every registration, and tells the Path of each.
fn lenient_pbx(address: SocketAddr, paths: Sender<String>) -> impl FnOnce(&AtomicBool) + Send {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    move |end| {
        let mut room = [0; 65_536];
        while !end.load(Ordering::Relaxed) {
            let Ok((length, from)) = socket.recv_from(&mut room) else { continue };
            let text = String::from_utf8_lossy(&room[..length]).into_owned();
            if text.starts_with("SIP/2.0 ") {
                continue;
            }
            let contact = format!("Contact: {};expires=600\r\nContent-Length: 0", value(&text, "Contact"));
            let answer = match text.starts_with("REGISTER ") {
                true => response(&text, "200 OK").replace("Content-Length: 0", &contact),
                false => response(&text, "200 OK"),
            };
            socket.send_to(answer.as_bytes(), from).unwrap();
            if text.starts_with("REGISTER ") {
                let _ = paths.send(value(&text, "Path").to_owned());
            }
        }
    }
}

// R73, 3.3.16 4.1: 10,000 messages for one who does not read.
#[test]
fn a_reader_that_stalls_harms_nobody_and_is_closed() {
    const MESSAGES: u32 = 10_000;
    let net = Net::new();
    let node = Node::start_with(net, "[timers]\nstall = \"2s\"\n");
    let inside = format!("{}:5070", node.ip());
    let (tell, paths) = channel();
    let pbx: SocketAddr = (net.ip(11), 5060).into();
    let (end, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let lenient = lenient_pbx(pbx, tell);
    let mut took = Vec::new();
    let lost = || node.sum("nantucket_net_lost_total", &["reason=\"stalled\""]);
    std::thread::scope(|threads| {
        threads.spawn(|| lenient(&end));
        let _ends = Ends(&end);
        node.add_instance("harbor", &pbx.to_string(), "udp");
        let tls = format!("{}:5061", node.ip());
        let listeners = json!({"listeners": [
            {"number": 1, "service": "sip-udp", "bind": node.sip()},
            {"number": 2, "service": "sip-tls", "bind": tls},
        ]});
        node.must("PATCH", "/proxies/main", Some(listeners));
        node.wait_live();
        node.wait_listening(&tls);

        // One whose kernel takes little for it.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.connect(&tls.parse::<SocketAddr>().unwrap().into()).unwrap();
        let mut bob = Wire::over(Over::Tls, socket.into(), &node.tls_client(), &node.fqdn());
        let contact = "Contact: <sip:bob@phone.invalid;transport=tls>;expires=600\r\nSupported: path\r\n";
        let text = request("REGISTER", "sip:bob@harbor", &bob.via(), 1, contact, "");
        bob.send(text.replacen("sip:bob@", "sip:", 1).as_bytes()).unwrap();
        let Came::Message(answer) = bob.next() else { panic!("closed instead of an answer") };
        assert!(answer.starts_with(b"SIP/2.0 200 "), "{}", answer.escape_ascii());
        let path = paths.recv_timeout(PATIENCE).unwrap();

        // The PBX has 10,000 messages for it.
        let line = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        line.bind(&SocketAddr::from((net.ip(11), 0)).into()).unwrap();
        line.connect(&inside.parse::<SocketAddr>().unwrap().into()).unwrap();
        let mut line = TcpStream::from(line);
        let answers = line.try_clone().unwrap();
        answers.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (end, answered) = (&end, &answered);
        threads.spawn(move || {
            let mut room = [0; 65_536];
            while !end.load(Ordering::Relaxed) {
                if let Ok(n) = (&answers).read(&mut room) {
                    answered.fetch_add(room[..n].windows(8).filter(|it| it == b"SIP/2.0 ").count(), Ordering::Relaxed);
                }
            }
        });
        threads.spawn(move || {
            let via = format!("TCP {};rport", line.local_addr().unwrap());
            let more = format!("Route: {path}\r\nX-Pad: {}\r\n", "x".repeat(1_500));
            for n in 0..MESSAGES {
                let text = request("MESSAGE", "sip:bob@phone.invalid", &via, n, &more, "");
                line.write_all(text.as_bytes()).unwrap();
            }
        });
        // Others' answers come before they would be asked for again (T1).
        let phone = Peer::open((net.ip(45), 0));
        let mut number = 0;
        until("the one who stalls is closed", PATIENCE * 3, || {
            number += 1;
            let began = now();
            phone.send(&node.sip(), request("OPTIONS", "sip:carol@harbor", &phone.via(), number, "", ""));
            assert_eq!(status(&phone.last()), 200);
            took.push(began.elapsed());
            lost() >= 1.0
        });
        // What comes for it afterwards is answered, not kept.
        until("the PBX has an answer for each", PATIENCE * 3, || answered.load(Ordering::Relaxed) >= MESSAGES as usize);
    });
    took.sort();
    let [median, late] = [50, 99].map(|share| took[(took.len() - 1) * share / 100]);
    println!(
        "{MESSAGES} messages for one who does not read; others answered after {median:?}, 99 of 100 after {late:?}"
    );
    // A debug build among other tests waits for the machine; it does not wait until the stalled one is closed.
    let bound = if super::long() { Duration::from_millis(500) } else { Duration::from_millis(1_900) };
    assert!(late < bound, "{late:?} for another's answer");
}

/// Ends the threads beside a test, also where it fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// R73 T19 R9: floods of SIP and HTTP.
#[test]
fn floods_leave_the_calls_of_others_alone() {
    let world = World::new();
    let count = AtomicUsize::new(0);
    let grown = world.peace(|end| {
        let (world, count, over) = (&world, &count, || end.load(Ordering::Relaxed));
        let over = &over;
        // Requests between two pauses of a few milliseconds.
        let pace = if super::long() { 200 } else { 20 };
        std::thread::scope(|threads| {
            // Requests nobody asked for: unknown names, unknown accounts, unsound ones.
            threads.spawn(move || {
                let socket = UdpSocket::bind((world.net.ip(200), 0)).unwrap();
                let via = format!("UDP {};rport", socket.local_addr().unwrap());
                for n in 0.. {
                    let text = match n % 4 {
                        0 => request("REGISTER", &format!("sip:{n}@harbor"), &via, n, "", ""),
                        1 => request("INVITE", &format!("sip:{n}@harbor"), &via, n, "", ""),
                        2 => request("OPTIONS", &format!("sip:x@unknown-{n}"), &via, n, "", ""),
                        _ => request("INVITE", "sip:bob@harbor", &via, n, "To: x\r\n", ""),
                    };
                    let _ = socket.send_to(text.as_bytes(), world.at(5060));
                    count.fetch_add(1, Ordering::Relaxed);
                    if n % pace == 0 {
                        pause();
                    }
                    if over() {
                        return;
                    }
                }
            });
            // Connections that come and go, with and without a word.
            for (port, from) in [(5060, 201), (5061, 202), (80, 203), (443, 204), (7443, 205)] {
                threads.spawn(move || {
                    let mut kept = std::collections::VecDeque::new();
                    while !over() {
                        pause();
                        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
                        socket.bind(&SocketAddr::from((world.net.ip(from), 0)).into()).unwrap();
                        if socket.connect(&world.at(port).into()).is_ok() {
                            let mut stream = TcpStream::from(socket);
                            let _ = stream.write_all(b"\x16\x03\x01GET / SIP/2.0\r\n\r\n");
                            kept.push_back(stream);
                        }
                        if kept.len() > 100 {
                            kept.pop_front();
                        }
                    }
                });
            }
            // Requests for pages, as fast as they are answered.
            for _ in 0..2 {
                threads.spawn(move || {
                    while !over() {
                        let Ok(mut stream) = TcpStream::connect(world.at(80)) else { continue };
                        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                        let get = format!("GET /harbor/ HTTP/1.1\r\nHost: {}\r\n\r\n", world.node.fqdn());
                        while !over() && stream.write_all(get.as_bytes()).is_ok() {
                            if stream.read(&mut [0; 16_384]).is_ok_and(|n| n == 0) {
                                break;
                            }
                            if count.fetch_add(1, Ordering::Relaxed) % pace as usize == 0 {
                                pause();
                            }
                        }
                    }
                });
            }
        });
    });
    let count = count.load(Ordering::Relaxed);
    println!("{count} requests of a flood; {grown} kB more than before");
    assert!(count > 1_000, "only {count} requests are no flood");
    assert!(grown < ROOM, "{grown} kB more than before");
}

/// So that the flood leaves the machine, though not the node, some time for others.
fn pause() {
    std::thread::park_timeout(Duration::from_millis(5));
}
