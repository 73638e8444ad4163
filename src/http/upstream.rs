//! Connections to one web target: opened, lent to one exchange at a time, kept for the next.
//!
//! A connection has no task of its own: whoever it is lent to drives it, so that one thread
//! receives, passes on and sends. Only where an answer begins before its request is complete, and
//! for tunnels, it is driven by a task.

use super::lanes;
use super::pause::Pause;
use super::plain;
use super::upload::{Progress, Upload};
use super::verify;
use super::wire::Wire;
use crate::clock::{Clock, Tick};
use crate::route::snapshot::Web;
use crate::stats::HttpStats;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Largest head of an answer, and most bytes of a body held for it.
const BUFFER: usize = 64 * 1024;

/// One web target of one instance or several, with the connections kept to it.
pub(super) struct Upstream {
    target: WebTarget,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    most: usize,
    stats: Arc<HttpStats>,
    /// A connection stays on the thread that opened it.
    kept: Box<[Mutex<Idle>]>,
}

/// Connections that wait for their next exchange.
#[derive(Default)]
struct Idle {
    /// Hyper's.
    http: Vec<Kept>,
    plain: Vec<(plain::Link, Tick)>,
}

/// Everything that must be equal for two instances to share connections.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct WebTarget {
    tls: bool,
    verify: bool,
    host: Box<str>,
    port: u16,
    addresses: Vec<SocketAddr>,
}

type Http = Box<Connection<TokioIo<Wire>, Upload>>;

/// A connection with hyper's two ends of it.
struct Link {
    sender: SendRequest<Upload>,
    connection: Http,
}

struct Kept {
    link: Link,
    since: Tick,
}

/// A connection in the hands of one exchange.
pub(super) struct Lease {
    sender: SendRequest<Upload>,
    /// `None`: over, or driven by a task.
    connection: Option<Driven>,
    upstream: Arc<Upstream>,
    clock: Clock,
    reused: bool,
}

