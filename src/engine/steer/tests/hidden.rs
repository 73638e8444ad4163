//! What a client is shown of its instance (R8).

use super::*;

#[test]
fn a_pbx_request_shows_nothing_of_the_inside() {
    // R8
    let mut world = World::new();
    let (b, c) = (world.b(), world.c());
    let came = from_pbx(
        "INVITE",
        "sip:100@192.168.1.5",
        &format!(
            "v: SIP/2.0/TCP 10.9.9.9;branch=z9hG4bKy, SIP/2.0/UDP 10.9.9.8;branch=z9hG4bKx
Route: <sip:{c}@10.0.0.5:5070;lr;ob>
Record-Route: <sip:10.9.9.9;transport=tcp;lr>, <sip:10.9.9.8;lr>;z
Contact: \"PBX\" <sip:200@198.51.0.1:5060;ob>;+x
"
        ),
    );
    let got = world.forward(Side::Instance, &came).unwrap();
    let (one, two) = (world.mask("sip:10.9.9.9;transport=tcp;lr"), world.mask("sip:10.9.9.8;lr"));
    let contact = world.mask("sip:200@198.51.0.1:5060;ob");
    assert_eq!(
        got,
        format!(
            "INVITE sip:100@192.168.1.5 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKNtBRANCH;rport
Max-Forwards: 68
From: <sip:200@acme>;tag=f2
To: <sip:100@acme>
Call-ID: c2
CSeq: 1 INVITE
Record-Route: <sip:{b}@192.0.2.1:5060;lr>
Record-Route: <sip:{c}@192.0.2.1:5060;lr>
Record-Route: <sip:{one}@192.0.2.1:5060;lr>, <sip:{two}@192.0.2.1:5060;lr>;z
Contact: \"PBX\" <sip:200@192.0.2.1:5060;nt={contact}>;+x
Content-Length: 0
Max-Breadth: 60

"
        )
    );
    for private in ["198.51.0.1", "10.9.9", "10.0.0.5"] {
        assert!(!got.contains(private), "{private}");
    }
}

#[test]
fn the_vias_of_a_pbx_are_kept_for_the_answer() {
    // R8, T04, X03
    let rows = "Via: SIP/2.0/UDP 198.51.0.9:5060;branch=z9hG4bKpbx;rport;x, SIP/2.0/TCP 10.9.9.9\nv:SIP/2.0/UDP\n  10.9.9.8;a=\"b\"\n";
    let came = format!("OPTIONS sip:a@b SIP/2.0\n{rows}Call-ID: x\n\n");
    let bytes = wire(&came);
    let mut index = Index::new();
    let view = View::read(&bytes, &mut index, &Limits::DEFAULT).unwrap();
    let mut kept = Vec::new();
    keep_vias(&view, "198.51.0.1:5061".parse().unwrap(), &mut kept);
    assert_eq!(text(&kept), rows.replace(";rport;x", ";rport=5061;x;received=198.51.0.1"),);
}

#[test]
fn a_phones_answer_gets_the_pbxs_vias_and_routes_back() {
    // R8, T04
    let mut world = World::new();
    let (b, c) = (world.b(), world.c());
    let (one, two) = (world.mask("sip:10.9.9.9;transport=tcp;lr"), world.mask("sip:10.9.9.8;lr"));
    let vias = "Via: SIP/2.0/UDP 198.51.0.1:5060;branch=z9hG4bKpbx\nv: SIP/2.0/TCP 10.9.9.9;branch=z9hG4bKy\n";
    let came = answer_to(
        "200 OK",
        "INVITE",
        "",
        &format!(
            "Record-Route: <sip:{b}@192.0.2.1:5060;lr>, <sip:{c}@192.0.2.1:5060;lr>
Record-Route: <sip:{one}@192.0.2.1:5060;lr>, <sip:{two}@192.0.2.1:5060;lr>;z
Contact: <sip:100@192.168.1.5>
"
        ),
    );
    assert_eq!(
        changes(&came, &world.answer(Side::Instance, Some(vias), &came)),
        format!(
            "-Via: SIP/2.0/UDP 10.0.0.5:41000;branch=z9hG4bKNtBRANCH;rport
-Record-Route: <sip:{b}@192.0.2.1:5060;lr>, <sip:{c}@192.0.2.1:5060;lr>
-Record-Route: <sip:{one}@192.0.2.1:5060;lr>, <sip:{two}@192.0.2.1:5060;lr>;z
{}+Record-Route: <sip:{b}@192.0.2.1:5060;lr>, <sip:{c}@10.0.0.5:5070;lr>
+Record-Route: <sip:10.9.9.9;transport=tcp;lr>, <sip:10.9.9.8;lr>;z
",
            vias.lines().map(|l| format!("+{l}\n")).collect::<String>()
        )
    );
}

