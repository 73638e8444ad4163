//! The sections of a run: which systems, which work, in which of the three modes.
//!
//! - *same*: everything on one core, at a rate far below what it can carry. Nobody is woken on another core, so the
//!   CPU that a unit costs is the system's own work. The main figure.
//! - *highest*: the system alone on its core, the rate grows until something is lost.
//! - *apart*: as that, at one rate, for latency.

use crate::Options;
use crate::data::Data;
use crate::goals as g;
use crate::plan::{Load, Over, Seen, Work};
use crate::process;
use crate::report::{Figures, number};
use crate::systems::System::{self, *};
use crate::systems::{Running, role, spinner};
use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Section {
    /// REGISTER, digest round and call over UDP: CPU
    Udp,
    /// Highest rates over UDP, and latency
    Rates,
    /// REGISTER and calls over TCP, TLS, WS and WSS, and handshakes: CPU
    Streams,
    /// HTTP/1.1, HTTPS, h2, new connections, tunnels: CPU
    Http,
    /// More workers, instances and phones
    Scale,
    /// Memory with the table, and of idle TLS connections
    Memory,
}

/// One kind of work, as a generator is told.
#[derive(Clone, Copy)]
struct Item {
    name: &'static str,
    work: Work,
    over: Over,
    rate: f64,
    sockets: usize,
}

const fn item(name: &'static str, work: Work, over: Over, rate: f64, sockets: usize) -> Item {
    Item { name, work, over, rate, sockets }
}

// One client only, because that is all the bare relay knows.
const UDP: [Item; 3] = [
    item(g::REGISTER, Work::Register, Over::Udp, 5_000.0, 1),
    item(g::DIGEST, Work::Digest, Over::Udp, 3_000.0, 1),
    item(g::CALL, Work::Call, Over::Udp, 1_500.0, 1),
];
const RATES: [Item; 2] = [
    item(g::REGISTER_RATE, Work::Register, Over::Udp, 10_000.0, 1),
    item(g::CALL_RATE, Work::Call, Over::Udp, 3_000.0, 1),
];
const STREAMS: [Item; 6] = [
    item(g::TCP, Work::Register, Over::Tcp, 4_000.0, 200),
    item(g::TLS, Work::Register, Over::Tls, 4_000.0, 200),
    item(g::WS, Work::Register, Over::Ws, 4_000.0, 200),
    item(g::WSS, Work::Register, Over::Wss, 4_000.0, 200),
    item(g::TLS_CALL, Work::Call, Over::Tls, 1_200.0, 200),
    item(g::HANDSHAKE, Work::Handshake, Over::Tls, 0.0, 1),
];
const HTTP: [Item; 6] = [
    item(g::HTTP1, Work::Get, Over::Tcp, 0.0, 64),
    item(g::HTTPS1, Work::Get, Over::Tls, 0.0, 64),
    item(g::HTTPS2, Work::Get2, Over::Tls, 0.0, 16),
    item(g::NEW, Work::GetOnce, Over::Tls, 0.0, 1),
    item(g::TUNNEL, Work::Echo, Over::Tcp, 0.0, 64),
    item(g::TUNNEL_TLS, Work::Echo, Over::Tls, 0.0, 64),
];

impl Item {
    /// Whether a system can do it.
    fn suits(self, system: System) -> bool {
        match system {
            Relay => matches!(self.name, g::REGISTER | g::DIGEST | g::CALL | g::REGISTER_RATE | g::HTTP1),
            _ => true,
        }
    }

    fn port(self, system: System) -> u16 {
        match (self.work, self.over.secure()) {
            _ if system == Direct => crate::backend::SIP[0],
            (Work::Get | Work::Get2 | Work::GetOnce | Work::Echo, false) => 8080,
            (Work::Get | Work::Get2 | Work::GetOnce | Work::Echo, true) => 8443,
            (_, false) => 5060,
            (_, true) => 5061,
        }
    }
}

pub struct Bench<'a> {
    pub data: &'a Data,
    pub options: &'a Options,
    pub figures: Figures,
    /// The core of the systems, and the one of everything else where that is apart.
    pub core: usize,
    pub other: usize,
}

