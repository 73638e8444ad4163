//! HTTP/1.1 as the RFCs have it, byte by byte (PROTOCOLS 2.11).

use super::peer::{Peer, Upstream};
use super::world::{World, instance};
use nantucket::http::Config;
use nantucket::stats::HttpRefusal;
use std::time::Duration;

const ACME: &str = "acme.pbx.example";

/// A front with one echoing instance, `acme`.
async fn acme() -> (World, Upstream) {
    let upstream = Upstream::echo().await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    (world, upstream)
}

/// Sends each request on a connection of its own and expects the status, the end of the connection
/// where it is refused, and that the instance saw nothing of it.
async fn refused(world: &World, upstream: &Upstream, status: u16, requests: &[&str]) {
    for request in requests {
        let before = upstream.connections();
        let mut client = Peer::connect(world.plain).await;
        let answer = client.ask(request).await;
        assert_eq!(answer.status(), status, "{request:?}: {}", answer.text());
        client.ended().await;
        assert_eq!(upstream.connections(), before, "{request:?} reached the instance");
    }
}

#[tokio::test]
async fn exactly_one_sound_host() {
    // HT01
    let (world, upstream) = acme().await;
    refused(
        &world,
        &upstream,
        400,
        &[
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: acme.pbx.example\r\nHost: acme.pbx.example\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: acme.pbx.example\r\nHost: beta.pbx.example\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: acme.pbx.example/x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: acme.pbx.example:99999\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: user@acme.pbx.example\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: acme.pbx.example, beta\r\n\r\n",
            "GET http://acme.pbx.example/ HTTP/1.1\r\n\r\n",
        ],
    )
    .await;
    assert_eq!(world.refused(HttpRefusal::BadRequest), 8);
    let mut client = Peer::connect(world.plain).await;
    for host in ["acme.pbx.example", "ACME.PBX.EXAMPLE.", "acme.pbx.example:8080", "acme"] {
        let seen = client.ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.seen();
        assert_eq!(seen.get("host"), Some(host));
    }
}

#[tokio::test]
async fn the_target_comes_before_host() {
    // HT02
    let (world, upstream) = acme().await;
    let mut client = Peer::connect(world.plain).await;
    let seen = client.ask("GET http://acme.pbx.example/a?b HTTP/1.1\r\nHost: nobody.example\r\n\r\n").await.seen();
    assert_eq!((seen.start.as_str(), seen.all("host")), ("GET /a?b HTTP/1.1", vec![ACME]));
    let seen = client.ask(format!("OPTIONS * HTTP/1.1\r\nHost: {ACME}\r\n\r\n")).await.seen();
    assert_eq!(seen.start, "OPTIONS * HTTP/1.1");
    let own = client.ask("OPTIONS * HTTP/1.1\r\nHost: front.pbx.example\r\n\r\n").await;
    assert!(own.status() == 200 && own.get("allow").is_some());
    refused(&world, &upstream, 405, &["CONNECT acme.pbx.example:80 HTTP/1.1\r\nHost: acme.pbx.example:80\r\n\r\n"])
        .await;
    refused(&world, &upstream, 405, &["TRACE / HTTP/1.1\r\nHost: acme.pbx.example\r\n\r\n"]).await;
}

#[tokio::test]
async fn odd_white_space_is_refused() {
    // HT03
    let (world, upstream) = acme().await;
    refused(
        &world,
        &upstream,
        400,
        &[
            "GET / HTTP/1.1\r\nHost : acme.pbx.example\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: acme.pbx.example\r\nX\t: y\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: acme.pbx.example\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n Host: acme.pbx.example\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: acme.pbx.example\r\nX: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: acme.pbx.example\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\rHost: acme.pbx.example\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: acme.pbx.example\r\nX: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: acme.pbx.example\r\nnocolon\r\n\r\n",
            "GET / HTTP/2.5\r\nHost: acme.pbx.example\r\n\r\n",
            "G ET / HTTP/1.1\r\nHost: acme.pbx.example\r\n\r\n",
        ],
    )
    .await;
    let odd = Upstream::says("HTTP/1.1 200 OK\r\nX-Odd : yes\r\nContent-Length : 2\r\n\r\nok").await;
    let world = World::new([instance(1, "acme", odd.address)]);
    let answer = Peer::connect(world.plain).await.ask(format!("GET / HTTP/1.1\r\nHost: {ACME}\r\n\r\n")).await;
    assert_eq!((answer.get("x-odd"), answer.text().as_str()), (Some("yes"), "ok"), "in an answer it is removed");
}

