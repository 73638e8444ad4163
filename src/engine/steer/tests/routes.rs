//! Route and Request-URI: what is ours, what is refused, where it leads.

use super::*;

fn route(user: &str) -> String {
    format!("Route: <sip:{user}@192.0.2.1:5060;lr>\n")
}

#[test]
fn a_request_without_tokens_is_the_tables() {
    // R4
    let world = World::new();
    let inbound = world.analyse(Side::Client, &from_phone("INVITE", "sip:200@acme", "")).unwrap();
    assert_eq!((inbound.way, inbound.instance, inbound.backend), (Way::Table, None, None));
}

#[test]
fn a_pair_of_ours_leads_to_the_backend_and_goes() {
    // F02, R75
    let mut world = World::new();
    let (b, c) = (world.b(), world.c());
    let came = in_dialog(
        "BYE",
        "sip:200@198.51.0.1",
        &format!("Route: <sip:{b}@192.0.2.1:5060;lr>, <sip:{c}@10.0.0.5:5070;lr>\n"),
    );
    let inbound = world.analyse(Side::Client, &came).unwrap();
    assert_eq!((inbound.way, inbound.instance), (Way::Backend(world.pbx), Some(ACME)));
    assert_eq!(
        changes(&came, &world.forward(Side::Client, &came).unwrap()),
        format!(
            "-Via: SIP/2.0/UDP 192.168.1.5:5060;branch=z9hG4bKphone;rport
-Max-Forwards: 70
-Route: <sip:{b}@192.0.2.1:5060;lr>, <sip:{c}@10.0.0.5:5070;lr>
+Via: SIP/2.0/UDP 10.0.0.5:41000;branch=z9hG4bKNtBRANCH;rport
+Via: SIP/2.0/UDP 192.168.1.5:5060;branch=z9hG4bKphone;rport=5062;received=203.0.113.7
+Max-Forwards: 69
+Max-Breadth: 60
"
        )
    );
}

#[test]
fn a_backends_token_counts_in_its_dialog_only() {
    // R75, R10: an old address, which may be another's by now, is not for new requests.
    let world = World::new();
    let rows = format!("{}{}", route(&world.b()), route(&world.c()));
    for (message, way) in [
        (in_dialog("INVITE", "sip:200@x", &rows), Way::Backend(world.pbx)),
        (from_phone("INVITE", "sip:200@x", &rows), Way::Table),
        (from_phone("SUBSCRIBE", "sip:200@x", &rows), Way::Table),
        (in_dialog("REGISTER", "sip:acme", &rows), Way::Table),
        (in_dialog("PUBLISH", "sip:200@x", &rows), Way::Table),
    ] {
        let inbound = world.analyse(Side::Client, &message).unwrap();
        assert_eq!((inbound.way, inbound.instance, inbound.pops), (way, Some(ACME), 2), "{message}");
    }
}

#[test]
fn host_and_port_beside_a_token_do_not_matter() {
    // F03: rewritten by a PBX or a NAT.
    let world = World::new();
    let (b, c) = (world.b(), world.c());
    for host in ["203.0.113.99:1", "nat.invalid", "[2001:db8::9]:5070", "192.0.2.1:5060"] {
        let rows = format!("Route: <sip:{b}@{host};lr>\nRoute: <sip:{c}@{host};lr>\n");
        let inbound = world.analyse(Side::Client, &in_dialog("BYE", "sip:200@x", &rows)).unwrap();
        assert_eq!((inbound.way, inbound.pops), (Way::Backend(world.pbx), 2));
    }
}

#[test]
fn a_pbx_request_goes_over_the_flow_of_its_token() {
    // P05, F02
    let world = World::new();
    let (b, c) = (world.b(), world.c());
    let path = format!("Route: <sip:{c}@10.0.0.5:5070;lr;ob>\n");
    let inbound = world.analyse(Side::Instance, &from_pbx("INVITE", "sip:100@192.168.1.5", &path)).unwrap();
    assert_eq!((inbound.way, inbound.instance), (Way::Client(world.client()), Some(ACME)));
    assert_eq!(inbound.backend, None);
    let pair = format!("Route: <sip:{c}@10.0.0.5:5070;lr>, <sip:{b}@192.0.2.1;lr>\n");
    let inbound = world.analyse(Side::Instance, &from_pbx("BYE", "sip:100@192.168.1.5", &pair)).unwrap();
    assert_eq!((inbound.way, inbound.backend, inbound.pops), (Way::Client(world.client()), Some(world.pbx), 2));
}

