//! SIPp: scenarios with digest over UDP and TCP.

use crate::support::program::Program;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// How SIPp speaks: `u1` one UDP socket, `t1` one TCP connection.
#[derive(Clone, Copy)]
pub enum Over {
    Udp,
    Tcp,
}

/// One run of a scenario.
pub struct Run<'a> {
    scenario: &'a str,
    ip: IpAddr,
    port: u16,
    over: Over,
    to: Option<String>,
    calls: u32,
    rate: u32,
    pause_ms: u32,
    patience: u32,
    rows: String,
    calls_go_to: Option<&'a str>,
}

impl<'a> Run<'a> {
    /// A run of `sipp/<scenario>.xml` from `ip:port`.
    pub fn new(scenario: &'a str, ip: Ipv4Addr, port: u16, over: Over) -> Self {
        Self::at(scenario, ip.into(), port, over)
    }

    /// As [`Self::new`], from the IPv6 loopback address.
    pub fn v6(scenario: &'a str, port: u16, over: Over) -> Self {
        Self::at(scenario, Ipv6Addr::LOCALHOST.into(), port, over)
    }

    fn at(scenario: &'a str, ip: IpAddr, port: u16, over: Over) -> Self {
        let (to, calls_go_to, rows) = (None, None, String::new());
        Self { scenario, ip, port, over, to, calls: 1, rate: 10, pause_ms: 0, patience: 120, rows, calls_go_to }
    }

    /// Sends to this address; without it, it waits for requests.
    pub fn to(mut self, address: &str) -> Self {
        self.to = Some(address.to_owned());
        self
    }

    /// This many calls, started at `rate` a second, each lasting two pauses.
    pub fn calls(mut self, calls: u32, rate: u32, pause_ms: u32) -> Self {
        (self.calls, self.rate, self.pause_ms) = (calls, rate, pause_ms);
        self
    }

    /// Requests that belong to none of its calls begin this scenario.
    pub const fn calls_go_to(mut self, scenario: &'a str) -> Self {
        self.calls_go_to = Some(scenario);
        self
    }

    /// Seconds it may take.
    pub const fn patience(mut self, seconds: u32) -> Self {
        self.patience = seconds;
        self
    }

    /// A row of `[field0]` account, `[field1]` domain, `[field2]` credentials and `[field3]` callee.
    pub fn account(mut self, account: &str, domain: &str, callee: &str) -> Self {
        writeln!(
            self.rows,
            "{account};{domain};[authentication username={account} password=secret-{account}];{callee}"
        )
        .unwrap();
        self
    }

    /// Starts it.
    pub fn start(self) -> Sipp {
        let run = tempfile::tempdir().unwrap();
        let file = |name| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/interop/sipp/{name}.xml"));
        let mut command = Command::new("sipp");
        command.current_dir(run.path()).arg("-sf").arg(file(self.scenario));
        if let Some(scenario) = self.calls_go_to {
            command.arg("-oocsf").arg(file(scenario));
        }
        command.args(["-nostdin", "-i", &self.ip.to_string(), "-p", &self.port.to_string()]);
        command.args(["-m", &self.calls.to_string(), "-r", &self.rate.to_string(), "-d", &self.pause_ms.to_string()]);
        command.args(["-t", if matches!(self.over, Over::Udp) { "u1" } else { "t1" }]);
        command.args(["-trace_err", "-error_file", "errors", "-timeout_error", "-l", "5000"]);
        command.args(["-timeout", &self.patience.to_string()]);
        if !self.rows.is_empty() {
            let rows = run.path().join("rows.csv");
            std::fs::write(&rows, format!("SEQUENTIAL\n{}", self.rows)).unwrap();
            command.arg("-inf").arg(rows);
        }
        if let Some(to) = &self.to {
            command.arg(to);
        }
        // Its screen needs a terminal's size.
        command.env("TERM", "xterm").env("LINES", "40").env("COLUMNS", "120");
        Sipp { program: Program::start(&mut command), run, patience: self.patience }
    }
}

/// A running SIPp.
pub struct Sipp {
    program: Program,
    run: TempDir,
    patience: u32,
}

impl Sipp {
    /// Waits for its end; every call must have succeeded.
    #[track_caller]
    pub fn finish(mut self) {
        let status = self.program.wait(std::time::Duration::from_secs((self.patience + 30).into()));
        let errors = std::fs::read_to_string(self.run.path().join("errors")).unwrap_or_default();
        let printed = self.program.printed();
        let tail = printed.len().saturating_sub(3000);
        assert!(status.success(), "SIPp ended with {status}: {errors}\n{}", printed.get(tail..).unwrap_or_default());
    }
}