#[tokio::test]
async fn two_framings_are_an_attack() {
    // HT04
    let (world, upstream) = acme().await;
    let head = "POST / HTTP/1.1\r\nHost: acme.pbx.example\r\n";
    let fields = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: 5, 5",
        "Content-Length: -5",
        "Content-Length: +5",
        "Content-Length: 5 5",
        "Content-Length: 0x5",
        "Content-Length: 18446744073709551616",
        "Content-Length: ",
        "Content-Length : 5",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
    ];
    let requests: Vec<String> =
        fields.iter().map(|f| format!("{head}{f}\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n")).collect();
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    refused(&world, &upstream, 400, &requests).await;
    refused(
        &world,
        &upstream,
        400,
        &["POST / HTTP/1.0\r\nHost: acme.pbx.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    )
    .await;
    refused(&world, &upstream, 501, &[&format!("{head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")]).await;
    refused(
        &world,
        &upstream,
        501,
        &[&format!("{head}Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")],
    )
    .await;
}

#[tokio::test]
async fn chunks_pass_and_only_chunks() {
    // HT05
    let (world, _upstream) = acme().await;
    let head = format!("POST / HTTP/1.1\r\nHost: {ACME}\r\nTransfer-Encoding: chunked\r\n");
    let mut client = Peer::connect(world.plain).await;
    let chunks = "5;ext=\"1\";x\r\nhello\r\n6\r\n world\r\n0\r\n";
    let answer = client
        .ask(format!("{head}Trailer: X-Sum\r\n\r\n{chunks}X-Sum: 1\r\nHost: evil\r\nContent-Length: 3\r\n\r\n"))
        .await;
    let (seen, body) = (answer.seen(), answer.text());
    assert!(body.ends_with("\r\n\r\nhello world"), "{body}");
    assert_eq!((seen.all("host"), seen.all("content-length"), seen.all("x-sum")), (vec![ACME], vec![], vec![]));
    for bad in ["11111111111111111\r\n", "5\r\nhelloX\r\n", "zz\r\n", "5 5\nhello"] {
        let mut client = Peer::connect(world.plain).await;
        client.send(format!("{head}\r\n{bad}")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 400, "{bad:?}");
        client.ended().await;
    }
}

#[tokio::test]
async fn a_connection_with_half_a_request_on_it_serves_no_other() {
    // HT09
    let upstream = Upstream::far(|mut peer| async move {
        while let Some(head) = peer.head().await {
            match head.start.as_str() {
                "POST /late HTTP/1.1" => {
                    peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").await;
                    let rest = String::from_utf8(peer.rest().await).unwrap();
                    assert!(!rest.contains("GET"), "a request inside a body");
                    return;
                }
                _ => peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await,
            }
        }
    });
    let world = World::new([instance(1, "acme", upstream.address)]);
    let mut client = Peer::connect(world.plain).await;
    let get = format!("GET / HTTP/1.1\r\nHost: {ACME}\r\n\r\n");
    let body = "b".repeat(60_000);
    let post = format!("POST /late HTTP/1.1\r\nHost: {ACME}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    // Both at once, so that the whole of the second is there when its turn comes.
    assert_eq!(client.ask(get.clone() + &post).await.status(), 200);
    assert_eq!(client.answer().await.status(), 413);
    assert_eq!(client.ask(get).await.status(), 200);
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn trailers_stay_trailers() {
    // HT05
    let upstream = Upstream::new(|mut peer| async move {
        let head = peer.head().await.unwrap();
        assert_eq!(head.get("te"), Some("trailers"));
        let (body, trailers) = peer.chunks().await;
        let text = format!("{}|{trailers:?}", String::from_utf8_lossy(&body));
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie\r\n\r\n";
        peer.send(format!("{answer}{:x}\r\n{text}\r\n0\r\nX-Sum: 2\r\nSet-Cookie: a=b\r\n\r\n", text.len())).await;
    })
    .await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    let mut client = Peer::connect(world.plain).await;
    let request = "POST / HTTP/1.1\r\nHost: acme\r\nTE: trailers, deflate\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Authorization\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\nAuthorization: x\r\n\r\n";
    client.send(request).await;
    let head = client.head().await.unwrap();
    assert_eq!(head.get("x-sum"), None);
    let (body, trailers) = client.chunks().await;
    assert_eq!(String::from_utf8(body).unwrap(), "hi|[\"x-sum: 1\"]");
    assert_eq!(trailers, ["x-sum: 2"]);
}

#[tokio::test]
async fn what_concerns_one_hop_ends_there() {
    // HT06
    let (world, _upstream) = acme().await;
    let mut client = Peer::connect(world.plain).await;
    let request = "GET / HTTP/1.1\r\nHost: acme.pbx.example\r\nConnection: keep-alive, X-Mine, X-Forwarded-For\r\n\
        X-Mine: 1\r\nKeep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n\
        TE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX-Kept: 2\r\n\r\n";
    let seen = client.ask(request).await.seen();
    for gone in [
        "connection",
        "x-mine",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "upgrade",
        "http2-settings",
    ] {
        assert_eq!(seen.get(gone), None, "{gone}");
    }
    assert_eq!((seen.get("x-kept"), seen.all("x-forwarded-for")), (Some("2"), vec!["127.0.0.1"]));

    let answer = "HTTP/1.1 200 OK\r\nConnection: close, X-Inner\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nProxy-Connection: x\r\nX-Kept: 2\r\nContent-Length: 2\r\n\r\nok";
    let inner = Upstream::says(answer).await;
    let world = World::new([instance(1, "acme", inner.address)]);
    let mut client = Peer::connect(world.plain).await;
    for _ in 0..2 {
        let answer = client.ask("GET / HTTP/1.1\r\nHost: acme\r\n\r\n").await;
        for gone in ["connection", "x-inner", "keep-alive", "upgrade", "proxy-connection"] {
            assert_eq!(answer.get(gone), None, "{gone}");
        }
        assert_eq!(answer.get("x-kept"), Some("2"));
    }
}

#[tokio::test]
async fn each_side_has_its_own_version_and_we_are_in_via() {
    // HT07
    let old = Upstream::new(|mut peer| async move {
        let (_, raw) = peer.head_and_bytes().await.unwrap();
        peer.send("HTTP/1.0 200 OK\r\nVia: 1.1 inner.private\r\n\r\n").await;
        peer.send(raw).await;
    })
    .await;
    let config = Config { pseudonym: "front-7".into(), ..Config::default() };
    let world = World::with(config, [instance(1, "acme", old.address)], |_| {});
    let mut client = Peer::connect(world.plain).await;
    let answer = client.ask("GET / HTTP/1.1\r\nHost: acme\r\nVia: 1.0 other\r\n\r\n").await;
    let seen = answer.seen();
    assert!(answer.head.start.starts_with("HTTP/1.1 ") && seen.start.ends_with(" HTTP/1.1"));
    assert_eq!(seen.all("via"), ["1.0 other", "1.1 front-7"]);
    assert_eq!(answer.get("via"), None, "R8: hosts behind us are not named");
    let mut client = Peer::connect(world.plain).await;
    let answer = client.ask("GET / HTTP/1.0\r\nHost: acme\r\n\r\n").await;
    let seen = answer.seen();
    assert_eq!((seen.start.as_str(), seen.all("via")), ("GET / HTTP/1.1", vec!["1.0 front-7"]));
    client.ended().await;
    let mut client = Peer::connect(world.plain).await;
    let answer = client.ask("GET / HTTP/1.1\r\nHost: acme\r\nVia: 1.1 x, 1.1 front-7\r\n\r\n").await;
    assert_eq!(answer.status(), 508);
}

#[tokio::test]
async fn what_we_do_not_know_passes_untouched() {
    // HT08
    let (world, _upstream) = acme().await;
    let mut client = Peer::connect(world.plain).await;
    let target = "/a//b/../%2e%2E/c%20d;x=1/?q=%41&r=a+b&&=%00?";
    let request = format!(
        "PROPFIND {target} HTTP/1.1\r\nHost: {ACME}\r\nX-Unknown: 1\r\nAccept: b\r\nX-Unknown: 2\r\nAccept: a\r\n\
         Authorization: Digest username=\"a,b\", realm=\"x\"\r\nX-Latin: \u{e9}\r\nX-Unknown: 3\r\nDate: yesterday\r\n\r\n"
    );
    let seen = client.ask(request).await.seen();
    assert_eq!(seen.start, format!("PROPFIND {target} HTTP/1.1"));
    assert_eq!((seen.all("x-unknown"), seen.all("accept")), (vec!["1", "2", "3"], vec!["b", "a"]));
    assert_eq!(seen.get("authorization"), Some("Digest username=\"a,b\", realm=\"x\""));
    assert_eq!((seen.get("x-latin"), seen.get("date")), (Some("\u{e9}"), Some("yesterday")));

    let answer = "HTTP/1.1 471 Odd But Ours\r\nWWW-Authenticate: Digest a\r\nX: 1\r\nWWW-Authenticate: Basic\r\nDate: long ago\r\nServer: pbx\r\nETag: \"x\"\r\nContent-Length: 0\r\n\r\n";
    let odd = Upstream::says(answer).await;
    let world = World::new([instance(1, "acme", odd.address)]);
    let answer = Peer::connect(world.plain).await.ask("GET / HTTP/1.1\r\nHost: acme\r\n\r\n").await;
    assert_eq!(answer.head.start, "HTTP/1.1 471 Odd But Ours");
    assert_eq!(answer.head.all("www-authenticate"), ["Digest a", "Basic"]);
    assert_eq!(
        (answer.head.all("date"), answer.get("server"), answer.get("etag")),
        (vec!["long ago"], Some("pbx"), Some("\"x\""))
    );
}

#[tokio::test]
async fn answers_without_a_body_keep_their_length() {
    // HT08
    let (world, upstream) = acme().await;
    let mut client = Peer::connect(world.plain).await;
    for _ in 0..2 {
        client.send(format!("HEAD /x HTTP/1.1\r\nHost: {ACME}\r\n\r\n")).await;
        let answer = client.answer_to("HEAD").await;
        assert!(answer.status() == 200 && answer.get("content-length").unwrap().parse::<u32>().unwrap() > 50);
    }
    assert_eq!(upstream.connections(), 1, "the connection to the instance is kept");
    for status in ["204 No Content", "304 Not Modified"] {
        let bare = Upstream::says(format!("HTTP/1.1 {status}\r\nETag: \"x\"\r\n\r\n")).await;
        let world = World::new([instance(1, "acme", bare.address)]);
        let mut client = Peer::connect(world.plain).await;
        for _ in 0..2 {
            let answer = client.ask("GET / HTTP/1.1\r\nHost: acme\r\n\r\n").await;
            assert_eq!((answer.get("etag"), answer.get("transfer-encoding")), (Some("\"x\""), None));
        }
        assert_eq!(bare.connections(), 1);
    }
}

#[tokio::test]
async fn only_what_can_do_no_harm_is_sent_twice() {
    // HT09
    // Answers once, then closes the connection as soon as the next request arrives on it.
    let fickle = Upstream::new(|mut peer| async move {
        let head = peer.head().await.unwrap();
        peer.body(&head).await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        peer.head().await;
    })
    .await;
    let world = World::new([instance(1, "acme", fickle.address)]);
    let mut client = Peer::connect(world.plain).await;
    let get = "GET / HTTP/1.1\r\nHost: acme\r\n\r\n";
    assert_eq!(client.ask(get).await.status(), 200);
    assert_eq!(client.ask(get).await.status(), 200, "sent again over a new connection");
    assert_eq!((fickle.connections(), world.stats.retries.read()), (2, 1));
    let post = "POST / HTTP/1.1\r\nHost: acme\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(client.ask(post).await.status(), 502, "never sent again");
    assert_eq!((fickle.connections(), world.stats.retries.read()), (2, 1));
    assert_eq!(client.ask(post).await.status(), 200);

    // One that closes every connection at the first request: once is once.
    let deaf = Upstream::new(|mut peer| async move {
        peer.head().await;
    })
    .await;
    let world = World::new([instance(1, "acme", deaf.address)]);
    let mut client = Peer::connect(world.plain).await;
    assert_eq!(client.ask(get).await.status(), 502);
    assert_eq!((deaf.connections(), world.stats.retries.read()), (1, 0), "a new connection is no stale one");
}

#[tokio::test]
async fn a_kept_connection_that_closed_is_not_used() {
    // HT09
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let once = Upstream::new(move |mut peer| {
        let told = told.clone();
        async move {
            let head = peer.head().await.unwrap();
            peer.body(&head).await;
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            drop(peer);
            told.send(()).unwrap();
        }
    })
    .await;
    let world = World::new([instance(1, "acme", once.address)]);
    let mut client = Peer::connect(world.plain).await;
    for round in 1..=3 {
        let answer = client.ask("POST / HTTP/1.1\r\nHost: acme\r\nContent-Length: 2\r\n\r\nhi").await;
        assert_eq!(answer.status(), 200, "round {round}");
        heard.recv().await.unwrap();
    }
    assert_eq!(once.connections(), 3);
}

#[tokio::test]
async fn an_expectation_goes_to_the_instance() {
    // HT10
    let careful = Upstream::new(|mut peer| async move {
        while let Some(head) = peer.head().await {
            assert_eq!(head.get("expect"), Some("100-continue"));
            if head.start.starts_with("POST /no ") {
                peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 1000000\r\n\r\n").await;
                for _ in 0..1_000 {
                    peer.send([b'n'; 1_000]).await;
                }
                peer.ended().await;
                return;
            }
            peer.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            let body = peer.body(&head).await;
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())).await;
            peer.send(body).await;
        }
    })
    .await;
    let config = Config { expect: Duration::from_secs(3600), ..Config::default() };
    let world = World::with(config, [instance(1, "acme", careful.address)], |_| {});
    let head =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: acme\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let mut client = Peer::connect(world.plain).await;
    client.send(head("/yes")).await;
    assert_eq!(client.head().await.unwrap().status(), 100);
    let answer = client.ask("hello").await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));

    let mut client = Peer::connect(world.plain).await;
    let answer = client.ask(head("/no")).await;
    assert_eq!((answer.status(), answer.body.len()), (403, 1_000_000), "whole, and no 100 before it");
    client.ended().await;
}

