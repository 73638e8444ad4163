//! How clients over TLS and WebSocket are told our address, and PBXs over TLS.

use super::*;
use crate::model::{Listener, TlsRoutes};

/// A world whose phone came over `transport`, to a listener that has it.
fn over(transport: Transport, service: Service, port: u16, advertise: Option<&str>) -> World {
    let mut front = proxy(1, "front");
    let bind = ([192, 0, 2, 1], port).into();
    front.listeners.push(Listener { number: 9, service, bind, advertise: advertise.map(Into::into) });
    let snapshot = compiled(&table([instance(1, "acme"), instance(2, "other")], [front]));
    let phone = Flow::Stream {
        listener: ListenerId { proxy: ProxyId(1), number: 9 },
        conn: ConnId::new(1, Shard(0), 9),
        transport,
        local: bind,
        peer: "203.0.113.7:50002".parse().unwrap(),
    };
    World { snapshot, phone, ..World::new() }
}

#[test]
fn a_hop_over_tls_is_told_by_name_and_as_sips() {
    // F11, F12, S02
    let mut world = over(Transport::Tls, Service::SipTls, 5061, None);
    let got = world.forward(Side::Client, &from_phone("INVITE", "sip:200@acme", "")).unwrap();
    let (b, c) = (world.b(), world.c());
    let pair =
        format!("Record-Route: <sip:{c}@10.0.0.5:5070;lr>\nRecord-Route: <sips:{b}@front.pbx.example:5061;lr>\n");
    assert!(got.contains(&pair), "{got}");

    let contact = "Contact: <sip:200@198.51.0.1:5060>\n";
    let route = format!("Route: <sip:{c}@10.0.0.5:5070;lr>\n{contact}");
    let got = world.forward(Side::Instance, &from_pbx("INVITE", "sip:100@192.168.1.5", &route)).unwrap();
    let mask = world.mask("sip:200@198.51.0.1:5060");
    for row in [
        format!(
            "Record-Route: <sips:{b}@front.pbx.example:5061;lr>\nRecord-Route: <sips:{c}@front.pbx.example:5061;lr>"
        ),
        format!("Contact: <sips:200@front.pbx.example:5061;nt={mask}>"),
        "Via: SIP/2.0/TLS front.pbx.example:5061;branch=z9hG4bKNtBRANCH".to_owned(),
    ] {
        assert!(got.contains(&format!("{row}\n")), "{row} in {got}");
    }
    assert!(!got.contains("transport="), "{got}");

    // The way back through what was given out.
    let uri = format!("sips:200@front.pbx.example:5061;nt={mask}");
    let rows = format!("Route: <sips:{b}@front.pbx.example:5061;lr>\nRoute: <sips:{c}@front.pbx.example:5061;lr>\n");
    let inbound = world.analyse(Side::Client, &in_dialog("BYE", &uri, &rows)).unwrap();
    assert_eq!((inbound.way, inbound.pops), (Way::Backend(world.pbx), 2));
    let got = world.forward(Side::Client, &in_dialog("BYE", &uri, &rows)).unwrap();
    assert!(got.starts_with("BYE sip:200@198.51.0.1:5060 SIP/2.0\n"), "{got}");
}

#[test]
fn a_proxy_may_write_the_transport_for_phones_that_need_it() {
    // F12
    let mut world = over(Transport::Tls, Service::SipTls, 5061, None);
    world.routes = TlsRoutes::Transport;
    let got = world.forward(Side::Client, &from_phone("INVITE", "sip:200@acme", "")).unwrap();
    let b = world.b();
    assert!(got.contains(&format!("Record-Route: <sip:{b}@front.pbx.example:5061;transport=tls;lr>\n")), "{got}");
    let rows = format!("Route: <sip:{b}@front.pbx.example:5061;transport=tls;lr>\n");
    assert_eq!(world.analyse(Side::Client, &in_dialog("BYE", "sip:200@x", &rows)).unwrap().pops, 1);
}

#[test]
fn what_is_advertised_comes_before_the_name() {
    // S02
    for (advertise, told) in
        [("sip.example", "sip.example:5061"), ("sip.example:7061", "sip.example:7061"), ("192.0.2.9", "192.0.2.9:5061")]
    {
        let mut world = over(Transport::Tls, Service::SipTls, 5061, Some(advertise));
        let got = world.forward(Side::Client, &from_phone("INVITE", "sip:200@acme", "")).unwrap();
        assert!(got.contains(&format!("Record-Route: <sips:{}@{told};lr>\n", world.b())), "{got}");
    }
}

#[test]
fn websockets_are_told_by_their_transport() {
    // W05
    for (transport, service, port, host, via) in [
        (Transport::Wss, Service::SipWss, 443, "front.pbx.example:443", "WSS"),
        (Transport::Ws, Service::SipWs, 8080, "192.0.2.1:8080", "WS"),
    ] {
        let mut world = over(transport, service, port, None);
        let c = world.c();
        let route = format!("Route: <sip:{c}@10.0.0.5:5070;lr>\n");
        let got = world.forward(Side::Instance, &from_pbx("INVITE", "sip:100@x.invalid", &route)).unwrap();
        let b = world.b();
        assert!(got.contains(&format!("Record-Route: <sip:{b}@{host};transport=ws;lr>\n")), "{got}");
        assert!(got.contains(&format!("Via: SIP/2.0/{via} {host};branch=z9hG4bKNtBRANCH\n")), "{got}");
    }
}

#[test]
fn a_pbx_over_tls_is_told_sips() {
    // F11
    let mut world = World::new();
    world.pbx.transport = Transport::Tls;
    world.pbx.address = "198.51.0.1:5061".parse().unwrap();
    let got = world.forward(Side::Client, &from_phone("INVITE", "sip:200@acme", "")).unwrap();
    let c = world.c();
    assert!(got.contains(&format!("Record-Route: <sips:{c}@10.0.0.5:5070;lr>\n")), "{got}");
    assert!(got.starts_with("INVITE sip:200@acme SIP/2.0\nVia: SIP/2.0/TLS 10.0.0.5:41000;branch="), "{got}");
    let register = from_phone("REGISTER", "sip:acme", "Contact: <sip:100@192.168.1.5>\n");
    let got = world.forward(Side::Client, &register).unwrap();
    assert!(got.contains(&format!("Path: <sips:{c}@10.0.0.5:5070;lr;ob>\n")), "{got}");
    world.profile = Profile::Contact;
    let got = world.forward(Side::Client, &register).unwrap();
    assert!(got.contains("Contact: <sips:100@10.0.0.5:5070;nt="), "{got}");
}
