//! linphone: a phone without a voice (Debian's linphone-cli), steered by lines on its standard input.
//!
//! It checks the certificate, and the proxy's name in it. It asks no hosts file of the test's and wants to resolve that
//! name itself, so the name is `localhost`.

use crate::support::PATIENCE;
use crate::support::program::Program;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{ChildStdin, Command};
use tempfile::TempDir;

/// A running linphone with one account.
pub struct Linphone {
    program: Program,
    input: ChildStdin,
    _run: TempDir,
}

/// The outbound proxy.
pub struct Proxy<'a> {
    pub name: &'a str,
    pub port: u16,
    /// The certificate that is trusted, PEM.
    pub certificate: &'a Path,
}

impl Linphone {
    /// Starts it on an address of its own and waits until it is registered over TLS. It wants SRTP and takes nothing
    /// else.
    pub fn start(ip: Ipv4Addr, account: &str, domain: &str, proxy: &Proxy<'_>) -> Self {
        let run = tempfile::tempdir().unwrap();
        let Proxy { name, port, certificate } = proxy;
        let config = format!(
            "[sip]\n\
             bind_address={ip}\n\
             sip_port=0\nsip_tcp_port=0\nsip_tls_port=-1\n\
             root_ca={}\nverify_server_certs=1\nverify_server_cn=1\n\
             media_encryption=srtp\nmedia_encryption_mandatory=1\n\
             register_only_when_network_is_up=0\nguess_hostname=0\n\
             contact=sip:{account}@{ip}\ndefault_proxy=0\n\
             [auth_info_0]\nusername={account}\npasswd=secret-{account}\nrealm={domain}\n\
             [proxy_0]\n\
             reg_proxy=<sip:{name}:{port};transport=tls>\n\
             reg_route=<sip:{name}:{port};transport=tls;lr>\n\
             reg_identity=sip:{account}@{domain}\n\
             reg_expires=60\nreg_sendregister=1\n\
             [rtp]\naudio_rtp_port=-1\n",
            certificate.display()
        );
        std::fs::write(run.path().join("rc"), config).unwrap();
        // It opens its database there, and says so when it cannot.
        std::fs::create_dir_all(run.path().join(".local/share/linphone")).unwrap();
        // It would keep what it has to say for itself until there is much of it.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "linphonec", "-d", "5", "-c"]).arg(run.path().join("rc"));
        let (program, input) = Program::start_steered(command.env("HOME", run.path()).env("TERM", "dumb"));
        let phone = Self { program, input, _run: run };
        phone.wait_line("to [LinphoneRegistrationOk]");
        phone
    }

    /// Gives a command (`call`, `answer`, `pause`, `resume`, `terminate`, …).
    pub fn command(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
    }

    /// Waits until it printed a line that holds `text`.
    #[track_caller]
    pub fn wait_line(&self, text: &str) -> String {
        self.program.wait_line(text, PATIENCE)
    }
}
