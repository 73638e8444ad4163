//! R75: whatever is reloaded, restarted or rotated, a dialog's requests reach the address in their token.

use crate::engine::Engine;
use crate::engine::config::{Config, InsideAddress};
use crate::engine::contract::Dest;
use crate::engine::shared::Shared;
use crate::engine::testing::{Bench, Sent, config, inside, rows, tcp, udp};
use crate::engine::token::{DAY, Keyring};
use crate::ids::{Flow, InstanceId, Shard, Transport};
use crate::model::{State, Table};
use crate::route::testing::{compiled, instance};
use proptest::prelude::*;
use std::net::SocketAddr;
use std::sync::Arc;

const ACME: InstanceId = InstanceId(1);

/// What an operator, a crash or a user does.
#[derive(Clone, Debug)]
enum Op {
    /// The instance's PBX moves to another address.
    Retarget(u8),
    /// It gets a second backend, or loses it.
    Second(bool),
    /// It is renamed.
    Rename(u8),
    /// It is switched off, or on.
    Switch(bool),
    /// Another instance comes or goes.
    Neighbour(bool),
    /// The process starts again, on another shard and port, with the keys it kept.
    Restart(u8),
    /// The keys are rotated.
    Rotate,
    /// Time passes, in hours.
    Pass(u8),
    /// A phone calls.
    CallOut(u8),
    /// The PBX calls a phone.
    CallIn(u8),
    /// One end of a call sends a request.
    Talk { call: usize, from_phone: bool },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (0..4u8).prop_map(Op::Retarget),
        1 => any::<bool>().prop_map(Op::Second),
        1 => (0..3u8).prop_map(Op::Rename),
        1 => prop::bool::weighted(0.7).prop_map(Op::Switch),
        1 => any::<bool>().prop_map(Op::Neighbour),
        2 => (0..8u8).prop_map(Op::Restart),
        1 => Just(Op::Rotate),
        1 => (0..100u8).prop_map(Op::Pass),
        3 => (0..3u8).prop_map(Op::CallOut),
        3 => (0..3u8).prop_map(Op::CallIn),
        8 => (any::<usize>(), any::<bool>()).prop_map(|(call, from_phone)| Op::Talk { call, from_phone }),
    ]
}

/// A dialog as its two ends know it.
struct Call {
    phone: Flow,
    /// Where the PBX was when it began.
    pbx: SocketAddr,
    /// What the phone puts into Request-URI and Route.
    phone_side: (String, Vec<String>),
    /// What the PBX does.
    pbx_side: (String, Vec<String>),
    born: u64,
}

struct World {
    bench: Bench,
    table: Table,
    calls: Vec<Call>,
    serial: u32,
}

fn phone(number: u8) -> Flow {
    match number {
        0 => udp("203.0.113.9:40000"),
        1 => udp("203.0.113.10:40001"),
        _ => tcp("203.0.113.11:50000", 3),
    }
}

impl World {
    fn new() -> Self {
        let table = rows();
        Self { bench: Bench::with(&table, config()), table, calls: Vec::new(), serial: 0 }
    }

    fn acme(&mut self) -> &mut crate::model::Instance {
        Arc::make_mut(&mut self.table.instances[0])
    }

    fn name(&self) -> String {
        self.table.instances[0].name.clone()
    }

    fn is_on(&self) -> bool {
        self.table.instances[0].state == State::On
    }

    fn reload(&mut self, change: impl FnOnce(&mut Self)) {
        change(self);
        self.table.revision += 1;
        self.bench.snapshot = compiled(&self.table);
    }

    fn restart(&mut self, shard: u8) {
        let file = serde_json::to_string(self.bench.shared.keys.load().keys()).unwrap();
        let shared = Arc::new(Shared::new(Keyring::new(serde_json::from_str(&file).unwrap())));
        let mut config = Config { shard: Shard(shard), seed: u64::from(shard), ..config() };
        let move_port = |a: &mut InsideAddress| a.own.set_port(30_000 + u16::from(shard));
        config.inside.v4.iter_mut().for_each(move_port);
        self.bench.engine = Engine::new(config, Arc::clone(&shared));
        self.bench.shared = shared;
    }

