//! RFC 5626 and re-binding: requests, answers and calls follow their device to its next connection or port.

use crate::engine::contract::{Dest, Greeting, Input};
use crate::engine::testing::*;
use crate::ids::{ConnId, Flow, InstanceId, Shard};
use crate::model::{KeepAlive, Profile};
use crate::reason::Drop;
use crate::route::testing::{instance, proxy, table};

const OTHER: &str = "203.0.113.77:50000";
const THIRD: &str = "192.0.2.201:50001";

/// A REGISTER of bob's device with this instance id; its Contact is another one each time.
fn register(branch: &str, device: &str, more: &str) -> (String, String) {
    let contact = format!("<sip:bob@10.0.0.5:5060;x={branch}>;+sip.instance=\"<urn:uuid:{device}>\"{more}");
    let text = request("REGISTER", branch, "").replace("<sip:bob@10.0.0.5:5060>\r\n", &format!("{contact}\r\n"));
    (text, format!("Contact: {contact};expires=600\r\n"))
}

/// Bob's device registers; its Path.
fn arrive(b: &mut Bench, flow: Flow, branch: &str, device: &str) -> String {
    let (text, contact) = register(branch, device, "");
    let out = b.one(flow, &text);
    let sent = b.send(inside(PBX), &out.answered(200, &contact));
    assert_eq!(sent[0].status(), 200);
    out.row("Path").to_owned()
}

/// As [`arrive`], where the engine does something about it.
fn come_back(b: &mut Bench, flow: Flow, branch: &str, device: &str) -> Vec<Sent> {
    let (text, contact) = register(branch, device, "");
    let out = b.one(flow, &text);
    let mut sent = b.send(inside(PBX), &out.answered(200, &contact));
    assert_eq!(sent.remove(0).status(), 200, "the phone hears first");
    sent
}

fn close(b: &mut Bench, flow: Flow) -> Vec<Sent> {
    b.input(Input::FlowClosed { flow })
}

fn is_over(sent: &Sent, flow: Flow) -> bool {
    match (sent.to, flow) {
        (Dest::Flow(Flow::Stream { conn, .. }), Flow::Stream { conn: own, .. }) => conn == own,
        (Dest::Flow(to), _) => to.peer() == flow.peer() && to.transport() == flow.transport(),
        _ => false,
    }
}

#[test]
fn a_call_for_a_device_that_is_reconnecting_waits_for_it() {
    // P04 P07
    let mut b = Bench::new();
    let path = arrive(&mut b, tcp(PHONE, 1), "r1", "1");
    close(&mut b, tcp(PHONE, 1));
    assert!(b.shared.bindings(InstanceId(1)).is_empty(), "nothing stale is shown");
    assert_eq!(b.one(inside(PBX), &from_pbx("INVITE", "i", &path)).status(), 100);
    b.none(inside(PBX), &from_pbx("MESSAGE", "m", &path));
    b.pass(3_000);
    assert_eq!(b.stats(1).waiting.read(), 2);
    let sent = come_back(&mut b, tcp(OTHER, 2), "r2", "1");
    let mut methods: Vec<&str> = sent.iter().map(Sent::method).collect();
    methods.sort_unstable();
    assert_eq!(methods, ["INVITE", "MESSAGE"]);
    assert!(sent.iter().all(|sent| is_over(sent, tcp(OTHER, 2))));
    for out in &sent {
        assert_eq!(b.one(tcp(OTHER, 2), &out.answered(200, "")).status(), 200);
    }
    assert_eq!((b.stats(1).waiting.read(), b.shared.stats.waiting.read()), (0, 0));
    b.pass(40_000);
    assert_eq!(b.engine.counts(), (0, 0, 0));
}

