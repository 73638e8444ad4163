//! The decisions of PROTOCOLS 3.1 and 3.2 on every message of RFC 4475 and RFC 5118, as far as the
//! message alone decides; the rest of the way is in `tests/it/torture.rs`.

use super::bad::Bad;
use super::check::{self, Channel, Verdict};
use super::frame::{Frame, Framer};
use super::limits::Limits;
use super::list::Item;
use super::method::Method;
use super::name::Name;
use super::span::Span;
use super::view::{Index, View};

/// What becomes of a message by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Pass,
    Refuse(u16),
    Drop,
}

use Fate::{Drop, Pass, Refuse};

macro_rules! corpus {
    ($folder:literal, $($name:literal => $fate:expr,)*) => {
        [$(($name, include_bytes!(concat!("../../tests/torture/", $folder, "/", $name, ".dat")).as_slice(), $fate)),*]
    };
}

const RFC4475: [(&str, &[u8], Fate); 49] = corpus! { "rfc4475",
    "wsinv" => Pass,
    "intmeth" => Pass,
    "esc01" => Pass,
    "escnull" => Pass,
    "esc02" => Pass,
    "lwsdisp" => Pass,
    "longreq" => Pass,
    "dblreq" => Pass,
    "semiuri" => Pass,
    "transports" => Pass,
    "mpart01" => Pass,
    "unreason" => Pass,
    "noreason" => Pass,
    "badinv01" => Refuse(400),
    "clerr" => Refuse(400),
    "ncl" => Refuse(400),
    "scalar02" => Refuse(400),
    "scalarlg" => Drop,
    "quotbal" => Refuse(400),
    "ltgtruri" => Refuse(400),
    "lwsruri" => Refuse(400),
    "lwsstart" => Refuse(400),
    "trws" => Refuse(400),
    "escruri" => Refuse(400),
    "baddate" => Pass,
    "regbadct" => Refuse(400),
    "badaspec" => Refuse(400),
    "baddn" => Refuse(400),
    "badvers" => Refuse(505),
    "mismatch01" => Refuse(400),
    "mismatch02" => Refuse(400),
    "bigcode" => Drop,
    "badbranch" => Pass,
    "insuf" => Refuse(400),
    "unkscm" => Refuse(416),
    "novelsc" => Refuse(416),
    "unksm2" => Pass,
    "bext01" => Refuse(420),
    "invut" => Pass,
    "regaut01" => Pass,
    "multi01" => Refuse(400),
    "mcl01" => Refuse(400),
    "bcast" => Drop,
    "zeromf" => Refuse(483),
    "cparam01" => Pass,
    "cparam02" => Pass,
    "regescrt" => Pass,
    "sdp01" => Pass,
    "inv2543" => Pass,
};

const RFC5118: [(&str, &[u8], Fate); 12] = corpus! { "rfc5118",
    "ipv6-good" => Pass,
    "ipv6-bad" => Refuse(400),
    "port-ambiguous" => Pass,
    "port-unambiguous" => Pass,
    "via-received-param-with-delim" => Pass,
    "via-received-param-no-delim" => Pass,
    // The Content-Length the RFC prints is 17 more than the body it prints (V09).
    "ipv6-in-sdp" => Refuse(400),
    "mult-ip-in-header" => Pass,
    "mult-ip-in-sdp" => Pass,
    "ipv4-mapped-ipv6" => Pass,
    "ipv6-bug-abnf-3-colons" => Pass,
    "ipv6-correct-abnf-2-colons" => Pass,
};

fn message(name: &str) -> &'static [u8] {
    RFC4475.iter().chain(&RFC5118).find(|(found, ..)| *found == name).unwrap().1
}

fn judge(view: &View<'_>, channel: Channel) -> (Fate, Option<Bad>, bool) {
    let verdict = match view.is_request() {
        true => check::request(view, channel, &Limits::DEFAULT),
        false => check::response(view, &Limits::DEFAULT),
    };
    match verdict {
        Verdict::Ok => (Pass, None, false),
        Verdict::Refuse(refusal) => (Refuse(refusal.status), Some(refusal.bad), refusal.close),
        Verdict::Drop(bad) => (Drop, Some(bad), false),
    }
}

fn datagram(bytes: &[u8]) -> (Fate, Option<Bad>, bool) {
    let mut index = Index::new();
    judge(&View::read(bytes, &mut index, &Limits::DEFAULT).unwrap(), Channel::Whole)
}

/// What a stream of these bytes gives, `step` of them at a time, and whether it is closed.
fn stream(bytes: &[u8], step: usize) -> (Vec<Fate>, bool) {
    let (mut framer, mut index, mut fates) = (Framer::new(Limits::DEFAULT), Index::new(), Vec::new());
    let mut buffer = Vec::new();
    for piece in bytes.chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            let (taken, last) = match framer.next(&buffer) {
                Frame::Partial => break,
                Frame::Ping(taken) | Frame::Blank(taken) => {
                    buffer.drain(..taken);
                    continue;
                }
                Frame::Message(taken) => (taken, false),
                Frame::Last(taken) => (taken, true),
                Frame::Broken(bad) => panic!("{bad}"),
            };
            let Ok(view) = View::read(&buffer[..taken], &mut index, &Limits::DEFAULT) else { return (fates, true) };
            let (fate, _, close) = judge(&view, Channel::Stream);
            fates.push(fate);
            if last || close {
                return (fates, true);
            }
            buffer.drain(..taken);
        }
    }
    (fates, false)
}

