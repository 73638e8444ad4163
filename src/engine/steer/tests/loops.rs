//! Loops and spirals (RFC 5393).

use super::*;

fn via(hash: u32) -> String {
    let mut out = Vec::new();
    Branch { shard: Shard(0), ack: false, index: 7, nonce: 9, loop_hash: hash }.write(&mut out);
    format!(
        "Via: SIP/2.0/UDP 198.51.0.1:5060;branch=z9hG4bKpbx\nVia: SIP/2.0/UDP 10.0.0.5:41000;branch={}\n",
        text(&out)
    )
}

fn hash(world: &World, message: &str) -> u32 {
    world.analyse(Side::Client, message).unwrap().loop_hash
}

#[test]
fn the_same_request_coming_round_is_a_loop() {
    // L01, L02
    let world = World::new();
    let came = from_phone("INVITE", "sip:200@acme", "");
    let round = from_phone("INVITE", "sip:200@acme", &via(hash(&world, &came)));
    assert_eq!(world.analyse(Side::Client, &round), Err(SteerError::Loop));
    assert_eq!(SteerError::Loop.kind(), "loop");
}

#[test]
fn a_preloaded_proxy_does_not_hide_a_loop() {
    // L02: the first round carried a Route, the second does not.
    let world = World::new();
    let came = from_phone("INVITE", "sip:200@acme", "Route: <sip:front.pbx.example;lr>\n");
    let round = from_phone("INVITE", "sip:200@acme", &via(hash(&world, &came)));
    assert_eq!(world.analyse(Side::Client, &round), Err(SteerError::Loop));
}

#[test]
fn a_spiral_passes() {
    // L01: what routing depends on has changed.
    let world = World::new();
    let came = from_phone("INVITE", "sip:200@acme", "");
    let mark = via(hash(&world, &came));
    let elsewhere = from_phone("INVITE", "sip:201@acme", &mark);
    assert!(world.analyse(Side::Client, &elsewhere).is_ok());
    let route = format!("{mark}Route: <sip:{}@x;lr>\n", world.c());
    assert!(world.analyse(Side::Instance, &from_phone("INVITE", "sip:200@acme", &route)).is_ok());
    let again = from_phone("INVITE", "sip:200@acme", &mark).replace("CSeq: 1", "CSeq: 2");
    assert!(world.analyse(Side::Client, &again).is_ok());
}

#[test]
fn the_hash_depends_on_the_way_and_not_on_the_method() {
    // L01: ACK and CANCEL have their INVITE's.
    let world = World::new();
    let base = hash(&world, &from_phone("INVITE", "sip:200@acme", ""));
    for method in ["ACK", "CANCEL", "OPTIONS"] {
        assert_eq!(hash(&world, &from_phone(method, "sip:200@acme", "")), base);
    }
    let (b, c) = (world.b(), world.c());
    let hop = |text: &str| format!("Route: <sip:{b}@x;lr>, <sip:{c}@x;lr>, <sip:{}@x;lr>\n", world.mask(text));
    let ways = [
        hash(&world, &from_phone("INVITE", "sip:200@acme;user=phone", "")),
        hash(&world, &from_phone("INVITE", "sip:200@acme", &hop("sip:a.internal;lr"))),
        hash(&world, &from_phone("INVITE", "sip:200@acme", &hop("sip:b.internal;lr"))),
        hash(&world, &from_phone("INVITE", "sip:200@acme", "").replace("Call-ID: c1", "Call-ID: c3")),
        hash(&world, &from_phone("INVITE", "sip:200@acme", "").replace("tag=f1", "tag=f3")),
        hash(
            &world,
            &from_phone("INVITE", "sip:200@acme", "").replace("To: <sip:200@acme>", "To: <sip:200@acme>;tag=t"),
        ),
        world
            .analyse(Side::Instance, &from_pbx("INVITE", "sip:200@acme", &format!("Route: <sip:{c}@x;lr>\n")))
            .unwrap()
            .loop_hash,
        base,
    ];
    let distinct: std::collections::HashSet<_> = ways.into_iter().collect();
    assert_eq!(distinct.len(), ways.len());
}

#[test]
fn only_branches_of_ours_are_looked_at() {
    // L01, 3.3-7: our address in a Via is no loop by itself.
    let world = World::new();
    let rows = "Via: SIP/2.0/UDP 10.0.0.5:41000;branch=z9hG4bKx.00000000\nVia: SIP/2.0/UDP 192.0.2.1:5060\n";
    assert!(world.analyse(Side::Client, &from_phone("INVITE", "sip:200@acme", rows)).is_ok());
}
