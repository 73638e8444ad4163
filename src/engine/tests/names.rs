//! R4, R7, R9, R10, R34: whose request it is.

use crate::engine::testing::*;
use crate::model::{FormerName, State, Unknown};
use crate::reason::Drop;
use crate::route::testing::{compiled, instance, proxy, table};

fn to(host: &str) -> String {
    request("OPTIONS", "o", "").replace("sip:eve@acme SIP", &format!("sip:eve@{host} SIP"))
}

#[test]
fn a_name_in_any_of_its_forms_reaches_its_instance_and_no_other() {
    // R4 R6
    let mut rows = rows();
    let mut acme = instance(1, "Acme");
    acme.aliases = vec!["phones.acme.example".into()];
    rows.instances[0] = acme.into();
    for host in [
        "acme",
        "ACME",
        "acme:5060",
        "acme.pbx.example",
        "Acme.PBX.example:5070",
        "acme.pbx.example.",
        "phones.acme.example",
        "Phones.Acme.Example",
    ] {
        let mut b = Bench::with(&rows, config());
        let out = b.one(udp(PHONE), &to(host));
        assert_eq!(out.peer(), PBX.parse().unwrap(), "{host}");
        assert_eq!((b.stats(1).requests.read(), b.stats(2).requests.read()), (1, 0));
    }
    let mut b = Bench::with(&rows, config());
    assert_eq!(
        b.one(udp(PHONE), &to("globex").replace("bob@acme", "bob@globex")).peer(),
        "198.51.0.2:5060".parse().unwrap()
    );
}

#[test]
fn an_unknown_name_is_404_and_nobody_is_asked() {
    // R9 F06
    let mut b = Bench::new();
    for host in ["nobody", "nobody.pbx.example", "acme.elsewhere.example", "198.51.0.1", "10.0.0.1:5060", "xn--acme"] {
        let refused = b.one(udp(PHONE), &to(host));
        assert_eq!(refused.status(), 404, "{host}");
        assert!(refused.row("Warning").contains("unknown-instance: no such name here"));
        assert!(!refused.text.contains("globex"));
    }
    assert_eq!(b.engine.counts().0, 0);
}

#[test]
fn a_silent_proxy_says_nothing_to_an_unknown_name() {
    // R9
    let mut edge = proxy(1, "edge");
    edge.unknown = Unknown::Drop;
    let mut b = Bench::with(&table([instance(1, "acme")], [edge]), config());
    b.none(udp(PHONE), &to("nobody"));
    assert_eq!(b.dropped(Drop::UnknownInstance), 1);
    b.one(udp(PHONE), &to("acme"));
}

#[test]
fn an_instance_a_proxy_does_not_serve_is_unknown_there() {
    // R11 R9
    let mut edge = proxy(1, "edge");
    edge.instances = Some(vec!["globex".into()]);
    let mut b = Bench::with(&table([instance(1, "acme"), instance(2, "globex")], [edge]), config());
    let (served, unknown) = (b.one(udp(PHONE), &to("acme")), b.one(udp(PHONE), &to("nobody")));
    assert_eq!((served.status(), served.row("Warning")), (404, unknown.row("Warning")));
}

#[test]
fn the_proxy_itself_answers_options_and_has_a_default_or_none() {
    // R4
    let mut b = Bench::new();
    for host in ["edge.pbx.example", "pbx.example", "192.0.2.1", "192.0.2.1:5060"] {
        assert_eq!(b.one(udp(PHONE), &to(host)).status(), 404, "{host}");
        assert_eq!(b.one(udp(PHONE), &to(host).replace("sip:eve@", "sip:")).status(), 200, "{host}");
    }
    let mut edge = proxy(1, "edge");
    edge.default_instance = Some("acme".into());
    let mut b = Bench::with(&table([instance(1, "acme"), instance(2, "globex")], [edge]), config());
    assert_eq!(b.one(udp(PHONE), &to("edge.pbx.example")).peer(), PBX.parse().unwrap());
    let nobody = to("nobody").replace("z9hG4bKo", "z9hG4bKp");
    assert_eq!(b.one(udp(PHONE), &nobody).status(), 404, "only where the host names the proxy");
}

#[test]
fn an_address_is_no_name_and_belongs_to_the_default() {
    // R4, PROTOCOLS 3.2
    let mut edge = proxy(1, "edge");
    edge.default_instance = Some("acme".into());
    let rows = table([instance(1, "acme"), instance(2, "globex")], [edge]);
    for host in ["[2001:db8::10]", "10.0.0.1:5070", "[2001:db8::10:5070]", "[2001:db8:::192.0.2.1]"] {
        let mut b = Bench::with(&rows, config());
        assert_eq!(b.one(udp(PHONE), &to(host)).peer(), PBX.parse().unwrap(), "{host}");
        let register = request("REGISTER", "r", "").replace("sip:acme SIP", &format!("sip:{host} SIP"));
        assert_eq!(b.one(udp(PHONE), &register).method(), "REGISTER", "{host}");
        let elsewhere = request("MESSAGE", "m", "").replace("bob@acme", &format!("bob@{host}"));
        let elsewhere = elsewhere.replace("eve@acme SIP", "eve@globex SIP");
        assert_eq!(b.one(udp(PHONE), &elsewhere).method(), "MESSAGE", "a From that names nobody claims nothing");
    }
}

