//! A bench for the engine's tests: one engine, a table, a clock that is set by hand, and messages as text.

use super::Engine;
use super::config::{Config, Inside, InsideAddress};
use super::contract::{Dest, Input, Output, SendError};
use super::shared::Shared;
use super::token::{DAY, Key, Keyring, OVERLAP};
use crate::clock::{Now, Tick};
use crate::ids::{ConnId, DeviceId, Flow, InstanceId, ListenerId, ProxyId, Shard, Transport};
use crate::licence::ledger::Change;
use crate::model::Table;
use crate::reason::Drop;
use crate::route::snapshot::Snapshot;
use crate::route::testing::{compiled, instance, proxy, table};
use crate::stats::InstanceStats;
use std::net::SocketAddr;
use std::sync::Arc;

/// Unix time at tick 0.
pub const EPOCH: u64 = 1_800_000_000;
/// The PBX of instance 1, `acme`.
pub const PBX: &str = "198.51.0.1:5060";
/// A phone.
pub const PHONE: &str = "203.0.113.9:40000";

/// Something the engine wanted sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Where.
    pub to: Dest,
    /// What.
    pub text: String,
    /// For a report of failure.
    pub ticket: u64,
}

impl Sent {
    /// The value of the first row of this name.
    pub fn row(&self, name: &str) -> &str {
        self.rows(name).into_iter().next().unwrap_or_else(|| panic!("no {name} in {}", self.text))
    }

    /// The values of all rows of this name.
    pub fn rows(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap();
        let is = |row: &str| row.len() > name.len() && row[..name.len()].eq_ignore_ascii_case(name);
        head.split("\r\n")
            .filter(|row| is(row) && row.as_bytes()[name.len()] == b':')
            .map(|row| row[name.len() + 1..].trim())
            .collect()
    }

    /// The start-line.
    pub fn start(&self) -> &str {
        self.text.split("\r\n").next().unwrap()
    }

    /// The branch of the top Via.
    pub fn branch(&self) -> &str {
        self.row("Via").split("branch=").nth(1).unwrap().split([';', ',']).next().unwrap()
    }

    /// The status of a response; 0 for a request.
    pub fn status(&self) -> u16 {
        self.start().strip_prefix("SIP/2.0 ").map_or(0, |rest| rest[..3].parse().unwrap())
    }

    /// The method of a request.
    pub fn method(&self) -> &str {
        self.start().split(' ').next().unwrap()
    }

    /// The peer it goes to.
    pub fn peer(&self) -> SocketAddr {
        match self.to {
            Dest::Backend { address, .. } => address,
            Dest::Flow(flow) | Dest::Reply { flow, .. } => flow.peer(),
        }
    }

    /// An answer to this request, with its Vias, From, To (with a tag), Call-ID and CSeq, and these rows.
    pub fn answered(&self, status: u16, rows: &str) -> String {
        let mut text = format!("SIP/2.0 {status} Because\r\n");
        for via in self.rows("Via") {
            text += &format!("Via: {via}\r\n");
        }
        let to = self.row("To");
        let tag = if to.contains("tag=") || status == 100 { "" } else { ";tag=pbx" };
        text += &format!("From: {}\r\nTo: {to}{tag}\r\n", self.row("From"));
        for route in self.rows("Record-Route") {
            text += &format!("Record-Route: {route}\r\n");
        }
        text + &format!(
            "Call-ID: {}\r\nCSeq: {}\r\n{rows}Content-Length: 0\r\n\r\n",
            self.row("Call-ID"),
            self.row("CSeq")
        )
    }
}

/// One engine and its world.
pub struct Bench {
    /// The engine.
    pub engine: Engine,
    /// Its shared part.
    pub shared: Arc<Shared>,
    /// The table.
    pub snapshot: Snapshot,
    /// The clock.
    pub now: Now,
    /// Connections closed by the engine.
    pub closed: Vec<Flow>,
    /// Whether what the engine wants written down is written down at once.
    pub keeps: bool,
    /// Times the engine wanted that otherwise.
    pub saves: usize,
    /// Responses handed to other shards.
    pub handed: Vec<(Shard, String)>,
    /// Other shards that were told that a device moved.
    pub told: Vec<(Shard, DeviceId)>,
}

