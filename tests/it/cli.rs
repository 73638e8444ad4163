//! The command line, as a person and as a script use it: the real binary against an API.

use crate::support::office::Office;
use serde_json::Value;
use std::fs;
use std::process::Output;

/// What a command printed; it must have ended well.
#[track_caller]
fn done(output: Output) -> String {
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{:?}\n{out}\n{err}", output.status);
    assert_eq!(err, "");
    out
}

/// What a command that was to end with this code said on stderr.
#[track_caller]
fn failed(output: Output, code: i32) -> String {
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    assert_eq!(out, "", "a failure prints nothing to stdout");
    err
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// A row of a table whose first word is this.
fn row<'a>(table: &'a str, first: &str) -> Vec<&'a str> {
    let row =
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|row| row.first() == Some(&first));
    row.unwrap_or_else(|| panic!("no row {first} in\n{table}"))
}

const ADD: [&str; 10] = [
    "instance",
    "add",
    "Acme",
    "--backend",
    "udp:10.0.0.5:5060",
    "--web",
    "http://10.0.0.5:80",
    "--alias",
    "pbx.acme.example",
    "--start",
];

// R1, R34
#[test]
fn an_instance_lives_through_its_commands() {
    let office = Office::open();
    assert!(done(office.cli(&ADD)).starts_with("created Acme (id 1, on), backends: udp:10.0.0.5:5060"));
    let list = done(office.cli(&["instance", "list"]));
    assert_eq!(row(&list, "Acme"), ["Acme", "on", "udp:10.0.0.5:5060", "http://10.0.0.5:80", "1/1", "0", "0"]);
    assert!(done(office.cli(&["instance", "show", "acme"])).contains("pbx.acme.example"));

    let set = ["instance", "set", "acme", "--backend", "tcp:10.0.0.6:5080,weight=5", "--no-alias", "--language", "de"];
    assert!(done(office.cli(&set)).starts_with("changed Acme"));
    let shown: Value = serde_json::from_str(&done(office.cli(&["instance", "show", "acme", "--json"]))).unwrap();
    let backend = &shown["backends"][0];
    assert_eq!((backend["address"].as_str(), backend["weight"].as_u64()), (Some("10.0.0.6:5080"), Some(5)));
    assert_eq!((shown["language"].as_str(), shown["aliases"].as_array().map(Vec::len)), (Some("de"), Some(0)));
    assert_eq!(shown["web"]["url"], "http://10.0.0.5:80", "what was not named stays");
    assert!(done(office.cli(&set)).starts_with("unchanged: Acme"));

    assert!(done(office.cli(&["instance", "stop", "acme"])).starts_with("stopped Acme (id 1, off)"));
    assert!(done(office.cli(&["instance", "start", "acme"])).starts_with("started Acme (id 1, on)"));
    assert_eq!(done(office.cli(&["instance", "rm", "acme"])), "removed acme\n");
    assert_eq!(done(office.cli(&["instance", "list"])), "no instances\n");
}

// R7
#[test]
fn a_rename_names_the_accounts_before_it_is_done() {
    let office = Office::open();
    done(office.cli(&ADD));
    let shown = done(office.cli(&["instance", "rename", "acme", "newname", "--dry-run"]));
    assert!(shown.starts_with("would rename Acme to newname") && shown.contains("\n  6001\n"), "{shown}");
    assert!(done(office.cli(&["instance", "list"])).contains("Acme"));
    let shown = done(office.cli(&["instance", "rename", "acme", "newname", "--keep-days", "3"]));
    assert!(shown.starts_with("renamed Acme to newname; Acme keeps routing until"), "{shown}");
    assert!(done(office.cli(&["instance", "show", "newname"])).contains("former name"));
    let refused = failed(office.cli(&["instance", "rename", "newname", "api", "--dry-run"]), 1);
    assert!(refused.contains("name-reserved"), "{refused}");
}

