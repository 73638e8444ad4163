//! The cases of the Autobahn test suite, by its numbers, against our WebSocket listener and through the tunnel to an
//! instance. The suite itself (0.8.2, its last release) is written in Python 2 and does not run on what Debian has, so the
//! cases are written out. Left out: empty messages (1.1.1, 6.1.1), which are keep-alives here, and those of performance (9.*)
//! and compression (12.*, 13.*), of which only is asked that a large message is refused and no compression agreed on.

use super::peer::{Peer, Upstream};
use super::world::{World, instance};
use nantucket::clock::{Clock, Now, Tick};
use nantucket::driver::listeners::Wanted;
use nantucket::driver::options::{InsideOptions, Options};
use nantucket::driver::{Front, Machine};
use nantucket::engine::contract::{Dest, Input, Output, Verdict};
use nantucket::ids::{Flow, ListenerId, ProxyId, Transport};
use nantucket::model::{Proxy, Table};
use nantucket::net::codec::{Codec, Framing, Said};
use nantucket::net::counters::NetStats;
use nantucket::net::ws::frame::unmask;
use nantucket::route::cell::Cell;
use nantucket::route::handles::Handles;
use nantucket::route::resolved::Resolved;
use nantucket::route::snapshot::Snapshot;
use nantucket::sip::limits::Limits;
use nantucket::tls::client::Clients;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BOUND: Limits = Limits { message: 1 << 17, head: 1 << 17, ..Limits::DEFAULT };
const OPEN: &str = "GET /ws HTTP/1.1\r\nHost: acme.pbx.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

/// One case: what is sent, in pieces of how many bytes, and the frames that come back: first byte and payload.
struct Case {
    id: String,
    sent: Vec<u8>,
    step: usize,
    back: Vec<(u8, Vec<u8>)>,
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        long @ 126..65_536 => bytes.extend([&[0x80 | 126][..], &(long as u16).to_be_bytes()].concat()),
        longer => bytes.extend([&[0x80 | 127][..], &(longer as u64).to_be_bytes()].concat()),
    }
    let mask = [1, 2, 3, 4];
    bytes.extend(mask);
    let start = bytes.len();
    bytes.extend(payload);
    unmask(&mut bytes[start..], mask, 0);
    bytes
}

fn close(code: u16) -> Vec<u8> {
    code.to_be_bytes().to_vec()
}

struct Cases(Vec<Case>);

impl Cases {
    /// What is answered; then we close, and so does it.
    fn goes_on(&mut self, id: impl Into<String>, step: usize, sent: Vec<u8>, mut back: Vec<(u8, Vec<u8>)>) {
        back.push((0x88, close(1000)));
        let sent = [sent, frame(0x88, &close(1000))].concat();
        self.0.push(Case { id: id.into(), sent, step, back });
    }

    /// What is answered before it is closed with a code.
    fn ends(&mut self, id: impl Into<String>, step: usize, sent: Vec<u8>, back: &[(u8, &[u8])], code: u16) {
        let mut back: Vec<_> = back.iter().map(|(first, payload)| (*first, payload.to_vec())).collect();
        back.push((0x88, close(code)));
        self.0.push(Case { id: id.into(), sent, step, back });
    }
}

const WHOLE: usize = usize::MAX;

