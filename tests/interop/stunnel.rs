//! stunnel in front of a program that has no TLS of its own: it takes TCP and goes on over TLS, with the server's
//! certificate and name verified.

use crate::support::PATIENCE;
use crate::support::program::Program;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A running stunnel.
pub struct Stunnel {
    accept: SocketAddr,
    program: Program,
    _run: TempDir,
}

impl Stunnel {
    /// Takes TCP there and goes on to `to`, which must show `certificate` and be `name` in it.
    pub fn start(accept: impl Into<SocketAddr>, to: &str, certificate: &Path, name: &str) -> Self {
        let accept = accept.into();
        let run = tempfile::tempdir().unwrap();
        let file = run.path().join("stunnel.conf");
        let config = format!(
            "foreground = yes\npid =\ndebug = info\n[sip]\nclient = yes\naccept = {}:{}\nconnect = {}\n\
             sni = {name}\nCAfile = {}\nverifyChain = yes\ncheckHost = {name}\n",
            accept.ip(),
            accept.port(),
            to.replace(['[', ']'], ""),
            certificate.display()
        );
        std::fs::write(&file, config).unwrap();
        let program = Program::start(Command::new("stunnel4").arg(&file));
        crate::support::until("stunnel listens", PATIENCE, || TcpStream::connect(accept).is_ok());
        Self { accept, program, _run: run }
    }

    /// Where it takes TCP.
    pub fn address(&self) -> String {
        self.accept.to_string()
    }

    /// What it printed.
    pub fn printed(&self) -> String {
        self.program.printed()
    }
}
