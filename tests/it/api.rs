//! The API on real sockets: HTTPS, HTTP/1.1 and HTTP/2, what strangers send, and its end.

use crate::support::PATIENCE;
use crate::support::office::Office;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, StatusCode, Version, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

async fn connect(office: &Office, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
    try_connect(office, alpn).await.unwrap()
}

/// A connection to this office; what else may have its port has another certificate.
async fn try_connect(office: &Office, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(office.dir().join("tls/self-signed.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|it| it.to_vec()).collect();
    let stream = TcpStream::connect(office.address()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn status(office: &Office) -> Request<Empty<Bytes>> {
    Request::get("https://localhost/api/v1/status")
        .header(header::HOST, "localhost")
        .header(header::AUTHORIZATION, format!("Bearer {}", office.token()))
        .body(Empty::new())
        .unwrap()
}

#[tokio::test]
async fn http_1_and_2_are_spoken_over_tls() {
    let office = Office::open();
    let stream = connect(&office, &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = send.send_request(status(&office)).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));

    let stream = connect(&office, &[]).await;
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..2 {
        let answer = send.send_request(status(&office)).await.unwrap();
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_11));
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["phase"], "serving");
    }
}

#[tokio::test]
async fn what_is_not_tls_gets_nothing_of_the_api() {
    let office = Office::open();
    let mut stream = TcpStream::connect(office.address()).await.unwrap();
    stream.write_all(b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    assert!(!answer.windows(4).any(|it| it == b"HTTP"), "{answer:?}");
}

// R83
#[tokio::test]
async fn sign_ins_are_limited_by_the_address_they_come_from() {
    let office = Office::open();
    let stream = connect(&office, &[b"http/1.1"]).await;
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let request = Request::get("/api/v1/status").header(header::HOST, "x").body(Empty::<Bytes>::new()).unwrap();
        let answer = send.send_request(request).await.unwrap();
        statuses.push(answer.status().as_u16());
        answer.into_body().collect().await.unwrap();
    }
    assert_eq!((&statuses[..10], &statuses[10..]), (&[401; 10][..], &[429, 429][..]));
    let answer = send.send_request(status(&office)).await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let mut office = Office::open();
    let stream = connect(&office, &[b"http/1.1"]).await;
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let answer = send.send_request(status(&office)).await.unwrap();
    answer.into_body().collect().await.unwrap();
    let closing = tokio::task::spawn_blocking(move || {
        office.close();
        office
    });
    let office = tokio::time::timeout(PATIENCE, closing).await.unwrap().unwrap();
    tokio::time::timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    assert!(try_connect(&office, &[b"http/1.1"]).await.is_err());
}