#[test]
fn a_pbxs_answer_hides_what_is_behind_us_and_not_the_clients_own() {
    // R8, F08
    let mut world = World::new();
    let (b, c) = (world.b(), world.c());
    let came = answer_to(
        "200 OK",
        "INVITE",
        "Via: SIP/2.0/UDP 192.168.1.5:5060;branch=z9hG4bKphone;rport=5062;received=203.0.113.7\n",
        &format!(
            "Record-Route: <sip:10.9.9.9;lr>, <sip:{c}@203.0.113.7:5062;lr>, <sip:{b}@192.0.2.1:5060;lr>, <sip:edge.example;lr>
Contact: <sip:200@198.51.0.1:5060>
"
        ),
    );
    let one = world.mask("sip:10.9.9.9;lr");
    let contact = world.mask("sip:200@198.51.0.1:5060");
    assert_eq!(
        changes(&came, &world.answer(Side::Client, None, &came)),
        format!(
            "-Via: SIP/2.0/UDP 10.0.0.5:41000;branch=z9hG4bKNtBRANCH;rport
-Record-Route: <sip:10.9.9.9;lr>, <sip:{c}@203.0.113.7:5062;lr>, <sip:{b}@192.0.2.1:5060;lr>, <sip:edge.example;lr>
-Contact: <sip:200@198.51.0.1:5060>
+Record-Route: <sip:{one}@192.0.2.1:5060;lr>, <sip:{c}@192.0.2.1:5060;lr>, <sip:{b}@192.0.2.1:5060;lr>, <sip:edge.example;lr>
+Contact: <sip:200@192.0.2.1:5060;nt={contact}>
"
        )
    );
}

#[test]
fn an_answer_without_our_entries_hides_all() {
    // R8
    let mut world = World::new();
    let came = answer_to("200 OK", "MESSAGE", "Via: SIP/2.0/UDP p;branch=z\n", "Record-Route: <sip:10.9.9.9;lr>\n");
    assert!(!world.answer(Side::Client, None, &came).contains("10.9.9.9"));
}

#[test]
fn a_hidden_contact_keeps_what_is_not_the_uri() {
    // R8, V02
    let mut world = World::over_tcp();
    let c = world.c();
    for (came, goes) in [
        ("<sip:200@10.1.1.1>;q=0.5;expires=3", "<sip:200@192.0.2.1:5060;transport=tcp;nt=MASK>;q=0.5;expires=3"),
        ("sip:200@10.1.1.1;q=0.5", "<sip:200@192.0.2.1:5060;transport=tcp;nt=MASK>;q=0.5"),
        ("<sips:10.1.1.1>", "<sips:192.0.2.1:5060;transport=tcp;nt=MASK>"),
        ("<sip:2;a@10.1.1.1>", "<sip:2;a@192.0.2.1:5060;transport=tcp;nt=MASK>"),
        ("<tel:+4989>", "<tel:+4989>"),
        ("<sip:200@acme.pbx.example;gr=x>", "<sip:200@acme.pbx.example;gr=x>"),
        ("<sip:200@10.1.1.1;gr=x>", "<sip:200@192.0.2.1:5060;transport=tcp;nt=MASK>"),
    ] {
        let rows = format!("Route: <sip:{c}@10.0.0.5;lr>\nContact: {came}\n");
        let got = world.forward(Side::Instance, &from_pbx("NOTIFY", "sip:100@192.168.1.5", &rows)).unwrap();
        let uri = came.split_once('<').map_or("sip:200@10.1.1.1", |(_, rest)| rest.split_once('>').unwrap().0);
        let expected = goes.replace("MASK", &world.mask(uri));
        assert!(got.contains(&format!("Contact: {expected}\n")), "{came}: {got}");
    }
}

