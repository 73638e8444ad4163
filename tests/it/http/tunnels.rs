//! WebSockets (HT10, HT13, HT18, W09), and what a change of the table does to them (R35, R73).

use super::peer::{Head, Peer, Upstream};
use super::world::{World, instance};
use bytes::Bytes;
use http::{Request, Version};
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use nantucket::http::Config;
use nantucket::model::State;
use nantucket::stats::HttpRefusal;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ACCEPT: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ";

fn accept(head: &Head) -> String {
    use base64::Engine as _;
    use sha1::Digest as _;
    let key = format!("{}258EAFA5-E914-47DA-95CA-C5AB0DC85B11", head.get("sec-websocket-key").unwrap());
    base64::engine::general_purpose::STANDARD.encode(sha1::Sha1::digest(key))
}

/// An instance that accepts every WebSocket, says hello in the same packet, and sends back what
/// it gets.
async fn echoing() -> Upstream {
    Upstream::new(|mut peer| async move {
        while let Some(head) = peer.head().await {
            if head.get("upgrade") != Some("websocket") {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain").await;
                continue;
            }
            assert_eq!((head.get("connection"), head.get("host")), (Some("upgrade"), Some("acme.pbx.example")));
            assert!(head.start.starts_with("GET /ws"), "{}", head.start);
            let answer = format!("{ACCEPT}{}\r\nSec-WebSocket-Protocol: chat\r\n\r\n", accept(&head));
            peer.send([answer.as_bytes(), b"\x81\x05hello"].concat()).await;
            loop {
                let mut piece = [0; 4096];
                match peer.stream.read(&mut piece).await {
                    Ok(n) if n > 0 => peer.send(&piece[..n]).await,
                    _ => return,
                }
            }
        }
    })
    .await
}

const OPEN: &str = "GET /ws?x HTTP/1.1\r\nHost: acme.pbx.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n";

/// An open tunnel, the instance's hello read.
async fn tunnel(world: &World) -> Peer {
    let mut client = Peer::connect(world.plain).await;
    client.send(OPEN).await;
    let head = client.head().await.unwrap();
    assert_eq!(head.status(), 101, "{head:?}");
    assert_eq!(client.exactly(7).await, b"\x81\x05hello");
    client
}

async fn still_works(client: &mut Peer, text: &str) {
    client.send(text).await;
    assert_eq!(client.exactly(text.len()).await, text.as_bytes());
}

