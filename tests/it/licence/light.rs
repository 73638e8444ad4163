//! Light users on real sockets: soft clients at registration, with a list that changes while the node runs, and SIP
//! beyond calls.

use crate::support::node::Node;
use crate::support::sip::{Peer, request, response, status, value};
use crate::support::{Net, PATIENCE};
use serde_json::json;
use std::fs;
use std::path::Path;

const QUIET: &str = "[health]\ninterval = \"2h\"\ninterval_down = \"2h\"\n";

struct Stage {
    node: Node,
    pbx: Peer,
    phone: Peer,
}

impl Stage {
    /// `acme` with the light user `fax` (account 90, and 90.SFiphone) and the full user `ann` (account 10), and a PBX
    /// that answers by hand.
    fn open(more: &str) -> Self {
        let net = Net::new();
        let node = Node::start_with(net, &format!("{QUIET}{more}"));
        let pbx = Peer::open((net.ip(10), 5060));
        node.add_instance("acme", &pbx.address().to_string(), "udp");
        let users = json!({ "users": [{ "name": "ann", "accounts": ["10"] },
            { "name": "fax", "kind": "light", "class": "fax", "accounts": ["90", "90.SFiphone"] }] });
        node.must("PUT", "/instances/acme/users", Some(users));
        node.wait_live();
        Self { node, pbx, phone: Peer::open((net.ip(20), 0)) }
    }

    fn send(&self, method: &str, account: &str, number: u32, rows: &str) {
        let uri = format!("sip:{account}@acme");
        self.phone.send(&self.node.sip(), request(method, &uri, &self.phone.via(), number, rows, ""));
    }

    /// A REGISTER with credentials; the PBX's password check refuses what it gets.
    fn register(&self, account: &str, user_agent: &str, number: u32) {
        let rows = format!(
            "Contact: <sip:{account}@{}>\r\nUser-Agent: {user_agent}\r\nExpires: 60\r\n\
             Authorization: Digest username=\"{account}\", realm=\"a\", nonce=\"b\", uri=\"sip:acme\", response=\"c\"\r\n",
            self.phone.address()
        );
        self.send("REGISTER", account, number, &rows);
    }

    /// The next request reaches the PBX, which refuses it.
    #[track_caller]
    fn passes(&self, number: u32) {
        let (asked, from) = self.pbx.next();
        assert_eq!(value(&asked, "Call-ID"), format!("c{number}@test"), "{asked}");
        self.pbx.send(&from.to_string(), response(&asked, "488 Not Here"));
        assert_eq!(status(&self.phone.last()), 488);
    }

    /// The next answer is ours.
    #[track_caller]
    fn refused(&self, code: &str) {
        let answer = self.phone.last();
        assert_eq!(status(&answer), 403, "{answer}");
        assert!(value(&answer, "Warning").starts_with(&format!("399 nantucket \"{code}: ")), "{answer}");
    }

    fn reload(&self, told: &str) {
        let already = self.node.printed().matches(told).count();
        signal(&self.node, "HUP");
        crate::support::until(told, PATIENCE, || self.node.printed().matches(told).count() > already);
    }
}

fn signal(node: &Node, name: &str) {
    let sent = std::process::Command::new("kill").args(["-s", name, &node.pid().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn write(path: &Path, agents: &[&str]) {
    fs::write(path, format!("accounts = [\"*.SFiphone\"]\nuser_agents = {agents:?}\n")).unwrap();
}

#[test]
fn a_light_users_soft_client_is_refused_by_a_list_that_is_edited_while_it_runs() {
    // R46
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("softphones.toml");
    write(&list, &["Zoiper*"]);
    let stage = Stage::open(&format!("[licence]\nsoftphones = {list:?}\n"));
    stage.register("90", "Zoiper rv2.10.8.2", 1);
    stage.refused("light-softphone");
    stage.register("90", "Deskphone 7", 2);
    stage.passes(2);
    stage.register("90.SFiphone", "Deskphone 7", 3);
    stage.refused("light-softphone");
    stage.register("10", "Zoiper rv2.10.8.2", 4);
    stage.passes(4);

    write(&list, &["deskPHONE*"]);
    stage.reload("changed the list of soft clients");
    stage.register("90", "Zoiper rv2.10.8.2", 5);
    stage.passes(5);
    stage.register("90", "Deskphone 7", 6);
    stage.refused("light-softphone");

    write(&list, &["Zoiper*", "*"]);
    stage.reload("the configuration was not read again");
    let told = stage.node.printed();
    assert!(told.contains("softphones.toml:2:1: user_agents[1]: the pattern"), "{told}");
    stage.register("90", "Deskphone 7", 7);
    stage.refused("light-softphone");
}

#[test]
fn a_light_user_has_calls_and_no_messages() {
    // R44 R45
    let stage = Stage::open("");
    for (number, method, rows) in [
        (1, "MESSAGE", ""),
        (2, "PUBLISH", "Event: presence\r\n"),
        (3, "SUBSCRIBE", "Event: dialog\r\n"),
        (4, "SUBSCRIBE", "Event: presence\r\n"),
    ] {
        stage.send(method, "90", number, rows);
        stage.refused("light-method");
        stage.send(method, "10", 10 + number, rows);
        stage.passes(10 + number);
    }
    for (number, method, rows) in [
        (21, "SUBSCRIBE", "Event: message-summary\r\n"),
        (22, "OPTIONS", ""),
        (23, "REFER", "Refer-To: <sip:10@acme>\r\n"),
    ] {
        stage.send(method, "90", number, rows);
        stage.passes(number);
    }
    let refused = stage.node.metric("nantucket_sip_refused_total{reason=\"light-method\"}");
    assert_eq!(refused, Some(4.0));
    stage.node.must("PATCH", "/instances/acme", Some(json!({ "licence": { "shadow": true } })));
    stage.node.wait_live();
    stage.send("MESSAGE", "90", 31, "");
    stage.passes(31);
}
