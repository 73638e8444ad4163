//! A node that is killed: phones fight for seats through a rough network, and the world stops at any step between
//! two engines, their journal and the disk, and goes on from what was on the disk. Nobody gets a seat twice, nobody
//! who has one loses it, and what a crash left behind is gone when its time is over.
//!
//! `NANTUCKET_SEED` and `NANTUCKET_SEEDS` as for the other simulations.

use crate::clock::{Now, Tick};
use crate::engine::Engine;
use crate::engine::config::{Config, Inside, InsideAddress};
use crate::engine::contract::{Dest, Input, Output};
use crate::engine::registry::Kept;
use crate::engine::shared::Shared;
use crate::engine::testing::{EPOCH, PBX, Sent, inside, keys, udp};
use crate::ids::{Flow, InstanceId, Shard};
use crate::licence::ledger::{Counts, GRACE, Name, Record};
use crate::model::Seats;
use crate::route::snapshot::Snapshot;
use crate::route::testing::{compiled, instance, proxy, table};
use crate::seats::Batch;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;

const SHARDS: u8 = 2;
/// Seconds the phones ask for; the PBX grants half of it and more.
const ASKED: u64 = 120;
/// Milliseconds between two signs of life on the disk.
const HEARTBEAT: u64 = 3_000;
/// Claims end on full seconds.
const SECOND: u64 = 1_000;

#[derive(Clone, Copy)]
struct Weather {
    /// Datagrams lost, of a thousand.
    loss: u64,
    /// Datagrams doubled, of a thousand.
    doubled: u64,
    /// Longest way, in milliseconds.
    delay: u64,
    /// Writes that fail, of a thousand.
    bad_disk: u64,
    /// One crash in about so many steps; 0 for none.
    crashes: u64,
    /// Whether phones leave and come again.
    leaving: bool,
}

enum Event {
    ToNode { flow: Flow, shard: u8, text: String },
    ToPhone { phone: usize, text: String },
    ToPbx { text: String, from: String },
    Save,
    Claimed { boot: u32, ticket: u64, saved: bool },
    Beat,
    Start,
}

/// What outlives a crash.
#[derive(Default)]
struct Disk {
    claims: BTreeMap<(InstanceId, Name), Record>,
    alive: u64,
}

struct Phone {
    account: String,
    /// Whether it knows its password.
    is_honest: bool,
    serial: u32,
    /// What it waits for: the REGISTER, when it was first sent, when it is sent again.
    asking: Option<(String, u64, u64)>,
    /// The end of what it was granted, counted from when it asked.
    until: u64,
    next: u64,
    leaves: bool,
    refused: Option<String>,
}

struct World {
    weather: Weather,
    rng: fastrand::Rng,
    tick: u64,
    serial: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    snapshot: Snapshot,
    seats: usize,
    shared: Arc<Shared>,
    engines: Vec<Engine>,
    boot: u32,
    batch: Batch,
    saving: bool,
    disk: Disk,
    phones: Vec<Phone>,
    /// Phones that were registered and had not been before.
    successes: u64,
    /// Steps so far, and the one at which the node is killed.
    steps: u64,
    kill_at: u64,
    kills: u32,
}

/// The node was killed: what it was doing is not finished.
struct Killed;

impl World {
    fn new(seed: u64, weather: Weather, phones: usize, thieves: usize, seats: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut acme = instance(1, "acme");
        acme.licence.booked = Seats { full: seats as u32, light: 0 };
        let phone = |n: usize| Phone {
            account: format!("{}{n}", if n < phones { "p" } else { "thief" }),
            is_honest: n < phones,
            serial: 0,
            asking: None,
            until: 0,
            next: 1_000,
            leaves: false,
            refused: None,
        };
        let kill_at = if weather.crashes > 0 { rng.u64(1..=2 * weather.crashes) } else { u64::MAX };
        let mut world = Self {
            weather,
            rng,
            tick: 1_000,
            serial: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            snapshot: compiled(&table([acme], [proxy(1, "edge")])),
            seats,
            shared: Arc::default(),
            engines: Vec::new(),
            boot: 0,
            batch: Batch::default(),
            saving: false,
            disk: Disk::default(),
            phones: (0..phones + thieves).map(phone).collect(),
            steps: 0,
            kill_at,
            kills: 0,
            successes: 0,
        };
        world.start();
        world
    }

