//! The allocation gate: once its buffers have grown, nothing on the happy path allocates.
//!
//! A test binary of its own, because it counts every allocation of the thread that measures.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "../benches/common/mod.rs"]
mod common;

use common::line::Line;
use common::{Hop, NOW, in_dialog, invite, register, to_phone};
use nantucket::clock::{Now, Tick};
use nantucket::engine::token::{Keyring, Token};
use nantucket::guard::{Guard, NewBan};
use nantucket::ids::{ConnId, Flow, InstanceId, ProxyId, Transport};
use nantucket::licence::light::{self, Device};
use nantucket::licence::{Roster, Softphones};
use nantucket::model::{DeviceClass, Kind, User};
use nantucket::net::layer::{Got, Layer};
use nantucket::net::socket::Socket;
use nantucket::route::cell::Cell;
use nantucket::route::select::{self, Targets};
use nantucket::route::snapshot::Host;
use nantucket::sip::check;
use nantucket::sip::limits::Limits;
use nantucket::sip::method::Method;
use nantucket::sip::view::{Index, View};
use std::io::{Read as _, Write as _};

/// Rounds that warm up, and rounds that are counted.
const WARM: usize = 40;
const COUNTED: usize = 100;

/// Allocations of the rounds after the warm ones.
fn count(mut round: impl FnMut()) -> u64 {
    (0..WARM).for_each(|_| round());
    allocation_counter::measure(|| (0..COUNTED).for_each(|_| round())).count_total
}

/// A message for each round, made before the counting.
fn messages(make: impl FnMut(u32) -> Vec<u8>) -> std::vec::IntoIter<Vec<u8>> {
    (10..10 + (WARM + COUNTED) as u32).map(make).collect::<Vec<_>>().into_iter()
}

/// An engine with a registered phone in a call.
fn in_a_call(phone: Flow) -> Line {
    let mut line = Line::new();
    assert_eq!(line.feed(phone, &register(1)), 1);
    assert_eq!(line.answer(Line::inside(), OK, CONTACTS), 1);
    assert_eq!(line.feed(phone, &invite(1)), 2);
    assert_eq!(line.answer(Line::inside(), OK, b"Contact: <sip:200@10.0.0.1:5060>\r\n"), 1);
    line.pass(60_000);
    line
}

const OK: &[u8] = b"SIP/2.0 200 OK";
const CONTACTS: &[u8] = b"Contact: <sip:100@192.168.1.5:5062;ob>;expires=600\r\n";

#[test]
fn the_counter_counts() {
    assert_eq!(count(|| drop(std::hint::black_box(Box::new(1)))), 100);
    assert_eq!(count(|| ()), 0);
}

#[test]
fn reading_and_judging_a_message_allocates_nothing() {
    let messages = [register(1), invite(1), in_dialog("BYE", 2, "<sip:a;lr>")];
    let mut index = Index::new();
    let counted = count(|| {
        for message in &messages {
            let view = View::read(message, &mut index, &Limits::DEFAULT).unwrap();
            assert_eq!(check::request(&view, check::Channel::Whole, &Limits::DEFAULT), check::Verdict::Ok);
        }
    });
    assert_eq!(counted, 0);
}

#[test]
fn finding_an_instance_and_its_target_allocates_nothing() {
    let cell = Cell::new(common::snapshot(1_000));
    let mut reader = cell.reader();
    let found = count(|| {
        let snapshot = reader.load();
        let proxy = snapshot.proxy_by_id(ProxyId(1)).unwrap();
        for host in [&b"T500"[..], b"t500.PBX.example.", b"pbx.example", b"192.0.2.1", b"nobody", &[b'x'; 300]] {
            let Host::Instance { id, .. } = snapshot.resolve_host(proxy, host, NOW) else { continue };
            let mut order = Targets::default();
            select::targets(snapshot.by_id(id).unwrap(), 7, &mut order);
            assert_eq!(order.len(), 1);
        }
        assert!(matches!(snapshot.resolve_label(proxy, b"t7", NOW), Host::Instance { .. }));
    });
    assert_eq!(found, 0);
}

