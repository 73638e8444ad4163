//! Users of an instance by the command line: lists, files, and what is refused.

use crate::support::office::Office;
use serde_json::{Value, json};
use std::fs;
use std::process::Output;

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn done(output: &Output) -> String {
    let (out, err) = texts(output);
    assert!(output.status.success(), "{:?}\n{out}\n{err}", output.status);
    out
}

#[track_caller]
fn failed(output: &Output, code: i32) -> String {
    let (out, err) = texts(output);
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    err
}

fn office() -> Office {
    let office = Office::open();
    done(&office.cli(&["instance", "add", "acme", "--mode", "cloud"]));
    office
}

#[test]
fn users_are_added_changed_and_removed_one_by_one() {
    // R39 R42 R49
    let office = office();
    assert!(done(&office.cli(&["user", "list", "acme"])).starts_with("no list of users: every account is a full user"));
    let alone = failed(&office.cli(&["user", "add", "acme", "ann", "--account", "10"]), 1);
    assert!(alone.contains("nantucket user import acme FILE"), "{alone}");
    let added = done(&office.cli(&["user", "add", "acme", "ann", "--account", "10", "--account", "10m", "--begin"]));
    assert_eq!(added, "added ann (full, phone), accounts: 10 10m\n");
    done(&office.cli(&["user", "add", "acme", "Porter", "--kind", "light", "--class", "door", "--account", "80"]));
    assert!(failed(&office.cli(&["user", "add", "acme", "ANN", "--account", "11"]), 1).contains("user set acme"));
    let taken = failed(&office.cli(&["user", "add", "acme", "ben", "--account", "10"]), 1);
    assert!(taken.contains("\"10\" is an account of user \"ann\" already"), "{taken}");

    let set = ["user", "set", "acme", "ann", "--add-account", "10.SFiphone", "--remove-account", "10m"];
    assert_eq!(done(&office.cli(&set)), "changed ann (full, phone), accounts: 10 10.SFiphone\n");
    assert!(done(&office.cli(&["user", "set", "acme", "ann", "--kind", "full"])).starts_with("unchanged: ann"));
    let list: Value = serde_json::from_str(&done(&office.cli(&["user", "list", "acme", "--json"]))).unwrap();
    let expected = json!([{ "name": "ann", "kind": "full", "accounts": ["10", "10.SFiphone"], "class": "phone" },
        { "name": "Porter", "kind": "light", "accounts": ["80"], "class": "door" }]);
    assert_eq!(list, expected);
    let light = done(&office.cli(&["user", "list", "acme", "--kind", "light"]));
    assert!(light.contains("Porter") && !light.contains("ann"), "{light}");
    assert!(done(&office.cli(&["user", "list", "acme", "sfi"])).contains("ann"));

    assert_eq!(done(&office.cli(&["user", "rm", "acme", "porter"])), "removed porter\n");
    failed(&office.cli(&["user", "rm", "acme", "porter"]), 4);
    failed(&office.cli(&["user", "set", "acme", "porter", "--kind", "full"]), 4);
    failed(&office.cli(&["user", "list", "nobody"]), 4);
    done(&office.cli(&["user", "rm", "acme", "--all"]));
    assert!(done(&office.cli(&["user", "list", "acme"])).starts_with("no list"));
}

