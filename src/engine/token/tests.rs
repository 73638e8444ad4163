use super::*;
use crate::ids::ProxyId;
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;
const DEVICE: crate::ids::DeviceId = crate::ids::DeviceId(0x0123_4567_89ab_cdef);

fn ring() -> Keyring {
    Keyring::default().rotated(NOW, [7; 32])
}

fn seal(ring: &Keyring, token: &Token<'_>, now: u64) -> Vec<u8> {
    let mut out = Vec::new();
    ring.seal(token, now, &mut out).unwrap();
    out
}

fn phone() -> FlowRef {
    FlowRef::Udp {
        listener: ListenerId { proxy: ProxyId(1), number: 2 },
        local: None,
        peer: "203.0.113.77:49152".parse().unwrap(),
        device: Some(DEVICE),
    }
}

fn to_client() -> Token<'static> {
    Token::ToClient { instance: InstanceId(42), flow: phone() }
}

fn to_backend() -> Token<'static> {
    Token::ToBackend {
        instance: InstanceId(42),
        backend: BackendId(1),
        address: "10.1.2.3:5060".parse().unwrap(),
        transport: Transport::Udp,
    }
}

#[test]
fn says_what_was_sealed() {
    // P04
    let listener = ListenerId { proxy: ProxyId(700), number: 255 };
    let v6 = "[2001:db8::1]:5061".parse().unwrap();
    let local = Some("2001:db8::2".parse().unwrap());
    let conn = ConnId::new(0xab_cdef, crate::ids::Shard(3), u32::MAX);
    let tokens = [
        to_client(),
        to_backend(),
        Token::ToClient {
            instance: InstanceId(u32::MAX),
            flow: FlowRef::Udp { listener, local, peer: v6, device: None },
        },
        Token::ToClient {
            instance: InstanceId(0),
            flow: FlowRef::Stream { listener, local, transport: Transport::Wss, conn, device: Some(DEVICE) },
        },
        Token::ToClient {
            instance: InstanceId(128),
            flow: FlowRef::Stream { listener, local: None, transport: Transport::Tcp, conn, device: None },
        },
        Token::ToBackend {
            instance: InstanceId(1),
            backend: BackendId(u16::MAX),
            address: v6,
            transport: Transport::Tls,
        },
        Token::Contact { instance: InstanceId(3), flow: phone(), uri: b"sip:100@192.168.1.5:5060;ob" },
        Token::Mask { instance: InstanceId(3), text: b"sip:10.0.0.9;lr;x=\xff" },
    ];
    let mut scratch = Vec::new();
    for token in tokens {
        let text = seal(&ring(), &token, NOW);
        assert!(is_plausible(&text));
        assert_eq!(ring().open(&text, NOW, &mut scratch), Ok(token));
    }
}

#[test]
fn stays_short() {
    // F18
    assert!(seal(&ring(), &to_client(), NOW).len() <= 54);
    assert!(seal(&ring(), &to_backend(), NOW).len() <= 40);
    let FlowRef::Udp { listener, peer, device, .. } = phone() else { unreachable!() };
    let flow = FlowRef::Udp { listener, local: Some("198.51.100.1".parse().unwrap()), peer, device };
    let roaming = Token::ToClient { instance: InstanceId(70_000), flow };
    assert!(seal(&ring(), &roaming, NOW).len() <= 61);
}

#[test]
fn refuses_every_flipped_bit() {
    // P04
    let mut scratch = Vec::new();
    for token in [to_client(), to_backend(), Token::Mask { instance: InstanceId(3), text: b"sip:10.0.0.9;lr" }] {
        let text = seal(&ring(), &token, NOW);
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bad = text.clone();
                bad[at] ^= 1 << bit;
                assert!(ring().open(&bad, NOW, &mut scratch).is_err(), "byte {at} bit {bit}");
            }
        }
    }
}

#[test]
fn refuses_the_truncated_and_the_lengthened() {
    // F03
    let text = seal(&ring(), &to_client(), NOW);
    let mut scratch = Vec::new();
    for len in 0..text.len() {
        assert!(ring().open(&text[..len], NOW, &mut scratch).is_err(), "{len}");
    }
    for tail in [&b"A"[..], b"AA", b"AAA", b"AAAA", b"=", b"=="] {
        let long = [&text[..], tail].concat();
        assert!(ring().open(&long, NOW, &mut scratch).is_err());
    }
}

#[test]
fn lives_as_long_as_it_should() {
    // F03: a dialog of four weeks works, a token of five is refused.
    let text = seal(&ring(), &to_client(), NOW);
    let mut scratch = Vec::new();
    let mut open = |at: u64| ring().open(&text, at, &mut scratch).map(|t| t.instance());
    let end = NOW + 29 * DAY;
    assert_eq!(open(end - 1), Ok(InstanceId(42)));
    assert_eq!(open(end), Err(OpenError::Expired));
    assert_eq!(open(end + 1), Err(OpenError::Expired));
}

