//! Devices that lose their connection, change their port or meet a restarted process: through the running program.

use crate::support::node::Node;
use crate::support::sip::{Line, Peer, request, response, status, value};
use crate::support::{Net, PATIENCE, until};

const QUIET: &str = "[health]\ninterval = \"2h\"\ninterval_down = \"2h\"\n";
const DEVICE: &str = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\"";

struct Stage {
    node: Node,
    pbx: Peer,
}

/// A registered phone over a stream.
struct Phone {
    line: Line,
    path: String,
}

impl Stage {
    fn open(more: &str) -> Self {
        let net = Net::new();
        let node = Node::start_with(net, &format!("{QUIET}{more}"));
        let pbx = Peer::open((net.ip(10), 5060));
        node.add_instance("acme", &pbx.address().to_string(), "udp");
        Self { node, pbx }
    }

    fn register(&self, number: u32) -> Phone {
        let mut line = Line::open(&self.node.sip());
        let path = self.register_over(&mut line, number);
        Phone { line, path }
    }

    /// Registers over a line that is open; the Path.
    fn register_over(&self, line: &mut Line, number: u32) -> String {
        line.send(register(&line.via(), number));
        let (asked, from) = self.next_of("REGISTER ");
        self.pbx.send(&from, granted(&asked));
        assert_eq!(status(&line.next().unwrap()), 200);
        value(&asked, "Path").to_owned()
    }

    /// What comes to the PBX next with this start, and from where.
    fn next_of(&self, start: &str) -> (String, String) {
        loop {
            let (text, from) = self.pbx.next();
            if text.starts_with(start) {
                return (text, from.to_string());
            }
        }
    }

    /// The PBX asks the device behind a Path.
    fn ask(&self, method: &str, number: u32, route: &str) {
        let rows = format!("Route: {route}\r\nContact: <sip:eve@{}>\r\n", self.pbx.address());
        let text = request(method, "sip:bob@10.0.0.5", &self.pbx.via(), number, &rows, "");
        let inside = format!("{}:5070", self.node.ip());
        self.pbx.send(&inside, text.replace("From: <sip:bob@10.0.0.5>", "From: <sip:eve@acme>"));
    }

    fn bindings(&self) -> usize {
        let count = self.node.must("GET", "/registrations/count", None);
        usize::try_from(count["count"].as_u64().unwrap()).unwrap()
    }
}

fn register(via: &str, number: u32) -> String {
    let rows = format!("Contact: <sip:bob@10.0.0.5:{}>;{DEVICE}\r\nExpires: 600\r\n", 5_000 + number);
    request("REGISTER", "sip:acme", via, number, &rows, "").replace("<sip:acme>", "<sip:bob@acme>")
}

fn granted(asked: &str) -> String {
    let contact = value(asked, "Contact").to_owned();
    response(asked, "200 OK").replace("Content-Length", &format!("Contact: {contact};expires=600\r\nContent-Length"))
}

#[test]
fn ringing_goes_on_when_the_phone_changes_its_connection() {
    // P05 P07 C01
    let stage = Stage::open("");
    let Phone { mut line, mut path } = stage.register(1);
    stage.ask("INVITE", 10, &path);
    let invite = line.next().unwrap();
    assert!(invite.starts_with("INVITE "), "{invite}");
    line.send(response(&invite, "180 Ringing"));
    assert_eq!(stage.next_of("SIP/2.0 180").0.lines().next(), Some("SIP/2.0 180 Ringing"));
    drop(line);
    until("it is not shown any more", PATIENCE, || stage.bindings() == 0);
    // More than one connection, so that one of them is at another worker.
    let mut lines = Vec::new();
    for number in 2..6 {
        let mut next = stage.register(number);
        let again = next.line.next().unwrap();
        let branch = |text: &str| value(text, "Via").split("branch=").nth(1).unwrap().to_owned();
        assert_eq!((again.lines().next(), branch(&again)), (invite.lines().next(), branch(&invite)));
        assert_eq!(stage.bindings(), 1);
        path = next.path;
        lines.push(next.line);
    }
    let line = lines.last_mut().unwrap();
    line.send(response(&invite, "180 Ringing"));
    stage.next_of("SIP/2.0 180");
    stage.ask("CANCEL", 10, &path);
    let cancel = line.next().unwrap();
    assert!(cancel.starts_with("CANCEL "), "{cancel}");
    line.send(response(&cancel, "200 OK"));
    line.send(response(&invite, "487 Request Terminated"));
    stage.next_of("SIP/2.0 487");
    assert_eq!(stage.node.sum("nantucket_sip_waiting", &[]), 0.0);
}