fn cases() -> Vec<Case> {
    let mut all = Cases(Vec::new());
    for (n, (length, step)) in
        [(125, WHOLE), (126, WHOLE), (127, WHOLE), (128, WHOLE), (65_535, WHOLE), (65_536, WHOLE), (65_536, 997)]
            .into_iter()
            .enumerate()
    {
        let (text, bytes) = (vec![b'*'; length], vec![0xfe; length]);
        all.goes_on(format!("1.1.{}", n + 2), step, frame(0x81, &text), vec![(0x81, text)]);
        all.goes_on(format!("1.2.{}", n + 2), step, frame(0x82, &bytes), vec![(0x82, bytes)]);
    }
    let odd = [0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff];
    for (id, step, payload) in [
        ("2.1", WHOLE, &b""[..]),
        ("2.2", WHOLE, b"Hello, world!"),
        ("2.3", WHOLE, &odd),
        ("2.4", WHOLE, &[0xfe; 125]),
        ("2.6", 1, &[0xfe; 125]),
    ] {
        all.goes_on(id, step, frame(0x89, payload), vec![(0x8a, payload.to_vec())]);
    }
    all.ends("2.5", WHOLE, frame(0x89, &[0xfe; 126]), &[], 1002);
    all.goes_on("2.7", WHOLE, frame(0x8a, b""), vec![]);
    all.goes_on("2.8", WHOLE, frame(0x8a, b"unsolicited"), vec![]);
    let mixed = [frame(0x8a, b"unsolicited"), frame(0x89, b"ping")].concat();
    all.goes_on("2.9", WHOLE, mixed, vec![(0x8a, b"ping".to_vec())]);
    let pings: Vec<Vec<u8>> = (0..10).map(|n| format!("payload-{n}").into_bytes()).collect();
    for (id, step) in [("2.10", WHOLE), ("2.11", 1)] {
        let sent = pings.iter().flat_map(|ping| frame(0x89, ping)).collect();
        all.goes_on(id, step, sent, pings.iter().map(|ping| (0x8a, ping.clone())).collect());
    }
    let hello = || frame(0x81, b"Hello");
    let heard = (0x81, &b"Hello"[..]);
    for (id, first, before, step) in [
        ("3.1", 0x91, false, WHOLE),
        ("3.2", 0xa1, true, WHOLE),
        ("3.3", 0xb1, true, WHOLE),
        ("3.4", 0xc1, true, 1),
        ("3.5", 0xd2, false, WHOLE),
        ("3.6", 0xe9, false, WHOLE),
        ("3.7", 0xf8, false, WHOLE),
    ] {
        let sent = [if before { hello() } else { Vec::new() }, frame(first, b"Hello")].concat();
        let back = [heard];
        all.ends(id, step, sent, if before { &back } else { &[] }, 1002);
    }
    for (n, opcode) in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].into_iter().enumerate() {
        let id = format!("4.{}.{}", 1 + n / 5, 1 + n % 5);
        all.ends(id.as_str(), WHOLE, frame(0x80 | opcode, b""), &[], 1002);
        let after = [hello(), frame(0x80 | opcode, b"x"), frame(0x89, b"")].concat();
        all.ends(id, 1, after, &[heard], 1002);
    }
    fragments(&mut all);
    texts(&mut all);
    closes(&mut all);
    all.ends("9.1", 65_536, frame(0x81, &vec![b'*'; 1 << 20])[..70_000].to_vec(), &[], 1009);
    let auto: Vec<u8> = vec![b'*'; 65_536];
    let last = auto.chunks(1300).count() - 1;
    let first = |n| u8::from(n == 0) | if n == last { 0x80 } else { 0 };
    let sent = auto.chunks(1300).enumerate().flat_map(|(n, piece)| frame(first(n), piece)).collect();
    all.goes_on("10.1.1", WHOLE, sent, vec![(0x81, auto)]);
    all.0
}

fn fragments(all: &mut Cases) {
    all.ends("5.1", WHOLE, [frame(0x09, b"one"), frame(0x80, b"two")].concat(), &[], 1002);
    all.ends("5.2", WHOLE, [frame(0x0a, b"one"), frame(0x80, b"two")].concat(), &[], 1002);
    let both = || vec![(0x81, b"fragment1fragment2".to_vec())];
    let (one, two) = (|| frame(0x01, b"fragment1"), || frame(0x80, b"fragment2"));
    for (id, step) in [("5.3", WHOLE), ("5.4", 9), ("5.5", 1)] {
        all.goes_on(id, step, [one(), two()].concat(), both());
    }
    let pong = || vec![(0x8a, b"ping".to_vec())];
    for (id, step) in [("5.6", WHOLE), ("5.7", 9), ("5.8", 1)] {
        all.goes_on(id, step, [one(), frame(0x89, b"ping"), two()].concat(), [pong(), both()].concat());
    }
    for (id, first, step) in
        [("5.9", 0x80, WHOLE), ("5.10", 0x80, 9), ("5.11", 0x80, 1), ("5.12", 0x00, WHOLE), ("5.14", 0x00, 1)]
    {
        let sent = [frame(first, b"no start"), frame(0x81, b"Hello")].concat();
        all.ends(id, step, sent, &[], 1002);
    }
    let stray = [one(), two(), frame(0x00, b"fragment3"), frame(0x81, b"fragment4")].concat();
    all.ends("5.15", WHOLE, stray, &[(0x81, b"fragment1fragment2")], 1002);
    all.ends("5.16", WHOLE, [frame(0x00, b"1"), frame(0x01, b"2"), frame(0x80, b"3")].concat(), &[], 1002);
    all.ends("5.17", WHOLE, [frame(0x80, b"1"), frame(0x01, b"2"), frame(0x80, b"3")].concat(), &[], 1002);
    all.ends("5.18", WHOLE, [one(), frame(0x81, b"fragment2")].concat(), &[], 1002);
    for (id, step) in [("5.19", WHOLE), ("5.20", 1)] {
        let (a, b) = (frame(0x00, b"2"), frame(0x00, b"4"));
        let sent =
            [frame(0x01, b"1"), a, frame(0x89, b"ping"), frame(0x00, b"3"), b, frame(0x89, b"ping"), frame(0x80, b"5")];
        all.goes_on(id, step, sent.concat(), [pong(), pong(), vec![(0x81, b"12345".to_vec())]].concat());
    }
}

