//! The world around the engines of a simulated node: a clock, a network that loses, doubles and reorders
//! datagrams, phones, PBXs, and an operator who reloads the table and restarts the node.

use super::agent::{Agent, Post, Role};
use super::judge::Judge;
use crate::clock::{Now, Tick};
use crate::engine::Engine;
use crate::engine::config::{Config, Inside, InsideAddress};
use crate::engine::contract::{Dest, Input, Output, SendError};
use crate::engine::registry::journal::shard_of;
use crate::engine::shared::Shared;
use crate::engine::testing::{EPOCH, keys};
use crate::ids::{ConnId, DeviceId, Flow, InstanceId, ListenerId, ProxyId, Shard, Transport};
use crate::licence::ledger::Change;
use crate::route::compile::compile;
use crate::route::handles::Handles;
use crate::route::resolved::Resolved;
use crate::route::snapshot::Snapshot;
use crate::route::testing::{instance, proxy, table};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;

const SHARDS: u8 = 2;
/// Instances of the world. The first is moved about, the second switched off and on, the third left alone.
pub const NAMES: [&str; 3] = ["acme", "globex", "initech"];

/// How rough the world is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Datagrams lost, of a thousand.
    pub loss: u64,
    /// Datagrams doubled, of a thousand.
    pub doubled: u64,
    /// Longest way, in milliseconds.
    pub delay: u64,
    /// Whether the table is reloaded now and then.
    pub reloads: bool,
    /// Whether the node is restarted now and then.
    pub restarts: bool,
    /// Whether connections break and ports move now and then.
    pub breaks: bool,
    /// Whether connections break often, and their phones come back a moment later, at any shard.
    pub drops: bool,
    /// Whether PBXs always answer, and well.
    pub kind: bool,
}

enum Event {
    ToEngine { shard: u8, boot: u32, flow: Flow, text: String },
    HandOver { shard: u8, boot: u32, flow: Flow, text: String },
    Moved { shard: u8, boot: u32, instance: InstanceId, device: DeviceId },
    Failed { shard: u8, boot: u32, ticket: u64 },
    Claimed { shard: u8, boot: u32, ticket: u64 },
    Unreachable { shard: u8, boot: u32, peer: SocketAddr, quoted: Vec<u8> },
    ToPhone { phone: usize, text: String },
    ToPbx { pbx: usize, text: String, from: String },
}

/// The whole of it.
pub struct World {
    weather: Weather,
    rng: fastrand::Rng,
    tick: u64,
    serial: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    engines: Vec<Engine>,
    /// What the shards share.
    pub shared: Arc<Shared>,
    handles: Handles,
    /// The table in force.
    pub snapshot: Snapshot,
    boot: u32,
    revision: u64,
    moved: bool,
    globex_on: bool,
    phones: Vec<Phone>,
    pbxs: Vec<(SocketAddr, Agent)>,
    streams: BTreeMap<usize, u64>,
    conns: u32,
    operate_at: u64,
    /// What must hold.
    pub judge: Judge,
}

struct Phone {
    agent: Agent,
    peer: SocketAddr,
    conn: Option<ConnId>,
    /// When it was opened.
    since: u64,
}

