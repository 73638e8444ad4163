//! The mode of an instance and what is booked for it.

use crate::support::office::Office;
use serde_json::{Value, json};
use std::process::Output;

#[track_caller]
fn done(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{:?}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn licence(office: &Office, name: &str) -> Value {
    let shown: Value =
        serde_json::from_str(&done(&office.cli(&["instance", "show", name, "--json"]))).expect("an instance");
    shown["licence"].clone()
}

#[test]
fn mode_and_booking_are_set_at_creation_and_later() {
    // R14
    let office = Office::licensed(11, 4);
    done(&office.cli(&["instance", "add", "plain"]));
    assert_eq!(licence(&office, "plain")["mode"], "community", "what every installation has");
    let add = ["instance", "add", "acme", "--mode", "cloud", "--users", "10", "--light", "4", "--release", "8.1"];
    done(&office.cli(&[&add[..], &["--second-device", "last-wins", "--shadow"]].concat()));
    let wanted = json!({"mode": "cloud", "booked": {"full": 10, "light": 4}, "server": null,
        "second_device": "last-wins", "shadow": true});
    assert_eq!(licence(&office, "acme"), wanted);
    let shown = done(&office.cli(&["instance", "show", "acme"]));
    assert!(shown.contains("cloud, booked 10 full and 4 light, last device wins, shadow"), "{shown}");
    assert!(shown.contains("8.1"), "{shown}");

    done(&office.cli(&["instance", "set", "acme", "--users", "11", "--shadow", "false"]));
    let changed = licence(&office, "acme");
    assert_eq!((&changed["booked"], &changed["shadow"]), (&json!({"full": 11, "light": 4}), &json!(false)));
    done(&office.cli(&["instance", "set", "acme", "--mode", "community"]));
    assert_eq!(licence(&office, "acme")["booked"], json!({"full": 0, "light": 0}), "R19: a booking goes with its mode");
    let audit = done(&office.cli(&["audit", "instance/acme"]));
    assert!(audit.contains("licence"), "R77: {audit}");
}