#[test]
fn a_register_whose_names_disagree_is_refused() {
    // R10
    let register = request("REGISTER", "r", "");
    let mut b = Bench::new();
    for (old, new) in [
        ("To: <sip:bob@acme>", "To: <sip:bob@globex>"),
        ("\"Bob\" <sip:bob@acme>", "\"Bob\" <sip:bob@globex>"),
        ("sip:acme SIP", "sip:globex SIP"),
        ("To: <sip:bob@acme>", "To: <sip:bob@nobody>"),
        ("\"Bob\" <sip:bob@acme>", "\"Bob\" <sip:bob@edge.pbx.example>"),
    ] {
        let refused = b.one(udp(PHONE), &register.replace(old, new));
        assert_eq!(refused.status(), 403, "{new}");
        assert!(refused.row("Warning").contains("instance-mismatch: "));
    }
    assert_eq!(b.engine.counts().0, 0);
    let agreed = register.replace("To: <sip:bob@acme>", "To: <sip:bob@ACME.pbx.example>");
    assert_eq!(b.one(udp(PHONE), &agreed).method(), "REGISTER");
}

#[test]
fn a_call_that_claims_another_instance_is_refused() {
    // R10
    let mut b = Bench::new();
    let text = request("INVITE", "i", "");
    let claim = |host: &str| text.replace("\"Bob\" <sip:bob@acme>", &format!("<sip:bob@{host}>"));
    assert_eq!(b.one(udp(PHONE), &claim("globex")).status(), 403);
    for host in ["anonymous.invalid", "elsewhere.example", "edge.pbx.example", "10.0.0.5"] {
        assert_eq!(b.send(udp(PHONE), &claim(host).replace("z9hG4bKi", host)).len(), 2, "{host}");
    }
}

#[test]
fn a_referral_to_another_instance_is_refused() {
    // R10, PROTOCOLS 2.10
    let mut b = Bench::new();
    let refused = b.one(udp(PHONE), &request("REFER", "r", "Refer-To: <sip:joe@globex>\r\n"));
    assert_eq!(refused.status(), 403);
    let passed = b.one(udp(PHONE), &request("REFER", "s", "Refer-To: <sip:joe@acme>\r\n"));
    assert_eq!(passed.method(), "REFER");
}

#[test]
fn the_same_account_in_two_instances_is_two() {
    // R10
    let mut b = Bench::new();
    b.register(udp(PHONE));
    let other = request("REGISTER", "r2", "").replace("acme", "globex");
    let register = b.one(udp(PHONE), &other);
    b.one(inside("198.51.0.2:5060"), &register.answered(200, "Contact: <sip:bob@10.0.0.5:5060>;expires=60\r\n"));
    assert_eq!((b.stats(1).bindings.read(), b.stats(2).bindings.read()), (1, 1));
    let gone = b.one(udp(PHONE), &request("REGISTER", "r3", "Expires: 0\r\n"));
    b.one(inside(PBX), &gone.answered(200, ""));
    assert_eq!((b.stats(1).bindings.read(), b.stats(2).bindings.read()), (0, 1));
}

#[test]
fn an_instance_that_is_not_on_is_480_and_503_for_register() {
    // R34
    for state in [State::Off, State::Starting, State::Stopping, State::Failed] {
        let mut acme = instance(1, "acme");
        acme.state = state;
        let mut b = Bench::with(&table([acme], [proxy(1, "edge")]), config());
        let refused = b.one(udp(PHONE), &request("INVITE", "i", ""));
        assert_eq!((refused.status(), refused.rows("Retry-After").len()), (480, 0));
        let refused = b.one(udp(PHONE), &request("REGISTER", "r", ""));
        assert_eq!((refused.status(), refused.row("Retry-After")), (503, "10"));
        assert!(refused.row("Warning").contains("instance-off: "));
        assert_eq!((b.stats(1).refused.read(), b.stats(1).requests.read()), (2, 0));
    }
}

#[test]
fn a_former_name_routes_until_its_date_and_is_counted() {
    // R7
    let mut acme = instance(1, "acme");
    acme.former_names = vec![FormerName { name: "oldacme".into(), until: EPOCH + 10 }];
    let mut b = Bench::with(&table([acme], [proxy(1, "edge")]), config());
    b.one(udp(PHONE), &to("oldacme"));
    b.one(udp(PHONE), &to("acme").replace("z9hG4bKo", "z9hG4bKp"));
    assert_eq!(b.stats(1).former_name.read(), 1);
    b.pass(11_000);
    assert_eq!(b.one(udp(PHONE), &to("oldacme").replace("z9hG4bKo", "z9hG4bKq")).status(), 404);
}

#[test]
fn one_instance_that_stops_leaves_the_others_alone() {
    // R35 R73
    let mut b = Bench::new();
    let theirs = request("INVITE", "i", "").replace("acme", "globex");
    let out = b.invite(udp(PHONE), &theirs);
    let mut acme = instance(1, "acme");
    acme.state = State::Off;
    b.snapshot = compiled(&table([acme, instance(2, "globex")], [proxy(1, "edge")]));
    assert_eq!(b.one(inside("198.51.0.2:5060"), &out.answered(180, "")).status(), 180);
    assert_eq!(b.one(inside("198.51.0.2:5060"), &out.answered(200, "")).status(), 200);
}