#[tokio::test]
async fn early_bytes_of_both_sides_arrive() {
    // HT13
    let upstream = echoing().await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    let mut client = Peer::connect(world.plain).await;
    // What looks like a request to us is the WebSocket's business.
    let early = "GET /early HTTP/1.1\r\nHost: nobody\r\nHost: x\r\n\r\n";
    client.send(format!("{OPEN}{early}")).await;
    let head = client.head().await.unwrap();
    assert_eq!((head.status(), head.get("upgrade"), head.get("connection")), (101, Some("websocket"), Some("upgrade")));
    assert_eq!(head.get("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(head.get("sec-websocket-protocol"), Some("chat"));
    assert_eq!(client.exactly(7).await, b"\x81\x05hello");
    assert_eq!(client.exactly(early.len()).await, early.as_bytes());
    still_works(&mut client, "and more").await;
    let stats = world.instance_stats(1);
    assert_eq!((stats.tunnels.read(), stats.http_active.read(), world.stats.requests.read()), (1, 1, 1));
    client.stream.shutdown().await.unwrap();
    client.ended().await;
    while stats.tunnels.read() + stats.http_active.read() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.stats.tunnels_closed.read(), 0, "it was not us");
}

#[tokio::test]
async fn large_frames_pass_whole_in_both_directions() {
    let upstream = echoing().await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    let client = tunnel(&world).await;
    let (mut reader, mut writer) = tokio::io::split(client.stream);
    let data: Vec<u8> = (0..4_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut back = vec![0; data.len()];
    let (sent, got) = tokio::join!(writer.write_all(&data), reader.read_exact(&mut back));
    sent.unwrap();
    got.unwrap();
    assert!(back == data);
}

#[tokio::test]
async fn only_the_protocol_that_was_asked_for() {
    // HT13
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let upstream = Upstream::says(answer).await;
        let world = World::new([instance(1, "acme", upstream.address)]);
        assert_eq!(Peer::connect(world.plain).await.ask(OPEN).await.status(), 502, "{answer:?}");
    }
    // A refusal is an answer like any other; what is no WebSocket is no tunnel.
    let upstream = Upstream::says("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    let answer = Peer::connect(world.plain).await.ask(OPEN).await;
    assert_eq!((answer.status(), answer.text().as_str()), (403, "no"));
    let echo = Upstream::echo().await;
    let world = World::new([instance(1, "acme", echo.address)]);
    for other in [
        OPEN.replace("WebSocket\r\n", "h2c\r\n"),
        OPEN.replace("keep-alive, Upgrade", "keep-alive"),
        OPEN.replace("HTTP/1.1", "HTTP/1.0"),
        OPEN.replace("GET ", "POST "),
    ] {
        let seen = Peer::connect(world.plain).await.ask(&other).await.seen();
        assert_eq!((seen.get("upgrade"), seen.get("connection")), (None, None), "{other}");
    }
}

#[tokio::test]
async fn a_continue_comes_before_the_switch() {
    // HT10
    let upstream = Upstream::new(|mut peer| async move {
        let head = peer.head().await.unwrap();
        peer.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        let body = peer.body(&head).await;
        peer.send(format!("{ACCEPT}{}\r\n\r\n", accept(&head))).await;
        peer.send(body).await;
        peer.ended().await;
    })
    .await;
    let config = Config { expect: Duration::from_secs(3600), ..Config::default() };
    let world = World::with(config, [instance(1, "acme", upstream.address)], |_| {});
    let mut client = Peer::connect(world.plain).await;
    client.send(OPEN.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")).await;
    assert_eq!(client.head().await.unwrap().status(), 100);
    client.send("hi").await;
    assert_eq!(client.head().await.unwrap().status(), 101);
    assert_eq!(client.exactly(2).await, b"hi");
}

#[tokio::test]
async fn a_websocket_over_http2() {
    // W09
    let upstream = echoing().await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    let tls = world.tls("acme.pbx.example", &[b"h2"]).await;
    let (mut sender, connection) =
        http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
    tokio::spawn(connection);
    let open = |protocol: Option<&'static str>| {
        let mut request = Request::connect("https://acme.pbx.example/ws?y").version(Version::HTTP_2);
        if let Some(protocol) = protocol {
            request = request.extension(hyper::ext::Protocol::from_static(protocol));
        }
        request
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", "chat")
            .body(Empty::new())
            .unwrap()
    };
    // The server's SETTINGS must have come before an extended CONNECT is allowed.
    let warm = Request::get("https://acme.pbx.example/").body(Empty::new()).unwrap();
    assert_eq!(sender.send_request(warm).await.unwrap().status(), 200);
    let mut response = sender.send_request(open(Some("websocket"))).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["sec-websocket-protocol"]),
        (200, &"chat".parse().unwrap())
    );
    assert!(!response.headers().contains_key("sec-websocket-accept") && !response.headers().contains_key("upgrade"));
    let mut peer = Peer::new(TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap()));
    assert_eq!(peer.exactly(7).await, b"\x81\x05hello");
    peer.send("over h2").await;
    assert_eq!(peer.exactly(7).await, b"over h2");
    assert_eq!(sender.send_request(open(Some("websockets"))).await.unwrap().status(), 501);
    assert_eq!(world.instance_stats(1).tunnels.read(), 1);
    drop(peer);
    let stats = world.instance_stats(1);
    while stats.tunnels.read() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_websocket_is_refused_in_http() {
    // HT18
    let upstream = echoing().await;
    let mut acme = instance(1, "acme", upstream.address);
    acme.limits.http_requests = 1;
    let mut world = World::new([acme]);
    let _first = tunnel(&world).await;
    let answer = Peer::connect(world.plain).await.ask(OPEN).await;
    assert_eq!((answer.status(), answer.get("retry-after").is_some()), (503, true));
    assert_eq!(world.refused(HttpRefusal::Overloaded), 1);
    world.change_instance(1, |row| row.state = State::Off);
    assert_eq!(Peer::connect(world.plain).await.ask(OPEN).await.status(), 503);
    assert_eq!(Peer::connect(world.plain).await.ask(OPEN.replace("acme", "nobody")).await.status(), 404);
}

