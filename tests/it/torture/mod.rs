//! The torture messages of RFC 4475, RFC 5118 and PROTOCOLS 3.3 through the running program: what
//! becomes of each is as decided, what is passed on is passed on byte by byte, and an ordinary
//! request works right behind it.

mod client;
mod odd;
mod pbx;

use crate::support::node::Node;
use crate::support::wire::{Over, Wire};
use crate::support::{Net, PATIENCE, licence, until};
use client::{Heard, number, over_stream, over_udp};
use nantucket::sip::limits::Limits;
use nantucket::sip::name::Name;
use nantucket::sip::view::{Index, View};
use pbx::Pbx;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;

/// The instance, and the domains of the messages: its aliases.
const INSTANCE: &str = "torture";
const ALIASES: &[&str] = &[
    "example.com",
    "example.net",
    "example.org",
    "company.com",
    "chair-dnrc.example.com",
    "services.example.com",
    "registrar.example.com",
    "host.example.net",
];

/// Ports of the node besides 5060.
const TLS: u16 = 5061;
const WS: u16 = 8080;
const WSS: u16 = 8444;

/// Datagrams, and every kind of stream.
const EVERY: [Option<Over>; 5] = [None, Some(Over::Tcp), Some(Over::Tls), Some(Over::Ws), Some(Over::Wss)];

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The PBX gets it, the client gets the PBX's 200.
    Pass,
    /// The client gets this status, the PBX nothing.
    Refuse(u16),
    /// Nobody gets anything.
    Drop,
}

use Fate::{Drop, Pass, Refuse};

/// What becomes of a stream it comes on. On a WebSocket each message has a frame of its own: its fate is that of a
/// datagram, but what is behind its body makes it unsound (W03).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stream {
    /// As of a datagram, and the stream goes on.
    Same,
    /// Answered 400 and closed: its end cannot be known (V10).
    Lost,
    /// More is waited for, until the time is up (`timers.partial`).
    Waits,
    /// So many requests, and then bytes that are none: closed.
    Garbage(usize),
}

use Stream::{Garbage, Lost, Same, Waits};

/// The corpus and its decisions, with the R-URI's host as it is.
const CASES: &[(&str, Fate, Stream)] = &[
    ("wsinv", Pass, Same),
    ("intmeth", Pass, Same),
    ("esc01", Pass, Same),
    ("escnull", Pass, Same),
    ("esc02", Pass, Same),
    ("lwsdisp", Pass, Same),
    ("longreq", Pass, Same),
    ("dblreq", Pass, Garbage(2)),
    ("semiuri", Pass, Same),
    ("transports", Pass, Same),
    // It has a Route to 127.0.0.1:5080, and this is no open relay (F04).
    ("mpart01", Refuse(403), Same),
    // Responses that answer nothing of ours (T05); see `responses_of_the_corpus` for those that do.
    ("unreason", Drop, Same),
    ("noreason", Drop, Same),
    ("badinv01", Refuse(400), Same),
    ("clerr", Refuse(400), Waits),
    ("ncl", Refuse(400), Lost),
    ("scalar02", Refuse(400), Same),
    ("scalarlg", Drop, Same),
    ("quotbal", Refuse(400), Same),
    ("ltgtruri", Refuse(400), Same),
    ("lwsruri", Refuse(400), Same),
    ("lwsstart", Refuse(400), Same),
    ("trws", Refuse(400), Same),
    ("escruri", Refuse(400), Same),
    ("baddate", Pass, Same),
    ("regbadct", Refuse(400), Same),
    ("badaspec", Refuse(400), Same),
    // The archive has it without its empty line.
    ("baddn", Refuse(400), Waits),
    ("badvers", Refuse(505), Same),
    ("mismatch01", Refuse(400), Same),
    ("mismatch02", Refuse(400), Same),
    ("bigcode", Drop, Same),
    ("badbranch", Pass, Same),
    ("insuf", Refuse(400), Same),
    ("unkscm", Refuse(416), Same),
    ("novelsc", Refuse(416), Same),
    ("unksm2", Pass, Same),
    ("bext01", Refuse(420), Same),
    ("invut", Pass, Same),
    ("regaut01", Pass, Same),
    ("multi01", Refuse(400), Same),
    ("mcl01", Refuse(400), Lost),
    ("bcast", Drop, Same),
    ("zeromf", Refuse(483), Same),
    ("cparam01", Pass, Same),
    ("cparam02", Pass, Same),
    ("regescrt", Pass, Same),
    ("sdp01", Pass, Same),
    ("inv2543", Pass, Lost),
    ("ipv6-good", Pass, Same),
    ("ipv6-bad", Refuse(400), Same),
    ("port-ambiguous", Pass, Same),
    ("port-unambiguous", Pass, Same),
    ("via-received-param-with-delim", Pass, Same),
    ("via-received-param-no-delim", Pass, Same),
    // Its Content-Length is too large; see `sdp_of_rfc5118`.
    ("ipv6-in-sdp", Refuse(400), Waits),
    ("mult-ip-in-header", Pass, Same),
    // Their Content-Length is too small.
    ("mult-ip-in-sdp", Pass, Garbage(1)),
    ("ipv4-mapped-ipv6", Pass, Garbage(1)),
    ("ipv6-bug-abnf-3-colons", Pass, Same),
    ("ipv6-correct-abnf-2-colons", Pass, Same),
];

