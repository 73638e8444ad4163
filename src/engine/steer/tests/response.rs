//! Responses on their way back.

use super::*;

#[test]
fn only_our_via_goes() {
    // T04, F07, T11
    let mut world = World::new();
    let phone = "Via: SIP/2.0/UDP 192.168.1.5:5060;branch=z9hG4bKphone;rport=5062;received=203.0.113.7\n";
    let rows = "WWW-Authenticate: Digest realm=\"a\", nonce=\"b\", algorithm=SHA-256\nWWW-Authenticate: Digest realm=\"a\", nonce=\"b\"\n";
    let came = answer_to("401 Unauthorized", "INVITE", phone, rows);
    assert_eq!(
        changes(&came, &world.answer(Side::Client, None, &came)),
        "-Via: SIP/2.0/UDP 10.0.0.5:41000;branch=z9hG4bKNtBRANCH;rport\n"
    );
}

#[test]
fn our_via_goes_out_of_a_list() {
    // T04, V12
    let mut world = World::new();
    let came = answer_to("200 OK", "BYE", "", "").replace("BRANCH;rport", "BRANCH;rport , SIP/2.0/UDP p;branch=z");
    let got = world.answer(Side::Client, None, &came);
    assert!(got.starts_with("SIP/2.0 200 OK\nVia: SIP/2.0/UDP p;branch=z\nFrom:"), "{got}");
}

#[test]
fn a_stream_gets_a_content_length() {
    // F17
    let mut world = World::over_tcp();
    let came = answer_to("200 OK", "INFO", "Via: SIP/2.0/TCP p\n", "").replace("Content-Length: 0\n\n", "\nabc");
    assert!(world.answer(Side::Client, None, &came).ends_with("Content-Length: 3\n\nabc"));
    let mut world = World::new();
    assert!(world.answer(Side::Client, None, &came).ends_with("CSeq: 1 INFO\n\nabc"));
}

#[test]
fn session_timers_and_supported_pass() {
    // PROTOCOLS 2.10: RFC 4028, RFC 3262
    let mut world = World::new();
    let rows = "Session-Expires: 1800;refresher=uac\nRequire: timer, 100rel\nRSeq: 1\nSupported: path\n";
    let came = answer_to("183 Progress", "INVITE", "Via: SIP/2.0/UDP p\n", rows);
    assert!(world.answer(Side::Client, None, &came).contains(rows));
}

#[test]
fn a_pbx_that_speaks_of_flows_is_helped_with_their_timer() {
    // P09 P08: nothing is said of flows that nobody asked for
    let mut world = World::new();
    let rows = "Require: outbound\nContact: <sip:100@192.168.1.5:5062>;expires=60\n";
    for (status, rows, added) in [
        ("200 OK", rows.to_owned(), "Flow-Timer: 30\n"),
        ("200 OK", format!("Flow-Timer: 90\n{rows}"), ""),
        ("200 OK", rows.replace("Require: outbound\n", ""), ""),
        ("401 Unauthorized", rows.to_owned(), ""),
    ] {
        let came = answer_to(status, "REGISTER", "Via: SIP/2.0/UDP p\n", &rows);
        let got = world.answer(Side::Client, None, &came);
        assert_eq!(
            got.matches("Flow-Timer").count(),
            came.matches("Flow-Timer").count() + added.matches("Flow-Timer").count()
        );
        assert!(got.contains(added) && !got.starts_with("SIP/2.0 439"), "{got}");
    }
    let came = answer_to("200 OK", "REGISTER", "Via: SIP/2.0/TCP p\n", rows);
    assert!(World::over_tcp().answer(Side::Client, None, &came).contains("Flow-Timer: 120\n"));
}

#[test]
fn keep_is_answered_to_the_client_next_to_us_alone() {
    // P12
    let mut world = World::new();
    let vias = "Via: SIP/2.0/UDP p;keep;branch=z9hG4bK1\nVia: SIP/2.0/UDP q;branch=z9hG4bK2;keep=20\n";
    let came = answer_to("200 OK", "REGISTER", vias, "");
    let got = world.answer(Side::Client, None, &came);
    assert!(got.contains("Via: SIP/2.0/UDP p;keep=30;branch=z9hG4bK1\n"), "{got}");
    assert!(got.contains("Via: SIP/2.0/UDP q;branch=z9hG4bK2;keep\n"), "{got}");
    let came = answer_to("401 Unauthorized", "REGISTER", vias, "");
    assert!(world.answer(Side::Client, None, &came).contains("p;keep;"), "only an answer that succeeds says so");
}

#[test]
fn a_gruu_and_what_push_needs_pass_untouched() {
    // P11 P13
    let mut world = World::new();
    let rows = "Contact: <sip:100@192.168.1.5:5062;pn-provider=apns;pn-prid=x>;pub-gruu=\"sip:100@acme;gr=u\"\n";
    let came = answer_to("200 OK", "REGISTER", "Via: SIP/2.0/UDP p\n", rows);
    assert!(world.answer(Side::Client, None, &came).contains(rows));
    let came = answer_to("200 OK", "INVITE", "Via: SIP/2.0/UDP p\n", "Contact: <sip:100@acme;gr=u>\n");
    assert!(world.answer(Side::Client, None, &came).contains("Contact: <sip:100@acme;gr=u>\n"));
    let came = answer_to("555 Push Notification Service Not Supported", "REGISTER", "Via: SIP/2.0/UDP p\n", "");
    assert!(world.answer(Side::Client, None, &came).starts_with("SIP/2.0 555 "));
}
