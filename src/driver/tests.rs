//! Workers on real sockets, driving a machine that does what a message tells it to.

use super::front::Front;
use super::listeners::{Secure, Trouble, Wanted};
use super::machine::Machine;
use super::options::{InsideOptions, Limits, Options, Site};
use crate::clock::{Clock, Now, Tick};
use crate::engine::contract::{Dest, Greeting, Input, Output, SendError, Verdict};
use crate::ids::{ConnId, DeviceId, Flow, InstanceId, ListenerId, ProxyId, Shard, Transport};
use crate::net::admission::Rate;
use crate::net::counters::{Loss, NetStats};
use crate::route::cell::Cell;
use crate::route::snapshot::Snapshot;
use crate::tls::client::Clients;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;

mod listeners;
mod streams;
mod tls;
mod ws;

const UDP: ListenerId = ListenerId { proxy: ProxyId(1), number: 1 };
const TCP: ListenerId = ListenerId { proxy: ProxyId(1), number: 2 };
const PATIENCE: Duration = Duration::from_secs(20);

/// What the machine saw.
#[derive(Clone, PartialEq, Debug)]
enum Seen {
    Message(Shard, Flow, String),
    Opened(Flow, Greeting),
    Closed(Shard, Flow),
    Unreachable(SocketAddr, String),
    Failed(u64, SendError),
    HandedOver(Shard, String),
    KeepAlive(SocketAddr),
    Claimed(Shard, u64, bool),
    Moved(Shard, DeviceId),
    Timeout,
}

/// Echoes, unless the first word of the message is an order.
struct Puppet {
    site: Site,
    seen: mpsc::UnboundedSender<Seen>,
    outputs: VecDeque<(Todo, Vec<u8>)>,
    current: Vec<u8>,
    due: Option<Tick>,
}

enum Todo {
    Send(Dest, u64),
    HandOver(Shard, Flow),
    Close(Flow),
    Tell(Shard, DeviceId),
    Save,
}

impl Puppet {
    fn obey(&mut self, now: Now, flow: Flow, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let todo = match words[0] {
            "BACKEND" => {
                let transport = match words[3] {
                    "tcp" => Transport::Tcp,
                    "tls" => Transport::Tls,
                    _ => Transport::Udp,
                };
                let instance = InstanceId(words[1].parse().unwrap());
                Todo::Send(Dest::Backend { instance, address: words[2].parse().unwrap(), transport }, 7)
            }
            "OVER" => {
                let conn = ConnId(words[1].parse().unwrap());
                let any = "0.0.0.0:0".parse().unwrap();
                let flow = Flow::Stream { listener: TCP, conn, transport: Transport::Tcp, local: any, peer: any };
                Todo::Send(Dest::Flow(flow), 8)
            }
            "FALLBACK" => {
                let conn = ConnId::new(self.site.boot, self.site.shard, u32::MAX);
                let peer = words[1].parse().unwrap();
                let flow = Flow::Stream { listener: TCP, conn, transport: Transport::Tcp, local: peer, peer };
                Todo::Send(Dest::Reply { flow, fallback: Some(peer) }, 9)
            }
            "GIVE" => Todo::HandOver(Shard(words[1].parse().unwrap()), flow),
            "TELL" => Todo::Tell(Shard(words[1].parse().unwrap()), DeviceId(7)),
            "CLOSE" => Todo::Close(flow),
            "SAVE" => Todo::Save,
            "LATER" => {
                self.due = Some(now.tick.after(words[1].parse().unwrap()));
                return;
            }
            "FLOOD" => {
                for _ in 0..words[1].parse().unwrap() {
                    self.outputs.push_back((Todo::Send(Dest::Flow(flow), 5), vec![b'x'; 1000]));
                }
                return;
            }
            _ => Todo::Send(Dest::Flow(flow), 6),
        };
        self.outputs.push_back((todo, bytes.to_vec()));
    }
}