/// The bytes of a message.
pub fn corpus(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/torture");
    let path = ["rfc4475", "rfc5118"].map(|rfc| format!("{folder}/{rfc}/{name}.dat"));
    path.iter().find_map(|path| std::fs::read(path).ok()).unwrap_or_else(|| panic!("{name} is not in the corpus"))
}

/// A node with one instance on a PBX of ours, which is also the default.
pub struct World {
    net: Net,
    node: Node,
    pbx: Pbx,
    tls: Arc<rustls::ClientConfig>,
}

impl World {
    pub fn new(backend: &str) -> Self {
        let net = Net::new();
        let pbx = Pbx::start(net.ip(11));
        let node = Node::start_with(net, "[timers]\npartial = \"1s\"\n");
        node.must(
            "POST",
            "/instances",
            Some(json!({
                "name": INSTANCE,
                "licence": licence::cloud(),
                "aliases": ALIASES,
                "state": "on",
                "backends": [{"address": pbx.address, "transport": backend, "profile": "generic"}],
            })),
        );
        let mut proxy = node.must("GET", "/proxies/main", None);
        proxy["default_instance"] = json!(INSTANCE);
        let listeners = proxy["listeners"].as_array_mut().unwrap();
        for (number, service, port) in [(11, "sip-tls", TLS), (12, "sip-ws", WS), (13, "sip-wss", WSS)] {
            let bind = format!("{}:{port}", net.ip(1));
            listeners.push(json!({"number": number, "service": service, "bind": bind}));
        }
        node.must("PUT", "/proxies/main", Some(proxy));
        node.wait_live();
        for port in [TLS, WS, WSS] {
            node.wait_listening(&format!("{}:{port}", net.ip(1)));
        }
        let tls = node.tls_client();
        Self { net, node, pbx, tls }
    }

    fn sip(&self) -> SocketAddr {
        self.node.sip().parse().unwrap()
    }

    /// Sends a datagram from the port that its Via names, where its answer goes.
    pub fn udp(&self, bytes: &[u8]) -> Heard {
        let mut index = Index::new();
        let view = View::read(bytes, &mut index, &Limits::DEFAULT);
        let port = view.ok().and_then(|view| view.top_via().ok()?.port).filter(|port| *port >= 1024).unwrap_or(5060);
        over_udp(self.sip(), (self.net.ip(20), port), INSTANCE, &[bytes.to_vec()])
    }

    /// A connection of its own.
    pub fn open(&self, over: Over) -> Wire {
        let port = match over {
            Over::Tcp => 5060,
            Over::Tls => TLS,
            Over::Ws => WS,
            Over::Wss => WSS,
        };
        Wire::open(over, &format!("{}:{port}", self.node.ip()), &self.tls, &self.node.fqdn())
    }

    pub fn stream(&self, over: Over, bytes: &[u8]) -> Heard {
        over_stream(self.open(over), INSTANCE, bytes, false)
    }

    /// As [`Self::stream`], with no fence: until it is closed.
    pub fn until_closed(&self, over: Over, bytes: &[u8]) -> Heard {
        over_stream(self.open(over), INSTANCE, bytes, true)
    }

    pub fn tcp(&self, bytes: &[u8]) -> Heard {
        self.stream(Over::Tcp, bytes)
    }

    /// What the PBX got besides fences.
    pub fn at_pbx(&self) -> Vec<Vec<u8>> {
        let mut index = Index::new();
        let mut is_fence = |bytes: &[u8]| {
            View::read(bytes, &mut index, &Limits::DEFAULT).is_ok_and(|view| view.call_id().starts_with(b"fence-"))
        };
        let mut got = self.pbx.drain();
        got.retain(|bytes| !is_fence(bytes));
        got
    }