impl Bench<'_> {
    pub fn run(&mut self, section: Section) {
        match section {
            Section::Udp => self.same(&[Nantucket, Relay, KamailioStateless, KamailioStateful], &UDP),
            Section::Streams => self.same(&[Nantucket, KamailioStateless, KamailioStateful], &STREAMS),
            Section::Http => self.same(&[Nantucket, Relay, Nginx, Haproxy], &HTTP),
            Section::Rates if self.core == self.other => eprintln!("rates: needs two cores"),
            Section::Rates => self.rates(),
            Section::Scale => self.scale(),
            Section::Memory => self.memory(),
        }
    }

    /// The order of a round: A B C, then C B A.
    fn order(&self, round: usize, systems: &[System]) -> Vec<System> {
        let installed = systems.iter().copied().filter(|it| it.program().is_none() || it.version().is_some());
        let mut order: Vec<_> = installed.collect();
        if round % 2 == 1 {
            order.reverse();
        }
        order
    }

    fn load(&self, item: Item, system: System, pids: Vec<i32>, cores: Vec<usize>) -> Load {
        // A debug build beside other tests carries little.
        let rate = if self.options.smoke { item.rate / 50.0 } else { item.rate };
        // Each phone once: a seat for a device that was not there before is written down first.
        let once = if item.work == Work::Register { 1.1 * self.data.tenants as f64 / rate } else { 0.0 };
        Load {
            work: item.work,
            target: ([127, 0, 0, 1], item.port(system)).into(),
            over: item.over,
            rate,
            warm: once.max(1.0),
            secs: self.options.secs,
            sockets: item.sockets,
            tenants: self.data.tenants,
            pids,
            cores,
            trust: self.data.path("cert.pem").to_string_lossy().into_owned(),
        }
    }

    fn same(&mut self, systems: &[System], items: &[Item]) {
        let backend = backend(&[self.core]);
        for round in 0..self.options.rounds {
            for system in self.order(round, systems) {
                let running = system.start(self.data, &[self.core]);
                let items = items.iter().filter(|item| item.suits(system));
                for (place, item) in items.enumerate() {
                    let mut load = self.load(*item, system, running.pids(), vec![self.core]);
                    if place == 0 && item.rate > 0.0 {
                        load.warm = if self.options.smoke { 1.0 } else { system.warm() };
                    }
                    let seen = drive(&load);
                    self.tell(item.name, system, &seen);
                    check(item.name, system, &seen);
                    self.figures.add(item.name, system, seen.cpu);
                }
                running.stop();
            }
        }
        backend.stop();
    }

    fn rates(&mut self) {
        let _spinners = [spinner(self.core), spinner(self.other)];
        let backend = backend(&[self.other]);
        for round in 0..self.options.rounds.min(2) {
            let mut half = 0.0;
            for system in self.order(round, &[Nantucket, Relay, KamailioStateless, KamailioStateful]) {
                let running = system.start(self.data, &[self.core]);
                for item in RATES.iter().filter(|item| item.suits(system)) {
                    let load = self.load(*item, system, running.pids(), vec![self.other]);
                    let Some((rate, seen)) = self.highest(system, &load, 1) else { continue };
                    self.tell(item.name, system, &seen);
                    self.figures.add(item.name, system, rate);
                    if system == KamailioStateless && item.work == Work::Register {
                        half = (rate / 2.0_f64).round();
                    }
                }
                running.stop();
            }
            if half > 0.0 {
                self.latencies(round, half);
            }
        }
        backend.stop();
    }

    /// What each system adds to the slowest hundredth at this rate.
    fn latencies(&mut self, round: usize, rate: f64) {
        eprintln!("latency at {rate}/s");
        let mut nothing = 0.0;
        let mut order = vec![Direct];
        order.extend(self.order(round, &[Nantucket, Relay, KamailioStateless, KamailioStateful]));
        for system in order {
            let running = system.start(self.data, &[self.core]);
            let register = Item { rate, ..RATES[0] };
            let load = Load { warm: 3.0, ..self.load(register, system, running.pids(), vec![self.other]) };
            let seen = drive(&load);
            self.tell(g::LATENCY, system, &seen);
            if system == Direct {
                nothing = seen.p99;
            } else {
                self.figures.add(g::LATENCY, system, (seen.p99 - nothing).max(1.0));
            }
            running.stop();
        }
    }

    /// The highest rate of which less than a thousandth is lost, to 8 %; shared by so many generators.
    fn highest(&self, system: System, load: &Load, generators: usize) -> Option<(f64, Seen)> {
        let (mut good, mut bad): (Option<(f64, Seen)>, Option<f64>) = (None, None);
        let mut rate = load.rate;
        while bad.is_none_or(|bad| bad > 300.0 && good.as_ref().map_or(0.0, |it| it.0) < 0.92 * bad) {
            let step = Load { rate: rate / generators as f64, warm: 0.5, secs: 1.5, ..load.clone() };
            // A noisy moment gets a second try.
            let held = (0..2).find_map(|_| {
                let seen = drive_with(&step, generators);
                let enough = seen.begun as f64 > 0.97 * rate * step.secs;
                let holds = enough && seen.lost() < 0.001 && seen.p99 < 50_000.0;
                eprintln!(
                    "    {rate:.0}/s: {:.3} % lost, p99 {:.0} µs, {:.0} % of a core{}",
                    seen.lost() * 100.0,
                    seen.p99,
                    seen.share * 100.0,
                    if holds { "" } else { ", not held" }
                );
                holds.then_some(seen)
            });
            match held {
                Some(seen) => good = Some((rate, seen)),
                None => bad = Some(rate),
            }
            rate = match (&good, bad) {
                (Some((good, _)), Some(bad)) => (good + bad) / 2.0,
                (None, Some(bad)) => bad / 2.0,
                (_, None) => rate * 1.4,
            };
        }
        if good.is_none() {
            eprintln!("  {}: no rate held", system.name());
        }
        good
    }

    fn scale(&mut self) {
        let small = Data::write(10, &self.data.binary);
        for _ in 0..self.options.rounds {
            self.tables(&small);
            if self.core != self.other {
                self.workers();
            }
        }
    }

    /// A phone's REGISTER with a small and a large table, and with few and many phones.
    fn tables(&mut self, small: &Data) {
        let backend = backend(&[self.core]);
        let mut costs = Vec::new();
        for (data, phones) in [(small, 10), (self.data, 10), (self.data, 100), (self.data, self.data.tenants)] {
            let running = Nantucket.start(data, &[self.core]);
            let load = self.load(UDP[0], Nantucket, running.pids(), vec![self.core]);
            let seen = drive(&Load { tenants: phones, warm: Nantucket.warm(), ..load });
            eprintln!("  {} instances, {phones} phones: {} µs", data.tenants, number(seen.cpu));
            check("scale", Nantucket, &seen);
            costs.push(seen.cpu);
            running.stop();
        }
        if let [small, large, few, many] = costs[..] {
            self.figures.add(g::INSTANCES, Nantucket, large / small);
            self.figures.add(g::PHONES, Nantucket, many / few);
        }
        backend.stop();
    }

    /// Generators, PBXs and one worker on one core; then twice as much of all on two.
    fn workers(&mut self) {
        let mut rates = Vec::new();
        for (workers, cores) in [(1, vec![self.core]), (2, vec![self.other, self.core])] {
            self.data.configurations(workers);
            let backend = backend(&cores);
            let running = Nantucket.start(self.data, &cores);
            let register = Item { rate: 6_000.0 * workers as f64, sockets: 16, ..RATES[0] };
            let load = self.load(register, Nantucket, running.pids(), cores);
            rates.extend(self.highest(Nantucket, &load, workers).map(|(rate, _)| rate));
            running.stop();
            backend.stop();
        }
        self.data.configurations(1);
        if let [one, two] = rates[..] {
            eprintln!("  1 worker {one:.0}/s, 2 workers {two:.0}/s");
            self.figures.add(g::WORKERS, Nantucket, two / one);
        }
    }

    fn memory(&mut self) {
        for system in self.order(0, &[Nantucket, KamailioStateless, KamailioStateful, Nginx, Haproxy]) {
            let running = system.start(self.data, &[self.core]);
            let pids = running.pids();
            let before = process::memory(&pids);
            self.figures.add(g::MEMORY, system, before as f64 / 1e6);
            if matches!(system, Nantucket | KamailioStateless) {
                let count = if self.options.smoke { 100 } else { 2_000 };
                let item = item(g::IDLE, Work::Idle, Over::Tls, 0.0, count);
                let load = self.load(item, system, pids.clone(), vec![self.core]);
                let (held, _) = role("generator", &serde_json::to_string(&load).unwrap());
                let each = process::memory(&pids).saturating_sub(before) as f64 / count as f64;
                eprintln!(
                    "  {}: {:.0} MB, {:.0} bytes an idle TLS connection",
                    system.name(),
                    before as f64 / 1e6,
                    each
                );
                self.figures.add(g::IDLE, system, each / 1e3);
                held.stop();
            }
            running.stop();
        }
    }

    /// One line of progress.
    fn tell(&self, work: &str, system: System, seen: &Seen) {
        eprintln!(
            "  {:20} {work}: {} µs CPU, {:.0}/s, {:.3} % lost, p50 {:.0} p99 {:.0} µs, {:.0} % of a core{}{}",
            system.name(),
            number(seen.cpu),
            seen.ok as f64 / seen.secs,
            seen.lost() * 100.0,
            seen.p50,
            seen.p99,
            seen.share * 100.0,
            if seen.late > 0 { format!(", {} late", seen.late) } else { String::new() },
            if seen.foreign > 0.05 {
                format!(", others {:.0} % of a core", seen.foreign * 100.0)
            } else {
                String::new()
            },
        );
    }
}