#[test]
fn datagrams_are_decided_as_proposed() {
    // V01 V02 V03 V04 V05 V06 V08 V09 V12 V13 V17 V18
    for (name, bytes, fate) in RFC4475.into_iter().chain(RFC5118) {
        let (got, bad, _) = datagram(bytes);
        assert_eq!(got, fate, "{name}: {bad:?}");
    }
}

#[test]
fn streams_are_decided_as_proposed_however_they_are_cut() {
    // V10 V11
    for (name, bytes, fate) in RFC4475.into_iter().chain(RFC5118) {
        let (expected, closed) = match name {
            // Two requests, and both are whole; the second's body is longer than it says.
            "dblreq" => (vec![Pass, Pass], true),
            // The rest is waited for.
            "clerr" | "ipv6-in-sdp" | "baddn" => (vec![], false),
            // Nobody can tell where it ends.
            "ncl" | "mcl01" => (vec![Refuse(400)], true),
            "inv2543" => (vec![Refuse(400)], true),
            _ => (vec![fate], false),
        };
        for step in [1, 7, bytes.len()] {
            let (got, close) = stream(bytes, step);
            assert_eq!(
                (got.get(..expected.len().max(1)).unwrap_or(&got), close),
                (&expected[..], closed),
                "{name} by {step}"
            );
        }
    }
}

#[test]
fn what_is_passed_on_can_be_read() {
    // V12 V15: the parts that routing needs, where they are hardest to find.
    let mut index = Index::new();
    let wsinv = View::read(message("wsinv"), &mut index, &Limits::DEFAULT).unwrap();
    let vias: Vec<_> =
        wsinv.vias().map(|via| via.unwrap()).map(|via| (via.transport, via.host, via.branch())).collect();
    assert_eq!(
        vias,
        [
            (&b"UDP"[..], &b"192.0.2.2"[..], Some(&b"390skdjuw"[..])),
            (b"TCP", b"spindle.example.com", Some(b"z9hG4bK9ikj8")),
            (b"UDP", b"192.168.255.111", Some(b"z9hG4bK30239")),
        ]
    );
    assert_eq!(wsinv.from().unwrap().tag(), Some(&b"98asjd8"[..]));
    assert_eq!(wsinv.to().unwrap().tag(), Some(&b"1918181833n"[..]));
    assert_eq!(wsinv.cseq(), Ok((9, Method::Invite)));
    assert_eq!(wsinv.max_forwards(), Some(Ok(68)));
    let route = wsinv.routes().next().unwrap().unwrap().uri().unwrap();
    assert!(route.is_loose() && route.host == b"services.example.com" && route.user.is_none());
    let contact = wsinv.contacts().next().unwrap().unwrap();
    assert_eq!(contact.param(b"Q").unwrap().value, Some(&b"0.33"[..]));
    assert_eq!(contact.display(), b"\"Quoted string \\\"\\\"\"");

    let intmeth = View::read(message("intmeth"), &mut index, &Limits::DEFAULT).unwrap();
    let uri = super::uri::Uri::parse(intmeth.uri()).unwrap();
    assert_eq!(uri.host, b"example.com");
    assert_eq!(uri.user, Some(&b"1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"[..]));
    assert_eq!(uri.password, Some(&b"&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"[..]));
    assert_eq!(intmeth.from().unwrap().tag(), Some(&b"_token~1'+`*%!-."[..]));

    let esc02 = View::read(message("esc02"), &mut index, &Limits::DEFAULT).unwrap();
    assert_eq!(esc02.method(), Method::Other(b"RE%47IST%45R"));
    assert_eq!(esc02.contacts().count(), 2);

    let escnull = View::read(message("escnull"), &mut index, &Limits::DEFAULT).unwrap();
    let users: Vec<_> = escnull.contacts().map(|contact| contact.unwrap().uri().unwrap().user.unwrap()).collect();
    assert_eq!(users, [&b"%00"[..], b"%00%00"]);

    let semiuri = View::read(message("semiuri"), &mut index, &Limits::DEFAULT).unwrap();
    assert_eq!(super::uri::Uri::parse(semiuri.uri()).unwrap().user, Some(&b"user;par=u%40example.net"[..]));

    let longreq = View::read(message("longreq"), &mut index, &Limits::DEFAULT).unwrap();
    assert_eq!(longreq.vias().flatten().count(), 34);

    let cparam01 = View::read(message("cparam01"), &mut index, &Limits::DEFAULT).unwrap();
    let contact = cparam01.contacts().next().unwrap().unwrap();
    assert_eq!(contact.uri_text(), b"sip:+19725552222@gw1.example.net");
    assert!(contact.param(b"unknownparam").is_some());

    let unksm2 = View::read(message("unksm2"), &mut index, &Limits::DEFAULT).unwrap();
    assert_eq!(unksm2.contacts().next().unwrap().unwrap().uri().unwrap().scheme, super::uri::Scheme::Other);

    let scalar = View::read(message("scalar02"), &mut index, &Limits::DEFAULT).unwrap();
    assert_eq!((scalar.max_forwards(), scalar.expires()), (Some(Ok(71)), Some(u32::MAX)));

    let badbranch = View::read(message("badbranch"), &mut index, &Limits::DEFAULT).unwrap();
    assert_eq!(badbranch.top_via().unwrap().unique_branch(), None);
}