    /// The fate of `sent`, over UDP (`None`) or (whole and framed) a stream, and that what is passed on is as it was.
    #[track_caller]
    pub fn check(&self, what: &str, sent: &[u8], over: Option<Over>, fate: Fate) {
        let heard = over.map_or_else(|| self.udp(sent), |over| self.stream(over, sent));
        assert!(!heard.closed, "{what} over {over:?}: closed");
        self.check_fate(what, sent, &heard, fate);
    }

    #[track_caller]
    pub fn check_fate(&self, what: &str, sent: &[u8], heard: &Heard, fate: Fate) {
        assert!(heard.closed || heard.fence == 200, "{what}: an ordinary request works afterwards: {}", heard.fence);
        let (statuses, got) = (heard.statuses(), self.at_pbx());
        let (expected, copies) = match fate {
            Pass => (vec![200], 1),
            Refuse(status) => (vec![status], 0),
            Drop => (vec![], 0),
        };
        assert_eq!(statuses, expected, "{what}: {fate:?}\n{}", self.node.printed());
        assert_eq!(got.len(), copies, "{what}: {fate:?}");
        for copy in &got {
            assert_same(what, sent, copy);
        }
        if fate == Pass {
            assert_mirrored(what, sent, heard.messages.last().unwrap());
        }
    }
}

/// F07: body and every header that is not the proxy's are as they were, in their order.
#[track_caller]
fn assert_same(what: &str, sent: &[u8], got: &[u8]) {
    let (mut one, mut other) = (Index::new(), Index::new());
    let sent = View::read(sent, &mut one, &Limits::DEFAULT).unwrap();
    let got = View::read(got, &mut other, &Limits::DEFAULT).unwrap();
    assert_eq!(got.body(), sent.body(), "{what}: the body changed");
    assert_eq!(got.method(), sent.method(), "{what}");
    assert_eq!(got.uri(), sent.uri(), "{what}");
    let touched =
        [Name::Via, Name::MaxForwards, Name::RecordRoute, Name::Route, Name::Path, Name::Supported, Name::MaxBreadth];
    let lines = |view: &View<'_>, length: bool| -> Vec<String> {
        let rows = view
            .rows()
            .iter()
            .filter(|row| !touched.contains(&row.name) && (length || row.name != Name::ContentLength));
        rows.map(|row| view.text(row.line).escape_ascii().to_string()).collect()
    };
    // F17: a Content-Length may have been added, and never changed.
    let length = sent.count(Name::ContentLength) > 0;
    assert_eq!(lines(&got, length), lines(&sent, length), "{what}: a header changed");
    let values = |view: &View<'_>, name| -> Vec<Vec<u8>> {
        view.values(name).map(|item| view.text(item.unwrap().span).to_vec()).collect()
    };
    assert_eq!(values(&got, Name::Via)[2..], values(&sent, Name::Via)[1..], "{what}: a Via changed");
    assert!(values(&got, Name::RecordRoute).ends_with(&values(&sent, Name::RecordRoute)), "{what}");
    // V05
    let hops = sent.max_forwards().map_or(70, |hops| hops.unwrap() - 1);
    assert_eq!(got.max_forwards(), Some(Ok(hops)), "{what}");
}

/// The answer has the request's Via values again, ours is gone.
#[track_caller]
fn assert_mirrored(what: &str, sent: &[u8], answer: &[u8]) {
    let (mut one, mut other) = (Index::new(), Index::new());
    let sent = View::read(sent, &mut one, &Limits::DEFAULT).unwrap();
    let answer = View::read(answer, &mut other, &Limits::DEFAULT).unwrap();
    let vias = |view: &View<'_>| -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        view.vias().map(|via| via.unwrap()).map(|via| (via.host.to_vec(), via.branch().map(<[u8]>::to_vec))).collect()
    };
    assert_eq!(vias(&answer), vias(&sent), "{what}");
    assert_eq!(answer.call_id(), sent.call_id(), "{what}");
}