fn texts(all: &mut Cases) {
    let hello = "Hello-µ@ßöäüàá-UTF-8!!";
    for (id, step) in [("6.2.1", WHOLE), ("6.2.4", 1)] {
        all.goes_on(id, step, frame(0x81, hello.as_bytes()), vec![(0x81, hello.into())]);
    }
    for (id, size) in [("6.2.2", 12), ("6.2.3", 1)] {
        let pieces: Vec<&[u8]> = hello.as_bytes().chunks(size).collect();
        let last = pieces.len() - 1;
        let first = |n| u8::from(n == 0) | if n == last { 0x80 } else { 0 };
        let sent = pieces.iter().enumerate().flat_map(|(n, piece)| frame(first(n), piece)).collect();
        all.goes_on(id, WHOLE, sent, vec![(0x81, hello.into())]);
    }
    let bad = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";
    all.ends("6.3.1", WHOLE, frame(0x81, bad), &[], 1007);
    let octets = bad.iter().enumerate().flat_map(|(n, b)| frame(u8::from(n == 0), &[*b])).collect();
    all.ends("6.3.2", WHOLE, octets, &[], 1007);
    // Before the message ends: in the next frame, and in the middle of one.
    let begun = [frame(0x01, b"\xce\xba\xe1\xbd\xb9"), frame(0x00, b"\xf4\x90\x80\x80")].concat();
    all.ends("6.4.1", WHOLE, begun, &[], 1007);
    let long = frame(0x81, b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80 and much more");
    all.ends("6.4.3", 1, long[..long.len() - 10].to_vec(), &[], 1007);
    for (n, good) in [
        "\u{3ba}",
        "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}",
        "\u{7f}",
        "\u{80}",
        "\u{7ff}",
        "\u{800}",
        "\u{ffff}",
        "\u{10000}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{fffd}",
        "\u{fffe}",
        "\u{10ffff}",
    ]
    .into_iter()
    .enumerate()
    {
        all.goes_on(format!("6.5-6.23 good {n}"), 1, frame(0x81, good.as_bytes()), vec![(0x81, good.into())]);
    }
    for bad in [
        &b"\xce"[..],
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xf7\xbf\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\x80",
        b"\xbf\x80",
        b"\xc0 \xc1 ",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xc1\xbf",
        b"\xed\xa0\x80",
        b"\xed\xaf\xbf",
        b"\xed\xb0\x80",
        b"\xed\xa0\x80\xed\xb0\x80",
    ] {
        all.ends(format!("6.6-6.21 bad {bad:x?}"), WHOLE, frame(0x81, bad), &[], 1007);
    }
}

fn closes(all: &mut Cases) {
    let end = || frame(0x88, &close(1000));
    let heard = (0x81, &b"Hello"[..]);
    all.ends("7.1.1", WHOLE, [frame(0x81, b"Hello"), end()].concat(), &[heard], 1000);
    all.ends("7.1.2", WHOLE, [end(), end()].concat(), &[], 1000);
    all.ends("7.1.3", WHOLE, [end(), frame(0x89, b"")].concat(), &[], 1000);
    all.ends("7.1.4", WHOLE, [end(), frame(0x81, b"Hello")].concat(), &[], 1000);
    all.ends("7.1.5", WHOLE, [frame(0x01, b"fragment1"), end(), frame(0x80, b"fragment2")].concat(), &[], 1000);
    let silent = Case { id: "7.3.1".into(), sent: frame(0x88, b""), step: WHOLE, back: vec![(0x88, Vec::new())] };
    all.0.push(silent);
    all.ends("7.3.2", WHOLE, frame(0x88, b"a"), &[], 1002);
    all.ends("7.3.4", WHOLE, frame(0x88, &[&close(1000)[..], b"Hello World!"].concat()), &[], 1000);
    all.ends("7.3.5", 1, frame(0x88, &[&close(1000)[..], &[b'*'; 123]].concat()), &[], 1000);
    all.ends("7.3.6", WHOLE, frame(0x88, &[&close(1000)[..], &[b'*'; 124]].concat()), &[], 1002);
    all.ends("7.5.1", WHOLE, frame(0x88, &[&close(1000)[..], b"\xce\xba\xed\xa0\x80"].concat()), &[], 1007);
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        all.ends(format!("7.7 {code}"), WHOLE, frame(0x88, &close(code)), &[], code);
    }
    for code in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535] {
        all.ends(format!("7.9, 7.13 {code}"), WHOLE, frame(0x88, &close(code)), &[], 1002);
    }
}