#[tokio::test]
async fn tunnels_end_with_their_own_instance_only() {
    // HT18 R35 R73
    let (one, two, elsewhere) = (echoing().await, echoing().await, echoing().await);
    let restart = [0x88, 2, 0x03, 0xf4];
    type Change = fn(&mut World, &Upstream);
    let changes: [Change; 4] = [
        |world, _| world.change_instance(1, |row| row.state = State::Off),
        |world, other| {
            let url = format!("http://{}", other.address);
            world.change_instance(1, |row| row.web.as_mut().unwrap().url = url);
        },
        |world, _| world.change_instance(1, |row| row.web = None),
        |world, _| world.change(|table| drop(table.instances.remove(0))),
    ];
    for change in changes {
        let mut acme = instance(1, "other", one.address);
        acme.aliases = vec!["acme.pbx.example".into()];
        let mut world = World::new([acme, instance(2, "beta", two.address)]);
        let mut ends = tunnel(&world).await;
        let mut inside_a_frame = tunnel(&world).await;
        // The instance has begun a frame of 5 bytes and sent 2 of them.
        inside_a_frame.send(b"\x81\x05ab").await;
        inside_a_frame.exactly(4).await;
        let mut stays = Peer::connect(world.plain).await;
        stays.send("GET / HTTP/1.1\r\nHost: beta\r\n\r\n").await;
        assert_eq!(stays.answer().await.text(), "plain");
        change(&mut world, &elsewhere);
        assert_eq!(ends.rest().await, restart);
        assert_eq!(inside_a_frame.rest().await, b"", "not into the middle of a frame");
        drop((ends, inside_a_frame));
        while world.stats.tunnels.read() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.stats.tunnels_closed.read(), 2);
        stays.send("GET / HTTP/1.1\r\nHost: beta\r\n\r\n").await;
        assert_eq!(stays.answer().await.text(), "plain");
    }
}

#[tokio::test]
async fn a_tunnel_is_a_connection_and_ends_with_the_server() {
    // HT18
    let upstream = echoing().await;
    let config = Config { per_source: 2, ..Config::default() };
    let world = World::with(config, [instance(1, "acme", upstream.address)], |_| {});
    let (mut one, mut two) = (tunnel(&world).await, tunnel(&world).await);
    Peer::connect(world.plain).await.ended().await;
    assert_eq!((world.stats.connections.read(), world.stats.refused_source.read()), (2, 1));
    let server = world.server.clone();
    let end = tokio::spawn(async move { server.drain(Duration::from_secs(30)).await });
    for client in [&mut one, &mut two] {
        assert_eq!(client.rest().await, [0x88, 2, 0x03, 0xf4]);
    }
    drop((one, two));
    end.await.unwrap();
    assert_eq!((world.stats.connections.read(), world.stats.tunnels_closed.read()), (0, 2));
}

#[tokio::test]
async fn too_many_tunnels_for_a_smaller_limit_are_told_to_come_back() {
    // HT18
    let upstream = echoing().await;
    let mut world = World::new([instance(1, "acme", upstream.address)]);
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(tunnel(&world).await);
    }
    world.change_instance(1, |row| row.limits.http_requests = 3);
    let mut closed = 0;
    for client in &mut clients {
        client.send("still?").await;
        let first = client.exactly(4).await;
        if first == [0x88, 2, 0x03, 0xf5] {
            closed += 1;
        } else {
            assert_eq!(first, b"stil");
        }
    }
    assert_eq!(closed, 2);
    drop(clients);
    while world.stats.tunnels.read() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.stats.tunnels_closed.read(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_tunnels_outlive_a_thousand_tables() {
    // R73 R35
    let upstream = echoing().await;
    let other = Upstream::echo().await;
    let mut world = World::new([instance(1, "acme", upstream.address), instance(2, "beta", other.address)]);
    let mut clients = Vec::new();
    for _ in 0..110 {
        clients.push(tunnel(&world).await);
    }
    let mut keeps = Peer::connect(world.plain).await;
    for round in 0..1_000u32 {
        match round % 4 {
            0 => world.change_instance(2, |row| row.state = State::Off),
            1 => world.change_instance(2, |row| row.state = State::On),
            2 => world.change(|table| {
                let row = instance(1_000 + round, &format!("new{round}"), other.address);
                table.instances.push(std::sync::Arc::new(row));
            }),
            _ => world.change_instance(1, |row| row.display_name = format!("acme {round}")),
        }
        let index = round as usize % clients.len();
        still_works(&mut clients[index], &format!("round {round}")).await;
        if round % 50 == 1 {
            let answer = keeps.ask("GET / HTTP/1.1\r\nHost: beta\r\n\r\n").await;
            assert_eq!(answer.status(), 200);
        }
    }
    for client in &mut clients {
        still_works(client, "at the end").await;
    }
    assert_eq!((world.stats.tunnels.read(), world.stats.tunnels_closed.read()), (110, 0));
}
