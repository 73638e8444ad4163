//! What Debian's `sslscan` and `testssl` find on our ports under TLS: 1.2 and 1.3, and nothing weak (S05).

use crate::support::node::Node;
use crate::support::{Net, until};
use serde_json::json;
use std::net::TcpStream;
use std::process::Command;

/// A node that also speaks SIP over TLS and WebSockets under TLS, each on a port of its own.
fn node() -> Node {
    let node = Node::start(Net::new());
    let mut row = node.must("GET", "/proxies/main", None);
    let listeners = row["listeners"].as_array_mut().unwrap();
    listeners.push(json!({"service": "sip-tls", "bind": format!("{}:5061", node.ip())}));
    listeners.push(json!({"service": "sip-wss", "bind": format!("{}:7443", node.ip())}));
    node.must("PUT", "/proxies/main", Some(row));
    node.wait_live();
    for port in [443, 5061, 7443] {
        until("the port is served", crate::support::PATIENCE, || TcpStream::connect((node.ip(), port)).is_ok());
    }
    node
}

#[test]
fn sslscan_finds_only_tls_1_2_and_1_3_and_no_weak_suite() {
    // S05
    let node = node();
    for port in [443, 5061, 7443] {
        let place = format!("{}:{port}", node.ip());
        let scan = Command::new("sslscan").args(["--no-colour", "--sni-name=main.pbx.test", &place]).output().unwrap();
        let text = String::from_utf8_lossy(&scan.stdout).into_owned();
        for off in ["SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"] {
            let line = text.lines().find(|line| line.starts_with(off));
            assert!(line.is_some_and(|line| line.contains("disabled")), "{place} {off}: {text}");
        }
        for on in ["TLSv1.2", "TLSv1.3"] {
            let line = text.lines().find(|line| line.starts_with(on));
            assert!(line.is_some_and(|line| line.contains("enabled")), "{place} {on}: {text}");
        }
        let accepted: Vec<_> =
            text.lines().filter(|line| line.starts_with("Preferred") || line.starts_with("Accepted")).collect();
        assert!(accepted.len() >= 4, "{place}: {text}");
        for line in accepted {
            let strong = line.contains("TLS_") || line.contains("ECDHE-");
            let weak =
                ["CBC", "RC4", "3DES", "NULL", "EXP", "anon", "-SHA ", "SHA1"].iter().any(|it| line.contains(it));
            assert!(strong && !weak && !line.contains(" 112 "), "{place}: {line}");
        }
        assert!(text.contains("Session renegotiation not supported"), "{place}: {text}");
        assert!(!text.contains("vulnerable to heartbleed") || text.contains("not vulnerable"), "{place}: {text}");
    }
}

#[test]
fn testssl_finds_no_old_version_and_no_weak_class_of_suites() {
    // S05
    let node = node();
    for port in [443, 5061] {
        let place = format!("{}:{port}", node.ip());
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("report.json");
        let scan = Command::new("testssl")
            .args(["--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", &node.ip().to_string()])
            .args(["-p", "-s", "--jsonfile"])
            .arg(&report)
            .arg(&place)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&scan.stdout).into_owned();
        let found: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(&report).unwrap_or_default())
            .unwrap_or_else(|error| panic!("{place}: {error}\n{text}"));
        let finding = |id: &str| {
            let it = found.iter().find(|it| it["id"] == id).unwrap_or_else(|| panic!("{place} {id}: {text}"));
            it["finding"].as_str().unwrap().to_owned()
        };
        for id in ["SSLv2", "SSLv3", "TLS1", "TLS1_1"] {
            assert!(finding(id).contains("not offered"), "{place} {id}: {}", finding(id));
        }
        for id in ["TLS1_2", "TLS1_3"] {
            assert!(finding(id).starts_with("offered"), "{place} {id}: {}", finding(id));
        }
        let classes = found.iter().map(|it| (it["id"].as_str().unwrap(), it["finding"].as_str().unwrap()));
        let classes: Vec<_> = classes.filter(|(id, _)| id.starts_with("cipherlist_")).collect();
        assert!(classes.len() >= 6, "{place}: {text}");
        for (id, finding) in classes {
            let is_strong = id.contains("STRONG");
            assert!(is_strong || finding.contains("not offered"), "{place} {id}: {finding}");
            assert!(!is_strong || finding.starts_with("offered"), "{place} {id}: {finding}");
        }
    }
}