/// What has to be polled for a connection to work.
enum Driven {
    Http(Http),
    /// One that may become a tunnel; never kept.
    Upgradable(Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("no address of it took a connection in time")]
    Slow,
    #[error("{0}")]
    Refused(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

impl Upstream {
    pub(super) fn new(
        target: WebTarget,
        lanes: usize,
        most: usize,
        stats: &Arc<HttpStats>,
    ) -> Result<Self, rustls::Error> {
        let tls = if target.tls {
            let host = target.host.trim_matches(['[', ']']).to_owned();
            let name = ServerName::try_from(host).map_err(|e| rustls::Error::General(e.to_string()))?;
            Some((verify::connector(target.verify)?, name))
        } else {
            None
        };
        let kept = (0..lanes).map(|_| Mutex::default()).collect();
        Ok(Self { target, tls, most, stats: Arc::clone(stats), kept })
    }

    /// Whether requests for `web` go where this goes.
    pub(super) fn leads_to(&self, web: &Web) -> bool {
        self.target.is_of(web)
    }

    /// A kept connection that is still open, the last used first.
    pub(super) async fn reuse(self: &Arc<Self>, clock: Clock) -> Option<Lease> {
        loop {
            let kept = self.lock()?.http.pop()?;
            self.forget(1);
            let Link { sender, mut connection } = kept.link;
            // The first poll finds out whether the instance has closed it meanwhile.
            let open = poll_fn(|cx| Poll::Ready(Pin::new(&mut connection).poll(cx).is_pending())).await;
            if open && sender.is_ready() {
                self.stats.upstream_reused.inc();
                return Some(self.lease(sender, Driven::Http(connection), clock, true));
            }
        }
    }

    /// A fresh connection; with `upgrade` one that may become a tunnel.
    pub(super) async fn open(
        self: &Arc<Self>,
        clock: Clock,
        patience: Duration,
        upgrade: bool,
    ) -> Result<Lease, ConnectError> {
        let wire = timeout(patience, self.connect()).await.map_err(|_| ConnectError::Slow)??;
        self.stats.upstream_opened.inc();
        let (sender, connection) = http1::Builder::new()
            .allow_spaces_after_header_name_in_responses(true)
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(wire))
            .await?;
        let connection = if upgrade {
            Driven::Upgradable(Box::pin(connection.with_upgrades()))
        } else {
            Driven::Http(Box::new(connection))
        };
        Ok(self.lease(sender, connection, clock, false))
    }

    fn lease(self: &Arc<Self>, sender: SendRequest<Upload>, driven: Driven, clock: Clock, reused: bool) -> Lease {
        Lease { sender, connection: Some(driven), upstream: Arc::clone(self), clock, reused }
    }

    async fn connect(&self) -> Result<Wire, ConnectError> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in &self.target.addresses {
            match self.connect_to(*address).await {
                Ok(wire) => return Ok(wire),
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<Wire> {
        let tcp = Wire::connect(address).await?;
        match &self.tls {
            None => Ok(Wire::Plain(tcp)),
            Some((connector, name)) => Ok(Wire::Tls(Box::new(connector.connect(name.clone(), tcp).await?.into()))),
        }
    }

    fn keep(&self, link: Link, now: Tick) {
        let Some(mut kept) = self.lock() else { return };
        if self.has_room(&kept) {
            kept.http.push(Kept { link, since: now });
        }
    }

    /// A kept connection for a plain exchange, the last used first.
    pub(super) fn reuse_plain(&self, cx: &mut Context<'_>) -> Option<plain::Link> {
        loop {
            let (mut link, _) = self.lock()?.plain.pop()?;
            self.forget(1);
            if link.is_open(cx) {
                self.stats.upstream_reused.inc();
                return Some(link);
            }
        }
    }

    /// A fresh connection for plain exchanges.
    pub(super) async fn open_plain(&self, patience: Duration) -> Result<plain::Link, ConnectError> {
        let wire = timeout(patience, self.connect()).await.map_err(|_| ConnectError::Slow)??;
        self.stats.upstream_opened.inc();
        Ok(plain::Link::new(wire))
    }

    /// Keeps a connection for the next plain exchange.
    pub(super) fn keep_plain(&self, link: plain::Link, now: Tick) {
        let Some(mut kept) = self.lock() else { return };
        if self.has_room(&kept) {
            kept.plain.push((link, now));
        }
    }

    /// Takes a place among those that are kept.
    fn has_room(&self, kept: &Idle) -> bool {
        let room = kept.len() < self.most;
        if room {
            self.stats.upstream_idle.inc()
        } else {
            self.stats.upstream_surplus.inc()
        }
        room
    }

    /// Drops connections of this thread that are closed, or were kept for `patience` milliseconds.
    pub(super) fn sweep(&self, now: Tick, patience: u64) {
        let mut context = Context::from_waker(Waker::noop());
        let Some(mut kept) = self.lock() else { return };
        let before = kept.len();
        kept.http.retain_mut(|k| {
            now.since(k.since) < patience && Pin::new(&mut k.link.connection).poll(&mut context).is_pending()
        });
        kept.plain.retain_mut(|(link, since)| now.since(*since) < patience && link.is_open(&mut context));
        self.forget(before - kept.len());
    }

    fn forget(&self, count: usize) {
        for _ in 0..count {
            self.stats.upstream_idle.dec();
        }
    }

    /// Those of this thread.
    fn lock(&self) -> Option<MutexGuard<'_, Idle>> {
        self.kept.get(lanes::current()).map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Idle {
    fn len(&self) -> usize {
        self.http.len() + self.plain.len()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let left = self.kept.iter_mut().map(|kept| kept.get_mut().map_or(0, |kept| kept.len())).sum();
        self.forget(left);
    }
}

impl WebTarget {
    pub(super) fn of(web: &Web) -> Self {
        let Web { tls, verify, port, .. } = *web;
        Self { tls, verify, host: web.host.clone(), port, addresses: web.addresses.clone() }
    }

    fn is_of(&self, web: &Web) -> bool {
        self.tls == web.tls
            && self.port == web.port
            && self.verify == web.verify
            && self.host == web.host
            && self.addresses == web.addresses
    }
}

impl Lease {
    /// Whether it was kept before.
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Sends a request and waits for the head of its answer, driving the connection meanwhile.
    /// `None`: neither did the answer come nor the body move for `patience`.
    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
        patience: Duration,
        progress: Option<&Progress>,
    ) -> Option<Result<Response<Incoming>, TrySendError<Request<Upload>>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let connection = &mut self.connection;
        let mut pause = Pause::new(patience);
        let mut seen = 0;
        poll_fn(|cx| {
            drive(connection, cx);
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(answer));
            }
            let pieces = progress.map_or(0, Progress::pieces);
            if pieces != seen {
                seen = pieces;
                pause.moved();
            }
            pause.poll(cx).map(|()| None)
        })
        .await
    }

    /// Lets the connection work.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.connection, cx);
    }

    /// From now on a task drives the connection; it is not kept afterwards.
    pub(super) fn detach(&mut self) {
        if let Some(connection) = self.connection.take() {
            // What goes wrong there is seen at the other end: the answer breaks off.
            drop(tokio::spawn(async move { drop(connection.await) }));
        }
    }

    /// The answer is complete: keeps the connection if it can serve another.
    pub(super) fn give_back(mut self, cx: &mut Context<'_>) {
        self.drive(cx);
        if let Some(Driven::Http(connection)) = self.connection.take()
            && self.sender.is_ready()
        {
            self.upstream.keep(Link { sender: self.sender, connection }, self.clock.tick());
        }
    }
}

impl Future for Driven {
    type Output = hyper::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        match self.get_mut() {
            Self::Http(connection) => Pin::new(connection).poll(cx),
            Self::Upgradable(connection) => connection.as_mut().poll(cx),
        }
    }
}

fn drive(connection: &mut Option<Driven>, cx: &mut Context<'_>) {
    // Its error also reaches the exchange, through the answer.
    if connection.as_mut().is_some_and(|c| Pin::new(c).poll(cx).is_ready()) {
        *connection = None;
    }
}
