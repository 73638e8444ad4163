//! A small world for the tests of steering: two instances, one proxy, one phone, one PBX.

mod hidden;
mod identity;
mod loops;
mod recorded;
mod register;
mod reload;
mod response;
mod routes;
mod transports;
mod untouched;

use super::*;
use crate::engine::branch::Branch;
use crate::ids::{ConnId, ProxyId, Shard};
use crate::model::Profile;
use crate::route::snapshot::Snapshot;
use crate::route::testing::{compiled, instance, proxy, table};
use crate::sip::edit::Splices;
use crate::sip::limits::Limits;
use crate::sip::view::{Index, View};

const NOW: u64 = 1_800_000_000;
const ACME: InstanceId = InstanceId(1);
const OTHER: InstanceId = InstanceId(2);

struct World {
    snapshot: Snapshot,
    ring: Keyring,
    now: u64,
    scratch: Scratch,
    phone: Flow,
    pbx: BackendRef,
    profile: Profile,
    strict_path: bool,
    routes: TlsRoutes,
}

impl World {
    fn new() -> Self {
        let snapshot = compiled(&table([instance(1, "acme"), instance(2, "other")], [proxy(1, "front")]));
        Self {
            snapshot,
            ring: Keyring::default().rotated(NOW, [7; 32]),
            now: NOW,
            scratch: Scratch::default(),
            phone: Flow::Udp {
                listener: ListenerId { proxy: ProxyId(1), number: 1 },
                local: "192.0.2.1:5060".parse().unwrap(),
                peer: "203.0.113.7:5062".parse().unwrap(),
            },
            pbx: BackendRef {
                id: BackendId(1),
                address: "198.51.0.1:5060".parse().unwrap(),
                transport: Transport::Udp,
            },
            profile: Profile::Generic,
            strict_path: false,
            routes: TlsRoutes::Sips,
        }
    }

    /// The same with a phone on a stream.
    fn over_tcp() -> Self {
        let mut world = Self::new();
        world.phone = Flow::Stream {
            listener: ListenerId { proxy: ProxyId(1), number: 2 },
            conn: ConnId::new(1, Shard(0), 9),
            transport: Transport::Tcp,
            local: "192.0.2.1:5060".parse().unwrap(),
            peer: "203.0.113.7:50002".parse().unwrap(),
        };
        world
    }

    fn client(&self) -> FlowRef {
        flow_ref(&self.phone, self.snapshot.listener(self.phone.listener()))
    }

    fn seal(&self, token: &Token<'_>) -> String {
        let mut out = Vec::new();
        self.ring.seal(token, self.now, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The outside entry's token.
    fn b(&self) -> String {
        let BackendRef { id, address, transport } = self.pbx;
        self.seal(&Token::ToBackend { instance: ACME, backend: id, address, transport })
    }

    /// The inside entry's token.
    fn c(&self) -> String {
        self.seal(&Token::ToClient { instance: ACME, flow: self.client() })
    }

    fn mask(&self, text: &str) -> String {
        self.seal(&Token::Mask { instance: ACME, text: text.as_bytes() })
    }

    fn contact(&self, uri: &str) -> String {
        self.seal(&Token::Contact { instance: ACME, flow: self.client(), uri: uri.as_bytes() })
    }

    fn ends(&self) -> Ends<'_> {
        let listener = self.snapshot.listener(self.phone.listener()).unwrap();
        Ends {
            instance: ACME,
            client: self.client(),
            backend: self.pbx,
            outside: Place::outside(listener, "front.pbx.example", self.phone.local()),
            routes: self.routes,
            inside: Place::At("10.0.0.5:5070".parse().unwrap()),
        }
    }

    fn arrival(&self, side: Side) -> Arrival<'_> {
        let inside = Flow::Udp {
            listener: ListenerId::INSIDE_V4,
            local: "10.0.0.5:5070".parse().unwrap(),
            peer: self.pbx.address,
        };
        Arrival {
            side,
            flow: if side == Side::Client { self.phone } else { inside },
            proxy: (side == Side::Client).then(|| &**self.snapshot.proxy_by_id(ProxyId(1)).unwrap()),
            inside: [Some("10.0.0.5:5070".parse().unwrap()), None],
        }
    }

    fn analyse(&self, side: Side, message: &str) -> Result<Inbound, SteerError> {
        let bytes = wire(message);
        let mut index = Index::new();
        let view = View::read(&bytes, &mut index, &Limits::DEFAULT).unwrap();
        let keys = Keys { ring: &self.ring, now_unix: self.now };
        analyse(&view, &self.arrival(side), keys, &self.snapshot, &mut Scratch::default())
    }

    /// What a request from `side` looks like on the other, with `LOOP` for the loop hash.
    fn forward(&mut self, side: Side, message: &str) -> Result<String, SteerError> {
        let bytes = wire(message);
        Ok(text(&self.forward_bytes(side, &bytes)?))
    }

    fn forward_bytes(&mut self, side: Side, bytes: &[u8]) -> Result<Vec<u8>, SteerError> {
        let mut index = Index::new();
        let view = View::read(bytes, &mut index, &Limits::DEFAULT).unwrap();
        let mut scratch = std::mem::take(&mut self.scratch);
        let keys = Keys { ring: &self.ring, now_unix: self.now };
        let arrival = self.arrival(side);
        let inbound = analyse(&view, &arrival, keys, &self.snapshot, &mut scratch)?;
        let plan = Plan {
            to: side.other(),
            ends: self.ends(),
            profile: self.profile,
            branch: b"z9hG4bKNtBRANCH",
            sent_by: match side {
                Side::Client => Place::At("10.0.0.5:41000".parse().unwrap()),
                Side::Instance => self.ends().outside,
            },
            source: arrival.flow.peer(),
            strict_path: self.strict_path,
        };
        let mut edit = Splices::new();
        request_out(&view, &inbound, &plan, keys, &mut edit, &mut scratch).unwrap();
        let mut out = Vec::new();
        edit.write(&view, &mut out).unwrap();
        self.scratch = scratch;
        Ok(out)
    }