#[test]
fn lives_no_longer_than_its_key() {
    // P04
    let contact = Token::Contact { instance: InstanceId(3), flow: phone(), uri: b"sip:100@192.168.1.5" };
    let ring = ring();
    let text = seal(&ring, &contact, NOW);
    let end = ring.keys()[0].not_after;
    let mut scratch = Vec::new();
    assert!(ring.open(&text, end - 1, &mut scratch).is_ok());
    assert_eq!(ring.open(&text, end, &mut scratch), Err(OpenError::Expired));
}

#[test]
fn writes_the_same_text_within_a_day_and_contacts_within_a_key() {
    let day = |token: &Token<'_>, after: u64| seal(&ring(), token, NOW + after);
    assert_eq!(day(&to_client(), 0), day(&to_client(), DAY - 1));
    assert_ne!(day(&to_client(), 0), day(&to_client(), DAY));
    let contact = Token::Contact { instance: InstanceId(3), flow: phone(), uri: b"sip:100@192.168.1.5" };
    assert_eq!(day(&contact, 0), day(&contact, ROTATION));
}

#[test]
fn rotation_keeps_old_tokens_and_retires_old_keys() {
    // P04
    let mut ring = ring();
    let text = seal(&ring, &to_client(), NOW);
    let mut scratch = Vec::new();
    assert!(!ring.is_due(NOW + ROTATION - 1));
    assert!(ring.is_due(NOW + ROTATION));
    let mut now = NOW;
    for week in 1..=60u8 {
        now += ROTATION;
        assert!(ring.is_due(now));
        ring = ring.rotated(now, [week; 32]);
        assert!(!ring.is_due(now));
        assert_eq!(ring.open(&text, now, &mut scratch).is_ok(), week <= 4, "week {week}");
        assert!(ring.keys().len() <= 7);
        assert_ne!(seal(&ring, &to_client(), now), text);
    }
    assert_eq!(ring.open(&text, now, &mut scratch), Err(OpenError::UnknownKey));
}

#[test]
fn a_late_rotation_does_not_orphan_what_was_sealed_last() {
    let late = NOW + 5 * ROTATION;
    let text = seal(&ring(), &to_client(), late);
    let ring = ring().rotated(late, [8; 32]);
    assert!(ring.open(&text, late + 28 * DAY, &mut Vec::new()).is_ok());
}

#[test]
fn a_clock_set_back_still_seals() {
    let ring = ring();
    let text = seal(&ring, &to_client(), NOW - 10 * DAY);
    assert!(ring.open(&text, NOW - 10 * DAY, &mut Vec::new()).is_ok());
    let turned = ring.rotated(NOW - 10 * DAY, [9; 32]);
    assert!(turned.open(&text, NOW - 10 * DAY, &mut Vec::new()).is_ok());
    assert_eq!(turned.keys()[0].secret, [9; 32]);
}

#[test]
fn a_key_from_a_node_ahead_of_time_opens_and_does_not_seal_yet() {
    // P04
    let ahead = ring().rotated(NOW + 60, [8; 32]);
    let text = seal(&ahead, &to_client(), NOW + 60);
    assert!(ahead.open(&text, NOW, &mut Vec::new()).is_ok());
    assert_eq!(seal(&ahead, &to_client(), NOW + 59), seal(&ring(), &to_client(), NOW + 59));
    assert_ne!(text, seal(&ring(), &to_client(), NOW + 60));
}

#[test]
fn reads_no_payload_of_another_shape() {
    // A later version may write one, with the same keys.
    let mut bytes = Vec::new();
    payload::write(&to_backend(), 1, &mut bytes);
    assert!(payload::read(&bytes).is_some());
    type Change = fn(&mut Vec<u8>);
    let changes: [Change; 4] = [|b| b[0] |= 0x80, |b| b[0] |= 0x1c, |b| b.push(0), |b| b.truncate(9)];
    for change in changes {
        let mut other = bytes.clone();
        change(&mut other);
        assert_eq!(payload::read(&other), None);
    }
    // A number of more than 32 bits, and one of more than five bytes.
    for number in [&[0xff, 0xff, 0xff, 0xff, 0x1f][..], &[0x80, 0x80, 0x80, 0x80, 0x80, 0]] {
        assert_eq!(payload::read(&[&[3, 1], number, b"text"].concat()), None);
    }
}

#[test]
fn survives_a_restart_through_the_key_file() {
    // P04, R75
    let before = ring().rotated(NOW + 1, [8; 32]);
    let text = seal(&before, &to_backend(), NOW + 1);
    let file = serde_json::to_string(before.keys()).unwrap();
    let after = Keyring::new(serde_json::from_str(&file).unwrap());
    assert_eq!(after, before);
    assert_eq!(after.open(&text, NOW + 2, &mut Vec::new()), Ok(to_backend()));
    assert!(!format!("{after:?}").contains("secret"));
}