/// Keys for tests.
pub fn keys() -> Keyring {
    let (not_before, not_after) = (EPOCH - DAY, EPOCH + OVERLAP);
    Keyring::new(vec![Key { id: 1, secret: [7; 32], not_before, not_after }])
}

/// Settings for tests: shard 0 with an inside address of both families.
pub fn config() -> Config {
    let address = |ip: &str| {
        let at = |port| SocketAddr::new(ip.parse().unwrap(), port);
        Some(InsideAddress { shared: at(5070), own: at(40_000) })
    };
    Config { inside: Inside { v4: address("198.51.100.1"), v6: address("2001:db8::1") }, seed: 7, ..Config::default() }
}

/// `acme` and `globex` behind the proxy `edge`.
pub fn rows() -> Table {
    table([instance(1, "acme"), instance(2, "globex")], [proxy(1, "edge")])
}

/// The flow of a datagram from a phone.
pub fn udp(peer: &str) -> Flow {
    let listener = ListenerId { proxy: ProxyId(1), number: 1 };
    Flow::Udp { listener, local: "192.0.2.1:5060".parse().unwrap(), peer: peer.parse().unwrap() }
}

/// The flow of a phone's connection.
pub fn tcp(peer: &str, serial: u32) -> Flow {
    let listener = ListenerId { proxy: ProxyId(1), number: 2 };
    let conn = ConnId::new(0, Shard(0), serial);
    let local = "192.0.2.1:5060".parse().unwrap();
    Flow::Stream { listener, conn, transport: Transport::Tcp, local, peer: peer.parse().unwrap() }
}

/// The flow of a datagram from a PBX.
pub fn inside(peer: &str) -> Flow {
    let local = "198.51.100.1:5070".parse().unwrap();
    Flow::Udp { listener: ListenerId::INSIDE_V4, local, peer: peer.parse().unwrap() }
}

/// The ACK of a phone for a final response to its [`request`] of this branch.
pub fn ack(branch: &str, answer: &Sent) -> String {
    request("ACK", branch, "").replace("To: <sip:eve@acme>", &format!("To: {}", answer.row("To")))
}

/// A request of a phone inside the dialog that `ok`, the answer to its `INVITE` of this branch, made.
pub fn in_dialog(method: &str, branch: &str, invite: &str, ok: &Sent) -> String {
    let routes: Vec<&str> = ok.rows("Record-Route").iter().flat_map(|row| row.split(", ")).collect();
    let routes: String = routes.iter().rev().map(|route| format!("Route: {route}\r\n")).collect();
    request(method, branch, &routes)
        .replace("sip:eve@acme SIP/2.0", &format!("{} SIP/2.0", ok.row("Contact").trim_matches(['<', '>'])))
        .replace("To: <sip:eve@acme>", &format!("To: {}", ok.row("To")))
        .replace(&format!("call-{branch}"), &format!("call-{invite}"))
        .replace("CSeq: 1", "CSeq: 2")
}