    fn now(&self) -> Now {
        Now { tick: Tick(self.tick), unix: EPOCH + self.tick / 1_000 }
    }

    /// One step of the node is about to be done, or the world ends for it.
    fn step(&mut self) -> Result<(), Killed> {
        self.steps += 1;
        if self.steps != self.kill_at {
            return Ok(());
        }
        self.kills += 1;
        if self.weather.crashes > 0 {
            self.kill_at = self.steps + self.rng.u64(1..=2 * self.weather.crashes);
        }
        self.engines.clear();
        self.shared = Arc::default();
        self.batch = Batch::default();
        self.saving = false;
        let down = self.rng.u64(0..8_000);
        self.at(self.tick + down, Event::Start);
        Err(Killed)
    }

    /// A process that has only what is on the disk.
    fn start(&mut self) {
        self.boot += 1;
        self.shared = Arc::new(Shared::new(keys()));
        let kept = self.disk.claims.iter().map(|((instance, account), record)| Kept {
            instance: *instance,
            account: account.clone(),
            record: record.clone(),
        });
        let now = self.now();
        self.shared.registry.restore(kept, self.disk.alive, &self.snapshot, now.unix);
        let at = |port| SocketAddr::new("198.51.100.1".parse().unwrap(), port);
        self.engines = (0..SHARDS)
            .map(|n| {
                let address = InsideAddress { shared: at(5070), own: at(40_000 + u16::from(n)) };
                let inside = Inside { v4: Some(address), v6: None };
                let (boot, seed) = (self.boot, self.rng.u64(..));
                let config = Config {
                    shard: Shard(n),
                    boot,
                    seed,
                    inside,
                    fall: 1_000_000,
                    retry_after: 2,
                    ..Config::default()
                };
                Engine::new(config, Arc::clone(&self.shared))
            })
            .collect();
        self.at(self.tick, Event::Beat);
    }

    fn run(&mut self, until: u64) {
        loop {
            let queued = self.queue.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
            let engines = self.engines.iter().filter_map(Engine::poll_timeout).map(|tick| tick.0);
            let phones = self.phones.iter().map(Phone::wakes);
            let next = engines.chain(phones).fold(queued, u64::min);
            if next > until {
                self.tick = until;
                return;
            }
            self.tick = self.tick.max(next);
            // A crash ends what was going on; the rest of the world goes on.
            let _ = self.turn();
            self.judge();
        }
    }

