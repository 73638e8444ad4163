//! Sending the probes and hearing the answers: one thread of its own, far from the workers.
//!
//! `state` says what is due and what an answer means; this sends OPTIONS over UDP and TCP, and tells
//! it what came back. Any final response is an answer: a PBX that refuses is alive.

use super::options::{answered, asked, request};
use super::state::{Probes, TargetKey, Turned};
use crate::clock::{Clock, Tick};
use crate::ids::{ListenerId, Transport};
use crate::net::tcp;
use crate::net::udp::{self, Batch, UdpSocket};
use crate::route::cell::Cell;
use crate::route::snapshot::{Map, Snapshot};
use crate::sip::view::Index;
use crate::stats::Counter;
use crate::tls::client::Clients;
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// Targets looked at before sockets get their turn.
const BATCH: usize = 256;
/// Probes over TCP at once; further ones are failures, which hysteresis forgives.
const CONNECTIONS: usize = 256;
/// How often the table is looked at.
const LOOK: u64 = 1_000;
/// Milliseconds between two rounds of probes at the least: what is due in between goes out together.
const ROUND: u64 = 50;
const SOCKET_BUFFER: usize = 1 << 20;
const LARGEST_ANSWER: usize = 16 * 1024;

/// What the prober counts.
#[derive(Default, Debug)]
pub struct ProbeStats {
    /// Probes sent.
    pub sent: Counter,
    /// Probes answered in time.
    pub answered: Counter,
    /// Probes that failed at once: refused, unreachable, no connection.
    pub failed: Counter,
    /// Targets that went down by a probe.
    pub downs: Counter,
    /// Targets that came up by a probe.
    pub ups: Counter,
}

/// What the prober is started with.
pub struct Prober {
    /// The schedule.
    pub probes: Probes,
    /// The table.
    pub cell: Arc<Cell>,
    /// Time.
    pub clock: Clock,
    /// What it counts.
    pub stats: Arc<ProbeStats>,
    /// TLS towards the instances.
    pub clients: Arc<Clients>,
    /// Our addresses towards the instances: bound, and told. At most one for each family.
    pub addresses: Vec<(IpAddr, IpAddr)>,
    /// Ends it.
    pub stop: CancellationToken,
}

struct State {
    probes: RefCell<Probes>,
    /// Probes on their way, by number; each is gone with its answer or when its target is due again.
    open: RefCell<Map<u64, TargetKey>>,
    number: std::cell::Cell<u64>,
    sockets: Vec<(Rc<UdpSocket>, IpAddr)>,
    clock: Clock,
    stats: Arc<ProbeStats>,
    clients: Arc<Clients>,
    places: Semaphore,
    timeout: Duration,
    /// When the next round is.
    armed: std::cell::Cell<Tick>,
    /// An answer or failure has moved a target's next probe to before that.
    replanned: Notify,
}

impl Prober {
    /// Starts the prober's thread.
    pub fn spawn(self) -> io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sockets = self
            .addresses
            .iter()
            .map(|(bound, told)| udp::bind(SocketAddr::new(*bound, 0), SOCKET_BUFFER).map(|socket| (socket, *told)));
        let sockets = sockets.collect::<io::Result<Vec<_>>>()?;
        std::thread::Builder::new().name("health".into()).spawn(move || {
            LocalSet::new().block_on(&runtime, self.run(sockets));
        })
    }

    async fn run(self, sockets: Vec<(std::net::UdpSocket, IpAddr)>) {
        let adopt = |(socket, told)| UdpSocket::adopt(socket, ListenerId::INSIDE_V4).ok().map(|s| (Rc::new(s), told));
        let state = Rc::new(State {
            timeout: Duration::from_millis(self.probes.schedule().timeout),
            probes: RefCell::new(self.probes),
            open: RefCell::default(),
            number: std::cell::Cell::new(fastrand::u64(..)),
            sockets: sockets.into_iter().filter_map(adopt).collect(),
            clock: self.clock,
            stats: self.stats,
            clients: self.clients,
            places: Semaphore::new(CONNECTIONS),
            armed: std::cell::Cell::default(),
            replanned: Notify::new(),
        });
        for (socket, _) in &state.sockets {
            spawn_local(Rc::clone(&state).listen(Rc::clone(socket)));
        }
        let mut reader = self.cell.reader();
        let mut seen: Option<Arc<Snapshot>> = None;
        loop {
            let now = self.clock.now().tick;
            let current = reader.load();
            if seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, current)) {
                state.probes.borrow_mut().take(now, current, fastrand::u64(..));
                seen = Some(Arc::clone(current));
            }
            state.send_due(now);
            let next = match state.probes.borrow().next() {
                Some(next) if next <= now => now,
                Some(next) => next.max(now.after(ROUND)).min(now.after(LOOK)),
                None => now.after(LOOK),
            };
            state.armed.set(next);
            tokio::select! {
                () = tokio::time::sleep_until(self.clock.instant(next).into()) => {}
                () = state.replanned.notified() => {}
                () = self.stop.cancelled() => return,
            }
        }
    }
}