#[test]
fn a_redirection_shows_nothing_either() {
    // R8, T18
    let mut world = World::new();
    let rows = "Contact: <sip:200@10.9.9.9>, <sip:201@10.9.9.8>;q=0.1\n";
    let got = world.answer(Side::Client, None, &answer_to("302 Moved", "INVITE", "Via: SIP/2.0/UDP p\n", rows));
    assert_eq!(got.matches("@192.0.2.1:5060;nt=").count(), 2, "{got}");
    assert!(!got.contains("10.9.9"), "{got}");
}

#[test]
fn what_another_instance_hid_stays_hidden() {
    // R8, R10
    let mut world = World::new();
    let theirs = world.seal(&Token::Mask { instance: OTHER, text: b"sip:10.8.8.8;lr" });
    let rows = format!("Record-Route: <sip:{theirs}@192.0.2.1;lr>\n");
    let got = world.forward(Side::Client, &from_phone("INVITE", "sip:200@acme", &rows)).unwrap();
    assert!(got.contains(&theirs) && !got.contains("10.8.8.8"), "{got}");
}

#[test]
fn a_call_comes_back_to_where_it_started() {
    // R8, R75: a dialog begun by the PBX, seen from the phone and back.
    let mut world = World::over_tcp();
    let c = world.c();
    let invite = from_pbx(
        "INVITE",
        "sip:100@192.168.1.5",
        &format!("Route: <sip:{c}@10.0.0.5;lr;ob>\nRecord-Route: <sip:10.9.9.9;lr>\nContact: <sip:200@198.51.0.1>\n"),
    );
    let at_phone = world.forward(Side::Instance, &invite).unwrap();
    let rows: String =
        at_phone.lines().filter(|l| l.starts_with("Record-Route")).map(|l| l.to_owned() + "\n").collect();
    let target = at_phone.lines().find_map(|l| l.strip_prefix("Contact: <")?.strip_suffix('>')).unwrap();
    // The phone hangs up.
    let bye = in_dialog("BYE", target, &rows.replace("Record-Route", "Route"));
    let inbound = world.analyse(Side::Client, &bye).unwrap();
    assert_eq!((inbound.way, inbound.instance), (Way::Backend(world.pbx), Some(ACME)));
    let at_pbx = world.forward(Side::Client, &bye).unwrap();
    assert!(at_pbx.starts_with("BYE sip:200@198.51.0.1 SIP/2.0\n"), "{at_pbx}");
    assert!(at_pbx.contains("\nRoute: <sip:10.9.9.9;lr>\n"), "{at_pbx}");
    // The PBX hangs up: its route set is the answer's, reversed.
    let answer =
        world.answer(Side::Instance, Some("Via: SIP/2.0/UDP 198.51.0.1\n"), &answer_to("200 OK", "INVITE", "", &rows));
    let mut set: Vec<_> = answer
        .lines()
        .filter_map(|l| l.strip_prefix("Record-Route: "))
        .flat_map(|l| l.split(", "))
        .map(str::to_owned)
        .collect();
    set.reverse();
    assert_eq!(set[0], "<sip:10.9.9.9;lr>");
    let bye = from_pbx("BYE", "sip:100@192.168.1.5", &format!("Route: {}\n", set[1..].join(", ")));
    let inbound = world.analyse(Side::Instance, &bye).unwrap();
    assert_eq!((inbound.way, inbound.backend), (Way::Client(world.client()), Some(world.pbx)));
}
