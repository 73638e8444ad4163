//! Seats over a kill -9 of the real program: what was written down counts, a refresh is free, and a file that cannot
//! be read costs new phones a while and no others their place.

use crate::support::node::Node;
use crate::support::sip::{Peer, request, response, status, value};
use crate::support::{Net, PATIENCE, until};
use serde_json::json;

struct Stage {
    node: Node,
    pbx: Peer,
    phone: Peer,
    number: u32,
}

impl Stage {
    /// `acme` with two seats and a PBX that answers by hand.
    fn open() -> Self {
        let net = Net::new();
        let node = Node::start_with(net, "[health]\ninterval = \"2h\"\ninterval_down = \"2h\"\n");
        let pbx = Peer::open((net.ip(10), 5060));
        node.add_instance("acme", &pbx.address().to_string(), "udp");
        let booked = json!({"mode": "cloud", "booked": {"full": 2, "light": 0}});
        node.must("PUT", "/instances/acme/licence", Some(booked));
        node.wait_live();
        Self { node, pbx, phone: Peer::open((net.ip(20), 0)), number: 0 }
    }

    /// An account registers for so many seconds; the status, and what is told with it.
    fn register(&mut self, account: &str, seconds: u32) -> (u16, String) {
        self.number += 1;
        let contact = format!("<sip:{account}@{}>", self.phone.address());
        let rows = format!("Contact: {contact}\r\nExpires: {seconds}\r\nAuthorization: Digest username=\"x\"\r\n");
        let uri = format!("sip:{account}@acme");
        let text = request("REGISTER", &uri, &self.phone.via(), self.number, &rows, "");
        self.phone.send(&self.node.sip(), text);
        self.pbx.0.set_nonblocking(true).unwrap();
        self.phone.0.set_nonblocking(true).unwrap();
        let (mut buffer, mut answer) = (vec![0; 65_536], None);
        until("the REGISTER is answered", PATIENCE, || {
            if let Ok((length, from)) = self.pbx.0.recv_from(&mut buffer) {
                let asked = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let granted = format!("Contact: {contact};expires={seconds}\r\nContent-Length");
                let granted = if seconds > 0 { granted } else { "Content-Length".to_owned() };
                self.pbx.send(&from.to_string(), response(&asked, "200 OK").replace("Content-Length", &granted));
            }
            if let Ok((length, _)) = self.phone.0.recv_from(&mut buffer) {
                answer =
                    Some(String::from_utf8_lossy(&buffer[..length]).into_owned()).filter(|text| status(text) >= 200);
            }
            answer.is_some()
        });
        let answer = answer.unwrap();
        (status(&answer), value(&answer, "Warning").to_owned())
    }

    fn used(&self) -> Option<f64> {
        self.node.metric("nantucket_instance_seats_used{instance=\"acme\",kind=\"full\"}")
    }
}

#[test]
fn a_seat_survives_a_kill_and_ends_with_its_phone() {
    // R66 R67 R68
    let mut stage = Stage::open();
    assert_eq!([stage.register("a", 600).0, stage.register("b", 600).0], [200, 200]);
    let (status, warning) = stage.register("c", 600);
    assert_eq!((status, warning.contains("seats-exhausted")), (403, true));
    for _ in 0..2 {
        stage.node.restart("KILL");
        assert_eq!(stage.used(), Some(2.0));
        assert_eq!(stage.register("c", 600).0, 403, "the seats are those of phones that are still out there");
        assert_eq!([stage.register("b", 600).0, stage.register("a", 600).0], [200, 200]);
    }
    assert_eq!(stage.register("a", 0).0, 200);
    assert_eq!((stage.register("c", 600).0, stage.register("a", 600).0), (200, 403));
    stage.node.restart("TERM");
    assert_eq!((stage.used(), stage.register("a", 600).0), (Some(2.0), 403));
}

#[test]
fn without_its_file_a_node_takes_nobody_new_until_it_has_it_again() {
    // R69
    let mut stage = Stage::open();
    assert_eq!(stage.register("a", 600).0, 200);
    let data = stage.node.config().with_file_name("data");
    let (file, away) = (data.join("seats.sqlite"), data.join("away"));
    stage.node.program().signal("KILL");
    stage.node.program().wait(PATIENCE);
    std::fs::rename(&file, &away).unwrap();
    std::fs::create_dir(&file).unwrap();
    stage.node.restart_stopped();
    let (status, warning) = stage.register("b", 600);
    assert_eq!((status, warning.contains("seats-unsaved")), (503, true));
    assert!(stage.node.metric("nantucket_seats_write_failures_total").unwrap() > 0.0);
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&away, &file).unwrap();
    until("the seats are back", PATIENCE, || stage.used() == Some(1.0));
    assert_eq!([stage.register("a", 600).0, stage.register("b", 600).0, stage.register("c", 600).0], [200, 200, 403]);
}