#[test]
fn only_one_pair_goes() {
    // F02: what is behind it is for whoever comes after us.
    let world = World::new();
    let (b, c) = (world.b(), world.c());
    let rows = format!("Route: <sip:{c}@x;lr>, <sip:{b}@x;lr>, <sip:{b}@x;lr>\n");
    assert_eq!(world.analyse(Side::Instance, &from_pbx("BYE", "sip:100@x", &rows)).unwrap().pops, 2);
    let rows = format!("Route: <sip:{b}@x;lr>, <sip:{c}@x;lr>, <sip:{c}@x;lr>\n");
    assert_eq!(world.analyse(Side::Client, &in_dialog("BYE", "sip:200@x", &rows)).unwrap().pops, 2);
}

#[test]
fn a_pbx_request_may_come_from_its_backends_or_its_dialogs() {
    // R8, R75
    let mut world = World::new();
    world.pbx.address = "198.51.77.7:5060".parse().unwrap();
    let (b, c) = (world.b(), world.c());
    let pair = format!("Route: <sip:{c}@10.0.0.5:5070;lr>, <sip:{b}@192.0.2.1;lr>\n");
    let inbound = world.analyse(Side::Instance, &from_pbx("BYE", "sip:100@192.168.1.5", &pair)).unwrap();
    let acme = world.snapshot.by_id(ACME).map(|i| &**i);
    for (source, may) in [
        ("198.51.0.1", true),
        ("198.51.77.7", true),
        ("::ffff:198.51.77.7", true),
        ("198.51.0.2", false),
        ("203.0.113.7", false),
    ] {
        assert_eq!(inbound.is_from(acme, source.parse().unwrap()), may, "{source}");
    }
    assert!(!inbound.is_from(None, "198.51.0.1".parse().unwrap()));
}

#[test]
fn a_preloaded_outbound_proxy_is_ours() {
    // F02
    let world = World::new();
    for host in ["192.0.2.1", "192.0.2.1:5060", "front.pbx.example", "FRONT.pbx.example.", "acme.pbx.example", "acme"] {
        let rows = format!("Route: <sip:{host};lr>\n");
        let inbound = world.analyse(Side::Client, &from_phone("REGISTER", "sip:acme", &rows)).unwrap();
        assert_eq!((inbound.way, inbound.pops), (Way::Table, 1), "{host}");
    }
    let (b, c) = (world.b(), world.c());
    let rows = format!("Route: <sip:192.0.2.1;lr>, <sip:{b}@192.0.2.1;lr>, <sip:{c}@192.0.2.1;lr>\n");
    let inbound = world.analyse(Side::Client, &in_dialog("BYE", "sip:200@x", &rows)).unwrap();
    assert_eq!((inbound.way, inbound.pops), (Way::Backend(world.pbx), 3));
}

#[test]
fn a_preloaded_route_must_agree_with_what_follows() {
    // R10
    let world = World::new();
    let rows = "Route: <sip:other.pbx.example;lr>\n";
    let came = from_phone("INVITE", "sip:200@acme", rows);
    assert_eq!(world.analyse(Side::Client, &came), Err(SteerError::InstanceMismatch));
    let token = format!("{rows}{}", route(&world.b()));
    let came = in_dialog("BYE", "sip:200@x", &token);
    assert_eq!(world.analyse(Side::Client, &came), Err(SteerError::InstanceMismatch));
}

#[test]
fn a_foreign_route_from_outside_is_refused_wherever_it_stands() {
    // F04
    let world = World::new();
    let (b, c) = (world.b(), world.c());
    for rows in [
        "Route: <sip:evil.example;lr>\n".to_owned(),
        "Route: <sip:127.0.0.1;lr>\n".to_owned(),
        "Route: <sip:198.51.0.2:5060;lr>\n".to_owned(),
        "Route: <sip:192.0.2.1;lr>, <sip:evil.example;lr>\n".to_owned(),
        format!("Route: <sip:{b}@x;lr>, <sip:evil.example;lr>\n"),
        format!("Route: <sip:{b}@x;lr>, <sip:{c}@x;lr>\nRoute: <sip:evil.example;lr>\n"),
        "Route: <tel:+4989>\n".to_owned(),
    ] {
        let got = world.analyse(Side::Client, &from_phone("INVITE", "sip:200@acme", &rows));
        assert_eq!(got, Err(SteerError::ForeignRoute), "{rows}");
    }
}

