//! The front: all workers of the node, as `app` holds them.

use super::adopt::Adopter;
use super::alarm::Alarm;
use super::claims::{Claims, Signal};
use super::command::{Bundle, Command, Socket, Spoken};
use super::listeners::{Bound, Secure, Trouble, Wanted, plan};
use super::machine::Machine;
use super::mail::{Mail, Post};
use super::options::{InsideOptions, Limits, Options, Site};
use super::worker::{Common, Worker};
use crate::clock::Clock;
use crate::engine::config::{Inside, InsideAddress};
use crate::ids::{Flow, ListenerId, Shard, Transport};
use crate::net::admission::Sources;
use crate::net::counters::NetStats;
use crate::net::guests::Guests;
use crate::net::udp::{self, UdpSocket};
use crate::route::cell::{Cell, Reader};
use crate::route::snapshot::Map;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// Orders that may wait for a worker.
const ORDERS: usize = 64;
/// Tries to find a port that is free for UDP and TCP.
const PORT_TRIES: usize = 16;

/// The workers and what they listen on.
pub struct Front {
    workers: Vec<Handle>,
    bound: Vec<Bound>,
    inside: Vec<Bound>,
    told: Vec<(SocketAddr, SocketAddr)>,
    limits: Arc<ArcSwap<Limits>>,
    sources: Arc<Sources>,
    guests: Arc<Guests>,
    handshakes: Arc<Guests>,
    adopter: Adopter,
    secure: Map<ListenerId, Secure>,
    fatal: mpsc::Receiver<Shard>,
    closer: Closer,
    signal: Signal,
}

/// Closes clients' connections from outside of the workers; copied to whoever needs it.
#[derive(Clone)]
pub struct Closer {
    post: Post,
    boot: u32,
}

impl Closer {
    /// Asks for the connection of a flow to be closed; what waits to be written is written first. False where there
    /// is none to close: datagrams, a connection of an earlier process, or a worker that has too many letters.
    pub fn close(&self, flow: &Flow) -> bool {
        match *flow {
            Flow::Stream { conn, .. } if conn.boot() == self.boot => self.post.put(conn.shard(), Mail::Close { conn }),
            _ => false,
        }
    }
}

struct Handle {
    orders: mpsc::Sender<Command>,
    thread: JoinHandle<()>,
}

/// What a worker's thread starts with.
struct Start {
    common: Common,
    site: Site,
    routes: Reader,
    own: [Option<std::net::UdpSocket>; 2],
    inside: Vec<(ListenerId, Socket)>,
    letters: mpsc::Receiver<Mail>,
    orders: mpsc::Receiver<Command>,
    runtime: tokio::runtime::Runtime,
    alarm: Alarm,
}