#[test]
fn refusals_name_what_is_wrong() {
    for (name, bad) in [
        ("badinv01", Bad::Param),
        ("clerr", Bad::ShortBody),
        ("ncl", Bad::ContentLength),
        ("scalar02", Bad::Header(Name::CSeq)),
        ("quotbal", Bad::Header(Name::To)),
        ("ltgtruri", Bad::RequestUri),
        ("lwsruri", Bad::StartLine),
        ("escruri", Bad::UriHeaders),
        ("regbadct", Bad::Address),
        // The archive has it without its empty line.
        ("baddn", Bad::NoEmptyLine),
        ("badvers", Bad::Version),
        ("mismatch02", Bad::Method),
        ("bigcode", Bad::Status),
        ("insuf", Bad::Missing(Name::CallId)),
        ("bcast", Bad::Broadcast),
        ("ipv6-bad", Bad::RequestUri),
    ] {
        assert_eq!(datagram(message(name)).1, Some(bad), "{name}");
    }
}

#[test]
fn unknown_extensions_are_those_of_proxy_require() {
    // V06 V08
    let mut index = Index::new();
    let view = View::read(message("bext01"), &mut index, &Limits::DEFAULT).unwrap();
    let tags: Vec<_> = check::unsupported(&view).collect();
    assert_eq!(tags, [&b"noProxiesSupportThis"[..], b"norDoAnyProxiesSupportThis"]);
}

#[test]
fn a_datagram_ends_where_content_length_says() {
    // V09
    let mut index = Index::new();
    let view = View::read(message("dblreq"), &mut index, &Limits::DEFAULT).unwrap();
    assert!(view.body().is_empty());
    assert!(view.message().len() < message("dblreq").len());
    let mpart = View::read(message("mpart01"), &mut index, &Limits::DEFAULT).unwrap();
    assert_eq!(mpart.content_length(), Some(Ok(mpart.body().len())));
    assert!(mpart.body().contains(&0));
}

#[test]
fn ipv6_is_read_as_written() {
    // X13, PROTOCOLS 3.2
    let mut index = Index::new();
    let mut host = |name: &str| {
        let view = View::read(message(name), &mut index, &Limits::DEFAULT).unwrap();
        let uri = super::uri::Uri::parse(view.uri()).unwrap();
        (uri.ip().unwrap().to_string(), uri.port, view.top_via().unwrap().received().map(|ip| ip.to_string()))
    };
    assert_eq!(host("port-ambiguous"), ("2001:db8::10:5070".into(), None, None));
    assert_eq!(host("port-unambiguous"), ("2001:db8::10".into(), Some(5070), None));
    assert_eq!(host("via-received-param-with-delim").2, Some("2001:db8::9:255".into()));
    assert_eq!(host("via-received-param-no-delim").2, Some("2001:db8::9:255".into()));
    assert_eq!(host("ipv6-bug-abnf-3-colons"), host("ipv6-correct-abnf-2-colons"));
    let view = View::read(message("ipv4-mapped-ipv6"), &mut index, &Limits::DEFAULT).unwrap();
    let via = view.top_via().unwrap();
    assert_eq!((via.ip(), via.port), (Some("192.0.2.10".parse().unwrap()), Some(19823)));
}

#[test]
fn sdp_of_rfc5118_passes_with_its_true_length() {
    // 3.2 ipv6-in-sdp
    for name in ["ipv6-in-sdp", "mult-ip-in-sdp", "ipv4-mapped-ipv6"] {
        let bytes = message(name);
        let mut index = Index::new();
        let view = View::read(bytes, &mut index, &Limits::DEFAULT).unwrap();
        let start = view.headers_end() as usize + 2;
        let mut whole = bytes.to_vec();
        let Item { span: Span { start: from, end }, .. } = Item::whole(view.first(Name::ContentLength).unwrap());
        whole.splice(from as usize..end as usize, (bytes.len() - start).to_string().into_bytes());
        assert_eq!(datagram(&whole).0, Pass, "{name}");
        let view = View::read(&whole, &mut index, &Limits::DEFAULT).unwrap();
        assert_eq!(view.body(), &bytes[start..]);
    }
}
