//! The HTTP front as a whole: its listeners, and what all connections share.

use super::admission::Admission;
use super::config::Config;
use super::connection;
use super::door::{Door, Services, What};
use super::gate::Gates;
use super::lanes::Lanes;
use super::pulse::millis;
use super::wire::tune;
use crate::clock::Clock;
use crate::net::adopted::Workers;
use crate::net::proxy_protocol::{self, Ends};
use crate::net::tcp;
use crate::observe::limit::Limit;
use crate::route::Diff;
use crate::route::cell::Cell;
use crate::stats::HttpStats;
use crate::tls::{self, Certificates};
use http::HeaderValue;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// After an error of `accept` that does not go away by itself, such as no file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections of load balancers that may be about to say whose they are.
const INTRODUCTIONS: usize = 4_096;

/// The HTTP front of the node. Cheap to clone; the clones are one server.
#[derive(Clone)]
pub struct Server {
    core: Core,
    lanes: Arc<Lanes>,
    doors: Arc<Mutex<HashMap<DoorKey, Open>>>,
    last: Arc<AtomicU64>,
    stop: CancellationToken,
}

/// What those who accept connections need of it.
#[derive(Clone)]
struct Core {
    shared: Arc<Shared>,
    /// Ends what has not ended by itself.
    kill: CancellationToken,
    connections: TaskTracker,
}

/// What all connections share.
pub(super) struct Shared {
    pub config: Config,
    pub cell: Arc<Cell>,
    pub certificates: Arc<Certificates>,
    pub stats: Arc<HttpStats>,
    pub clock: Clock,
    pub gates: Gates,
    pub admission: Arc<Admission>,
    pub via: Via,
    pub tunnels: TaskTracker,
    /// Who goes on with connections that carry SIP.
    pub workers: Option<Arc<dyn Workers>>,
    /// Ends WebSockets for SIP that are streams of HTTP/2 connections.
    pub bridges: CancellationToken,
    /// Connections of load balancers that have not yet said whose they are.
    pub introductions: Semaphore,
    /// Lines about names that do not agree.
    pub mismatches: Limit,
}

/// Our Via for each version a client may speak.
pub(super) struct Via {
    pub of_10: HeaderValue,
    pub of_11: HeaderValue,
    pub of_2: HeaderValue,
}

/// Names a listening address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DoorKey(u64);

/// A door and the tasks that accept there.
struct Open {
    door: Arc<Door>,
    tasks: Vec<JoinHandle<()>>,
}

/// Why a listener cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The socket is not usable.
    #[error("the listening socket: {0}")]
    Socket(#[from] io::Error),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The pseudonym is no token.
    #[error("the pseudonym for Via is not a token")]
    Pseudonym,
}

impl Server {
    /// A server without listeners.
    pub fn new(
        config: Config,
        cell: Arc<Cell>,
        certificates: Arc<Certificates>,
        stats: Arc<HttpStats>,
        clock: Clock,
        workers: Option<Arc<dyn Workers>>,
    ) -> Result<Self, ListenError> {
        let via = Via::new(&config.pseudonym).ok_or(ListenError::Pseudonym)?;
        let admission = Admission::new(config.connections, config.per_source, config.handshakes, Arc::clone(&stats));
        let lanes = Arc::new(config.threads.map_or_else(|| Ok(Lanes::here()), Lanes::start)?);
        let gates = Gates::new(lanes.count(), config.kept_per_instance);
        let tunnels = TaskTracker::new();
        let mismatches = Limit::new();
        let bridges = CancellationToken::new();
        let shared = Arc::new(Shared {
            config,
            cell,
            certificates,
            stats,
            clock,
            gates,
            admission,
            via,
            tunnels,
            workers,
            bridges,
            mismatches,
            introductions: Semaphore::new(INTRODUCTIONS),
        });
        let core = Core { shared, kill: CancellationToken::new(), connections: TaskTracker::new() };
        let server = Self { core, lanes, doors: Arc::default(), last: Arc::default(), stop: CancellationToken::new() };
        server.sweep_regularly();
        Ok(server)
    }

    /// Serves a bound listener; with several threads it must be one that shares its port ([`tcp::bind`]).
    pub fn listen(
        &self,
        services: Services,
        listener: std::net::TcpListener,
    ) -> Result<(DoorKey, SocketAddr), ListenError> {
        let what = What::new(services, &self.core.shared.certificates)?;
        let address = listener.local_addr()?;
        let mut sockets = vec![listener];
        for _ in self.lanes.handles().skip(1) {
            sockets.push(tcp::bind(address)?);
        }
        let door = Arc::new(Door::new(what, self.stop.child_token()));
        let accepting = sockets.into_iter().zip(self.lanes.handles()).map(|(socket, lane)| {
            socket.set_nonblocking(true)?;
            let _context = lane.enter();
            let listener = TcpListener::from_std(socket)?;
            Ok(lane.spawn(accept(self.core.clone(), listener, Arc::clone(&door))))
        });
        let tasks = accepting.collect::<io::Result<_>>()?;
        let key = DoorKey(self.last.fetch_add(1, Relaxed));
        self.lock().insert(key, Open { door, tasks });
        Ok((key, address))
    }

    /// Speaks something else at an address from now on; connections that are there stay as they are.
    pub fn change(&self, key: DoorKey, services: Services) -> Result<(), ListenError> {
        let what = What::new(services, &self.core.shared.certificates)?;
        if let Some(open) = self.lock().get(&key) {
            open.door.change(what);
        }
        Ok(())
    }