impl Machine for Puppet {
    fn handle(&mut self, now: Now, input: Input<'_>, _: &Snapshot) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let seen = match input {
            Input::Message { flow, bytes } => {
                self.obey(now, flow, bytes);
                Seen::Message(self.site.shard, flow, text(bytes))
            }
            Input::FlowOpened { flow, greeting } => Seen::Opened(flow, greeting.clone()),
            Input::FlowClosed { flow } => Seen::Closed(self.site.shard, flow),
            Input::Unreachable { peer, quoted } => Seen::Unreachable(peer, text(quoted)),
            Input::SendFailed { ticket, why } => Seen::Failed(ticket, why),
            Input::HandedOver { bytes, .. } => Seen::HandedOver(self.site.shard, text(bytes)),
            Input::KeepAlive { flow } => Seen::KeepAlive(flow.peer()),
            Input::Moved { device, .. } => Seen::Moved(self.site.shard, device),
            Input::Claimed { ticket, saved } => Seen::Claimed(self.site.shard, ticket, saved),
        };
        let _ = self.seen.send(seen);
    }

    fn poll_output(&mut self) -> Option<Output<'_>> {
        let (todo, bytes) = self.outputs.pop_front()?;
        self.current = bytes;
        let bytes = &self.current;
        Some(match todo {
            Todo::Send(to, ticket) => Output::Send { to, bytes, ticket },
            Todo::HandOver(shard, flow) => Output::HandOver { shard, flow, bytes },
            Todo::Close(flow) => Output::Close { flow },
            Todo::Tell(shard, device) => Output::Tell { shard, instance: InstanceId(1), device },
            Todo::Save => Output::Save,
        })
    }

    fn take_verdict(&mut self) -> Option<Verdict> {
        None
    }

    fn poll_timeout(&mut self) -> Option<Tick> {
        self.due
    }

    fn handle_timeout(&mut self, now: Now, _: &Snapshot) {
        if self.due.is_some_and(|due| due <= now.tick) {
            self.due = None;
            let _ = self.seen.send(Seen::Timeout);
        }
    }
}

struct Stage {
    front: Front,
    seen: mpsc::UnboundedReceiver<Seen>,
    stats: Arc<NetStats>,
}

impl Stage {
    async fn open(workers: u8, limits: Limits) -> Self {
        Self::open_at(workers, limits, Snapshot::default()).await
    }

    async fn open_at(workers: u8, limits: Limits, snapshot: Snapshot) -> Self {
        Self::open_inside(workers, limits, snapshot, None).await
    }

    async fn open_inside(workers: u8, limits: Limits, snapshot: Snapshot, inside_tls: Option<Secure>) -> Self {
        let inside = vec![InsideOptions { bind: "127.0.0.1:0".parse().unwrap(), advertise: None }];
        let cell = Arc::new(Cell::new(snapshot));
        let clients = Clients::new(Arc::clone(&cell));
        let options = Options { workers, boot: 42, inside, limits, clients, inside_tls, guard: Arc::default() };
        let stats = Arc::new(NetStats::default());
        let (sender, seen) = mpsc::unbounded_channel();
        let build =
            move |site| Puppet { site, seen: sender.clone(), outputs: VecDeque::new(), current: Vec::new(), due: None };
        let mut front = Front::start(&options, &cell, Arc::clone(&stats), Clock::start(), build).unwrap();
        let troubles = front.listen(&[any(UDP, Transport::Udp), any(TCP, Transport::Tcp)], no_tls).await;
        assert!(troubles.is_empty(), "{troubles:?}");
        Self { front, seen, stats }
    }

    async fn listen(&mut self, wanted: &[Wanted]) -> Vec<Trouble> {
        self.front.listen(wanted, no_tls).await
    }

    fn address(&self, listener: ListenerId) -> SocketAddr {
        self.front.bound().iter().find(|bound| bound.wanted.listener == listener).unwrap().address
    }

    async fn udp(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.address(UDP)).await.unwrap();
        socket
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address(TCP)).await.unwrap()
    }

    async fn next(&mut self) -> Seen {
        tokio::time::timeout(PATIENCE, self.seen.recv()).await.unwrap().unwrap()
    }

    async fn lost(&self, why: Loss, count: u64) {
        let counted = async {
            while self.stats.lost(why) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, counted).await.unwrap_or_else(|_| panic!("{why:?} was not counted"));
    }

    async fn until<T>(&mut self, mut wanted: impl FnMut(Seen) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.next().await) {
                return found;
            }
        }
    }
}

