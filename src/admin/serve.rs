//! The API's HTTPS server: HTTP/1.1 and HTTP/2 over the listeners that `app` bound.
//!
//! Bounded: connections, their age, the time of a TLS handshake and of a request's head. On
//! shutdown no new connection is taken, and requests at work are finished.

use super::auth::Peer;
use super::{Api, Pages, router};
use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// Connections at once; further ones wait in the kernel's queue.
pub const CONNECTIONS: usize = 256;
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_secs(15);
/// A connection is ended politely at this age, so that idle ones cannot hold every place for ever.
const AGE: Duration = Duration::from_secs(600);
const GRACE: Duration = Duration::from_secs(5);
/// Pause after an accept that failed, most likely for want of file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then finishes what is at work.
pub async fn serve(
    listeners: Vec<TcpListener>,
    tls: Arc<ServerConfig>,
    api: Arc<Api>,
    pages: Pages,
    shutdown: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let door = Arc::new(Door {
        acceptor: with_alpn(&tls),
        app: router(Arc::clone(&api), pages),
        places: Arc::new(Semaphore::new(CONNECTIONS)),
        tasks: tasks.clone(),
        api,
        shutdown: shutdown.clone(),
    });
    for listener in listeners {
        tasks.spawn(Arc::clone(&door).accept(listener));
    }
    shutdown.cancelled().await;
    tasks.close();
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("requests to the API were still at work when their time was over");
    }
}

fn with_alpn(tls: &ServerConfig) -> TlsAcceptor {
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(tls))
}

struct Door {
    acceptor: TlsAcceptor,
    app: Router,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    api: Arc<Api>,
    shutdown: CancellationToken,
}

impl Door {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            if self.places.available_permits() == 0 {
                self.api.stats.full.inc();
            }
            let next = async {
                let place = Arc::clone(&self.places).acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                next = next => next,
                () = self.shutdown.cancelled() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the API could not be accepted");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            };
            let door = Arc::clone(&self);
            self.tasks.spawn(async move {
                let _place = place;
                door.api.stats.connections.inc();
                door.converse(stream, peer).await;
                door.api.stats.connections.dec();
            });
        }
    }

    async fn converse(&self, stream: TcpStream, peer: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, self.acceptor.accept(stream)).await else { return };
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD).max_concurrent_streams(32);
        // The choice is ALPN's: waiting for the first bytes to tell would have no timeout.
        let builder = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => builder.http2_only(),
            _ => builder.http1_only(),
        };
        let app = self.app.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            request
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)));
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.shutdown.cancelled() => None,
            () = tokio::time::sleep(AGE) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection to the API ended early");
        }
    }
}
