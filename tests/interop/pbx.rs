//! Kamailio as the PBX of one instance.

use crate::support::program::Program;
use crate::support::{Net, PATIENCE};
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A running Kamailio: registrar with digest for one domain. An account's password is "secret-"
/// and its name.
pub struct Pbx {
    /// Where it listens, port 5060.
    pub ip: Ipv4Addr,
    _program: Program,
    _run: TempDir,
}

impl Pbx {
    /// Starts it on the `n`th address of `net` and waits until it serves.
    pub fn start(net: Net, n: u8, domain: &str) -> Self {
        Self::start_with(net, n, domain, "1")
    }

    /// As [`Self::start`], but it neither keeps nor uses a Path.
    pub fn start_without_path(net: Net, n: u8, domain: &str) -> Self {
        Self::start_with(net, n, domain, "0")
    }

    /// As [`Self::start`], but it says 404 for accounts other than 600 to 609 before it asks for a password.
    pub fn start_telling(net: Net, n: u8, domain: &str) -> Self {
        let tell = "if (!($tU =~ \"^60[0-9]$\")) { sl_send_reply(\"404\", \"Not Found\"); exit; }";
        Self::start_config(net, n, &config(domain, "1").replace("@DEFINE@", "").replace("# @TELL@", tell))
    }

    /// The registrar of all instances: `children` of it at work, each of which takes `delay` for a request.
    pub fn start_registrar(net: Net, n: u8, children: u32, delay: Duration) -> Self {
        let config = include_str!("registrar.cfg")
            .replace("@CHILDREN@", &children.to_string())
            .replace("@DELAY@", &delay.as_micros().to_string());
        Self::start_config(net, n, &config)
    }

    /// As [`Self::start`], also over TLS on port 5061: it shows `own` (certificate and key, PEM) and serves those only
    /// who show a certificate that is `client`'s or signed with it.
    pub fn start_tls(net: Net, n: u8, domain: &str, own: (&str, &str), client: &str) -> Self {
        let run = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(run.path().join(name), text).unwrap();
        write("own.pem", own.0);
        write("own.key", own.1);
        write("client.pem", client);
        let folder = run.path().display();
        write(
            "tls.cfg",
            &format!(
                "[server:default]\nmethod = TLSv1.2+\ncertificate = {folder}/own.pem\nprivate_key = {folder}/own.key\n\
                 ca_list = {folder}/client.pem\nverify_certificate = yes\nrequire_certificate = yes\n"
            ),
        );
        Self::start_in(run, net, n, &config(domain, "1").replace("@DEFINE@", "#!define WITH_TLS"))
    }

    fn start_with(net: Net, n: u8, domain: &str, use_path: &str) -> Self {
        Self::start_config(net, n, &config(domain, use_path).replace("@DEFINE@", ""))
    }

    fn start_config(net: Net, n: u8, config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), net, n, config)
    }

    fn start_in(run: TempDir, net: Net, n: u8, config: &str) -> Self {
        let ip = net.ip(n);
        let config = config.replace("@ADDRESS@", &ip.to_string()).replace("@RUN@", run.path().to_str().unwrap());
        let file = run.path().join("kamailio.cfg");
        std::fs::write(&file, config).unwrap();
        let program = Program::start(
            Command::new("/usr/sbin/kamailio")
                .args(["-DD", "-m", "256", "-M", "8", "-Y"])
                .arg(run.path())
                .arg("-P")
                .arg(run.path().join("pid"))
                .arg("-f")
                .arg(&file),
        );
        crate::support::until("Kamailio answers OPTIONS", PATIENCE, || answers_options(ip));
        Self { ip, _program: program, _run: run }
    }

    /// Its SIP address.
    pub fn address(&self) -> String {
        format!("{}:5060", self.ip)
    }
}

fn config(domain: &str, use_path: &str) -> String {
    include_str!("kamailio.cfg").replace("@DOMAIN@", domain).replace("@USE_PATH@", use_path)
}

fn answers_options(ip: Ipv4Addr) -> bool {
    let socket = std::net::UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    let local = socket.local_addr().unwrap();
    let request = format!(
        "OPTIONS sip:{ip} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKup\r\nFrom: <sip:test@{ip}>;tag=1\r\n\
         To: <sip:{ip}>\r\nCall-ID: up\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 5\r\nContent-Length: 0\r\n\r\n"
    );
    let mut answer = [0; 2048];
    socket.send_to(request.as_bytes(), (ip, 5060)).is_ok() && socket.recv(&mut answer).is_ok()
}
