//! The table changes while real phones talk and real sockets stay open.
//!
//! `tests/run` runs the short form; `tests/run soak` sets `NANTUCKET_LONG` for the long one.

use super::pbx::Pbx;
use super::sipp::{Over, Run};
use super::web::{self, WebSide};
use crate::support::node::Node;
use crate::support::{Net, PATIENCE, licence};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;

/// How much of everything.
struct Scale {
    instances: u32,
    changes: u32,
    calls: u32,
    call_rate: u32,
    pause_ms: u32,
    sockets: usize,
}

const fn scale(long: bool) -> Scale {
    if long {
        // A call lasts two pauses: 10 a second for 20 s are 200 at once.
        Scale { instances: 10_000, changes: 1_000, calls: 900, call_rate: 10, pause_ms: 10_000, sockets: 100 }
    } else {
        Scale { instances: 500, changes: 60, calls: 60, call_rate: 10, pause_ms: 1_000, sockets: 20 }
    }
}

// R73 R74 R75
#[test]
fn changes_under_load_lose_nothing_of_an_untouched_instance() {
    let scale = scale(std::env::var_os("NANTUCKET_LONG").is_some());
    let net = Net::new();
    let pbx = Pbx::start(net, 11, "harbor");
    let side = WebSide::start(net, 21);
    // It asks for names that have just been removed, by the dozen, as a scanner does.
    let node = Node::start_with(net, "[guard]\nallow = [\"127.0.0.0/8\"]\n");
    node.must(
        "POST",
        "/instances",
        Some(json!({
            "name": "harbor",
            "licence": licence::cloud(),
            "state": "on",
            "backends": [{"address": pbx.address(), "transport": "udp", "profile": "kamailio"}],
            "web": {"url": side.url()},
        })),
    );
    fill(&node, scale.instances);
    let sip = node.sip();
    Run::new("register", net.ip(30), 5080, Over::Udp).to(&sip).account("bob", "harbor", "").start().finish();
    Run::new("register", net.ip(31), 5080, Over::Udp).to(&sip).account("alice", "harbor", "").start().finish();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut sockets = Vec::new();
    for _ in 0..scale.sockets {
        sockets.push(runtime.block_on(web::connect(&node, "harbor")));
    }
    let answers = Run::new("answer", net.ip(30), 5080, Over::Udp).calls(scale.calls, scale.call_rate, 0).start();
    let calls = Run::new("call", net.ip(31), 5080, Over::Udp)
        .to(&sip)
        .calls(scale.calls, scale.call_rate, scale.pause_ms)
        .account("alice", "harbor", "bob")
        .start();

    let mut live: Vec<Duration> = (0..scale.changes).map(|n| change(&node, n, scale.instances)).collect();

    runtime.block_on(async {
        for (n, socket) in sockets.iter_mut().enumerate() {
            socket.send(Message::text(format!("still here {n}"))).await.unwrap();
            let back = socket.next().await.expect("the socket was cut").unwrap();
            assert_eq!(back.into_text().unwrap().as_str(), format!("still here {n}"));
        }
    });
    calls.finish();
    answers.finish();
    // The registration is still there: a call to it gets through.
    let answers = Run::new("answer", net.ip(30), 5080, Over::Udp).start();
    Run::new("call", net.ip(32), 5080, Over::Udp).to(&sip).account("alice", "harbor", "bob").start().finish();
    answers.finish();

    live.sort();
    let at = |share: usize| live[(live.len() - 1) * share / 100];
    println!(
        "{} changes at {} instances: live after p50 {:?}, p99 {:?}, at most {:?}",
        live.len(),
        scale.instances,
        at(50),
        at(99),
        at(100)
    );
}

/// Adds `count` instances that nobody calls, many in flight at once.
fn fill(node: &Node, count: u32) {
    const AT_ONCE: u32 = 8;
    std::thread::scope(|scope| {
        for lane in 0..AT_ONCE {
            scope.spawn(move || {
                for n in (lane..count).step_by(AT_ONCE as usize) {
                    node.must(
                        "POST",
                        "/instances",
                        Some(json!({
                            "name": format!("crowd-{n}"),
                            "licence": licence::cloud(),
                            "state": "on",
                            "backends": [{"address": format!("127.0.0.1:{}", 20_000 + n % 40_000)}],
                        })),
                    );
                }
            });
        }
    });
    node.wait_live();
}

/// Makes one change to an instance of the crowd and gives how long after the API's answer the
/// data plane acts on it.
fn change(node: &Node, n: u32, crowd: u32) -> Duration {
    match n % 4 {
        // A new instance, off: unknown before (404), known and off after (480).
        0 => {
            let name = format!("new-{n}");
            node.must("POST", "/instances", Some(json!({"name": name, "licence": licence::cloud()})));
            until_options_say(node, &name, 480)
        }
        // One that leaves: 404 again.
        1 => {
            let name = format!("new-{}", n - 1);
            node.must("DELETE", &format!("/instances/{name}"), None);
            until_options_say(node, &name, 404)
        }
        // One that is switched off.
        2 => {
            let name = format!("crowd-{}", n % crowd);
            node.must("POST", &format!("/instances/{name}/stop"), None);
            until_options_say(node, &name, 480)
        }
        // A new target for one that is off, then a rename: the new name is known.
        _ => {
            let name = format!("crowd-{}", (n - 1) % crowd);
            let backends = json!({"backends": [{"address": format!("127.0.0.1:{}", 10_000 + n)}]});
            node.must("PATCH", &format!("/instances/{name}"), Some(backends));
            let renamed = format!("renamed-{n}");
            node.must("POST", &format!("/instances/{name}/rename"), Some(json!({"to": renamed})));
            until_options_say(node, &renamed, 480)
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a measurement is real time")]
fn until_options_say(node: &Node, domain: &str, status: u16) -> Duration {
    let start = Instant::now();
    let socket = UdpSocket::bind((node.ip(), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let local = socket.local_addr().unwrap();
    let mut answer = [0; 2048];
    for n in 0.. {
        let request = format!(
            "OPTIONS sip:{domain} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{domain}{n}\r\n\
             From: <sip:probe@{domain}>;tag=1\r\nTo: <sip:{domain}>\r\nCall-ID: {domain}-{n}@{local}\r\n\
             CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        socket.send_to(request.as_bytes(), node.sip()).unwrap();
        // A datagram may get lost on a busy machine, and is asked for again.
        let length = socket.recv(&mut answer).unwrap_or(0);
        if answer[..length].starts_with(format!("SIP/2.0 {status} ").as_bytes()) {
            break;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{domain} never answered {status}: {}\n{}",
            String::from_utf8_lossy(&answer[..length]),
            node.printed()
        );
    }
    start.elapsed()
}