#[test]
fn a_ringing_call_follows_its_device_to_the_next_connection() {
    // P05 C01 T08
    let mut b = Bench::new();
    let path = arrive(&mut b, tcp(PHONE, 1), "r1", "1");
    let invite = b.invite(inside(PBX), &from_pbx("INVITE", "i", &path));
    b.one(tcp(PHONE, 1), &invite.answered(180, ""));
    assert!(close(&mut b, tcp(PHONE, 1)).is_empty(), "it goes on ringing at the caller's");
    let sent = come_back(&mut b, tcp(OTHER, 2), "r2", "1");
    let [again] = &sent[..] else { panic!("{sent:#?}") };
    assert_eq!((again.branch(), again.start()), (invite.branch(), invite.start()));
    assert!(is_over(again, tcp(OTHER, 2)));
    b.none(tcp(PHONE, 1), &invite.answered(486, ""));
    assert_eq!(b.dropped(Drop::ResponseSource), 1, "the old connection is nobody's");
    assert_eq!(b.one(tcp(OTHER, 2), &again.answered(180, "")).status(), 180);
    // The caller gives up: the CANCEL goes where the device is.
    let sent = b.send(inside(PBX), &from_pbx("CANCEL", "i", &path));
    assert_eq!((sent[0].status(), sent[1].method()), (200, "CANCEL"));
    assert!(is_over(&sent[1], tcp(OTHER, 2)) && sent[1].branch() == invite.branch());
    let sent = b.send(tcp(OTHER, 2), &again.answered(487, ""));
    assert!(sent[0].method() == "ACK" && is_over(&sent[0], tcp(OTHER, 2)) && sent[1].status() == 487);
    b.pass(40_000);
    assert_eq!(b.engine.counts(), (0, 0, 0));
}

#[test]
fn a_call_that_is_cancelled_while_its_device_is_away_is_cancelled_there_when_it_is_back() {
    // C01 C06
    let mut b = Bench::new();
    let path = arrive(&mut b, tcp(PHONE, 1), "r1", "1");
    let invite = b.invite(inside(PBX), &from_pbx("INVITE", "i", &path));
    b.one(tcp(PHONE, 1), &invite.answered(180, ""));
    close(&mut b, tcp(PHONE, 1));
    let sent = b.send(inside(PBX), &from_pbx("CANCEL", "i", &path));
    assert_eq!(sent[0].status(), 200);
    let sent = come_back(&mut b, tcp(OTHER, 2), "r2", "1");
    let [cancel] = &sent[..] else { panic!("{sent:#?}") };
    assert_eq!((cancel.method(), cancel.branch()), ("CANCEL", invite.branch()));
    let sent = b.send(tcp(OTHER, 2), &invite.answered(487, ""));
    assert_eq!((sent[0].method(), sent[1].status()), ("ACK", 487));
    // One that never went out is answered at once.
    let path = arrive(&mut b, tcp(OTHER, 3), "r3", "1");
    close(&mut b, tcp(OTHER, 3));
    close(&mut b, tcp(OTHER, 2));
    b.one(inside(PBX), &from_pbx("INVITE", "j", &path));
    let sent = b.send(inside(PBX), &from_pbx("CANCEL", "j", &path));
    assert_eq!(sent.iter().map(Sent::status).collect::<Vec<_>>(), [200, 487]);
    assert!(come_back(&mut b, tcp(OTHER, 4), "r4", "1").is_empty());
    b.pass(40_000);
    assert_eq!((b.engine.counts(), b.stats(1).waiting.read()), ((0, 0, 0), 0));
}

#[test]
fn a_call_in_progress_follows_in_both_directions() {
    // P06 R75
    let mut b = Bench::new();
    arrive(&mut b, tcp(PHONE, 1), "r1", "1");
    let invite = b.invite(tcp(PHONE, 1), &request("INVITE", "i", ""));
    let ok = b.one(inside(PBX), &invite.answered(200, "Contact: <sip:eve@198.51.0.1>\r\n"));
    b.one(tcp(PHONE, 1), &in_dialog("ACK", "a", "i", &ok));
    close(&mut b, tcp(PHONE, 1));
    let routes = invite.rows("Record-Route").join(", ");
    let from_inside = |method: &str, branch: &str| {
        from_pbx(method, branch, &routes)
            .replace("To: <sip:bob@acme>", "To: <sip:bob@acme>;tag=f1")
            .replace("tag=e", "tag=pbx")
            .replace(&format!("call-{branch}"), "call-i")
    };
    assert_eq!(b.one(inside(PBX), &from_inside("INVITE", "re")).status(), 100);
    let sent = come_back(&mut b, tcp(OTHER, 2), "r2", "1");
    assert!(sent[0].method() == "INVITE" && is_over(&sent[0], tcp(OTHER, 2)), "{sent:#?}");
    assert_eq!(b.one(tcp(OTHER, 2), &sent[0].answered(200, "Contact: <sip:bob@10.0.0.5>\r\n")).status(), 200);
    let ack = b.one(inside(PBX), &from_inside("ACK", "re-ack"));
    assert!(is_over(&ack, tcp(OTHER, 2)), "the ACK follows as well");
    // And from the device.
    let update = b.one(tcp(OTHER, 2), &in_dialog("UPDATE", "u", "i", &ok));
    assert_eq!(update.peer(), PBX.parse().unwrap());
    assert_eq!(b.one(inside(PBX), &update.answered(200, "")).status(), 200);
    let bye = b.one(inside(PBX), &from_inside("BYE", "bye"));
    assert!(is_over(&bye, tcp(OTHER, 2)));
    b.one(tcp(OTHER, 2), &bye.answered(200, ""));
    assert!(b.shared.calls(InstanceId(1)).is_empty());
}