/// A request from the PBX of `acme` for the phone behind this Path.
pub fn from_pbx(method: &str, branch: &str, path: &str) -> String {
    format!(
        "{method} sip:bob@10.0.0.5:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bK{branch}\r\nRoute: {path}\r\n\
         From: <sip:eve@acme>;tag=e\r\nTo: <sip:bob@acme>\r\nCall-ID: call-{branch}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:eve@{PBX}>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A request from a phone of `acme`, with a branch of this name and these rows.
pub fn request(method: &str, branch: &str, rows: &str) -> String {
    let (uri, to) = match method {
        "REGISTER" => ("sip:acme", "sip:bob@acme"),
        _ => ("sip:eve@acme", "sip:eve@acme"),
    };
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nFrom: \"Bob\" <sip:bob@acme>;tag=f1\r\nTo: <{to}>\r\nCall-ID: call-{branch}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:bob@10.0.0.5:5060>\r\n{rows}Content-Length: 0\r\n\r\n"
    )
}

impl Bench {
    /// Registers the phone on this flow at `acme`; the Path it got.
    pub fn register(&mut self, flow: Flow) -> String {
        let register = self.one(flow, &request("REGISTER", "reg", ""));
        let ok = register.answered(200, "Contact: <sip:bob@10.0.0.5:5060>;expires=600\r\n");
        assert_eq!(self.one(inside(PBX), &ok).status(), 200);
        register.row("Path").to_owned()
    }

    /// A bench with the usual table.
    pub fn new() -> Self {
        Self::with(&rows(), config())
    }

    /// A bench with this table and these settings.
    pub fn with(rows: &Table, config: Config) -> Self {
        let shared = Arc::new(Shared::new(keys()));
        Self {
            engine: Engine::new(config, Arc::clone(&shared)),
            shared,
            snapshot: compiled(rows),
            now: Now { tick: Tick(1_000), unix: EPOCH },
            closed: Vec::new(),
            keeps: true,
            saves: 0,
            handed: Vec::new(),
            told: Vec::new(),
        }
    }

    /// A message comes in; what the engine sends.
    pub fn send(&mut self, flow: Flow, text: &str) -> Vec<Sent> {
        self.input(Input::Message { flow, bytes: text.as_bytes() })
    }

    /// A message comes in, and exactly one goes out.
    pub fn one(&mut self, flow: Flow, text: &str) -> Sent {
        let mut sent = self.send(flow, text);
        assert_eq!(sent.len(), 1, "{sent:#?}");
        sent.remove(0)
    }

    /// A message comes in, and nothing goes out.
    pub fn none(&mut self, flow: Flow, text: &str) {
        let sent = self.send(flow, text);
        assert!(sent.is_empty(), "{sent:#?}");
    }

    /// An INVITE comes in and goes out; what goes out, the 100 left aside.
    pub fn invite(&mut self, flow: Flow, text: &str) -> Sent {
        let sent = self.send(flow, text);
        let [out, trying] = &sent[..] else { panic!("{sent:#?}") };
        assert_eq!(trying.status(), 100);
        out.clone()
    }

    /// A send failed.
    pub fn fail(&mut self, sent: &Sent, why: SendError) -> Vec<Sent> {
        self.input(Input::SendFailed { ticket: sent.ticket, why })
    }

    /// How often something was dropped for this reason.
    pub fn dropped(&self, why: Drop) -> u64 {
        self.shared.stats.dropped(why)
    }

    /// The statistics of an instance.
    pub fn stats(&self, id: u32) -> &InstanceStats {
        &self.snapshot.by_id(InstanceId(id)).unwrap().stats
    }

    /// Anything happens; what the engine sends.
    pub fn input(&mut self, input: Input<'_>) -> Vec<Sent> {
        self.engine.handle(self.now, input, &self.snapshot);
        let mut sent = self.drain();
        if self.keeps && std::mem::take(&mut self.saves) > 0 {
            sent.extend(self.keep(true));
        }
        sent
    }

    /// Writes the journal down, or fails to; what the engine sends then.
    pub fn keep(&mut self, saved: bool) -> Vec<Sent> {
        let mut sent = Vec::new();
        for entry in self.shared.registry.journal.take(usize::MAX) {
            if let Change::Put { ticket: Some(ticket), .. } = entry.change {
                self.engine.handle(self.now, Input::Claimed { ticket, saved }, &self.snapshot);
                sent.extend(self.drain());
            }
        }
        sent
    }

    /// Time passes; what the engine sends, with the millisecond it did.
    pub fn pass(&mut self, ms: u64) -> Vec<(u64, Sent)> {
        let (start, end) = (self.now, self.now.tick.after(ms));
        let mut sent = Vec::new();
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            self.set(start, at.max(self.now.tick));
            self.engine.handle_timeout(self.now, &self.snapshot);
            let after = self.now.tick.since(start.tick);
            sent.extend(self.drain().into_iter().map(|s| (after, s)));
        }
        self.set(start, end);
        sent
    }

    fn set(&mut self, start: Now, tick: Tick) {
        self.now = Now { tick, unix: start.unix + tick.since(start.tick) / 1_000 };
    }

    fn drain(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { to, bytes, ticket } => {
                    let text = String::from_utf8_lossy(bytes).into_owned();
                    sent.push(Sent { to, text, ticket });
                }
                Output::HandOver { shard, bytes, .. } => {
                    self.handed.push((shard, String::from_utf8_lossy(bytes).into_owned()));
                }
                Output::Tell { shard, device, .. } => self.told.push((shard, device)),
                Output::Close { flow } => self.closed.push(flow),
                Output::Save => self.saves += 1,
            }
        }
        sent
    }
}