/// The message with a transaction of its own: many of the corpus share branch, Call-ID and CSeq.
pub fn unique(bytes: &[u8]) -> Vec<u8> {
    let mut index = Index::new();
    let Ok(view) = View::read(bytes, &mut index, &Limits::DEFAULT) else { return bytes.to_vec() };
    let mut places = Vec::new();
    if let Some(branch) = view.top_via().ok().and_then(|via| via.unique_branch().and(via.param(b"branch"))) {
        places.push(branch.value_span.end as usize);
    }
    places.extend(view.rows_named(Name::CallId).map(|row| row.value.end as usize));
    places.sort_unstable();
    // `dblreq` is two.
    let end = view.span().end as usize;
    let mut out = [&bytes[..end], &if end < bytes.len() { unique(&bytes[end..]) } else { Vec::new() }].concat();
    let number = number().to_string();
    for place in places.into_iter().rev() {
        out.splice(place..place, number.bytes());
    }
    out
}

/// The message for another host: in the first line, where the host of its URI is.
fn with_host(bytes: &[u8], host: &str) -> Option<Vec<u8>> {
    let line = memchr::memchr(b'\r', bytes)?;
    let text = std::str::from_utf8(&bytes[..line]).ok()?;
    let known = ALIASES.iter().copied().chain(["[2001:db8::10:5070]", "[2001:db8::10]", "2001:db8::10"]);
    let more = ["[2001:db8:::192.0.2.1]", "[2001:db8::192.0.2.1]"];
    // The rightmost, and of those the longest: others are in the user part.
    let places = known.chain(more).filter_map(|host| Some((text.rfind(host)?, host)));
    let (at, found) = places.max_by_key(|(at, host)| (at + host.len(), host.len()))?;
    Some([&bytes[..at], host.as_bytes(), &bytes[at + found.len()..]].concat())
}

fn run(over: Option<Over>, backend: &str) {
    let world = World::new(backend);
    for (name, fate, stream) in CASES.iter().copied() {
        for host in ["as it is", INSTANCE, "nobody.invalid"] {
            let message = unique(&corpus(name));
            let sent = if host == "as it is" { Some(message) } else { with_host(&message, host) };
            let Some(sent) = sent else { continue };
            let what = format!("{name}, host {host}, {over:?} to {backend}");
            let fate = match (name, fate, host) {
                // Its Route names the instance.
                ("wsinv", ..) => fate,
                // The name takes the place of what was no host.
                ("ipv6-bad", _, INSTANCE) => Pass,
                ("ipv6-bad", _, "nobody.invalid") => Refuse(404),
                // R9 F06
                (_, Pass, "nobody.invalid") => Refuse(404),
                _ => fate,
            };
            let Some(over) = over else {
                world.check(&what, &sent, None, fate);
                continue;
            };
            match stream {
                Same => world.check(&what, &sent, Some(over), fate),
                // W03: more than one message, or not all of one.
                Garbage(_) if over.is_socket() => world.check(&what, &sent, Some(over), Refuse(400)),
                _ if over.is_socket() => world.check(&what, &sent, Some(over), fate),
                Lost => {
                    let heard = world.stream(over, &sent);
                    world.check_fate(&what, &sent, &heard, Refuse(400));
                    assert!(heard.closed, "{what}: not closed");
                }
                Waits => {
                    let heard = world.until_closed(over, &sent);
                    world.check_fate(&what, &sent, &heard, Drop);
                    assert!(heard.closed, "{what}: not closed");
                }
                Garbage(count) => {
                    // The garbage closes the connection, maybe before an answer comes.
                    let heard = world.stream(over, &sent);
                    assert!(heard.closed, "{what}: not closed");
                    let (mut got, expected) = (0, if host == "nobody.invalid" { count - 1 } else { count });
                    until("the PBX has them", PATIENCE, || {
                        got += world.at_pbx().len();
                        got >= expected
                    });
                    assert_eq!(got, expected, "{what}");
                }
            }
        }
    }
}

// F06 F07 V01 V02 V03 V04 V05 V06 V08 V09 V12 V13 V17 V18 T05 R9 X13
#[test]
fn corpus_over_udp() {
    run(None, "udp");
}

// V10 V11
#[test]
fn corpus_over_tcp() {
    run(Some(Over::Tcp), "udp");
}

// F07 F17
#[test]
fn corpus_over_udp_to_a_pbx_on_tcp() {
    run(None, "tcp");
}

#[test]
fn corpus_over_tcp_to_a_pbx_on_tcp() {
    run(Some(Over::Tcp), "tcp");
}

// V10 V11 X14
#[test]
fn corpus_over_tls() {
    run(Some(Over::Tls), "udp");
}

// W02 W03 W05
#[test]
fn corpus_over_ws() {
    run(Some(Over::Ws), "udp");
}

