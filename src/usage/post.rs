//! One HTTP POST: a connection of its own, HTTP/1.1, no redirect followed, everything within its time.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// For the whole of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer's head.
const HEAD: usize = 16 * 1024;

/// What is sent besides the address.
pub(super) struct Letter {
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// Why it did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error("no answer within {} seconds", PATIENCE.as_secs())]
    Slow,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the address cannot be posted to")]
    Address,
    #[error("it answered {0}")]
    Refused(StatusCode),
}

/// Posts, trusting what the machine trusts.
pub(super) struct Poster(TlsConnector);

impl Poster {
    /// Reads the machine's certificates.
    pub(super) fn new() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// Posts; only a 2xx is success.
    pub(super) async fn post(&self, url: &Url, letter: Letter) -> Result<(), PostError> {
        tokio::time::timeout(PATIENCE, self.exchange(url, letter)).await.unwrap_or(Err(PostError::Slow))
    }

    async fn exchange(&self, url: &Url, letter: Letter) -> Result<(), PostError> {
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(PostError::Address);
        };
        let bare = match host {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        let stream = TcpStream::connect((bare.as_str(), port)).await?;
        let request = request(url, letter)?;
        let status = if url.scheme() == "https" {
            let name = ServerName::try_from(bare).map_err(|_| PostError::Address)?;
            send(self.0.connect(name, stream).await?, request).await?
        } else {
            send(stream, request).await?
        };
        if status.is_success() { Ok(()) } else { Err(PostError::Refused(status)) }
    }
}

fn request(url: &Url, letter: Letter) -> Result<Request<Full<Bytes>>, PostError> {
    let authority = url.port().map_or_else(
        || url.host_str().unwrap_or_default().to_owned(),
        |port| format!("{}:{port}", url.host_str().unwrap_or_default()),
    );
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let mut request = Request::post(target)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, concat!("nantucket/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close");
    for (name, value) in letter.headers {
        request = request.header(name, value);
    }
    request.body(Full::new(letter.body.into())).map_err(|_| PostError::Address)
}

/// The status of the answer; its body is not read.
async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<StatusCode, PostError> {
    let mut builder = http1::Builder::new();
    let (mut sender, connection) = builder.max_buf_size(HEAD).handshake(TokioIo::new(stream)).await?;
    let answered = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        drop(answer.into_body().boxed());
        Ok(status)
    };
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        answer = answered.as_mut() => answer,
        // The connection may end before the answer is looked at.
        ended = connection => {
            ended?;
            answered.await
        }
    }
}
