//! SIP over UDP through the running program, datagram by datagram.

use crate::support::node::Node;
use crate::support::sip::{Peer, request, response, status, value};
use crate::support::{Net, PATIENCE, licence, until};
use serde_json::json;

/// Probes far apart: what a test's PBX receives is what the test sent.
const QUIET: &str = "[health]\ninterval = \"2h\"\ninterval_down = \"2h\"\n";

fn quiet(more: &str) -> String {
    format!("{QUIET}{more}")
}

struct Stage {
    node: Node,
    net: Net,
    pbx: Peer,
    phone: Peer,
}

impl Stage {
    /// A node, a PBX (`acme`) that answers by hand, and a phone.
    fn open(more: &str) -> Self {
        let net = Net::new();
        let node = Node::start_with(net, &quiet(more));
        let pbx = Peer::open((net.ip(10), 5060));
        node.add_instance("acme", &pbx.address().to_string(), "udp");
        Self { node, net, pbx, phone: Peer::open((net.ip(20), 0)) }
    }

    fn ask(&self, method: &str, uri: &str, number: u32) {
        self.phone.send(&self.node.sip(), request(method, uri, &self.phone.via(), number, "", ""));
    }
}

#[test]
fn an_answer_goes_back_to_where_the_request_came_from() {
    // X03 X04
    let stage = Stage::open("");
    let text = request("OPTIONS", "sip:nobody@nowhere", "UDP phone.invalid:9;rport", 1, "", "");
    stage.phone.send(&stage.node.sip(), text);
    let (answer, from) = stage.phone.next();
    assert_eq!(status(&answer), 404);
    assert_eq!(from.to_string(), stage.node.sip());
    let (ip, port) = (stage.phone.address().ip(), stage.phone.address().port());
    let via = value(&answer, "Via");
    assert!(via.contains(&format!(";received={ip}")) && via.contains(&format!(";rport={port}")), "{via}");

    // Without rport the answer goes to the port in sent-by, at the address it came from.
    let other = Peer::open((stage.net.ip(20), 0));
    let via = format!("UDP phone.invalid:{}", other.address().port());
    stage.phone.send(&stage.node.sip(), request("OPTIONS", "sip:nobody@nowhere", &via, 2, "", ""));
    let (answer, _) = other.next();
    assert!(value(&answer, "Via").ends_with(&format!(";received={ip}")), "{answer}");
}

#[test]
fn a_response_is_passed_on_from_the_address_the_request_reached() {
    // X04 T04
    let stage = Stage::open("");
    stage.ask("OPTIONS", "sip:6001@acme", 1);
    let (asked, from) = stage.pbx.next();
    assert!(asked.starts_with("OPTIONS sip:6001@acme SIP/2.0\r\n"), "{asked}");
    stage.pbx.send(&from.to_string(), response(&asked, "200 Fine"));
    let (answer, from) = stage.phone.next();
    assert!(answer.starts_with("SIP/2.0 200 Fine\r\n"));
    assert_eq!((answer.matches("Via:").count(), from.to_string()), (1, stage.node.sip()));
}

#[test]
fn keep_alives_and_junk_are_no_messages() {
    // X07 X08
    let stage = Stage::open("");
    let sip = stage.node.sip();
    for junk in [&b"\r\n\r\n"[..], b"\0\0\0\0", b"", &[0x80; 60], &[22, 0xfe, 0xfd, 0, 1], &[0xff; 3]] {
        stage.phone.send(&sip, junk);
    }
    let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    stun.extend(*b"transaction!");
    stage.phone.send(&sip, &stun);
    let mut buffer = [0; 100];
    let (n, from) = stage.phone.0.recv_from(&mut buffer).unwrap();
    assert_eq!((n, &buffer[..2], &buffer[8..20]), (32, &[1u8, 1][..], &b"transaction!"[..]));
    assert_eq!(u16::from_be_bytes([buffer[26], buffer[27]]) ^ 0x2112, stage.phone.address().port());
    assert_eq!(from.to_string(), sip);
    let lost = |reason: &str| stage.node.metric(&format!("nantucket_net_lost_total{{reason=\"{reason}\"}}"));
    assert_eq!((lost("rtp"), lost("dtls"), lost("junk")), (Some(1.0), Some(1.0), Some(1.0)));
    // The next thing it hears is the answer to the next thing it asks.
    stage.ask("OPTIONS", "sip:nobody@nowhere", 1);
    assert_eq!(status(&stage.phone.next().0), 404);
}

#[test]
fn a_pbx_whose_port_is_closed_is_told_at_once_and_the_next_one_is_tried() {
    // X06 T13 F15
    let net = Net::new();
    let node = Node::start_with(net, &quiet(""));
    let second = Peer::open((net.ip(11), 5060));
    let backends = |hosts: &[u8]| {
        let each = hosts
            .iter()
            .zip(0..)
            .map(|(host, priority)| json!({"address": format!("{}:5060", net.ip(*host)), "priority": priority}));
        let name = format!("i{}", hosts.len());
        json!({"name": name, "state": "on", "licence": licence::cloud(), "backends": each.collect::<Vec<_>>()})
    };
    node.must("POST", "/instances", Some(backends(&[10])));
    node.must("POST", "/instances", Some(backends(&[10, 11])));
    node.wait_live();
    let phone = Peer::open((net.ip(20), 0));
    phone.send(&node.sip(), request("INVITE", "sip:6001@i1", &phone.via(), 1, "Contact: <sip:a@b>\r\n", ""));
    assert!(status(&phone.last()) >= 500, "no 32 seconds");
    phone.send(&node.sip(), request("INVITE", "sip:6001@i2", &phone.via(), 2, "Contact: <sip:a@b>\r\n", ""));
    let (asked, from) = second.next();
    assert!(asked.starts_with("INVITE "), "{asked}");
    second.send(&from.to_string(), response(&asked, "200 Fine"));
    assert_eq!(status(&phone.last()), 200);
    assert!(node.metric("nantucket_net_icmp_errors_total").unwrap() >= 1.0);
    assert_eq!(node.metric("nantucket_sip_failovers_total"), Some(1.0));
}