#[test]
fn answers_follow_a_device_whose_connection_is_gone() {
    // X05
    let mut b = Bench::new();
    arrive(&mut b, tcp(PHONE, 1), "r1", "1");
    let invite = b.invite(tcp(PHONE, 1), &request("INVITE", "i", ""));
    let message = b.one(tcp(PHONE, 1), &request("MESSAGE", "m", ""));
    b.one(inside(PBX), &invite.answered(180, ""));
    close(&mut b, tcp(PHONE, 1));
    b.none(inside(PBX), &message.answered(202, ""));
    let sent = come_back(&mut b, tcp(OTHER, 2), "r2", "1");
    let mut statuses: Vec<u16> = sent.iter().map(Sent::status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [180, 202], "what nobody can have heard is told again");
    assert!(sent.iter().all(|sent| is_over(sent, tcp(OTHER, 2))));
    let ok = b.one(inside(PBX), &invite.answered(200, "Contact: <sip:eve@198.51.0.1>\r\n"));
    assert!(is_over(&ok, tcp(OTHER, 2)));
    b.pass(70_000);
    assert_eq!((b.engine.counts(), b.stats(1).waiting.read()), ((0, 0, 0), 0));
}

#[test]
fn a_device_that_registers_anew_while_the_old_connection_seems_open_is_where_it_says() {
    // RFC 5626 §5.3: the newer flow of a reg-id takes the place of the older.
    let mut b = Bench::new();
    let path = arrive(&mut b, tcp(PHONE, 1), "r1", "1");
    let invite = b.invite(inside(PBX), &from_pbx("INVITE", "i", &path));
    let sent = come_back(&mut b, tcp(OTHER, 2), "r2", "1");
    assert!(sent.len() == 1 && is_over(&sent[0], tcp(OTHER, 2)) && sent[0].branch() == invite.branch());
    let out = b.one(inside(PBX), &from_pbx("OPTIONS", "o", &path));
    assert!(is_over(&out, tcp(OTHER, 2)));
}

#[test]
fn two_flows_of_one_device_stand_in_for_each_other() {
    // P10
    let mut b = Bench::new();
    let mut paths = Vec::new();
    for (serial, reg) in [(1, 1), (2, 2)] {
        let (text, contact) = register(&format!("r{reg}"), "1", &format!(";reg-id={reg}"));
        let out = b.one(tcp(PHONE, serial), &text);
        b.one(inside(PBX), &out.answered(200, &contact));
        paths.push(out.row("Path").to_owned());
    }
    for (path, serial) in paths.iter().zip([1, 2]) {
        let out = b.one(inside(PBX), &from_pbx("OPTIONS", &format!("o{serial}"), path));
        assert!(is_over(&out, tcp(PHONE, serial)), "each token's own flow first");
    }
    close(&mut b, tcp(PHONE, 1));
    let out = b.one(inside(PBX), &from_pbx("OPTIONS", "p", &paths[0]));
    assert!(is_over(&out, tcp(PHONE, 2)), "then the other");
}

#[test]
fn nobody_elses_device_is_called() {
    // R10 P04
    let mut b = Bench::new();
    let path = arrive(&mut b, tcp(PHONE, 1), "r1", "1");
    close(&mut b, tcp(PHONE, 1));
    b.one(inside(PBX), &from_pbx("INVITE", "i", &path));
    assert!(come_back(&mut b, tcp(OTHER, 2), "r2", "2").is_empty(), "another device of the account");
    let (text, contact) = register("r3", "1", "");
    let (text, contact) = (text.replace("sip:bob@acme", "sip:eve@acme"), contact);
    let out = b.one(tcp(OTHER, 3), &text);
    assert_eq!(b.send(inside(PBX), &out.answered(200, &contact)).len(), 1, "the device of another account");
    let sent = b.pass(10_000);
    assert_eq!(sent.last().unwrap().1.status(), 430);
}

