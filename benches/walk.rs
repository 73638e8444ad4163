//! What the engine takes for a message when nothing is in the cache: phones at random of many instances, with as many
//! transactions alive as the rate makes.
//!
//! `walk register|digest|call INSTANCES USERS COUNT [RATE] [fresh]`: prints nanoseconds for each transaction or call.
//! With `fresh` each REGISTER is of another device. Also to be run by callgrind and perf.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "no product code"
)]

mod common;

use common::line::Line;
use nantucket::ids::{Flow, ListenerId, ProxyId};
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const OK: &[u8] = b"SIP/2.0 200 OK";

struct Walk {
    line: Line,
    rng: u64,
    serial: u64,
    fresh: bool,
    spent: Duration,
    text: Vec<u8>,
    row: Vec<u8>,
}

impl Walk {
    fn draw(&mut self, below: u64) -> u64 {
        self.rng = self.rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.rng >> 33) % below
    }

    fn flow(instance: u64, user: u64) -> Flow {
        let n = (instance * 1_000 + user) as u32;
        let [_, a, b, c] = n.to_be_bytes();
        let listener = ListenerId { proxy: ProxyId(1), number: 1 };
        let peer = SocketAddr::from(([100, a, b, c], 5_062));
        Flow::Udp { listener, local: "192.0.2.1:5060".parse().unwrap(), peer }
    }

    fn inside(instance: u64) -> Flow {
        let [_, high, middle, low] = (instance as u32).to_be_bytes();
        let peer = SocketAddr::from(([10, high, middle, low], 5_060));
        Flow::Udp { listener: ListenerId::INSIDE_V4, local: common::INSIDE.parse().unwrap(), peer }
    }

    fn feed(&mut self, flow: Flow) {
        let text = std::mem::take(&mut self.text);
        let start = Instant::now();
        let sent = self.line.feed(flow, &text);
        self.spent += start.elapsed();
        assert!(sent > 0, "{}", String::from_utf8_lossy(&text));
        self.text = text;
    }

    fn answer(&mut self, instance: u64, start: &[u8]) {
        let row = std::mem::take(&mut self.row);
        let from = self.line.spent;
        assert!(self.line.answer(Self::inside(instance), start, &row) > 0);
        self.spent += self.line.spent - from;
        self.row = row;
    }

    fn register(&mut self, instance: u64, user: u64, credentials: bool) {
        self.serial += 1;
        let id = self.serial;
        let device = if self.fresh { id } else { instance * 1_000 + user };
        self.text.clear();
        let out = &mut self.text;
        write!(out, "REGISTER sip:t{instance}.pbx.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKg{id:08x}r.n;rport\r\nMax-Forwards: 70\r\nFrom: \"User {user}\" <sip:u{user:02}@t{instance}.pbx.example>;tag=f{id:08x}\r\nTo: \"User {user}\" <sip:u{user:02}@t{instance}.pbx.example>\r\nCall-ID: {id:08x}-93b1f2@127.0.0.1\r\nCSeq: 1 REGISTER\r\nContact: <sip:u{user:02}@127.0.0.1:5062>;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-{device:012x}>\";reg-id=1\r\nUser-Agent: Yealink SIP-T46U 108.86.0.75\r\nSupported: path, outbound, gruu, replaces\r\nAllow: INVITE, ACK, OPTIONS, BYE, CANCEL, REFER, NOTIFY, INFO, PRACK, UPDATE, MESSAGE\r\nExpires: 3600\r\n").unwrap();
        if credentials {
            write!(out, "Authorization: Digest username=\"u{user:02}\",realm=\"pbx\",nonce=\"1763740287/6d0d0e8b1f63b1a2b5a9b0c1\",uri=\"sip:t{instance}.pbx.example\",response=\"e6f99bf42fe01fc304d3d4eb2dfb4a6f\",algorithm=md5,cnonce=\"0a4f113b\",opaque=\"5ccc069c403ebaf9\",qop=auth,nc=00000001\r\n").unwrap();
        }
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        self.feed(Self::flow(instance, user));
        self.row.clear();
        write!(self.row, "Contact: <sip:u{user:02}@127.0.0.1:5062>;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-{device:012x}>\";reg-id=1;expires=3600\r\n").unwrap();
    }

    fn invite(&mut self, instance: u64, user: u64) {
        self.serial += 1;
        let id = self.serial;
        self.text.clear();
        let sdp = common::SDP;
        write!(self.text, "INVITE sip:7001@t{instance}.pbx.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKg{id:08x}i.n;rport\r\nMax-Forwards: 70\r\nFrom: \"User {user}\" <sip:u{user:02}@t{instance}.pbx.example>;tag=f{id:08x}\r\nTo: <sip:7001@t{instance}.pbx.example>\r\nCall-ID: {id:08x}-93b1f2@127.0.0.1\r\nCSeq: 1 INVITE\r\nContact: <sip:u{user:02}@127.0.0.1:5062>\r\nUser-Agent: Yealink SIP-T46U 108.86.0.75\r\nSupported: replaces, 100rel, timer\r\nAllow: INVITE, ACK, OPTIONS, BYE, CANCEL, REFER, NOTIFY, INFO, PRACK, UPDATE, MESSAGE\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len()).unwrap();
        self.feed(Self::flow(instance, user));
    }

    fn in_dialog(&mut self, method: &str, instance: u64, user: u64, rest: &(Vec<u8>, Vec<u8>)) {
        let id = self.serial;
        self.text.clear();
        let (to, routes) = rest;
        let (k, seq) = if method == "ACK" { ('k', 1) } else { ('b', 2) };
        write!(self.text, "{method} sip:7001@10.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKg{id:08x}{k}.n;rport\r\n").unwrap();
        self.text.extend_from_slice(routes);
        write!(
            self.text,
            "Max-Forwards: 70\r\nFrom: \"User {user}\" <sip:u{user:02}@t{instance}.pbx.example>;tag=f{id:08x}\r\n"
        )
        .unwrap();
        self.text.extend_from_slice(to);
        write!(self.text, "Call-ID: {id:08x}-93b1f2@127.0.0.1\r\nCSeq: {seq} {method}\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        self.feed(Self::flow(instance, user));
    }

    fn call(&mut self, instance: u64, user: u64) {
        self.invite(instance, user);
        self.row.clear();
        self.answer(instance, b"SIP/2.0 180 Ringing");
        write!(self.row, "Contact: <sip:7001@10.0.0.1:5060>\r\n").unwrap();
        self.answer(instance, OK);
        let mut rest = (Vec::new(), Vec::new());
        for line in self.line.response.split_inclusive(|b| *b == b'\n') {
            if line.starts_with(b"To:") {
                rest.0.extend_from_slice(line);
            } else if line.starts_with(b"Record-Route:") {
                // One row each, to be reversed.
                let values = line["Record-Route:".len()..].split(|b| *b == b',').map(|v| v.trim_ascii());
                for value in values {
                    let mut row = b"Route: ".to_vec();
                    row.extend_from_slice(value);
                    row.extend_from_slice(b"\r\n");
                    row.extend_from_slice(&rest.1);
                    rest.1 = row;
                }
            }
        }
        self.in_dialog("ACK", instance, user, &rest);
        self.in_dialog("BYE", instance, user, &rest);
        self.row.clear();
        self.answer(instance, OK);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |at: usize, default: u64| args.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let mode = args.first().map_or("register", String::as_str);
    let (instances, users, count, rate) = (number(1, 1_000), number(2, 1), number(3, 100_000), number(4, 5_000));
    let fresh = args.iter().any(|arg| arg == "fresh");
    let mut walk = Walk {
        line: Line::with(common::snapshot(instances as u32)),
        rng: 1,
        serial: 0,
        fresh,
        spent: Duration::ZERO,
        text: Vec::with_capacity(4_096),
        row: Vec::new(),
    };
    // All are registered before.
    for instance in 1..=instances {
        for user in 0..users {
            walk.register(instance, user, true);
            walk.answer(instance, OK);
            if user % 100 == 99 {
                walk.line.pass(1);
            }
        }
        walk.line.pass(2);
    }
    walk.line.pass(40_000);
    let mut since = 0;
    for round in 0..2 {
        walk.spent = Duration::ZERO;
        let timers = walk.line.timers;
        // First until as many transactions are alive as will be.
        let count = if round == 0 { count.max(33 * rate) } else { count };
        let count = if args.iter().any(|arg| arg == "short") { number(3, 100) } else { count };
        for _ in 0..count {
            let (instance, user) = (1 + walk.draw(instances), walk.draw(users));
            match mode {
                "call" => walk.call(instance, user),
                "digest" => {
                    walk.register(instance, user, false);
                    walk.row.clear();
                    write!(walk.row, "WWW-Authenticate: Digest realm=\"pbx\",nonce=\"1763740287/6d0d0e8b1f63b1a2b5a9b0c1\",opaque=\"5ccc069c403ebaf9\",algorithm=md5,qop=\"auth\"\r\n").unwrap();
                    walk.answer(instance, b"SIP/2.0 401 Unauthorized");
                    walk.register(instance, user, true);
                    walk.answer(instance, OK);
                }
                _ => {
                    walk.register(instance, user, false);
                    walk.answer(instance, OK);
                }
            }
            since += 1_000_000 / rate;
            if since >= 1_000 {
                walk.line.pass(since / 1_000);
                since %= 1_000;
            }
        }
        if round == 1 {
            let each = |spent: Duration| spent.as_nanos() as u64 / count.max(1);
            let (messages, timers) = (each(walk.spent), each(walk.line.timers - timers));
            println!(
                "{mode}: {messages} ns for the messages and {timers} ns for the timers of each; {:?} alive",
                walk.line.engine.counts()
            );
        }
    }
}
