//! What is refused before it is anybody's, and how that is told (V01 to V18, F04, T11, DESIGN 11).

use crate::engine::testing::*;
use crate::reason::{Drop, Refusal};

#[test]
fn each_unsound_request_gets_its_status_and_code() {
    // V01 V04 V05 V06 V13 V17 V18
    let sound = request("OPTIONS", "o", "");
    for (old, new, status, code, why) in [
        ("Call-ID: call-o\r\n", "", 400, "header-missing", Refusal::Malformed),
        ("CSeq: 1 OPTIONS", "CSeq: 1 INVITE", 400, "method-mismatch", Refusal::Malformed),
        ("To:", "To: <sip:x@acme>\r\nTo:", 400, "header-repeated", Refusal::Malformed),
        ("sip:eve@acme SIP", "soap.beep://acme SIP", 416, "scheme", Refusal::Scheme),
        ("Max-Forwards: 70", "Max-Forwards: 0", 483, "max-forwards", Refusal::TooManyHops),
        ("SIP/2.0\r\nVia", "SIP/7.0\r\nVia", 505, "version", Refusal::Version),
        ("Contact:", "Proxy-Require: a, b\r\nContact:", 420, "proxy-require", Refusal::Extension),
    ] {
        let mut b = Bench::new();
        let refused = b.one(udp(PHONE), &sound.replace(old, new));
        assert_eq!(refused.status(), status, "{new}");
        assert!(refused.row("Warning").starts_with(&format!("399 nantucket \"{code}: ")), "{refused:?}");
        assert_eq!((b.shared.stats.refused(why), b.engine.counts().0), (1, 0), "{new}");
        if status == 420 {
            assert_eq!(refused.row("Unsupported"), "a, b");
        }
    }
}

#[test]
fn a_refusal_has_the_same_to_tag_each_time_and_another_for_another() {
    // T11
    let mut b = Bench::new();
    let text = request("INVITE", "i", "").replace("sip:eve@acme SIP", "sip:eve@nobody SIP");
    let (one, two) = (b.one(udp(PHONE), &text), b.one(udp(PHONE), &text));
    assert_eq!(one, two);
    assert!(one.row("To").contains(";tag=nt"));
    let other = b.one(udp(PHONE), &text.replace("z9hG4bKi", "z9hG4bKj"));
    assert_ne!(other.row("To"), one.row("To"));
    let tagged = b.one(udp(PHONE), &text.replace("To: <sip:eve@acme>", "To: <sip:eve@acme>;tag=x"));
    assert!(tagged.row("To").ends_with(";tag=x"), "a tag that is there stays");
}

#[test]
fn nobody_is_answered_by_a_route_or_maddr_of_the_senders_choice() {
    // F04 F05
    let mut b = Bench::new();
    for route in ["<sip:10.9.9.9;lr>", "<sip:198.51.0.1;lr>", "<sip:127.0.0.1;lr>", "<sip:evil.example;lr>"] {
        let refused = b.one(udp(PHONE), &request("OPTIONS", "o", &format!("Route: {route}\r\n")));
        assert_eq!(refused.status(), 403, "{route}");
        assert!(refused.row("Warning").contains("foreign-route"), "{refused:?}");
    }
    let text = request("OPTIONS", "p", "").replace("sip:eve@acme SIP", "sip:eve@acme;maddr=10.9.9.9 SIP");
    assert_eq!(b.one(udp(PHONE), &text).peer(), PBX.parse().unwrap());
}

#[test]
fn what_cannot_be_answered_is_dropped_and_counted() {
    // V01 V09
    let mut b = Bench::new();
    for (text, why) in [
        ("hello".to_owned(), Drop::Unreadable),
        (request("OPTIONS", "o", "").replace("Via:", "X-Via:"), Drop::Unreadable),
        (request("ACK", "a", "").replace("Call-ID: call-a\r\n", ""), Drop::Unreadable),
        ("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x\r\n\r\n".to_owned(), Drop::MalformedResponse),
    ] {
        let before = b.dropped(why);
        b.none(udp(PHONE), &text);
        assert_eq!(b.dropped(why), before + 1, "{text}");
    }
}

#[test]
fn an_unknown_method_is_passed_and_an_unknown_header_kept() {
    // V03 V02 V08
    let mut b = Bench::new();
    let out = b.one(
        udp(PHONE),
        &request("NEWMETHOD", "n", "Foo:  b a r \r\nRequire: nothing\r\nDate: Fri, 01 Jan 2010 16:00:00 EST\r\n"),
    );
    for row in ["Foo:  b a r \r\n", "Require: nothing\r\n", "Date: Fri, 01 Jan 2010 16:00:00 EST\r\n"] {
        assert!(out.text.contains(row), "{row}");
    }
    assert_eq!(b.one(inside(PBX), &out.answered(405, "")).status(), 405);
}