    fn turn(&mut self) -> Result<(), Killed> {
        while let Some(Reverse((at, serial))) = self.queue.peek().copied()
            && at <= self.tick
        {
            self.queue.pop();
            let event = self.events.remove(&serial).unwrap();
            self.happen(event)?;
        }
        for n in 0..self.phones.len() {
            if self.phones[n].wakes() <= self.tick {
                self.wake(n);
            }
        }
        for shard in 0..self.engines.len() {
            if self.engines[shard].poll_timeout().is_some_and(|at| at.0 <= self.tick) {
                self.step()?;
                let now = self.now();
                self.engines[shard].handle_timeout(now, &self.snapshot);
                self.drain(shard)?;
            }
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Killed> {
        match event {
            Event::ToNode { flow, shard, text } => self.give(shard, Input::Message { flow, bytes: text.as_bytes() })?,
            Event::ToPhone { phone, text } => self.hear(phone, text),
            Event::ToPbx { text, from } => self.answer(text, &from),
            Event::Claimed { boot, ticket, saved } if boot == self.boot => {
                let shard = crate::engine::registry::journal::shard_of(ticket);
                self.give(shard.0, Input::Claimed { ticket, saved })?;
            }
            Event::Claimed { .. } => {}
            Event::Save => self.save()?,
            Event::Beat if self.engines.is_empty() => {}
            Event::Beat => {
                self.save()?;
                self.at(self.tick + HEARTBEAT, Event::Beat);
            }
            Event::Start => self.start(),
        }
        Ok(())
    }

    fn give(&mut self, shard: u8, input: Input<'_>) -> Result<(), Killed> {
        if self.engines.is_empty() {
            return Ok(());
        }
        self.step()?;
        let now = self.now();
        self.engines[usize::from(shard)].handle(now, input, &self.snapshot);
        self.drain(usize::from(shard))
    }

    fn drain(&mut self, shard: usize) -> Result<(), Killed> {
        let mut outputs = Vec::new();
        while let Some(output) = self.engines[shard].poll_output() {
            outputs.push(match output {
                Output::Send { to, bytes, .. } => Some((to, String::from_utf8(bytes.to_vec()).unwrap())),
                Output::Save => None,
                other => panic!("{other:?}"),
            });
        }
        for output in outputs {
            self.step()?;
            match output {
                None if self.saving => {}
                None => {
                    self.saving = true;
                    let at = self.tick + self.rng.u64(0..10);
                    self.at(at, Event::Save);
                }
                Some((Dest::Backend { .. }, text)) => {
                    let from = format!("198.51.100.1:{}", 40_000 + shard);
                    self.datagram(|| Event::ToPbx { text: text.clone(), from: from.clone() });
                }
                Some((Dest::Flow(flow) | Dest::Reply { flow, .. }, text)) => {
                    let phone = usize::from(flow.peer().port() - 20_000);
                    self.datagram(|| Event::ToPhone { phone, text: text.clone() });
                }
            }
        }
        Ok(())
    }

    /// The keeper's round, as `seats::keeper` has it.
    fn save(&mut self) -> Result<(), Killed> {
        if self.engines.is_empty() {
            return Ok(());
        }
        self.saving = false;
        self.step()?;
        let journal = Arc::clone(&self.shared.registry.journal);
        journal.take(usize::MAX).into_iter().for_each(|entry| self.batch.add(entry));
        self.step()?;
        let saved = self.rng.u64(0..1_000) >= self.weather.bad_disk;
        if saved {
            self.disk.claims.retain(|(instance, _), _| !self.batch.cleared.contains(instance));
            for (key, record) in std::mem::take(&mut self.batch.claims) {
                match record {
                    Some(record) => drop(self.disk.claims.insert(key, record)),
                    None => drop(self.disk.claims.remove(&key)),
                }
            }
            self.batch.done();
            self.disk.alive = self.now().unix;
        }
        journal.set_broken(!saved);
        self.step()?;
        for (ticket, saved) in self.batch.take_waiting(saved).into_values().flatten() {
            self.step()?;
            let at = self.tick + self.rng.u64(0..10);
            self.at(at, Event::Claimed { boot: self.boot, ticket, saved });
        }
        Ok(())
    }

    /// The PBX: challenges, refuses the wrong password, grants something to the rest.
    fn answer(&mut self, text: String, from: &str) {
        let request = Sent { to: Dest::Flow(inside(PBX)), text, ticket: 0 };
        let leaves = request.rows("Expires") == ["0"];
        let (status, rows) = match request.rows("Authorization")[..] {
            [] => (401, "WWW-Authenticate: Digest realm=\"x\", nonce=\"y\"\r\n".to_owned()),
            ["Digest right"] if leaves => (200, String::new()),
            ["Digest right"] => {
                // The same for a REGISTER that comes again.
                let dice =
                    request.row("Call-ID").bytes().fold(7_u64, |sum, byte| sum * 31 % 1_000_003 + u64::from(byte));
                let granted = ASKED / 2 + dice % (ASKED / 2 + 1);
                (200, format!("Contact: {};expires={granted}\r\n", request.row("Contact")))
            }
            _ => (403, String::new()),
        };
        let text = request.answered(status, &rows);
        let shard = (from.rsplit(':').next().unwrap().parse::<u16>().unwrap() - 40_000) as u8;
        let local = from.parse().unwrap();
        let Flow::Udp { listener, peer, .. } = inside(PBX) else { unreachable!() };
        self.datagram(|| Event::ToNode { flow: Flow::Udp { listener, local, peer }, shard, text: text.clone() });
    }

    fn wake(&mut self, n: usize) {
        let (tick, leaving) = (self.tick, self.weather.leaving);
        let dice = self.rng.u8(0..20);
        let phone = &mut self.phones[n];
        match &mut phone.asking {
            Some((_, since, _)) if tick >= *since + 8_000 => {
                phone.asking = None;
                // The node may still repeat what was given up, and a late un-REGISTER ends what came after it.
                phone.next = tick + if phone.leaves { 33_000 } else { 500 };
                return;
            }
            Some((_, _, again)) => *again = tick + 1_000,
            None => {
                phone.leaves = leaving && dice == 0 && phone.until > tick;
                if phone.leaves {
                    // It counts as gone from the moment it says so.
                    phone.until = 0;
                }
                phone.ask(tick, "");
            }
        }
        self.phone_sends(n);
    }

    fn hear(&mut self, n: usize, text: String) {
        let tick = self.tick;
        let (jitter, early) = (self.rng.u64(0..3_000), self.rng.u64(400..990));
        let heard = Sent { to: Dest::Flow(inside(PBX)), text, ticket: 0 };
        let phone = &mut self.phones[n];
        let Some((asked, since, _)) = phone.asking.take() else { return };
        let call = format!("Call-ID: {}\r\n", heard.row("Call-ID"));
        if heard.status() < 200 || !asked.contains(&call) {
            phone.asking = Some((asked, since, tick + 1_000));
            return;
        }
        match heard.status() {
            401 => {
                phone.ask(tick, if phone.is_honest { "right" } else { "wrong" });
                self.phone_sends(n);
            }
            200 if phone.leaves => phone.next = tick + 2_000 + jitter,
            200 => {
                assert!(phone.is_honest);
                let granted = heard.row("Contact").split("expires=").nth(1).unwrap().parse::<u64>().unwrap();
                self.successes += u64::from(phone.until == 0);
                phone.until = since + granted * 1_000;
                // Some refresh in good time, some at the last moment.
                phone.next = (since + granted * early).max(tick);
                phone.refused = None;
            }
            status => {
                let warning = heard.rows("Warning").concat();
                let is_ours = warning.contains("seats-");
                // R67: nobody who is registered is refused a refresh for seats.
                let was_live = phone.until > tick + SECOND && !phone.leaves;
                assert!(!(is_ours && was_live), "{} lost its seat: {status} {warning}", phone.account);
                let wait = heard.rows("Retry-After").first().map_or(4, |after| after.parse::<u64>().unwrap());
                phone.next = tick + wait * 1_000 + jitter;
                phone.refused = Some(warning);
            }
        }
    }

    fn phone_sends(&mut self, n: usize) {
        let text = self.phones[n].asking.as_ref().map(|(text, _, _)| text.clone()).unwrap();
        let flow = udp(&format!("203.0.113.9:{}", 20_000 + n));
        let shard = (n % usize::from(SHARDS)) as u8;
        self.datagram(|| Event::ToNode { flow, shard, text: text.clone() });
    }

    fn datagram(&mut self, event: impl Fn() -> Event) {
        if self.rng.u64(0..1_000) < self.weather.loss {
            return;
        }
        let copies = if self.rng.u64(0..1_000) < self.weather.doubled { 2 } else { 1 };
        for _ in 0..copies {
            let at = self.tick + self.rng.u64(1..=self.weather.delay);
            self.at(at, event());
        }
    }

    fn at(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.queue.push(Reverse((at, self.serial)));
        self.events.insert(self.serial, event);
    }

    fn registered(&self) -> usize {
        self.phones.iter().filter(|phone| phone.until > self.tick + SECOND).count()
    }

    fn counts(&self) -> Counts {
        let room = self.shared.registry.find(InstanceId(1));
        room.map_or_else(Counts::default, |room| room.with(|live| live.ledger.counts()))
    }

    /// R66: at no moment are there more than there are seats.
    fn judge(&self) {
        assert!(self.registered() <= self.seats, "a seat was given twice: {} of {}", self.registered(), self.seats);
        let counts = self.counts();
        assert!((counts.used.full + counts.in_flight.full) as usize <= self.seats, "{counts:?}");
    }

    /// No more trouble, for as long as anything that trouble left may live.
    fn calm(&mut self) {
        self.weather = Weather { loss: 0, doubled: 0, delay: 5, bad_disk: 0, crashes: 0, leaving: false };
        self.kill_at = u64::MAX;
        let until = self.tick + (ASKED + GRACE) * 1_000 + 60_000;
        self.run(until);
        let honest = self.phones.iter().filter(|phone| phone.is_honest).count();
        let expected = honest.min(self.seats);
        assert_eq!(self.registered(), expected, "everybody there is a seat for has one");
        let last = self.phones.iter().filter(|phone| phone.is_honest && phone.until <= self.tick);
        for phone in last {
            let warning = phone.refused.clone().unwrap_or_default();
            assert!(warning.contains("seats-exhausted"), "{} is told: {warning}", phone.account);
        }
        let counts = self.counts();
        assert_eq!((counts.used.full as usize, counts.in_flight), (expected, Seats::default()), "no seat has leaked");
        self.run(self.tick + HEARTBEAT);
        let mut kept: Vec<_> = self.disk.claims.keys().map(|(_, name)| name.to_vec()).collect();
        let is_live = |phone: &&Phone| phone.until > self.tick;
        let mut live: Vec<_> =
            self.phones.iter().filter(is_live).map(|phone| phone.account.clone().into_bytes()).collect();
        kept.sort();
        live.sort();
        assert_eq!(kept, live, "what is on the disk is what is there");
    }
}

impl Phone {
    fn ask(&mut self, tick: u64, password: &str) {
        self.serial += 1;
        let Self { account, serial, leaves, .. } = self;
        let expires = if *leaves { 0 } else { ASKED };
        let rows = if password.is_empty() { String::new() } else { format!("Authorization: Digest {password}\r\n") };
        let text = format!(
            "REGISTER sip:acme SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bK{account}-{serial}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{account}@acme>;tag=f1\r\nTo: <sip:{account}@acme>\r\n\
             Call-ID: {account}-{serial}\r\nCSeq: {serial} REGISTER\r\nContact: <sip:{account}@10.0.0.5:5060>\r\n\
             Expires: {expires}\r\n{rows}Content-Length: 0\r\n\r\n"
        );
        self.asking = Some((text, tick, tick + 1_000));
    }

    fn wakes(&self) -> u64 {
        self.asking.as_ref().map_or(self.next, |(_, _, again)| *again)
    }
}

const CLEAR: Weather = Weather { loss: 0, doubled: 0, delay: 20, bad_disk: 0, crashes: 0, leaving: false };
const ROUGH: Weather = Weather { loss: 80, doubled: 50, delay: 400, bad_disk: 20, crashes: 1_500, leaving: true };

/// Runs a world for each seed; a panic names the seed.
fn each_seed(most: u64, run: impl Fn(u64)) {
    let number = |key: &str| std::env::var(key).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("NANTUCKET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("NANTUCKET_SEEDS").unwrap_or(most),
    };
    for seed in seeds {
        let failed = super::Failed { name: "seats", seed };
        run(seed);
        std::mem::forget(failed);
    }
}

#[test]
fn a_hundred_phones_at_once_on_ninety_nine_seats() {
    // R66: 100 parallel REGISTERs of 100 users on 99 seats end in exactly 99 successes
    each_seed(2, |seed| {
        let mut world = World::new(seed, CLEAR, 100, 0, 99);
        world.run(40_000);
        assert_eq!((world.registered(), world.successes), (99, 99));
        let [left] = world.phones.iter().filter(|phone| phone.until == 0).collect::<Vec<_>>()[..] else { panic!() };
        assert!(left.refused.as_ref().is_some_and(|warning| warning.contains("seats-exhausted")));
        world.calm();
    });
}

#[test]
fn loss_disorder_crashes_and_a_bad_disk_neither_leak_nor_double_a_seat() {
    // R66 R67 R12
    each_seed(2, |seed| {
        let mut world = World::new(seed, ROUGH, 100, 20, 99);
        world.run(400_000);
        assert!(world.kills > 3 && world.successes >= 99, "{} {}", world.kills, world.successes);
        world.calm();
    });
}

#[test]
fn a_crash_at_every_single_step_is_survived() {
    // R66: the world stops before each input, output, write and answer in turn
    let story = |kill_at| {
        let mut world = World::new(7, CLEAR, 3, 1, 2);
        world.kill_at = kill_at;
        world.run(12_000);
        let steps = world.steps;
        world.calm();
        (steps, world.kills)
    };
    let (steps, _) = story(u64::MAX);
    assert!(steps > 60, "{steps}");
    for kill_at in 1..=steps {
        assert_eq!(story(kill_at).1, 1, "step {kill_at}");
    }
}

#[test]
fn passwords_that_are_refused_never_take_a_seat() {
    // R66
    each_seed(2, |seed| {
        let mut world = World::new(seed, Weather { loss: 50, doubled: 50, ..CLEAR }, 5, 40, 5);
        world.run(300_000);
        world.calm();
        assert!(world.phones.iter().all(|phone| phone.is_honest || phone.until == 0));
    });
}
