//! SIP over WebSocket on the workers' own listeners: the upgrade and its bounds, messages, and how connections end.

use super::*;
use crate::net::stream::StreamLimits;
use crate::route::testing;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

const WS: ListenerId = ListenerId { proxy: ProxyId(1), number: 3 };

type Browser = WebSocketStream<TcpStream>;

async fn stage(limits: Limits) -> Stage {
    let mut front = testing::proxy(1, "front");
    front.origins = vec!["https://App.example".into()];
    let mut acme = testing::instance(1, "acme");
    acme.origins = vec!["https://other.example".into()];
    let snapshot = testing::compiled(&testing::table([acme], [front]));
    let mut stage = Stage::open_at(1, limits, snapshot).await;
    let troubles = stage.listen(&[any(WS, Transport::Ws)]).await;
    assert!(troubles.is_empty(), "{troubles:?}");
    stage
}

impl Stage {
    async fn ws(&self) -> TcpStream {
        TcpStream::connect(self.address(WS)).await.unwrap()
    }

    async fn upgrade(&self, host: &str, more: &[(&'static str, &str)]) -> Result<Browser, tungstenite::Error> {
        let mut request = format!("ws://{host}/any/path?x").into_client_request().unwrap();
        for (name, value) in more {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        client_async(request, self.ws().await).await.map(|(browser, answer)| {
            assert_eq!(answer.headers()["sec-websocket-protocol"], "sip");
            browser
        })
    }

    async fn browser(&self) -> Browser {
        self.upgrade("front.pbx.example", &[("sec-websocket-protocol", "sip")]).await.unwrap()
    }
}

async fn hear(browser: &mut Browser) -> Message {
    tokio::time::timeout(PATIENCE, browser.next()).await.unwrap().unwrap().unwrap()
}

async fn closed(browser: &mut Browser) -> u16 {
    loop {
        if let Message::Close(close) = hear(browser).await {
            return close.map_or(0, |close| close.code.into());
        }
    }
}

/// A client's whole frame, masked with zeros.
fn frame(first: u8, length: &[u8]) -> Vec<u8> {
    [&[first], length, &[0; 4]].concat()
}

#[tokio::test]
async fn messages_pass_as_they_are_and_keep_alives_are_answered() {
    // W01 W02 W05 W06 W08
    let mut stage = stage(Limits::default()).await;
    let mut browser = stage
        .upgrade(
            "Front.pbx.example",
            &[
                ("sec-websocket-protocol", "xmpp, sip"),
                ("origin", "https://APP.example"),
                ("cookie", "session=1"),
                ("authorization", "Basic eDp5"),
            ],
        )
        .await
        .unwrap();
    let opened = |seen| if let Seen::Opened(flow, greeting) = seen { Some((flow, greeting)) } else { None };
    let (flow, greeting) = stage.until(opened).await;
    assert_eq!((flow.transport(), flow.listener()), (Transport::Ws, WS));
    assert_eq!(greeting.host.as_deref(), Some("front.pbx.example"));
    assert_eq!(greeting.origin.as_deref(), Some("https://app.example"));
    for said in [Message::text("hello, no length"), Message::binary(&b"hello \xff"[..])] {
        browser.send(said.clone()).await.unwrap();
        assert_eq!(hear(&mut browser).await, said);
        let Seen::Message(_, over, text) = stage.next().await else { panic!("no message") };
        assert_eq!((over, text.starts_with("hello")), (flow, true));
    }
    browser.send(Message::text("\r\n\r\n")).await.unwrap();
    assert_eq!(hear(&mut browser).await, Message::text("\r\n"));
    browser.send(Message::text("\r\n")).await.unwrap();
    browser.send(Message::Ping(b"are you there"[..].into())).await.unwrap();
    assert_eq!(hear(&mut browser).await, Message::Pong(b"are you there"[..].into()));
    browser.close(Some(CloseFrame { code: CloseCode::Normal, reason: "bye".into() })).await.unwrap();
    assert_eq!(closed(&mut browser).await, 1000);
    let Seen::Closed(_, gone) = stage.next().await else { panic!("not closed") };
    assert_eq!(gone, flow);
    assert_eq!(stage.stats.keep_alives.read(), 1);
    stage.front.stop().await;
}

#[tokio::test]
async fn a_message_may_come_in_a_hundred_frames() {
    // W04; PROTOCOLS 3.3.13
    let stage = stage(Limits::default()).await;
    let mut browser = stage.browser().await;
    for n in 0..100 {
        let code = OpCode::Data(if n == 0 { Data::Text } else { Data::Continue });
        browser.send(Message::Frame(Frame::message("x", code, n == 99))).await.unwrap();
        if n == 50 {
            browser.send(Message::Ping(b"between"[..].into())).await.unwrap();
            assert_eq!(hear(&mut browser).await, Message::Pong(b"between"[..].into()));
        }
    }
    assert_eq!(hear(&mut browser).await, Message::text("x".repeat(100)));
}

#[tokio::test]
async fn who_breaks_the_rules_is_told_which_and_counted() {
    // W02 W04 W10; PROTOCOLS 3.3.13
    let stage = stage(Limits::default()).await;
    let bad_text = [frame(0x81, &[0x82]), vec![0xc3, 0x28]].concat();
    let large = frame(0x82, &[0xff, 0, 0, 0, 0, 1, 0, 0, 0]);
    let bomb = [frame(0xc1, &[0x81]), vec![0]].concat();
    for (bytes, code) in [
        (vec![0x81, 1, b'x'], 1002),
        (bomb, 1002),
        (frame(0x83, &[0x80]), 1002),
        (frame(0x88, &[0x80]), 0),
        (bad_text, 1007),
        (large, 1009),
    ] {
        let browser = stage.browser().await;
        let mut raw = browser.into_inner();
        raw.write_all(&bytes).await.unwrap();
        // What is still under way does not hide the reason.
        let _ = raw.write_all(&[0x55; 100_000]).await;
        let mut heard = Vec::new();
        tokio::time::timeout(PATIENCE, raw.read_to_end(&mut heard)).await.unwrap().unwrap();
        let expected = if code == 0 { vec![0x88, 0] } else { [&[0x88, 2][..], &u16::to_be_bytes(code)].concat() };
        assert_eq!(heard, expected, "{code}");
    }
    stage.lost(Loss::WebSocket, 5).await;
}

#[tokio::test]
async fn no_websocket_is_opened_for_anything_but_sip() {
    // W01 W07; PROTOCOLS 3.3.13
    let stage = stage(Limits::default()).await;
    let (sip, acme) = (("sec-websocket-protocol", "sip"), "acme.pbx.example");
    for (host, more, status) in [
        ("front.pbx.example", vec![], 400),
        ("front.pbx.example", vec![("sec-websocket-protocol", "xmpp")], 400),
        ("front.pbx.example", vec![sip, ("origin", "https://evil.example")], 403),
        ("front.pbx.example", vec![sip, ("origin", "null")], 403),
        // Its own list and the proxy's both hold.
        (acme, vec![sip, ("origin", "https://app.example")], 403),
        (acme, vec![sip, ("origin", "https://other.example")], 403),
        ("front.pbx.example", vec![sip, ("sec-websocket-version", "8")], 426),
    ] {
        match stage.upgrade(host, &more).await {
            Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status().as_u16(), status, "{host} {more:?}"),
            other => panic!("{host} {more:?}: {other:?}"),
        }
    }
    assert!(stage.upgrade(acme, &[sip]).await.is_ok(), "no browser");
    let mut raw = stage.ws().await;
    raw.write_all(framed("OPTIONS sip:x SIP/2.0").as_bytes()).await.unwrap();
    assert!(read(&mut raw).await.starts_with("HTTP/1.1 400 "));
    stage.lost(Loss::Upgrade, 8).await;
}

#[tokio::test]
async fn frames_may_follow_the_request_at_once() {
    // HT13
    let stage = stage(Limits::default()).await;
    let mut raw = stage.ws().await;
    let request = "GET / HTTP/1.1\r\nHost: front.pbx.example\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n";
    let all = [request.as_bytes(), &frame(0x81, &[0x82]), b"hi"].concat();
    for part in all.chunks(7) {
        raw.write_all(part).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut heard = String::new();
    while !heard.ends_with("\x02hi") {
        let mut bytes = [0; 1024];
        let n = tokio::time::timeout(PATIENCE, raw.read(&mut bytes)).await.unwrap().unwrap();
        heard += &String::from_utf8_lossy(&bytes[..n]);
    }
    assert!(heard.starts_with("HTTP/1.1 101 "), "{heard}");
}

#[tokio::test]
async fn a_slow_upgrade_and_a_slow_message_end() {
    // DESIGN 10: neither an upgrade nor a message may take for ever.
    let brief = StreamLimits { handshake: 50, partial: 50, ..Limits::default().stream };
    let stage = stage(Limits { stream: brief, ..Limits::default() }).await;
    let mut slow = stage.ws().await;
    slow.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
    assert_eq!(read(&mut slow).await, "");
    stage.lost(Loss::HandshakeSlow, 1).await;
    let mut browser = stage.browser().await;
    browser.send(Message::Frame(Frame::message("x", OpCode::Data(Data::Text), false))).await.unwrap();
    while let Some(Ok(_)) = tokio::time::timeout(PATIENCE, browser.next()).await.unwrap() {}
    stage.lost(Loss::Partial, 1).await;
}

#[tokio::test]
async fn a_listener_that_goes_says_so() {
    // W04 R78
    let mut stage = stage(Limits::default()).await;
    let mut browser = stage.browser().await;
    let troubles = stage.listen(&[]).await;
    assert!(troubles.is_empty());
    assert_eq!(closed(&mut browser).await, 1001);
    assert!(
        TcpStream::connect(stage.front.bound().first().map_or("127.0.0.1:1".parse().unwrap(), |b| b.address))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_flood_of_pings_ends_where_nobody_reads_the_answers() {
    // PROTOCOLS 3.3.13
    let small = StreamLimits { outbox: 64 * 1024, ..Limits::default().stream };
    let stage = stage(Limits { stream: small, ..Limits::default() }).await;
    let mut raw = stage.browser().await.into_inner();
    let mut pings = Vec::new();
    while pings.len() < 1 << 16 {
        pings.extend([frame(0x89, &[0x80 | 125]), vec![b'p'; 125]].concat());
    }
    let flood = async { while raw.write_all(&pings).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, flood).await.unwrap();
    stage.lost(Loss::Stalled, 1).await;
    let mut other = stage.browser().await;
    other.send(Message::text("still there")).await.unwrap();
    assert_eq!(hear(&mut other).await, Message::text("still there"));
}
