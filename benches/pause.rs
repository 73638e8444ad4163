//! The slowest message while a shard fills: what grows must not stop the worker.
//!
//! `pause requests|calls|phones|office COUNT [RUNS]`: so many requests that nobody answers yet, so many calls that
//! ring, so many phones in instances of 500, or so many in one. Each run does the same; of each message its fastest
//! run counts, so that what the machine did meanwhile does not. Prints the slowest messages and where they were.
//!
//! The system's allocator moves a large block without copying it; the product's copies. With
//! `GLIBC_TUNABLES=glibc.malloc.mmap_threshold=8589934592` the system's does as well.
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
use nantucket::route::handles::Handles;
use nantucket::route::resolved::Resolved;
use nantucket::route::snapshot::Snapshot;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const OK: &[u8] = b"SIP/2.0 200 OK";

fn flow(n: u32) -> Flow {
    let [_, a, b, c] = n.to_be_bytes();
    let listener = ListenerId { proxy: ProxyId(1), number: 1 };
    Flow::Udp { listener, local: "192.0.2.1:5060".parse().unwrap(), peer: SocketAddr::from(([100, a, b, c], 5_062)) }
}

fn inside(instance: u32) -> Flow {
    let [_, high, middle, low] = instance.to_be_bytes();
    let peer = SocketAddr::from(([10, high, middle, low], 5_060));
    Flow::Udp { listener: ListenerId::INSIDE_V4, local: common::INSIDE.parse().unwrap(), peer }
}

fn snapshot(instances: u32) -> Snapshot {
    let mut table = common::table(instances);
    for instance in &mut table.instances {
        let mut large = (**instance).clone();
        large.licence.booked.full = 1_000_000;
        *instance = Arc::new(large);
    }
    nantucket::route::compile(&table, &Handles::default(), &Resolved::default(), common::NOW).0
}

fn message(method: &str, instance: u32, n: u32) -> String {
    let contact = format!("sip:{n}@192.168.10.{}:5062;ob", n % 250 + 1);
    let (seconds, credentials) = match method {
        "REGISTER" => (
            "Expires: 3600\r\n",
            "Authorization: Digest username=\"1\", realm=\"pbx\", nonce=\"1\", uri=\"sip:t\", response=\"0\"\r\n",
        ),
        _ => ("", ""),
    };
    format!(
        "{method} sip:t{instance}.pbx.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.168.10.5:5062;branch=z9hG4bK{n};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:{n}@t{instance}.pbx.example>;tag=f1\r\n\
         To: <sip:{n}@t{instance}.pbx.example>\r\n\
         Call-ID: c{n}@192.168.10.5\r\n\
         CSeq: 1 {method}\r\n\
         Contact: <{contact}>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-{n:012x}>\"\r\n\
         {seconds}{credentials}\
         User-Agent: Deskphone T46S 66.86.0.15\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Each message's time in one run.
fn run(mode: &str, count: u32) -> Vec<Duration> {
    let each = if mode == "office" { count } else { 500 };
    let mut line = Line::with(snapshot(count.div_ceil(each)));
    let mut times = Vec::new();
    for n in 0..count {
        let instance = n / each + 1;
        let method = match mode {
            "requests" => "OPTIONS",
            "calls" => "INVITE",
            _ => "REGISTER",
        };
        let text = message(method, instance, n);
        let start = Instant::now();
        assert!(line.feed(flow(n), text.as_bytes()) > 0);
        times.push(start.elapsed());
        let from = line.spent;
        match mode {
            "requests" => continue,
            "calls" => assert_eq!(line.answer(inside(instance), b"SIP/2.0 180 Ringing", b""), 1),
            _ => {
                let contact = text.split("Contact: <").nth(1).and_then(|rest| rest.split('>').next()).unwrap();
                let row = format!("Contact: <{contact}>;expires=3600\r\n");
                assert_eq!(line.answer(inside(instance), OK, row.as_bytes()), 1);
                if n % 100 == 99 {
                    line.pass(40_000);
                    line.pass(0);
                }
            }
        }
        times.push(line.spent - from);
    }
    times
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |at: usize, default: u32| args.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let mode = args.first().map_or("requests", String::as_str);
    let (count, runs) = (number(1, 20_000), number(2, 3));
    let mut best = run(mode, count);
    for _ in 1..runs {
        for (best, time) in best.iter_mut().zip(run(mode, count)) {
            *best = (*best).min(time);
        }
    }
    let mut order: Vec<usize> = (0..best.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(best[*at]));
    let micros = |at: usize| best[at].as_nanos() as f64 / 1_000.0;
    let mean = best.iter().sum::<Duration>().as_nanos() as f64 / 1_000.0 / best.len() as f64;
    let [p99, p9999] = [100, 10_000].map(|part| micros(order[best.len() / part]));
    println!("{mode} {count}: mean {mean:.1} µs, 99 % {p99:.1}, 99.99 % {p9999:.1}; slowest:");
    for at in order.iter().take(12) {
        println!("  {:.1} µs at message {at}", micros(*at));
    }
}
