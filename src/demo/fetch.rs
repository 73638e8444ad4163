//! The demo's browser: GET over HTTP and HTTPS, and a WebSocket that expects an echo.
//!
//! It connects to an address of the proxy and says whatever host it is told, as a browser does whose
//! name server points there. Called by `round` and by tests.

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Largest body taken.
const MAX_BODY: usize = 1 << 20;

/// A stream, under TLS or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A listener of the proxy.
#[derive(Clone)]
pub struct Site {
    /// Where it is.
    pub address: SocketAddr,
    /// How its certificate is trusted; plain HTTP without.
    pub tls: Option<TlsConnector>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: String,
}

impl Answer {
    /// Everything as one text, to look for what must not be in it.
    pub fn text(&self) -> String {
        format!("{:?}\n{}", self.headers, self.body)
    }

    /// A member of a JSON body.
    pub fn member(&self, pointer: &str) -> Option<String> {
        let value: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        value.pointer(pointer)?.as_str().map(str::to_owned)
    }
}

/// An open WebSocket.
pub struct Socket {
    stream: WebSocketStream<Box<dyn Stream>>,
    sent: u32,
}

impl Site {
    /// GET.
    pub async fn get(&self, host: &str, path: &str) -> Result<Answer, String> {
        let stream = self.connect(host).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let driver = tokio::spawn(connection);
        let request = Request::get(path)
            .header("host", host)
            .header("accept", "text/html, application/json")
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let (parts, body) = sender.send_request(request).await.map_err(|error| error.to_string())?.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| error.to_string())?.to_bytes();
        driver.abort();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// Opens a WebSocket.
    pub async fn socket(&self, host: &str, path: &str) -> Result<Socket, String> {
        let stream = self.connect(host).await?;
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        let url = format!("{scheme}://{host}{path}");
        let (stream, _) = tokio_tungstenite::client_async(url, stream).await.map_err(|error| error.to_string())?;
        Ok(Socket { stream, sent: 0 })
    }

    async fn connect(&self, host: &str) -> Result<Box<dyn Stream>, String> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = host.split(':').next().unwrap_or_default().to_owned();
        let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
        let stream = tls.connect(name, stream).await.map_err(|error| error.to_string())?;
        Ok(Box::new(stream))
    }
}

impl Socket {
    /// Sends a message that was not sent before, and waits for it to come back.
    pub async fn echo(&mut self) -> Result<(), String> {
        self.sent += 1;
        let message = Message::text(format!("message {}", self.sent));
        self.stream.send(message.clone()).await.map_err(|error| error.to_string())?;
        while let Some(answer) = self.stream.next().await {
            match answer {
                Ok(answer) if answer == message => return Ok(()),
                Ok(answer) if answer.is_close() => break,
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Err("closed".into())
    }

    /// Waits for the other side to close, and gives its code (RFC 6455 §7.4).
    pub async fn closed(&mut self) -> Result<u16, String> {
        while let Some(message) = self.stream.next().await {
            if let Message::Close(frame) = message.map_err(|error| error.to_string())? {
                return frame.map(|frame| frame.code.into()).ok_or_else(|| "closed without a code".into());
            }
        }
        Err("ended without a close".into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::web::Web;
    use super::*;

    #[tokio::test]
    async fn pages_and_sockets_come_through() {
        let web = Web::start("harbor", "one", "127.0.0.1".parse().unwrap()).await.unwrap();
        let site = Site { address: web.address(), tls: None };
        let page = site.get("harbor.localhost", "/services/x").await.unwrap();
        assert_eq!((page.status, page.member("/headers/host")), (200, Some("harbor.localhost".into())));
        let mut socket = site.socket("harbor.localhost", "/ws").await.unwrap();
        socket.echo().await.unwrap();
        socket.echo().await.unwrap();
        drop(web);
        assert!(socket.echo().await.is_err());
        assert!(site.get("harbor.localhost", "/").await.is_err());
    }
}
