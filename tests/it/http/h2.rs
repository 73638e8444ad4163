//! HTTP/2 towards clients (HT11): sound requests pass, malformed streams never become HTTP/1.

use super::peer::Upstream;
use super::world::{World, instance};
use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nantucket::http::Config;
use nantucket::stats::HttpRefusal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const H2: &[&[u8]] = &[b"h2"];

async fn client<B>(world: &World) -> SendRequest<B>
where
    B: hyper::body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + Unpin + 'static,
{
    let tls = world.tls("acme.pbx.example", H2).await;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn requests_become_http1_and_answers_http2() {
    // HT07 HT08 HT11
    let upstream = Upstream::echo().await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    let mut client = client::<Full<Bytes>>(&world).await;
    let request = Request::post("https://acme.pbx.example/a/../b?c=%20")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .header("x-odd", "1")
        .header("x-odd", "2")
        .body(Full::from("hello"))
        .unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!((response.version(), response.status().as_u16()), (Version::HTTP_2, 200));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.starts_with("POST /a/../b?c=%20 HTTP/1.1\r\n"), "{text}");
    for line in
        ["host: acme.pbx.example", "cookie: a=1; b=2", "te: trailers", "x-odd: 1\r\nx-odd: 2", "content-length: 5"]
    {
        assert!(text.contains(&format!("{line}\r\n")), "{line}: {text}");
    }
    assert!(
        text.contains("\r\nvia: 2.0 nantucket-")
            && text.contains(";proto=https\r\n")
            && text.ends_with("\r\n\r\nhello")
    );
    assert!(!text.contains("transfer-encoding"), "{text}");
}

#[tokio::test]
async fn a_stream_to_another_instance_than_the_tls_name_is_counted_once() {
    // S04
    let upstream = Upstream::echo().await;
    let world = World::new([instance(1, "acme", upstream.address), instance(2, "beta", upstream.address)]);
    let mut client = client::<Full<Bytes>>(&world).await;
    for (host, body, counted) in [("beta", "", 1), ("acme", "", 1), ("beta", "hello", 2)] {
        let request = Request::post(format!("https://{host}.pbx.example/")).body(Full::from(body)).unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!((response.status().as_u16(), world.stats.name_mismatches.read()), (200, counted), "{host}");
    }
}

#[tokio::test]
async fn a_request_without_a_body_says_the_same() {
    // HT06 HT07 HT08 HT11 HT15
    let upstream = Upstream::echo().await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    let mut client = client::<Empty<Bytes>>(&world).await;
    for _ in 0..3 {
        let request = Request::get("https://front.pbx.example/acme/b?c=%20")
            .header("cookie", "a=1")
            .header("x-odd", "1")
            .header("cookie", "b=2")
            .header("x-odd", "2")
            .header("x-forwarded-for", "192.0.2.9")
            .header("via", "2.0 other")
            .body(Empty::new())
            .unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!((response.version(), response.status().as_u16()), (Version::HTTP_2, 200));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap().to_lowercase();
        assert!(text.starts_with("get /b?c=%20 http/1.1\r\nhost: front.pbx.example\r\n"), "{text}");
        for line in ["cookie: a=1; b=2", "x-odd: 1\r\nx-odd: 2", "x-forwarded-prefix: /acme", "via: 2.0 other"] {
            assert!(text.contains(&format!("{line}\r\n")), "{line}: {text}");
        }
        assert!(
            text.contains(";proto=https\r\nvia: 2.0 nantucket-") && text.contains("x-forwarded-for: 127.0.0.1\r\n")
        );
        assert!(!text.contains("192.0.2.9"), "{text}");
    }
    assert_eq!((upstream.connections(), world.stats.upstream_reused.read()), (1, 2));
    let request = Request::get("https://acme.pbx.example/").header("via", "1.1 a").body(Empty::new()).unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_answer_comes_whole_or_is_cut() {
    // HT06 HT17
    let long = "x".repeat(300_000);
    let head =
        "HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nVia: 1.1 inner\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    for (rest, seen) in [
        ("Content-Length: 2\r\n\r\nok".to_owned(), Some("ok")),
        (format!("Content-Length: 300000\r\n\r\n{long}"), Some(&*long)),
        (format!("{chunked}5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX: y\r\n\r\n"), Some("hello world")),
        (format!("\r\n{long}"), Some(&*long)),
        ("Content-Length: 3\r\n\r\nok".to_owned(), None),
        (format!("{chunked}5\r\nhello\r\n"), None),
        (format!("{chunked}5\r\nhelloX\r\n0\r\n\r\n"), None),
    ] {
        let answer = format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{head}{rest}");
        let upstream = Upstream::new(move |mut peer| {
            let answer = answer.clone();
            async move {
                peer.head().await.unwrap();
                peer.send(answer).await;
            }
        })
        .await;
        let world = World::new([instance(1, "acme", upstream.address)]);
        let mut client = client::<Empty<Bytes>>(&world).await;
        let request = Request::get("https://acme.pbx.example/").body(Empty::new()).unwrap();
        let response = match client.send_request(request).await {
            Ok(response) => response,
            Err(error) => {
                // A cut may overtake the head.
                assert_eq!(seen, None, "{error}");
                continue;
            }
        };
        let fields = response.headers();
        assert!(
            ["connection", "x-hop", "via", "transfer-encoding", "link"].iter().all(|name| !fields.contains_key(*name))
        );
        assert!(fields.get_all("set-cookie").iter().eq(["a=1", "b=2"]) && fields.contains_key("date"), "{fields:?}");
        let body = response.into_body().collect().await.ok().map(|body| body.to_bytes());
        assert_eq!(body.as_deref(), seen.map(str::as_bytes));
        if let Some(seen) = seen {
            assert_eq!(world.instance_stats(1).http_bytes_out.read(), seen.len() as u64);
        }
        while world.instance_stats(1).http_active.read() > 0 {
            tokio::task::yield_now().await;
        }
    }
    for (answer, status) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 502),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 502),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304),
    ] {
        let upstream = Upstream::says(answer).await;
        let world = World::new([instance(1, "acme", upstream.address)]);
        let mut client = client::<Empty<Bytes>>(&world).await;
        let request = Request::get("https://acme.pbx.example/").body(Empty::new()).unwrap();
        assert_eq!(client.send_request(request).await.unwrap().status(), status, "{answer:?}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced() {
    // HT09
    let upstream = Upstream::new(|mut peer| async move {
        peer.head().await.unwrap();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        // It goes with the next request, unanswered.
        peer.head().await;
    })
    .await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    let mut client = client::<Empty<Bytes>>(&world).await;
    for method in ["GET", "GET", "DELETE"] {
        let request = Request::builder().method(method).uri("https://acme.pbx.example/").body(Empty::new()).unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200, "{method}");
        response.into_body().collect().await.unwrap();
    }
    assert_eq!((world.stats.retries.read(), upstream.connections()), (2, 3));
}

