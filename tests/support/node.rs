//! The node under test: the real binary with a data directory and an address of its own.

use super::program::Program;
use super::{Net, PATIENCE, licence};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use tempfile::TempDir;

/// A running node on `127.a.b.1` with the standard ports, and one proxy, `main`.
pub struct Node {
    program: Program,
    net: Net,
    dir: TempDir,
    agent: ureq::Agent,
    token: String,
}

/// The program under test: the debug build, unless `NANTUCKET_BIN` names another (the long proofs
/// run the release build).
pub fn binary() -> PathBuf {
    std::env::var_os("NANTUCKET_BIN").map_or_else(|| env!("CARGO_BIN_EXE_nantucket").into(), PathBuf::from)
}

impl Node {
    /// Starts it on a fresh data directory and waits until it serves.
    pub fn start(net: Net) -> Self {
        Self::start_with(net, "")
    }

    /// As [`Self::start`], with more lines for the bootstrap file.
    pub fn start_with(net: Net, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ip = net.ip(1);
        let config = format!(
            r#"data_dir = "{data}"
workers = 2

[inside]
bind = ["{ip}:5070"]

[admin]
listen = ["{ip}:8443"]

[metrics]
listen = ["{ip}:9090"]

[first_proxy]
name = "main"
fqdn = "main.pbx.test"
base_domain = "pbx.test"
listeners = [
  {{ service = "sip-udp", bind = "{ip}:5060" }},
  {{ service = "sip-tcp", bind = "{ip}:5060" }},
  {{ service = "http", bind = "{ip}:80" }},
  {{ service = "https", bind = "{ip}:443" }},
]

{more}
"#,
            data = dir.path().join("data").display(),
        );
        std::fs::write(dir.path().join("nantucket.toml"), config).unwrap();
        let program = Self::launch(dir.path());
        let data = dir.path().join("data");
        let token = std::fs::read_to_string(data.join("admin-token")).unwrap().trim().to_owned();
        let tls = ureq::tls::TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .root_certs(ureq::tls::RootCerts::new_with_certs(&[ureq::tls::Certificate::from_pem(
                &std::fs::read(data.join("tls/self-signed.pem")).unwrap(),
            )
            .unwrap()]))
            .build();
        let agent = ureq::Agent::config_builder().tls_config(tls).http_status_as_error(false).build().into();
        let node = Self { program, net, dir, agent, token };
        let document = licence::volume(100_000_000, 100_000_000);
        node.must("POST", "/licences", Some(json!({"document": document})));
        node
    }

    fn launch(dir: &Path) -> Program {
        let program = Program::start(Command::new(binary()).args(["run", "--config"]).arg(dir.join("nantucket.toml")));
        program.wait_where("serving", PATIENCE, |line| line.ends_with(" serving"));
        program
    }

    /// Ends it by this signal, waits, and starts it again on the same data.
    pub fn restart(&mut self, signal: &str) {
        self.program.signal(signal);
        self.program.wait(PATIENCE);
        self.restart_stopped();
    }

    /// Starts it again on the same data when it has ended.
    pub fn restart_stopped(&mut self) {
        self.program = Self::launch(self.dir.path());
    }

    /// As [`Self::restart`], with something done to its data in between.
    pub fn restart_with(&mut self, signal: &str, change: impl FnOnce(&Path)) {
        self.program.signal(signal);
        self.program.wait(PATIENCE);
        change(&self.dir.path().join("data"));
        self.program = Self::launch(self.dir.path());
    }

    /// Its address.
    pub fn ip(&self) -> Ipv4Addr {
        self.net.ip(1)
    }

    /// Its SIP address for phones.
    pub fn sip(&self) -> String {
        format!("{}:5060", self.ip())
    }

    /// The proxy's host name.
    pub fn fqdn(&self) -> String {
        "main.pbx.test".to_owned()
    }

    /// The proxy's base domain.
    pub fn base_domain(&self) -> String {
        "pbx.test".to_owned()
    }

