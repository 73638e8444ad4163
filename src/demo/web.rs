//! The web side of a small PBX: a page, what it heard of a request, and a WebSocket that echoes.
//!
//! `/` is the page, `/ws` the WebSocket, everything below `/services` tells as JSON how the request
//! arrived. A path may begin with the instance's name, for a proxy that keeps that prefix. Called by the demo's round and by tests.

use crate::stats::{Counter, Gauge};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// The page; `@NAME@` and `@BUILD@` are filled in.
const PAGE: &str = include_str!("page.html");
/// Connections at once.
const MAX_CONNECTIONS: usize = 256;
/// Largest WebSocket message.
const MAX_MESSAGE: usize = 1 << 16;

/// A running web server. It stops when dropped.
pub struct Web {
    address: SocketAddr,
    site: Arc<Site>,
    _stop: DropGuard,
}

struct Site {
    name: String,
    build: String,
    requests: Counter,
    sockets: Gauge,
    refused: Counter,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Web {
    /// Binds a free port and serves; `build` tells one server of an instance from another.
    pub async fn start(name: &str, build: &str, ip: IpAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::new(ip, 0)).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let site = Arc::new(Site {
            name: name.to_owned(),
            build: build.to_owned(),
            requests: Counter::default(),
            sockets: Gauge::default(),
            refused: Counter::default(),
            tasks: TaskTracker::new(),
            stop: stop.clone(),
        });
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept(listener, Arc::clone(&site))));
        Ok(Self { address, site, _stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.site.requests.read()
    }

    /// Open WebSockets.
    pub fn sockets(&self) -> u64 {
        self.site.sockets.read()
    }
}

async fn accept(listener: TcpListener, site: Arc<Site>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        if site.tasks.len() >= MAX_CONNECTIONS {
            site.refused.inc();
            continue;
        }
        let stop = site.stop.clone();
        site.tasks.spawn(stop.run_until_cancelled_owned(connection(stream, Arc::clone(&site))));
    }
}

async fn connection(stream: TcpStream, site: Arc<Site>) {
    let service = hyper::service::service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(answer(&site, request)) }
    });
    let builder = hyper::server::conn::http1::Builder::new();
    let _ = builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

fn answer(site: &Arc<Site>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    site.requests.inc();
    let path = request.uri().path();
    let path = path.strip_prefix('/').and_then(|rest| rest.strip_prefix(&site.name)).unwrap_or(path);
    if path == "/ws" {
        return upgrade(site, request);
    }
    let (status, kind, body) = if matches!(path, "" | "/") {
        let page = PAGE.replace("@NAME@", &site.name).replace("@BUILD@", &site.build);
        (StatusCode::OK, "text/html; charset=utf-8", page)
    } else if path == "/services" || path.starts_with("/services/") {
        (StatusCode::OK, "application/json", heard(site, &request))
    } else {
        (StatusCode::NOT_FOUND, "text/plain", String::from("404"))
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// How the request arrived.
fn heard(site: &Site, request: &Request<Incoming>) -> String {
    let headers: serde_json::Map<_, _> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    serde_json::json!({
        "instance": site.name,
        "build": site.build,
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "headers": headers,
    })
    .to_string()
}

fn upgrade(site: &Arc<Site>, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let accept = key.and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok());
    let Some(accept) = accept else {
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        return response;
    };
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    let upgraded = hyper::upgrade::on(&mut request);
    let own = Arc::clone(site);
    let echo = async move {
        if let Ok(upgraded) = upgraded.await {
            own.sockets.inc();
            echo(TokioIo::new(upgraded)).await;
            own.sockets.dec();
        }
    };
    site.tasks.spawn(site.stop.clone().run_until_cancelled_owned(echo));
    response
}

async fn echo(io: TokioIo<hyper::upgrade::Upgraded>) {
    let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE));
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_tungstenite::tungstenite::Message;

    async fn get(web: &Web, path: &str) -> String {
        let mut stream = TcpStream::connect(web.address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: harbor.example\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_serves_a_page_and_tells_what_it_heard() {
        let web = Web::start("harbor", "one", "127.0.0.1".parse().unwrap()).await.unwrap();
        let page = get(&web, "/").await;
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("<h1>harbor</h1>"), "{page}");
        let heard = get(&web, "/services/a?b").await;
        assert!(heard.contains(r#""target":"/services/a?b""#) && heard.contains("harbor.example"), "{heard}");
        assert!(get(&web, "/harbor/").await.contains("<h1>harbor</h1>"));
        assert!(get(&web, "/other").await.starts_with("HTTP/1.1 404"));
        assert!(get(&web, "/ws").await.starts_with("HTTP/1.1 426"));
        assert_eq!(web.requests(), 5);
    }

    #[tokio::test]
    async fn a_websocket_echoes() {
        let web = Web::start("harbor", "one", "127.0.0.1".parse().unwrap()).await.unwrap();
        let stream = TcpStream::connect(web.address()).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async("ws://harbor.example/ws", stream).await.unwrap();
        for message in [Message::text("hello"), Message::binary(vec![0, 255])] {
            socket.send(message.clone()).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), message);
        }
        assert_eq!(web.sockets(), 1);
    }
}
