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
