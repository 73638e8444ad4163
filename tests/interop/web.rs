//! nginx with a WebSocket echo behind it as an instance's web side; curl and a WebSocket client
//! in front.

use crate::support::node::Node;
use crate::support::program::Program;
use crate::support::{Net, PATIENCE, licence};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

/// The web side of an instance.
pub struct WebSide {
    /// Where nginx listens, port 8081.
    pub ip: Ipv4Addr,
    run: TempDir,
    _nginx: Program,
    _echo: Program,
}

impl WebSide {
    /// Starts both on the `n`th address of `net`.
    pub fn start(net: Net, n: u8) -> Self {
        let ip = net.ip(n);
        let run = tempfile::tempdir().unwrap();
        std::fs::create_dir(run.path().join("files")).unwrap();
        let config = include_str!("nginx.conf")
            .replace("@ADDRESS@", &ip.to_string())
            .replace("@RUN@", run.path().to_str().unwrap());
        std::fs::write(run.path().join("nginx.conf"), config).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/echo.py");
        // Debian's own Python has Debian's websockets; another one first on the path may not.
        let echo = Program::start(Command::new("/usr/bin/python3").args([script, &ip.to_string(), "8082"]));
        echo.wait_line("serving", PATIENCE);
        let nginx = Program::start(
            Command::new("/usr/sbin/nginx").arg("-p").arg(run.path()).arg("-c").arg(run.path().join("nginx.conf")),
        );
        crate::support::until("nginx listens", PATIENCE, || TcpStream::connect((ip, 8081)).is_ok());
        Self { ip, run, _nginx: nginx, _echo: echo }
    }

    /// Its URL for the table.
    pub fn url(&self) -> String {
        format!("http://{}:8081", self.ip)
    }

    /// Puts a file under `/files/`.
    pub fn put_file(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.run.path().join("files").join(name), bytes).unwrap();
    }
}

/// Runs curl against the node, trusting its self-signed certificate; gives what it printed.
#[track_caller]
fn curl(node: &Node, hosts: &[&str], args: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "30", "--cacert"]).arg(node.certificate());
    for host in hosts {
        for port in [80, 443] {
            command.arg("--resolve").arg(format!("{host}:{port}:{}", node.ip()));
        }
    }
    let out = command.args(args).output().expect("curl is installed by tests/run");
    assert!(out.status.success(), "curl {args:?}: {}\n{}", String::from_utf8_lossy(&out.stderr), node.printed());
    String::from_utf8_lossy(&out.stdout).into_owned()
}

// R5 R8 R9 HT07 HT15
#[test]
fn curl_reaches_nginx_by_host_and_by_path_over_http1_and_http2() {
    let net = Net::new();
    let side = WebSide::start(net, 21);
    let node = Node::start(net);
    node.add_web_instance("harbor", &side.url());
    let by_host = format!("harbor.{}", node.base_domain());
    let by_path = node.fqdn();
    let hosts = [by_host.as_str(), by_path.as_str()];

    for version in ["--http1.1", "--http2"] {
        let get = |url: String| curl(&node, &hosts, &[version, "--write-out", "%{http_version} %{http_code}", &url]);
        let wire = if version == "--http2" { "2 200" } else { "1.1 200" };
        assert_eq!(get(format!("https://{by_host}/")), format!("harbor master\n{wire}"));
        let told = get(format!("https://{by_path}/harbor/echo?a=1&b=%20"));
        assert!(told.starts_with("GET /echo?a=1&b=%20 "), "{told}");
        assert!(told.contains("prefix=/harbor ") && told.contains("proto=https "), "{told}");
        assert!(told.ends_with(wire), "{told}");
        // Where the instance shows its own address, the client sees the proxy's.
        let moved = curl(&node, &hosts, &[version, "--head", &format!("https://{by_path}/harbor/moved")]);
        assert!(moved.contains("302") && !moved.contains(&side.ip.to_string()), "{moved}");
        assert!(get(format!("https://{by_path}/nobody/")).ends_with("404"), "an unknown name");
    }
    let plain = curl(&node, &hosts, &["--head", &format!("http://{by_host}/echo")]);
    assert!(plain.contains("308") && plain.contains(&format!("https://{by_host}/echo")), "{plain}");
}