#[tokio::test]
async fn many_streams_share_a_connection() {
    let upstream = Upstream::echo().await;
    let most = 32;
    let config = Config { kept_per_instance: most, ..Config::default() };
    let world = World::with(config, [instance(1, "acme", upstream.address)], |_| {});
    let client = client::<Empty<Bytes>>(&world).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..80 {
        let mut client: SendRequest<Empty<Bytes>> = client.clone();
        tasks.spawn(async move {
            let request = Request::get(format!("https://acme.pbx.example/{n}")).body(Empty::new()).unwrap();
            let response = client.send_request(request).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert!(body.starts_with(format!("GET /{n} ").as_bytes()));
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!((world.stats.accepted.read(), world.stats.requests.read()), (1, 80));
    let kept = world.stats.upstream_idle.read();
    assert!((1..=most as u64).contains(&kept) && upstream.connections() <= 80, "{kept} kept");
}

#[tokio::test]
async fn refusals_are_answers_of_their_stream_only() {
    let upstream = Upstream::echo().await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    let mut client = client::<Empty<Bytes>>(&world).await;
    for (target, status) in [
        ("https://nobody.pbx.example/", 404),
        ("https://acme.pbx.example/", 200),
        ("https://front.pbx.example/acme/", 200),
    ] {
        let response = client.send_request(Request::get(target).body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{target}");
        response.into_body().collect().await.unwrap();
    }
    let long = format!("https://acme.pbx.example/{}", "a".repeat(9000));
    let response = client.send_request(Request::get(long).body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 414);
    let trace = Request::builder().method("TRACE").uri("https://acme.pbx.example/").body(Empty::new()).unwrap();
    assert_eq!(client.send_request(trace).await.unwrap().status(), 405);
}

#[tokio::test]
async fn fields_have_a_limit() {
    // HT12
    let upstream = Upstream::echo().await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    let mut client = client::<Empty<Bytes>>(&world).await;
    let request = |length: usize| {
        let request = Request::get("https://acme.pbx.example/").header("x-long", "a".repeat(length));
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    assert_eq!(client.send_request(request(40_000)).await.unwrap().status(), 200);
    assert_eq!(client.send_request(request(60_000)).await.unwrap().status(), 431);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn the_end_of_the_server_is_announced() {
    let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
    let (go, wait) = tokio::sync::watch::channel(false);
    let slow = Upstream::new(move |mut peer| {
        let (started, mut wait) = (started.clone(), wait.clone());
        async move {
            peer.head().await.unwrap();
            started.send(()).unwrap();
            wait.wait_for(|go| *go).await.unwrap();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            peer.ended().await;
        }
    })
    .await;
    let world = World::new([instance(1, "acme", slow.address)]);
    let mut raw = Raw::new(&world).await;
    raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(GET))).await;
    starts.recv().await.unwrap();
    let server = world.server.clone();
    let end = tokio::spawn(async move { server.drain(std::time::Duration::from_secs(30)).await });
    assert_eq!(raw.next().await.0, GOAWAY);
    go.send(true).unwrap();
    let mut kinds = vec![raw.next().await.0, raw.next().await.0];
    kinds.sort_unstable();
    assert_eq!(kinds, [HEADERS, GOAWAY], "the answer, and the last stream's number");
    end.await.unwrap();
    raw.0.read_to_end(&mut Vec::new()).await.unwrap();
}

/// Fields as literals without indexing and without Huffman codes: whatever they are.
fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text);
        }
    }
    block
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

type Fields<'a> = &'a [(&'a [u8], &'a [u8])];

const GET: Fields<'static> =
    &[(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"acme.pbx.example")];

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection frame by frame.
struct Raw(TlsStream<TcpStream>);

impl Raw {
    async fn new(world: &World) -> Self {
        let mut raw = Self(world.tls("acme.pbx.example", H2).await);
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        raw.send(&frame(SETTINGS, 0, 0, &[])).await;
        raw
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// The next frame about a stream, or the end of the connection: its kind and payload.
    async fn next(&mut self) -> (u8, Vec<u8>) {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.0.read_exact(&mut payload).await.unwrap();
            if head[3] == PING && head[4] & ACK == 0 {
                self.send(&frame(PING, ACK, 0, &payload)).await;
            }
            if matches!(head[3], HEADERS | RST_STREAM | GOAWAY) {
                return (head[3], payload);
            }
        }
    }
}

#[tokio::test]
async fn malformed_streams_are_reset_and_go_nowhere() {
    // HT11
    let upstream = Upstream::echo().await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    let good = GET;
    let malformed: &[Fields] = &[
        &[(b"Upper", b"x")],
        &[(b"nul", b"a\0b")],
        &[(b"cr", b"a\rb")],
        &[(b"lf", b"a\nx-injected: 1")],
        &[(b"na me", b"x")],
        &[(b"", b"x")],
        &[(b"connection", b"close")],
        &[(b"keep-alive", b"x")],
        &[(b"proxy-connection", b"x")],
        &[(b"transfer-encoding", b"chunked")],
        &[(b"upgrade", b"websocket")],
        &[(b"te", b"gzip")],
        &[(b"x", b"1"), (b":path", b"/late")],
        &[(b":path", b"/twice")],
        &[(b":unknown", b"x")],
        &[(b":status", b"200")],
        &[(b"host", b"beta.pbx.example")],
        &[(b"host", b"acme.pbx.example"), (b"host", b"acme.pbx.example")],
        &[(b"content-length", b"5")],
        &[(b"content-length", b"x")],
        &[(b"content-length", b"0"), (b"content-length", b"0")],
    ];
    for extra in malformed {
        let mut raw = Raw::new(&world).await;
        let fields: Vec<_> = good.iter().chain(*extra).copied().collect();
        raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields))).await;
        let (kind, payload) = raw.next().await;
        let shown: Vec<_> =
            extra.iter().map(|(n, v)| (String::from_utf8_lossy(n), String::from_utf8_lossy(v))).collect();
        assert!(kind == RST_STREAM || kind == GOAWAY, "{shown:?}: {kind} {payload:?}");
    }
    for missing in 0..3 {
        let mut raw = Raw::new(&world).await;
        let fields: Vec<_> = good.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, f)| *f).collect();
        raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields))).await;
        let (kind, _) = raw.next().await;
        assert!(kind == RST_STREAM || kind == GOAWAY, "without field {missing}");
    }
    assert_eq!(upstream.connections(), 0, "nothing of it became HTTP/1");
    assert!(world.refused(HttpRefusal::Malformed) >= 2);

    // The connection that sent one still serves sound ones.
    let mut raw = Raw::new(&world).await;
    let bad: Vec<_> = good.iter().chain(&[(&b"host"[..], &b"beta"[..])]).copied().collect();
    raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&bad))).await;
    assert_eq!(raw.next().await.0, RST_STREAM);
    raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 3, &block(good))).await;
    assert_eq!(raw.next().await.0, HEADERS);
}

#[tokio::test]
async fn a_body_is_as_long_as_it_was_announced() {
    // HT11
    let upstream = Upstream::echo().await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    for body in [&b"toolong"[..], b"tiny"] {
        let mut raw = Raw::new(&world).await;
        let fields: &[(&[u8], &[u8])] = &[
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":path", b"/"),
            (b":authority", b"acme.pbx.example"),
            (b"content-length", b"5"),
        ];
        raw.send(&frame(HEADERS, END_HEADERS, 1, &block(fields))).await;
        raw.send(&frame(DATA, END_STREAM, 1, body)).await;
        let (kind, payload) = raw.next().await;
        let refused = kind == HEADERS && payload.first() != Some(&0x88);
        assert!(kind == RST_STREAM || kind == GOAWAY || refused, "{kind} {payload:x?}");
    }
}
