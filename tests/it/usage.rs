//! Seats as operators see them: webhooks, events, months, metrics, registrations and the why-page, with the real
//! program, a PBX that takes every password, and a receiver that checks signatures.

use crate::support::node::Node;
use crate::support::sip::{Line, Peer, request, response, status, value};
use crate::support::{Net, PATIENCE, until};
use nantucket::clock::Clock;
use nantucket::usage::signature;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;

const SECRET: &str = "a secret of at least some length";

/// Takes webhooks one by one.
struct Receiver {
    listener: TcpListener,
    dir: tempfile::TempDir,
}

impl Receiver {
    fn open(net: Net) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), format!("{SECRET}\n")).unwrap();
        Self { listener: TcpListener::bind((net.ip(9), 0)).unwrap(), dir }
    }

    /// The lines that make it a webhook.
    fn config(&self) -> String {
        let (address, secret) = (self.listener.local_addr().unwrap(), self.dir.path().join("secret"));
        format!(
            "[[webhooks]]\nurl = \"http://{address}/hook\"\nsecret_file = \"{}\"\nevents = [\"seats-warning\"]\n",
            secret.display()
        )
    }

    /// The next delivery, answered with this status; its signature must be right.
    #[track_caller]
    fn take(&self, answer: &str) -> Value {
        let (mut stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut text = String::new();
        let mut chunk = [0; 4096];
        let body = loop {
            let n = stream.read(&mut chunk).unwrap();
            assert_ne!(n, 0, "cut short: {text}");
            text.push_str(std::str::from_utf8(&chunk[..n]).unwrap());
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            if header(head, "content-length").parse() == Ok(body.len()) {
                break body;
            }
        };
        let now = Clock::start().now().unix;
        let signed = header(&text, signature::HEADER);
        assert!(signature::verify(SECRET.as_bytes(), signed, body.as_bytes(), now, 60), "{text}");
        assert!(!signature::verify(b"another secret", signed, body.as_bytes(), now, 60));
        let delivered = serde_json::from_str(body).unwrap();
        stream.write_all(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
        delivered
    }
}

fn header<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
    found.map_or("", |line| line[name.len() + 1..].trim())
}

/// A PBX that grants what every REGISTER asks for.
fn pbx(net: Net, n: u8) -> String {
    let peer = Peer::open((net.ip(n), 5060));
    peer.0.set_read_timeout(None).unwrap();
    let address = peer.address().to_string();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((n, from)) = peer.0.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
            let contact = format!("Contact: {}\r\nContent-Length: 0", value(&text, "Contact"));
            let answer = response(&text, "200 OK").replacen("Content-Length: 0", &contact, 1);
            peer.send(&from.to_string(), answer);
        }
    });
    address
}

/// A REGISTER of an account with credentials.
fn register(account: &str, instance: &str, via: &str, contact: &str, number: u32) -> String {
    let more = format!(
        "Contact: <sip:{account}@{contact}>;expires=600;+sip.instance=\"<urn:uuid:00-{number}>\"\r\nUser-Agent: Harbor-Phone/{number}\r\nAuthorization: Digest x\r\n"
    );
    let text = request("REGISTER", &format!("sip:{account}@{instance}"), via, number, &more, "");
    text.replacen(&format!("REGISTER sip:{account}@{instance}"), &format!("REGISTER sip:{instance}"), 1)
}

/// Registers over UDP; the final status.
#[track_caller]
fn register_udp(node: &Node, phone: &Peer, account: &str, instance: &str, number: u32) -> u16 {
    phone.send(&node.sip(), register(account, instance, &phone.via(), &phone.address().to_string(), number));
    status(&phone.last())
}

/// A community instance that is on: three users.
fn community(node: &Node, name: &str, backend: &str) {
    let backends = json!([{"address": backend, "profile": "none"}]);
    node.must("POST", "/instances", Some(json!({"name": name, "state": "on", "backends": backends})));
    node.wait_live();
}

