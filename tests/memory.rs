//! What a registered phone costs: bindings of as many users with a seat each, 500 in an instance, as they come in
//! through the engine. And what a request costs while it is on its way, and in the half minute after it.
//!
//! A test binary of its own, because it counts every byte the thread that measures has allocated and not given back.
//! `tests/run` has 20,000 phones, `tests/run soak` 100,000; the latter's figure is the one to quote.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "../benches/common/mod.rs"]
mod common;

use common::line::Line;
use nantucket::ids::{ConnId, Flow, InstanceId, ListenerId, ProxyId, Shard, Transport};
use std::net::SocketAddr;

const PHONES: u32 = 500;

fn instances() -> u32 {
    if std::env::var_os("NANTUCKET_LONG").is_some() { 200 } else { 40 }
}

fn peer(n: u32) -> SocketAddr {
    let [_, a, b, c] = n.to_be_bytes();
    SocketAddr::from(([100, a, b, c], 5_062))
}

fn udp(n: u32) -> Flow {
    let listener = ListenerId { proxy: ProxyId(1), number: 1 };
    Flow::Udp { listener, local: "192.0.2.1:5060".parse().unwrap(), peer: peer(n) }
}

fn tcp(n: u32) -> Flow {
    let (listener, conn) = (ListenerId { proxy: ProxyId(1), number: 2 }, ConnId::new(0, Shard(1), n));
    let local = "192.0.2.1:5060".parse().unwrap();
    Flow::Stream { listener, conn, transport: Transport::Tcp, local, peer: peer(n) }
}

