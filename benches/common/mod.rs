//! What the benchmarks and the allocation gate share: a table, keys, and the messages of one phone
//! and one PBX.
#![allow(dead_code, reason = "each binary uses its share")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "no product code")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock itself")]

pub mod line;
pub mod seats;

use nantucket::engine::steer::{
    Arrival, BackendRef, Ends, Inbound, Keys, Place, Plan, Scratch, Side, analyse, flow_ref, request_out,
};
use nantucket::engine::token::{Keyring, Token};
use nantucket::ids::{BackendId, ConnId, Flow, InstanceId, ListenerId, ProxyId, Shard, Transport};
use nantucket::licence::Book;
use nantucket::model::{self, Profile, Service, State, Table, TlsRoutes};
use nantucket::route::handles::Handles;
use nantucket::route::resolved::Resolved;
use nantucket::route::snapshot::Snapshot;
use nantucket::sip::edit::Splices;
use nantucket::sip::limits::Limits;
use nantucket::sip::view::{Index, View};
use std::sync::Arc;

pub const NOW: u64 = 1_800_000_000;
pub const INSIDE: &str = "10.0.0.5:5070";
pub const OWN: &str = "10.0.0.5:41000";
pub const PHONE: &str = "203.0.113.7:5062";

/// A row for instance number `id`, named `t<id>`, with one backend of its own.
pub fn instance(id: u32) -> model::Instance {
    let [_, high, middle, low] = id.to_be_bytes();
    model::Instance {
        id: InstanceId(id),
        state: State::On,
        backends: vec![model::Backend {
            id: BackendId(1),
            ..model::Backend::at(&format!("10.{high}.{middle}.{low}:5060"))
        }],
        licence: model::Licensing {
            mode: model::Mode::Cloud,
            booked: model::Seats { full: 1_000, light: 0 },
            ..Default::default()
        },
        ..model::Instance::named(&format!("t{id}"))
    }
}

/// A table of `count` instances behind one proxy with SIP on UDP and TCP.
pub fn table(count: u32) -> Table {
    let listener =
        |number, service| model::Listener { number, service, bind: "192.0.2.1:5060".parse().unwrap(), advertise: None };
    let proxy = model::Proxy {
        id: ProxyId(1),
        listeners: vec![listener(1, Service::SipUdp), listener(2, Service::SipTcp)],
        https_redirect: false,
        ..model::Proxy::named("front", "front.pbx.example", "pbx.example")
    };
    Table {
        revision: 1,
        instances: (1..=count).map(|id| Arc::new(instance(id))).collect(),
        proxies: vec![Arc::new(proxy)],
        book: Arc::new(Book::demo(model::Seats { full: u32::MAX, light: 0 })),
        ..Table::default()
    }
}

pub fn snapshot(count: u32) -> Snapshot {
    let (snapshot, problems) = nantucket::route::compile(&table(count), &Handles::default(), &Resolved::default(), NOW);
    assert!(problems.is_empty(), "{problems:?}");
    snapshot
}

/// Steering as the engine does it for one message, with everything reused.
pub struct Hop {
    pub snapshot: Snapshot,
    pub ring: Keyring,
    pub flow: Flow,
    pub backend: BackendRef,
    index: Index,
    edit: Splices,
    scratch: Scratch,
    pub out: Vec<u8>,
}

impl Hop {
    /// With a phone on a connection.
    pub fn over_tcp() -> Self {
        let flow = Flow::Stream {
            listener: ListenerId { proxy: ProxyId(1), number: 2 },
            conn: ConnId::new(1, Shard(1), 9),
            transport: Transport::Tcp,
            local: "192.0.2.1:5060".parse().unwrap(),
            peer: PHONE.parse().unwrap(),
        };
        Self { flow, ..Self::new() }
    }

    /// With a phone on datagrams.
    pub fn new() -> Self {
        Self {
            snapshot: snapshot(1),
            ring: Keyring::default().rotated(NOW, [7; 32]),
            flow: Flow::Udp {
                listener: ListenerId { proxy: ProxyId(1), number: 1 },
                local: "192.0.2.1:5060".parse().unwrap(),
                peer: PHONE.parse().unwrap(),
            },
            backend: BackendRef {
                id: BackendId(1),
                address: "10.0.0.1:5060".parse().unwrap(),
                transport: Transport::Udp,
            },
            index: Index::new(),
            edit: Splices::new(),
            scratch: Scratch::default(),
            out: Vec::new(),
        }
    }

    /// The route a client has in a dialog.
    pub fn route(&self) -> String {
        let BackendRef { id, address, transport } = self.backend;
        let outside = Token::ToBackend { instance: InstanceId(1), backend: id, address, transport };
        let inside = Token::ToClient { instance: InstanceId(1), flow: flow_ref(&self.flow, None).without_local() };
        format!("<sip:{}@192.0.2.1:5060;lr>, <sip:{}@192.0.2.1:5060;lr>", self.seal(&outside), self.seal(&inside))
    }