#[test]
fn seats_run_out_and_operators_know() {
    // R69 R72 R12 R10
    let net = Net::new();
    let receiver = Receiver::open(net);
    let node = Node::start_with(net, &receiver.config());
    community(&node, "acme", &pbx(net, 2));
    community(&node, "beta", &pbx(net, 3));
    let phone = Peer::open((net.ip(20), 0));
    for (account, number) in ["u1", "u2", "u3"].into_iter().zip(1..) {
        assert_eq!(register_udp(&node, &phone, account, "acme", number), 200);
    }
    assert_eq!(register_udp(&node, &phone, "u4", "acme", 4), 403);
    assert_eq!(register_udp(&node, &phone, "u4", "beta", 5), 200, "another instance has seats of its own");
    assert_eq!(register_udp(&node, &phone, "u3", "acme", 6), 200, "a refresh");

    // The webhook fails twice, then it is taken; it is the same each time.
    let first = receiver.take("500 Not Now");
    assert_eq!((&first["topic"], &first["percent"], &first["used"]), (&json!("seats-warning"), &json!(100), &json!(3)));
    assert_eq!(first["instance"], "acme");
    assert_eq!(receiver.take("503 Later"), first);
    assert_eq!(receiver.take("204 No Content"), first);
    until("the webhook's delivery is counted", PATIENCE, || {
        node.metric("nantucket_webhook_events_total{outcome=\"delivered\"}") == Some(1.0)
    });
    assert_eq!(node.metric("nantucket_webhook_failures_total"), Some(2.0));
    let events = node.must("GET", "/events?topic=seats-warning", None);
    assert_eq!(events["items"], json!([first]));

    // Numbers of each instance apart.
    let series = |name: &str, instance: &str, label: &str| {
        node.metric(&format!("nantucket_instance_{name}{{instance=\"{instance}\",{label}}}"))
    };
    let full = "kind=\"full\"";
    assert_eq!((series("seats_used", "acme", full), series("seats_limit", "acme", full)), (Some(3.0), Some(3.0)));
    assert_eq!(series("seats_used", "beta", full), Some(1.0));
    let exhausted = "reason=\"seats-exhausted\"";
    let refused = |instance| series("licence_refused_total", instance, exhausted);
    assert_eq!((refused("acme"), refused("beta")), (Some(1.0), Some(0.0)));
    let months = node.must("GET", "/usage/months?instance=acme", None);
    assert_eq!((&months["items"][0]["used"], &months["items"][0]["kind"]), (&json!(3), &json!("full")));

    // Why was this phone refused?
    let why = node.must("GET", "/explain?register=u4@acme", None);
    assert_eq!(
        (&why["licences"][0]["refusal"], &why["licences"][0]["rule"]),
        (&json!("seats-exhausted"), &json!("R48"))
    );
    let decision = &why["decisions"][0];
    assert_eq!((&decision["became"], &decision["reason"]), (&json!("refused"), &json!("seats-exhausted")));
    assert_eq!((&decision["used"]["full"], &decision["call_id"]), (&json!(3), &json!("c4@test")));
    assert!(decision["revision"].as_u64().unwrap() > 0);
    assert_eq!(node.must("GET", "/explain?call_id=c4@test", None)["decisions"][0], *decision);
    assert!(node.must("GET", "/explain?register=u1@acme", None)["licences"][0].get("refusal").is_none());
    let shown = node.cli(&["explain", "--device", "harbor-phone/4", "--instance", "acme"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("seats-exhausted, R48"), "{shown}");
}

#[test]
fn an_end_frees_the_seat_and_tells_who_can_be_told() {
    // R68 R77
    let net = Net::new();
    let node = Node::start(net);
    community(&node, "acme", &pbx(net, 2));
    let phone = Peer::open((net.ip(20), 0));
    assert_eq!(register_udp(&node, &phone, "u1", "acme", 1), 200);
    let mut streams: Vec<Line> = Vec::new();
    for (account, number) in [("u2", 2), ("u3", 3)] {
        let mut stream = Line::open(&node.sip());
        stream.send(register(account, "acme", &stream.via(), "10.0.0.9", number));
        assert_eq!(status(&stream.next().unwrap()), 200);
        streams.push(stream);
    }
    assert_eq!(register_udp(&node, &phone, "u4", "acme", 4), 403);
    assert_eq!(node.must("GET", "/registrations/count", None)["count"], 3);
    let list = node.must("GET", "/registrations?instance=acme&transport=udp", None);
    assert_eq!((&list["items"][0]["account"], list["items"].as_array().unwrap().len()), (&json!("u1"), 1));

    let found = node.must("GET", "/registrations?device=UUID:00-3", None);
    assert_eq!(found["items"].as_array().unwrap().iter().map(|it| &it["account"]).collect::<Vec<_>>(), ["u3"]);

    // Over UDP: the seat is free, the phone cannot be told.
    let id = list["items"][0]["id"].as_str().unwrap();
    let ended = node.must("DELETE", &format!("/registrations/{id}"), None);
    assert_eq!((&ended["count"], &ended["items"][0]["told"]), (&json!(1), &json!(false)));
    assert_eq!(register_udp(&node, &phone, "u4", "acme", 5), 200);
    assert_eq!(register_udp(&node, &phone, "u1", "acme", 6), 403, "whoever comes first");

    // Over a connection: it is closed, and only it.
    let ended = node.must("DELETE", "/registrations?instance=acme&user=u2", None);
    assert_eq!((&ended["count"], &ended["told"]), (&json!(1), &json!(1)));
    assert_eq!(streams[0].next(), None);
    assert_eq!(register_udp(&node, &phone, "u1", "acme", 7), 200);
    let via = streams[1].via();
    streams[1].send(register("u3", "acme", &via, "10.0.0.9", 8));
    assert_eq!(status(&streams[1].next().unwrap()), 200, "the other connection is as it was");
    let shown = node.cli(&["registration", "end", "--instance", "acme"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.ends_with("3 ended, 1 of the phones told\n"), "{shown}");
    let audit = node.must("GET", "/audit", None);
    let ends = audit["entries"].as_array().unwrap().iter().filter(|it| it["action"] == "end-registration");
    assert_eq!(ends.count(), 5);
}