    /// Its self-signed certificate, PEM.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("data/tls/self-signed.pem")
    }

    /// Its bootstrap file.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("nantucket.toml")
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// What it printed.
    pub fn printed(&self) -> String {
        self.program.printed()
    }

    /// The program, for signals and its end.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// A TLS client that trusts the self-signed certificate.
    pub fn tls_client(&self) -> Arc<rustls::ClientConfig> {
        use rustls_pki_types::{CertificateDer, pem::PemObject};
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(self.certificate()).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Arc::new(builder.unwrap().with_root_certificates(roots).with_no_client_auth())
    }

    /// One call of the API: status and document.
    #[track_caller]
    pub fn api(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("https://{}:8443/api/v1{path}", self.ip()))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(body.map(|body| body.to_string()).unwrap_or_default())
            .unwrap();
        let answer = self.agent.run(request);
        let mut answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.printed()));
        let status = answer.status().as_u16();
        let text = answer.body_mut().read_to_string().unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// A page beside the API, with or without the token: status and text.
    pub fn page(&self, path: &str, token: bool) -> (u16, String) {
        let request = self.agent.get(format!("https://{}:8443{path}", self.ip()));
        let request = if token { request.header("authorization", format!("Bearer {}", self.token)) } else { request };
        let mut answer = request.call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    /// A call of the API that must succeed.
    #[track_caller]
    pub fn must(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, document) = self.api(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {document}");
        document
    }

    /// Adds an instance with one SIP backend (a Kamailio) and switches it on.
    #[track_caller]
    pub fn add_instance(&self, name: &str, backend: &str, transport: &str) {
        self.must(
            "POST",
            "/instances",
            Some(json!({
                "name": name,
                "state": "on",
                "licence": licence::cloud(),
                "backends": [{"address": backend, "transport": transport, "profile": "kamailio"}],
            })),
        );
        self.wait_live();
    }

    /// Adds an instance with a web side and switches it on.
    #[track_caller]
    pub fn add_web_instance(&self, name: &str, url: &str) {
        let row = json!({"name": name, "state": "on", "licence": licence::cloud(), "web": {"url": url}});
        self.must("POST", "/instances", Some(row));
        self.wait_live();
    }

    /// Waits until the data plane serves what the store holds.
    #[track_caller]
    pub fn wait_live(&self) {
        super::until("the last change is live", PATIENCE, || {
            let table = self.must("GET", "/table", None);
            table["revision"] == table["serving"]
        });
    }

    /// Waits until somebody listens there: a listener is bound a moment after its table is live.
    #[track_caller]
    pub fn wait_listening(&self, address: &str) {
        super::until(address, PATIENCE, || std::net::TcpStream::connect(address).is_ok());
    }

    /// The command line client, pointed at this node.
    pub fn cli(&self, args: &[&str]) -> Output {
        Command::new(binary())
            .args(args)
            .env("NANTUCKET_DATA_DIR", self.dir.path().join("data"))
            .env("NANTUCKET_URL", format!("https://{}:8443", self.ip()))
            .output()
            .unwrap()
    }

    /// The sum of a metric's series that have all of these labels (`name="value"`).
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let text = ureq::get(format!("http://{}:9090/metrics", self.ip())).call().unwrap().body_mut().read_to_string();
        let text = text.unwrap();
        let mine = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(|label| line.contains(label))
        };
        text.lines().filter(mine).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Users of an instance that have a seat.
    pub fn seats(&self, instance: &str) -> usize {
        self.sum("nantucket_instance_seats_used", &[&format!("instance=\"{instance}\"")]) as usize
    }

    /// Adds an instance with this registrar and so many seats, and switches it on.
    #[track_caller]
    pub fn add_seats(&self, name: &str, backend: &str, full: u32, light: u32) {
        self.must(
            "POST",
            "/instances",
            Some(json!({
                "name": name,
                "state": "on",
                "backends": [{"address": backend, "transport": "udp", "profile": "kamailio"}],
                "licence": {"mode": "cloud", "booked": {"full": full, "light": light}},
            })),
        );
    }

    /// The value of a metric's series (`name` or `name{label="…"}`); absent is `None`.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text =
            ureq::get(format!("http://{}:9090/metrics", self.ip())).call().ok()?.body_mut().read_to_string().ok()?;
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }
}