#[test]
fn forged_garbled_and_old_tokens_are_refused() {
    // F03, P04
    let mut world = World::new();
    let b = world.b();
    let forged = format!("{}{}", &b[..10], b[10..].chars().rev().collect::<String>());
    let stranger = {
        let other = World { ring: Keyring::default().rotated(NOW, [9; 32]), ..World::new() };
        other.b()
    };
    for user in [&forged, &stranger, &b[..b.len() - 1], &b[..20], "sip", &format!("{b}A")] {
        let got = world.analyse(Side::Client, &in_dialog("BYE", "sip:200@x", &route(user)));
        assert!(matches!(got, Err(SteerError::Token(_))), "{user}: {got:?}");
    }
    // Even where the host is not ours any more, a damaged token is not taken for a stranger's route.
    let elsewhere = format!("Route: <sip:{forged}@nat.invalid;lr>\n");
    for side in [Side::Client, Side::Instance] {
        let got = world.analyse(side, &in_dialog("BYE", "sip:200@x", &elsewhere));
        assert!(matches!(got, Err(SteerError::Token(_))), "{got:?}");
    }
    world.now += 60 * 86_400;
    let got = world.analyse(Side::Client, &in_dialog("BYE", "sip:200@x", &route(&b)));
    assert!(matches!(got, Err(SteerError::Token(_))), "{got:?}");
}

#[test]
fn a_token_works_only_from_its_side() {
    // F03: nobody reaches a phone past its PBX, nor one backend through another's token.
    let world = World::new();
    let (b, c) = (world.b(), world.c());
    let got = world.analyse(Side::Client, &from_phone("INVITE", "sip:100@x", &route(&c)));
    assert_eq!(got, Err(SteerError::Misplaced));
    let got = world.analyse(Side::Instance, &from_pbx("INVITE", "sip:100@x", &route(&b)));
    assert_eq!(got, Err(SteerError::Misplaced));
    let contact = world.contact("sip:100@192.168.1.5");
    for side in [Side::Client, Side::Instance] {
        let got = world.analyse(side, &from_pbx("INVITE", "sip:100@x", &route(&contact)));
        assert_eq!(got, Err(SteerError::Misplaced));
    }
    let uri = format!("sip:100@192.0.2.1;nt={contact}");
    assert_eq!(world.analyse(Side::Client, &from_phone("INVITE", &uri, "")), Err(SteerError::Misplaced));
}

#[test]
fn tokens_of_two_instances_do_not_mix() {
    // R10
    let world = World::new();
    let BackendRef { id, address, transport } = world.pbx;
    let foreign = world.seal(&Token::ToBackend { instance: OTHER, backend: id, address, transport });
    let theirs = world.seal(&Token::ToClient { instance: OTHER, flow: world.client() });
    let masked = world.seal(&Token::Mask { instance: OTHER, text: b"sip:10.9.9.9;lr" });
    let (b, c) = (world.b(), world.c());
    let refuse = |uri: &str, rows: String| {
        assert_eq!(
            world.analyse(Side::Client, &in_dialog("BYE", uri, &rows)),
            Err(SteerError::InstanceMismatch),
            "{uri} {rows}"
        );
    };
    refuse("sip:200@other", route(&b));
    refuse("sip:200@other.pbx.example:5060", format!("{}{}", route(&b), route(&c)));
    refuse("sip:200@acme", route(&foreign));
    refuse("sip:200@x", format!("{}{}", route(&b), route(&theirs)));
    refuse("sip:200@x", format!("{}{}{}", route(&b), route(&c), route(&masked)));
    refuse(&format!("sip:200@192.0.2.1;nt={masked}"), route(&b));
}