impl State {
    fn send_due(self: &Rc<Self>, now: Tick) {
        let (mut send, mut turned) = (Vec::new(), Vec::new());
        self.probes.borrow_mut().due(now, BATCH, &mut send, &mut turned);
        for turned in turned {
            self.note(turned);
        }
        if self.open.borrow().len() > 2 * self.probes.borrow().len() + BATCH {
            // What was never answered: its target has long been given up.
            self.open.borrow_mut().clear();
        }
        for key in send {
            self.stats.sent.inc();
            match key.transport {
                Transport::Udp => self.send_datagram(key),
                _ => drop(spawn_local(Rc::clone(self).ask_over_stream(key))),
            }
        }
    }

    fn send_datagram(&self, key: TargetKey) {
        let Some((socket, told)) = self.socket(key.address) else { return self.fail(key) };
        let number = self.next_number();
        let text = request(number, SocketAddr::new(told, socket.local().port()), key.address, key.transport);
        self.open.borrow_mut().insert(number, key);
        if socket.send(text.as_bytes(), socket.local(), key.address).is_err() {
            self.open.borrow_mut().remove(&number);
            self.fail(key);
        }
    }

    /// Hears answers and errors of one socket.
    async fn listen(self: Rc<Self>, socket: Rc<UdpSocket>) {
        let mut batch = Batch::default();
        let mut index = Index::default();
        while let Ok(mut ready) = socket.ready().await {
            while let Ok(failure) = socket.failure(batch.first()) {
                let number = batch.first().get(..failure.length).and_then(asked);
                if failure.unreachable
                    && let Some(key) = number.and_then(|number| self.open.borrow_mut().remove(&number))
                {
                    self.fail(key);
                }
            }
            // The error of an earlier datagram says nothing about what lies in the queue.
            while socket.receive(&mut batch).unwrap_or(true) {
                self.hear(&batch, &mut index);
            }
            self.hear(&batch, &mut index);
            ready.clear_ready();
        }
    }

    fn hear(&self, batch: &Batch, index: &mut Index) {
        for (received, bytes) in batch.datagrams() {
            if let Some(number) = answered(bytes, index) {
                self.answer(number, received.peer);
            }
        }
    }

    fn answer(&self, number: u64, peer: SocketAddr) {
        let mut open = self.open.borrow_mut();
        if open.get(&number).is_some_and(|key| key.address == peer)
            && let Some(key) = open.remove(&number)
        {
            drop(open);
            self.succeed(key);
        }
    }

    async fn ask_over_stream(self: Rc<Self>, key: TargetKey) {
        let Ok(_place) = self.places.try_acquire() else { return self.fail(key) };
        match tokio::time::timeout(self.timeout, self.converse(key)).await {
            Ok(true) => self.succeed(key),
            Ok(false) => self.fail(key),
            // `Probes` has given it up by itself.
            Err(_) => {}
        }
    }

    async fn converse(&self, key: TargetKey) -> bool {
        let Some((socket, told)) = self.socket(key.address) else { return false };
        let Ok(stream) = tcp::connect(socket.local().ip(), key.address).await else { return false };
        let port = stream.local_addr().map_or(0, |address| address.port());
        let own = SocketAddr::new(told, port);
        if key.transport != Transport::Tls {
            return self.ask_over(stream, own, key).await;
        }
        let Some(instance) = key.terms else { return false };
        let Some((config, name)) = self.clients.terms(instance, key.address) else { return false };
        match TlsConnector::from(config).connect(name, stream).await {
            Ok(stream) => self.ask_over(stream, own, key).await,
            Err(error) => {
                tracing::debug!(instance = instance.0, address = %key.address, %error, "TLS with a target");
                false
            }
        }
    }

    async fn ask_over(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, own: SocketAddr, key: TargetKey) -> bool {
        let number = self.next_number();
        let text = request(number, own, key.address, key.transport);
        if stream.write_all(text.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return false;
        }
        let mut bytes = Vec::with_capacity(1024);
        let mut index = Index::default();
        while bytes.len() < LARGEST_ANSWER {
            match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
            // Provisional responses may come first: each begins where the last one's head ended.
            let mut at = 0;
            while let Some(end) = bytes.get(at..).and_then(|rest| memchr::memmem::find(rest, b"\r\n\r\n")) {
                if bytes.get(at..at + end + 4).and_then(|head| answered(head, &mut index)) == Some(number) {
                    return true;
                }
                at += end + 4;
            }
        }
        false
    }

    fn succeed(&self, key: TargetKey) {
        self.stats.answered.inc();
        let turned = self.probes.borrow_mut().answered(self.clock.now().tick, key);
        turned.into_iter().for_each(|turned| self.note(turned));
        self.replan();
    }