#[test]
fn every_way_to_fail_has_its_exit_code() {
    let office = Office::open();
    // R2
    let err = failed(office.cli(&["instance", "add", "a_b"]), 1);
    assert!(err.starts_with("error[invalid]: ") && err.contains("[name-invalid]"), "{err}");
    assert!(failed(office.cli(&["instance", "add", "a", "--backend", "udp:x,weight=no"]), 2).contains("weight"));
    assert!(failed(office.cli(&["instance", "add", "a", "--web-prefix", "keep"]), 2).contains("--web URL"));
    assert!(failed(office.cli(&["instance", "show", "acme"]), 4).starts_with("error[not-found]: "));
    done(office.cli(&ADD));
    // R3
    let err = failed(office.cli(&["instance", "add", "ACME"]), 5);
    assert!(err.starts_with("error[conflict]: "), "{err}");

    let mut wrong = office.command(&["status"]);
    let err = failed(wrong.env("NANTUCKET_TOKEN", "nt_wrong").output().unwrap(), 6);
    assert!(err.starts_with("error[unauthorized]: "), "{err}");
    let err = failed(office.cli(&["status", "--token-file", "nothing-here"]), 6);
    assert!(err.contains("nothing-here") && err.contains("--token-file"), "{err}");

    let err = failed(office.cli(&["status", "--url", "https://127.0.0.1:1"]), 3);
    assert!(err.contains("is the node running"), "{err}");
    failed(office.cli(&["status", "--url", "not a url"]), 2);
    assert!(failed(office.cli(&["status", "--url", "http://127.0.0.1:1"]), 2).contains("https"));
}

#[test]
fn the_nodes_own_certificate_is_trusted_and_no_other() {
    let (office, other) = (Office::open(), Office::open());
    done(office.cli(&["status"]));
    let certificate = other.dir().join("tls/self-signed.pem");
    let certificate = certificate.to_str().unwrap();
    let err = failed(office.cli(&["status", "--ca", certificate]), 3);
    assert!(err.contains("--ca"), "{err}");
    done(office.cli(&["status", "--insecure"]));
    let own = office.dir().join("tls/self-signed.pem");
    done(office.cli(&["status", "--ca", own.to_str().unwrap()]));
    let token = office.dir().join("admin-token");
    assert!(failed(office.cli(&["status", "--ca", token.to_str().unwrap()]), 2).contains("no certificate"));
}

// R11, R78
#[test]
fn a_proxy_lives_through_its_commands() {
    let office = Office::open();
    done(office.cli(&ADD));
    let add = [
        "proxy",
        "add",
        "front",
        "--fqdn",
        "front.pbx.example",
        "--base-domain",
        "pbx.example",
        "--listen",
        "sip-udp=127.0.0.1:5060",
        "--listen",
        "https=127.0.0.1:443,advertise=front.pbx.example",
        "--instance",
        "acme",
    ];
    assert!(done(office.cli(&add)).starts_with("created front (id 1), front.pbx.example, listeners: sip-udp="));
    let list = done(office.cli(&["proxy", "list"]));
    assert_eq!(row(&list, "front").last(), Some(&"acme"));
    let set = ["proxy", "set", "front", "--all-instances", "--default-instance", "acme", "--unknown", "drop"];
    done(office.cli(&set));
    let shown: Value = serde_json::from_str(&done(office.cli(&["proxy", "show", "front", "--json"]))).unwrap();
    assert_eq!((&shown["instances"], shown["unknown"].as_str()), (&Value::Null, Some("drop")));
    assert_eq!(shown["listeners"][1]["advertise"], "front.pbx.example");
    assert!(done(office.cli(&["proxy", "show", "front"])).contains("default instance"));

    let err = failed(office.cli(&["instance", "rm", "acme"]), 5);
    assert!(err.contains("[in-use]"), "{err}");
    done(office.cli(&["proxy", "rm", "front"]));
    failed(office.cli(&["proxy", "show", "front"]), 4);
}

