//! F07: an untouched byte never changes, whatever the message looks like.

use super::*;
use proptest::prelude::*;

/// Rows nobody here edits, in shapes seen in the field.
fn rows() -> impl Strategy<Value = Vec<String>> {
    let row = prop_oneof![
        "[A-Za-z-]{1,12}".prop_flat_map(|name| "[ -~]{0,40}".prop_map(move |value| format!("X{name}: {value}"))),
        Just("Date: Sun, 21 Oct 2001 10:00:00 EST".to_owned()),
        Just("Subject:a\r\n folded\r\n\tvalue  ".to_owned()),
        Just("Authorization: Digest username=\"1\", response=\"\\\"\"".to_owned()),
        Just("s : spaced".to_owned()),
        Just("Allow-Events: dialog ,, x".to_owned()),
        Just("Supported: timer".to_owned()),
        Just("Session-Expires: 1800".to_owned()),
    ];
    proptest::collection::vec(row, 0..8)
}

proptest! {
    #[test]
    fn in_a_request_all_but_our_rows_stay_in_place(rows in rows(), body in proptest::collection::vec(any::<u8>(), 0..200), tail in proptest::collection::vec(any::<u8>(), 0..20)) {
        // F07, V02, V09
        let mut world = World::new();
        let mut message = format!(
            "INVITE sip:200@acme SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.7:5062;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
             From: <sip:100@acme>;tag=1\r\nTo: <sip:200@acme>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: {}\r\n",
            body.len()
        )
        .into_bytes();
        let mut expected = Vec::new();
        for row in &rows {
            expected.extend_from_slice(row.as_bytes());
            expected.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(&expected);
        let head = message.clone();
        message.extend_from_slice(b"\r\n");
        message.extend_from_slice(&body);
        message.extend_from_slice(&tail);
        let got = world.forward_bytes(Side::Client, &message).unwrap();
        // Nothing is sent but what came, our four rows, and one less in Max-Forwards.
        let place = head.windows(17).position(|w| w == b"Max-Forwards: 70\r").unwrap();
        let (before, after) = head.split_at(place);
        let first_via = before.windows(5).position(|w| w == b"Via: ").unwrap();
        let mut at = 0;
        for piece in [&before[..first_via], &before[first_via..], b"Max-Forwards: 69\r\n", &after[18..], b"Max-Breadth: 60\r\n\r\n", &body] {
            let found = got[at..].windows(piece.len().max(1)).position(|w| w == piece);
            prop_assert!(piece.is_empty() || found.is_some(), "{:?}", String::from_utf8_lossy(&got));
            at += found.unwrap_or(0) + piece.len();
        }
        prop_assert_eq!(at, got.len());
        let ours = got.len() - before.len() - after.len() - body.len() - "Max-Breadth: 60\r\n\r\n".len();
        let (b, c) = (world.b(), world.c());
        let added = format!(
            "Via: SIP/2.0/UDP 10.0.0.5:41000;branch=z9hG4bKNtBRANCH;rport\r\n\
             Record-Route: <sip:{c}@10.0.0.5:5070;lr>\r\nRecord-Route: <sip:{b}@192.0.2.1:5060;lr>\r\n"
        );
        prop_assert_eq!(ours, added.len());
    }
}

#[test]
fn a_body_of_any_bytes_is_the_same_afterwards() {
    // F07: mpart01, sdp
    let mut world = World::new();
    let body: Vec<u8> = (0..=255).chain([13, 10, 13, 10, 0]).collect();
    let mut message = wire(&from_phone("MESSAGE", "sip:200@acme", "").replace("Content-Length: 0", "l: 261"));
    message.extend_from_slice(&body);
    let got = world.forward_bytes(Side::Client, &message).unwrap();
    assert!(got.ends_with(&body));
}

#[test]
fn rows_of_one_name_keep_their_order() {
    // F07, V12
    let mut world = World::new();
    let rows = "X-A: 1\nx-a: 2\nVia: SIP/2.0/UDP second;branch=z9hG4bK2\nX-A: 3\nv: SIP/2.0/UDP third\n";
    let got = world.forward(Side::Client, &from_phone("INFO", "sip:200@acme", rows)).unwrap();
    assert!(got.contains(rows), "{got}");
}
