//! A worker's connections: accepted, opened, found again, ended.
//!
//! A connection towards an instance is found by instance and address: none is ever used for
//! another instance (RFC 5923 §9.3, X10).

use super::effects::unsent;
use super::machine::Machine;
use super::mail::Mail;
use super::worker::Worker;
use crate::engine::contract::{Input, SendError};
use crate::ids::{ConnId, Flow, InstanceId, ListenerId, Shard, Transport};
use crate::net::counters::Loss;
use crate::net::guests::Place;
use crate::net::stream::{Connection, End, Unsent};
use crate::net::tcp;
use crate::route::snapshot::Map;
use crate::sip::frame::Framer;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// What a connection we opened is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum PoolKey {
    /// Towards an instance.
    Instance { instance: InstanceId, address: SocketAddr },
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
            self.last = self.last.wrapping_add(1);
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
    stop: CancellationToken,
) {
    let mut stopped = pin!(stop.cancelled());
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stopped.as_mut() => return,
        };
        match accepted {
            Ok((stream, peer)) => worker.welcome(listener, stream, peer),
            // Out of descriptors or memory: what is open goes on, new ones wait a moment.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

impl<M: Machine + 'static> Worker<M> {
    fn welcome(self: &Rc<Self>, listener: ListenerId, stream: TcpStream, peer: SocketAddr) {
        let Ok(local) = stream.local_addr() else { return };
        let place = match self.place(listener, peer) {
            Ok(place) => place,
            Err(why) => return self.lose(why, peer),
        };
        self.common.stats.accepted.inc();
        let connection = self.register(listener, local, peer, None, Some(stream));
        let worker = Rc::clone(self);
        tokio::task::spawn_local(async move {
            worker.serve(&connection, None).await;
            drop(place);
        });
    }

    fn place(&self, listener: ListenerId, peer: SocketAddr) -> Result<Place, Loss> {
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
        let connection = self.register(listener, SocketAddr::new(local, 0), peer, Some(key), None);
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
                    match connection.open(tcp::connect(local, peer)).await {
                        Ok(()) => {
                            worker.common.stats.opened.inc();
                            worker.serve(&connection, Some(key)).await;
                        }
                        Err(tickets) => {
                            worker.forget(&connection, Some(key), End::Lost(Loss::Connect));
                            for ticket in tickets {
                                worker.deliver(Input::SendFailed { ticket, why: SendError::Connect });
                            }
                            worker.settle();
                        }
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

    fn register(
        &self,
        listener: ListenerId,
        local: SocketAddr,
        peer: SocketAddr,
        key: Option<PoolKey>,
        stream: Option<TcpStream>,
    ) -> Rc<Connection> {
        let mut connections = self.connections.borrow_mut();
        let serial = connections.next_serial();
        let conn = ConnId::new(self.common.boot, self.shard, serial);
        let flow = Flow::Stream { listener, conn, transport: Transport::Tcp, local, peer };
        let limits = self.common.limits.load().stream;
        let connection =
            Connection::new(flow, stream, limits, std::sync::Arc::clone(&self.common.stats), self.common.clock);
        connections.by_serial.insert(serial, Rc::clone(&connection));
        if let Some(key) = key {
            connections.pool.insert(key, serial);
        }
        self.common.stats.connections.inc();
        connection
    }

    async fn serve(&self, connection: &Rc<Connection>, key: Option<PoolKey>) {
        let framer = Framer::new(self.common.limits.load().message);
        let end = connection.serve(self, framer, &self.chunk).await;
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
        for shard in (0..64).filter(|bit| connection.senders() >> bit & 1 == 1) {
            self.common.post.put(Shard(shard), Mail::FlowClosed { flow });
        }
    }
}