/// A REGISTER of a desk phone.
fn register(n: u32) -> String {
    let (instance, user) = (n / PHONES + 1, 1_000 + n % PHONES);
    let contact = format!("sip:{user}@192.168.10.{}:5062;ob", user % 250 + 1);
    format!(
        "REGISTER sip:t{instance}.pbx.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.168.10.5:5062;branch=z9hG4bK{n};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:{user}@t{instance}.pbx.example>;tag=f1\r\n\
         To: <sip:{user}@t{instance}.pbx.example>\r\n\
         Call-ID: c{n}@192.168.10.5\r\n\
         CSeq: 1 REGISTER\r\n\
         Contact: <{contact}>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\"\r\n\
         Expires: 3600\r\n\
         User-Agent: Deskphone T46S 66.86.0.15\r\n\
         Authorization: Digest username=\"{user}\", realm=\"pbx\", nonce=\"1\", uri=\"sip:t{instance}\", response=\"0\"\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// The shard has carried messages before, so that what it keeps for all of them is there.
fn warm(line: &mut Line) {
    for n in 0..2_000 {
        let text = request("REGISTER", n % instances() * PHONES + n / instances());
        assert_eq!(line.feed(udp(n), text.as_bytes()), 1);
        assert_eq!(line.answer(Line::inside(), b"SIP/2.0 403 Forbidden", b""), 1);
    }
    line.pass(40_000);
}

/// All phones register; how many bytes stay.
fn cost(line: &mut Line, flow: fn(u32) -> Flow) -> u64 {
    let spent = allocation_counter::measure(|| {
        for n in 0..instances() * PHONES {
            let (mut message, mut row) = (String::new(), String::new());
            allocation_counter::opt_out(|| {
                message = register(n);
                let contact = message.split("Contact: <").nth(1).and_then(|rest| rest.split('>').next()).unwrap();
                row = format!("Contact: <{contact}>;expires=3600\r\n");
            });
            assert_eq!(line.feed(flow(n), message.as_bytes()), 1);
            assert_eq!(line.answer(Line::inside(), b"SIP/2.0 200 OK", row.as_bytes()), 1);
            allocation_counter::opt_out(|| drop((message, row)));
            if n % 100 == 99 {
                // The transactions are over.
                line.pass(40_000);
            }
        }
        line.pass(40_000);
    });
    u64::try_from(spent.bytes_current).unwrap()
}

#[test]
fn a_registered_phone_costs_so_many_bytes() {
    let all = instances() * PHONES;
    // A connection is known by itself as well.
    for (name, flow, bound) in [("UDP", udp as fn(u32) -> Flow, 400), ("TCP", tcp, 402)] {
        let mut line = Line::with(common::snapshot(instances()));
        warm(&mut line);
        let spent = cost(&mut line, flow);
        let bindings: usize = (1..=instances()).map(|id| line.shared.bindings(InstanceId(id)).len()).sum();
        assert_eq!(bindings, all as usize);
        let each = spent / u64::from(all);
        println!("{all} phones over {name} in {} instances: {spent} bytes, {each} for each", instances());
        assert!(each <= bound, "{each} bytes for a phone over {name}");
    }
}

/// A request of a phone, and what its PBX has answered to it.
struct Case {
    name: &'static str,
    method: &'static str,
    answer: Option<&'static [u8]>,
    /// Bytes that its two transactions may cost, with the messages they keep.
    bound: u64,
}

const CASES: [Case; 4] = [
    Case { name: "a REGISTER that waits for its answer", method: "REGISTER", answer: None, bound: 2_700 },
    Case { name: "a REGISTER that was answered", method: "REGISTER", answer: Some(b"SIP/2.0 200 OK"), bound: 1_200 },
    Case { name: "an INVITE that waits for its answer", method: "INVITE", answer: None, bound: 3_100 },
    Case { name: "a call that rings", method: "INVITE", answer: Some(b"SIP/2.0 180 Ringing"), bound: 3_350 },
];

/// A request of another phone each time, the same as `register` has but without credentials: they take no seat.
fn request(method: &str, n: u32) -> String {
    if method == "REGISTER" {
        let text = register(n);
        let (head, rest) = text.split_once("Authorization").unwrap();
        return format!("{head}X-{}", rest);
    }
    let (instance, user) = (n / PHONES + 1, 1_000 + n % PHONES);
    let sdp = common::SDP;
    format!(
        "INVITE sip:200@t{instance}.pbx.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.168.10.5:5062;branch=z9hG4bK{n};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:{user}@t{instance}.pbx.example>;tag=f1\r\n\
         To: <sip:200@t{instance}.pbx.example>\r\n\
         Call-ID: c{n}@192.168.10.5\r\n\
         CSeq: 1 INVITE\r\n\
         Contact: <sip:{user}@192.168.10.5:5062>\r\n\
         User-Agent: Deskphone T46S 66.86.0.15\r\n\
         Content-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
}

/// So many requests at once, of as many phones; how many bytes each takes, and how many of them are its messages.
fn live(case: &Case) -> (u64, u64) {
    let mut line = Line::with(common::snapshot(instances()));
    // Fewer of each instance than its PBX is asked at once.
    let all = 40 * 30;
    let mut text = 0;
    let spent = allocation_counter::measure(|| {
        for n in 0..all {
            let mut message = String::new();
            // A few of each instance: its PBX answers none of them meanwhile.
            allocation_counter::opt_out(|| message = request(case.method, n % 40 * PHONES + n / 40));
            assert!(line.feed(udp(n), message.as_bytes()) > 0);
            text += message.len() + line.request.len();
            if let Some(start) = case.answer {
                assert_eq!(line.answer(Line::inside(), start, b""), 1);
                text += line.response.len();
            }
            allocation_counter::opt_out(|| drop(message));
        }
    });
    let (servers, clients, _) = line.engine.counts();
    assert_eq!((servers, clients), (all as usize, all as usize), "{}", case.name);
    (u64::try_from(spent.bytes_current).unwrap() / u64::from(all), text as u64 / u64::from(all))
}

#[test]
fn a_live_request_costs_so_many_bytes() {
    for case in CASES {
        let (each, text) = live(&case);
        println!("{}: {each} bytes for both of its transactions; its messages have {text}", case.name);
        assert!(each <= case.bound, "{each} bytes for {}", case.name);
    }
}
