//! REGISTER: the way back to a phone, by Path or by Contact.

use super::*;

const CONTACT: &str = "<sip:100@192.168.1.5:5060;ob>;expires=600;+sip.instance=\"<urn:uuid:1>\"";

fn register(rows: &str) -> String {
    from_phone("REGISTER", "sip:acme", &format!("Contact: {CONTACT}\n{rows}"))
}

#[test]
fn a_path_says_the_way_back_and_supported_says_so() {
    // P01, P02
    let mut world = World::new();
    let c = world.c();
    let came = register("Supported: replaces, outbound\nSupported: gruu\n");
    assert_eq!(
        changes(&came, &world.forward(Side::Client, &came).unwrap()),
        format!(
            "-Via: SIP/2.0/UDP 192.168.1.5:5060;branch=z9hG4bKphone;rport
-Max-Forwards: 70
-Supported: replaces, outbound
+Via: SIP/2.0/UDP 10.0.0.5:41000;branch=z9hG4bKNtBRANCH;rport
+Via: SIP/2.0/UDP 192.168.1.5:5060;branch=z9hG4bKphone;rport=5062;received=203.0.113.7
+Path: <sip:{c}@10.0.0.5:5070;lr;ob>
+Max-Forwards: 69
+Supported: replaces, outbound, path
+Max-Breadth: 60
"
        )
    );
}

#[test]
fn path_is_in_the_first_supported_once() {
    // P02
    let mut world = World::new();
    for (came, goes) in [
        ("", "Supported: path\n"),
        ("Supported: path\n", "Supported: path\n"),
        ("k: a,PATH , b\n", "k: a,PATH , b\n"),
        ("k: a\n", "k: a, path\n"),
        ("Supported:\n", "Supported: path\n"),
        ("Supported: gruu\nSupported: path\n", "Supported: gruu, path\nSupported: path\n"),
        ("Supported: xpath\n", "Supported: xpath, path\n"),
    ] {
        let got = world.forward(Side::Client, &register(came)).unwrap();
        assert!(got.contains(goes), "{came}: {got}");
        assert_eq!(got.matches("upported:").count() + got.matches("\nk:").count(), goes.lines().count());
    }
}

#[test]
fn strict_mode_asks_the_phone_first() {
    // P02
    let mut world = World::new();
    world.strict_path = true;
    let came = register("Supported: gruu\n");
    let got = world.forward(Side::Client, &came).unwrap();
    assert!(!got.contains("Path:") && got.contains("Supported: gruu\n"), "{got}");
    let came = register("Supported: gruu\nSupported: path\n");
    let got = world.forward(Side::Client, &came).unwrap();
    assert!(got.contains("Path: <sip:") && got.contains("Supported: gruu\nSupported: path\n"), "{got}");
}

#[test]
fn ob_is_said_on_the_first_hop_only() {
    // P01: RFC 5626 §5.1
    let mut world = World::new();
    let c = world.c();
    let second = register("Via: SIP/2.0/UDP 192.168.1.9;branch=z9hG4bKx\n");
    let got = world.forward(Side::Client, &second).unwrap();
    assert!(got.contains(&format!("Path: <sip:{c}@10.0.0.5:5070;lr>\n")), "{got}");
}

#[test]
fn a_clients_own_path_is_taken_out() {
    // P01: smuggled in, RFC 3327 §5
    let mut world = World::new();
    let c = world.c();
    let came = register("Path: <sip:evil.example;lr>\nPath: <sip:worse.example;lr>\n");
    let got = world.forward(Side::Client, &came).unwrap();
    assert!(got.contains(&format!("Path: <sip:{c}@10.0.0.5:5070;lr;ob>\n")), "{got}");
    assert_eq!(got.matches("Path:").count(), 1, "{got}");
}

#[test]
fn the_path_of_a_stream_backend_names_the_stream() {
    // P01, F10
    let mut world = World::over_tcp();
    world.pbx.transport = Transport::Tcp;
    let c = world.c();
    let got = world.forward(Side::Client, &register("")).unwrap();
    assert!(got.contains(&format!("Path: <sip:{c}@10.0.0.5:5070;transport=tcp;lr;ob>\n")), "{got}");
}

#[test]
fn the_profile_none_touches_neither() {
    let mut world = World::new();
    world.profile = Profile::None;
    let got = world.forward(Side::Client, &register("")).unwrap();
    assert!(!got.contains("Path:") && !got.contains("Supported:") && got.contains(CONTACT), "{got}");
}

#[test]
fn contact_mode_seals_the_phones_contact_in_ours() {
    // P05, P16
    let mut world = World::new();
    world.profile = Profile::Contact;
    let rows = "Contact: sip:100@192.168.1.6;expires=60\nm: \"A, B\" <sips:h@x.invalid?a=b>;q=1, <tel:+49>\n";
    let came = register(rows);
    let one = world.contact("sip:100@192.168.1.5:5060;ob");
    let two = world.contact("sip:100@192.168.1.6");
    let three = world.contact("sips:h@x.invalid?a=b");
    let got = world.forward(Side::Client, &came).unwrap();
    assert!(
        got.contains(&format!(
            "Contact: <sip:100@10.0.0.5:5070;nt={one}>;expires=600;+sip.instance=\"<urn:uuid:1>\"
Contact: <sip:100@10.0.0.5:5070;nt={two}>;expires=60
m: \"A, B\" <sips:h@10.0.0.5:5070;nt={three}>;q=1, <tel:+49>
"
        )),
        "{got}"
    );
    assert!(!got.contains("Path:") && !got.contains("Supported:"), "{got}");
}

