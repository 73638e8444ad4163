//! Light users with real phones, and with one that is none.

use super::baresip::Baresip;
use super::pbx::Pbx;
use crate::support::herd::{Herd, Phone};
use crate::support::node::Node;
use crate::support::{Net, PATIENCE};
use serde_json::json;
use std::time::Duration;

// R39 R43 R46
#[test]
fn a_light_user_has_one_phone_and_no_soft_client() {
    let net = Net::new();
    let pbx = Pbx::start_registrar(net, 11, 2, Duration::ZERO);
    let node = Node::start(net);
    node.add_seats("harbor", &pbx.address(), 1, 1);
    node.must(
        "PUT",
        "/instances/harbor/users",
        Some(json!({"users": [
            {"name": "ann", "kind": "full", "accounts": ["ann"]},
            {"name": "fax", "kind": "light", "accounts": ["fax"]},
        ]})),
    );
    node.wait_live();
    let phone = |account: &str, agent: &str| Phone::new(account, "harbor").agent(agent);
    let register = |n: u8, phone: Phone| {
        let mut herd = Herd::new(net.ip(n), &node.sip(), [phone]);
        herd.register(Duration::ZERO, PATIENCE);
        let refusal = herd.refusals().into_keys().next();
        refusal.unwrap_or_else(|| "registered".to_owned())
    };
    assert_eq!(register(30, phone("fax", "Fax/1")), "registered");
    assert_eq!(register(31, phone("fax", "Fax/1")), "registered", "the same device from another place");
    assert_eq!(register(32, phone("fax", "Phone/9")), "403 light-second-device");
    assert_eq!(register(33, phone("fax", "MicroSIP/3.21")), "403 light-softphone");
    assert_eq!(register(34, phone("ann", "MicroSIP/3.21")), "registered");
    assert_eq!(register(35, phone("ann", "Phone/9")), "registered", "a full user's second device");
    assert_eq!(register(36, phone("bob", "Phone/9")), "403 not-licensed-user");
    assert_eq!(node.seats("harbor"), 2);
}

// R46 R63
#[test]
fn a_real_soft_client_is_for_full_users() {
    let net = Net::new();
    let pbx = Pbx::start_registrar(net, 11, 2, Duration::ZERO);
    let node = Node::start(net);
    node.add_seats("harbor", &pbx.address(), 1, 1);
    let users = json!({"users": [
        {"name": "ann", "kind": "full", "accounts": ["ann"]},
        {"name": "fax", "kind": "light", "accounts": ["fax"]},
    ]});
    node.must("PUT", "/instances/harbor/users", Some(users));
    node.wait_live();
    let _ann = Baresip::start(net.ip(40), "ann", "harbor", &node.sip(), "udp");
    Baresip::refused(net.ip(41), "fax", "harbor", &node.sip(), "403 Desk Phone Only");
    assert_eq!(node.seats("harbor"), 1);
}
