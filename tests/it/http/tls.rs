//! HTTPS: certificates, names and endings (HT14, HT16, R82).

use super::peer::{Peer, Upstream};
use super::world::{World, instance};
use nantucket::http::Config;
use nantucket::model::NamePolicy;
use nantucket::model::{self, SCHEMA};
use nantucket::stats::HttpRefusal;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const H1: &[&[u8]] = &[b"http/1.1"];

/// A certificate for names, as a row and as what a client trusts.
fn certificate(name: &str, sans: &[&str]) -> (Arc<model::Certificate>, CertificateDer<'static>) {
    let sans: Vec<String> = sans.iter().map(|s| (*s).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(sans).unwrap();
    let row = model::Certificate {
        schema: SCHEMA,
        name: name.into(),
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        acme: None,
    };
    (Arc::new(row), made.cert.der().clone())
}

#[tokio::test]
async fn the_first_certificate_covers_all_names() {
    // R82
    let upstream = Upstream::echo().await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    for name in ["acme.pbx.example", "front.pbx.example", "pbx.example", "localhost", "127.0.0.1"] {
        let mut client = Peer::new(world.tls(name, H1).await);
        let seen = client.ask("GET / HTTP/1.1\r\nHost: acme.pbx.example\r\n\r\n").await.seen();
        assert_eq!(seen.get("x-forwarded-proto"), Some("https"), "{name}");
        assert_eq!(seen.get("forwarded"), Some("for=127.0.0.1;host=acme.pbx.example;proto=https"));
    }
}

#[tokio::test]
async fn a_certificate_is_replaced_without_a_dropped_connection() {
    // R82 R73
    let upstream = Upstream::echo().await;
    let mut world = World::new([instance(1, "acme", upstream.address)]);
    let mut old = Peer::new(world.tls("acme.pbx.example", H1).await);
    let get = "GET / HTTP/1.1\r\nHost: acme.pbx.example\r\n\r\n";
    assert_eq!(old.ask(get).await.status(), 200);
    let (row, trusted) = certificate("acme", &["acme.pbx.example"]);
    world.change(|table| table.certificates.push(row));
    let mut new = Peer::new(world.tls_trusting("acme.pbx.example", H1, trusted.clone()).await);
    assert_eq!(new.ask(get).await.status(), 200);
    assert_eq!(old.ask(get).await.status(), 200);
    let served = |peer: &Peer<tokio_rustls::client::TlsStream<TcpStream>>| {
        peer.stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    assert!(served(&new) == trusted && served(&old) != trusted);
    // Others keep what they had.
    world.tls("beta.pbx.example", H1).await;
    let (renewed, trusted) = certificate("acme", &["acme.pbx.example"]);
    world.change(|table| table.certificates = vec![renewed]);
    world.tls_trusting("acme.pbx.example", H1, trusted).await;
    assert_eq!(new.ask(get).await.status(), 200);
}

#[tokio::test]
async fn one_connection_serves_the_names_of_its_certificate() {
    // HT16
    let upstream = Upstream::echo().await;
    let mut world = World::new([instance(1, "acme", upstream.address), instance(2, "beta", upstream.address)]);
    let (row, trusted) = certificate("acme", &["acme.pbx.example"]);
    let ask = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}.pbx.example\r\n\r\n");
    let mut client = Peer::new(world.tls("acme.pbx.example", H1).await);
    assert_eq!(client.ask(ask("beta")).await.status(), 200, "one certificate for both");
    world.change(|table| table.certificates.push(row));
    let mut client = Peer::new(world.tls_trusting("acme.pbx.example", H1, trusted).await);
    assert_eq!(client.ask(ask("acme")).await.status(), 200);
    let answer = client.ask(ask("beta")).await;
    assert_eq!((answer.status(), answer.get("connection")), (421, Some("close")));
    client.ended().await;
    let mut client = Peer::new(world.tls("beta.pbx.example", H1).await);
    assert_eq!(client.ask(ask("acme")).await.status(), 421);
    assert_eq!(world.refused(HttpRefusal::Misdirected), 2);
}

#[tokio::test]
async fn a_host_of_another_instance_than_the_tls_name_goes_by_the_proxys_policy() {
    // S04 HT16
    let upstream = Upstream::echo().await;
    for (names, status, counted) in
        [(NamePolicy::Off, 200, 0), (NamePolicy::Log, 200, 1), (NamePolicy::Enforce, 421, 1)]
    {
        let both = [instance(1, "acme", upstream.address), instance(2, "beta", upstream.address)];
        let world = World::with(Config::default(), both, |proxy| proxy.names = names);
        let ask = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}.pbx.example\r\n\r\n");
        let mut client = Peer::new(world.tls("acme.pbx.example", H1).await);
        assert_eq!(client.ask(ask("acme")).await.status(), 200);
        assert_eq!((client.ask(ask("beta")).await.status(), world.stats.name_mismatches.read()), (status, counted));
        let mut proxys = Peer::new(world.tls("front.pbx.example", H1).await);
        assert_eq!(proxys.ask(ask("beta")).await.status(), 200, "the proxy's own name is everybody's");
    }
}

