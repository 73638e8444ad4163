//! PROTOCOLS 3.3, as far as it is about messages: each of them was a real bug somewhere.

use super::Fate::{self, Drop, Pass, Refuse};
use super::client::{number, ordinary, over_udp};
use super::pbx::Pbx;
use super::{EVERY, INSTANCE, World};
use crate::support::wire::Over;
use nantucket::sip::limits::Limits;
use nantucket::sip::view::{Index, View};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

/// A request of its own, with `rows` in front of the usual ones and `body`.
fn request(method: &str, uri: &str, rows: &str, body: &str) -> Vec<u8> {
    let n = number();
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP client.invalid;branch=z9hG4bKodd{n}\r\n{rows}From: <sip:a@{INSTANCE}>;tag=1\r\n\
         To: <sip:b@{INSTANCE}>\r\nCall-ID: odd-{n}\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn message(rows: &str) -> Vec<u8> {
    request("MESSAGE", &format!("sip:b@{INSTANCE}"), rows, "")
}

/// A message with a piece of it replaced.
fn altered(piece: &str, other: &str) -> Vec<u8> {
    let whole = message("");
    let at = memchr::memmem::find(&whole, piece.as_bytes()).unwrap_or_else(|| panic!("no {piece:?}"));
    [&whole[..at], other.as_bytes(), &whole[at + piece.len()..]].concat()
}

fn both(world: &World, what: &str, bytes: &[u8], fate: Fate) {
    for over in EVERY {
        world.check(what, &super::unique(bytes), over, fate);
    }
}

// V13 V14, 3.3.1 3.3.2 3.3.3
#[test]
fn smuggled_headers() {
    let world = World::new("udp");
    let to = format!("To: <sip:b@{INSTANCE}>\r\n");
    for first in ["To\u{1}:", "To :", "To\t:", "to:", "t:", "T\t :", "To\u{b}:"] {
        let smuggled = format!("{first} <sip:evil@{INSTANCE}>\r\n{to}");
        both(&world, &format!("{first:?} before To"), &altered(&to, &smuggled), Refuse(400));
    }
    both(&world, "To with blanks", &altered("To:", "To \t :"), Pass);
    both(
        &world,
        "Via order",
        &message("v: SIP/2.0/TCP one.invalid;x\r\nVia: SIP/2.0/UDP two.invalid,\r\n SIP/2.0/WS three.invalid\r\n"),
        Pass,
    );
    for display in ["\"a\r\nX: b\"", "a\nX: b", "a\rX: b", "\"a\\\r\nX: b\""] {
        both(&world, &format!("{display:?}"), &altered("From: ", &format!("From: {display} ")), Refuse(400));
    }
    both(&world, "escaped CRLF", &altered("sip:b@", "sip:b%0d%0aX-Evil:%20y@"), Pass);
    both(&world, "escaped NUL", &altered("sip:b@", "sip:b%00c@"), Pass);
    both(&world, "no colon", &message("X-Broken\r\n"), Refuse(400));
}

// V09 V10, 3.3.4
#[test]
fn content_lengths() {
    let world = World::new("udp");
    for length in ["+0", "0 0", "0x0", "0,0", "18446744073709551616", "-0", "", "0;x"] {
        let bytes = altered("Content-Length: 0", &format!("Content-Length: {length}"));
        world.check(length, &bytes, None, Refuse(400));
        let bytes = super::unique(&bytes);
        let heard = world.tcp(&bytes);
        world.check_fate(length, &bytes, &heard, Refuse(400));
        assert!(heard.closed, "{length}: not closed");
    }
    for two in ["l: 0\r\n", "Content-Length: 0\r\n", "CONTENT-LENGTH : 5\r\n"] {
        let bytes = message(two);
        world.check(two, &bytes, None, Refuse(400));
        let heard = world.tcp(&super::unique(&bytes));
        assert_eq!((heard.statuses(), heard.closed), (vec![400], true), "{two}");
    }
}

// V09 V11, 3.3.5: the PBX sees exactly one request.
#[test]
fn hidden_requests() {
    for backend in ["udp", "tcp"] {
        let world = World::new(backend);
        let hidden = String::from_utf8(message("X-Hidden: yes\r\n")).unwrap();
        both(&world, "a request as a body", &request("MESSAGE", &format!("sip:b@{INSTANCE}"), "", &hidden), Pass);
        let behind = [message(""), hidden.clone().into_bytes()].concat();
        world.check("a request behind a datagram's body", &behind, None, Pass);
        let heard = world.tcp(&[message(""), hidden.into_bytes(), b"\r\n\r\n\r\n".to_vec(), message("")].concat());
        assert_eq!(heard.statuses(), [200, 200, 200], "three requests in one segment");
        assert_eq!(world.at_pbx().len(), 3);
        world.check("a short body", &altered("Content-Length: 0", "Content-Length: 1"), None, Refuse(400));
    }
}

// V16, DESIGN 10, 3.3.6
#[test]
fn large_and_many() {
    let world = World::new("udp");
    let many = |piece: &str, count: usize| piece.repeat(count);
    let digest = format!("Authorization: Digest a=b{}\r\n", many(",c=d", 10_000));
    both(&world, "a digest of 10,000 parameters", &message(&digest), Refuse(513));
    let vias = message(&many("v: SIP/2.0/UDP h\r\n", 1_000));
    world.check("1,000 Via", &vias, None, Refuse(513));
    // Its Content-Length is behind the rows that are read.
    let heard = world.tcp(&super::unique(&vias));
    assert_eq!((heard.statuses(), heard.closed), (vec![513], true), "1,000 Via on a stream");
    both(&world, "200 Via", &message(&many("v: SIP/2.0/UDP h\r\n", 200)), Refuse(400));
    both(&world, "100 Via", &message(&many("v: SIP/2.0/UDP h\r\n", 100)), Pass);
    both(
        &world,
        "500 Record-Route",
        &message(&format!("Record-Route: <sip:a>{}\r\n", many(",<sip:a>", 499))),
        Refuse(400),
    );
    both(&world, "300 Contact", &message(&format!("Contact: <sip:a>{}\r\n", many(",<sip:a>", 299))), Refuse(400));
    both(&world, "a long Request-URI", &altered("sip:b@", &format!("sip:{}@", many("b", 3_000))), Refuse(414));
    let huge = message(&format!("X-Huge: {}\r\n", many("x", 60_000)));
    world.check("a header of 60 kB", &huge, None, Refuse(513));
    let heard = world.tcp(&huge);
    assert!(heard.closed, "a head of 60 kB on a stream");
    assert!(world.at_pbx().is_empty());
    let with_body = |size| request("MESSAGE", &format!("sip:b@{INSTANCE}"), "", &many("x", size));
    both(&world, "a body of 60 kB", &with_body(60_000), Pass);
    let larger = with_body(65_536);
    let heard = world.tcp(&larger);
    world.check_fate("a body of 64 kB", &larger, &heard, Refuse(513));
    assert!(heard.closed, "what is not read cannot be framed");
}

// X03 X04 F05, 3.3.7
#[test]
fn vias_that_point_elsewhere() {
    let world = World::new("udp");
    let own = world.node.ip();
    let inside = format!("{}:5060", world.net.ip(11));
    for via in [
        format!("SIP/2.0/UDP {own};branch=z9hG4bKself"),
        format!("SIP/2.0/UDP client.invalid;received={own};branch=z9hG4bKrec"),
        "SIP/2.0/UDP client.invalid;rport=99999;branch=z9hG4bKrport".to_owned(),
        format!("SIP/2.0/UDP client.invalid;maddr={};ttl=255;branch=z9hG4bKmaddr", world.net.ip(11)),
        format!("SIP/2.0/UDP {own}:5060, SIP/2.0/UDP {inside};branch=z9hG4bKtwo"),
    ] {
        let bytes = memchr::memmem::find(&message(""), b"SIP/2.0/UDP client")
            .map(|_| altered("SIP/2.0/UDP client.invalid", &format!("{via};x=")));
        both(&world, &via, &bytes.unwrap(), Pass);
    }
}

// F03 F04 R9 R10, 3.3.8
#[test]
fn routes_that_are_not_ours_to_follow() {
    let world = World::new("udp");
    let other = Pbx::start(world.net.ip(12));
    world.node.add_instance("other", &other.address, "udp");
    let own = world.node.ip();
    for (route, status) in [
        ("<sip:127.0.0.1;lr>".to_owned(), 403),
        (format!("<sip:{};lr>", other.address), 403),
        ("<sip:other;lr>".to_owned(), 403),
        (format!("<sip:{};lr>", "A".repeat(45)), 403),
        (format!("<sip:{}@{own};lr>", "A".repeat(45)), 403),
        (format!("<sip:AAAA@{own};lr>"), 403),
        (format!("<sip:{own};lr>,<sip:127.0.0.1;lr>"), 403),
    ] {
        both(&world, &route, &message(&format!("Route: {route}\r\n")), Refuse(status));
    }
    both(&world, "an outbound proxy", &message(&format!("Route: <sip:{own};lr>\r\n")), Pass);

    // A genuine one, as the PBX got it: outside on top of the pair.
    let invite =
        request("INVITE", &format!("sip:b@{INSTANCE}"), &format!("Contact: <sip:a@{}>\r\n", world.net.ip(20)), "");
    world.udp(&invite);
    let got = world.at_pbx().pop().unwrap();
    let mut index = Index::new();
    let view = View::read(&got, &mut index, &Limits::DEFAULT).unwrap();
    let entries: Vec<_> =
        view.record_routes().map(|entry| String::from_utf8(entry.unwrap().text().to_vec()).unwrap()).collect();
    assert_eq!(entries.len(), 2, "F10: one for each side");
    // The client's end is told last; its route set is the Record-Route of the answer, reversed.
    let (outside, inside) = match entries[0].contains("5070") {
        true => (entries[1].clone(), entries[0].clone()),
        false => (entries[0].clone(), entries[1].clone()),
    };
    let pair = format!("Route: {outside},{inside}\r\n");
    both(&world, "a genuine pair", &message(&pair), Pass);
    both(&world, "a genuine pair and ob", &message(&pair.replace(";lr", ";lr;ob")), Pass);
    both(&world, "a genuine one at another host", &message(&pair.replace(&own.to_string(), "192.0.2.1")), Pass);
    let elsewhere = |method: &str| request(method, "sip:b@other", &pair, "");
    for method in ["BYE", "MESSAGE", "INVITE"] {
        both(&world, "a token of one instance, a Request-URI of another", &elsewhere(method), Refuse(403));
    }
    let token = outside.split(['<', ':', '@']).nth(2).unwrap().to_owned();
    assert!(token.len() > 20, "{outside}");
    for at in [0, token.len() / 2, token.len() - 2] {
        let mut forged = token.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = outside.replace(&token, std::str::from_utf8(&forged).unwrap());
        both(&world, "a forged token", &message(&format!("Route: {forged}\r\n")), Refuse(403));
    }
    let short = outside.replace(&token, &token[..token.len() - 4]);
    both(&world, "a truncated token", &message(&format!("Route: {short}\r\n")), Refuse(403));
    assert!(other.drain().is_empty(), "nothing ever reached the other instance");
}

// R4 R9 R10, 3.3.9 3.3.10
#[test]
fn names() {
    let world = World::new("udp");
    let other = Pbx::start(world.net.ip(12));
    world.node.add_instance("other", &other.address, "udp");
    let register = |uri: &str, to: &str, from: &str| {
        let bytes = request("REGISTER", &format!("sip:{uri}"), "Contact: <sip:b@192.0.2.1>\r\n", "");
        let text = String::from_utf8(bytes).unwrap();
        let text = text.replace(&format!("<sip:b@{INSTANCE}>"), &format!("<sip:b@{to}>"));
        text.replace(&format!("<sip:a@{INSTANCE}>"), &format!("<sip:b@{from}>")).into_bytes()
    };
    both(&world, "all agree", &register(INSTANCE, INSTANCE, INSTANCE), Pass);
    both(&world, "alias", &register(INSTANCE, "example.com", "torture.pbx.test"), Pass);
    both(&world, "To of another", &register(INSTANCE, "other", INSTANCE), Refuse(403));
    both(&world, "From of another", &register(INSTANCE, INSTANCE, "other"), Refuse(403));
    both(&world, "Request-URI of another", &register("other", INSTANCE, INSTANCE), Refuse(403));
    both(&world, "three names", &register(INSTANCE, "other", "nobody.invalid"), Refuse(403));
    both(&world, "From of another in a call", &altered("a@torture", "a@other"), Refuse(403));
    for good in ["TORTURE", "Torture.PBX.test", "torture.", "torture.pbx.test.", "torture:5070", "eXample.com:5060"] {
        both(&world, good, &request("MESSAGE", &format!("sip:b@{good}"), "", ""), Pass);
    }
    let long = |n: usize| "x".repeat(n);
    for (bad, status) in [
        ("tortur", 404),
        ("torture.example", 404),
        ("xn--trture-bua", 404),
        ("-torture", 404),
        ("torture..pbx.test", 404),
        (&long(63), 404),
        (&long(64), 404),
        (&format!("{}.pbx.test", long(300)), 404),
        ("t\u{f6}rture", 400),
        ("torture%00", 400),
        ("torture pbx", 400),
    ] {
        both(&world, bad, &request("MESSAGE", &format!("sip:b@{bad}"), "", ""), Refuse(status));
    }
    assert!(other.drain().is_empty());
}

// P10 P15, 3.3.11
#[test]
fn contacts_of_a_register() {
    let world = World::new("udp");
    let register = |rows: &str| request("REGISTER", &format!("sip:{INSTANCE}"), rows, "");
    for (rows, fate) in [
        ("", Pass),
        ("Contact: *\r\nExpires: 0\r\n", Pass),
        ("Contact: *\r\n", Refuse(400)),
        ("Contact: *\r\nExpires: 60\r\n", Refuse(400)),
        ("Contact: *,<sip:b@192.0.2.1>\r\nExpires: 0\r\n", Refuse(400)),
        ("Contact: <sip:b@192.0.2.1>;expires=4294967296\r\n", Pass),
        ("Contact: <sip:b@192.0.2.1>;expires=-1\r\n", Pass),
        ("Contact: <sip:b@192.0.2.1>;q=2\r\n", Pass),
        (
            "Contact: <sip:b@192.0.2.1>;+sip.instance=\"<urn:uuid:1>\";reg-id=1,<sip:b@192.0.2.2>;+sip.instance=\"<urn:uuid:1>\";reg-id=2\r\n",
            Pass,
        ),
    ] {
        both(&world, rows, &register(rows), fate);
    }
    both(&world, "20 contacts", &register(&format!("Contact: <sip:b@h>{}\r\n", ",<sip:b@h>".repeat(19))), Pass);
}

// C02 T05, 3.3.12
#[test]
fn cancels_and_acks_of_nothing() {
    let world = World::new("udp");
    both(&world, "CANCEL", &request("CANCEL", &format!("sip:b@{INSTANCE}"), "", ""), Refuse(481));
    both(&world, "PRACK", &request("PRACK", &format!("sip:b@{INSTANCE}"), "", ""), Pass);
    both(&world, "an ACK for nobody", &request("ACK", "sip:b@nobody.invalid", "", ""), Drop);
    both(&world, "an unsound ACK", &request("ACK", &format!("sip:b@{INSTANCE}"), "Via: ;\r\n", ""), Drop);
}

// X07 X08, 3.3.15
#[test]
fn datagrams_that_are_no_messages() {
    let world = World::new("udp");
    let from = (world.net.ip(20), 5060);
    let rtp = [&[0x80, 0, 0, 1][..], &[0x55; 168]].concat();
    let dtls = [&[0x16, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4][..], b"abcd"].concat();
    let datagrams: Vec<Vec<u8>> = vec![
        vec![0],
        vec![b'x'],
        vec![],
        vec![0; 4],
        b"\r\n".to_vec(),
        rtp,
        dtls,
        vec![0xff; 1_400],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"SIP/2.0 200 OK\r\n\r\n".to_vec(),
        b"INVITE sip:b@torture SIP/2.0\r\n\r\n".to_vec(),
    ];
    let heard = over_udp(world.sip(), from, INSTANCE, &datagrams);
    assert!(heard.messages.is_empty() && heard.fence == 200, "{heard:?}");
    assert!(world.at_pbx().is_empty());

    // A STUN Binding Request gets its response (X08).
    let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    stun.extend_from_slice(b"transaction!");
    let heard = over_udp(world.sip(), from, INSTANCE, &[stun]);
    let [answer] = &heard.messages[..] else { panic!("{heard:?}") };
    assert_eq!((&answer[..2], &answer[8..20]), (&[1, 1][..], &b"transaction!"[..]));
    assert_eq!(answer.len() % 4, 0);

    // A datagram whose source port nobody can answer to is no reason to stop.
    let socket = UdpSocket::bind((world.net.ip(21), 0)).unwrap();
    socket.send_to(&message(""), world.sip()).unwrap();
    std::mem::drop(socket);
    assert_eq!(over_udp(world.sip(), from, INSTANCE, &[]).fence, 200);
}

// X07 V11
#[test]
fn keep_alives_on_a_stream() {
    let world = World::new("udp");
    let mut stream = TcpStream::connect(world.sip()).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let mut pong = [0; 2];
    for ping in [&b"\r\n\r\n"[..], b"\r\n\r\n"] {
        stream.write_all(ping).unwrap();
        stream.read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"\r\n");
    }
    // One byte at a time.
    for byte in [b"\r\n\r\n".to_vec(), super::unique(&altered("Content-Length: 0", "Content-Length: x"))].concat() {
        let _ = stream.write_all(&[byte]);
    }
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.starts_with(b"\r\nSIP/2.0 400 "), "{}", rest.escape_ascii());
}