    fn fail(&self, key: TargetKey) {
        self.stats.failed.inc();
        let turned = self.probes.borrow_mut().failed(self.clock.now().tick, key);
        turned.into_iter().for_each(|turned| self.note(turned));
        self.replan();
    }

    /// Wakes the schedule if something is due before its next round; that takes its time in any case.
    fn replan(&self) {
        if self.probes.borrow().next().is_some_and(|next| next.after(ROUND) < self.armed.get()) {
            self.replanned.notify_one();
        }
    }

    fn note(&self, turned: Turned) {
        let Turned { target: TargetKey { address, transport, .. }, instance, instances, up } = turned;
        if up {
            self.stats.ups.add(instances);
            tracing::info!(instance = instance.0, instances, %address, %transport, "a target is up again");
        } else {
            self.stats.downs.add(instances);
            tracing::warn!(instance = instance.0, instances, %address, %transport, "a target is down");
        }
    }

    fn socket(&self, like: SocketAddr) -> Option<(&Rc<UdpSocket>, IpAddr)> {
        let found = self.sockets.iter().find(|(socket, _)| socket.local().is_ipv4() == like.is_ipv4());
        found.map(|(socket, told)| (socket, *told))
    }

    fn next_number(&self) -> u64 {
        self.number.set(self.number.get().wrapping_add(1));
        self.number.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::state::Schedule;
    use crate::model::Backend;
    use crate::route::testing::{compiled, instance, table};
    use std::time::Duration;
    use tokio::net::{TcpListener, UdpSocket as Peer};

    const PATIENCE: Duration = Duration::from_secs(20);

    struct Stage {
        cell: Arc<Cell>,
        stats: Arc<ProbeStats>,
        stop: CancellationToken,
        thread: Option<std::thread::JoinHandle<()>>,
    }

    impl Stage {
        fn open(address: SocketAddr, transport: Transport) -> Self {
            let mut row = instance(1, "acme");
            row.backends = vec![Backend { address: address.to_string(), transport, ..row.backends[0].clone() }];
            let cell = Arc::new(Cell::new(compiled(&table([row], []))));
            let schedule = Schedule { up_every: 20, down_every: 20, timeout: 2_000, fall: 2, rise: 2 };
            let (stats, stop) = (Arc::new(ProbeStats::default()), CancellationToken::new());
            let home = "127.0.0.1".parse().unwrap();
            let prober = Prober {
                clients: Clients::new(Arc::clone(&cell)),
                probes: Probes::new(schedule, 100),
                cell: Arc::clone(&cell),
                clock: Clock::start(),
                stats: Arc::clone(&stats),
                addresses: vec![(home, home)],
                stop: stop.clone(),
            };
            let thread = Some(prober.spawn().unwrap());
            Self { cell, stats, stop, thread }
        }

        async fn until(&self, up: bool) {
            let turned = async {
                while self.cell.load().instances[0].backends[0].health.is_up() != up {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(PATIENCE, turned).await.unwrap();
        }
    }

    impl Drop for Stage {
        fn drop(&mut self) {
            self.stop.cancel();
            self.thread.take().unwrap().join().unwrap();
        }
    }

    fn answer(request: &str) -> String {
        let via = request.lines().nth(1).unwrap();
        format!(
            "SIP/2.0 100 Trying\r\n{via}\r\nContent-Length: 0\r\n\r\nSIP/2.0 404 No\r\n{via}\r\nContent-Length: 0\r\n\r\n"
        )
    }

    #[tokio::test]
    async fn a_target_whose_port_is_closed_goes_down_at_once_and_comes_back() {
        // X06
        let peer = Peer::bind("127.0.0.1:0").await.unwrap();
        let address = peer.local_addr().unwrap();
        drop(peer);
        let stage = Stage::open(address, Transport::Udp);
        stage.until(false).await;
        assert!(stage.stats.failed.read() >= 2);
        let peer = Peer::bind(address).await.unwrap();
        let echo = tokio::spawn(async move {
            let mut buffer = [0; 2000];
            loop {
                let (n, from) = peer.recv_from(&mut buffer).await.unwrap();
                let text = answer(std::str::from_utf8(&buffer[..n]).unwrap());
                peer.send_to(text.split_inclusive("\r\n\r\n").nth(1).unwrap().as_bytes(), from).await.unwrap();
            }
        });
        stage.until(true).await;
        assert_eq!((stage.stats.downs.read(), stage.stats.ups.read()), (1, 1));
        echo.abort();
    }

    #[tokio::test]
    async fn a_target_is_asked_over_tcp() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let stage = Stage::open(address, Transport::Tcp);
        stage.until(false).await;
        let listener = TcpListener::bind(address).await.unwrap();
        let serve = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 2000];
                let n = stream.read(&mut buffer).await.unwrap();
                let text = answer(std::str::from_utf8(&buffer[..n]).unwrap());
                let _ = stream.write_all(text.as_bytes()).await;
            }
        });
        stage.until(true).await;
        serve.abort();
    }
}
