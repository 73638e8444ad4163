//! The vendor's side of the command line: keys, documents, and how they are checked (R64). No node is there.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const MACHINE: &str = "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA";

fn run(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nantucket"))
        .args(["licence"])
        .args(args)
        .env_remove("NANTUCKET_VENDOR_KEY")
        .env_remove("NANTUCKET_LICENCE_VENDOR_KEYS")
        .current_dir(dir)
        .output()
        .unwrap()
}

#[track_caller]
fn done(output: Output) -> String {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn failed(output: Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A vendor with a key, and its public half as `ID=KEY`.
fn vendor() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let made: Value = serde_json::from_str(&done(run(dir.path(), &["keygen", "acme-2026", "--json"]))).unwrap();
    let public = format!("acme-2026={}", made["key"].as_str().unwrap());
    (dir, public)
}

#[test]
fn a_private_key_is_kept_private() {
    // R64
    let dir = tempfile::tempdir().unwrap();
    let shown = done(run(dir.path(), &["keygen", "acme-2026"]));
    let path = dir.path().join("acme-2026.key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = fs::read_to_string(&path).unwrap();
    let private = kept.lines().find_map(|line| line.strip_prefix("private = ")).unwrap().trim_matches('"');
    assert!(!shown.contains(private) && shown.contains("vendor_keys = [{ id = \"acme-2026\", key = \""), "{shown}");
    // What is printed is a configuration.
    let config = &shown[shown.find("[licence]").unwrap()..];
    fs::write(dir.path().join("node.toml"), config).unwrap();
    let check = ["check", "--config", "node.toml"];
    let output = Command::new(env!("CARGO_BIN_EXE_nantucket")).args(check).current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // It is not overwritten, and not used once others can read it.
    assert!(failed(run(dir.path(), &["keygen", "acme-2026"]), 2).contains("acme-2026.key"));
    assert_eq!(fs::read_to_string(&path).unwrap(), kept);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let issue = ["issue", "volume", "--users", "5", "--holder", "Beta", "--key", "acme-2026.key"];
    assert!(failed(run(dir.path(), &issue), 2).contains("chmod 600"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, kept.replace("private = \"", "private = \"x")).unwrap();
    let err = failed(run(dir.path(), &issue), 2);
    assert!(err.contains("not a private key") && !err.contains(private), "{err}");
    assert!(failed(run(dir.path(), &["keygen", "demo"]), 2).contains("demo"));
    assert!(failed(run(dir.path(), &["keygen", "Not An Id"]), 2).contains("key id"));
}

#[test]
fn every_kind_is_issued_verified_and_inspected() {
    // R64
    let (dir, public) = vendor();
    let kinds: [(&[&str], &str, &str); 7] = [
        (&["issue", "volume", "--users", "100", "--light", "20"], "volume licence", "100 full, 20 light"),
        (&["issue", "server", "--edition", "compact", "--release", "8.1"], "server licence", "included users"),
        (&["issue", "pack", "--light", "10", "--release", "8.1", "--server", "S-1"], "user pack", "0 full, 10 light"),
        (&["issue", "feature", "--release", "8.1", "--server", "S-1"], "feature licence", "soft clients"),
        (
            &[
                "issue",
                "contract",
                "--release",
                "8.2",
                "--server",
                "S-1",
                "--from",
                "2027-01-01",
                "--until",
                "2099-01-01",
            ],
            "update contract",
            "2099-01-01 00:00:00 UTC",
        ),
        (&["confirm", "S-1", "--hardware", MACHINE], "confirmation of a move", MACHINE),
        (&["detach", "P-1", "--server", "S-1"], "detachment", "P-1"),
    ];
    for (n, (command, title, says)) in kinds.into_iter().enumerate() {
        let file = format!("{n}.lic");
        let shared = ["--holder", "Beta Ltd", "--key", "acme-2026.key", "--expires", "30d", "--output", &file];
        let issued = done(run(dir.path(), &[command, &shared[..]].concat()));
        assert!(issued.contains(title) && issued.contains("Beta Ltd"), "{issued}");
        let verified = done(run(dir.path(), &["verify", &file, "--key", &public]));
        assert!(verified.starts_with("genuine and valid until ") && verified.contains(title), "{verified}");
        let inspected = done(run(dir.path(), &["inspect", &file]));
        assert!(inspected.contains(says) && inspected.contains("acme-2026"), "{inspected}");
        let error = failed(run(dir.path(), &["verify", &file]), 1);
        assert!(error.contains("acme-2026") && error.contains("not among"), "{error}");
    }
    // Several in one file.
    let all: String = (0..7).map(|n| fs::read_to_string(dir.path().join(format!("{n}.lic"))).unwrap()).collect();
    fs::write(dir.path().join("all.lic"), all).unwrap();
    assert_eq!(done(run(dir.path(), &["verify", "all.lic", "--key", &public])).lines().count(), 7);
    let shown: Value = serde_json::from_str(&done(run(dir.path(), &["inspect", "all.lic", "--json"]))).unwrap();
    assert_eq!(shown[0]["content"]["terms"]["volume"]["users"]["full"], 100);
    assert_eq!(shown[2]["content"]["terms"]["pack"]["count"], 10);
}

#[test]
fn what_is_not_genuine_is_refused() {
    // R64
    let (dir, public) = vendor();
    let issue = ["issue", "volume", "--users", "5", "--holder", "Beta", "--key", "acme-2026.key"];
    let text = done(run(dir.path(), &issue));
    let verify = |text: &str, keys: &str| {
        fs::write(dir.path().join("it.lic"), text).unwrap();
        run(dir.path(), &["verify", "it.lic", "--key", keys])
    };
    // As a mail program leaves it.
    done(verify(&text.replace('\n', "\r\n> "), &public));
    let changed = text.replacen("\nAE", "\nAF", 1);
    assert_ne!(changed, text);
    assert!(failed(verify(&changed, &public), 1).contains("checksum"));
    assert!(failed(verify("no licence", &public), 1).contains("no licence document"));
    // Another key of the same id.
    let other = done(run(dir.path(), &["keygen", "acme-2026", "--output", "other.key", "--json"]));
    let other: Value = serde_json::from_str(&other).unwrap();
    let error = failed(verify(&text, &format!("acme-2026={}", other["key"].as_str().unwrap())), 1);
    assert!(error.contains("signature does not match"), "{error}");
    // The demo key, where a vendor's is known.
    let demo = done(run(dir.path(), &["issue", "volume", "--users", "5", "--holder", "Beta", "--demo"]));
    assert!(failed(verify(&demo, &public), 1).contains("demo or test key"));
    fs::write(dir.path().join("demo.lic"), &demo).unwrap();
    assert!(done(run(dir.path(), &["verify", "demo.lic"])).contains("signed with demo"));
    // Its time is over.
    let old = [&issue[..], &["--issued", "2020-01-01", "--expires", "30d"]].concat();
    let error = failed(verify(&done(run(dir.path(), &old)), &public), 1);
    assert!(error.contains("expired on 2020-01-31"), "{error}");
    // A clock that is behind.
    let ahead = [&issue[..], &["--issued", "2100-01-01"]].concat();
    let error = failed(verify(&done(run(dir.path(), &ahead)), &public), 1);
    assert!(error.contains("set this machine's clock"), "{error}");
    // Wrong use.
    failed(run(dir.path(), &["issue", "volume", "--users", "5", "--holder", "Beta"]), 2);
    failed(run(dir.path(), &["issue", "pack", "--holder", "Beta", "--release", "8.1", "--demo"]), 2);
    let error = failed(run(dir.path(), &["issue", "volume", "--users", "0", "--holder", "Beta", "--demo"]), 1);
    assert!(error.contains("not issued"), "{error}");
    assert!(failed(run(dir.path(), &["verify", "it.lic", "--key", "nonsense"]), 2).contains("ID=KEY"));
    failed(run(dir.path(), &["verify", "not-there.lic"]), 2);
}

#[test]
fn a_document_is_shown_as_a_qr_code() {
    let (dir, public) = vendor();
    let issue = ["issue", "volume", "--users", "5", "--holder", "Beta", "--key", "acme-2026.key", "--qr", "it.svg"];
    let text = done(run(dir.path(), &issue));
    let image = fs::read_to_string(dir.path().join("it.svg")).unwrap();
    assert!(image.starts_with("<?xml") && image.ends_with("</svg>"), "{image}");
    fs::write(dir.path().join("it.lic"), &text).unwrap();
    let blocks = done(run(dir.path(), &["inspect", "it.lic", "--qr", "-"]));
    assert!(blocks.contains('█'), "{blocks}");
    // From standard input too.
    let mut child = Command::new(env!("CARGO_BIN_EXE_nantucket"))
        .args(["licence", "verify", "-", "--key", &public])
        .stdin(Stdio::from(fs::File::open(dir.path().join("it.lic")).unwrap()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
}
