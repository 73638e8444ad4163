//! Bodies as streams, bounds of connections, and the end of the server.

use super::peer::{Peer, Upstream};
use super::world::{PLAIN, World, instance};
use crate::support::PATIENCE;
use nantucket::http::{Config, Services};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

const WHOLE: u64 = 200 << 20;
/// What may be under way between the two ends: buffers of kernels and ours, on two connections.
const UNDER_WAY: u64 = 32 << 20;

fn piece() -> Vec<u8> {
    (0..64 * 1024u32).map(|n| (n % 251) as u8).collect()
}

/// Writes until the other side takes nothing for a while, and says how much it took.
async fn fill(stream: &mut (impl AsyncWriteExt + Unpin), whole: u64) -> u64 {
    fill_within(stream, whole, Duration::from_millis(400)).await
}

async fn fill_within(stream: &mut (impl AsyncWriteExt + Unpin), whole: u64, pause: Duration) -> u64 {
    let piece = piece();
    let mut sent = 0;
    while sent < whole {
        let most = usize::try_from(whole - sent).unwrap().min(piece.len());
        match timeout(pause, stream.write(&piece[..most])).await {
            Ok(written) => sent += written.unwrap() as u64,
            Err(_) => return sent,
        }
    }
    sent
}

async fn count(stream: &mut (impl AsyncReadExt + Unpin), whole: u64) -> u64 {
    let mut buffer = vec![0; 256 * 1024];
    let mut got = 0;
    while got < whole {
        match stream.read(&mut buffer).await.unwrap() {
            0 => return got,
            n => got += n as u64,
        }
    }
    got
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_stops_reading_stops_the_client() {
    let (go, wait) = watch::channel(false);
    let (read, mut reads) = mpsc::unbounded_channel();
    let lazy = Upstream::new(move |mut peer| {
        let (mut wait, read) = (wait.clone(), read.clone());
        async move {
            peer.head().await.unwrap();
            wait.wait_for(|go| *go).await.unwrap();
            let early = peer.rest_of_buffer();
            read.send(early + count(&mut peer.stream, WHOLE - early).await).unwrap();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    })
    .await;
    let world = World::new([instance(1, "acme", lazy.address)]);
    let mut client = Peer::connect(world.plain).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: acme\r\nContent-Length: {WHOLE}\r\n\r\n")).await;
    let sent = fill(&mut client.stream, WHOLE).await;
    let through = world.instance_stats(1).http_bytes_in.read();
    assert!(sent < UNDER_WAY && through <= sent, "{sent} sent, {through} through us");
    go.send(true).unwrap();
    assert_eq!(sent + fill_within(&mut client.stream, WHOLE - sent, PATIENCE).await, WHOLE);
    assert_eq!(reads.recv().await, Some(WHOLE));
    assert_eq!(client.answer().await.status(), 200);
    assert_eq!(world.instance_stats(1).http_bytes_in.read(), WHOLE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_stops_the_instance() {
    let sent = Arc::new(AtomicU64::new(0));
    let (stopped, mut stops) = mpsc::unbounded_channel();
    let counter = Arc::clone(&sent);
    let eager = Upstream::new(move |mut peer| {
        let (sent, stopped) = (Arc::clone(&counter), stopped.clone());
        async move {
            peer.head().await.unwrap();
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {WHOLE}\r\n\r\n")).await;
            let mut left = WHOLE;
            while left > 0 {
                let now = fill(&mut peer.stream, left).await;
                left -= now;
                sent.fetch_add(now, Ordering::SeqCst);
                stopped.send(()).ok();
            }
        }
    })
    .await;
    let world = World::new([instance(1, "acme", eager.address)]);
    for tls in [false, true] {
        sent.store(0, Ordering::SeqCst);
        let get = "GET / HTTP/1.1\r\nHost: acme.pbx.example\r\n\r\n";
        let (head, got) = if tls {
            let mut client = Peer::new(world.tls("acme.pbx.example", &[b"http/1.1"]).await);
            client.send(get).await;
            let head = client.head().await.unwrap();
            stops.recv().await.unwrap();
            assert!(sent.load(Ordering::SeqCst) < UNDER_WAY);
            let early = client.rest_of_buffer();
            (head, early + count(&mut client.stream, WHOLE - early).await)
        } else {
            let mut client = Peer::connect(world.plain).await;
            client.send(get).await;
            let head = client.head().await.unwrap();
            stops.recv().await.unwrap();
            assert!(sent.load(Ordering::SeqCst) < UNDER_WAY);
            let early = client.rest_of_buffer();
            (head, early + count(&mut client.stream, WHOLE - early).await)
        };
        assert_eq!((head.status(), got), (200, WHOLE));
        while stops.try_recv().is_ok() {}
    }
    assert_eq!(world.instance_stats(1).http_bytes_out.read(), 2 * WHOLE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_may_begin_before_its_request_ends() {
    // Neither direction waits for the other: the answer is larger than all buffers, and the client
    // reads it only after its request is out.
    let both = Upstream::new(|mut peer| async move {
        peer.head().await.unwrap();
        let whole = WHOLE / 4;
        let early = peer.rest_of_buffer();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {whole}\r\n\r\n")).await;
        let (mut reader, mut writer) = tokio::io::split(peer.stream);
        let answer = async {
            let piece = piece();
            for _ in 0..whole / piece.len() as u64 {
                writer.write_all(&piece).await.unwrap();
            }
        };
        let (got, ()) = tokio::join!(count(&mut reader, whole - early), answer);
        assert_eq!(got, whole - early);
    })
    .await;
    let world = World::new([instance(1, "acme", both.address)]);
    let mut client = Peer::connect(world.plain).await;
    let whole = WHOLE / 4;
    client.send(format!("POST / HTTP/1.1\r\nHost: acme\r\nContent-Length: {whole}\r\n\r\n")).await;
    let piece = piece();
    for _ in 0..whole / piece.len() as u64 {
        client.stream.write_all(&piece).await.unwrap();
    }
    assert_eq!(client.answer().await.body.len() as u64, whole);
}

#[tokio::test]
async fn a_cut_answer_is_not_taken_for_a_whole_one() {
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let broken = Upstream::new(move |mut peer| async move {
            peer.head().await.unwrap();
            let start = if head.starts_with('C') { "half" } else { "4\r\nhalf\r\n" };
            peer.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{start}")).await;
        })
        .await;
        let world = World::new([instance(1, "acme", broken.address)]);
        let mut client = Peer::connect(world.plain).await;
        client.send("GET / HTTP/1.1\r\nHost: acme\r\n\r\n").await;
        // As much as was there, or nothing at all; but never an end.
        let all = String::from_utf8(client.rest().await).unwrap();
        assert!(all.len() < 250 && !all.contains("\r\n0\r\n") && !all.contains("Content-Length: 4\r\n"), "{all:?}");
    }
}

#[tokio::test]
async fn an_answer_that_stands_still_is_cut() {
    // HT12
    let stalling = Upstream::new(|mut peer| async move {
        peer.head().await.unwrap();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
        peer.ended().await;
    })
    .await;
    let config = Config { answer_body: Duration::from_millis(60), ..Config::default() };
    let world = World::with(config, [instance(1, "acme", stalling.address)], |_| {});
    let mut client = Peer::connect(world.plain).await;
    client.send("GET / HTTP/1.1\r\nHost: acme\r\n\r\n").await;
    client.head().await.unwrap();
    assert_eq!(client.rest().await, b"half");
    assert_eq!(world.instance_stats(1).http_active.read(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_request_at_the_instance() {
    let (left, mut leaves) = mpsc::unbounded_channel();
    let slow = Upstream::new(move |mut peer| {
        let left = left.clone();
        async move {
            peer.head().await.unwrap();
            peer.ended().await;
            left.send(()).unwrap();
        }
    })
    .await;
    let world = World::new([instance(1, "acme", slow.address)]);
    let mut client = Peer::connect(world.plain).await;
    client.send("GET / HTTP/1.1\r\nHost: acme\r\n\r\n").await;
    let stats = world.instance_stats(1);
    while stats.http_active.read() == 0 {
        tokio::task::yield_now().await;
    }
    drop(client);
    leaves.recv().await.unwrap();
    while stats.http_active.read() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_source_has_so_many_connections_and_all_together_too() {
    let upstream = Upstream::echo().await;
    let config = Config { per_source: 3, ..Config::default() };
    let world = World::with(config, [instance(1, "acme", upstream.address)], |_| {});
    let get = "GET / HTTP/1.1\r\nHost: acme\r\n\r\n";
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Peer::connect(world.plain).await;
        assert_eq!(client.ask(get).await.status(), 200);
        clients.push(client);
    }
    Peer::connect(world.plain).await.ended().await;
    assert_eq!((world.stats.refused_source.read(), world.stats.connections.read()), (1, 3));
    drop(clients.pop());
    while world.stats.connections.read() > 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(Peer::connect(world.plain).await.ask(get).await.status(), 200);
}

#[tokio::test]
async fn listeners_come_and_go_while_connections_finish() {
    // R73
    let (started, mut starts) = mpsc::unbounded_channel();
    let (go, wait) = watch::channel(false);
    let slow = Upstream::new(move |mut peer| {
        let (started, mut wait) = (started.clone(), wait.clone());
        async move {
            while peer.head().await.is_some() {
                started.send(()).unwrap();
                wait.wait_for(|go| *go).await.unwrap();
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let world = World::new([instance(1, "acme", slow.address)]);
    let get = "GET / HTTP/1.1\r\nHost: acme\r\n\r\n";
    let mut client = Peer::connect(world.plain).await;
    client.send(get).await;
    starts.recv().await.unwrap();
    let fresh = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (_, moved) = world.server.listen(Services::web(PLAIN, false), fresh).unwrap();
    world.server.unlisten(world.doors[0]).await;
    go.send(true).unwrap();
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.get("connection")), ("ok", Some("close")));
    client.ended().await;
    assert_eq!(Peer::connect(moved).await.ask(get).await.text(), "ok");
}

#[tokio::test]
async fn the_end_waits_for_what_is_under_way() {
    let (started, mut starts) = mpsc::unbounded_channel();
    let (go, wait) = watch::channel(false);
    let slow = Upstream::new(move |mut peer| {
        let (started, mut wait) = (started.clone(), wait.clone());
        async move {
            peer.head().await.unwrap();
            started.send(()).unwrap();
            wait.wait_for(|go| *go).await.ok();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            peer.ended().await;
        }
    })
    .await;
    let config = Config { linger: Duration::from_millis(100), ..Config::default() };
    let world = World::with(config, [instance(1, "acme", slow.address)], |_| {});
    let get = "GET / HTTP/1.1\r\nHost: acme.pbx.example\r\n\r\n";
    let mut busy = Peer::connect(world.plain).await;
    busy.send(get).await;
    starts.recv().await.unwrap();
    let mut idle = Peer::new(world.tls("acme.pbx.example", &[b"http/1.1"]).await);
    let server = world.server.clone();
    let end = tokio::spawn(async move { server.drain(Duration::from_secs(30)).await });
    idle.ended().await;
    go.send(true).unwrap();
    assert_eq!(busy.answer().await.text(), "ok");
    busy.ended().await;
    end.await.unwrap();
    assert_eq!(world.stats.connections.read(), 0);
}

#[tokio::test]
async fn the_end_does_not_wait_for_ever() {
    let deaf = Upstream::new(|mut peer| async move {
        peer.head().await.unwrap();
        peer.ended().await;
    })
    .await;
    let config = Config { linger: Duration::from_millis(50), ..Config::default() };
    let world = World::with(config, [instance(1, "acme", deaf.address)], |_| {});
    let mut busy = Peer::connect(world.plain).await;
    busy.send("GET / HTTP/1.1\r\nHost: acme\r\n\r\n").await;
    let stats = world.instance_stats(1);
    while stats.http_active.read() == 0 {
        tokio::task::yield_now().await;
    }
    world.server.drain(Duration::from_millis(50)).await;
    busy.ended().await;
    assert_eq!((world.stats.connections.read(), stats.http_active.read()), (0, 0));
}