fn no_tls(_: ListenerId) -> std::io::Result<Arc<rustls::ServerConfig>> {
    Err(std::io::ErrorKind::Unsupported.into())
}

fn any(listener: ListenerId, transport: Transport) -> Wanted {
    Wanted { listener, transport, bind: "127.0.0.1:0".parse().unwrap(), shared: false }
}

fn framed(line: &str) -> String {
    format!("{line}\r\nContent-Length: 0\r\n\r\n")
}

async fn ask(stream: &mut TcpStream, line: &str) -> String {
    stream.write_all(framed(line).as_bytes()).await.unwrap();
    read(stream).await
}

async fn read(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 4096];
    let n = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap_or(0);
    String::from_utf8_lossy(&buffer[..n]).into_owned()
}

async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_535];
    let n = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    buffer.truncate(n);
    buffer
}

#[tokio::test]
async fn datagrams_are_answered_by_whichever_worker_they_reach() {
    // X04
    let mut stage = Stage::open(3, Limits::default()).await;
    for _ in 0..20 {
        let phone = stage.udp().await;
        phone.send(b"hello there").await.unwrap();
        assert_eq!(receive(&phone).await, b"hello there");
    }
    let Seen::Message(_, Flow::Udp { listener, local, .. }, _) = stage.next().await else { panic!("no datagram") };
    assert_eq!((listener, local), (UDP, stage.address(UDP)));
    stage.front.stop().await;
}

#[tokio::test]
async fn stun_is_answered_and_junk_is_counted() {
    // X08
    let mut stage = Stage::open(1, Limits::default()).await;
    let phone = stage.udp().await;
    phone.send(b"\r\n\r\n").await.unwrap();
    phone.send(&[0x80, 0, 0, 1, 0, 0, 0, 1]).await.unwrap();
    phone.send(&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0]).await.unwrap();
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    request.extend(*b"transaction!");
    phone.send(&request).await.unwrap();
    let answer = receive(&phone).await;
    assert_eq!((&answer[..2], &answer[8..20]), (&[1u8, 1][..], &b"transaction!"[..]));
    let port = u16::from_be_bytes([answer[26], answer[27]]) ^ 0x2112;
    assert_eq!(port, phone.local_addr().unwrap().port());
    assert_eq!((stage.stats.lost(Loss::Rtp), stage.stats.lost(Loss::Dtls)), (1, 1));
    assert_eq!(stage.stats.keep_alives.read(), 2);
    let own = phone.local_addr().unwrap();
    for _ in 0..2 {
        // R43: the engine learns from them how often a device shows itself.
        let peer = stage.until(|seen| if let Seen::KeepAlive(peer) = seen { Some(peer) } else { None }).await;
        assert_eq!(peer, own);
    }
}

#[tokio::test]
async fn who_waits_for_a_claim_is_told_when_it_is_written_down() {
    // R66
    let mut stage = Stage::open(2, Limits::default()).await;
    let phone = stage.udp().await;
    let (signal, claims) = stage.front.claims();
    let keeper = std::thread::spawn(move || {
        signal.wait(Duration::from_secs(60));
        claims.tell(Shard(1), vec![(7, true), (8, false)]);
        claims.tell(Shard(9), vec![(9, true)]);
    });
    phone.send(b"SAVE").await.unwrap();
    for expected in [(Shard(1), 7, true), (Shard(1), 8, false)] {
        let claimed =
            |seen| if let Seen::Claimed(shard, ticket, saved) = seen { Some((shard, ticket, saved)) } else { None };
        assert_eq!(stage.until(claimed).await, expected);
    }
    keeper.join().unwrap();
}

#[tokio::test]
async fn an_icmp_error_comes_back_with_what_was_sent() {
    // X06
    let mut stage = Stage::open(1, Limits::default()).await;
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let phone = stage.udp().await;
    phone.send(format!("BACKEND 1 {address} udp z9hG4bKbranch").as_bytes()).await.unwrap();
    let unreachable = |seen| if let Seen::Unreachable(peer, quoted) = seen { Some((peer, quoted)) } else { None };
    let (peer, quoted) = stage.until(unreachable).await;
    assert_eq!(peer, address);
    assert!(quoted.contains("z9hG4bKbranch"), "{quoted}");
}