    /// What a response looks like on its way back to `to`.
    fn answer(&mut self, to: Side, vias: Option<&str>, message: &str) -> String {
        let bytes = wire(message);
        let mut index = Index::new();
        let view = View::read(&bytes, &mut index, &Limits::DEFAULT).unwrap();
        let mut scratch = std::mem::take(&mut self.scratch);
        let keys = Keys { ring: &self.ring, now_unix: self.now };
        let vias = vias.map(wire);
        let back = Back { to, ends: self.ends(), vias: vias.as_deref() };
        let mut edit = Splices::new();
        response_out(&view, &back, keys, &mut edit, &mut scratch).unwrap();
        let mut out = Vec::new();
        edit.write(&view, &mut out).unwrap();
        self.scratch = scratch;
        text(&out)
    }
}

fn wire(message: &str) -> Vec<u8> {
    message.replace('\n', "\r\n").into_bytes()
}

fn text(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text:?}");
    text.replace("\r\n", "\n")
}

/// The lines of `got` that are not in `came`, and those of `came` that are gone, in order.
fn changes(came: &str, got: &str) -> String {
    let gone = came.lines().filter(|l| !got.lines().any(|g| g == *l)).map(|l| format!("-{l}\n"));
    let new = got.lines().filter(|l| !came.lines().any(|c| c == *l)).map(|l| format!("+{l}\n"));
    gone.chain(new).collect()
}

/// A request of the phone, with further rows.
fn from_phone(method: &str, uri: &str, rows: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0
Via: SIP/2.0/UDP 192.168.1.5:5060;branch=z9hG4bKphone;rport
Max-Forwards: 70
From: <sip:100@acme>;tag=f1
To: <sip:200@acme>
Call-ID: c1
CSeq: 1 {method}
{rows}Content-Length: 0

"
    )
}

/// A request of the phone in a dialog, with further rows.
fn in_dialog(method: &str, uri: &str, rows: &str) -> String {
    from_phone(method, uri, rows).replace("To: <sip:200@acme>\n", "To: <sip:200@acme>;tag=t1\n")
}

/// A request of the PBX, with further rows.
fn from_pbx(method: &str, uri: &str, rows: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0
Via: SIP/2.0/UDP 198.51.0.1:5060;branch=z9hG4bKpbx
Max-Forwards: 69
From: <sip:200@acme>;tag=f2
To: <sip:100@acme>
Call-ID: c2
CSeq: 1 {method}
{rows}Content-Length: 0

"
    )
}

/// An answer to what we sent, whose topmost Via is ours.
fn answer_to(status: &str, method: &str, vias: &str, rows: &str) -> String {
    format!(
        "SIP/2.0 {status}
Via: SIP/2.0/UDP 10.0.0.5:41000;branch=z9hG4bKNtBRANCH;rport
{vias}From: <sip:100@acme>;tag=f1
To: <sip:200@acme>;tag=t1
Call-ID: c1
CSeq: 1 {method}
{rows}Content-Length: 0

"
    )
}

#[test]
fn tells_clients_what_they_can_reach() {
    // R8, X13
    let mut listener = World::new().snapshot.listener(ListenerId { proxy: ProxyId(1), number: 1 }).unwrap().clone();
    let reached = "198.18.0.3:0".parse().unwrap();
    let unknown = "0.0.0.0:0".parse().unwrap();
    let mut say = |bind: &str, advertise: Option<&str>, local| {
        listener.bind = bind.parse().unwrap();
        listener.advertise = advertise.map(Into::into);
        let mut out = Vec::new();
        Place::outside(&listener, "front.pbx.example", local).write(&mut out);
        text(&out)
    };
    assert_eq!(say("192.0.2.1:5060", None, unknown), "192.0.2.1:5060");
    assert_eq!(say("0.0.0.0:5060", None, reached), "198.18.0.3:5060");
    assert_eq!(say("0.0.0.0:0", None, "198.18.0.3:7777".parse().unwrap()), "198.18.0.3:7777");
    assert_eq!(say("[2001:db8::1]:5060", None, unknown), "[2001:db8::1]:5060");
    assert_eq!(say("0.0.0.0:5060", Some("sip.example.com"), reached), "sip.example.com");
    assert_eq!(say("0.0.0.0:5080", Some("sip.example.com"), reached), "sip.example.com:5080");
    assert_eq!(say("0.0.0.0:5060", Some("198.18.9.9:6060"), reached), "198.18.9.9:6060");
}

#[test]
fn a_token_names_our_address_only_where_the_listener_does_not() {
    // F18, P05
    let world = World::new();
    let mut listener = world.snapshot.listener(world.phone.listener()).unwrap().clone();
    let local = |flow: FlowRef| flow.flow().local().ip().to_string();
    assert_eq!(local(flow_ref(&world.phone, Some(&listener))), "0.0.0.0");
    listener.bind = "0.0.0.0:5060".parse().unwrap();
    assert_eq!(local(flow_ref(&world.phone, Some(&listener))), "192.0.2.1");
    assert_eq!(local(flow_ref(&world.phone, None)), "192.0.2.1");
}