#[tokio::test]
async fn tls_ends_with_a_closure_alert() {
    // HT14
    let upstream = Upstream::echo().await;
    let soon = Duration::from_millis(300);
    let world = World::with(
        Config { idle: soon, head: soon, linger: soon, ..Config::default() },
        [instance(1, "acme", upstream.address)],
        |_| {},
    );
    for part in [
        "GET / HTTP/1.1\r\nHost: acme\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: acme\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: acme\r\n\r\n",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        "",
    ] {
        for alpn in [H1, &[b"h2"]] {
            let mut tls = world.tls("acme.pbx.example", alpn).await;
            if alpn == H1 {
                tls.write_all(part.as_bytes()).await.unwrap();
            }
            // Without the alert this is an UnexpectedEof.
            tls.read_to_end(&mut Vec::new()).await.unwrap_or_else(|error| panic!("{part:?}: {error}"));
        }
    }
}

#[tokio::test]
async fn tls_handshakes_are_bounded_in_time_and_number() {
    let config = Config { handshake: Duration::from_millis(500), handshakes: 1, ..Config::default() };
    let world = World::with(config, [], |_| {});
    let mut silent = TcpStream::connect(world.secure).await.unwrap();
    silent.write_all(b"\x16\x03\x01").await.unwrap();
    // Both are served or refused in the end; the second while the first still hangs, or after it.
    assert_eq!(silent.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    assert_eq!(world.stats.handshakes_slow.read(), 1);
    let mut plain = Peer::connect(world.secure).await;
    let answer = plain.ask("GET / HTTP/1.1\r\nHost: acme\r\n\r\n").await;
    assert!(answer.status() == 400 && answer.text().contains("HTTPS"));
    assert_eq!(world.stats.handshakes_failed.read(), 1);
    world.tls("front.pbx.example", H1).await;
}

#[tokio::test]
async fn an_instance_behind_tls_is_taken_as_it_is_or_verified() {
    let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let upstream = Upstream::new(move |peer: Peer| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(tls) = acceptor.accept(peer.stream).await else { return };
            let mut peer = Peer::new(tls);
            while peer.head().await.is_some() {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret").await;
            }
        }
    })
    .await;
    let mut acme = instance(1, "acme", upstream.address);
    acme.web.as_mut().unwrap().url = format!("https://{}", upstream.address);
    let mut world = World::new([acme]);
    let get = "GET / HTTP/1.1\r\nHost: acme\r\n\r\n";
    let mut client = Peer::connect(world.plain).await;
    for _ in 0..2 {
        assert_eq!(client.ask(get).await.text(), "secret");
    }
    assert_eq!(upstream.connections(), 1, "kept");
    world.change_instance(1, |row| row.web.as_mut().unwrap().verify = true);
    assert_eq!(client.ask(get).await.status(), 502, "not kept from before, and not trusted");
}