#[tokio::test]
async fn a_connection_towards_an_instance_is_used_again_but_for_no_other() {
    // X09 X10
    let mut stage = Stage::open(1, Limits::default()).await;
    let pbx = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = pbx.local_addr().unwrap();
    let mut phone = stage.tcp().await;
    for line in ["BACKEND 1 {} tcp a", "BACKEND 1 {} tcp b", "BACKEND 2 {} tcp c"] {
        let line = line.replace("{}", &address.to_string());
        phone.write_all(framed(&line).as_bytes()).await.unwrap();
    }
    let (mut first, _) = pbx.accept().await.unwrap();
    let (mut second, _) = pbx.accept().await.unwrap();
    let mut got = String::new();
    while !got.contains("tcp b") && !got.contains("tcp c") {
        got += &read(&mut first).await;
    }
    let (mut one, other) = if got.contains("tcp c") { (second, got) } else { (first, read(&mut second).await) };
    assert!(other.starts_with("BACKEND 2") && !other.contains("BACKEND 1"), "{other}");

    // What the PBX says on it comes in as from inside.
    assert_eq!(ask(&mut one, "from the pbx").await, framed("from the pbx"));
    let inside = |seen| match seen {
        Seen::Message(_, flow, text) if text.contains("from the pbx") => Some(flow),
        _ => None,
    };
    let flow = stage.until(inside).await;
    assert_eq!((flow.listener(), flow.peer()), (ListenerId::INSIDE_V4, address));
    assert_eq!(flow.local(), one.peer_addr().unwrap());
}

#[tokio::test]
async fn a_connection_that_cannot_be_opened_is_told_at_once() {
    // X06
    let mut stage = Stage::open(1, Limits::default()).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let phone = stage.udp().await;
    phone.send(format!("BACKEND 1 {address} tcp").as_bytes()).await.unwrap();
    let failed = |seen| if let Seen::Failed(ticket, why) = seen { Some((ticket, why)) } else { None };
    assert_eq!(stage.until(failed).await, (7, SendError::Connect));
    assert_eq!((stage.stats.lost(Loss::Connect), stage.stats.connections.read()), (1, 0));
}

#[tokio::test]
async fn a_worker_opens_so_many_connections() {
    let mut stage = Stage::open(1, Limits { pool: 1, ..Limits::default() }).await;
    let pbx = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let phone = stage.udp().await;
    for instance in [1, 2] {
        phone.send(format!("BACKEND {instance} {} tcp", pbx.local_addr().unwrap()).as_bytes()).await.unwrap();
    }
    let failed = |seen| if let Seen::Failed(ticket, why) = seen { Some((ticket, why)) } else { None };
    assert_eq!(stage.until(failed).await, (7, SendError::Connect));
    assert_eq!(stage.stats.lost(Loss::PoolFull), 1);
    let (mut first, _) = pbx.accept().await.unwrap();
    assert!(read(&mut first).await.starts_with("BACKEND 1"));
}

#[tokio::test]
async fn a_response_whose_connection_is_gone_goes_over_a_new_one() {
    // X05
    let stage = Stage::open(1, Limits::default()).await;
    let phone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let order = format!("FALLBACK {}", phone.local_addr().unwrap());
    stage.udp().await.send(order.as_bytes()).await.unwrap();
    let (mut accepted, _) = phone.accept().await.unwrap();
    assert_eq!(read(&mut accepted).await, order);
}

#[tokio::test]
async fn a_connection_of_an_earlier_process_is_gone() {
    // X05 P04
    let mut stage = Stage::open(1, Limits::default()).await;
    let conn = ConnId::new(41, Shard(0), 1);
    stage.udp().await.send(format!("OVER {}", conn.0).as_bytes()).await.unwrap();
    let failed = |seen| if let Seen::Failed(ticket, why) = seen { Some((ticket, why)) } else { None };
    assert_eq!(stage.until(failed).await, (8, SendError::FlowGone));
}

