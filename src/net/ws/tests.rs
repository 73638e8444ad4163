//! W02, W04, W10 and PROTOCOLS 3.3.13 on the codec itself.

use super::frame::unmask;
use super::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What came of a stream of frames.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    Message(bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
    Fault(Fault),
}

/// A client's frame with this first byte.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        long @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((long as u16).to_be_bytes());
        }
        longer => {
            bytes.push(0x80 | 127);
            bytes.extend((longer as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    let start = bytes.len();
    bytes.extend(payload);
    unmask(&mut bytes[start..], MASK, 0);
    bytes
}

/// Feeds a stream in pieces of `step` bytes.
pub(super) fn read(limit: usize, stream: &[u8], step: usize) -> Vec<Seen> {
    let (mut reader, mut seen) = (Reader::new(limit), Vec::new());
    for piece in stream.chunks(step.max(1)) {
        let mut piece = piece.to_vec();
        let mut at = 0;
        loop {
            match reader.next(&mut piece[at..]) {
                Ok((used, event)) => {
                    at += used;
                    match event {
                        None => {
                            assert_eq!(at, piece.len(), "all is taken where nothing happened");
                            break;
                        }
                        Some(Event::Message { text, bytes }) => seen.push(Seen::Message(text, bytes.to_vec())),
                        Some(Event::Ping(payload)) => seen.push(Seen::Ping(payload.to_vec())),
                        Some(Event::Pong) => seen.push(Seen::Pong),
                        Some(Event::Close(code)) => {
                            seen.push(Seen::Close(code));
                            return seen;
                        }
                    }
                }
                Err(fault) => {
                    seen.push(Seen::Fault(fault));
                    return seen;
                }
            }
        }
    }
    seen
}

fn steps(stream: &[u8]) -> [usize; 6] {
    [1, 2, 3, 7, 64, stream.len()]
}

fn text(bytes: &str) -> Seen {
    Seen::Message(true, bytes.as_bytes().to_vec())
}

#[test]
fn messages_come_whole_however_they_are_cut() {
    // W02 W04
    let long = "ä".repeat(300);
    let stream = [
        frame(0x81, b"one"),
        frame(0x81, b"fives"),
        frame(0x82, &[0xff, 0, 0xfe]),
        frame(0x89, b"are you there"),
        frame(0x01, b"in "),
        frame(0x00, b""),
        frame(0x8a, b"unasked"),
        frame(0x89, b""),
        frame(0x80, b"pieces"),
        frame(0x81, long.as_bytes()),
        frame(0x81, b""),
        frame(0x88, &[0x03, 0xe8, b'b', b'y', b'e']),
        frame(0x81, b"after the end"),
    ]
    .concat();
    let expected = [
        text("one"),
        text("fives"),
        Seen::Message(false, vec![0xff, 0, 0xfe]),
        Seen::Ping(b"are you there".to_vec()),
        Seen::Pong,
        Seen::Ping(Vec::new()),
        text("in pieces"),
        text(&long),
        text(""),
        Seen::Close(Some(1000)),
    ];
    for step in steps(&stream) {
        assert_eq!(read(1000, &stream, step), expected, "by {step}");
    }
}

#[test]
fn what_is_against_the_rules_ends_it() {
    // W04 W10
    let mut unmasked = frame(0x81, b"x");
    unmasked[1] &= 0x7f;
    let mut long_ping = frame(0x89, &[0; 126]);
    long_ping.truncate(20);
    let mut wasteful = vec![0x82, 0x80 | 126, 0, 5];
    wasteful.extend([0; 9]);
    let endless = [&[0x82, 0x80 | 127][..], &[0xff; 8], &[0; 4]].concat();
    for (name, stream) in [
        ("unmasked", unmasked),
        ("deflated", frame(0xc1, b"x")),
        ("second reserved bit", frame(0xa1, b"x")),
        ("third reserved bit", frame(0x91, b"x")),
        ("opcode 3", frame(0x83, b"")),
        ("opcode 11", frame(0x8b, b"")),
        ("a ping in pieces", frame(0x09, b"")),
        ("a close in pieces", frame(0x08, b"")),
        ("a ping of 126 bytes", long_ping),
        ("more of nothing", frame(0x80, b"x")),
        ("a message in a message", [frame(0x01, b"x"), frame(0x81, b"y")].concat()),
        ("a length longer written than need be", wasteful),
        ("a length with the highest bit", endless),
        ("half a status", frame(0x88, &[3])),
    ] {
        for step in steps(&stream) {
            assert_eq!(read(1000, &stream, step).last(), Some(&Seen::Fault(Fault::Protocol)), "{name} by {step}");
        }
    }
    assert_eq!(Close::Fault(Fault::Protocol).code(), Some(1002));
}

#[test]
fn text_that_is_no_utf_8_is_refused_as_soon_as_it_shows() {
    // W02
    for bad in [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abc\xe2\x28\xa1", b"\xc3"] {
        let whole = frame(0x81, bad);
        for step in steps(&whole) {
            assert_eq!(read(100, &whole, step), [Seen::Fault(Fault::Text)], "{bad:?} by {step}");
        }
        assert_eq!(read(100, &frame(0x82, bad), 1), [Seen::Message(false, bad.to_vec())], "as binary it may be");
    }
    // The first byte that cannot be is enough, in the middle of a frame of a message.
    let begun = [frame(0x01, b"\xce"), frame(0x00, b"\xba\xf4\x90 and more")].concat();
    assert_eq!(read(100, &begun[..begun.len() - 9], 1), [Seen::Fault(Fault::Text)]);
    // A character may lie across two frames, with a ping between its halves.
    let split = [frame(0x01, b"\xce"), frame(0x89, b"?"), frame(0x80, b"\xba")].concat();
    assert_eq!(read(100, &split, 1), [Seen::Ping(b"?".to_vec()), text("κ")]);
    assert_eq!(Close::Fault(Fault::Text).code(), Some(1007));
}

#[test]
fn a_message_is_bounded_before_it_is_there() {
    // W04 DESIGN 10, PROTOCOLS 3.3.13: a frame of 16 MB, and pieces that add up.
    let head = &frame(0x82, &vec![0; 1 << 24])[..14];
    assert_eq!(read(65_535, head, 1), [Seen::Fault(Fault::TooBig)]);
    let pieces: Vec<u8> = (0..100).flat_map(|n| frame(if n == 0 { 0x02 } else { 0x00 }, &[7; 655])).collect();
    let whole = [pieces.clone(), frame(0x80, &[7; 35])].concat();
    assert_eq!(read(65_535, &whole, 1000), [Seen::Message(false, vec![7; 65_535])]);
    assert_eq!(read(65_535, &[pieces, frame(0x80, &[7; 36])].concat(), 1000), [Seen::Fault(Fault::TooBig)]);
    assert_eq!(Close::Fault(Fault::TooBig).code(), Some(1009));
}

#[test]
fn a_close_says_what_it_may() {
    // W04, PROTOCOLS 3.3.13: close without a code.
    let close = |payload: &[u8]| read(100, &frame(0x88, payload), 1).pop();
    assert_eq!(close(&[]), Some(Seen::Close(None)));
    for good in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999_u16] {
        assert_eq!(close(&good.to_be_bytes()), Some(Seen::Close(Some(good))));
    }
    for bad in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535_u16] {
        assert_eq!(close(&bad.to_be_bytes()), Some(Seen::Fault(Fault::Protocol)), "{bad}");
    }
    assert_eq!(close(b"\x03\xe8\xff"), Some(Seen::Fault(Fault::Text)));
}