// R82
#[test]
fn certificates_are_added_listed_replaced_and_removed() {
    let office = Office::open();
    let made = rcgen::generate_simple_self_signed(vec!["front.pbx.example".to_owned()]).unwrap();
    fs::write(office.dir().join("chain.pem"), made.cert.pem()).unwrap();
    fs::write(office.dir().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let add = ["certificate", "add", "own", "--chain", "chain.pem", "--key", "key.pem"];
    assert!(done(office.cli(&add)).starts_with("added own for front.pbx.example, valid until "));
    assert!(failed(office.cli(&add), 5).contains("--replace"));
    assert!(done(office.cli(&[&add[..], &["--replace"]].concat())).starts_with("replaced own"));
    assert_eq!(row(&done(office.cli(&["certificate", "list"])), "own")[1], "front.pbx.example");
    done(office.cli(&["certificate", "rm", "own"]));
    assert_eq!(done(office.cli(&["certificate", "list"])), "no certificates\n");
    let err = failed(office.cli(&["certificate", "add", "own", "--chain", "none.pem", "--key", "key.pem"]), 2);
    assert!(err.contains("none.pem"), "{err}");
}

const TABLE: &str = r#"
[[instances]]
name = "acme"
state = "on"
backends = [{ address = "10.0.0.5:5060" }]

[[instances]]
name = "beta"

[[proxies]]
name = "front"
fqdn = "front.pbx.example"
base_domain = "pbx.example"
instances = ["acme", "beta"]
"#;

// R74
#[test]
fn a_table_file_is_checked_planned_and_applied() {
    let office = Office::open();
    done(office.cli(&["instance", "add", "gone", "--start"]));
    fs::write(office.dir().join("table.toml"), TABLE).unwrap();
    let checked = done(office.cli(&["check", "-f", "table.toml"]));
    assert!(checked.contains("2 instances, 1 proxies"), "{checked}");

    let plan = done(office.cli(&["plan", "-f", "table.toml", "--complete"]));
    for line in ["add instance acme", "add instance beta", "remove instance gone", "add proxy front"] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    assert!(
        plan.contains("calls that lose their instance") && !done(office.cli(&["instance", "list"])).contains("acme")
    );
    done(office.cli(&["apply", "-f", "table.toml", "--complete"]));
    let list = done(office.cli(&["instance", "list"]));
    assert!(list.contains("acme") && list.contains("beta") && !list.contains("gone"), "{list}");
    assert!(done(office.cli(&["plan", "-f", "table.toml"])).starts_with("nothing to change"));

    fs::write(office.dir().join("moved.toml"), TABLE.replace("10.0.0.5", "10.0.0.6")).unwrap();
    let plan = done(office.cli(&["plan", "-f", "moved.toml"]));
    assert!(plan.starts_with("retarget instance acme: ") && plan.contains("(2 calls, 1 bindings)"), "{plan}");
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_file_line_and_key() {
    let office = Office::open();
    let write = |name: &str, text: &str| fs::write(office.dir().join(name), text).unwrap();
    write("shape.toml", &TABLE.replace("\"10.0.0.5:5060\"", "5"));
    for command in ["check", "plan", "apply"] {
        let err = failed(office.cli(&[command, "-f", "shape.toml"]), 1);
        assert!(err.contains("shape.toml:5:25: instances[0].backends[0].address: invalid type"), "{err}");
    }
    write("rows.toml", &TABLE.replace("10.0.0.5:5060", "10.0.0.5:99999").replace("[\"acme\", \"beta\"]", "[\"none\"]"));
    for command in ["check", "plan", "apply"] {
        let err = failed(office.cli(&[command, "-f", "rows.toml"]), 1);
        assert!(err.contains("rows.toml:5:25: instances[0].backends[0].address: "), "{command}: {err}");
        assert!(err.contains("rows.toml:14:14: proxies[0].instances[0]: "), "{command}: {err}");
    }
    let plan = office.cli(&["plan", "-f", "rows.toml", "--json"]);
    let shown: Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!((plan.status.code(), shown["problems"].as_array().map(Vec::len)), (Some(1), Some(2)));
    write("rows.json", "{\"instances\": [\n {\"name\": \"a_b\"}\n]}");
    let err = failed(office.cli(&["check", "-f", "rows.json"]), 1);
    assert!(err.contains("rows.json:2:11: instances[0].name: "), "{err}");
    assert!(failed(office.cli(&["check", "-f", "none.toml"]), 2).contains("none.toml"));

    write("node.toml", "workers = 2\nwrokers = 3\n");
    assert!(failed(office.cli(&["check", "--config", "node.toml"]), 1).contains("node.toml:2:1: wrokers: "));
    write("node.toml", "workers = 2\n");
    assert!(done(office.cli(&["check", "--config", "node.toml"])).contains("node.toml is valid"));
}

// R77
#[test]
fn the_audit_the_table_and_the_status_are_shown() {
    let office = Office::open();
    done(office.cli(&ADD));
    done(office.cli(&["instance", "set", "acme", "--display-name", "Acme Ltd"]));
    let audit = done(office.cli(&["audit", "instance/Acme"]));
    assert!(audit.contains("create-instance") && audit.contains("display_name"), "{audit}");
    assert_eq!(audit.matches("admin-token").count(), 2);
    let page = done(office.cli(&["audit", "--limit", "1"]));
    assert!(page.contains("older ones: --before"), "{page}");
    let entries: Value = serde_json::from_str(&done(office.cli(&["audit", "--json"]))).unwrap();
    assert_eq!(entries["entries"][0]["after"]["display_name"], "Acme Ltd");

    assert!(done(office.cli(&["table"])).contains("no problems"));
    let status = done(office.cli(&["status"]));
    assert_eq!(row(&status, "phase"), ["phase", "serving"]);
    assert_eq!(row(&status, "api"), ["api", "https", "127.0.0.1:8443", "bound"]);
}

#[test]
fn explain_names_the_rule_that_decides() {
    let office = Office::open();
    done(office.cli(&ADD));
    done(office.cli(&["proxy", "add", "front", "--fqdn", "front.pbx.example", "--base-domain", "pbx.example"]));
    crate::support::until("the rows are live", crate::support::PATIENCE, || {
        done(office.cli(&["status"])).contains("revision   2")
    });
    let shown = done(office.cli(&["explain", "--from", "192.0.2.1", "--register", "6001@acme"]));
    assert!(shown.starts_with("REGISTER of 6001@acme from 192.0.2.1 (table revision 2)"), "{shown}");
    assert!(shown.contains("proxy front: forwarded") && shown.contains("10.0.0.5:5060"), "{shown}");
    let shown = done(office.cli(&["explain", "--host", "front.pbx.example/acme/x"]));
    assert!(shown.contains("web: http://10.0.0.5:80"), "{shown}");
    // R9
    let shown = done(office.cli(&["explain", "--register", "6001@nobody"]));
    assert!(shown.contains("unknown-instance, status 404"), "{shown}");
    failed(office.cli(&["explain", "--from", "192.0.2.1"]), 2);
    failed(office.cli(&["explain", "--register", "nobody"]), 1);
}

#[test]
fn a_list_longer_than_one_part_is_shown_whole() {
    let office = Office::open();
    let rows: Vec<String> =
        (0..1_001).map(|n| format!("[[instances]]\nname = \"i{n:04}\"\nlicence.mode = \"cloud\"\n")).collect();
    fs::write(office.dir().join("many.toml"), rows.concat()).unwrap();
    assert!(done(office.cli(&["apply", "-f", "many.toml"])).contains("1001 instances"));
    let rows: Vec<Value> = serde_json::from_str(&done(office.cli(&["instance", "list", "--json"]))).unwrap();
    assert_eq!((rows.len(), rows[1_000]["name"].as_str()), (1_001, Some("i1000")));
}
