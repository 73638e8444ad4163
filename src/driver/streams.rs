//! A worker's connections: accepted, opened, found again, ended.
//!
//! A connection towards an instance is found by instance and address: none is ever used for
//! another instance (RFC 5923 §9.3, X10).

use super::adopt;
use super::command::Spoken;
use super::effects::unsent;
use super::machine::Machine;
use super::mail::Mail;
use super::worker::Worker;
use crate::engine::contract::{Input, SendError};
use crate::ids::{ConnId, Flow, InstanceId, ListenerId, Shard, Transport};
use crate::net::adopted::Adopted;
use crate::net::codec::Codec;
use crate::net::counters::Loss;
use crate::net::guests::Place;
use crate::net::layer::Layer;
use crate::net::proxy_protocol::{self, Ends};
use crate::net::socket::Socket;
use crate::net::stream::{Connection, Early, End, Start, Unsent};
use crate::net::tcp;
use crate::route::snapshot::Map;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Connections of load balancers that have not yet said whose they are, of one worker.
const INTRODUCTIONS: u32 = 4_096;

/// What a connection we opened is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum PoolKey {
    /// Towards an instance.
    Instance { instance: InstanceId, address: SocketAddr, transport: Transport },
    /// For responses whose own connection is gone: opened from the address that one had reached.
    Reply { listener: ListenerId, local: IpAddr, address: SocketAddr },
}

/// The connections of one worker.
#[derive(Default)]
pub(super) struct Connections {
    by_serial: Map<u32, Rc<Connection>>,
    pool: Map<PoolKey, u32>,
    last: u32,
}

impl Connections {
    /// The connection with this id, if it is (still) there. The boot generation is the caller's concern.
    pub(super) fn find(&self, conn: ConnId) -> Option<Rc<Connection>> {
        self.by_serial.get(&conn.serial()).map(Rc::clone)
    }

    fn pooled(&self, key: PoolKey) -> Option<Rc<Connection>> {
        self.by_serial.get(self.pool.get(&key)?).map(Rc::clone)
    }

    fn next_serial(&mut self) -> u32 {
        loop {
            // Beyond are the numbers of connections that were accepted elsewhere.
            self.last = self.last.wrapping_add(1) % adopt::FIRST;
            if !self.by_serial.contains_key(&self.last) {
                return self.last;
            }
        }
    }

    fn remove(&mut self, serial: u32, key: Option<PoolKey>) {
        self.by_serial.remove(&serial);
        if let Some(key) = key
            && self.pool.get(&key) == Some(&serial)
        {
            self.pool.remove(&key);
        }
    }

    /// Those towards instances that are not `kept`.
    pub(super) fn towards_others(&self, kept: impl Fn(InstanceId) -> bool) -> Vec<Rc<Connection>> {
        let others = self.pool.iter().filter(|(key, _)| match key {
            PoolKey::Instance { instance, .. } => !kept(*instance),
            PoolKey::Reply { .. } => false,
        });
        others.filter_map(|(_, serial)| self.by_serial.get(serial).map(Rc::clone)).collect()
    }

    /// Those of one listener, or all.
    pub(super) fn of(&self, listener: Option<ListenerId>) -> Vec<Rc<Connection>> {
        let wanted = |connection: &&Rc<Connection>| listener.is_none_or(|id| connection.flow().listener() == id);
        self.by_serial.values().filter(wanted).map(Rc::clone).collect()
    }
}