    fn seal(&self, token: &Token<'_>) -> String {
        let mut out = Vec::new();
        self.ring.seal(token, NOW, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Reads, steers and writes one request of the phone.
    pub fn forward(&mut self, message: &[u8]) -> usize {
        let view = View::read(message, &mut self.index, &Limits::DEFAULT).unwrap();
        let keys = Keys { ring: &self.ring, now_unix: NOW };
        let listener = self.snapshot.listener(self.flow.listener()).unwrap();
        let arrival = Arrival {
            side: Side::Client,
            flow: self.flow,
            proxy: self.snapshot.proxy_by_id(ProxyId(1)).map(|p| &**p),
            inside: [INSIDE.parse().ok(), None],
        };
        let inbound: Inbound = analyse(&view, &arrival, keys, &self.snapshot, &mut self.scratch).unwrap();
        let plan = Plan {
            to: Side::Instance,
            ends: Ends {
                instance: InstanceId(1),
                client: flow_ref(&self.flow, Some(listener)),
                backend: self.backend,
                outside: Place::outside(listener, "front.pbx.example", self.flow.local()),
                routes: TlsRoutes::Sips,
                inside: Place::At(INSIDE.parse().unwrap()),
            },
            profile: Profile::Generic,
            branch: b"z9hG4bKNt00t00000112345678.0badcafe",
            sent_by: Place::At(OWN.parse().unwrap()),
            source: self.flow.peer(),
            strict_path: false,
        };
        request_out(&view, &inbound, &plan, keys, &mut self.edit, &mut self.scratch).unwrap();
        self.out.clear();
        self.edit.write(&view, &mut self.out).unwrap();
        self.out.len()
    }
}

pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.168.1.5\r\ns=-\r\nc=IN IP4 192.168.1.5\r\nt=0 0\r\n\
m=audio 4000 RTP/AVP 9 8 0 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

/// A phone's REGISTER with credentials, as a refresh sends it; `cseq` makes it a new one.
pub fn register(cseq: u32) -> Vec<u8> {
    format!(
        "REGISTER sip:t1.pbx.example SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.168.1.5:5062;branch=z9hG4bK-r{cseq};rport\r\n\
Max-Forwards: 70\r\n\
From: \"Anna\" <sip:100@t1.pbx.example>;tag=f1\r\n\
To: \"Anna\" <sip:100@t1.pbx.example>\r\n\
Call-ID: 2c41e9b0a7@192.168.1.5\r\n\
CSeq: {cseq} REGISTER\r\n\
Contact: <sip:100@192.168.1.5:5062;ob>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\"\r\n\
Expires: 600\r\n\
Supported: replaces, timer, gruu\r\n\
User-Agent: Phone 1.0\r\n\
Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, REFER, UPDATE\r\n\
Authorization: Digest username=\"100\", realm=\"pbx\", nonce=\"6a1e0f\", uri=\"sip:t1.pbx.example\", response=\"0123456789abcdef0123456789abcdef\", algorithm=MD5\r\n\
Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// A phone's INVITE with SDP.
pub fn invite(serial: u32) -> Vec<u8> {
    format!(
        "INVITE sip:200@t1.pbx.example SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.168.1.5:5062;branch=z9hG4bK-i{serial};rport\r\n\
Max-Forwards: 70\r\n\
From: \"Anna\" <sip:100@t1.pbx.example>;tag=f{serial}\r\n\
To: <sip:200@t1.pbx.example>\r\n\
Call-ID: call-{serial}@192.168.1.5\r\n\
CSeq: 1 INVITE\r\n\
Contact: <sip:100@192.168.1.5:5062>\r\n\
Supported: replaces, timer, 100rel\r\n\
User-Agent: Phone 1.0\r\n\
Content-Type: application/sdp\r\n\
Content-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    )
    .into_bytes()
}

/// A request of the PBX in a dialog with the phone.
pub fn to_phone(method: &str, cseq: u32, route: &str) -> Vec<u8> {
    format!(
        "{method} sip:100@192.168.1.5:5062 SIP/2.0\r\n\
Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK-p{cseq};rport\r\n\
Route: {route}\r\n\
Max-Forwards: 70\r\n\
From: <sip:200@t1.pbx.example>;tag=t1\r\n\
To: \"Anna\" <sip:100@t1.pbx.example>;tag=f1\r\n\
Call-ID: call-1@192.168.1.5\r\n\
CSeq: {cseq} {method}\r\n\
Contact: <sip:200@10.0.0.1:5060>\r\n\
Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// An in-dialog request of the phone.
pub fn in_dialog(method: &str, cseq: u32, route: &str) -> Vec<u8> {
    format!(
        "{method} sip:200@10.0.0.1:5060 SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.168.1.5:5062;branch=z9hG4bK-d{cseq};rport\r\n\
Route: {route}\r\n\
Max-Forwards: 70\r\n\
From: \"Anna\" <sip:100@t1.pbx.example>;tag=f1\r\n\
To: <sip:200@t1.pbx.example>;tag=t1\r\n\
Call-ID: call-1@192.168.1.5\r\n\
CSeq: {cseq} {method}\r\n\
Contact: <sip:100@192.168.1.5:5062>\r\n\
Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}
