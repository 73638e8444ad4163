//! Connections that turn out to carry SIP, on their way to the workers: whole where they are SIP from their first byte
//! or after an upgrade, and through a pair of sockets where a WebSocket is one stream of an HTTP/2 connection.

use super::door::Services;
use super::gate::CloseCode;
use super::relay::Relay;
use super::server::Shared;
use super::stream::Stream;
use super::wire::Wire;
use crate::greeting::Greeting;
use crate::ids::{ConnId, ListenerId, Transport};
use crate::net::adopted::{Adopted, Handed, Workers};
use crate::stats::Counter;
use bytes::BytesMut;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::UnixStream;

/// What is known of a connection at a door where SIP is spoken.
pub(super) struct Exit {
    workers: Arc<dyn Workers>,
    /// The number it has if it goes as a whole.
    conn: ConnId,
    services: Services,
    peer: SocketAddr,
    local: SocketAddr,
    /// What the client said in the TLS handshake.
    greeting: Greeting,
}

impl Exit {
    /// `None` at a door without SIP.
    pub(super) fn new(shared: &Shared, services: Services, (peer, local): (SocketAddr, SocketAddr)) -> Option<Self> {
        let workers = shared.workers.as_ref().filter(|_| services.has_sip())?;
        let (workers, conn) = (Arc::clone(workers), workers.reserve());
        Some(Self { workers, conn, services, peer, local, greeting: Greeting::default() })
    }

    /// Its number, which its TLS session is to remember (S05).
    pub(super) const fn conn(&self) -> ConnId {
        self.conn
    }

    /// Notes what was said in the handshake.
    pub(super) fn note(&mut self, greeting: Greeting) {
        self.greeting = greeting;
    }

    /// The listener of WebSockets, if there is one here.
    pub(super) const fn websockets(&self) -> Option<ListenerId> {
        self.services.ws
    }

    /// Hands over a connection that is SIP from its first byte.
    pub(super) fn stream(&self, wire: Wire, read: BytesMut) {
        if let Some(listener) = self.services.sip
            && let Err(error) = self.give(wire, listener, self.services.stream(), read, self.greeting.clone())
        {
            tracing::debug!(%error, "a SIP connection was not handed over");
        }
    }

    /// Waits for the upgrade to be done, and hands the WebSocket over.
    pub(super) async fn websocket(
        self: Arc<Self>,
        shared: Arc<Shared>,
        listener: ListenerId,
        client: OnUpgrade,
        said: Greeting,
    ) {
        // Whatever fails here, the client is gone.
        let Ok(upgraded) = client.await else { return };
        // A resumed session says nothing of who this is: all pages of a browser share its sessions.
        let greeting = Greeting { host: said.host, origin: said.origin, resumed: None, ..self.greeting.clone() };
        let given = match upgraded.downcast::<TokioIo<Stream>>() {
            Ok(parts) => {
                let (wire, late) = parts.io.into_inner().into_wire();
                let mut read = BytesMut::from(parts.read_buf);
                read.extend_from_slice(&late);
                self.give(wire, listener, self.services.websocket(), read, greeting)
            }
            Err(stream) => self.bridge(&shared, stream, listener, greeting).await,
        };
        if let Err(error) = given {
            tracing::debug!(%error, "a WebSocket for SIP was not handed over");
        }
    }

    fn give(
        &self,
        wire: Wire,
        listener: ListenerId,
        transport: Transport,
        read: BytesMut,
        greeting: Greeting,
    ) -> io::Result<()> {
        let (tcp, session) = wire.into_parts().ok_or(io::ErrorKind::NotConnected)?;
        let socket = Handed::Tcp(tcp.into_std()?);
        let Self { conn, local, peer, .. } = *self;
        let read = read.to_vec();
        let adopted = Adopted { listener, conn, transport, local, peer, socket, session, read, greeting };
        // A worker with too many letters has counted it.
        if self.workers.adopt(adopted) { Ok(()) } else { Err(io::ErrorKind::QuotaExceeded.into()) }
    }

    /// RFC 8441: a stream of an HTTP/2 connection has no socket, so it gets one.
    async fn bridge(
        &self,
        shared: &Shared,
        stream: Upgraded,
        listener: ListenerId,
        greeting: Greeting,
    ) -> io::Result<()> {
        let (near, far) = UnixStream::pair()?;
        let socket = Handed::Unix(far.into_std()?);
        let Self { local, peer, .. } = *self;
        let (conn, transport) = (self.workers.reserve(), self.services.websocket());
        let adopted =
            Adopted { listener, conn, transport, local, peer, socket, session: None, read: Vec::new(), greeting };
        if !self.workers.adopt(adopted) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        shared.stats.bridges.inc();
        let (inward, outward) = (Counter::default(), Counter::default());
        let ended = async {
            shared.bridges.cancelled().await;
            Ok(CloseCode::Restart)
        };
        Relay::new(TokioIo::new(stream), near, &inward, &outward).run(ended, shared.config.linger).await;
        shared.stats.bridges.dec();
        Ok(())
    }
}