/// The frames of a server.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        let (length, rest) = match length {
            126 => (u16::from_be_bytes([rest[0], rest[1]]) as usize, &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            short => (usize::from(*short), rest),
        };
        found.push((*first, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    found
}

async fn conforms(address: SocketAddr) {
    for Case { id, sent, step, back } in cases() {
        let mut client = Peer::connect(address).await;
        client.send(OPEN).await;
        let head = client.head().await.unwrap();
        assert_eq!((head.status(), head.get("sec-websocket-protocol")), (101, Some("sip")), "{id}: {head:?}");
        assert_eq!(head.get("sec-websocket-extensions"), None, "12.*, 13.*");
        for piece in sent.chunks(step.min(sent.len())) {
            // It may have closed by now.
            let _ = client.stream.write_all(piece).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(frames(&client.rest().await), back, "case {id}");
    }
}

/// Sends every message back.
struct Echo(VecDeque<(Flow, Vec<u8>)>, Vec<u8>);

impl Machine for Echo {
    fn handle(&mut self, _: Now, input: Input<'_>, _: &Snapshot) {
        if let Input::Message { flow, bytes } = input {
            self.0.push_back((flow, bytes.to_vec()));
        }
    }

    fn poll_output(&mut self) -> Option<Output<'_>> {
        let (flow, bytes) = self.0.pop_front()?;
        self.1 = bytes;
        Some(Output::Send { to: Dest::Flow(flow), bytes: &self.1, ticket: 0 })
    }

    fn take_verdict(&mut self) -> Option<Verdict> {
        None
    }

    fn poll_timeout(&mut self) -> Option<Tick> {
        None
    }

    fn handle_timeout(&mut self, _: Now, _: &Snapshot) {}
}

#[tokio::test]
async fn the_listener_keeps_to_the_protocol() {
    // W02 W04 W10; PROTOCOLS 3.3.13
    let proxy = Proxy { id: ProxyId(1), ..Proxy::named("front", "front.pbx.example", "pbx.example") };
    let table = Table { revision: 1, proxies: vec![Arc::new(proxy)], ..Table::default() };
    let (snapshot, _) = nantucket::route::compile(&table, &Handles::default(), &Resolved::default(), 0);
    let mut limits = nantucket::driver::options::Limits { message: BOUND, ..Default::default() };
    limits.stream.outbox = 1 << 20;
    let inside = vec![InsideOptions { bind: "127.0.0.1:0".parse().unwrap(), advertise: None }];
    let cell = Arc::new(Cell::new(snapshot));
    let clients = Clients::new(Arc::clone(&cell));
    let options = Options { workers: 1, boot: 7, inside, limits, clients, inside_tls: None, guard: Arc::default() };
    let stats = Arc::new(NetStats::default());
    let build = |_| Echo(VecDeque::new(), Vec::new());
    let mut front = Front::start(&options, &cell, stats, Clock::start(), build).unwrap();
    let listener = ListenerId { proxy: ProxyId(1), number: 1 };
    let bind = "127.0.0.1:0".parse().unwrap();
    let wanted = Wanted { listener, transport: Transport::Ws, bind, shared: false };
    let troubles = front.listen(&[wanted], |_| Err(std::io::ErrorKind::Unsupported.into())).await;
    assert!(troubles.is_empty(), "{troubles:?}");
    conforms(front.bound()[0].address).await;
    front.stop().await;
}

/// An instance that sends every message back.
async fn echoing() -> Upstream {
    Upstream::new(|mut peer| async move {
        let mut codec = Codec::beginning(Transport::Ws, BOUND);
        let (mut begun, mut chunk) = (Vec::new(), [0; 16 * 1024]);
        while let Ok(length @ 1..) = peer.stream.read(&mut chunk).await {
            begun.extend_from_slice(&chunk[..length]);
            let (mut out, mut ends) = (Vec::new(), false);
            let used = codec.read(&mut begun, |said| {
                match said {
                    Said::Asked(asked) => out.extend(asked.accept()),
                    Said::Message(bytes) => {
                        out.extend(Framing::Frames.head(bytes, &mut [0; Framing::HEAD]).iter().chain(bytes));
                    }
                    Said::Answer(bytes) | Said::Ping(bytes) => out.extend(bytes),
                    Said::End(_) => ends = true,
                }
                !ends
            });
            begun.drain(..used);
            if peer.stream.write_all(&out).await.is_err() || ends {
                break;
            }
        }
        let _ = peer.stream.shutdown().await;
        while matches!(peer.stream.read(&mut chunk).await, Ok(1..)) {}
    })
    .await
}

#[tokio::test]
async fn the_tunnel_keeps_to_the_protocol() {
    // W04 W09 HT13
    let upstream = echoing().await;
    let world = World::new([instance(1, "acme", upstream.address)]);
    conforms(world.plain).await;
}