#[test]
fn corpus_over_wss() {
    run(Some(Over::Wss), "tcp");
}

// The two of the corpus whose Route or Content-Length hides what they are about.
#[test]
fn bodies_are_passed_on_byte_by_byte() {
    let world = World::new("udp");
    let mpart = String::from_utf8_lossy(&corpus("mpart01")).contains("Route: <sip:127.0.0.1:5080>\r\n");
    assert!(mpart);
    let without = |bytes: &[u8], row: &[u8]| {
        let at = memchr::memmem::find(bytes, row).unwrap();
        [&bytes[..at], &bytes[at + row.len()..]].concat()
    };
    let mut messages = vec![("mpart01", without(&corpus("mpart01"), b"Route: <sip:127.0.0.1:5080>\r\n"))];
    for (name, said) in [("ipv6-in-sdp", "268"), ("mult-ip-in-sdp", "181"), ("ipv4-mapped-ipv6", "236")] {
        let bytes = corpus(name);
        let body = bytes.len() - memchr::memmem::find(&bytes, b"\r\n\r\n").unwrap() - 4;
        let at = memchr::memmem::find(&bytes, said.as_bytes()).unwrap();
        messages.push((name, [&bytes[..at], body.to_string().as_bytes(), &bytes[at + 3..]].concat()));
    }
    for (name, bytes) in messages {
        for over in EVERY {
            world.check(name, &unique(&bytes), over, Pass);
        }
    }
}

// T01 T04 T06 T11, 3.1 unreason noreason scalarlg bigcode bcast: as answers to a request of ours.
#[test]
fn responses_of_the_corpus() {
    for backend in ["udp", "tcp"] {
        let world = World::new(backend);
        for name in ["unreason", "noreason", "scalarlg", "bigcode", "bcast"] {
            let more = format!("{}: {name}\r\n", pbx::ANSWER);
            let (_, request) = client::ordinary(INSTANCE, &format!("UDP {}:5060", world.net.ip(20)), &more);
            // Of its own Call-ID, so that it is not taken for a fence.
            let request = String::from_utf8(request).unwrap().replace("fence-", "asks-").into_bytes();
            let heard = world.udp(&request);
            let lines: Vec<_> =
                heard.messages.iter().map(|message| message.split(|b| *b == b'\r').next().unwrap()).collect();
            let original = corpus(name);
            let line = original.split(|b| *b == b'\r').next().unwrap();
            match name {
                // Passed on as it is; the 200 behind it comes too late for a transaction that has ended.
                "unreason" => {
                    assert_eq!(lines, [line]);
                    let body = memchr::memmem::find(&original, b"\r\n\r\n").unwrap();
                    assert!(heard.messages[0].ends_with(&original[body..]), "the body changed");
                }
                // A 100 goes no further.
                _ => assert_eq!(lines, [b"SIP/2.0 200 OK"], "{name}"),
            }
            assert_eq!(world.at_pbx().len(), 1);
        }
    }
}

/// The whole corpus, thousands of times: memory stays as it was.
fn repeated(rounds: usize) {
    let world = World::new("udp");
    let resident = || -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", world.node.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let round = || {
        let all: Vec<_> = CASES.iter().map(|(name, ..)| unique(&corpus(name))).collect();
        let heard = over_udp(world.sip(), (world.net.ip(20), 5060), INSTANCE, &all);
        world.pbx.drain();
        heard.fence
    };
    // Rooms grow to what they need, and transactions end after 32 s: a measure of what one of a kind takes.
    // Beyond the instance's share of them it is told 503, which is as well.
    let half = || (0..rounds / 2).for_each(|_| assert!(matches!(round(), 200 | 503)));
    half();
    let before = resident();
    half();
    let after = resident();
    println!(
        "resident after {} messages {before} kB, after {} {after} kB",
        rounds / 2 * CASES.len(),
        rounds * CASES.len()
    );
    assert!(after < before + before / 4 + 16_384, "memory grew from {before} to {after} kB");
    until("an ordinary request works again", 3 * PATIENCE, || {
        over_udp(world.sip(), (world.net.ip(20), 5060), INSTANCE, &[]).fence == 200
    });
}

#[test]
fn memory_stays_flat() {
    repeated(20);
}

mod long {
    /// 10,000 messages of each kind.
    #[test]
    fn torture_memory_stays_flat() {
        if std::env::var_os("NANTUCKET_LONG").is_some() {
            super::repeated(10_000);
        }
    }
}