fn backend(cores: &[usize]) -> Running {
    role("backend", &serde_json::to_string(cores).unwrap()).0
}

/// Lets a generator run its load.
fn drive(load: &Load) -> Seen {
    let (running, line) = role("generator", &serde_json::to_string(load).unwrap());
    running.stop();
    serde_json::from_str(&line).unwrap()
}

/// Lets some generators run the same load at once, and adds up.
fn drive_with(load: &Load, generators: usize) -> Seen {
    let all: Vec<Seen> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..generators).map(|_| scope.spawn(|| drive(load))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    all.into_iter()
        .reduce(|sum, it| Seen {
            begun: sum.begun + it.begun,
            ok: sum.ok + it.ok,
            wrong: sum.wrong + it.wrong,
            p99: sum.p99.max(it.p99),
            ..sum
        })
        .unwrap()
}

/// A figure of work that was not done is none.
fn check(work: &str, system: System, seen: &Seen) {
    let example = seen.example.as_deref().unwrap_or("no answer");
    assert!(seen.wrong == 0 && seen.ok > 0, "{work}: {} answered wrong {} times: {example}", system.name(), seen.wrong);
    assert!(seen.lost() < 0.01, "{work}: {} lost {:.2} %", system.name(), seen.lost() * 100.0);
}