#[test]
fn a_call_waits_for_a_phone_that_is_on_its_way_back_and_no_longer_than_told() {
    // P04
    let stage = Stage::open("[timers]\nreconnect = \"1500ms\"\n");
    let phone = stage.register(1);
    drop(phone.line);
    until("it is gone", PATIENCE, || stage.bindings() == 0);
    stage.ask("INVITE", 10, &phone.path);
    stage.next_of("SIP/2.0 100");
    let Phone { mut line, path } = stage.register(2);
    assert!(line.next().unwrap().starts_with("INVITE "));
    drop(line);
    until("it is gone again", PATIENCE, || stage.bindings() == 0);
    stage.next_of("SIP/2.0 430");
    stage.ask("MESSAGE", 11, &path);
    stage.next_of("SIP/2.0 430");
}

#[test]
fn after_a_restart_nothing_stale_is_shown_and_everybody_is_reached() {
    // X05 P04 R75
    let mut stage = Stage::open("");
    let phone = stage.register(1);
    let udp = Peer::open((stage.node.ip(), 0));
    let text = register(&udp.via(), 2).replace("bob", "joe");
    udp.send(&stage.node.sip(), &text);
    let (asked, from) = stage.next_of("REGISTER ");
    stage.pbx.send(&from, granted(&asked));
    udp.last();
    let udp_path = value(&asked, "Path").to_owned();
    assert_eq!(stage.bindings(), 2);

    stage.node.restart("KILL");
    assert_eq!(stage.bindings(), 0);
    stage.ask("MESSAGE", 20, &udp_path);
    assert!(udp.next().0.starts_with("MESSAGE "), "over UDP at once");
    // Over a stream as soon as the phone is back; its Path is still the one of the process before.
    stage.ask("INVITE", 21, &phone.path);
    stage.next_of("SIP/2.0 100");
    let mut back = Line::open(&stage.node.sip());
    stage.register_over(&mut back, 3);
    assert!(back.next().unwrap().starts_with("INVITE "));
    assert_eq!(stage.bindings(), 1);
}

#[test]
fn a_phone_that_changes_its_port_in_mid_call_hears_on() {
    // X03 P06
    let stage = Stage::open("");
    let phone = Peer::open((stage.node.ip(), 0));
    phone.send(&stage.node.sip(), register(&phone.via(), 1));
    let (asked, from) = stage.next_of("REGISTER ");
    stage.pbx.send(&from, granted(&asked));
    phone.last();
    let contact = "Contact: <sip:bob@10.0.0.5>\r\n";
    let invite = |method: &str, peer: &Peer, number: u32, rows: &str| {
        request(method, "sip:eve@acme", &peer.via(), number, rows, "")
            .replace("From: <sip:eve@acme>", "From: <sip:bob@acme>")
    };
    phone.send(&stage.node.sip(), invite("INVITE", &phone, 2, contact));
    let (asked, from) = stage.next_of("INVITE ");
    stage.pbx.send(&from, response(&asked, "200 OK"));
    let ok = phone.last();
    let recorded = |text: &str| -> Vec<String> {
        let rows = text.split("\r\n").filter_map(|row| row.strip_prefix("Record-Route: "));
        rows.flat_map(|row| row.split(", ")).map(str::to_owned).collect()
    };
    let routes: String = recorded(&ok).iter().rev().map(|route| format!("Route: {route}\r\n")).collect();

    let moved = Peer::open((stage.node.ip(), 0));
    let update = invite("UPDATE", &moved, 3, &routes).replace("To: <sip:eve@acme>", "To: <sip:eve@acme>;tag=b");
    moved.send(&stage.node.sip(), update);
    let (asked_update, from) = stage.next_of("UPDATE ");
    stage.pbx.send(&from, response(&asked_update, "200 OK"));
    assert_eq!(status(&moved.last()), 200);
    stage.ask("BYE", 4, &recorded(&asked).join(", "));
    assert!(moved.next().0.starts_with("BYE "), "to the port it has now");
    assert_eq!(stage.bindings(), 1);
}

#[test]
fn the_operator_chooses_how_ways_are_kept_open() {
    // RFC 5626 §3.5; PROTOCOLS 4, trap 9
    let stage = Stage::open("[timers]\nkeep_alive = \"1s\"\n");
    let phone = Peer::open((stage.node.ip(), 0));
    phone.send(&stage.node.sip(), register(&phone.via(), 1));
    let (asked, from) = stage.next_of("REGISTER ");
    stage.pbx.send(&from, granted(&asked));
    phone.last();
    assert_eq!(phone.next().0, "\r\n\r\n", "the default");
    let set = stage.node.cli(&["proxy", "set", "main", "--keep-alive", "options"]);
    assert!(set.status.success(), "{set:?}");
    stage.node.wait_live();
    let asked = loop {
        let text = phone.next().0;
        if text.starts_with("OPTIONS ") {
            break text;
        }
    };
    phone.send(&stage.node.sip(), response(&asked, "200 OK"));
    // It answers no more: its binding ends.
    until("it is taken for gone", PATIENCE, || stage.bindings() == 0);
}