impl World {
    /// A world with six phones and four PBXs.
    pub fn new(seed: u64, weather: Weather) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let pbx = |n: usize| -> SocketAddr { format!("198.51.0.{n}:5060").parse().unwrap() };
        let mut pbxs = Vec::new();
        for (n, name) in [(1, "acme"), (2, "globex"), (3, "initech"), (11, "acme")] {
            let mut agent = Agent::new(Role::Pbx, name, &format!("pbx{n}"), &pbx(n).to_string(), "UDP", rng.u64(..));
            agent.kind = weather.kind;
            pbxs.push((pbx(n), agent));
        }
        let mut phones = Vec::new();
        for n in 0..6usize {
            let (name, transport) = (NAMES[n % 3], if n < 3 { "UDP" } else { "TCP" });
            let host = format!("10.0.0.{n}:5060");
            let mut agent = Agent::new(Role::Phone, name, &format!("p{n}"), &host, transport, rng.u64(..));
            agent.kind = weather.kind;
            phones.push(Phone { agent, peer: format!("203.0.113.{n}:5060").parse().unwrap(), conn: None, since: 0 });
        }
        let mut world = Self {
            weather,
            rng,
            tick: 1_000,
            serial: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            engines: Vec::new(),
            shared: Arc::default(),
            handles: Handles::default(),
            snapshot: Snapshot::default(),
            boot: 0,
            revision: 0,
            moved: false,
            globex_on: true,
            phones,
            pbxs,
            streams: BTreeMap::new(),
            conns: 0,
            operate_at: 20_000,
            judge: Judge::default(),
        };
        world.reload();
        world.restart();
        world
    }

    /// Lets time pass until `until`.
    pub fn run(&mut self, until: u64) {
        loop {
            let next = self.next();
            if next > until {
                self.tick = until;
                return;
            }
            self.tick = self.tick.max(next);
            self.step();
        }
    }

    /// Lets everybody finish what is going on and begin nothing new.
    pub fn calm(&mut self) {
        if self.weather.drops {
            // Whoever is on the way back comes back.
            self.operate_at = u64::MAX;
            let until = self.tick + 30_000;
            self.run(until);
        }
        for agent in self.agents() {
            agent.quiet = true;
        }
        self.operate_at = u64::MAX;
        self.globex_on = true;
        self.reload();
        let until = self.tick + 1_200_000;
        self.run(until);
    }

    /// All phones and PBXs.
    pub fn agents(&mut self) -> impl Iterator<Item = &mut Agent> {
        self.phones.iter_mut().map(|p| &mut p.agent).chain(self.pbxs.iter_mut().map(|(_, a)| a))
    }

    /// Live transactions and timers of all shards.
    pub fn counts(&self) -> (usize, usize, usize) {
        self.engines.iter().map(Engine::counts).fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2))
    }

    fn now(&self) -> Now {
        Now { tick: Tick(self.tick), unix: EPOCH + self.tick / 1_000 }
    }

    fn next(&self) -> u64 {
        let queued = self.queue.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
        let engines = self.engines.iter().filter_map(Engine::poll_timeout).map(|t| t.0);
        let agents = self.phones.iter().map(|p| p.agent.next()).chain(self.pbxs.iter().map(|(_, a)| a.next()));
        engines.chain(agents).fold(queued.min(self.operate_at), u64::min)
    }

    fn step(&mut self) {
        while let Some(Reverse((at, serial))) = self.queue.peek().copied()
            && at <= self.tick
        {
            self.queue.pop();
            let event = self.events.remove(&serial).unwrap();
            self.happen(event);
        }
        for n in 0..self.phones.len() {
            if self.phones[n].agent.next() <= self.tick {
                let posts = self.phones[n].agent.wake(self.tick);
                self.phone_sends(n, posts);
            }
        }
        for n in 0..self.pbxs.len() {
            if self.pbxs[n].1.next() <= self.tick {
                let posts = self.pbxs[n].1.wake(self.tick);
                self.pbx_sends(n, posts);
            }
        }
        for shard in 0..self.engines.len() {
            if self.engines[shard].poll_timeout().is_some_and(|at| at.0 <= self.tick) {
                let now = self.now();
                self.engines[shard].handle_timeout(now, &self.snapshot);
                self.drain(shard);
            }
        }
        if self.tick >= self.operate_at {
            self.operate_at = self.tick + self.rng.u64(5_000..40_000);
            self.operate();
        }
    }

    fn operate(&mut self) {
        match self.rng.u8(0..8) {
            0..=1 if self.weather.reloads => {
                self.moved = !self.moved;
                self.reload();
            }
            2 if self.weather.reloads => {
                self.globex_on = !self.globex_on;
                self.reload();
            }
            3 if self.weather.reloads => self.reload(),
            4 if self.weather.restarts => self.restart(),
            5..=6 if self.weather.breaks => {
                let n = self.rng.usize(0..self.phones.len());
                self.break_flow(n);
            }
            0..=7 if self.weather.drops => {
                // One that has never registered is nobody's.
                let n = self.rng.usize(3..self.phones.len());
                if self.tick >= self.phones[n].since + 1_000 {
                    self.break_flow(n);
                }
            }
            _ => {}
        }
    }

    /// A new revision of the table; handles live on as in the product.
    fn reload(&mut self) {
        self.revision += 1;
        let mut rows: Vec<_> = (1..).zip(NAMES).map(|(id, name)| instance(id, name)).collect();
        if self.moved {
            rows[0].backends[0].address = "198.51.0.11:5060".into();
        }
        if !self.globex_on {
            rows[1].state = crate::model::State::Off;
        }
        rows.extend((100..100 + self.rng.u32(0..20)).map(|id| instance(id, &format!("extra{id}"))));
        let mut table = table(rows, [proxy(1, "edge")]);
        table.revision = self.revision;
        let unix = self.now().unix;
        let (snapshot, problems) = compile(&table, &self.handles, &Resolved::default(), unix);
        assert!(problems.is_empty(), "{problems:?}");
        self.snapshot = snapshot;
    }

    /// A new process with the keys of the old one: transactions and connections are gone.
    fn restart(&mut self) {
        self.boot += 1;
        self.shared = Arc::new(Shared::new(keys()));
        let address = |shard: u8| {
            let at = |port| SocketAddr::new("198.51.100.1".parse().unwrap(), port);
            Some(InsideAddress { shared: at(5070), own: at(40_000 + u16::from(shard)) })
        };
        self.engines = (0..SHARDS)
            .map(|n| {
                let inside = Inside { v4: address(n), v6: None };
                let (shard, boot, seed) = (Shard(n), self.boot, self.rng.u64(..));
                let config =
                    Config { shard, boot, seed, inside, transactions: 400, fall: 1_000_000, ..Config::default() };
                Engine::new(config, Arc::clone(&self.shared))
            })
            .collect();
        self.judge.forget_transactions();
        for phone in &mut self.phones {
            if phone.conn.take().is_some() {
                phone.agent.reconnect(self.tick);
            }
        }
    }

    /// A phone's connection breaks, or its NAT gives it another port.
    fn break_flow(&mut self, n: usize) {
        match self.phones[n].conn.take() {
            Some(conn) => {
                let flow = self.stream(n, conn);
                let (now, shard) = (self.now(), usize::from(conn.shard().0));
                self.engines[shard].handle(now, Input::FlowClosed { flow }, &self.snapshot);
                self.drain(shard);
            }
            None => self.phones[n].peer.set_port(self.rng.u16(20_000..60_000)),
        }
        self.phones[n].agent.reconnect(self.tick);
    }

    fn happen(&mut self, event: Event) {
        let now = self.now();
        let (shard, boot) = match &event {
            Event::ToEngine { shard, boot, .. }
            | Event::HandOver { shard, boot, .. }
            | Event::Moved { shard, boot, .. }
            | Event::Failed { shard, boot, .. }
            | Event::Claimed { shard, boot, .. }
            | Event::Unreachable { shard, boot, .. } => (usize::from(*shard), *boot),
            Event::ToPhone { phone, text } => return self.phone_hears(*phone, text),
            Event::ToPbx { pbx, text, from } => return self.pbx_hears(*pbx, text, from),
        };
        // A packet for sockets or connections of the process before; datagrams find the new one.
        let engine = &mut self.engines[shard];
        let input = match &event {
            Event::ToEngine { flow, .. } if boot != self.boot && flow.transport().is_reliable() => return,
            Event::ToEngine { flow, text, .. } => {
                self.judge.came(flow, text);
                Input::Message { flow: *flow, bytes: text.as_bytes() }
            }
            _ if boot != self.boot => return,
            Event::HandOver { flow, text, .. } => Input::HandedOver { flow: *flow, bytes: text.as_bytes() },
            Event::Moved { instance, device, .. } => Input::Moved { instance: *instance, device: *device },
            Event::Failed { ticket, .. } => Input::SendFailed { ticket: *ticket, why: SendError::FlowGone },
            Event::Claimed { ticket, .. } => Input::Claimed { ticket: *ticket, saved: true },
            Event::Unreachable { peer, quoted, .. } => Input::Unreachable { peer: *peer, quoted },
            Event::ToPhone { .. } | Event::ToPbx { .. } => return,
        };
        engine.handle(now, input, &self.snapshot);
        self.drain(shard);
    }

    fn phone_hears(&mut self, n: usize, text: &str) {
        let posts = self.phones[n].agent.hear(self.tick, text, "");
        let strangers = std::mem::take(&mut self.phones[n].agent.strangers);
        self.check_strangers(n, &strangers);
        self.phone_sends(n, posts);
    }

    fn pbx_hears(&mut self, n: usize, text: &str, from: &str) {
        let posts = self.pbxs[n].1.hear(self.tick, text, from);
        let strangers = std::mem::take(&mut self.pbxs[n].1.strangers);
        self.check_strangers(self.phones.len() + n, &strangers);
        self.pbx_sends(n, posts);
    }

    /// R75: a request in a dialog that somebody has must not reach anybody else.
    fn check_strangers(&mut self, reached: usize, strangers: &[(String, String)]) {
        for (call, tag) in strangers {
            let known = self.agents().enumerate().any(|(n, agent)| n != reached && agent.has_dialog(call, tag));
            assert!(!known, "a request in dialog {call} with tag {tag} went to the wrong end");
            self.judge.strangers += 1;
        }
    }

    fn phone_sends(&mut self, n: usize, posts: Vec<Post>) {
        for post in posts {
            if self.phones[n].agent.transport == "TCP" {
                let shard = if self.weather.drops { self.rng.usize(0..2) } else { n };
                if self.phones[n].conn.is_none() {
                    self.phones[n].since = self.tick;
                }
                let conn = *self.phones[n].conn.get_or_insert_with(|| {
                    self.conns += 1;
                    ConnId::new(self.boot, Shard((shard % usize::from(SHARDS)) as u8), self.conns)
                });
                let flow = self.stream(n, conn);
                let at = self.in_order(n);
                let event = Event::ToEngine { shard: conn.shard().0, boot: self.boot, flow, text: post.text };
                self.at(at, event);
            } else {
                let flow = self.datagrams(n);
                let shard = (self.phones[n].peer.port() % u16::from(SHARDS)) as u8;
                self.datagram(|boot| Event::ToEngine { shard, boot, flow, text: post.text.clone() });
            }
        }
    }

    fn pbx_sends(&mut self, n: usize, posts: Vec<Post>) {
        for post in posts {
            let peer = self.pbxs[n].0;
            let local: SocketAddr = post.to.parse().unwrap_or_else(|_| panic!("{} sends to {}", peer, post.to));
            assert_eq!(local.ip().to_string(), "198.51.100.1", "a PBX sends past the proxy");
            // The shared port meets any shard; one of a shard's own meets that, or what has its number now.
            let shard = match local.port() {
                5070 => (n % usize::from(SHARDS)) as u8,
                port => (port - 40_000) as u8,
            };
            let flow = Flow::Udp { listener: ListenerId::INSIDE_V4, local, peer };
            self.datagram(|boot| Event::ToEngine { shard, boot, flow, text: post.text.clone() });
        }
    }

    fn drain(&mut self, shard: usize) {
        let mut outputs = Vec::new();
        let mut saves = false;
        while let Some(output) = self.engines[shard].poll_output() {
            match output {
                Output::Send { to, bytes, ticket } => {
                    outputs.push((to, String::from_utf8(bytes.to_vec()).unwrap(), ticket));
                }
                Output::HandOver { shard, flow, bytes } => {
                    let text = String::from_utf8(bytes.to_vec()).unwrap();
                    let event = Event::HandOver { shard: shard.0, boot: self.boot, flow, text };
                    self.serial += 1;
                    self.queue.push(Reverse((self.tick, self.serial)));
                    self.events.insert(self.serial, event);
                }
                Output::Tell { shard, instance, device } => {
                    let event = Event::Moved { shard: shard.0, boot: self.boot, instance, device };
                    self.serial += 1;
                    self.queue.push(Reverse((self.tick, self.serial)));
                    self.events.insert(self.serial, event);
                }
                Output::Save => saves = true,
                Output::Close { flow } => panic!("a sound stream was closed: {flow:?}"),
            }
        }
        for (to, text, ticket) in outputs {
            self.judge.goes(&to, &text);
            self.deliver(shard as u8, to, text, ticket);
        }
        if saves {
            self.save();
        }
        let (servers, clients, timers) = self.engines[shard].counts();
        assert!(servers <= 400 && timers <= 2 * (servers + clients), "{:?}", (servers, clients, timers));
    }

    /// Claims are written down in a moment; what a crash makes of them is another simulation's business.
    fn save(&mut self) {
        for entry in self.shared.registry.journal.take(usize::MAX) {
            if let Change::Put { ticket: Some(ticket), .. } = entry.change {
                let event = Event::Claimed { shard: shard_of(ticket).0, boot: self.boot, ticket };
                let at = self.tick + self.rng.u64(0..30);
                self.at(at, event);
            }
        }
    }

    fn deliver(&mut self, shard: u8, to: Dest, text: String, ticket: u64) {
        let flow = match to {
            Dest::Backend { address, transport, .. } => {
                assert_eq!(transport, Transport::Udp);
                let n = self.pbxs.iter().position(|(at, _)| *at == address);
                let n = n.unwrap_or_else(|| panic!("nobody is at {address}"));
                let from = format!("198.51.100.1:{}", 40_000 + u16::from(shard));
                return self.datagram(|_| Event::ToPbx { pbx: n, text: text.clone(), from: from.clone() });
            }
            Dest::Flow(flow) | Dest::Reply { flow, .. } => flow,
        };
        let failed = Event::Failed { shard, boot: self.boot, ticket };
        match flow {
            Flow::Udp { listener, local, peer } if listener.is_inside() => {
                let n = self.pbxs.iter().position(|(at, _)| *at == peer).unwrap();
                let port = if local.port() == 0 { 5070 } else { local.port() };
                let from = format!("198.51.100.1:{port}");
                self.datagram(|_| Event::ToPbx { pbx: n, text: text.clone(), from: from.clone() });
            }
            Flow::Udp { peer, .. } => match self.phones.iter().position(|p| p.peer == peer) {
                Some(phone) => self.datagram(|_| Event::ToPhone { phone, text: text.clone() }),
                None => {
                    let quoted = text.as_bytes()[..text.len().min(300)].to_vec();
                    self.datagram(|boot| Event::Unreachable { shard, boot, peer, quoted: quoted.clone() });
                }
            },
            Flow::Stream { conn, .. } => match self.phones.iter().position(|p| p.conn == Some(conn)) {
                Some(phone) => {
                    let at = self.in_order(phone + 100);
                    self.at(at, Event::ToPhone { phone, text });
                }
                None if ticket != 0 => self.at(self.tick, failed),
                None => {}
            },
        }
    }

    fn stream(&self, n: usize, conn: ConnId) -> Flow {
        let listener = ListenerId { proxy: ProxyId(1), number: 2 };
        let (local, peer) = ("192.0.2.1:5060".parse().unwrap(), self.phones[n].peer);
        Flow::Stream { listener, conn, transport: Transport::Tcp, local, peer }
    }

    fn datagrams(&self, n: usize) -> Flow {
        let listener = ListenerId { proxy: ProxyId(1), number: 1 };
        Flow::Udp { listener, local: "192.0.2.1:5060".parse().unwrap(), peer: self.phones[n].peer }
    }

    /// When something sent on a stream arrives: never before what was sent earlier.
    fn in_order(&mut self, stream: usize) -> u64 {
        let at =
            (self.tick + self.rng.u64(1..=self.weather.delay)).max(self.streams.get(&stream).copied().unwrap_or(0));
        self.streams.insert(stream, at);
        at
    }

    fn datagram(&mut self, event: impl Fn(u32) -> Event) {
        if self.rng.u64(0..1_000) < self.weather.loss {
            return;
        }
        let copies = if self.rng.u64(0..1_000) < self.weather.doubled { 2 } else { 1 };
        for _ in 0..copies {
            let at = self.tick + self.rng.u64(1..=self.weather.delay);
            self.at(at, event(self.boot));
        }
    }

    fn at(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.queue.push(Reverse((at, self.serial)));
        self.events.insert(self.serial, event);
    }
}