#[test]
fn an_address_in_the_request_uri_is_no_instruction() {
    // F05, F06
    let world = World::new();
    for uri in ["sip:200@198.51.0.2", "sip:200@acme;maddr=198.51.0.2", "sip:127.0.0.1:5060;transport=tcp"] {
        let inbound = world.analyse(Side::Client, &from_phone("INVITE", uri, "")).unwrap();
        assert_eq!((inbound.way, inbound.instance), (Way::Table, None), "{uri}");
    }
}

#[test]
fn our_maddr_is_stripped_and_others_are_left() {
    // F02, F05: RFC 3261 §16.4
    let mut world = World::new();
    for (came, goes) in [
        ("sip:200@acme;maddr=192.0.2.1", "sip:200@acme"),
        ("sip:200@acme:5060;user=phone;maddr=front.pbx.example;transport=udp;x", "sip:200@acme;user=phone;x"),
        ("sip:200@[2001:db8::1];maddr=192.0.2.1", "sip:200@[2001:db8::1]"),
        ("sip:200@acme;maddr=192.0.2.1;transport=tcp", "sip:200@acme;maddr=192.0.2.1;transport=tcp"),
        ("sip:200@acme:5070;maddr=192.0.2.1", "sip:200@acme:5070;maddr=192.0.2.1"),
        ("sip:200@acme;maddr=198.51.0.2", "sip:200@acme;maddr=198.51.0.2"),
    ] {
        let got = world.forward(Side::Client, &from_phone("INVITE", came, "")).unwrap();
        assert_eq!(got.lines().next(), Some(&*format!("INVITE {goes} SIP/2.0")));
    }
}

#[test]
fn a_strict_router_before_us_is_mended() {
    // F01
    let mut world = World::new();
    let (b, c) = (world.b(), world.c());
    let came = in_dialog(
        "BYE",
        &format!("sip:{b}@192.0.2.1:5060;lr"),
        &format!("Route: <sip:{c}@192.0.2.1:5060;lr>\nRoute: <sip:200@198.51.0.1:5060;x=1>\n"),
    );
    let inbound = world.analyse(Side::Client, &came).unwrap();
    assert_eq!(inbound.way, Way::Backend(world.pbx));
    let got = world.forward(Side::Client, &came).unwrap();
    assert!(got.starts_with("BYE sip:200@198.51.0.1:5060;x=1 SIP/2.0\n"), "{got}");
    assert!(!got.contains("Route:"), "{got}");
    let came = in_dialog("BYE", &format!("sip:{b}@192.0.2.1:5060;lr"), "Route: <sip:200@198.51.0.1>\n");
    let got = world.forward(Side::Client, &came).unwrap();
    assert!(got.starts_with("BYE sip:200@198.51.0.1 SIP/2.0\n") && !got.contains("Route:"), "{got}");
    let alone = in_dialog("BYE", &format!("sip:{b}@192.0.2.1:5060;lr"), "");
    assert!(matches!(world.analyse(Side::Client, &alone), Err(SteerError::Malformed(_))));
}

#[test]
fn a_strict_router_behind_us_is_served() {
    // F14
    let mut world = World::new();
    let (b, c) = (world.b(), world.c());
    let strict = world.mask("sip:strict.internal:5080");
    let last = world.mask("sip:last.internal;lr");
    let rows = format!(
        "Route: <sip:{b}@192.0.2.1;lr>, <sip:{c}@192.0.2.1;lr>, <sip:{strict}@192.0.2.1;lr>\nRoute: <sip:{last}@192.0.2.1;lr>\n"
    );
    let got = world.forward(Side::Client, &in_dialog("BYE", "sip:200@acme", &rows)).unwrap();
    assert!(got.starts_with("BYE sip:strict.internal:5080 SIP/2.0\n"), "{got}");
    assert!(got.contains("Route: <sip:last.internal;lr>\nRoute: <sip:200@acme>\n"), "{got}");
    assert_eq!(got.matches("Route:").count(), 2, "{got}");
}