#[test]
fn our_frames_are_whole_and_bare() {
    // W02 W04
    let lead = |message: &[u8]| Lead::of(message).bytes().to_vec();
    assert_eq!(lead(b"SIP"), [0x81, 3]);
    assert_eq!(lead(&[0xff; 126]), [0x82, 126, 0, 126]);
    assert_eq!(lead(&[b'x'; 65_535]), [0x81, 126, 0xff, 0xff]);
    assert_eq!(lead(&[b'x'; 65_536]), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    let (bytes, length) = Close::Leaving.frame();
    assert_eq!(bytes[..length], [0x88, 2, 0x03, 0xe9]);
    let (bytes, length) = Close::Answer(None).frame();
    assert_eq!(bytes[..length], [0x88, 0]);
    assert_eq!(Close::Answer(Some(4000)).code(), Some(4000));
}

#[test]
fn a_waiting_reader_knows_that_it_waits() {
    let mut reader = Reader::new(100);
    assert!(!reader.is_partial());
    for (bytes, waits) in [(&frame(0x01, b"a")[..], true), (&frame(0x89, b""), true), (&frame(0x80, b"b"), false)] {
        let mut bytes = bytes.to_vec();
        let length = bytes.len();
        let used = reader.next(&mut bytes).unwrap().0;
        assert_eq!(used, length);
        assert_eq!(reader.is_partial(), waits);
    }
    let _ = reader.next(&mut [0x81]).unwrap();
    assert!(reader.is_partial(), "a byte of a head");
}

#[test]
fn masks_begin_anywhere() {
    for length in 0..40 {
        for phase in 0..4 {
            let plain: Vec<u8> = (0..length).collect();
            let mut fast = plain.clone();
            unmask(&mut fast, MASK, phase);
            let slow: Vec<u8> = plain.iter().enumerate().map(|(n, b)| b ^ MASK[(n + phase) % 4]).collect();
            assert_eq!(fast, slow);
        }
    }
}

#[test]
fn a_sip_message_is_told_from_a_keep_alive() {
    // W03 W08
    use super::sip::{Content, content};
    assert_eq!(content(b"\r\n\r\n"), Content::Ping);
    for blank in [&b""[..], b"\r\n", b"\n", b"\r\n\r\n\r\n"] {
        assert_eq!(content(blank), Content::Blank);
    }
    assert_eq!(content(b"\r\nBYE x"), Content::Message(b"BYE x"));
    assert_eq!(content(b"\0"), Content::Message(b"\0"));
}
