//! SIP over TCP through the running program, byte by byte.

use crate::support::node::Node;
use crate::support::sip::{Line, Peer, request, response, status, value};
use crate::support::{Net, PATIENCE, until};
use serde_json::json;
use std::net::TcpListener;

const QUIET: &str = "[health]\ninterval = \"2h\"\ninterval_down = \"2h\"\n";

struct Stage {
    node: Node,
    net: Net,
    pbx: Peer,
}

impl Stage {
    fn open(more: &str) -> Self {
        let net = Net::new();
        let node = Node::start_with(net, &format!("{QUIET}{more}"));
        let pbx = Peer::open((net.ip(10), 5060));
        node.add_instance("acme", &pbx.address().to_string(), "udp");
        Self { node, net, pbx }
    }

    fn line(&self) -> Line {
        Line::open(&self.node.sip())
    }
}

fn options(line: &Line, uri: &str, number: u32) -> String {
    request("OPTIONS", uri, &line.via(), number, "", "")
}

#[test]
fn requests_in_one_segment_and_in_single_bytes_are_answered_on_their_connection() {
    // V11 X03 X05 X07
    let stage = Stage::open("");
    let mut line = stage.line();
    let mixed = format!(
        "{}\r\n\r\n{}",
        options(&line, "sip:a@nowhere", 1),
        request("OPTIONS", "sip:a@nowhere", "TCP phone.invalid:9", 2, "", "")
    );
    line.send(&mixed);
    let first = line.next().unwrap();
    assert_eq!((status(&first), value(&first, "CSeq")), (404, "1 OPTIONS"));
    line.expect(b"\r\n");
    let second = line.next().unwrap();
    assert_eq!(value(&second, "CSeq"), "2 OPTIONS");
    let from = line.stream().local_addr().unwrap().ip();
    assert!(value(&second, "Via").contains(&format!(";received={from}")), "{second}");
    for byte in mixed.as_bytes() {
        line.send([*byte]);
    }
    assert_eq!(value(&line.next().unwrap(), "CSeq"), "1 OPTIONS");
    assert_eq!(value(&line.next().unwrap(), "CSeq"), "2 OPTIONS");
    assert_eq!(stage.node.metric("nantucket_net_keep_alives_total"), Some(2.0));
}

#[test]
fn a_message_that_cannot_be_framed_is_answered_and_the_stream_closed() {
    // V10
    let stage = Stage::open("");
    for (foul, number) in
        ["", "Content-Length: -1\r\n", "Content-Length: 5\r\nl: 6\r\n", "l: 99999999999\r\n"].iter().zip(1..)
    {
        let mut line = stage.line();
        let text = options(&line, "sip:a@nowhere", number).replace("Content-Length: 0\r\n", foul);
        line.send(&text);
        let answer = line.next().unwrap_or_else(|| panic!("{foul:?} is not answered"));
        assert!((400..=513).contains(&status(&answer)), "{answer}");
        assert_eq!(line.next(), None, "{foul:?} leaves the stream open");
    }
    until("all are closed", PATIENCE, || stage.node.metric("nantucket_net_connections") == Some(0.0));
}

#[test]
fn a_response_finds_its_way_when_the_connection_is_gone() {
    // X05
    let stage = Stage::open("");
    let listener = TcpListener::bind((stage.net.ip(20), 0)).unwrap();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from((stage.net.ip(20), 0)).into()).unwrap();
    socket.connect(&stage.node.sip().parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let mut line = Line::over(socket.into());
    let via = format!("TCP {}", listener.local_addr().unwrap());
    line.send(request("MESSAGE", "sip:6001@acme", &via, 1, "", "hello"));
    let (asked, from) = stage.pbx.next();
    drop(line);
    until("it is closed", PATIENCE, || stage.node.metric("nantucket_net_connections") == Some(0.0));
    stage.pbx.send(&from.to_string(), response(&asked, "200 Late"));
    let (accepted, _) = listener.accept().unwrap();
    let answer = Line::over(accepted).next().unwrap();
    assert!(answer.starts_with("SIP/2.0 200 Late\r\n"), "{answer}");
}

#[test]
fn one_instance_never_speaks_over_the_connection_of_another() {
    // X10 X09
    let stage = Stage::open("");
    let pbx = TcpListener::bind((stage.net.ip(11), 5060)).unwrap();
    let address = pbx.local_addr().unwrap().to_string();
    stage.node.add_instance("one", &address, "tcp");
    stage.node.add_instance("two", &address, "tcp");
    let mut phone = stage.line();
    phone.send(options(&phone, "sip:6001@one", 1));
    let mut one = Line::over(pbx.accept().unwrap().0);
    let asked = one.next().unwrap();
    assert!(asked.starts_with("OPTIONS sip:6001@one "), "{asked}");
    phone.send(options(&phone, "sip:6001@two", 2));
    let mut two = Line::over(pbx.accept().unwrap().0);
    assert!(two.next().unwrap().starts_with("OPTIONS sip:6001@two "));
    phone.send(options(&phone, "sip:6002@one", 3));
    assert!(one.next().unwrap().starts_with("OPTIONS sip:6002@one "));
    one.send(response(&asked, "200 Fine"));
    let answer = phone.next().unwrap();
    assert_eq!((status(&answer), value(&answer, "CSeq")), (200, "1 OPTIONS"));

    // An instance that leaves takes its own connection with it.
    stage.node.must("DELETE", "/instances/two", None);
    assert_eq!(two.next(), None);
    phone.send(options(&phone, "sip:6003@one", 4));
    assert!(one.next().unwrap().starts_with("OPTIONS sip:6003@one "));
}