impl Front {
    /// Binds the addresses towards the instances and starts the workers, each with a machine from `build`.
    pub fn start<M: Machine + 'static>(
        options: &Options,
        routes: &Cell,
        stats: Arc<NetStats>,
        clock: Clock,
        build: impl Fn(Site) -> M + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let workers = options.workers.clamp(1, 64);
        let (post, boxes) = Post::new(workers, options.limits.mailbox, Arc::clone(&stats));
        let common = Common {
            clock,
            boot: options.boot & 0xff_ffff,
            limits: Arc::new(ArcSwap::from_pointee(options.limits)),
            stats,
            sources: Arc::new(Sources::new(options.limits.sources, options.limits.new_flows)),
            guests: Guests::new(options.limits.connections, options.limits.source_connections),
            handshakes: Guests::handshakes(options.limits.handshakes, options.limits.source_handshakes),
            clients: Arc::clone(&options.clients),
            post,
            notes: Arc::default(),
            signal: Signal::default(),
            guard: Arc::clone(&options.guard),
        };
        let mut sites: Vec<_> = (0..workers).map(|shard| Seat::new(Shard(shard), workers, common.boot)).collect();
        let (mut inside, mut told) = (Vec::new(), Vec::new());
        for family in &options.inside {
            let spoken = Spoken { transport: Transport::Tcp, secure: options.inside_tls.clone() };
            let (bound, address) = bind_inside(*family, &mut sites, options.limits.receive_buffer, &spoken)?;
            told.extend(bound.first().map(|bound| (bound.address, address)));
            inside.extend(bound);
        }
        let (report, fatal) = mpsc::channel(usize::from(workers));
        let mut handles = Vec::with_capacity(sites.len());
        for (seat, letters) in sites.into_iter().zip(boxes) {
            let (orders, received) = mpsc::channel(ORDERS);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let alarm = {
                let _inside = runtime.enter();
                Alarm::new()?
            };
            let start = Start {
                common: common.clone(),
                site: seat.site,
                routes: routes.reader(),
                own: seat.own,
                inside: seat.inside,
                letters,
                orders: received,
                runtime,
                alarm,
            };
            let (build, report) = (build.clone(), report.clone());
            let shard = seat.site.shard;
            let thread = std::thread::Builder::new().name(format!("sip-{}", shard.0)).spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| run(start, build))).is_err() {
                    let _ = report.try_send(shard);
                }
            })?;
            handles.push(Handle { orders, thread });
        }
        let Common { limits, sources, guests, handshakes, post, boot, signal, .. } = common;
        let adopter = Adopter::new(post.clone(), boot, workers);
        let closer = Closer { post, boot };
        Ok(Self {
            workers: handles,
            bound: Vec::new(),
            inside,
            told,
            limits,
            sources,
            guests,
            handshakes,
            adopter,
            secure: Map::default(),
            fatal,
            closer,
            signal,
        })
    }

    /// Makes `wanted` what is listened on. What stays is not touched; what cannot be bound is
    /// returned, and if it was bound elsewhere before, it stays there. `secure` makes the TLS of those
    /// that have it; where that has changed, connections to come have the new one.
    pub async fn listen(
        &mut self,
        wanted: &[Wanted],
        mut secure: impl FnMut(ListenerId) -> io::Result<Arc<ServerConfig>>,
    ) -> Vec<Trouble> {
        let plan = plan(&self.bound, wanted);
        for bound in plan.close {
            self.close(bound).await;
        }
        let mut troubles = Vec::new();
        for wanted in &plan.open {
            // One that is to move away from the address makes room; if it cannot be bound then, that is reported.
            let moving =
                |bound: &&Bound| bound.blocks(wanted) && plan.open.iter().any(|open| open.is_same(&bound.wanted));
            let blocking: Vec<_> = self.bound.iter().filter(moving).copied().collect();
            for bound in blocking {
                self.close(bound).await;
            }
            if wanted.shared {
                self.leave(*wanted).await;
                continue;
            }
            let opened = match self.secured(*wanted, &mut secure) {
                Ok(spoken) => self.open(*wanted, &spoken).await,
                Err(error) => Err(error),
            };
            if let Err(error) = opened {
                troubles.push(Trouble { wanted: *wanted, error });
            }
        }
        for (listener, known) in &self.secure {
            // What cannot be made leaves what is there in force.
            if let Ok(config) = secure(*listener)
                && !Arc::ptr_eq(&known.load(), &config)
            {
                known.store(config);
            }
        }
        troubles
    }

    /// What is listened on for clients.
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// What is listened on for instances.
    pub fn inside(&self) -> &[Bound] {
        &self.inside
    }

    /// The shared addresses towards the instances: as bound, and as the instances are told.
    pub fn told(&self) -> &[(SocketAddr, SocketAddr)] {
        &self.told
    }

    /// Changes the bounds that can change while running: those of new connections and new flows.
    pub fn set_limits(&self, limits: Limits) {
        self.sources.set_rate(limits.new_flows);
        self.guests.set_limits(limits.connections, limits.source_connections);
        self.handshakes.set_limits(limits.handshakes, limits.source_handshakes);
        self.limits.store(Arc::new(limits));
    }

    /// Takes note of a table in which instances left or were switched off.
    pub async fn prune(&self) {
        for worker in &self.workers {
            let _ = worker.orders.send(Command::Prune).await;
        }
    }

    /// What hands connections over to the workers that were accepted elsewhere.
    pub fn adopter(&self) -> Adopter {
        self.adopter.clone()
    }

    /// What closes clients' connections.
    pub fn closer(&self) -> Closer {
        self.closer.clone()
    }

    /// What tells that a worker waits for a claim to be written down, and what tells the worker.
    pub fn claims(&self) -> (Signal, Claims) {
        (self.signal.clone(), Claims { post: self.closer.post.clone() })
    }

    /// Waits for a worker to die, which it never should.
    pub async fn failed(&mut self) -> Shard {
        match self.fatal.recv().await {
            Some(shard) => shard,
            None => std::future::pending().await,
        }
    }

    /// Ends all workers; what waits to be written is written first.
    pub async fn stop(self) {
        for worker in &self.workers {
            let _ = worker.orders.send(Command::Stop).await;
        }
        let joined = tokio::task::spawn_blocking(|| {
            for worker in self.workers {
                let _ = worker.thread.join();
            }
        });
        let _ = joined.await;
    }

    /// What is to be spoken on a listener.
    fn secured(
        &mut self,
        wanted: Wanted,
        secure: &mut impl FnMut(ListenerId) -> io::Result<Arc<ServerConfig>>,
    ) -> io::Result<Spoken> {
        let Wanted { listener, transport, .. } = wanted;
        let secure = match transport {
            Transport::Udp | Transport::Tcp | Transport::Ws => None,
            Transport::Tls | Transport::Wss => {
                let config = secure(listener)?;
                let known = self.secure.entry(listener).or_insert_with(|| Arc::new(ArcSwap::new(Arc::clone(&config))));
                known.store(config);
                Some(Arc::clone(known))
            }
        };
        Ok(Spoken { transport, secure })
    }

    async fn open(&mut self, wanted: Wanted, spoken: &Spoken) -> io::Result<()> {
        let workers = u8::try_from(self.workers.len()).unwrap_or(u8::MAX);
        let (address, bundle) = wanted.bind(workers, self.limits.load().receive_buffer)?;
        let Wanted { listener, .. } = wanted;
        for (worker, socket) in self.workers.iter().zip(bundle.split(spoken)) {
            worker.order(|done| Command::Listen { listener, socket, done }).await;
        }
        self.bound.retain(|bound| !bound.wanted.is_same(&wanted));
        self.bound.push(Bound { wanted, address });
        Ok(())
    }

    /// Gives up a listener's own socket, if it has one; what was accepted there stays.
    async fn leave(&mut self, wanted: Wanted) {
        let Wanted { listener, transport, bind, .. } = wanted;
        for worker in &self.workers {
            worker.order(|done| Command::Leave { listener, transport, done }).await;
        }
        self.bound.retain(|bound| !bound.wanted.is_same(&wanted));
        self.bound.push(Bound { wanted, address: bind });
        self.secure.remove(&listener);
    }

    async fn close(&mut self, bound: Bound) {
        let Wanted { listener, transport, .. } = bound.wanted;
        for worker in &self.workers {
            worker.order(|done| Command::Unlisten { listener, transport, done }).await;
        }
        self.bound.retain(|other| *other != bound);
        if !self.bound.iter().any(|other| other.wanted.listener == listener) {
            self.secure.remove(&listener);
        }
    }
}

