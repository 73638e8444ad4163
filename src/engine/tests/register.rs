//! P14 to P16, P07: registrations as they pass, and what is learned of them.

use crate::engine::contract::Input;
use crate::engine::testing::*;
use crate::ids::{Flow, InstanceId};
use crate::model::Profile;
use crate::route::testing::{instance, proxy, table};

fn bindings(b: &Bench) -> Vec<(String, Option<Flow>, u64)> {
    let mut list: Vec<(String, _, _)> =
        b.shared.bindings(InstanceId(1)).into_iter().map(|x| (x.contact.into(), x.flow, x.expires - EPOCH)).collect();
    list.sort_by(|a, b| a.0.cmp(&b.0));
    list
}

fn register(b: &mut Bench, flow: Flow, branch: &str, contact: &str, answer: &str) -> Sent {
    let text = request("REGISTER", branch, "").replace("Contact: <sip:bob@10.0.0.5:5060>\r\n", contact);
    let out = b.one(flow, &text);
    b.one(inside(PBX), &out.answered(200, answer))
}

#[test]
fn only_the_pbx_answers() {
    // P14 R70
    let mut b = Bench::new();
    let out = b.one(udp(PHONE), &request("REGISTER", "r", ""));
    assert_eq!(out.method(), "REGISTER");
    let brief = b.one(inside(PBX), &out.answered(423, "Min-Expires: 120\r\n"));
    assert_eq!((brief.status(), brief.row("Min-Expires")), (423, "120"));
    assert!(bindings(&b).is_empty(), "only a 2xx binds");
}

#[test]
fn the_list_of_the_answer_counts_with_its_own_expiry() {
    // P16 R68
    let mut b = Bench::new();
    register(
        &mut b,
        udp(PHONE),
        "r1",
        "Contact: <sip:bob@10.0.0.5:5060>;expires=600\r\n",
        "Contact: <sip:bob@10.0.0.5:5060>;expires=60, <sip:bob@10.0.0.6>;expires=30\r\nContact: <sip:bob@10.0.0.7>\r\n\
         Expires: 90\r\n",
    );
    let mine = ("sip:bob@10.0.0.5:5060".to_owned(), Some(udp(PHONE)), 60);
    let others = |n, e| (format!("sip:bob@10.0.0.{n}"), None, e);
    assert_eq!(bindings(&b), [mine.clone(), others(6, 30), others(7, 90)]);
    // A query lists and changes nothing.
    let list = "Contact: <sip:bob@10.0.0.5:5060>;expires=55\r\n";
    register(&mut b, udp("203.0.113.1:1"), "r2", "", list);
    assert_eq!(bindings(&b), [(mine.0, mine.1, 55)]);
}

#[test]
fn a_star_removes_all_when_the_pbx_agrees() {
    // P15
    let mut b = Bench::new();
    b.register(udp(PHONE));
    let star = request("REGISTER", "x", "Expires: 0\r\n").replace("<sip:bob@10.0.0.5:5060>", "*");
    let out = b.one(udp(PHONE), &star);
    assert_eq!(out.row("Contact"), "*");
    assert_eq!(bindings(&b).len(), 1);
    b.one(inside(PBX), &out.answered(200, ""));
    assert!(bindings(&b).is_empty());
}

#[test]
fn a_new_source_port_is_the_same_device() {
    // PROTOCOLS 5: UDP answers lost for a phone that re-registers from a new source port
    let mut b = Bench::new();
    b.register(udp(PHONE));
    let text = request("REGISTER", "again", "");
    let out = b.one(udp("203.0.113.9:41000"), &text);
    let ok = b.one(inside(PBX), &out.answered(200, "Contact: <sip:bob@10.0.0.5:5060>;expires=600\r\n"));
    assert_eq!(ok.peer(), "203.0.113.9:41000".parse().unwrap());
    assert_eq!(bindings(&b), [("sip:bob@10.0.0.5:5060".to_owned(), Some(udp("203.0.113.9:41000")), 600)]);
}

#[test]
fn a_connection_that_closes_takes_its_bindings() {
    // P07
    let mut b = Bench::new();
    b.register(tcp(PHONE, 4));
    b.input(Input::FlowClosed { flow: tcp(PHONE, 5) });
    assert_eq!(b.stats(1).bindings.read(), 1);
    b.input(Input::FlowClosed { flow: tcp(PHONE, 4) });
    assert_eq!((bindings(&b).len(), b.stats(1).bindings.read()), (0, 0));
}

#[test]
fn an_answer_after_the_connection_ended_binds_nothing() {
    // P07 T19
    let mut b = Bench::new();
    for serial in 0..3 {
        let out = b.one(tcp(PHONE, serial), &request("REGISTER", &format!("r{serial}"), ""));
        b.input(Input::FlowClosed { flow: tcp(PHONE, serial) });
        b.one(inside(PBX), &out.answered(200, "Contact: <sip:bob@10.0.0.5:5060>;expires=600\r\n"));
        assert!(bindings(&b).is_empty());
    }
    assert_eq!(b.shared.registry.streams.open(), 0);
}

#[test]
fn a_port_that_is_closed_takes_its_bindings() {
    // P07 X06
    let mut b = Bench::new();
    let path = b.register(udp(PHONE));
    let out = b.one(inside(PBX), &from_pbx("OPTIONS", "o", &path));
    let sent = b.input(Input::Unreachable { peer: PHONE.parse().unwrap(), quoted: &out.text.as_bytes()[..160] });
    assert_eq!(sent[0].status(), 430);
    assert!(bindings(&b).is_empty());
}

#[test]
fn in_contact_mode_the_binding_is_known_by_the_phones_own_contact() {
    // P05, DESIGN 8
    let mut acme = instance(1, "acme");
    acme.backends[0].profile = Profile::Contact;
    let mut b = Bench::with(&table([acme], [proxy(1, "edge")]), config());
    let out = b.one(udp(PHONE), &request("REGISTER", "r", ""));
    let contact = out.row("Contact").to_owned();
    assert!(contact.contains(";nt=") && out.rows("Path").is_empty());
    let ok = b.one(inside(PBX), &out.answered(200, &format!("Contact: {contact};expires=60\r\n")));
    assert_eq!(ok.row("Contact"), "<sip:bob@10.0.0.5:5060>;expires=60");
    assert_eq!(bindings(&b), [("sip:bob@10.0.0.5:5060".to_owned(), Some(udp(PHONE)), 60)]);
    let uri = contact.trim_matches(['<', '>']);
    let call = from_pbx("INVITE", "p", "x").replace("Route: x\r\n", "").replacen(
        "sip:bob@10.0.0.5:5060 SIP",
        &format!("{uri} SIP"),
        1,
    );
    let invite = b.invite(inside(PBX), &call);
    assert_eq!((invite.start(), invite.peer()), ("INVITE sip:bob@10.0.0.5:5060 SIP/2.0", PHONE.parse().unwrap()));
}