#[test]
fn a_star_stays_a_star() {
    // P15
    let mut world = World::new();
    world.profile = Profile::Contact;
    let came = from_phone("REGISTER", "sip:acme", "Contact: *\nExpires: 0\n");
    assert!(world.forward(Side::Client, &came).unwrap().contains("Contact: *\n"));
}

#[test]
fn two_phones_with_one_contact_stay_two() {
    // P04: PROTOCOLS 1, finding 2
    let mut world = World::new();
    let first = world.contact("sip:100@192.168.1.5");
    world.phone = World::over_tcp().phone;
    assert_ne!(first, world.contact("sip:100@192.168.1.5"));
}

#[test]
fn contact_mode_leads_back_and_restores_the_uri() {
    // P05
    let mut world = World::new();
    let nt = world.contact("sip:100@192.168.1.5:5060;ob?x=y");
    for host in ["10.0.0.5:5070", "nat.invalid:1"] {
        let came = from_pbx("INVITE", &format!("sip:100@{host};nt={nt}"), "");
        let inbound = world.analyse(Side::Instance, &came).unwrap();
        assert_eq!((inbound.way, inbound.instance), (Way::Client(world.client()), Some(ACME)));
        let got = world.forward(Side::Instance, &came).unwrap();
        assert!(got.starts_with("INVITE sip:100@192.168.1.5:5060;ob SIP/2.0\n"), "{got}");
    }
    let bad = format!("{}{}", &nt[1..], &nt[..1]);
    let came = from_pbx("INVITE", &format!("sip:100@10.0.0.5:5070;nt={bad}"), "");
    assert!(matches!(world.analyse(Side::Instance, &came), Err(SteerError::Token(_))));
}

#[test]
fn a_route_token_counts_more_than_the_contacts() {
    // P05: the flow a dialog was begun over
    let mut world = World::new();
    let nt = world.contact("sip:100@192.168.1.5");
    world.phone = World::over_tcp().phone;
    let c = world.c();
    let came = from_pbx("BYE", &format!("sip:100@10.0.0.5:5070;nt={nt}"), &format!("Route: <sip:{c}@10.0.0.5;lr>\n"));
    let inbound = world.analyse(Side::Instance, &came).unwrap();
    assert_eq!(inbound.way, Way::Client(world.client()));
    assert!(world.forward(Side::Instance, &came).unwrap().starts_with("BYE sip:100@192.168.1.5 SIP/2.0\n"));
}

#[test]
fn a_preloaded_inside_address_before_a_contact_goes() {
    // F02: a PBX with us as its outbound proxy
    let world = World::new();
    let nt = world.contact("sip:100@192.168.1.5");
    let came = from_pbx("INVITE", &format!("sip:100@10.0.0.5:5070;nt={nt}"), "Route: <sip:10.0.0.5:5070;lr>\n");
    let inbound = world.analyse(Side::Instance, &came).unwrap();
    assert_eq!((inbound.way, inbound.pops), (Way::Client(world.client()), 1));
}

#[test]
fn the_answer_shows_the_phone_its_own_contacts() {
    // P03, R8
    let mut world = World::new();
    let nt = world.contact("sip:100@192.168.1.5:5060;ob");
    let c = world.c();
    let rows = format!(
        "Contact: <sip:100@203.0.113.7:5062;nt={nt}>;expires=60, <sip:100@198.18.0.9>;expires=20
Path: <sip:{c}@10.0.0.5:5070;lr;ob>
"
    );
    let got =
        world.answer(Side::Client, None, &answer_to("200 OK", "REGISTER", "Via: SIP/2.0/UDP p;branch=z\n", &rows));
    assert!(
        got.contains(&format!(
            "Contact: <sip:100@192.168.1.5:5060;ob>;expires=60, <sip:100@198.18.0.9>;expires=20
Path: <sip:{c}@10.0.0.5:5070;lr;ob>
"
        )),
        "{got}"
    );
}

#[test]
fn a_binding_is_known_by_the_phones_own_uri() {
    // P16
    let world = World::new();
    let nt = world.contact("sip:100@192.168.1.5:5060;ob");
    let bytes = wire(&answer_to(
        "200 OK",
        "REGISTER",
        "",
        &format!("Contact: <sip:100@10.0.0.5;nt={nt}>, <sip:100@198.18.0.9>, <sip:1@x;nt=1>\n"),
    ));
    let mut index = Index::new();
    let view = View::read(&bytes, &mut index, &Limits::DEFAULT).unwrap();
    let keys = Keys { ring: &world.ring, now_unix: NOW };
    let mut scratch = Scratch::default();
    let known: Vec<_> = view
        .contacts()
        .map(|c| String::from_utf8_lossy(own_contact(&c.unwrap(), keys, &mut scratch)).into_owned())
        .collect();
    assert_eq!(known, ["sip:100@192.168.1.5:5060;ob", "sip:100@198.18.0.9", "sip:1@x;nt=1"]);
}