impl Handle {
    /// Gives an order and waits until it is carried out.
    async fn order(&self, order: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (done, carried_out) = oneshot::channel();
        if self.orders.send(order(done)).await.is_ok() {
            let _ = carried_out.await;
        }
    }
}

/// A worker's place before its thread exists.
struct Seat {
    site: Site,
    own: [Option<std::net::UdpSocket>; 2],
    inside: Vec<(ListenerId, Socket)>,
}

impl Seat {
    fn new(shard: Shard, shards: u8, boot: u32) -> Self {
        let site = Site { shard, shards, boot, inside: Inside::default() };
        Self { site, own: [None, None], inside: Vec::new() }
    }
}

/// Binds one family's shared address for all workers, and a socket of its own for each.
fn bind_inside(
    options: InsideOptions,
    seats: &mut [Seat],
    receive_buffer: usize,
    spoken: &Spoken,
) -> io::Result<(Vec<Bound>, SocketAddr)> {
    let v4 = options.bind.is_ipv4();
    let listener = if v4 { ListenerId::INSIDE_V4 } else { ListenerId::INSIDE_V6 };
    let workers = u8::try_from(seats.len()).unwrap_or(u8::MAX);
    let (address, udp, tcp) = bind_pair(listener, options.bind, workers, receive_buffer)?;
    let told = options.advertise.unwrap_or_else(|| outward(options.bind.ip()));
    for (seat, (udp, tcp)) in seats.iter_mut().zip(udp.split(spoken).into_iter().zip(tcp.split(spoken))) {
        let own = udp::bind(SocketAddr::new(options.bind.ip(), 0), receive_buffer)?;
        let inside = InsideAddress {
            shared: SocketAddr::new(told, address.port()),
            own: SocketAddr::new(told, own.local_addr()?.port()),
        };
        seat.inside.extend([(listener, udp), (listener, tcp)]);
        let [own4, own6] = &mut seat.own;
        if v4 {
            *own4 = Some(own);
            seat.site.inside.v4 = Some(inside);
        } else {
            *own6 = Some(own);
            seat.site.inside.v6 = Some(inside);
        }
    }
    let bound =
        |transport| Bound { wanted: Wanted { listener, transport, bind: options.bind, shared: false }, address };
    Ok((vec![bound(Transport::Udp), bound(Transport::Tcp)], SocketAddr::new(told, address.port())))
}