// HT08 R82
#[test]
fn large_bodies_stream_both_ways_unchanged() {
    let net = Net::new();
    let side = WebSide::start(net, 21);
    let node = Node::start(net);
    node.add_web_instance("harbor", &side.url());
    let host = format!("harbor.{}", node.base_domain());
    let bytes: Vec<u8> = (0..24u32 << 18).flat_map(u32::to_le_bytes).collect();
    side.put_file("large", &bytes);
    let folder = tempfile::tempdir().unwrap();
    for version in ["--http1.1", "--http2"] {
        let got = folder.path().join("got");
        let path = got.to_str().unwrap();
        curl(&node, &[&host], &[version, "--output", path, &format!("https://{host}/files/large")]);
        assert!(std::fs::read(&got).unwrap() == bytes, "the download differs over {version}");
        let sent = curl(
            &node,
            &[&host],
            &[version, "--header", "Expect:", "--data-binary", &format!("@{path}"), &format!("https://{host}/upload")],
        );
        assert_eq!(sent.trim(), bytes.len().to_string(), "the upload differs over {version}");
    }
}

// HT13
#[test]
fn a_websocket_echoes_through_nginx() {
    let net = Net::new();
    let side = WebSide::start(net, 21);
    let node = Node::start(net);
    node.add_web_instance("harbor", &side.url());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut socket = connect(&node, "harbor").await;
        for text in ["ahoy", "", &"x".repeat(100_000)] {
            socket.send(Message::text(text)).await.unwrap();
            let back = socket.next().await.unwrap().unwrap();
            assert_eq!(back.into_text().unwrap().as_str(), text);
        }
        socket.close(None).await.unwrap();
    });
}

/// `count` requests by host over one connection after the other, with curl.
#[track_caller]
pub fn fetch_many(node: &Node, instance: &str, count: u32) {
    let host = format!("{instance}.{}", node.base_domain());
    let got = curl(node, &[&host], &[&format!("https://{host}/echo?n=[1-{count}]")]);
    assert_eq!(got.lines().count(), count as usize);
}

/// A WebSocket to an instance's `/ws`, over TLS through the node.
pub async fn connect(
    node: &Node,
    instance: &str,
) -> tokio_tungstenite::WebSocketStream<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    let host = format!("{instance}.{}", node.base_domain());
    let tcp = tokio::net::TcpStream::connect((node.ip(), 443)).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from(host.clone()).unwrap();
    let tls = tokio_rustls::TlsConnector::from(node.tls_client()).connect(name, tcp).await.unwrap();
    let request = format!("wss://{host}/ws").into_client_request().unwrap();
    tokio_tungstenite::client_async(request, tls).await.unwrap().0
}

// R46
#[test]
fn nginx_sees_nothing_of_a_light_user() {
    let net = Net::new();
    let side = WebSide::start(net, 21);
    let node = Node::start(net);
    let web = json!({"url": side.url(), "sign_in": {"paths": ["/echo"]}});
    let row = json!({"name": "harbor", "state": "on", "licence": licence::cloud(), "web": web, "language": "de"});
    node.must("POST", "/instances", Some(row));
    let users =
        json!({"users": [{"name": "ann", "accounts": ["10"]}, {"name": "fax", "kind": "light", "accounts": ["90"]}]});
    node.must("PUT", "/instances/harbor/users", Some(users));
    node.wait_live();
    let host = format!("harbor.{}", node.base_domain());
    let url = format!("https://{host}/echo");
    for version in ["--http1.1", "--http2"] {
        let ask =
            |args: &[&str]| curl(&node, &[&host], &[&[version, "--write-out", "%{http_code}", &url], args].concat());
        for light in
            [&["--user", "fax:secret"][..], &["--user", "90@harbor:secret"], &["--data", "username=fax&password=x"]]
        {
            let page = ask(light);
            assert!(page.contains("Light-Lizenz") && page.ends_with("403"), "{version} {light:?}: {page}");
        }
        let problem = ask(&["--user", "fax:secret", "--header", "Accept: application/json"]);
        assert!(problem.contains("\"code\":\"light-user\""), "{problem}");
        for full in [&["--user", "ann:secret"][..], &["--data", "username=ann&password=x"], &[]] {
            let page = ask(full);
            assert!(page.contains("/echo host=") && page.ends_with("200"), "{version} {full:?}: {page}");
        }
    }
}
