//! The licence book as an operator keeps it: the real binary, over a store of its own and on a node.

use crate::support::licence::{signed, volume};
use crate::support::node::Node;
use crate::support::office::Office;
use crate::support::{Net, PATIENCE, until};
use nantucket::licence::HardwareId;
use nantucket::licence::terms::{Confirmation, Terms};
use serde_json::{Value, json};
use std::fs;
use std::process::Output;

#[track_caller]
fn done(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{:?}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn failed(output: &Output, code: i32) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    err.into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&done(output)).unwrap()
}

#[test]
fn a_licence_lives_through_its_commands() {
    // R18 R21 R24 R64 R77
    let office = Office::open();
    let write = |name: &str, text: &str| fs::write(office.dir().join(name), text).unwrap();
    assert!(done(&office.cli(&["licence", "list"])).starts_with("no licences"));
    let genuine = volume(10, 4);
    write("ten.txt", &genuine);
    // One changed character of the text: refused, and nothing changes.
    let at = genuine.find('\n').unwrap() + 20;
    let other = if genuine.as_bytes()[at] == b'A' { "B" } else { "A" };
    write("forged.txt", &format!("{}{other}{}", &genuine[..at], &genuine[at + 1..]));
    let err = failed(&office.cli(&["licence", "install", "forged.txt"]), 1);
    assert!(err.contains("[document-damaged]") && err.contains("(R64)"), "{err}");
    assert!(done(&office.cli(&["licence", "list"])).starts_with("no licences"));
    assert!(done(&office.cli(&["table"])).contains("revision"), "the node is as before");

    let installed = done(&office.cli(&["licence", "install", "ten.txt"]));
    assert!(installed.starts_with("installed VOL-10-4 (volume): 10 full, 4 light, permanent"), "{installed}");
    let list = done(&office.cli(&["licence", "list"]));
    assert!(list.contains("VOL-10-4") && list.contains("permanent"), "{list}");
    let document = done(&office.cli(&["licence", "show", "VOL-10-4", "--document"]));
    assert_eq!(document, genuine, "as it was signed");

    done(&office.cli(&["instance", "add", "one", "--start", "--mode", "cloud", "--users", "8"]));
    let err = failed(&office.cli(&["instance", "add", "two", "--start", "--mode", "cloud", "--users", "3"]), 5);
    assert!(err.contains("[pool-exhausted]") && err.contains("1 are missing (R18)"), "{err}");
    done(&office.cli(&["instance", "add", "two", "--start", "--mode", "cloud", "--users", "2"]));
    let err = failed(&office.cli(&["licence", "book", "two", "--users", "3"]), 5);
    assert!(err.contains("asks for 3 full users, and other instances have booked 8 of the 10 licensed"), "{err}");
    assert!(done(&office.cli(&["licence", "book", "one", "--users", "7"])).starts_with("one: cloud, booked 7 full"));
    done(&office.cli(&["licence", "book", "two", "--users", "3", "--light", "4"]));
    assert!(done(&office.cli(&["licence", "book", "two", "--users", "3"])).starts_with("unchanged"));

    let state = json(&office.cli(&["licence", "show", "--json"]));
    assert_eq!(state["pool"]["unassigned"], json!({"full": 0, "light": 0}));
    let shown = done(&office.cli(&["licence", "show"]));
    assert!(shown.contains("10 full, 4 light") && shown.contains("active"), "{shown}");
    let csv = done(&office.cli(&["licence", "report", "--csv"]));
    assert!(
        csv.contains(",pool,yes,full,10,0,10,0,0,10\n") && csv.contains("two,cloud,yes,light,4,0,4,0,0,2\n"),
        "{csv}"
    );
    assert!(done(&office.cli(&["licence", "report"])).contains("two (cloud)"));
    let report = json(&office.cli(&["licence", "report", "--json"]));
    assert_eq!(report["full"]["licensed"], 10);

    // A smaller licence takes the place of it, and cuts nobody.
    write("five.txt", &volume(5, 4));
    done(&office.cli(&["licence", "install", "five.txt"]));
    let state = json(&office.cli(&["licence", "show", "--json"]));
    assert_eq!((&state["pool"]["over_allocated"]["full"], &state["pool"]["licence"]), (&json!(5), &json!("VOL-5-4")));
    assert!(failed(&office.cli(&["licence", "book", "one", "--users", "8"]), 5).contains("[pool-over-allocated]"));
    assert!(failed(&office.cli(&["licence", "remove", "VOL-5-4"]), 5).contains("[volume-licence-used]"));
    assert!(failed(&office.cli(&["licence", "show", "VOL-10-4"]), 4).contains("VOL-10-4"));
    let audit = done(&office.cli(&["audit", "licence/VOL-10-4"]));
    assert!(audit.contains("install-licence") && audit.contains("update-licence"), "{audit}");

    let run = done(&office.cli(&["licence", "dry-run", "--instance", "one", "--users", "1"]));
    assert!(run.contains("one") && run.contains("whoever is registered stays"), "{run}");
    done(&office.cli(&["licence", "export", "-o", "book.json"]));
    assert!(done(&office.cli(&["licence", "restore", "book.json"])).contains("restored VOL-5-4"));
    // R37
    let memory = |instances: &str, proxies: &str| {
        done(&office.cli(&["licence", "sizing", "--instances", instances, "--proxies", proxies]))
    };
    assert!(memory("5", "1").contains("5120 MB") && memory("100", "2").contains("54272 MB"));
    let hardware = done(&office.cli(&["licence", "hardware"]));
    assert!(hardware.contains("hardware id") && hardware.contains("key fingerprint"), "{hardware}");
}