#[test]
fn a_foreign_ring_neither_opens_nor_lets_seal() {
    // F03
    let text = seal(&ring(), &to_client(), NOW);
    let stranger = Keyring::default().rotated(NOW, [1; 32]);
    let mut scratch = Vec::new();
    assert_eq!(stranger.open(&text, NOW, &mut scratch), Err(OpenError::Forged));
    assert_eq!(Keyring::default().open(&text, NOW, &mut scratch), Err(OpenError::UnknownKey));
    assert_eq!(Keyring::default().seal(&to_client(), NOW, &mut scratch), Err(SealError::NoKey));
}

#[test]
fn bounds_what_it_hides() {
    let mut out = b"before".to_vec();
    let long = vec![b'x'; MAX_TEXT + 1];
    let mask = |text| Token::Mask { instance: InstanceId(1), text };
    assert_eq!(ring().seal(&mask(&long), NOW, &mut out), Err(SealError::TooLong));
    assert_eq!(out, b"before");
    ring().seal(&mask(&long[1..]), NOW, &mut out).unwrap();
    assert_eq!(ring().open(&out[6..], NOW, &mut Vec::new()), Ok(mask(&long[1..])));
}

#[test]
fn knows_its_flow_again() {
    // P05
    let listener = ListenerId { proxy: ProxyId(1), number: 2 };
    let peer = "203.0.113.77:49152".parse().unwrap();
    let flow = Flow::Udp { listener, local: "198.51.100.1:5060".parse().unwrap(), peer };
    let known = FlowRef::from(&flow);
    assert!(known.is(&flow) && known.without_local().is(&flow));
    assert_eq!(known.flow().local(), "198.51.100.1:0".parse().unwrap());
    let moved = Flow::Udp { listener, local: flow.local(), peer: "203.0.113.77:49153".parse().unwrap() };
    assert!(!known.is(&moved));
    let conn = |n| Flow::Stream { listener, conn: ConnId(n), transport: Transport::Tcp, local: flow.local(), peer };
    assert!(FlowRef::from(&conn(5)).is(&conn(5)));
    assert!(!FlowRef::from(&conn(5)).is(&conn(6)));
    assert!(!FlowRef::from(&conn(5)).is(&flow));
}

proptest! {
    #[test]
    fn opens_nothing_it_did_not_seal(text in proptest::collection::vec(any::<u8>(), 0..120)) {
        prop_assert!(ring().open(&text, NOW, &mut Vec::new()).is_err());
    }

    #[test]
    fn hides_any_text(text in proptest::collection::vec(any::<u8>(), 5..300)) {
        let token = Token::Mask { instance: InstanceId(9), text: &text };
        let sealed = seal(&ring(), &token, NOW);
        let mut scratch = Vec::new();
        prop_assert_eq!(ring().open(&sealed, NOW, &mut scratch), Ok(token));
    }
}

#[test]
fn what_was_opened_before_is_judged_as_anew() {
    // P04
    let old = ring();
    let mut recent = Recent::default();
    for token in [to_client(), to_backend(), Token::Mask { instance: InstanceId(7), text: &[b'x'; 200] }] {
        let text = seal(&old, &token, NOW);
        for _ in 0..2 {
            assert_eq!(recent.open(&old, &text, NOW), Some(Ok(token)));
        }
        // Whatever is at the place of a known one.
        for at in 0..text.len() {
            let mut forged = text.clone();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert!(recent.open(&old, &forged, NOW).is_some_and(|opened| opened.is_err()), "{at}");
        }
        assert!(recent.open(&old, &text[..text.len() - 1], NOW).is_some_and(|opened| opened.is_err()));
        let rotated = old.rotated(NOW + ROTATION, [9; 32]);
        assert_eq!(recent.open(&rotated, &text, NOW), Some(Ok(token)));
        let other = Keyring::default().rotated(NOW, [8; 32]);
        assert_eq!(recent.open(&other, &text, NOW), Some(Err(OpenError::Forged)));
        assert_eq!(recent.open(&old, &text, NOW), Some(Ok(token)));
        assert_eq!(recent.open(&old, &text, NOW + 40 * DAY), Some(Err(OpenError::Expired)));
    }
    for other in [&b"alice"[..], &[b'.'; 60]] {
        assert_eq!(recent.open(&old, other, NOW), None);
    }
}

#[test]
fn what_was_sealed_before_is_judged_as_anew() {
    // P04
    let ring = ring();
    for token in [to_client(), to_backend()] {
        let (mut recent, mut text) = (Recent::default(), b"sip:".to_vec());
        recent.seal(&ring, &token, NOW, &mut text).unwrap();
        let text = text.strip_prefix(b"sip:").unwrap();
        assert_eq!(text, seal(&ring, &token, NOW));
        for days in 0..40 {
            let anew = Recent::default().open(&ring, text, NOW + days * DAY).unwrap().is_ok();
            assert_eq!(
                recent.open(&ring, text, NOW + days * DAY),
                Some(Ok(token)).filter(|_| anew).or(Some(Err(OpenError::Expired)))
            );
        }
        let other = Keyring::default().rotated(NOW, [8; 32]);
        assert_eq!(recent.open(&other, text, NOW), Some(Err(OpenError::Forged)));
    }
}
