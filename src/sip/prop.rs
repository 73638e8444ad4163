//! Properties of reading and editing, on random messages; rsip is the oracle for what it can read.

use super::check::{self, Channel};
use super::edit::Splices;
use super::frame::{Frame, Framer};
use super::limits::Limits;
use super::name::Name;
use super::reply::{self, Reply};
use super::span::Span;
use super::uri::Uri;
use super::view::{Index, Row, View};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// A message and what it was made of.
#[derive(Clone, Debug)]
struct Made {
    bytes: Vec<u8>,
    method: String,
    uri: String,
    /// Label and value of each row.
    rows: Vec<(String, String)>,
    body: Vec<u8>,
}

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9.!%*_+`'~-]{1,8}"
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,8}(\\.[a-z]{2,5}){0,2}",
        "[1-9][0-9]?\\.[0-9]\\.[1-9]?[0-9]\\.[1-9]",
        Just("[2001:db8::1]".to_owned()),
        Just("[::ffff:192.0.2.1]".to_owned()),
    ]
}

fn uri() -> impl Strategy<Value = String> {
    (
        select(vec!["sip", "SIPS"]),
        option::of("[a-zA-Z0-9;?/&=+$,%_.!~*'()-]{1,9}(:[a-z0-9]{0,3})?"),
        host(),
        option::of(1u16..),
        vec(prop_oneof![Just(";lr".to_owned()), ";[a-z]{1,5}=[a-zA-Z0-9%.]{1,6}"], 0..3),
    )
        .prop_map(|(scheme, user, host, port, params)| {
            let user = user.map_or(String::new(), |user| user + "@");
            let port = port.map_or(String::new(), |port| format!(":{port}"));
            format!("{scheme}:{user}{host}{port}{}", params.concat())
        })
}

fn params() -> impl Strategy<Value = String> {
    let value = prop_oneof![token(), "\"([a-z ,;<>]|\\\\\\\\|\\\\\"){0,6}\""];
    vec((lws(), token(), option::of(value)), 0..4).prop_map(|params| {
        let text = |(space, name, value): (String, String, Option<String>)| match value {
            Some(value) => format!("{space};{space}{name}{space}={value}"),
            None => format!(";{name}"),
        };
        params.into_iter().map(text).collect()
    })
}

fn lws() -> impl Strategy<Value = String> {
    select(vec!["", "", "", " ", "\t", "\r\n ", " \r\n\t "]).prop_map(str::to_owned)
}

fn address() -> impl Strategy<Value = String> {
    let display = prop_oneof![
        Just(String::new()),
        "[A-Z][a-z]{0,5}( [a-z]{1,4})? ",
        "\"([a-zäß ,;<>@]|\\\\\\\\|\\\\\"){0,8}\" ?",
    ];
    (display, uri(), params()).prop_map(|(display, uri, params)| format!("{display}<{uri}>{params}"))
}

fn via() -> impl Strategy<Value = String> {
    (
        select(vec!["UDP", "TCP", "tls", "WSS"]),
        host(),
        option::of(1u16..),
        params(),
        select(vec!["", ";rport", ";rport=5"]),
    )
        .prop_map(|(transport, host, port, params, rport)| {
            let port = port.map_or(String::new(), |port| format!(":{port}"));
            format!("SIP/2.0/{transport} {host}{port}{rport}{params}")
        })
}

fn list(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    vec((value, lws(), lws()), 1..4).prop_map(|values| {
        let values: Vec<_> =
            values.into_iter().map(|(value, before, after)| format!("{before}{value}{after}")).collect();
        values.join(",").trim().to_owned()
    })
}

fn row() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        (select(vec!["Via", "v", "VIA"]), list(via())).prop_map(|(name, value)| (name.to_owned(), value)),
        (select(vec!["Route", "Record-Route", "Contact", "m", "Path", "rOUTE"]), list(address()))
            .prop_map(|(name, value)| (name.to_owned(), value)),
        (select(vec!["Supported", "k", "Allow", "Require"]), list(token()))
            .prop_map(|(name, value)| (name.to_owned(), value)),
        (token().prop_map(|name| format!("X-{name}")), "[a-zA-Z0-9 ;,:\"<>=äß]{0,20}")
            .prop_map(|(name, value)| (name, value.trim().to_owned())),
    ]
}

fn message() -> impl Strategy<Value = Made> {
    let fixed = (via(), address(), address(), token(), any::<u32>(), select(vec!["INVITE", "REGISTER", "BYE", "FOO"]));
    let body = prop_oneof![Just(Vec::new()), vec(any::<u8>(), 0..40)];
    (fixed, vec(row(), 0..6), uri(), body, vec((lws(), select(vec!["", " ", "\t"])), 16), any::<u64>()).prop_map(
        |((via, from, to, call_id, cseq, method), more, uri, body, spaces, order)| {
            let mut rows = vec![
                ("Via".to_owned(), via),
                ("f".to_owned(), from),
                ("To".to_owned(), to),
                ("Call-ID".to_owned(), call_id),
                ("CSeq".to_owned(), format!("{cseq} {method}")),
                ("Content-Length".to_owned(), body.len().to_string()),
            ];
            for (place, row) in more.into_iter().enumerate() {
                rows.insert((order >> (8 * place)) as usize % (rows.len() + 1), row);
            }
            let mut bytes = format!("{method} {uri} SIP/2.0\r\n").into_bytes();
            for ((label, value), (after, before)) in rows.iter().zip(spaces.iter().cycle()) {
                bytes.extend_from_slice(format!("{label}{before}:{after}{value}\r\n").as_bytes());
            }
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(&body);
            Made { bytes, method: method.to_owned(), uri, rows, body }
        },
    )
}

/// A message so plain that rsip can read it: no folds, no compact forms, no IPv6, methods it knows.
fn plain() -> impl Strategy<Value = String> {
    let host = || prop_oneof!["[a-z]{1,6}(\\.[a-z]{2,5}){1,2}", Just("192.0.2.7".to_owned())];
    let uri = move || {
        (option::of("[a-z0-9][a-z0-9_-]{0,9}"), host(), option::of(1u16..), vec(";[a-z]{2,5}=[a-z0-9]{1,6}", 0..3))
            .prop_map(|(user, host, port, params)| {
                let user = user.map_or(String::new(), |user| user + "@");
                let port = port.map_or(String::new(), |port| format!(":{port}"));
                format!("sip:{user}{host}{port}{}", params.concat())
            })
    };
    let display = || prop_oneof![Just(""), Just("Bob "), Just("\"Bob, Alice\" ")];
    let tag = || option::of("[a-z0-9]{1,9}").prop_map(|tag| tag.map_or(String::new(), |tag| format!(";tag={tag}")));
    let party = move || (display(), uri(), tag()).prop_map(|(display, uri, tag)| format!("{display}<{uri}>{tag}"));
    let received = select(vec!["", ";received=192.0.2.8", ";received=192.0.2.9;rport=9"]);
    let via = (select(vec!["UDP", "TCP", "TLS", "WS"]), host(), option::of(1u16..), "[a-zA-Z0-9]{1,9}", received)
        .prop_map(|(transport, host, port, branch, received)| {
            let port = port.map_or(String::new(), |port| format!(":{port}"));
            format!("SIP/2.0/{transport} {host}{port};branch=z9hG4bK{branch}{received}")
        });
    let contact = (uri(), option::of(0u32..9_999)).prop_map(|(uri, expires)| {
        format!("<{uri}>{}", expires.map_or(String::new(), |expires| format!(";expires={expires}")))
    });
    let method = select(vec!["INVITE", "ACK", "BYE", "REGISTER", "OPTIONS", "SUBSCRIBE", "REFER", "PRACK", "UPDATE"]);
    let numbers = (any::<u32>(), 1u32..300);
    (method, uri(), (via, party(), party(), contact), "[a-zA-Z0-9.@-]{1,20}", numbers, "[a-z=\r\n]{0,20}", "[!-~]{1,20}").prop_map(
        |(method, uri, (via, from, to, contact), call_id, (cseq, hops), body, other)| {
            format!(
                "{method} {uri} SIP/2.0\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to}\r\nContact: {contact}\r\nX-Other: {other}\r\n\
                 Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: {hops}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        },
    )
}

/// Bytes that are a message, nearly one, or none.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let cuts = vec(
        (
            any::<prop::sample::Index>(),
            any::<prop::sample::Index>(),
            vec(select(b"\r\n\t ;,:<>\"\\@[]%=*\0\x80a1".to_vec()), 0..4),
        ),
        1..6,
    );
    prop_oneof![
        vec(any::<u8>(), 0..200),
        (message(), cuts).prop_map(|(made, cuts)| {
            let mut bytes = made.bytes;
            for (at, length, new) in cuts {
                let at = at.index(bytes.len() + 1);
                let end = (at + length.index(8)).min(bytes.len());
                bytes.splice(at..end, new);
            }
            bytes
        }),
    ]
}

/// Touches every reader and every edit.
fn touch(view: &View<'_>, out: &mut Vec<u8>) -> usize {
    let limits = Limits::DEFAULT;
    let mut found = format!(
        "{:?}{:?}{:?}",
        check::request(view, Channel::Stream, &limits),
        check::response(view, &limits),
        (view.cseq(), view.max_forwards(), view.expires(), view.content_length(), view.method(), view.status())
    )
    .len();
    for address in
        [view.from(), view.to()].into_iter().chain(view.routes()).chain(view.contacts()).chain(view.paths()).flatten()
    {
        found += address.params().flatten().count() + usize::from(address.tag().is_some());
        found += address.uri().map_or(0, |uri| uri.params().count());
    }
    let mut splices = Splices::new();
    if let Ok(via) = view.top_via() {
        splices.stamp(&via.stamp("192.0.2.1:5060".parse().unwrap()));
        found += via.branch().map_or(0, <[u8]>::len);
    }
    splices.push_row(view, Name::Via, |text| text.push(b'x'));
    splices.remove_first(view, Name::Route, 1);
    splices.retain(view, Name::RecordRoute, |number, _| number % 2 == 0);
    splices.merge_supported(view, b"path");
    if let Some(Ok(contact)) = view.contacts().next() {
        splices.replace_uri(&contact, |text| text.extend_from_slice(b"sip:x"));
    }
    let _ = splices.write(view, out);
    let peer = Some("[2001:db8::1]:5060".parse().unwrap());
    reply::write(view, &Reply { status: 400, reason: "x", to_tag: Some(b"y"), peer, rows: b"" }, out);
    found
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(count) }
}

proptest! {
    #![proptest_config(cases(400))]

    /// Whatever comes, nothing panics.
    #[test]
    fn arbitrary_bytes_never_panic(bytes in anything()) {
        let mut index = Index::new();
        let mut out = Vec::new();
        if let Ok(view) = View::read(&bytes, &mut index, &Limits::DEFAULT) {
            touch(&view, &mut out);
            prop_assert!(view.span().end as usize <= bytes.len());
        }
        let mut framer = Framer::new(Limits::DEFAULT);
        let mut rest = &bytes[..];
        while let Frame::Ping(taken) | Frame::Blank(taken) | Frame::Message(taken) | Frame::Last(taken) =
            framer.next(rest)
        {
            prop_assert!(taken > 0);
            rest = &rest[taken..];
        }
        let _ = Uri::parse(&bytes);
    }
}

proptest! {
    #![proptest_config(cases(150))]

    /// V12: every part is found where it was put, and the message is sound.
    #[test]
    fn a_message_is_read_as_it_was_made(made in message()) {
        let mut index = Index::new();
        let view = View::read(&made.bytes, &mut index, &Limits::DEFAULT).unwrap();
        prop_assert_eq!(view.flaw(), None);
        prop_assert_eq!(check::request(&view, Channel::Stream, &Limits::DEFAULT), check::Verdict::Ok);
        prop_assert_eq!(view.method().text(), made.method.as_bytes());
        prop_assert_eq!(view.uri(), made.uri.as_bytes());
        prop_assert_eq!(view.body(), &made.body[..]);
        let rows: Vec<_> = view.rows().iter().map(|row| (view.text(row.label), view.text(row.value))).collect();
        let expected: Vec<_> = made.rows.iter().map(|(label, value)| (label.as_bytes(), value.as_bytes())).collect();
        prop_assert_eq!(rows, expected);
        for name in [Name::Via, Name::Route, Name::Contact] {
            let rows = view.rows_named(name).count();
            prop_assert_eq!(rows, view.rows().iter().filter(|row| row.name == name).count());
            prop_assert_eq!(view.first(name), view.rows_named(name).next());
        }
        let mut at = view.rows()[0].line.start;
        for row in view.rows() {
            prop_assert_eq!(row.line.start, at);
            at = row.line.end;
        }
        prop_assert_eq!(view.headers_end(), at);
    }

    /// V11: a stream gives the same messages however it is cut.
    #[test]
    fn a_stream_is_framed_however_it_is_cut(made in vec((message(), 0usize..3), 1..3), cuts in vec(1usize..200, 1..20)) {
        let piece = |(made, lines): &(Made, usize)| [made.bytes.clone(), b"\r\n".repeat(*lines)].concat();
        let stream: Vec<u8> = made.iter().flat_map(piece).collect();
        let (mut framer, mut buffer, mut found, mut at) = (Framer::new(Limits::DEFAULT), Vec::new(), Vec::new(), 0);
        for cut in cuts.iter().cycle() {
            if at == stream.len() {
                break;
            }
            let end = (at + cut).min(stream.len());
            buffer.extend_from_slice(&stream[at..end]);
            at = end;
            loop {
                let taken = match framer.next(&buffer) {
                    Frame::Partial => break,
                    Frame::Message(taken) => {
                        found.push(buffer[..taken].to_vec());
                        taken
                    }
                    Frame::Ping(taken) | Frame::Blank(taken) => taken,
                    other => panic!("{other:?}"),
                };
                buffer.drain(..taken);
            }
        }
        let expected: Vec<_> = made.into_iter().map(|(made, _)| made.bytes).collect();
        prop_assert_eq!(found, expected);
    }

    /// F07: a byte that no splice names is as it was.
    #[test]
    fn an_untouched_byte_never_changes(
        made in message(),
        cuts in vec((any::<prop::sample::Index>(), vec(any::<u8>(), 0..9)), 0..12),
    ) {
        let mut index = Index::new();
        let view = View::read(&made.bytes, &mut index, &Limits::DEFAULT).unwrap();
        // Places in order; each pair of them is a replaced span, in any order of calls.
        let mut places: Vec<_> = cuts.iter().map(|(at, _)| at.index(made.bytes.len() + 1)).collect();
        places.sort_unstable();
        let edits: Vec<_> = places.chunks_exact(2).zip(&cuts).map(|(pair, (_, new))| (pair[0], pair[1], new)).collect();
        let mut splices = Splices::new();
        let (early, late) = edits.split_at(edits.len() / 2);
        for (start, end, new) in late.iter().chain(early) {
            splices.replace(Span::new(*start, *end), new);
        }
        let mut expected = made.bytes.clone();
        // A splice of nothing at the place where the next begins comes in the order of the calls.
        prop_assume!(edits.windows(2).all(|pair| pair[0].1 < pair[1].0));
        for (start, end, new) in edits.iter().rev() {
            expected.splice(start..end, new.iter().copied());
        }
        let mut out = Vec::new();
        splices.write(&view, &mut out).unwrap();
        prop_assert_eq!(out, expected);
    }

    /// F02, F07, F08, P02: after the edits of a proxy, all that was not named is as it was.
    #[test]
    fn a_proxys_edits_touch_nothing_else(made in message(), pop in 0usize..3) {
        let (mut index, mut after) = (Index::new(), Index::new());
        let view = View::read(&made.bytes, &mut index, &Limits::DEFAULT).unwrap();
        let mut splices = Splices::new();
        splices.stamp(&view.top_via().unwrap().stamp("198.51.100.1:1024".parse().unwrap()));
        splices.push_row(&view, Name::Via, |text| text.extend_from_slice(b"SIP/2.0/UDP new"));
        splices.push_row(&view, Name::RecordRoute, |text| text.extend_from_slice(b"<sip:new;lr>"));
        splices.remove_first(&view, Name::Route, pop);
        splices.set(&view, Name::MaxForwards, b"69");
        splices.merge_supported(&view, b"path");
        let mut out = Vec::new();
        splices.write(&view, &mut out).unwrap();
        let new = View::read(&out, &mut after, &Limits::DEFAULT).unwrap();
        prop_assert_eq!(check::request(&new, Channel::Stream, &Limits::DEFAULT), check::Verdict::Ok);
        prop_assert_eq!(new.body(), view.body());
        let texts = |view: &View<'_>, name| -> Vec<Vec<u8>> {
            view.values(name).map(|item| view.text(item.unwrap().span).to_vec()).collect()
        };
        prop_assert_eq!(texts(&new, Name::Route), texts(&view, Name::Route).into_iter().skip(pop).collect::<Vec<_>>());
        prop_assert_eq!(&texts(&new, Name::RecordRoute)[1..], &texts(&view, Name::RecordRoute)[..]);
        prop_assert_eq!(&texts(&new, Name::Via)[2..], &texts(&view, Name::Via)[1..]);
        prop_assert_eq!(new.top_via().unwrap().host, b"new");
        prop_assert_eq!(new.tokens(Name::Supported).filter(|tag| tag.eq_ignore_ascii_case(b"path")).count(), 1);
        let others = |view: &View<'_>| -> Vec<Vec<u8>> {
            let edited = [Name::Via, Name::RecordRoute, Name::Route, Name::Supported, Name::MaxForwards];
            view.rows().iter().filter(|row| !edited.contains(&row.name)).map(|row| view.text(row.line).to_vec()).collect()
        };
        prop_assert_eq!(others(&new), others(&view));
    }

    /// F02, R8: any choice of values can be taken out, and the others stay as they were, in order.
    #[test]
    fn any_values_can_be_taken_out(
        made in message(),
        keep in any::<u32>(),
        name in select(vec![Name::Via, Name::Route, Name::Contact]),
    ) {
        let (mut index, mut after) = (Index::new(), Index::new());
        let view = View::read(&made.bytes, &mut index, &Limits::DEFAULT).unwrap();
        let kept = |number: usize| keep >> number & 1 == 1;
        let mut splices = Splices::new();
        splices.retain(&view, name, |number, _| kept(number));
        let mut out = Vec::new();
        splices.write(&view, &mut out).unwrap();
        let new = View::read(&out, &mut after, &Limits::DEFAULT).unwrap();
        let before = view.values(name).map(|item| view.text(item.unwrap().span)).enumerate();
        let expected: Vec<_> = before.filter(|(number, _)| kept(*number)).map(|(_, text)| text).collect();
        let found: Vec<_> = new.values(name).map(|item| new.text(item.unwrap().span)).collect();
        prop_assert_eq!(found, expected);
    }

    /// DESIGN 2: what rsip can read, it reads as we do.
    #[test]
    fn rsip_reads_the_same(text in plain()) {
        use rsip::prelude::*;
        let oracle = rsip::Request::try_from(text.as_bytes()).unwrap();
        let mut index = Index::new();
        let view = View::read(text.as_bytes(), &mut index, &Limits::DEFAULT).unwrap();
        prop_assert_eq!(check::request(&view, Channel::Stream, &Limits::DEFAULT), check::Verdict::Ok);
        let bytes = |text: &dyn ToString| text.to_string().into_bytes();
        prop_assert_eq!(bytes(&oracle.method), view.method().text());
        prop_assert_eq!(&oracle.body[..], view.body());
        let theirs: Vec<_> = oracle.headers.iter().map(|header| header.to_string()).collect();
        let text_of = |row: &Row| String::from_utf8_lossy(view.text(row.line)).trim_end().to_owned();
        let ours: Vec<_> = view.rows().iter().map(text_of).collect();
        prop_assert_eq!(theirs, ours);
        let same_uri = |theirs: &rsip::Uri, ours: Uri<'_>| {
            assert_eq!(theirs.user().map(str::as_bytes), ours.user);
            assert_eq!(bytes(&theirs.host()), ours.host);
            assert_eq!(theirs.port().map(|port| *port.value()), ours.port);
            assert_eq!(theirs.params.len(), ours.params().count());
        };
        same_uri(&oracle.uri, Uri::parse(view.uri()).unwrap());
        let to = oracle.to_header().unwrap().typed().unwrap();
        let from = oracle.from_header().unwrap().typed().unwrap();
        for (uri, tag, ours) in [(&to.uri, to.tag(), view.to().unwrap()), (&from.uri, from.tag(), view.from().unwrap())] {
            same_uri(uri, ours.uri().unwrap());
            prop_assert_eq!(tag.map(|tag| tag.value().as_bytes()), ours.tag());
        }
        let contact = oracle.contact_header().unwrap().typed().unwrap();
        let ours = view.contacts().next().unwrap().unwrap();
        same_uri(&contact.uri, ours.uri().unwrap());
        prop_assert_eq!(contact.params.len(), ours.params().count());
        let (via, ours) = (oracle.via_header().unwrap().typed().unwrap(), view.top_via().unwrap());
        prop_assert_eq!(bytes(&via.transport), ours.transport.to_ascii_uppercase());
        prop_assert_eq!(bytes(&via.uri.host()), ours.host);
        prop_assert_eq!(via.uri.port().map(|port| *port.value()), ours.port);
        prop_assert_eq!(via.branch().map(|branch| branch.value().as_bytes()), ours.branch());
        prop_assert_eq!(via.received().unwrap(), ours.received());
        prop_assert_eq!(oracle.call_id_header().unwrap().value().as_bytes(), view.call_id());
        let cseq = oracle.cseq_header().unwrap().typed().unwrap();
        prop_assert_eq!(Ok(cseq.seq), view.cseq().map(|(number, _)| number));
        let hops = oracle.max_forwards_header().unwrap().num().unwrap();
        prop_assert_eq!(view.max_forwards(), Some(Ok(if hops > 255 { 71 } else { hops })));
    }
}