#[test]
fn a_pbx_that_closed_its_connection_gets_a_new_one() {
    // F15 X09
    let stage = Stage::open("");
    let pbx = TcpListener::bind((stage.net.ip(11), 5060)).unwrap();
    stage.node.add_instance("one", &pbx.local_addr().unwrap().to_string(), "tcp");
    let mut phone = stage.line();
    for number in 1..4 {
        phone.send(options(&phone, "sip:6001@one", number));
        let mut accepted = Line::over(pbx.accept().unwrap().0);
        let asked = accepted.next().unwrap();
        accepted.send(response(&asked, "200 Fine"));
        assert_eq!(status(&phone.next().unwrap()), 200);
        drop(accepted);
        until("it is noticed", PATIENCE, || stage.node.metric("nantucket_net_connections") == Some(1.0));
    }
}

#[test]
fn a_peer_that_does_not_read_harms_nobody() {
    // PROTOCOLS 4, trap 1; PROTOCOLS 3.3, 16
    let stage = Stage::open("[limits]\noutbox_bytes = 70000\n");
    // Before it connects: a window that shrinks later would stop both directions.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.connect(&stage.node.sip().parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let mut stalled = Line::over(socket.into());
    stalled.stream().set_nonblocking(true).unwrap();
    let mut other = stage.line();
    let text: String =
        (0..500).map(|number| request("OPTIONS", "sip:a@nowhere", "TCP x;rport", number, "", "")).collect();
    let lost = || stage.node.metric("nantucket_net_lost_total{reason=\"stalled\"}");
    let (mut number, mut at) = (1000, 0);
    until("it is closed", PATIENCE, || {
        at += std::io::Write::write(stalled.stream(), &text.as_bytes()[at..]).unwrap_or(0);
        at %= text.len();
        number += 1;
        other.send(options(&other, "sip:a@nowhere", number));
        assert_eq!(status(&other.next().unwrap()), 404);
        lost() == Some(1.0)
    });
    until("only the other is left", PATIENCE, || stage.node.metric("nantucket_net_connections") == Some(1.0));
}

#[test]
fn silence_half_messages_and_too_many_connections_end() {
    let stage =
        Stage::open("[timers]\nfirst_byte = \"200ms\"\npartial = \"300ms\"\n[limits]\nsource_connections = 3\n");
    let mut spoken = stage.line();
    spoken.send(options(&spoken, "sip:a@nowhere", 1));
    assert_eq!(status(&spoken.next().unwrap()), 404);
    let mut half = stage.line();
    half.send("INVITE sip:a@acme SIP/2.0\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(stage.line().next(), None);
    assert_eq!(half.next(), None);
    let lost = |reason: &str| stage.node.metric(&format!("nantucket_net_lost_total{{reason=\"{reason}\"}}"));
    assert_eq!((lost("first-byte-timeout"), lost("partial-timeout")), (Some(1.0), Some(1.0)));
    let held: Vec<_> = (0..2).map(|_| stage.line()).collect();
    assert_eq!(stage.line().next(), None);
    assert_eq!(lost("source-connections"), Some(1.0));
    drop(held);
    spoken.send(options(&spoken, "sip:a@nowhere", 2));
    assert_eq!(status(&spoken.next().unwrap()), 404);
}

#[test]
fn listeners_change_while_connections_stay() {
    // R73 R78; PROTOCOLS 4, trap 16
    let stage = Stage::open("");
    let mut kept = stage.line();
    kept.send(options(&kept, "sip:a@nowhere", 1));
    assert_eq!(status(&kept.next().unwrap()), 404);
    let mut row = stage.node.must("GET", "/proxies/main", None);
    let more = format!("{}:5062", stage.node.ip());
    let taken = TcpListener::bind((stage.node.ip(), 5064)).unwrap();
    let listeners = row["listeners"].as_array_mut().unwrap();
    listeners.push(json!({"number": 9, "service": "sip-tcp", "bind": more}));
    listeners.push(json!({"number": 10, "service": "sip-tcp", "bind": taken.local_addr().unwrap().to_string()}));
    stage.node.must("PATCH", "/proxies/main", Some(json!({"listeners": row["listeners"]})));
    until("the new one listens", PATIENCE, || std::net::TcpStream::connect(&more).is_ok());
    let mut line = Line::open(&more);
    line.send(options(&line, "sip:a@nowhere", 2));
    assert_eq!(status(&line.next().unwrap()), 404);
    let broken =
        format!("nantucket_listener_up{{owner=\"main\",service=\"sip-tcp\",address=\"{}:5064\"}}", stage.node.ip());
    until("the broken one is shown", PATIENCE, || stage.node.metric(&broken) == Some(0.0));

    // Without UDP the port is closed, and TCP goes on.
    let listeners = row["listeners"].as_array_mut().unwrap();
    listeners.retain(|it| it["service"] != "sip-udp" && it["number"] != 10);
    stage.node.must("PATCH", "/proxies/main", Some(json!({"listeners": row["listeners"]})));
    until("UDP is free", PATIENCE, || std::net::UdpSocket::bind(stage.node.sip()).is_ok());
    for (line, number) in [(&mut kept, 3), (&mut line, 4)] {
        line.send(options(line, "sip:a@nowhere", number));
        assert_eq!(status(&line.next().unwrap()), 404);
    }
}