#[tokio::test]
async fn an_instance_that_knows_no_100_gets_the_body_all_the_same() {
    // HT10
    let (world, _upstream) = {
        let upstream = Upstream::echo().await;
        let config = Config { expect: Duration::from_millis(20), ..Config::default() };
        (World::with(config, [instance(1, "acme", upstream.address)], |_| {}), upstream)
    };
    let mut client = Peer::connect(world.plain).await;
    client.send("PUT / HTTP/1.1\r\nHost: acme\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), 100);
    assert!(client.ask("hello").await.text().ends_with("\r\n\r\nhello"));
    // In HTTP/1.0 there is no 100 and no upgrade.
    let mut client = Peer::connect(world.plain).await;
    let request = "POST / HTTP/1.0\r\nHost: acme\r\nExpect: 100-continue\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi";
    let seen = client.ask(request).await.seen();
    assert_eq!((seen.get("expect"), seen.get("upgrade"), seen.get("connection")), (None, None, None));
}

#[tokio::test]
async fn sizes_have_answers_of_their_own() {
    // HT12
    let upstream = Upstream::echo().await;
    let config = Config { target_bytes: 1000, field_bytes: 2000, ..Config::default() };
    let mut small = instance(1, "acme", upstream.address);
    small.limits.http_body_bytes = 1000;
    let world = World::with(config, [small], |_| {});
    let get = |target: usize, field: usize| {
        format!("GET /{} HTTP/1.1\r\nHost: acme\r\nX: {}\r\n\r\n", "a".repeat(target - 1), "b".repeat(field))
    };
    let mut client = Peer::connect(world.plain).await;
    assert_eq!(client.ask(get(1000, 1)).await.status(), 200);
    let overhead = "Host: acme\r\nX: \r\n\r\n".len();
    assert_eq!(client.ask(get(1, 2000 - overhead)).await.status(), 200);
    refused(&world, &upstream, 414, &[&get(1001, 1), &get(5000, 1)]).await;
    refused(&world, &upstream, 431, &[&get(1, 2001 - overhead), &get(1, 9000)]).await;
    // A target without end, and fields without end.
    refused(&world, &upstream, 414, &[&format!("GET /{}", "a".repeat(100_000))]).await;
    refused(&world, &upstream, 431, &[&format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(100_000))]).await;
    let many = format!("GET / HTTP/1.1\r\nHost: acme\r\n{}\r\n", "X: y\r\n".repeat(150));
    refused(&world, &upstream, 431, &[&many]).await;
    assert_eq!((world.refused(HttpRefusal::TargetTooLong), world.refused(HttpRefusal::FieldsTooLarge)), (3, 4));

    let post = |length: usize| {
        format!("POST / HTTP/1.1\r\nHost: acme\r\nContent-Length: {length}\r\n\r\n{}", "c".repeat(length))
    };
    assert_eq!(client.ask(post(1000)).await.status(), 200);
    refused(&world, &upstream, 413, &[&post(1001)]).await;
    // Of unknown length: passed on as far as it is allowed, then cut.
    let chunk = format!("3e8\r\n{}\r\n", "d".repeat(1000));
    let head = "POST / HTTP/1.1\r\nHost: acme\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(client.ask(format!("{head}{chunk}0\r\n\r\n")).await.status(), 200);
    let mut client = Peer::connect(world.plain).await;
    assert_eq!(client.ask(format!("{head}{chunk}1\r\nx\r\n0\r\n\r\n")).await.status(), 413);
    client.ended().await;
}

