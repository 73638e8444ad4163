//! `/metrics`, `/healthz` and `/readyz` over plain HTTP, for machines next to the node.

use super::metrics::{MEDIA_TYPE, Metrics};
use axum::Router;
use axum::routing::get;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections at once; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 32;
const HEAD: Duration = Duration::from_secs(10);
/// A connection's longest life.
const AGE: Duration = Duration::from_secs(300);
/// Pause after an accept that failed, most likely for want of file descriptors.
const BREATH: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const ALIVE: &str = "alive\n";

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let metrics = Arc::clone(&metrics);
        let service = service_fn(move |request| {
            let metrics = Arc::clone(&metrics);
            async move { Ok::<_, Infallible>(answer(&request, metrics).await) }
        });
        let mut server = hyper::server::conn::http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(HEAD);
        let connection = server.serve_connection(TokioIo::new(stream), service);
        let stop = stop.clone();
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                _ = tokio::time::timeout(AGE, connection) => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

/// Health pages as routes, for a server that strangers reach: whether, not why not.
pub fn health(metrics: Arc<Metrics>) -> Router {
    let ready = move || async move {
        let facts = metrics.facts();
        page(readiness_status(facts.ready), TEXT, format!("{}\n", facts.phase))
    };
    let alive = || async { page(StatusCode::OK, TEXT, ALIVE.into()) };
    Router::new().route("/readyz", get(ready)).route("/healthz", get(alive))
}

/// The metrics page as a route.
pub fn metrics(metrics: Arc<Metrics>) -> Router {
    Router::new().route("/metrics", get(move || async move { page(StatusCode::OK, MEDIA_TYPE, text(metrics).await) }))
}

/// The page is written where nobody waits: of a million instances that takes a while.
async fn text(metrics: Arc<Metrics>) -> String {
    tokio::task::spawn_blocking(move || metrics.text()).await.unwrap_or_default()
}

async fn answer(request: &Request<Incoming>, metrics: Arc<Metrics>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET only\n".into());
    }
    match request.uri().path() {
        "/metrics" => page(StatusCode::OK, MEDIA_TYPE, text(metrics).await),
        // Whoever can answer is alive.
        "/healthz" => page(StatusCode::OK, TEXT, ALIVE.into()),
        "/readyz" => {
            let (ready, text) = readiness(&metrics);
            page(readiness_status(ready), TEXT, text)
        }
        _ => page(StatusCode::NOT_FOUND, TEXT, "/metrics, /healthz, /readyz\n".into()),
    }
}

const fn readiness_status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Whether the node wants traffic, and a page that says why not.
fn readiness(metrics: &Metrics) -> (bool, String) {
    let facts = metrics.facts();
    let mut text = format!("{}\n", facts.phase);
    let down = facts.listeners.iter().filter(|listening| !listening.up);
    text.extend(down.map(|it| format!("not bound: {} {} {}\n", it.owner, it.service, it.address)));
    text.extend(facts.remarks.iter().map(|remark| format!("{remark}\n")));
    (facts.ready, text)
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Facts, Listening};
    use super::super::metrics::Sources;
    use super::*;
    use crate::route::cell::Cell;
    use crate::route::snapshot::Snapshot;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn fetch(address: std::net::SocketAddr, method: &str, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn alive_and_ready_are_two_things() {
        let ready = Arc::new(AtomicBool::new(false));
        let facts = {
            let ready = Arc::clone(&ready);
            let address = "192.0.2.1:5060".parse().unwrap();
            let missing = Listening { owner: "front".into(), service: "sip-udp".into(), address, up: false };
            move || Facts {
                phase: "starting",
                ready: ready.load(Relaxed),
                listeners: vec![missing.clone()],
                ..Facts::default()
            }
        };
        let metrics = Arc::new(Metrics::new(Sources {
            cell: Arc::new(Cell::new(Snapshot::default())),
            node: Arc::default(),
            guard: Arc::default(),
            net: Arc::default(),
            http: Arc::default(),
            api: Arc::default(),
            probes: Arc::default(),
            usage: Arc::default(),
            licence_clock: Arc::default(),
            facts: Box::new(facts),
            instances: 1,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, metrics, stop.clone()));
        assert!(fetch(address, "GET", "/healthz").await.starts_with("HTTP/1.1 200 "));
        let text = fetch(address, "GET", "/readyz").await;
        assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
        assert!(text.contains("\r\n\r\nstarting\nnot bound: front sip-udp 192.0.2.1:5060\n"), "{text}");
        ready.store(true, Relaxed);
        assert!(fetch(address, "GET", "/readyz").await.starts_with("HTTP/1.1 200 "));
        let text = fetch(address, "GET", "/metrics").await;
        assert!(text.contains(MEDIA_TYPE) && text.ends_with("# EOF\n"), "{text}");
        assert!(fetch(address, "POST", "/metrics").await.starts_with("HTTP/1.1 405 "));
        assert!(fetch(address, "GET", "/").await.starts_with("HTTP/1.1 404 "));
        stop.cancel();
        served.await.unwrap();
    }
}