/// Binds one port for UDP and TCP; if any port will do, one that is free for both.
fn bind_pair(
    listener: ListenerId,
    bind: SocketAddr,
    workers: u8,
    receive_buffer: usize,
) -> io::Result<(SocketAddr, Bundle, Bundle)> {
    let mut tries = if bind.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        let wanted = Wanted { listener, transport: Transport::Udp, bind, shared: false };
        let (address, udp) = wanted.bind(workers, receive_buffer)?;
        let wanted = Wanted { transport: Transport::Tcp, bind: address, ..wanted };
        tries -= 1;
        match wanted.bind(workers, receive_buffer) {
            Ok((_, tcp)) => return Ok((address, udp, tcp)),
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

/// The address that packets of ours bear when bound to `bind`: itself, or for the unspecified one
/// what the kernel would choose on the default route. No packet is sent.
fn outward(bind: IpAddr) -> IpAddr {
    if !bind.is_unspecified() {
        return bind;
    }
    let (loopback, far): (IpAddr, IpAddr) = match bind {
        IpAddr::V4(_) => (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        IpAddr::V6(_) => (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    };
    let chosen = std::net::UdpSocket::bind(SocketAddr::new(bind, 0)).and_then(|socket| {
        socket.connect(SocketAddr::new(far, 9))?;
        socket.local_addr()
    });
    chosen.map_or(loopback, |address| address.ip())
}

/// A worker's thread.
fn run<M: Machine + 'static>(start: Start, build: impl Fn(Site) -> M) {
    let Start { common, site, routes, own, inside, letters, orders, runtime, alarm } = start;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let [v4, v6] = own;
        let adopt = |socket: Option<std::net::UdpSocket>, listener| {
            socket.and_then(|socket| UdpSocket::adopt(socket, listener).ok()).map(Rc::new)
        };
        let own = [adopt(v4, ListenerId::INSIDE_V4), adopt(v6, ListenerId::INSIDE_V6)];
        let worker = Worker::new(common, site, build(site), routes, own, alarm);
        worker.work(inside, letters, orders).await;
    });
}