#[tokio::test]
async fn who_is_slow_is_told_so() {
    // HT12
    let upstream = Upstream::echo().await;
    let soon = Duration::from_millis(300);
    let config = Config { head: soon, idle: soon, body: soon, ..Config::default() };
    let world = World::with(config, [instance(1, "acme", upstream.address)], |_| {});
    for part in ["GET", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: acme\r\nX: y"] {
        let mut client = Peer::connect(world.plain).await;
        assert_eq!(client.ask(part).await.status(), 408, "{part:?}");
        client.ended().await;
    }
    let mut client = Peer::connect(world.plain).await;
    client.ended().await;
    assert_eq!(world.refused(HttpRefusal::RequestTimeout), 3, "who asked nothing is not told anything");
    let mut client = Peer::connect(world.plain).await;
    assert_eq!(client.ask("POST / HTTP/1.1\r\nHost: acme\r\nContent-Length: 9\r\n\r\nhi").await.status(), 408);
    client.ended().await;
    let mut client = Peer::connect(world.plain).await;
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: acme\r\n\r\n").await.status(), 200);
    client.ended().await;
}

#[tokio::test]
async fn a_silent_instance_is_504_and_a_closed_one_502() {
    // HT12
    let silent = Upstream::new(|mut peer| async move {
        peer.head().await;
        peer.ended().await;
    })
    .await;
    // Bound, so that nobody else gets the port meanwhile, and deaf.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed_at = closed.local_addr().unwrap();
    let config = Config { answer: Duration::from_millis(60), ..Config::default() };
    let world = World::with(config, [instance(1, "silent", silent.address), instance(2, "closed", closed_at)], |_| {});
    let mut client = Peer::connect(world.plain).await;
    let answer = client.ask("GET / HTTP/1.1\r\nHost: silent\r\nAccept: application/json\r\n\r\n").await;
    assert_eq!((answer.status(), answer.get("content-type")), (504, Some("application/problem+json")));
    let answer = client.ask("GET / HTTP/1.1\r\nHost: closed\r\n\r\n").await;
    assert_eq!((answer.status(), answer.get("content-type")), (502, Some("text/html; charset=utf-8")));
    assert!(!answer.text().contains("127.0.0.1"), "R8");
    assert_eq!((world.refused(HttpRefusal::InstanceTimeout), world.refused(HttpRefusal::Unreachable)), (1, 1));
    assert_eq!(world.instance_stats(1).http_active.read(), 0);
}

#[tokio::test]
async fn no_second_answer_hides_in_an_answer() {
    // HT17
    for (answer, status) in [
        ("HTTP/1.1 200 OK\r\nX: a\r\n Set-Cookie: evil=1\r\nContent-Length: 2\r\n\r\nok", 502),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 502),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\nok", 502),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", 502),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 502),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502),
        ("HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok", 502),
        ("HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok", 502),
        ("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 502),
        ("HTTP/9.9 200 OK\r\n\r\n", 502),
        ("nonsense\r\n\r\n", 502),
        // What comes after the end of an answer is no answer to anybody.
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 200),
    ] {
        let upstream = Upstream::says(answer).await;
        let world = World::new([instance(1, "acme", upstream.address)]);
        let mut client = Peer::connect(world.plain).await;
        for round in 0..2 {
            let seen = client.ask("GET / HTTP/1.1\r\nHost: acme\r\n\r\n").await;
            assert_eq!(seen.status(), status, "{answer:?}, round {round}");
            assert!(!seen.text().contains("evil") && seen.get("set-cookie").is_none(), "{answer:?}");
        }
    }
}