#[test]
fn a_device_of_the_process_before_is_waited_for() {
    // X05 P04
    let mut b = Bench::new();
    let path = arrive(&mut b, tcp(PHONE, 1), "r1", "1");
    let mut again = Bench::with(&rows(), crate::engine::config::Config { boot: 5, ..config() });
    let now = |serial| {
        let Flow::Stream { listener, transport, local, peer, .. } = tcp(OTHER, serial) else { panic!() };
        Flow::Stream { listener, conn: ConnId::new(5, Shard(0), serial), transport, local, peer }
    };
    assert_eq!(again.one(inside(PBX), &from_pbx("INVITE", "i", &path)).status(), 100);
    let sent = come_back(&mut again, now(1), "r2", "1");
    assert!(sent.len() == 1 && sent[0].method() == "INVITE" && is_over(&sent[0], now(1)), "{sent:#?}");
    // Half a minute later nobody is waited for.
    let mut late = Bench::with(&rows(), crate::engine::config::Config { boot: 6, ..config() });
    late.one(inside(PBX), &from_pbx("INVITE", "i", &path));
    let sent = late.pass(29_000);
    assert_eq!(sent.last().map(|(at, sent)| (*at, sent.status())), Some((29_000, 430)));
    assert_eq!(late.one(inside(PBX), &from_pbx("INVITE", "j", &path)).status(), 430);
}

#[test]
fn a_resumed_tls_session_is_the_device_without_a_new_registration() {
    // S05: in the same process, and after a restart
    let mut b = Bench::new();
    let path = arrive(&mut b, tcp(PHONE, 1), "r1", "1");
    let Flow::Stream { conn, .. } = tcp(PHONE, 1) else { panic!() };
    let greeting = Greeting { resumed: Some(conn), ..Greeting::default() };
    close(&mut b, tcp(PHONE, 1));
    b.one(inside(PBX), &from_pbx("INVITE", "i", &path));
    let sent = b.input(Input::FlowOpened { flow: tcp(OTHER, 2), greeting: &greeting });
    assert!(sent.len() == 1 && is_over(&sent[0], tcp(OTHER, 2)), "{sent:#?}");
    let bindings = b.shared.bindings(InstanceId(1));
    assert_eq!((bindings.len(), bindings[0].flow), (1, Some(tcp(OTHER, 2))), "and it is shown again");

    let mut again = Bench::with(&rows(), crate::engine::config::Config { boot: 5, ..config() });
    let flow = |serial| {
        let Flow::Stream { listener, transport, local, peer, .. } = tcp(OTHER, serial) else { panic!() };
        Flow::Stream { listener, conn: ConnId::new(5, Shard(0), serial), transport, local, peer }
    };
    again.one(inside(PBX), &from_pbx("INVITE", "i", &path));
    let sent = again.input(Input::FlowOpened { flow: flow(1), greeting: &greeting });
    assert!(sent.len() == 1 && is_over(&sent[0], flow(1)), "{sent:#?}");
    assert!(again.shared.bindings(InstanceId(1)).is_empty(), "who did not register here is not shown");
    // One that was not waited for is found by its connection.
    let mut third = Bench::with(&rows(), crate::engine::config::Config { boot: 5, ..config() });
    assert!(third.input(Input::FlowOpened { flow: flow(1), greeting: &greeting }).is_empty());
    third.pass(60_000);
    let out = third.invite(inside(PBX), &from_pbx("INVITE", "i", &path));
    assert!(is_over(&out, flow(1)));
}

#[test]
fn a_port_that_changes_in_mid_call_is_followed() {
    // X03 P06, PROTOCOLS 5
    let mut b = Bench::new();
    let path = arrive(&mut b, udp(PHONE), "r1", "1");
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", ""));
    let ok = b.one(inside(PBX), &invite.answered(200, "Contact: <sip:eve@198.51.0.1>\r\n"));
    b.one(udp(PHONE), &in_dialog("ACK", "a", "i", &ok));
    let moved = udp("203.0.113.9:41234");
    let update = b.one(moved, &in_dialog("UPDATE", "u", "i", &ok));
    let probe = b.one(inside(PBX), &from_pbx("OPTIONS", "o", &path));
    assert!(is_over(&probe, udp(PHONE)), "nothing is believed before it was answered");
    b.one(udp(PHONE), &probe.answered(200, ""));
    let answer = b.one(inside(PBX), &update.answered(200, ""));
    assert_eq!(answer.peer(), moved.peer());
    let probe = b.one(inside(PBX), &from_pbx("OPTIONS", "p", &path));
    assert!(is_over(&probe, moved));
    b.one(moved, &probe.answered(200, ""));
    assert_eq!(b.shared.bindings(InstanceId(1))[0].flow, Some(moved));
    // From another address a token is not enough: others in the call know it too.
    let info = b.one(udp(THIRD), &in_dialog("INFO", "x", "i", &ok));
    b.one(inside(PBX), &info.answered(200, ""));
    let probe = b.one(inside(PBX), &from_pbx("OPTIONS", "q", &path));
    assert!(is_over(&probe, moved));
}