#[test]
fn a_node_on_another_machine_asks_twice() {
    // R57 R58 R59 R61 R63
    let mut node = Node::start(Net::new());
    node.add_instance("acme", "127.0.0.1:5999", "udp");
    let licence = |node: &Node| node.must("GET", "/licences/VOL-100000000-100000000", None);
    let before = licence(&node);
    assert_eq!(before["binding"]["state"], "permanent");
    let hardware = node.must("GET", "/licence/hardware", None);
    assert_eq!(hardware["id"], before["binding"]["hardware"]);

    node.restart_with("TERM", |data| fs::remove_file(data.join("installation.key")).unwrap());
    assert_ne!(node.must("GET", "/licence/hardware", None)["id"], hardware["id"]);
    assert_eq!(licence(&node)["binding"]["state"], "unlicensed");
    let standing = |node: &Node| node.must("GET", "/licence", None)["instances"][0].clone();
    assert_eq!((&standing(&node)["standing"], &standing(&node)["softphones"]), (&json!("unlicensed"), &json!(false)));

    let install = |confirm: bool| json!({"document": volume(100_000_000, 100_000_000), "confirm": confirm});
    let (status, refused) = node.api("POST", "/licences", Some(install(false)));
    assert_eq!((status, refused["errors"][0]["code"].as_str()), (409, Some("bound-elsewhere")), "{refused}");
    assert_eq!(licence(&node)["binding"]["state"], "unlicensed", "nothing changed");
    node.must("POST", "/licences", Some(install(true)));
    let bound = licence(&node)["binding"].clone();
    let now = node.must("GET", "/licence", None)["at"].as_u64().unwrap();
    let deadline = bound["deadline"].as_u64().unwrap();
    assert_eq!(bound["state"], "temporary");
    assert!((now + 240 * 3_600 - 60..=now + 240 * 3_600).contains(&deadline), "{deadline} at {now}");
    assert_eq!(standing(&node)["standing"], "active");

    let here: HardwareId = node.must("GET", "/licence/hardware", None)["id"].as_str().unwrap().parse().unwrap();
    let confirmation = Confirmation {
        licence: "VOL-100000000-100000000".into(),
        hardware: here,
        revoked: Some(hardware["id"].as_str().unwrap().parse().unwrap()),
    };
    let document = signed("CONFIRMED", Terms::Confirmation(confirmation));
    node.must("POST", "/licences", Some(json!({"document": document})));
    assert_eq!(licence(&node)["binding"]["state"], "permanent");
    assert_eq!(standing(&node)["softphones"], true);
    node.restart("KILL");
    assert_eq!(licence(&node)["binding"]["state"], "permanent", "kept");
    let (_, audit) = node.api("GET", "/audit?object=installation", None);
    assert_eq!(audit["entries"][0]["action"], "move-installation");
}

#[test]
fn a_vendors_key_takes_effect_by_a_signal() {
    // R64
    let node = Node::start(Net::new());
    let config = fs::read_to_string(node.config()).unwrap();
    let public = nantucket::licence::Signer::new("vendor", &[7; 32]).unwrap().public();
    let keys = format!("[licence]\nvendor_keys = [{{ id = \"vendor\", key = \"{public}\" }}]\n");
    fs::write(node.config(), format!("{config}\n{keys}")).unwrap();
    assert_eq!(node.must("GET", "/licences", None)["total"], 1);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(node.pid()).unwrap()),
        nix::sys::signal::Signal::SIGHUP,
    )
    .unwrap();
    until("the demo licence counts no more", PATIENCE, || node.must("GET", "/licences", None)["total"] == 0);
    until("the table says so", PATIENCE, || {
        node.must("GET", "/table", None)["problems"][0]["code"] == "document-demo-key"
    });
    let (status, refused) = node.api("POST", "/licences", Some(json!({"document": volume(1, 0)})));
    assert_eq!((status, refused["errors"][0]["code"].as_str()), (422, Some("document-demo-key")), "{refused}");
}
