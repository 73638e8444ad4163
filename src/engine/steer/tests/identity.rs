//! The trust boundary: asserted identities, privacy, and references to other instances.

use super::*;

const CLAIMS: &str = "P-Asserted-Identity: <sip:boss@acme>
P-Preferred-Identity: <sip:boss@acme>
p-asserted-identity: <tel:+1>
Privacy: none
";

#[test]
fn what_a_client_claims_to_be_is_taken_out() {
    // RFC 3325 §5, PROTOCOLS 2.10
    let mut world = World::new();
    let got = world.forward(Side::Client, &from_phone("INVITE", "sip:200@acme", CLAIMS)).unwrap();
    assert!(!got.to_ascii_lowercase().contains("-identity:") && got.contains("Privacy: none\n"), "{got}");
    let got = world.answer(Side::Instance, Some("Via: SIP/2.0/UDP p\n"), &answer_to("200 OK", "INVITE", "", CLAIMS));
    assert!(!got.to_ascii_lowercase().contains("-identity:") && got.contains("Privacy: none\n"), "{got}");
}

#[test]
fn what_a_pbx_says_is_passed_unless_privacy_asks() {
    // RFC 3325 §7, RFC 3323
    let mut world = World::new();
    let c = world.c();
    for (privacy, shown) in [
        ("", true),
        ("Privacy: none\n", true),
        ("Privacy: header; session\n", true),
        ("Privacy: id\n", false),
        ("Privacy: header;ID ;critical\n", false),
        ("Privacy: none\nPrivacy: user,id\n", false),
    ] {
        let identity = format!("P-Asserted-Identity: <sip:200@acme>\n{privacy}");
        let rows = format!("Route: <sip:{c}@10.0.0.5;lr>\n{identity}");
        let got = world.forward(Side::Instance, &from_pbx("INVITE", "sip:100@x", &rows)).unwrap();
        assert_eq!(got.contains("P-Asserted-Identity"), shown, "{privacy}");
        assert!(got.contains(privacy));
        let got =
            world.answer(Side::Client, None, &answer_to("180 Ringing", "INVITE", "Via: SIP/2.0/UDP p\n", &identity));
        assert_eq!(got.contains("P-Asserted-Identity"), shown, "{privacy}");
    }
}

#[test]
fn a_reference_to_another_instance_is_seen() {
    // PROTOCOLS 2.10: RFC 3515, R8, R10
    let world = World::new();
    let own = world.mask("sip:200@10.9.9.9");
    let theirs = world.seal(&Token::Mask { instance: OTHER, text: b"sip:200@10.8.8.8" });
    let keys = Keys { ring: &world.ring, now_unix: NOW };
    for (row, other) in [
        ("Refer-To: <sip:300@acme>\n".to_owned(), false),
        ("Refer-To: sip:300@acme.pbx.example\n".to_owned(), false),
        ("Refer-To: <sip:300@public.example>\n".to_owned(), false),
        ("r: <sip:300@acme?Replaces=x%40other%3Bto-tag%3D1>\n".to_owned(), false),
        (format!("Refer-To: <sip:200@192.0.2.1;nt={own}?Replaces=x>\n"), false),
        ("Refer-To: <sip:300@other>\n".to_owned(), true),
        ("r: <sip:300@OTHER.pbx.example.:5060;user=phone>\n".to_owned(), true),
        (format!("Refer-To: <sip:200@192.0.2.1;nt={theirs}>\n"), true),
        ("Refer-To: <tel:+49>\n".to_owned(), false),
        ("Refer-To: garbage\n".to_owned(), false),
        ("Replaces: c3@other;to-tag=1;from-tag=2\nReferred-By: <sip:100@other>\n".to_owned(), false),
    ] {
        let bytes = wire(&from_phone("REFER", "sip:200@acme", &row));
        let mut index = Index::new();
        let view = View::read(&bytes, &mut index, &Limits::DEFAULT).unwrap();
        for (side, expected) in [(Side::Client, other), (Side::Instance, false)] {
            let arrival = world.arrival(side);
            let got = names_other_instance(&view, &arrival, ACME, keys, &world.snapshot, &mut Scratch::default());
            assert_eq!(got, expected, "{row} {side:?}");
        }
    }
}