#[test]
fn waiting_is_bounded() {
    // T19
    let mut acme = instance(1, "acme");
    acme.backends[0].profile = Profile::AsteriskPjsip;
    let mut b = Bench::with(&table([acme], [proxy(1, "edge")]), config());
    let path = arrive(&mut b, tcp(PHONE, 1), "r1", "1");
    close(&mut b, tcp(PHONE, 1));
    for n in 0..1_000 {
        b.none(inside(PBX), &from_pbx("MESSAGE", &format!("m{n}"), &path));
    }
    assert_eq!(b.one(inside(PBX), &from_pbx("MESSAGE", "one-more", &path)).status(), 480);
    assert_eq!((b.stats(1).waiting.read(), b.shared.stats.waiting_overflow.read()), (1_000, 1));
    b.pass(50_000);
    assert_eq!((b.stats(1).waiting.read(), b.shared.stats.waiting.read(), b.engine.counts()), (0, 0, (0, 0, 0)));
}

/// Seconds of silence: what is sent to the phone, by second.
fn silence(b: &mut Bench, seconds: u64) -> Vec<(u64, Sent)> {
    b.pass(seconds * 1_000).into_iter().map(|(at, sent)| (at / 1_000, sent)).collect()
}

fn with_keep_alive(mode: KeepAlive) -> Bench {
    let mut edge = proxy(1, "edge");
    edge.keep_alive = mode;
    Bench::with(&table([instance(1, "acme")], [edge]), config())
}

#[test]
fn the_way_to_a_device_behind_nat_is_kept_open() {
    // RFC 5626 §3.5: the edge's own keep-alive
    let mut b = with_keep_alive(KeepAlive::Nat);
    arrive(&mut b, udp(PHONE), "r1", "1");
    arrive(&mut b, tcp(OTHER, 1), "r2", "2");
    let sent = silence(&mut b, 100);
    let (first, _) = &sent[0];
    assert_eq!(sent.iter().map(|(at, _)| at - first).collect::<Vec<_>>(), [0, 25, 50, 75]);
    assert!(sent.iter().all(|(_, sent)| sent.text == "\r\n\r\n" && is_over(sent, udp(PHONE))));
    assert_eq!(b.shared.stats.keep_alives_sent.read(), 4);
    // One that names the address it comes from is behind no NAT.
    let mut b = with_keep_alive(KeepAlive::Nat);
    let text = request("REGISTER", "r", "").replace("10.0.0.5:5060>", "203.0.113.9:40000>");
    let out = b.one(udp(PHONE), &text);
    b.one(inside(PBX), &out.answered(200, "Contact: <sip:bob@203.0.113.9:40000>;expires=600\r\n"));
    assert!(silence(&mut b, 60).is_empty());
    let mut b = with_keep_alive(KeepAlive::Off);
    arrive(&mut b, udp(PHONE), "r1", "1");
    assert!(silence(&mut b, 60).is_empty());
}

#[test]
fn a_device_that_answers_no_options_is_gone() {
    // P07
    let mut b = with_keep_alive(KeepAlive::Options);
    let path = arrive(&mut b, udp(PHONE), "r1", "1");
    let mut asked = 0;
    for _ in 0..4 {
        for (_, options) in silence(&mut b, 25) {
            assert!(options.method() == "OPTIONS" && is_over(&options, udp(PHONE)), "{}", options.text);
            assert!(!options.text.contains("198.51."), "R8");
            b.none(udp(PHONE), &options.answered(200, ""));
            asked += 1;
        }
    }
    assert_eq!((asked, b.shared.bindings(InstanceId(1)).len()), (4, 1));
    let forged = silence(&mut b, 25).remove(0).1;
    b.none(udp(OTHER), &forged.answered(200, ""));
    assert_eq!(silence(&mut b, 50).len(), 2);
    assert_eq!(b.shared.bindings(InstanceId(1)).len(), 1);
    assert!(silence(&mut b, 25).is_empty());
    assert!(b.shared.bindings(InstanceId(1)).is_empty());
    assert_eq!(b.shared.stats.keep_alives_unanswered.read(), 1);
    assert_eq!(b.one(inside(PBX), &from_pbx("INVITE", "i", &path)).status(), 430);
}