    /// Stops accepting at an address, and returns when it is free. Its connections finish the requests they have;
    /// tunnels and WebSockets stay.
    pub async fn unlisten(&self, key: DoorKey) {
        let open = self.lock().remove(&key);
        if let Some(Open { door, tasks }) = open {
            door.stop.cancel();
            for task in tasks {
                // It cannot fail but by a panic, and then the socket is closed too.
                let _ = task.await;
            }
        }
    }

    /// Ends WebSockets for SIP that are streams of HTTP/2 connections: the node stops and calls are over.
    pub fn end_bridges(&self) {
        self.core.shared.bridges.cancel();
    }

    /// Takes note of a new table: closes tunnels and kept connections of instances that left,
    /// moved, were switched off or have less room now. To be called after the cell was swapped.
    pub fn apply(&self, diff: &Diff) {
        self.core.shared.gates.apply(diff, self.core.shared.config.instance_requests);
    }

    /// Stops: no new connections, no new requests; what is under way has `patience` to end, then
    /// tunnels are told goodbye, then everything is cut.
    pub async fn drain(&self, patience: Duration) {
        self.stop.cancel();
        self.core.connections.close();
        self.core.shared.tunnels.close();
        // Too late is not an error: what is left is cut below.
        let _ = timeout(patience, self.core.connections.wait()).await;
        self.core.shared.gates.close_tunnels();
        let _ = timeout(self.core.shared.config.linger, self.core.shared.tunnels.wait()).await;
        self.core.kill.cancel();
        self.core.connections.wait().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<DoorKey, Open>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kept connections that instances have closed, or nobody used for long, are let go.
    fn sweep_regularly(&self) {
        for lane in self.lanes.handles() {
            let shared = Arc::clone(&self.core.shared);
            let kill = self.core.kill.clone();
            let kept = shared.config.kept.max(Duration::from_millis(2));
            lane.spawn(kill.run_until_cancelled_owned(async move {
                let mut rounds = interval(kept / 2);
                loop {
                    rounds.tick().await;
                    shared.gates.sweep(&shared.cell.load(), shared.clock.tick(), millis(kept));
                }
            }));
        }
    }
}

impl Core {
    /// Keeps a banned source's connection waiting, unread, before it is closed.
    fn hold(&self, tcp: TcpStream) {
        let guard = Arc::clone(&self.shared.config.guard);
        if guard.hold() {
            let held = Duration::from_millis(guard.policy().tarpit);
            let kill = self.kill.clone();
            self.connections.spawn(async move {
                let _ = kill.run_until_cancelled(sleep(held)).await;
                drop(tcp);
                guard.release();
            });
        }
    }
}

impl Via {
    fn new(pseudonym: &str) -> Option<Self> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if pseudonym.is_empty() || !pseudonym.bytes().all(token) {
            return None;
        }
        let of = |version: &str| HeaderValue::try_from(format!("{version} {pseudonym}")).ok();
        Some(Self { of_10: of("1.0")?, of_11: of("1.1")?, of_2: of("2.0")? })
    }
}

async fn accept(server: Core, listener: TcpListener, door: Arc<Door>) {
    let stats = &server.shared.stats;
    while let Some(accepted) = door.stop.run_until_cancelled(listener.accept()).await {
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                stats.accept_errors.inc();
                tracing::warn!(%error, listener = ?door.what().services.any(), "accept");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        stats.accepted.inc();
        let Ok(local) = tcp.local_addr() else { continue };
        let own = Ends { peer, local };
        if server.shared.is_introduced(&door, own) {
            let introduced = introduce(server.clone(), Arc::clone(&door), tcp, own);
            server.connections.spawn(server.kill.clone().run_until_cancelled_owned(introduced));
        } else {
            begin(&server, &door, tcp, own);
        }
    }
}

/// Asks a load balancer whose connection it is, and serves it.
async fn introduce(server: Core, door: Arc<Door>, tcp: TcpStream, own: Ends) {
    let Ok(_place) = server.shared.introductions.try_acquire() else { return };
    match proxy_protocol::read(&tcp, own, server.shared.config.handshake).await {
        Ok(ends) => begin(&server, &door, tcp, ends),
        Err(_) => server.shared.stats.proxy_headers.inc(),
    }
}

/// Serves a connection if there is room for it.
fn begin(server: &Core, door: &Arc<Door>, tcp: TcpStream, ends: Ends) {
    let Shared { config, clock, admission, .. } = &*server.shared;
    if !config.guard.admits(ends.peer.ip(), true, clock.tick()) {
        return server.hold(tcp);
    }
    let Some(place) = admission.enter(ends.peer.ip()) else { return };
    if tune(&tcp).is_err() {
        // It is gone already.
        return;
    }
    let run = connection::run(Arc::clone(&server.shared), Arc::clone(door), tcp, ends, place);
    let kill = server.kill.clone();
    server.connections.spawn(async move { kill.run_until_cancelled(run).await });
}

impl Shared {
    /// Whether a peer is a load balancer that begins its connections with whose they are.
    fn is_introduced(&self, door: &Door, own: Ends) -> bool {
        let snapshot = self.cell.load();
        let proxy = snapshot.proxy_by_id(door.what().services.proxy);
        proxy.is_some_and(|proxy| proxy_protocol::is_expected(own.peer.ip(), &proxy.proxy_protocol))
    }
}
