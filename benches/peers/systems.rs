//! The systems that are measured: how each is started, held to its cores, and ended.

use crate::data::Data;
use crate::process;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    Nantucket,
    /// Moves bytes and reads none of them.
    Relay,
    KamailioStateless,
    KamailioStateful,
    Nginx,
    Haproxy,
    /// Nothing between the generator and the PBX.
    Direct,
}

impl System {
    pub fn name(self) -> &'static str {
        match self {
            Self::Nantucket => "Nantucket",
            Self::Relay => "bare relay",
            Self::KamailioStateless => "Kamailio stateless",
            Self::KamailioStateful => "Kamailio stateful",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Direct => "nothing",
        }
    }

    /// The program, and what makes it say its version.
    pub fn program(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::KamailioStateless | Self::KamailioStateful => Some(("kamailio", "-v")),
            Self::Nginx => Some(("nginx", "-v")),
            Self::Haproxy => Some(("haproxy", "-v")),
            Self::Nantucket | Self::Relay | Self::Direct => None,
        }
    }

    /// The first line that its program says about its version. None if it is not installed.
    pub fn version(self) -> Option<String> {
        let (program, flag) = self.program()?;
        let said = Command::new(program).arg(flag).env("PATH", path()).output().ok()?;
        let text = [said.stdout, said.stderr].concat();
        String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
    }

    /// Seconds of load until memory is used again instead of anew: longer for what keeps transactions, which is 64 × T1
    /// after RFC 3261 (timer J) and the 5 seconds that Kamailio has.
    pub fn warm(self) -> f64 {
        match self {
            Self::Nantucket => 33.5,
            Self::KamailioStateful => 6.5,
            _ => 2.5,
        }
    }

    fn command(self, data: &Data) -> Vec<String> {
        let file = |name: &str| data.path(name).to_string_lossy().into_owned();
        let dir = file("");
        let own = std::env::current_exe().unwrap().to_string_lossy().into_owned();
        let binary = data.binary.to_string_lossy().into_owned();
        let kamailio = [
            ["kamailio", "-DD", "-E", "-m", "2048", "-M", "32", "-b", "8388608"].map(str::to_owned).to_vec(),
            vec!["-f".to_owned(), file("kamailio.cfg"), "-w".to_owned(), dir.clone(), "-Y".to_owned(), dir],
        ]
        .concat();
        match self {
            Self::Nantucket => vec![binary, "run".to_owned(), "--config".to_owned(), file("nantucket.toml")],
            Self::Relay => [own.as_str(), "role", "relay", ""].map(str::to_owned).to_vec(),
            Self::KamailioStateless => kamailio,
            Self::KamailioStateful => [kamailio, ["-A", "STATEFUL"].map(str::to_owned).to_vec()].concat(),
            Self::Nginx => ["nginx", "-p", &file("nginx"), "-c", &file("nginx.conf")].map(str::to_owned).to_vec(),
            Self::Haproxy => ["haproxy", "-db", "-f", &file("haproxy.cfg")].map(str::to_owned).to_vec(),
            Self::Direct => ["sleep", "infinity"].map(str::to_owned).to_vec(),
        }
    }

    fn ports(self) -> (&'static [u16], &'static [u16]) {
        match self {
            Self::Nantucket => (&[5060], &[5060, 5061, 8080, 8443, 7443]),
            Self::KamailioStateless | Self::KamailioStateful => (&[5060], &[5060, 5061]),
            Self::Relay => (&[5060], &[8080]),
            Self::Nginx | Self::Haproxy => (&[], &[8080, 8443]),
            Self::Direct => (&[], &[]),
        }
    }

    /// Starts it, held to these cores (all, if none is given), and waits until it listens.
    pub fn start(self, data: &Data, cores: &[usize]) -> Running {
        let mut words = self.command(data);
        if !cores.is_empty() {
            let list: Vec<String> = cores.iter().map(usize::to_string).collect();
            words.splice(0..0, ["taskset".to_owned(), "-c".to_owned(), list.join(",")]);
        }
        let log = data.path(&format!("{self:?}.log"));
        let mut command = Command::new(words.remove(0));
        command.args(words).env("PATH", path()).stdout(File::create(&log).unwrap());
        let child = command.stderr(File::options().append(true).open(&log).unwrap()).spawn().unwrap();
        let mut running = Running { child };
        let (datagrams, streams) = self.ports();
        for _ in 0..600 {
            if datagrams.iter().all(|port| listens("udp", *port)) && streams.iter().all(|port| listens("tcp", *port)) {
                self.answered();
                return running;
            }
            if let Ok(Some(status)) = running.child.try_wait() {
                panic!("{} ended with {status}: {}", self.name(), fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{} does not listen: {}", self.name(), fs::read_to_string(&log).unwrap_or_default());
    }
}

impl System {
    /// Waits until it answers: the processes that do the work are forked after the sockets are bound.
    fn answered(self) {
        match self {
            Self::Nantucket | Self::KamailioStateless | Self::KamailioStateful => {
                assert!((0..100).any(|_| answers_datagram(5060)), "{}: no answer over UDP", self.name());
                assert!(answers_stream(5060, &options("TCP")), "{}: no answer over TCP", self.name());
            }
            Self::Nginx | Self::Haproxy => {
                let get = "GET / HTTP/1.1\r\nHost: nobody.invalid\r\nConnection: close\r\n\r\n";
                assert!(answers_stream(8080, get), "{}: no answer", self.name());
            }
            Self::Relay | Self::Direct => {}
        }
    }
}

/// A question to nobody's instance.
fn options(transport: &str) -> String {
    format!(
        "OPTIONS sip:nobody.invalid SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1:9;branch=z9hG4bKready;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:bench@nobody.invalid>;tag=ready\r\nTo: <sip:nobody.invalid>\r\n\
         Call-ID: ready\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

fn answers_datagram(port: u16) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket.send_to(options("UDP").as_bytes(), ("127.0.0.1", port)).unwrap();
    socket.recv(&mut [0; 2048]).is_ok()
}

fn answers_stream(port: u16, question: &str) -> bool {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(question.as_bytes()).unwrap();
    stream.read(&mut [0; 2048]).is_ok_and(|read| read > 0)
}

/// Daemons live where only the administrator's path looks.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Whether somebody has bound this port, in this network namespace.
fn listens(protocol: &str, port: u16) -> bool {
    let table = fs::read_to_string(format!("/proc/self/net/{protocol}")).unwrap_or_default();
    let bound = format!(":{port:04X}");
    let mut rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    // 0A: listening; 07: a datagram socket
    rows.any(|row| {
        row.get(1).is_some_and(|at| at.ends_with(&bound)) && row.get(3).is_some_and(|s| *s == "0A" || *s == "07")
    })
}

/// A system, or another process of the bench, that is ended when this is dropped.
pub struct Running {
    child: Child,
}

impl Running {
    pub fn pids(&self) -> Vec<i32> {
        process::tree(self.child.id() as i32)
    }

    /// Asks it to end, and waits for that.
    pub fn stop(self) {}
}

impl Drop for Running {
    fn drop(&mut self) {
        let pids = self.pids();
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        pids.iter().for_each(|pid| _ = kill(Pid::from_raw(*pid), Signal::SIGKILL));
        let _ = self.child.wait();
    }
}

/// Starts this very program in another role, and waits for its first line.
pub fn role(name: &str, plan: &str) -> (Running, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let mut child = command.args(["role", name, plan]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "the {name} has failed");
    (Running { child }, line)
}

/// A busy loop at the lowest of priorities: a virtual core that never halts wakes up fast.
pub fn spinner(core: usize) -> Running {
    let mut command = Command::new("chrt");
    command.args(["--idle", "0"]).arg(std::env::current_exe().unwrap()).args(["role", "spinner", &core.to_string()]);
    Running { child: command.spawn().unwrap() }
}