    fn rotate(&mut self) {
        let ring = self.bench.shared.keys.load();
        self.serial += 1;
        let secret = [self.serial as u8; 32];
        self.bench.shared.keys.store(Arc::new(ring.rotated(self.bench.now.unix, secret)));
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Retarget(to) => self.reload(|w| {
                w.acme().backends[0].address = format!("198.51.7.{to}:5060");
                w.acme().backends[0].transport = if to == 3 { Transport::Tcp } else { Transport::Udp };
            }),
            Op::Second(there) => self.reload(|w| {
                w.acme().backends.truncate(1);
                let mut second = w.acme().backends[0].clone();
                (second.id.0, second.address) = (2, "198.51.8.1:5060".into());
                if there {
                    w.acme().backends.push(second);
                }
            }),
            Op::Rename(to) => self.reload(|w| w.acme().name = format!("acme{to}")),
            Op::Switch(on) => self.reload(|w| w.acme().state = if on { State::On } else { State::Off }),
            Op::Neighbour(there) => self.reload(|w| {
                w.table.instances.truncate(1);
                if there {
                    w.table.instances.push(Arc::new(instance(2, "globex")));
                }
            }),
            Op::Restart(shard) => self.restart(shard),
            Op::Rotate => self.rotate(),
            Op::Pass(hours) => {
                // As the process would.
                if self.bench.shared.keys.load().is_due(self.bench.now.unix + u64::from(hours) * 3_600) {
                    self.rotate();
                }
                let now = &mut self.bench.now;
                (now.tick, now.unix) =
                    (now.tick.after(u64::from(hours) * 3_600_000), now.unix + u64::from(hours) * 3_600);
                self.bench.pass(70_000);
            }
            Op::CallOut(number) => self.call_out(phone(number)),
            Op::CallIn(number) => self.call_in(phone(number)),
            Op::Talk { call, from_phone } => {
                if !self.calls.is_empty() {
                    self.talk(call % self.calls.len(), from_phone);
                }
            }
        }
    }

    fn request(&mut self, method: &str, uri: &str, rows: &str) -> String {
        self.serial += 1;
        let (n, name) = (self.serial, self.name());
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:bob@{name}>;tag=f{n}\r\nTo: <sip:eve@{name}>\r\nCall-ID: c{n}\r\nCSeq: {n} {method}\r\n{rows}\
             Content-Length: 0\r\n\r\n"
        )
    }

    /// Sends a request and gives what was forwarded, if it was.
    fn forward(&mut self, flow: Flow, text: &str) -> Option<Sent> {
        self.bench.send(flow, text).into_iter().find(|sent| !sent.start().starts_with("SIP/2.0"))
    }

    fn answer(&mut self, flow: Flow, request: &Sent, rows: &str) -> Sent {
        let answer = request.answered(200, rows);
        self.bench.one(flow, &answer)
    }

    fn call_out(&mut self, phone: Flow) {
        let uri = format!("sip:eve@{}", self.name());
        let own = host(phone);
        let invite = self.request("INVITE", &uri, &format!("Contact: <sip:bob@{own}>\r\n"));
        let Some(at_pbx) = self.forward(phone, &invite) else { return assert!(!self.is_on()) };
        assert!(self.is_on());
        let pbx = at_pbx.peer();
        let at_phone = self.answer(inside(&pbx.to_string()), &at_pbx, &format!("Contact: <sip:eve@{pbx}>\r\n"));
        let (mut routes, born) = (recorded(&at_phone), self.bench.now.unix);
        routes.reverse();
        let pbx_side = (format!("sip:bob@{own}"), recorded(&at_pbx));
        self.calls.push(Call { phone, pbx, phone_side: (contact(&at_phone), routes), pbx_side, born });
    }

    fn call_in(&mut self, phone: Flow) {
        let contact_row = format!("Contact: <sip:eve@{}>\r\n", host(phone));
        let register = self.request("REGISTER", &format!("sip:{}", self.name()), &contact_row);
        let Some(register) = self.forward(phone, &register) else { return assert!(!self.is_on()) };
        let pbx = register.peer();
        self.answer(inside(&pbx.to_string()), &register, "");
        let rows = format!("Route: {}\r\nContact: <sip:bob@{pbx}>\r\n", register.row("Path"));
        let uri = format!("sip:eve@{}", host(phone));
        let invite = self.request("INVITE", &uri, &rows);
        let at_phone = self.forward(inside(&pbx.to_string()), &invite).unwrap();
        let at_pbx = self.answer(phone, &at_phone, &contact_row);
        let (mut routes, born) = (recorded(&at_pbx), self.bench.now.unix);
        routes.reverse();
        let phone_side = (contact(&at_phone), recorded(&at_phone));
        self.calls.push(Call { phone, pbx, phone_side, pbx_side: (uri, routes), born });
    }

    fn talk(&mut self, call: usize, from_phone: bool) {
        let call = &self.calls[call];
        let (phone, pbx, age) = (call.phone, call.pbx, self.bench.now.unix - call.born);
        let ((uri, routes), from) =
            if from_phone { (&call.phone_side, phone) } else { (&call.pbx_side, inside(&pbx.to_string())) };
        let (uri, rows) = (uri.clone(), routes.iter().map(|r| format!("Route: {r}\r\n")).collect::<String>());
        let message = self.request("INFO", &uri, &rows).replace(">\r\nCall-ID", ">;tag=t\r\nCall-ID");
        let sent = self.forward(from, &message);
        if !self.is_on() || age >= 29 * DAY {
            return assert_eq!(sent, None);
        }
        if age >= 28 * DAY {
            // The last day of a token, which one it is depends on when its key began.
            return;
        }
        let sent = sent.unwrap();
        self.answer(if from_phone { inside(&pbx.to_string()) } else { phone }, &sent, "");
        match (from_phone, sent.to) {
            (true, Dest::Backend { instance, address, .. }) => assert_eq!((instance, address), (ACME, pbx)),
            (false, Dest::Flow(flow)) => {
                assert_eq!(flow.listener(), phone.listener());
                match (flow, phone) {
                    (Flow::Stream { conn, .. }, Flow::Stream { conn: own, .. }) => assert_eq!(conn, own),
                    _ => assert_eq!(flow.peer(), phone.peer()),
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// What a phone calls itself: each is a device of its own.
fn host(phone: Flow) -> String {
    phone.peer().ip().to_string().replace("203.0.113.", "10.0.0.")
}

fn recorded(message: &Sent) -> Vec<String> {
    message.rows("Record-Route").iter().flat_map(|row| row.split(", ")).map(str::to_owned).collect()
}

fn contact(message: &Sent) -> String {
    message.row("Contact").trim_matches(['<', '>']).to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn requests_of_a_dialog_reach_the_address_in_their_token(ops in proptest::collection::vec(op(), 1..60)) {
        // R75, R73, P04, P05
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
    }
}

#[test]
fn a_call_outlives_all_of_it_once() {
    // R75: the sequence an operator's night brings, so that every step is surely taken.
    let mut world = World::new();
    let talk = |world: &mut World| {
        for call in 0..world.calls.len() {
            for from_phone in [true, false] {
                world.apply(&Op::Talk { call, from_phone });
            }
        }
    };
    for number in 0..3 {
        world.apply(&Op::CallOut(number));
        world.apply(&Op::CallIn(number));
    }
    assert_eq!(world.calls.len(), 6);
    for op in [
        Op::Retarget(1),
        Op::Restart(5),
        Op::Second(true),
        Op::Rename(2),
        Op::Neighbour(false),
        Op::Rotate,
        Op::Restart(0),
        Op::Switch(false),
        Op::Switch(true),
        Op::Retarget(3),
        Op::Pass(99),
    ] {
        world.apply(&op);
        talk(&mut world);
    }
    assert_ne!(world.calls[0].pbx.to_string(), world.table.instances[0].backends[0].address);
}