#[test]
fn what_was_hidden_is_shown_to_the_pbx_again() {
    // R8
    let mut world = World::new();
    let (b, c) = (world.b(), world.c());
    let hop = world.mask("sip:10.9.9.9:5080;lr;x=y");
    let target = world.mask("sip:200@10.9.9.8:5061;ob");
    let rows = format!("Route: <sip:{b}@192.0.2.1;lr>, <sip:{c}@192.0.2.1;lr>, <sip:{hop}@192.0.2.1;lr>;p=1\n");
    let uri = format!("sip:200@192.0.2.1:5060;nt={target}");
    let got = world.forward(Side::Client, &in_dialog("BYE", &uri, &rows)).unwrap();
    assert!(got.starts_with("BYE sip:200@10.9.9.8:5061;ob SIP/2.0\n"), "{got}");
    assert!(got.contains("\nRoute: <sip:10.9.9.9:5080;lr;x=y>;p=1\n"), "{got}");
}

#[test]
fn a_hidden_uri_selects_its_instance() {
    // R8: a client calls the Contact of a redirection.
    let world = World::new();
    let target = world.mask("sip:200@10.9.9.8");
    let uri = format!("sip:200@192.0.2.1;nt={target}");
    let inbound = world.analyse(Side::Client, &from_phone("INVITE", &uri, "")).unwrap();
    assert_eq!((inbound.way, inbound.instance), (Way::Table, Some(ACME)));
}

#[test]
fn header_fields_of_a_request_uri_go_nowhere() {
    // F07: RFC 3261 §16.6-2, regescrt
    let mut world = World::new();
    let c = world.c();
    let came = from_pbx("INVITE", "sip:100@192.168.1.5;x?Route=%3Csip:sip.example%3E", &route(&c));
    let got = world.forward(Side::Instance, &came).unwrap();
    assert!(got.starts_with("INVITE sip:100@192.168.1.5;x SIP/2.0\n"), "{got}");
    let target = world.mask("sip:200@10.9.9.8?Replaces=x");
    let came = from_phone("INVITE", &format!("sip:200@192.0.2.1;nt={target}"), "");
    assert!(world.forward(Side::Client, &came).unwrap().starts_with("INVITE sip:200@10.9.9.8 SIP/2.0\n"));
}

#[test]
fn a_spiral_through_the_pbx_keeps_both_pairs() {
    // F02, L01: phone A, us, PBX, us, phone B.
    let mut world = World::new();
    let (b, c) = (world.b(), world.c());
    let other_phone = FlowRef::Udp {
        listener: ListenerId { proxy: ProxyId(1), number: 1 },
        local: None,
        peer: "203.0.113.8:5060".parse().unwrap(),
        device: None,
    };
    let c2 = world.seal(&Token::ToClient { instance: ACME, flow: other_phone });
    let rows = format!(
        "Route: <sip:{b}@192.0.2.1;lr>, <sip:{c}@192.0.2.1;lr>, <sip:{c2}@192.0.2.1;lr>, <sip:{b}@192.0.2.1;lr>\n"
    );
    let inbound = world.analyse(Side::Client, &in_dialog("BYE", "sip:200@x", &rows)).unwrap();
    assert_eq!((inbound.way, inbound.pops), (Way::Backend(world.pbx), 2));
    let got = world.forward(Side::Client, &in_dialog("BYE", "sip:200@x", &rows)).unwrap();
    let left = format!("Route: <sip:{c2}@10.0.0.5:5070;lr>, <sip:{b}@192.0.2.1;lr>\n");
    assert!(got.contains(&left), "{got}");
    let inbound = world.analyse(Side::Instance, &from_pbx("BYE", "sip:200@x", &left)).unwrap();
    assert_eq!((inbound.way, inbound.pops), (Way::Client(other_phone), 2));
}

#[test]
fn users_may_have_names_as_long_as_a_token() {
    let world = World::new();
    let uuid = "sip:550e8400-e29b-41d4-a716-446655440000@acme";
    assert_eq!(world.analyse(Side::Client, &from_phone("INVITE", uuid, "")).unwrap().way, Way::Table);
    let foreign = "sip:200@acme;nt=1";
    assert_eq!(world.analyse(Side::Client, &from_phone("INVITE", foreign, "")).unwrap().way, Way::Table);
}

#[test]
fn unreadable_routes_are_malformed() {
    // V01
    let world = World::new();
    for rows in ["Route: <sip:a;lr\n", "Route: ,\n", "Route: <sip:>\n"] {
        let got = world.analyse(Side::Client, &from_phone("INVITE", "sip:200@acme", rows));
        assert!(matches!(got, Err(SteerError::Malformed(_))), "{rows}: {got:?}");
    }
}
