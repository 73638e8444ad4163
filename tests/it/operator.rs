//! The commands of the README, as an operator types them, against a running node.

use crate::support::Net;
use crate::support::node::Node;
use std::process::Output;

#[track_caller]
fn succeeds(output: &Output, holds: &str) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains(holds), "wanted {holds:?}, got {}:\n{out}\n{err}", output.status);
}

// R1 R7 R34 R77
#[test]
fn the_commands_of_the_readme_work() {
    let node = Node::start(Net::new());
    let add = ["instance", "add", "harbor", "--backend", "udp:10.0.0.5:5060", "--web", "http://10.0.0.5:80", "--start"];
    succeeds(&node.cli(&add), "created harbor");
    node.wait_live();
    succeeds(&node.cli(&["instance", "list"]), "udp:10.0.0.5:5060");
    let explain = node.cli(&["explain", "--from", "192.0.2.7", "--register", "6001@harbor"]);
    succeeds(&explain, "forwarded");
    succeeds(&node.cli(&["instance", "set", "harbor", "--backend", "udp:10.0.0.6:5060"]), "harbor");
    node.wait_live();
    succeeds(&node.cli(&["instance", "show", "harbor"]), "10.0.0.6:5060");
    succeeds(&node.cli(&["table"]), "no problems");
    succeeds(&node.cli(&["instance", "rename", "harbor", "haven"]), "haven");
    succeeds(&node.cli(&["instance", "stop", "haven"]), "haven");
    succeeds(&node.cli(&["audit", "--json"]), "create-instance");
    succeeds(&node.cli(&["status"]), "serving");
    assert_eq!(node.cli(&["instance", "add", "har_bor"]).status.code(), Some(1), "a bad name is refused");
}
