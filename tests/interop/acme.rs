//! Certificates from an authority: Debian's `pebble`, which looks at our listeners by HTTP-01 and TLS-ALPN-01, with
//! `pebble-challtestsrv` as its DNS.

use crate::support::node::Node;
use crate::support::program::Program;
use crate::support::{Net, PATIENCE, until};
use nantucket::tls::client::Verifier;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use tempfile::TempDir;

/// An authority on the second address of a net, whose names all stand for the node on the first.
struct Authority {
    ip: Ipv4Addr,
    root: String,
    _run: TempDir,
    _pebble: Program,
    _dns: Program,
}

impl Authority {
    /// Starts it; certificates live for so many seconds.
    fn start(net: Net, life: u64) -> Self {
        let (node, ip) = (net.ip(1), net.ip(2));
        let run = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec![ip.to_string(), "localhost".into()]).unwrap();
        let path = |name: &str| run.path().join(name);
        std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let config = json!({"pebble": {
            "listenAddress": format!("{ip}:14000"),
            "managementListenAddress": format!("{ip}:15000"),
            "certificate": path("cert.pem"),
            "privateKey": path("key.pem"),
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": life,
            "profiles": {"default": {"description": "short", "validityPeriod": life}},
        }});
        std::fs::write(path("config.json"), config.to_string()).unwrap();
        let dns = Program::start(Command::new("pebble-challtestsrv").args([
            "-defaultIPv4",
            &node.to_string(),
            "-defaultIPv6",
            "",
            "-dns01",
            &format!("{ip}:8053"),
            "-management",
            &format!("{ip}:8055"),
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
        ]));
        until("the authority's DNS listens", PATIENCE, || TcpStream::connect((ip, 8055)).is_ok());
        let pebble = Program::start(
            Command::new("pebble")
                .arg("-config")
                .arg(path("config.json"))
                .args(["-dnsserver", &format!("{ip}:8053")])
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_WFE_NONCEREJECT", "0")
                .env("PEBBLE_AUTHZREUSE", "0"),
        );
        until("the authority listens", PATIENCE, || TcpStream::connect((ip, 14000)).is_ok());
        Self { ip, root: made.cert.pem(), _run: run, _pebble: pebble, _dns: dns }
    }

    /// The row of a certificate it is asked for.
    fn row(&self, name: &str, host: &str, challenge: &str) -> Value {
        json!({"name": name, "acme": {
            "names": [host],
            "directory": format!("https://{}:14000/dir", self.ip),
            "contact": ["ops@pbx.test"],
            "terms_agreed": true,
            "challenge": challenge,
            "root": self.root,
        }})
    }
}

/// Waits until the order of a certificate is in this state.
#[track_caller]
fn wait_state(node: &Node, name: &str, state: &str) -> Value {
    let mut last = Value::Null;
    until(&format!("{name} is {state}"), PATIENCE, || {
        last = node.must("GET", &format!("/certificates/{name}"), None);
        last["acme_status"]["state"] == state
    });
    last
}

/// The certificate that a client gets for a host.
fn served(node: &Node, host: &str) -> Vec<u8> {
    use std::io::Read as _;
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let anybody = std::sync::Arc::new(Verifier::of_anybody(std::sync::Arc::clone(&provider)));
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(anybody)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = host.to_owned().try_into().unwrap();
    let mut client = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect((node.ip(), 443)).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut socket).unwrap();
    }
    let leaf = client.peer_certificates().unwrap()[0].to_vec();
    client.send_close_notify();
    let _ = client.complete_io(&mut socket);
    let _ = socket.read(&mut [0; 1]);
    leaf
}

#[test]
fn a_certificate_is_issued_over_each_challenge_renewed_and_served() {
    // R82 S03
    let net = Net::new();
    let node = Node::start(net);
    let authority = Authority::start(net, 7_776_000);
    for (name, host, challenge) in [("web", "main.pbx.test", "http-01"), ("alpn", "acme.pbx.test", "tls-alpn-01")] {
        node.must("POST", "/certificates", Some(authority.row(name, host, challenge)));
        let issued = wait_state(&node, name, "issued");
        assert_eq!(issued["names"], json!([host]), "{issued}");
        assert!(issued["issuer"].as_str().unwrap().contains("Pebble"), "{issued}");
        assert!(issued["acme_status"]["next"].as_u64().unwrap() > issued["not_before"].as_u64().unwrap());
        node.wait_live();
        let first = served(&node, host);
        assert!(String::from_utf8_lossy(&first).contains("Pebble"));
        node.must("POST", &format!("/certificates/{name}/renew"), Some(json!({})));
        until("the renewed one is served", PATIENCE, || served(&node, host) != first);
        wait_state(&node, name, "issued");
    }
    let audit = node.must("GET", "/audit", None).to_string();
    assert!(audit.contains("create-acme-account") && !audit.contains("PRIVATE KEY") && !audit.contains("key_pkcs8"));
    let accounts = audit.matches("create-acme-account").count();
    assert_eq!(accounts, 1, "both orders used one account");
    assert!(!node.printed().contains("PRIVATE KEY"));
    let status = node.cli(&["certificate", "acme", "status"]);
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(text.contains("main.pbx.test") && text.contains("issued"), "{text}");
}

#[test]
fn a_short_life_is_renewed_by_itself() {
    // R82
    let net = Net::new();
    let node = Node::start(net);
    let authority = Authority::start(net, 12);
    node.must("POST", "/certificates", Some(authority.row("web", "main.pbx.test", "http-01")));
    wait_state(&node, "web", "issued");
    node.wait_live();
    let first = served(&node, "main.pbx.test");
    until("it is renewed before its end", PATIENCE, || {
        let now = served(&node, "main.pbx.test");
        now != first && String::from_utf8_lossy(&now).contains("Pebble")
    });
}

#[test]
fn a_refused_order_says_why_and_waits() {
    // R82
    let net = Net::new();
    let node = Node::start(net);
    let authority = Authority::start(net, 7_776_000);
    // The node listens on nothing that TLS-ALPN-01 could reach.
    let mut row = node.must("GET", "/proxies/main", None);
    let listeners = row["listeners"].as_array().unwrap().clone();
    let kept: Vec<_> = listeners.into_iter().filter(|it| it["service"] != "https").collect();
    row["listeners"] = json!(kept);
    node.must("PUT", "/proxies/main", Some(row));
    node.wait_live();
    node.must("POST", "/certificates", Some(authority.row("alpn", "main.pbx.test", "tls-alpn-01")));
    let failed = wait_state(&node, "alpn", "failed");
    let status = &failed["acme_status"];
    assert_eq!((status["failures"].as_u64(), &failed["not_after"]), (Some(1), &json!(0)), "{failed}");
    assert!(status["error"].as_str().unwrap().contains("main.pbx.test"), "{status}");
    assert!(status["advice"].as_str().unwrap().contains("443"), "{status}");
    let text = String::from_utf8_lossy(&node.cli(&["certificate", "acme", "status"]).stdout).into_owned();
    assert!(text.contains("failed 1 times") && text.contains("443"), "{text}");
    let mut row = authority.row("bad", "main.pbx.test", "http-01");
    row["acme"]["terms_agreed"] = json!(false);
    assert_eq!(node.api("POST", "/certificates", Some(row)).0, 422);
}