#[test]
fn telling_soft_clients_from_phones_allocates_nothing() {
    // R46
    let user = |n: u32, kind| User {
        name: format!("user {n}"),
        kind,
        accounts: vec![n.to_string(), format!("{n}.SFiphone")],
        class: DeviceClass::Phone,
    };
    let roster = Roster::new(&(0..100).map(|n| user(n, Kind::Light)).collect::<Vec<_>>());
    let known = Softphones::built_in();
    let device = |account: &'static [u8], user_agent: &'static [u8]| Device {
        class: DeviceClass::Phone,
        transport: Transport::Udp,
        account,
        user_agent,
    };
    let allocations = count(|| {
        assert!(roster.of_account(b"77").is_some() && roster.of_account(b"%37%37").is_some());
        assert!(!light::is_softphone(&device(b"77", b"Yealink SIP-T46U 108.86.0.20"), &known));
        assert!(light::is_softphone(&device(b"77", b"Z 5.6.1 v2.10.19.9"), &known));
        assert!(light::is_softphone(&device(b"77.SFiphone", b""), &known));
        assert!(light::allows(Method::Subscribe, Some(b"message-summary")));
    });
    assert_eq!(allocations, 0);
}

#[test]
fn asking_the_guard_allocates_nothing() {
    let (guard, now) = (Guard::default(), Now { tick: Tick(1_000), unix: NOW });
    let [bad, office] = ["198.51.100.7", "192.0.2.1"].map(|ip| ip.parse().unwrap());
    let new = NewBan { source: bad, instance: None, account: None, seconds: 600, reason: "" };
    guard.add(&new, now).unwrap();
    guard.registered_for(office, InstanceId(1), b"6001", 600, now);
    let allocations = count(|| {
        assert!(!guard.admits(bad, true, now.tick) && guard.admits(office, false, now.tick));
        assert!(guard.lets(office, false, InstanceId(1), b"6001", &[], now.tick));
        assert!(guard.has_credit(office, now.tick) && !guard.masks(office, &[], now.tick));
        assert!(guard.is_scanner(bad, b"friendly-scanner") && !guard.is_scanner(bad, b"Yealink SIP-T46U"));
        guard.registered_for(office, InstanceId(1), b"6001", 600, now);
        guard.challenged(office, b"nonce", now.tick);
        assert!(guard.was_challenged(office, b"nonce", now.tick));
    });
    assert_eq!(allocations, 0);
}

#[test]
fn sealing_and_opening_a_token_allocates_nothing() {
    let ring = Keyring::default().rotated(NOW, [7; 32]);
    let (mut text, mut scratch) = (Vec::new(), Vec::new());
    let token = Token::Mask { instance: InstanceId(1), text: b"sip:200@10.0.0.1:5060;transport=udp;lr" };
    let counted = count(|| {
        text.clear();
        ring.seal(&token, NOW, &mut text).unwrap();
        assert_eq!(ring.open(&text, NOW, &mut scratch), Ok(token));
    });
    assert_eq!(counted, 0);
}

#[test]
fn steering_and_editing_a_message_allocates_nothing() {
    let mut hop = Hop::new();
    let route = hop.route();
    for message in [register(1), invite(1), in_dialog("BYE", 2, &route), in_dialog("INVITE", 3, &route)] {
        let counted = count(|| assert!(hop.forward(&message) > 0));
        assert_eq!(counted, 0, "{}", String::from_utf8_lossy(&message));
    }
}

#[test]
fn a_refresh_of_a_registration_allocates_nothing() {
    for hop in [Hop::new(), Hop::over_tcp()] {
        refresh(&hop);
    }
}

fn refresh(hop: &Hop) {
    let (mut line, phone) = (in_a_call(hop.flow), hop.flow);
    let mut registers = messages(register);
    let counted = count(|| {
        let message = registers.next().unwrap();
        assert_eq!(line.feed(phone, &message), 1);
        assert_eq!(line.answer(Line::inside(), OK, CONTACTS), 1);
        line.pass(40_000);
        allocation_counter::opt_out(|| drop(message));
    });
    assert_eq!(counted, 0);
    assert_eq!(line.shared.bindings(InstanceId(1)).len(), 1);
    assert_eq!(line.engine.counts(), (0, 0, 0));
}

#[test]
fn requests_and_responses_in_a_dialog_allocate_nothing() {
    for hop in [Hop::new(), Hop::over_tcp()] {
        dialog(&hop);
    }
}

