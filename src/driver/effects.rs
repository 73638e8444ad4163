//! Doing what the engine wants done, at once and without waiting.

use super::machine::Machine;
use super::mail::Mail;
use super::streams::PoolKey;
use super::worker::Worker;
use crate::engine::contract::{Dest, Output, SendError};
use crate::ids::{ConnId, Flow, ListenerId, Shard, Transport};
use crate::net::counters::Loss;
use crate::net::stream::Unsent;
use crate::net::udp::UdpSocket;
use std::net::SocketAddr;
use std::rc::Rc;

/// A send that could not be carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    pub(super) ticket: u64,
    pub(super) why: SendError,
}

/// When a message must be with a connection's socket.
#[derive(Clone, Copy)]
enum Rush {
    /// At once: what to do if it is gone depends on it.
    Now,
    /// By the end of the worker's turn.
    Soon,
}

/// What a connection says, as the engine knows it.
pub(super) fn unsent(why: Unsent) -> SendError {
    match why {
        Unsent::Gone => SendError::FlowGone,
        Unsent::Stalled => SendError::Stalled,
    }
}

impl<M: Machine + 'static> Worker<M> {
    /// Carries out one output; a send that fails is put with the failures.
    pub(super) fn effect(self: &Worker<M>, output: Output<'_>) {
        match output {
            Output::Send { to, bytes, ticket } => {
                if let Err(why) = self.send(to, bytes, ticket) {
                    self.fail(ticket, why);
                }
            }
            Output::HandOver { shard, flow, bytes } => {
                self.common.post.put(shard, Mail::HandOver { flow, bytes: bytes.into() });
            }
            Output::Close { flow } => self.close(flow),
            Output::Tell { shard, instance, device } => {
                self.common.post.put(shard, Mail::Moved { instance, device });
            }
            Output::Save => self.common.signal.raise(),
        }
    }

    /// Notes a failed send for the engine, if it wants to know.
    pub(super) fn fail(&self, ticket: u64, why: SendError) {
        match why {
            SendError::FlowGone => self.common.stats.lose(Loss::FlowGone),
            SendError::Refused => self.common.stats.lose(Loss::Refused),
            // Counted where the connection ended.
            SendError::Connect | SendError::Stalled => {}
        }
        if ticket != 0 {
            self.failures.borrow_mut().push(Failure { ticket, why });
        }
    }

    /// Sends a message of another worker over a connection of ours.
    pub(super) fn send_for(&self, from: Shard, conn: ConnId, bytes: &[u8], ticket: u64) {
        let connection = self.connections.borrow().find(conn);
        let sent = connection.ok_or(SendError::FlowGone).and_then(|connection| {
            connection.note_sender(from);
            connection.send(bytes, 0).map_err(unsent)
        });
        if let Err(why) = sent
            && ticket != 0
        {
            self.common.post.put(from, Mail::Failed { ticket, why });
        }
    }

    fn send(&self, to: Dest, bytes: &[u8], ticket: u64) -> Result<(), SendError> {
        match to {
            Dest::Reply { flow, fallback: Some(address) } if flow.transport() == Transport::Tcp => {
                match self.send_over(&flow, bytes, ticket, Rush::Now) {
                    // RFC 3261 §18.2.2: the connection is gone, so a new one is tried.
                    Err(SendError::FlowGone) => {
                        let (listener, local) = (flow.listener(), flow.local().ip());
                        self.send_pooled(PoolKey::Reply { listener, local, address }, bytes, ticket)
                    }
                    result => result,
                }
            }
            Dest::Flow(flow) | Dest::Reply { flow, .. } => self.send_over(&flow, bytes, ticket, Rush::Soon),
            Dest::Backend { address, transport: Transport::Udp, .. } => {
                let own = self.own(address).ok_or(SendError::Refused)?;
                self.send_datagram(own, bytes, own.local(), address)
            }
            Dest::Backend { instance, address, transport: transport @ (Transport::Tcp | Transport::Tls) } => {
                self.send_pooled(PoolKey::Instance { instance, address, transport }, bytes, ticket)
            }
            Dest::Backend { .. } => Err(SendError::Refused),
        }
    }

    fn send_over(&self, flow: &Flow, bytes: &[u8], ticket: u64, rush: Rush) -> Result<(), SendError> {
        match *flow {
            Flow::Udp { listener, local, peer } => {
                let socket = self.socket(listener, local).ok_or(SendError::FlowGone)?;
                self.send_datagram(&socket, bytes, local, peer)
            }
            Flow::Stream { conn, .. } if conn.boot() != self.common.boot => Err(SendError::FlowGone),
            Flow::Stream { conn, .. } if conn.shard() == self.shard => {
                let connection = self.connections.borrow().find(conn).ok_or(SendError::FlowGone)?;
                match rush {
                    Rush::Now => connection.send(bytes, ticket).map_err(unsent),
                    Rush::Soon => self.send_soon(connection, bytes, ticket),
                }
            }
            Flow::Stream { conn, .. } => {
                let letter = Mail::Send { conn, bytes: bytes.into(), ticket, from: self.shard };
                if self.common.post.put(conn.shard(), letter) { Ok(()) } else { Err(SendError::Stalled) }
            }
        }
    }

    fn send_datagram(
        &self,
        socket: &UdpSocket,
        bytes: &[u8],
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Result<(), SendError> {
        socket.send(bytes, local, peer).map_err(|_| SendError::Refused)?;
        self.common.stats.datagrams_out.inc();
        Ok(())
    }

    /// The socket of a listener; our own inside one if `local` names its port.
    fn socket(&self, listener: ListenerId, local: SocketAddr) -> Option<Rc<UdpSocket>> {
        if listener.is_inside()
            && let Some(own) = self.own(local)
            && own.local().port() == local.port()
        {
            return Some(Rc::clone(own));
        }
        self.sockets.borrow().get(&listener).map(Rc::clone)
    }

    /// Our own inside socket of an address's family.
    fn own(&self, like: SocketAddr) -> Option<&Rc<UdpSocket>> {
        let [v4, v6] = &self.own;
        if like.is_ipv4() { v4.as_ref() } else { v6.as_ref() }
    }

    fn close(&self, flow: Flow) {
        let Flow::Stream { conn, .. } = flow else { return };
        if conn.shard() != self.shard {
            self.common.post.put(conn.shard(), Mail::Close { conn });
        } else if let Some(connection) = self.connections.borrow().find(conn) {
            self.pull_cork();
            connection.close();
        }
    }
}