#[tokio::test]
async fn a_worker_sends_over_the_connection_of_another_and_hears_of_its_end() {
    // X09 P07
    let mut stage = Stage::open(2, Limits::default()).await;
    let mut phone = stage.tcp().await;
    ask(&mut phone, "hello").await;
    let message = |seen| if let Seen::Message(shard, flow, _) = seen { Some((shard, flow)) } else { None };
    let (owner, flow) = stage.until(message).await;
    let Flow::Stream { conn, .. } = flow else { panic!("no stream") };
    // The kernel spreads the sources over the workers: look for one at the other.
    let order = format!("OVER {}", conn.0);
    loop {
        stage.udp().await.send(order.as_bytes()).await.unwrap();
        assert_eq!(read(&mut phone).await, order);
        if stage.until(message).await.0 != owner {
            break;
        }
    }
    drop(phone);
    let mut told = Vec::new();
    while told.len() < 2 {
        told.push(stage.until(|seen| if let Seen::Closed(shard, _) = seen { Some(shard) } else { None }).await);
    }
    assert!(told.contains(&Shard(0)) && told.contains(&Shard(1)), "{told:?}");
    // Now it is gone, for the other worker too.
    let failed = |seen| if let Seen::Failed(ticket, why) = seen { Some((ticket, why)) } else { None };
    for _ in 0..4 {
        stage.udp().await.send(order.as_bytes()).await.unwrap();
        assert_eq!(stage.until(failed).await, (8, SendError::FlowGone));
    }
}

#[tokio::test]
async fn a_response_is_handed_to_the_worker_it_belongs_to() {
    let mut stage = Stage::open(2, Limits::default()).await;
    for shard in 0..2 {
        stage.udp().await.send(format!("GIVE {shard} x").as_bytes()).await.unwrap();
        let handed = |seen| if let Seen::HandedOver(shard, _) = seen { Some(shard) } else { None };
        assert_eq!(stage.until(handed).await, Shard(shard));
    }
}

#[tokio::test]
async fn a_worker_is_told_of_a_device_that_moved() {
    let mut stage = Stage::open(2, Limits::default()).await;
    for shard in 0..2 {
        stage.udp().await.send(format!("TELL {shard}").as_bytes()).await.unwrap();
        let moved = |seen| if let Seen::Moved(shard, device) = seen { Some((shard, device)) } else { None };
        assert_eq!(stage.until(moved).await, (Shard(shard), DeviceId(7)));
    }
}

#[tokio::test]
async fn timers_fire_and_an_earlier_one_is_not_missed() {
    let mut stage = Stage::open(1, Limits::default()).await;
    let phone = stage.udp().await;
    phone.send(b"LATER 3600000").await.unwrap();
    phone.send(b"LATER 5").await.unwrap();
    stage.until(|seen| (seen == Seen::Timeout).then_some(())).await;
}

#[tokio::test]
async fn a_source_may_open_so_many_connections_and_flows() {
    let limits = Limits { source_connections: 2, ..Limits::default() };
    let stage = Stage::open(1, limits).await;
    let (mut one, mut two) = (stage.tcp().await, stage.tcp().await);
    ask(&mut one, "hello").await;
    ask(&mut two, "hello").await;
    assert_eq!(read(&mut stage.tcp().await).await, "");
    assert_eq!(stage.stats.lost(Loss::SourceConnections), 1);
    stage.front.stop().await;

    let limits = Limits { new_flows: Rate { per_second: 1, burst: 2 }, ..Limits::default() };
    let stage = Stage::open(1, limits).await;
    let phones = [stage.udp().await, stage.udp().await, stage.udp().await];
    for number in [0, 1, 2, 2, 0, 1] {
        phones[number].send(b"hello").await.unwrap();
    }
    for phone in &phones[..2] {
        assert_eq!((receive(phone).await, receive(phone).await), (b"hello".to_vec(), b"hello".to_vec()));
    }
    assert_eq!(stage.stats.lost(Loss::NewFlows), 2);
}
