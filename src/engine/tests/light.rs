//! What a light user may send (R44, R45).

use crate::engine::testing::*;
use crate::ids::InstanceId;
use crate::model::{DeviceClass, Kind, SCHEMA, Table, User, Users};
use crate::reason::Refusal;
use std::sync::Arc;

/// `acme` with one user, `bob`, of this kind; `shadow` as said.
fn table(kind: Kind, shadow: bool) -> Table {
    let mut table = rows();
    let user = User { name: "Bob".into(), kind, accounts: vec!["bob".into()], class: DeviceClass::Phone };
    table.users = vec![Arc::new(Users { schema: SCHEMA, instance: InstanceId(1), users: vec![user] })];
    Arc::make_mut(&mut table.instances[0]).licence.shadow = shadow;
    table
}

fn bench(kind: Kind, shadow: bool) -> Bench {
    Bench::with(&table(kind, shadow), config())
}

/// What is refused: method and rows.
const BEYOND: [(&str, &str); 8] = [
    ("MESSAGE", ""),
    ("PUBLISH", "Event: presence\r\n"),
    ("SUBSCRIBE", "Event: dialog\r\n"),
    ("SUBSCRIBE", "o: presence\r\n"),
    ("SUBSCRIBE", "Event: message-summary\r\nEvent: dialog\r\n"),
    ("SUBSCRIBE", ""),
    ("NOTIFY", "Event: presence\r\n"),
    ("SERVICE", ""),
];

#[test]
fn what_is_beyond_calls_is_refused_to_a_light_user_and_to_nobody_else() {
    // R45
    for (n, (method, rows)) in BEYOND.iter().enumerate() {
        let text = request(method, &format!("b{n}"), rows);
        let mut light = bench(Kind::Light, false);
        let refused = light.one(udp(PHONE), &text);
        assert_eq!(refused.status(), 403, "{method} {rows}");
        assert!(refused.row("Warning").starts_with("399 nantucket \"light-method: "), "{refused:?}");
        assert_eq!((light.shared.stats.refused(Refusal::LightMethod), light.stats(1).refused.read()), (1, 1));
        let other = text.replace("sip:bob@acme", "sip:eve@acme");
        assert_eq!(light.one(udp(PHONE), &other).peer(), PBX.parse().unwrap(), "an account that is on no list");
        assert_eq!(bench(Kind::Full, false).one(udp(PHONE), &text).peer(), PBX.parse().unwrap(), "{method} {rows}");
        assert_eq!(Bench::new().one(udp(PHONE), &text).peer(), PBX.parse().unwrap(), "without a list");
    }
}

#[test]
fn calls_and_voice_messages_pass() {
    // R44 R45
    let mut b = bench(Kind::Light, false);
    for (n, (method, rows)) in [
        ("OPTIONS", ""),
        ("INFO", ""),
        ("PRACK", "RAck: 1 1 INVITE\r\n"),
        ("UPDATE", ""),
        ("REFER", "Refer-To: <sip:carol@acme?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>\r\n"),
        ("NOTIFY", "Event: refer;id=7\r\nSubscription-State: active\r\n"),
        ("SUBSCRIBE", "Event: message-summary\r\n"),
    ]
    .iter()
    .enumerate()
    {
        let out = b.one(udp(PHONE), &request(method, &format!("c{n}"), rows));
        assert_eq!((out.method(), out.peer()), (*method, PBX.parse().unwrap()));
    }
    for (branch, rows) in [("i1", ""), ("i2", "Replaces: a;to-tag=b;from-tag=c\r\n")] {
        let invite = b.invite(udp(PHONE), &request("INVITE", branch, rows));
        assert_eq!(invite.peer(), PBX.parse().unwrap(), "a second call goes beside the first");
    }
    assert_eq!(b.shared.stats.refused(Refusal::LightMethod), 0);
}

#[test]
fn a_refusal_inside_a_call_ends_nothing() {
    // R45 R63 R71
    let mut b = bench(Kind::Light, false);
    let invite = b.invite(udp(PHONE), &request("INVITE", "i", "").replace("sip:eve@acme", "sip:112@acme"));
    let answer = invite.answered(200, "Contact: <sip:eve@198.51.0.1:5060>\r\n");
    let ok = b.one(inside(PBX), &answer);
    assert_eq!(ok.status(), 200);
    let refused = b.one(udp(PHONE), &in_dialog("MESSAGE", "m", "i", &ok));
    assert_eq!(refused.status(), 403);
    for (n, method) in ["INVITE", "UPDATE", "INFO", "BYE"].into_iter().enumerate() {
        let sent = b.send(udp(PHONE), &in_dialog(method, &format!("d{n}"), "i", &ok));
        assert_eq!((sent[0].method(), sent[0].peer()), (method, PBX.parse().unwrap()), "the call goes on");
    }
}

#[test]
fn what_an_instance_sends_is_not_its_users_doing() {
    // R45
    let mut b = bench(Kind::Light, false);
    let path = b.register(udp(PHONE));
    let text = from_pbx("MESSAGE", "p", &path).replace("sip:eve@acme", "sip:bob@acme");
    assert_eq!(b.one(inside(PBX), &text).peer(), PHONE.parse().unwrap());
}

#[test]
fn in_shadow_it_is_counted_and_passes() {
    // R45
    let mut b = bench(Kind::Light, true);
    for (n, (method, rows)) in BEYOND.iter().enumerate() {
        let out = b.one(udp(PHONE), &request(method, &format!("s{n}"), rows));
        assert_eq!(out.peer(), PBX.parse().unwrap(), "{method} {rows}");
    }
    assert_eq!((b.stats(1).shadow_refused.read(), b.stats(1).refused.read()), (BEYOND.len() as u64, 0));
}