#[test]
fn files_go_in_whole_and_come_out_the_same() {
    // R49
    let office = office();
    let file = office.dir().join("users.csv");
    let path = file.to_str().unwrap();
    fs::write(&file, "\u{feff}name;kind;accounts\r\nann;full;10 10m\r\n\"Müller, J\";half;11\r\nANN;;12\r\n").unwrap();
    let refused = failed(&office.cli(&["user", "import", "acme", path]), 1);
    assert!(refused.contains("line 3 kind: unknown variant `half`") && refused.contains("line 4 name: "), "{refused}");
    fs::write(&file, "name;kind;accounts\r\nann;full;10 10m\r\n\"Müller, J\";;10\r\nANN;;12\r\n").unwrap();
    let refused = failed(&office.cli(&["user", "import", "acme", path]), 1);
    for line in ["line 3 accounts: \"10\" is an account of user \"ann\" already", "line 4 name: "] {
        assert!(refused.contains(line), "{refused}");
    }
    assert!(done(&office.cli(&["user", "list", "acme"])).starts_with("no list"), "nothing half-applied");

    fs::write(&file, "name;kind;accounts\r\nann;full;10 10m\r\n\"Müller, J\";light;11\r\n").unwrap();
    let dry = done(&office.cli(&["user", "import", "acme", path, "--dry-run"]));
    assert_eq!(dry, "acme would have 2 users: 2 added, 0 changed, 0 removed\n");
    let made = done(&office.cli(&["user", "import", "acme", path]));
    assert_eq!(made, "acme has 2 users: 2 added, 0 changed, 0 removed\n");
    for (options, name) in [(&["--excel"][..], "excel.csv"), (&[], "plain.csv"), (&["--json"], "list.json")] {
        let text = done(&office.cli(&[&["user", "export", "acme"], options].concat()));
        let file = office.dir().join(name);
        fs::write(&file, &text).unwrap();
        let again = done(&office.cli(&["user", "import", "acme", file.to_str().unwrap(), "--replace"]));
        assert_eq!(again, "acme has 2 users: 0 added, 0 changed, 0 removed\n", "{text}");
    }
    fs::write(&file, "name,accounts\nben,12\n").unwrap();
    let more = done(&office.cli(&["user", "import", "acme", path]));
    assert_eq!(more, "acme has 3 users: 1 added, 0 changed, 0 removed\n");
    let less = done(&office.cli(&["user", "import", "acme", path, "--replace"]));
    assert_eq!(less, "acme has 1 users: 0 added, 0 changed, 2 removed\n");
    let audit = done(&office.cli(&["audit", "users/acme"]));
    assert!(audit.contains("create-users") && audit.contains("update-users"), "R77: {audit}");
}

#[test]
fn a_plan_tells_what_becomes_of_lists() {
    // R49
    let office = office();
    let file = office.dir().join("table.json");
    let path = file.to_str().unwrap();
    let change = |users: Value| json!({ "changes": [{ "op": "put-users", "instance": "acme", "users": users }] });
    let ann = json!([{ "name": "ann", "accounts": ["10"] }, { "name": "ben", "accounts": ["11"] }]);
    fs::write(&file, change(ann).to_string()).unwrap();
    let plan = done(&office.cli(&["plan", "-f", path]));
    assert!(plan.contains("users of acme: 2 (2 added, 0 changed, 0 removed)"), "{plan}");
    done(&office.cli(&["apply", "-f", path]));
    assert!(done(&office.cli(&["user", "list", "acme"])).contains("ben"));
    let bad = json!([{ "name": "ann", "accounts": ["10"] }, { "name": "ben", "accounts": ["10"] }]);
    fs::write(&file, change(bad).to_string()).unwrap();
    let (out, err) = texts(&office.cli(&["apply", "-f", path]));
    assert!(format!("{out}{err}").contains("changes[0].users[1].accounts[0]"), "{out}{err}");
    fs::write(&file, json!({ "changes": [{ "op": "delete-users", "instance": "acme" }] }).to_string()).unwrap();
    let plan = done(&office.cli(&["plan", "-f", path]));
    assert!(plan.contains("users of acme: no list, every account is a full user of its own"), "{plan}");
}

#[test]
fn web_sign_ins_and_emergency_numbers_are_set_with_the_instance() {
    // R46 R71
    let office = office();
    let set = [
        "instance",
        "set",
        "acme",
        "--web",
        "http://10.0.0.5",
        "--sign-in-path",
        "/login",
        "--sign-in-path",
        "/auth/*",
    ];
    done(
        &office.cli(
            &[&set[..], &["--sign-in-field", "user.name", "--sign-in-claim", "sub", "--emergency", "911"]].concat(),
        ),
    );
    let row = |office: &Office| -> Value {
        serde_json::from_str(&done(&office.cli(&["instance", "show", "acme", "--json"]))).unwrap()
    };
    let shown = row(&office);
    let sign_in = json!({ "paths": ["/login", "/auth/*"], "field": "user.name", "claim": "sub" });
    assert_eq!((&shown["web"]["sign_in"], &shown["emergency_numbers"]), (&sign_in, &json!(["911"])));
    let text = done(&office.cli(&["instance", "show", "acme"]));
    assert!(text.contains("field user.name at /login, /auth/*") && text.contains("911"), "{text}");
    let refused = failed(&office.cli(&["instance", "set", "acme", "--sign-in-path", "login", "--emergency", "sos"]), 1);
    assert!(refused.contains("web.sign_in.paths[0]") && refused.contains("emergency_numbers[0]"), "{refused}");
    done(&office.cli(&["instance", "set", "acme", "--no-sign-in", "--no-emergency"]));
    let shown = row(&office);
    assert_eq!((&shown["web"]["sign_in"]["paths"], &shown["emergency_numbers"]), (&json!([]), &json!([])));
}