fn dialog(hop: &Hop) {
    let (mut line, phone) = (in_a_call(hop.flow), hop.flow);
    let route = hop.route();
    let [outside, inside] = route.split(", ").collect::<Vec<_>>()[..] else { panic!() };
    let back = format!("{inside}, {outside}");
    let mut infos = messages(|n| in_dialog("INFO", n, &route));
    let mut invites = messages(|n| in_dialog("INVITE", 1_000 + n, &route));
    let mut acks = messages(|n| in_dialog("ACK", 1_000 + n, &route));
    let mut updates = messages(|n| to_phone("UPDATE", n, &back));
    let counted = count(|| {
        let round = [infos.next(), invites.next(), acks.next(), updates.next()].map(Option::unwrap);
        assert_eq!(line.feed(phone, &round[0]), 1);
        assert_eq!(line.answer(Line::inside(), OK, b""), 1);
        assert_eq!(line.feed(phone, &round[1]), 2);
        assert_eq!(line.answer(Line::inside(), b"SIP/2.0 180 Ringing", b""), 1);
        assert_eq!(line.answer(Line::inside(), OK, b"Contact: <sip:200@10.0.0.1:5060>\r\n"), 1);
        assert_eq!(line.feed(phone, &round[2]), 1);
        assert_eq!(line.feed(Line::inside(), &round[3]), 1);
        assert_eq!(line.answer(phone, OK, b""), 1);
        line.pass(40_000);
        allocation_counter::opt_out(|| drop(round));
    });
    assert_eq!(counted, 0);
    assert_eq!(line.shared.calls(InstanceId(1)).len(), 1);
}

#[test]
fn a_websockets_messages_allocate_nothing() {
    // RFC 7118: whole frames, a message in two frames, a ping, and what goes out.
    use nantucket::net::codec::{Codec, Framing, Said};
    let mut codec = Codec::open(Transport::Wss, Limits::DEFAULT);
    let message = invite(1);
    let mut stream = Vec::new();
    for (first, payload) in [(0x81, &message[..]), (0x01, b"half a "), (0x89, b"?"), (0x80, b"message")] {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        match payload.len() {
            0..126 => stream.extend([first, 0x80 | length[1], 0, 0, 0, 0]),
            _ => stream.extend([first, 0x80 | 126, length[0], length[1], 0, 0, 0, 0]),
        }
        stream.extend(payload);
    }
    let mut heard = 0;
    let allocations = count(|| {
        let used = codec.read(&mut stream, |said| {
            if let Said::Message(bytes) = said {
                let mut room = [0; Framing::HEAD];
                heard += Framing::Frames.head(bytes, &mut room).len();
            }
            true
        });
        assert_eq!(used, stream.len());
    });
    assert_eq!(allocations, 0);
    assert_eq!(heard, (WARM + COUNTED) * 6);
}

/// What rustls itself allocates for one message in and one out over TLS: the plaintext of a record that came, and the
/// record that goes. Nothing of ours is in it; a layer that adds to it fails here.
const TLS_RECORDS: u64 = 2;

#[test]
fn a_message_over_tls_costs_what_rustls_allocates_and_no_more() {
    // R78
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _context = runtime.enter();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let socket = Socket::Unix(tokio::net::UnixStream::from_std(ours).unwrap());
    let (server, client) = tls();
    let mut layer = Layer::server(server, ConnId(7), 256 * 1024);
    let mut phone = rustls::StreamOwned::new(client, theirs);
    let mut buffer = vec![0; 64 * 1024];
    let message = register(1);
    let answer = message.clone();
    std::thread::scope(|scope| {
        // The phone has a thread of its own: only this one's allocations are counted.
        let (rounds, asked) = std::sync::mpsc::channel::<()>();
        let peer = scope.spawn(move || {
            let mut heard = vec![0; answer.len()];
            while asked.recv().is_ok() {
                phone.write_all(&answer).unwrap();
                phone.read_exact(&mut heard).unwrap();
            }
        });
        let mut turn = || {
            let mut came = 0;
            while came < message.len() {
                runtime.block_on(socket.ready(tokio::io::Interest::READABLE)).unwrap();
                loop {
                    match layer.read(&socket, &mut buffer).unwrap_or(Got::Closed) {
                        Got::Bytes(n) => came += n,
                        Got::Nothing => break,
                        other => panic!("{other:?}"),
                    }
                }
                layer.flush(&socket).unwrap();
            }
            assert!(!layer.put(Some(&socket), b"", &message).unwrap_or(true));
        };
        for _ in 0..WARM {
            rounds.send(()).unwrap();
            turn();
        }
        let mut total = 0;
        for _ in 0..COUNTED {
            rounds.send(()).unwrap();
            total += allocation_counter::measure(&mut turn).count_total;
        }
        drop(rounds);
        peer.join().unwrap();
        assert_eq!(total, TLS_RECORDS * COUNTED as u64, "in {COUNTED} rounds");
    });
}

/// Both ends of a session.
fn tls() -> (rustls::ServerConnection, rustls::ClientConnection) {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let made = rcgen::generate_simple_self_signed(["pbx.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let server = rustls::ServerConfig::builder_with_provider(std::sync::Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "pbx.example".try_into().unwrap();
    (rustls::ServerConnection::new(server.into()).unwrap(), rustls::ClientConnection::new(client.into(), name).unwrap())
}