/// Accepts until `stop`.
pub(super) async fn accept<M: Machine + 'static>(
    worker: Rc<Worker<M>>,
    listener: ListenerId,
    socket: TcpListener,
    spoken: Spoken,
    stop: CancellationToken,
) {
    let mut stopped = pin!(stop.cancelled());
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stopped.as_mut() => return,
        };
        match accepted {
            Ok((stream, peer)) => worker.receive(listener, &spoken, stream, peer),
            // Out of descriptors or memory: what is open goes on, new ones wait a moment.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

impl<M: Machine + 'static> Worker<M> {
    /// Takes a connection that was accepted, and asks a load balancer first whose it is.
    fn receive(self: &Rc<Self>, listener: ListenerId, spoken: &Spoken, stream: TcpStream, peer: SocketAddr) {
        let Ok(local) = stream.local_addr() else { return };
        let own = Ends { peer, local };
        let routes = self.routes();
        let proxy = routes.proxy_by_id(listener.proxy);
        if !proxy.is_some_and(|proxy| proxy_protocol::is_expected(peer.ip(), &proxy.proxy_protocol)) {
            return self.welcome(listener, spoken, stream, own);
        }
        if self.introductions.get() >= INTRODUCTIONS {
            return self.lose(Loss::Connections, peer);
        }
        self.introductions.set(self.introductions.get() + 1);
        let patience = Duration::from_millis(self.common.limits.load().stream.first_byte);
        let (worker, spoken) = (Rc::clone(self), spoken.clone());
        tokio::task::spawn_local(async move {
            let told = proxy_protocol::read(&stream, own, patience).await;
            worker.introductions.set(worker.introductions.get() - 1);
            match told {
                Ok(ends) => worker.welcome(listener, &spoken, stream, ends),
                Err(why) => worker.lose(why, peer),
            }
        });
    }

    fn welcome(self: &Rc<Self>, listener: ListenerId, spoken: &Spoken, stream: TcpStream, ends: Ends) {
        let Ends { peer, local } = ends;
        let place = match self.place(listener, peer) {
            Ok(place) => place,
            Err(why) => {
                if why == Loss::Banned {
                    self.hold(stream);
                }
                return self.lose(why, peer);
            }
        };
        let conn = self.next_conn();
        let flow = Flow::Stream { listener, conn, transport: spoken.transport, local, peer };
        let (layer, handshake) = match self.secure(spoken, conn, peer) {
            Ok(secured) => secured,
            Err(why) => return self.lose(why, peer),
        };
        self.common.stats.accepted.inc();
        let connection = self.register(
            conn,
            Start { flow, socket: Some(Socket::Tcp(stream)), layer, either: spoken.is_either(), handshake },
            None,
        );
        self.attend(connection, None, place);
    }

    /// The layer of an accepted connection, and its share of the handshakes.
    fn secure(&self, spoken: &Spoken, conn: ConnId, peer: SocketAddr) -> Result<(Layer, Option<Place>), Loss> {
        let bound = self.common.limits.load().stream.outbox;
        let Some(secure) = &spoken.secure else {
            // A WebSocket in the clear has a handshake too.
            let upgrade = spoken.transport == Transport::Ws;
            let place = upgrade.then(|| self.common.handshakes.enter(peer.ip())).transpose()?;
            return Ok((Layer::plain(bound), place));
        };
        let place = self.common.handshakes.enter(peer.ip())?;
        let session = rustls::ServerConnection::new(secure.load_full()).map_err(|_| Loss::Handshake)?;
        Ok((Layer::server(session, conn, bound), Some(place)))
    }

    /// Takes over a connection that was accepted elsewhere.
    pub(super) fn adopt(self: &Rc<Self>, adopted: Adopted) {
        let Adopted { listener, conn, transport, local, peer, socket, session, read, greeting } = adopted;
        let place = match self.place(listener, peer) {
            Ok(place) => place,
            Err(why) => return self.lose(why, peer),
        };
        let Ok(socket) = socket.register() else { return };
        self.common.stats.accepted.inc();
        let bound = self.common.limits.load().stream.outbox;
        let layer = match session {
            Some(session) => Layer::adopted(session, bound),
            None => Layer::plain(bound),
        };
        let flow = Flow::Stream { listener, conn, transport, local, peer };
        let connection =
            self.register(conn, Start { flow, socket: Some(socket), layer, either: false, handshake: None }, None);
        let early = Early { bytes: read.as_slice().into(), greeting };
        self.attend(connection, Some(early), place);
    }

    /// Serves a client's connection in a task of its own, and gives up its place at the end.
    fn attend(self: &Rc<Self>, connection: Rc<Connection>, early: Option<Early>, place: impl Sized + 'static) {
        let worker = Rc::clone(self);
        tokio::task::spawn_local(async move {
            worker.serve(&connection, None, early).await;
            drop(place);
        });
    }

    /// Keeps a banned source's connection waiting, unread, before it is closed: what it may open is bounded, and so
    /// is what it can try.
    fn hold(&self, stream: TcpStream) {
        let guard = Arc::clone(&self.common.guard);
        if guard.hold() {
            let held = Duration::from_millis(guard.policy().tarpit);
            tokio::task::spawn_local(async move {
                tokio::time::sleep(held).await;
                drop(stream);
                guard.release();
            });
        }
    }

    fn place(&self, listener: ListenerId, peer: SocketAddr) -> Result<Place, Loss> {
        if !listener.is_inside() && !self.common.guard.admits(peer.ip(), true, self.common.clock.now().tick) {
            return Err(Loss::Banned);
        }
        if !listener.is_inside() && !self.common.sources.admit(peer.ip(), self.common.clock.now().tick) {
            return Err(Loss::NewFlows);
        }
        self.common.guests.enter(peer.ip())
    }

    /// Sends over the connection for `key`, opening it if need be.
    pub(super) fn send_pooled(&self, key: PoolKey, bytes: &[u8], ticket: u64) -> Result<(), SendError> {
        let pooled = self.connections.borrow().pooled(key);
        if let Some(connection) = pooled {
            match connection.send(bytes, ticket) {
                // It has just ended: a new one may do.
                Err(Unsent::Gone) => {}
                other => return other.map_err(unsent),
            }
        }
        self.open(key)?.send(bytes, ticket).map_err(unsent)
    }

    fn open(&self, key: PoolKey) -> Result<Rc<Connection>, SendError> {
        let (listener, local, peer) = match key {
            PoolKey::Instance { address, .. } if address.is_ipv4() => {
                (ListenerId::INSIDE_V4, self.source(address), address)
            }
            PoolKey::Instance { address, .. } => (ListenerId::INSIDE_V6, self.source(address), address),
            PoolKey::Reply { listener, local, address } => (listener, local, address),
        };
        if self.connections.borrow().pool.len() >= self.common.limits.load().pool {
            self.lose(Loss::PoolFull, peer);
            return Err(SendError::Connect);
        }
        let conn = self.next_conn();
        let local = SocketAddr::new(local, 0);
        let bound = self.common.limits.load().stream.outbox;
        let (transport, layer) = match key {
            PoolKey::Instance { instance, address, transport: Transport::Tls } => {
                let session = self.common.clients.begin(instance, address).ok_or(SendError::Connect)?;
                (Transport::Tls, Layer::client(session, bound))
            }
            PoolKey::Instance { .. } | PoolKey::Reply { .. } => (Transport::Tcp, Layer::plain(bound)),
        };
        let flow = Flow::Stream { listener, conn, transport, local, peer };
        let connection =
            self.register(conn, Start { flow, socket: None, layer, either: false, handshake: None }, Some(key));
        self.opening.borrow_mut().push((key, Rc::clone(&connection)));
        self.rouse.notify_one();
        Ok(connection)
    }

    /// Spawns the tasks of connections that were asked for.
    pub(super) async fn open_connections(self: Rc<Self>) {
        loop {
            self.rouse.notified().await;
            for (key, connection) in self.opening.take() {
                let worker = Rc::clone(&self);
                tokio::task::spawn_local(async move {
                    let local = connection.flow().local().ip();
                    let peer = connection.flow().peer();
                    let connect = async { tcp::connect(local, peer).await.map(Socket::Tcp) };
                    if connection.open(connect).await {
                        worker.common.stats.opened.inc();
                        worker.serve(&connection, Some(key), None).await;
                    } else {
                        worker.forget(&connection, Some(key), End::Lost(Loss::Connect));
                        worker.settle();
                    }
                });
            }
        }
    }

    /// The address to open connections from: that of our own inside socket.
    fn source(&self, peer: SocketAddr) -> IpAddr {
        let [v4, v6] = &self.own;
        let own = if peer.is_ipv4() { v4 } else { v6 };
        own.as_ref().map_or(Ipv4Addr::UNSPECIFIED.into(), |socket| socket.local().ip())
    }

    fn next_conn(&self) -> ConnId {
        ConnId::new(self.common.boot, self.shard, self.connections.borrow_mut().next_serial())
    }

    fn register(&self, conn: ConnId, start: Start, key: Option<PoolKey>) -> Rc<Connection> {
        let limits = self.common.limits.load().stream;
        let connection = Connection::new(start, limits, Arc::clone(&self.common.stats), self.common.clock);
        let mut connections = self.connections.borrow_mut();
        connections.by_serial.insert(conn.serial(), Rc::clone(&connection));
        if let Some(key) = key {
            connections.pool.insert(key, conn.serial());
        }
        self.common.stats.connections.inc();
        connection
    }

    async fn serve(&self, connection: &Rc<Connection>, key: Option<PoolKey>, early: Option<Early>) {
        let (transport, limits) = (connection.flow().transport(), self.common.limits.load().message);
        let codec = match early {
            Some(_) => Codec::open(transport, limits),
            None => Codec::beginning(transport, limits),
        };
        let end = connection.serve(self, codec, early, &self.chunk).await;
        self.forget(connection, key, end);
        self.settle();
    }

    /// Takes an ended connection off the books and tells everybody who depends on it.
    fn forget(&self, connection: &Connection, key: Option<PoolKey>, end: End) {
        let flow = connection.flow();
        let Flow::Stream { conn, .. } = flow else { return };
        self.connections.borrow_mut().remove(conn.serial(), key);
        self.common.stats.connections.dec();
        if let End::Lost(why) = end {
            self.lose(why, flow.peer());
        }
        self.deliver(Input::FlowClosed { flow });
        for ticket in connection.take_tickets() {
            self.deliver(Input::SendFailed { ticket, why: SendError::Connect });
        }
        for shard in (0..64).filter(|bit| connection.senders() >> bit & 1 == 1) {
            self.common.post.put(Shard(shard), Mail::FlowClosed { flow });
        }
    }
}