// 3.3.16 4.1: one who does not read is felt by nobody else.
#[test]
fn a_stalled_reader() {
    let world = World::new("udp");
    let mut stalled = TcpStream::connect(world.sip()).unwrap();
    stalled.set_nonblocking(true).unwrap();
    let mut written = 0;
    for _ in 0..10_000 {
        let (_, request) =
            ordinary("nobody.invalid", "TCP stalled.invalid", &format!("X-Pad: {}\r\n", "x".repeat(400)));
        match stalled.write(&request) {
            Ok(length) if length == request.len() => written += 1,
            _ => break,
        }
    }
    assert!(written > 100, "only {written} requests were taken");
    for _ in 0..20 {
        world.check("beside a stalled reader", &message(""), None, Pass);
        world.check("beside a stalled reader", &message(""), Some(Over::Tcp), Pass);
    }
}

// V10: many who begin and do not end.
#[test]
fn beginnings_without_an_end() {
    let world = World::new("udp");
    let streams: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(world.sip()).unwrap();
            stream.write_all(b"INVITE sip:b@torture SIP/2.0\r\nVia: SIP/2.0/TCP h\r\n").unwrap();
            stream
        })
        .collect();
    world.check("beside beginnings", &message(""), Some(Over::Tcp), Pass);
    let heard = world.until_closed(Over::Tcp, b"INVITE sip:b@torture SIP/2.0\r\nVia: x");
    assert!(heard.closed);
    for mut stream in streams {
        stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "closed without a word");
    }
}