#[test]
fn a_large_datagram_passes_whole() {
    // V16 F07
    let stage = Stage::open("");
    let body = "x".repeat(60_000);
    let text = request("MESSAGE", "sip:6001@acme", &stage.phone.via(), 1, "Content-Type: text/plain\r\n", &body);
    stage.phone.send(&stage.node.sip(), text);
    let (asked, _) = stage.pbx.next();
    assert!(asked.ends_with(&format!("\r\n\r\n{body}")));
}

#[test]
fn a_flood_of_transactions_is_refused_and_others_go_on() {
    // T19
    let stage = Stage::open("[limits]\ntransactions = 20\n");
    let (mut refused, sent) = (0, 60);
    for number in 0..sent {
        stage.ask("OPTIONS", "sip:6001@acme", number);
    }
    // One phone meets one of two workers: its twenty, less what is kept for calls, are all there is.
    while refused < sent - 20 {
        let answer = stage.phone.next().0;
        assert_eq!(status(&answer), 503);
        assert!(!value(&answer, "Retry-After").is_empty(), "{answer}");
        refused += 1;
    }
    let counted = stage.node.metric("nantucket_sip_refused_total{reason=\"node-busy\"}");
    assert!(counted >= Some(f64::from(refused)), "{counted:?}");
    let live = stage.node.metric("nantucket_sip_transactions{side=\"server\"}");
    assert!(live.unwrap() <= 40.0, "{live:?}");
}

#[test]
fn one_instance_cannot_take_the_share_of_another() {
    // T19
    let stage = Stage::open("[limits]\ninstance_transactions = 5\n");
    let other = Peer::open((stage.net.ip(11), 5060));
    stage.node.add_instance("other", &other.address().to_string(), "udp");
    for number in 0..10 {
        stage.ask("OPTIONS", "sip:6001@acme", number);
    }
    for _ in 0..5 {
        assert_eq!(status(&stage.phone.last()), 503);
    }
    stage.ask("OPTIONS", "sip:6001@other", 100);
    assert!(other.next().0.starts_with("OPTIONS sip:6001@other "));
    let refused = stage.node.metric("nantucket_sip_refused_total{reason=\"instance-busy\"}");
    assert_eq!(refused, Some(5.0));
}

#[test]
fn a_source_opens_so_many_flows_and_another_is_not_touched() {
    let more = "[limits]\nsource_new_flows = 1\nsource_new_flows_burst = 3\n";
    let stage = Stage::open(more);
    let phones: Vec<_> = (0..6).map(|_| Peer::open((stage.net.ip(30), 0))).collect();
    for (phone, number) in phones.iter().zip(0..) {
        phone.send(&stage.node.sip(), request("OPTIONS", "sip:a@nowhere", &phone.via(), number, "", ""));
    }
    let lost = || stage.node.metric("nantucket_net_lost_total{reason=\"new-flows\"}");
    let taken = || stage.node.metric("nantucket_sip_refused_total{reason=\"unknown-instance\"}");
    until("all are seen", PATIENCE, || lost() == Some(3.0) && taken() == Some(3.0));
    // Two workers answer them in no order of their own.
    phones.iter().for_each(|phone| phone.0.set_nonblocking(true).unwrap());
    let mut answered: Vec<&Peer> = Vec::new();
    until("three are answered", PATIENCE, || {
        answered.extend(phones.iter().filter(|phone| phone.0.recv(&mut [0; 2000]).is_ok()));
        answered.len() >= 3
    });
    stage.ask("OPTIONS", "sip:a@nowhere", 9);
    assert_eq!(status(&stage.phone.next().0), 404);
    assert_eq!(phones.iter().filter(|phone| phone.0.recv(&mut [0; 2000]).is_ok()).count(), 0, "a fourth was answered");
    // A flow that is known goes on.
    let known = answered[0];
    known.0.set_nonblocking(false).unwrap();
    known.send(&stage.node.sip(), request("OPTIONS", "sip:a@nowhere", &known.via(), 10, "", ""));
    assert_eq!(status(&known.next().0), 404);
}

#[test]
fn what_is_refused_or_dropped_is_logged_with_its_reason() {
    let stage = Stage::open("");
    let (from, node) = (&stage.phone, &stage.node);
    from.send(&node.sip(), "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKnever\r\n\r\n");
    stage.ask("OPTIONS", "sip:secret-name@nowhere", 1);
    assert_eq!(status(&from.next().0), 404);
    // The answer may be here before the line is.
    for line in ["refused reason=\"unknown-instance\"", "call_id=c1@test", "dropped reason=\""] {
        until(line, PATIENCE, || node.printed().contains(line));
    }
}
