//! What is answered when a message is not sound (RFC 3261 §16.3, PROTOCOLS 2.1 and 3).
//!
//! Judges the message alone: where it goes, and whether its sender may, is the engine's. Headers
//! the proxy does not need are not looked at (V02), nor is Require (V08).

use super::bad::Bad;
use super::limits::Limits;
use super::method::Method;
use super::name::Name;
use super::seek;
use super::uri::Scheme;
use super::view::View;
use std::net::IpAddr;

/// What the message came over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// A datagram: its end is the message's, and what is behind Content-Length is nothing.
    Whole,
    /// A message of a WebSocket: it holds one SIP message and nothing else (RFC 7118 §5).
    Single,
    /// A stream: Content-Length is its end.
    Stream,
}

/// What becomes of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is sound.
    Ok,
    /// It is answered.
    Refuse(Refusal),
    /// It is neither answered nor passed on: a response, an ACK, or without a Via to answer by.
    Drop(Bad),
}

/// The answer to an unsound request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The reason phrase.
    pub reason: &'static str,
    /// What is wrong; its kind is the reason code.
    pub bad: Bad,
    /// Whether the stream it came on has lost its frame and is closed (V10).
    pub close: bool,
}

/// Judges a request. With a 420, [`unsupported`] names the extensions.
pub fn request(view: &View<'_>, channel: Channel, limits: &Limits) -> Verdict {
    let Err(bad) = sound(view, channel, limits) else { return Verdict::Ok };
    if matches!(view.method(), Method::Ack) || view.top_via().is_err() {
        return Verdict::Drop(bad);
    }
    let (status, reason) = bad.status();
    let close = channel == Channel::Stream && loses_frame(view);
    Verdict::Refuse(Refusal { status, reason, bad, close })
}

/// Judges a response.
pub fn response(view: &View<'_>, limits: &Limits) -> Verdict {
    match sound_response(view, limits) {
        Ok(()) => Verdict::Ok,
        Err(bad) => Verdict::Drop(bad),
    }
}

/// The extensions of Proxy-Require: none is known here, so all are unknown (V06).
pub fn unsupported<'a>(view: &View<'a>) -> impl Iterator<Item = &'a [u8]> {
    view.tokens(Name::ProxyRequire)
}

/// The end of the message was not where it said, or said nowhere.
fn loses_frame(view: &View<'_>) -> bool {
    view.count(Name::ContentLength) != 1
        || view.content_length().is_none_or(|length| length.ok() != Some(view.body_span().len()))
}

fn sound(view: &View<'_>, channel: Channel, limits: &Limits) -> Result<(), Bad> {
    view.flaw().map_or(Ok(()), Err)?;
    common(view, channel, limits)?;
    let (_, method) = view.cseq()?;
    // V18
    if method != view.method() {
        return Err(Bad::Method);
    }
    request_uri(view)?;
    addresses(view, limits)?;
    // V05
    if view.max_forwards().transpose()? == Some(0) {
        return Err(Bad::Hops);
    }
    // V06, and C03: not for CANCEL; an ACK cannot be answered.
    let exempt = matches!(method, Method::Ack | Method::Cancel);
    if !exempt && unsupported(view).next().is_some() { Err(Bad::Extension) } else { Ok(()) }
}

fn sound_response(view: &View<'_>, limits: &Limits) -> Result<(), Bad> {
    view.flaw().map_or(Ok(()), Err)?;
    common(view, Channel::Whole, limits)?;
    view.cseq()?;
    // `bcast`: the next Via is where it would go.
    match view.vias().nth(1) {
        Some(via) if via?.ip().is_some_and(is_everyone) => Err(Bad::Broadcast),
        _ => Ok(()),
    }
}

/// V01, V13, and the bounds of lists.
fn common(view: &View<'_>, channel: Channel, limits: &Limits) -> Result<(), Bad> {
    for name in [Name::To, Name::From, Name::CallId, Name::CSeq, Name::MaxForwards, Name::ContentLength] {
        if view.count(name) > 1 {
            return Err(Bad::Repeated(name));
        }
    }
    if channel == Channel::Stream && view.count(Name::ContentLength) == 0 {
        return Err(Bad::NoContentLength);
    }
    // W03
    if channel == Channel::Single && view.span().end as usize != view.buffer().len() {
        return Err(Bad::LongBody);
    }
    if view.count(Name::Via) == 0 {
        return Err(Bad::Missing(Name::Via));
    }
    for (number, via) in view.vias().enumerate() {
        bound(number, limits)?;
        via?.sound(limits.params)?;
    }
    let call_id = view.value(Name::CallId).ok_or(Bad::Missing(Name::CallId))?;
    if call_id.is_empty() || seek::blank(call_id, 0) < call_id.len() {
        return Err(Bad::Header(Name::CallId));
    }
    for address in [view.from()?, view.to()?] {
        address.sound(limits.params)?;
    }
    Ok(())
}

/// The lists that are read for routing and for seats.
fn addresses(view: &View<'_>, limits: &Limits) -> Result<(), Bad> {
    for name in [Name::Route, Name::RecordRoute, Name::Path, Name::Contact] {
        for (number, address) in view.addresses(name).enumerate() {
            bound(number, limits)?;
            let address = address?;
            address.sound(limits.params)?;
            if name != Name::Contact {
                address.uri()?;
            } else if address.is_star() {
                star(view)?;
            }
        }
    }
    Ok(())
}

/// RFC 3261 §10.2.2: `*` is alone, in a REGISTER, with an Expires of 0.
fn star(view: &View<'_>) -> Result<(), Bad> {
    let alone = view.contacts().nth(1).is_none();
    if view.method() == Method::Register && alone && view.expires() == Some(0) {
        Ok(())
    } else {
        Err(Bad::Header(Name::Contact))
    }
}

fn bound(number: usize, limits: &Limits) -> Result<(), Bad> {
    if number < limits.values { Ok(()) } else { Err(Bad::TooManyValues) }
}

fn request_uri(view: &View<'_>) -> Result<(), Bad> {
    let uri = view.request_uri().map_err(|_| Bad::RequestUri)?;
    match uri.scheme {
        Scheme::Other => Err(Bad::Scheme),
        _ if uri.headers.is_some() => Err(Bad::UriHeaders),
        _ => Ok(()),
    }
}

/// An address that is not one host.
fn is_everyone(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_multicast() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::view::Index;

    const ROWS: &str = "Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\n";

    fn judged(bytes: &[u8], limits: &Limits) -> Verdict {
        let mut index = Index::new();
        let view = View::read(bytes, &mut index, limits).unwrap();
        if view.is_request() { request(&view, Channel::Whole, limits) } else { response(&view, limits) }
    }

    /// The status and fault of a request of `method` with these rows besides the usual ones.
    fn fault(method: &str, rows: &str) -> Option<(u16, Bad)> {
        let message = format!("{method} sip:d SIP/2.0\r\n{ROWS}CSeq: 1 {method}\r\n{rows}\r\n");
        match judged(message.as_bytes(), &Limits::DEFAULT) {
            Verdict::Ok => None,
            Verdict::Refuse(refusal) => Some((refusal.status, refusal.bad)),
            Verdict::Drop(bad) => Some((0, bad)),
        }
    }

    fn instead(row: &str, other: &str) -> Option<(u16, Bad)> {
        let message = format!("BYE sip:d SIP/2.0\r\n{ROWS}CSeq: 1 BYE\r\n\r\n").replace(row, other);
        match judged(message.as_bytes(), &Limits::DEFAULT) {
            Verdict::Ok => None,
            Verdict::Refuse(refusal) => Some((refusal.status, refusal.bad)),
            Verdict::Drop(bad) => Some((0, bad)),
        }
    }

    #[test]
    fn mandatory_fields_are_there_once_and_sound() {
        // V01 V13
        for (row, name) in [
            ("From: <sip:a@b>;tag=1\r\n", Name::From),
            ("To: <sip:c@d>\r\n", Name::To),
            ("Call-ID: x\r\n", Name::CallId),
            ("CSeq: 1 BYE\r\n", Name::CSeq),
        ] {
            assert_eq!(instead(row, ""), Some((400, Bad::Missing(name))));
            assert_eq!(instead(row, &row.repeat(2)), Some((400, Bad::Repeated(name))));
            let label = row.split_once(':').unwrap().0;
            assert_eq!(instead(row, &format!("{label}:\r\n")), Some((400, Bad::Header(name))));
            assert_eq!(instead(row, row), None);
        }
        // Without a Via nobody can be answered.
        assert_eq!(instead("Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\n", ""), Some((0, Bad::Missing(Name::Via))));
        assert_eq!(instead("Via: SIP/2.0/UDP h;", "Via: SIP/2.0/UDP ;"), Some((0, Bad::Via)));
        for two in ["Max-Forwards: 1\r\nMax-Forwards: 2\r\n", "l: 0\r\nContent-Length: 0\r\n"] {
            assert!(matches!(fault("BYE", two), Some((400, Bad::Repeated(_)))), "{two}");
        }
    }

    #[test]
    fn smuggled_fields_are_refused() {
        // V14, PROTOCOLS 3.3.1 to 3.3.3
        let to = "To: <sip:c@d>\r\n";
        for (before, bad) in [
            ("To\u{1}: <sip:e@f>\r\n", Bad::HeaderName),
            ("To\u{b}: <sip:e@f>\r\n", Bad::HeaderName),
            ("To : <sip:e@f>\r\n", Bad::Repeated(Name::To)),
            ("To\t: <sip:e@f>\r\n", Bad::Repeated(Name::To)),
            ("t: <sip:e@f>\r\n", Bad::Repeated(Name::To)),
            ("X: a\nTo: <sip:e@f>\r\n", Bad::BareLineEnd),
            ("X: a\rTo: <sip:e@f>\r\n", Bad::BareLineEnd),
            ("X: a\n\n", Bad::BareLineEnd),
            ("no colon\r\n", Bad::HeaderName),
            (": x\r\n", Bad::HeaderName),
            ("\u{e4}: x\r\n", Bad::HeaderName),
        ] {
            assert_eq!(instead(to, &format!("{before}{to}")), Some((400, bad)), "{before:?}");
        }
        assert_eq!(instead(to, "To\t : \r\n\t<sip:c@d>\r\n"), None);
        for display in [
            "\"a\r\nX: b\" <sip:c@d>",
            "\"a\" b <sip:c@d>",
            "a\0 <sip:c@d>",
            "<sip:c\u{1}@d>",
            "<sip:c@d",
            "<>",
            "<sip:c d>",
        ] {
            let fault = instead(to, &format!("To: {display}\r\n"));
            assert!(matches!(fault, Some((400, _))), "{display:?}: {fault:?}");
        }
        // Escaped ones stay escaped.
        assert_eq!(instead("sip:d SIP", "sip:c%0d%0aX:%20y@d SIP"), None);
        assert_eq!(instead(to, "To: \"\\\u{1}\\\"\" <sip:c@d>\r\n"), None);
    }

    #[test]
    fn other_fields_are_not_looked_at() {
        // V02 V03 V08
        for rows in ["Date: yesterday EST\r\n", "Foo: ;;,,\"\r\n", "Require: x\r\n", "s:\r\n", "Expires: -1\r\n"] {
            assert_eq!(fault("FOO", rows), None, "{rows}");
        }
    }

    #[test]
    fn content_length_is_digits() {
        // V09 V10, PROTOCOLS 3.3.4
        for bad in ["+5", "5 5", "0x5", "5,5", "18446744073709551616", "-1", "", "5;", "\"5\""] {
            assert_eq!(fault("BYE", &format!("Content-Length: {bad}\r\n")), Some((400, Bad::ContentLength)), "{bad}");
        }
        assert_eq!(fault("BYE", "Content-Length:\r\n 0000\r\n"), None);
        assert_eq!(fault("BYE", "Content-Length: 1\r\n"), Some((400, Bad::ShortBody)));
        assert_eq!(fault("BYE", "Content-Length: 65536\r\n"), Some((513, Bad::MessageTooLarge)));
    }

    #[test]
    fn a_websocket_message_holds_one_message() {
        // W03
        let text = |rows: &str, body: &str| format!("BYE sip:d SIP/2.0\r\n{ROWS}CSeq: 1 BYE\r\n{rows}\r\n{body}");
        let over = |channel, text: &str| {
            let mut index = Index::new();
            let view = View::read(text.as_bytes(), &mut index, &Limits::DEFAULT).unwrap();
            match request(&view, channel, &Limits::DEFAULT) {
                Verdict::Ok => None,
                Verdict::Refuse(refusal) => Some((refusal.status, refusal.bad, refusal.close)),
                Verdict::Drop(bad) => panic!("{bad}"),
            }
        };
        let one = text("Content-Length: 0\r\n", "");
        for sound in [one.clone(), text("", ""), text("", "body"), text("l: 4\r\n", "body")] {
            assert_eq!(over(Channel::Single, &sound), None, "{sound}");
        }
        let two = format!("{one}{one}");
        assert_eq!(over(Channel::Single, &two), Some((400, Bad::LongBody, false)));
        assert_eq!(over(Channel::Whole, &two), None, "in a datagram it is padding");
        assert_eq!(over(Channel::Single, &text("l: 3\r\n", "body")), Some((400, Bad::LongBody, false)));
        assert_eq!(over(Channel::Single, &text("l: 5\r\n", "body")), Some((400, Bad::ShortBody, false)));
    }

    #[test]
    fn hops_run_out() {
        // V05
        assert_eq!(fault("BYE", "Max-Forwards: 0\r\n"), Some((483, Bad::Hops)));
        assert_eq!(fault("BYE", "Max-Forwards: 1\r\n"), None);
        assert_eq!(fault("BYE", "Max-Forwards: 300\r\n"), None);
        for bad in ["", "-1", "x", "7 0", "70;x"] {
            assert_eq!(
                fault("BYE", &format!("Max-Forwards: {bad}\r\n")),
                Some((400, Bad::Header(Name::MaxForwards))),
                "{bad}"
            );
        }
    }

    #[test]
    fn extensions_are_asked_for_by_all_but_ack_and_cancel() {
        // V06 C03
        assert_eq!(fault("BYE", "Proxy-Require: a, b\r\n"), Some((420, Bad::Extension)));
        assert_eq!(fault("BYE", "Proxy-Require: \r\n"), None);
        assert_eq!(fault("CANCEL", "Proxy-Require: a\r\n"), None);
        assert_eq!(fault("ACK", "Proxy-Require: a\r\n"), None);
    }

    #[test]
    fn an_ack_is_never_answered() {
        // C04
        assert_eq!(fault("ACK", "Max-Forwards: 0\r\n"), Some((0, Bad::Hops)));
        assert_eq!(fault("ACK", "Content-Length: -1\r\n"), Some((0, Bad::ContentLength)));
    }

    #[test]
    fn a_star_is_alone_and_means_zero() {
        // P15, PROTOCOLS 3.3.11
        let bad = Some((400, Bad::Header(Name::Contact)));
        assert_eq!(fault("REGISTER", "Contact: *\r\nExpires: 0\r\n"), None);
        assert_eq!(fault("REGISTER", "Contact: *\r\n"), bad);
        assert_eq!(fault("REGISTER", "Contact: *\r\nExpires: 1\r\n"), bad);
        assert_eq!(fault("REGISTER", "Contact: *, <sip:a@b>\r\nExpires: 0\r\n"), bad);
        assert_eq!(fault("REGISTER", "Contact: <sip:a@b>\r\nm: *\r\nExpires: 0\r\n"), bad);
        assert_eq!(fault("INVITE", "Contact: *\r\nExpires: 0\r\n"), bad);
        for odd in ["<sip:a@b>;expires=4294967296", "<sip:a@b>;expires=-1", "<sip:a@b>;q=2"] {
            assert_eq!(fault("REGISTER", &format!("Contact: {odd}\r\n")), None, "{odd}");
        }
    }

    #[test]
    fn lists_that_are_read_are_sound() {
        for name in ["Route", "Record-Route", "Path", "Contact"] {
            for bad in
                ["<sip:a@b>,", "<sip:a@b>;;x", "<sip:a@b", "\"a <sip:a@b>", ",<sip:a@b>", "", "<sip:a b>", "sip:a@b?c"]
            {
                let fault = fault("BYE", &format!("{name}: {bad}\r\n"));
                assert!(matches!(fault, Some((400, _))), "{name}: {bad}: {fault:?}");
            }
            assert_eq!(fault("BYE", &format!("{name}: <sip:a,b@c>;x=\",\",\r\n sip:d\r\n")), None, "{name}");
        }
        assert_eq!(fault("BYE", "Route: <foo>\r\n"), Some((400, Bad::Uri)));
        assert_eq!(fault("BYE", "Contact: <foo>\r\n"), None);
    }

    #[test]
    fn only_version_two_is_spoken() {
        // V17
        for (version, good) in
            [("SIP/2.0", true), ("sip/2.0", true), ("SIP/2.1", false), ("SIP/7.0", false), ("SIP/02.0", false)]
        {
            let fault = instead("SIP/2.0\r\nVia", &format!("{version}\r\nVia"));
            assert_eq!(fault, (!good).then_some((505, Bad::Version)), "{version}");
        }
    }

    #[test]
    fn each_bound_holds_at_its_number() {
        // V16, DESIGN 10, PROTOCOLS 3.3.6: one below passes, the number passes, one above is refused.
        let small =
            Limits { message: 2_000, head: 1_800, rows: 12, row: 600, uri: 40, method: 10, values: 6, params: 5 };
        let usual = format!("{ROWS}CSeq: 1 BYE\r\n");
        let usual_rows = usual.matches("\r\n").count();
        let bye = |rows: &str, body: usize| format!("BYE sip:d SIP/2.0\r\n{usual}{rows}\r\n{}", "x".repeat(body));
        let head = bye("", 0).len();
        type Make<'a> = Box<dyn Fn(usize) -> String + 'a>;
        let cases: Vec<(usize, (u16, Bad), Make<'_>)> = vec![
            (small.message, (513, Bad::MessageTooLarge), Box::new(|n| bye("", n - head))),
            (small.rows, (513, Bad::TooManyRows), Box::new(|n| bye(&"A: b\r\n".repeat(n - usual_rows), 0))),
            (small.row, (513, Bad::RowTooLong), Box::new(|n| bye(&format!("A: {}\r\n", "b".repeat(n - 5)), 0))),
            (
                small.head,
                (513, Bad::HeadTooLarge),
                Box::new(|n| {
                    let rows = format!("A: {}\r\n", "b".repeat(n + 2 - head - 4 * 300 - 5))
                        + &format!("A: {}\r\n", "c".repeat(295)).repeat(4);
                    bye(&rows, 0)
                }),
            ),
            (
                small.uri,
                (414, Bad::UriTooLong),
                Box::new(|n| bye("", 0).replace("sip:d", &format!("sip:{}", "d".repeat(n - 4)))),
            ),
            (small.method, (400, Bad::MethodTooLong), Box::new(|n| bye("", 0).replace("BYE", &"B".repeat(n)))),
            (
                small.values,
                (400, Bad::TooManyValues),
                Box::new(|n| bye(&format!("Route: {}<sip:a>\r\n", "<sip:a>,".repeat(n - 1)), 0)),
            ),
            (
                small.values,
                (400, Bad::TooManyValues),
                Box::new(|n| bye(&format!("m: {}<sip:a>\r\n", "<sip:a>,".repeat(n - 1)), 0)),
            ),
            (
                small.values,
                (400, Bad::TooManyValues),
                Box::new(|n| bye(&format!("v: SIP/2.0/UDP a{}\r\n", ",SIP/2.0/UDP a".repeat(n - 2)), 0)),
            ),
            (
                small.params,
                (400, Bad::TooManyParams),
                Box::new(|n| bye(&format!("m: <sip:a>{}\r\n", ";a".repeat(n)), 0)),
            ),
            (
                small.params,
                (400, Bad::TooManyParams),
                Box::new(|n| bye("", 0).replace("<sip:c@d>", &format!("<sip:c@d>{}", ";a".repeat(n)))),
            ),
        ];
        for (bound, (status, bad), make) in cases {
            for n in [bound - 1, bound] {
                assert_eq!(judged(make(n).as_bytes(), &small), Verdict::Ok, "{bad:?} at {n}");
            }
            match judged(make(bound + 1).as_bytes(), &small) {
                Verdict::Refuse(refusal) => assert_eq!((refusal.status, refusal.bad), (status, bad)),
                other => panic!("{bad:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn bounds_are_where_the_field_is_not() {
        // PROTOCOLS 3.3.6
        let digest = format!("Authorization: Digest a=b{}\r\n", ",c=d".repeat(10_000));
        assert_eq!(fault("REGISTER", &digest), Some((513, Bad::RowTooLong)));
        assert_eq!(fault("BYE", &"Via: SIP/2.0/UDP h\r\n".repeat(1_000)), Some((513, Bad::TooManyRows)));
        assert_eq!(fault("BYE", &"Via: SIP/2.0/UDP h\r\n".repeat(200)), Some((400, Bad::TooManyValues)));
        assert_eq!(
            fault("BYE", &format!("Record-Route: <sip:a>{}\r\n", ",<sip:a>".repeat(499))),
            Some((400, Bad::TooManyValues))
        );
        assert_eq!(
            fault("BYE", &format!("Contact: <sip:a>{}\r\n", ",<sip:a>".repeat(299))),
            Some((400, Bad::TooManyValues))
        );
        assert_eq!(fault("BYE", &format!("X: {}\r\n", "a".repeat(60_000))), Some((513, Bad::RowTooLong)));
        assert_eq!(fault("REGISTER", &format!("Contact: <sip:a@b>{}\r\n", ",<sip:a@b>".repeat(19))), None);
    }

    #[test]
    fn responses_are_sound_or_dropped() {
        // T04, 3.1 bcast
        let response = |line: &str, rows: &str| {
            let message = format!("{line}\r\n{ROWS}CSeq: 1 BYE\r\n{rows}\r\n");
            judged(message.as_bytes(), &Limits::DEFAULT)
        };
        for good in ["SIP/2.0 200 OK", "SIP/2.0 200 ", "SIP/2.0 200", "sip/2.0 699 x", "SIP/2.0 100 \u{fc}\u{0}"] {
            assert_eq!(response(good, ""), Verdict::Ok, "{good}");
        }
        for bad in [
            "SIP/2.0 99 x",
            "SIP/2.0 700 x",
            "SIP/2.0 0200 x",
            "SIP/2.0  200 x",
            "SIP/2.0 +20 x",
            "SIP/2.0",
            "SIP/2.0 200OK",
        ] {
            assert_eq!(response(bad, ""), Verdict::Drop(Bad::Status), "{bad}");
        }
        assert_eq!(response("SIP/3.0 200 OK", ""), Verdict::Drop(Bad::Version));
        assert_eq!(response("SIP/2.0 200 OK", "l: 1\r\n"), Verdict::Drop(Bad::ShortBody));
        for host in ["255.255.255.255", "224.0.0.1", "0.0.0.0", "[ff02::1]", "[::]"] {
            let rows = format!("Via: SIP/2.0/UDP {host}\r\n");
            assert_eq!(response("SIP/2.0 200 OK", &rows), Verdict::Drop(Bad::Broadcast), "{host}");
        }
        assert_eq!(response("SIP/2.0 200 OK", "Via: SIP/2.0/UDP 192.0.2.1\r\n"), Verdict::Ok);
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        // PROTOCOLS 3.3.15
        let read = |bytes: &[u8]| View::read(bytes, &mut Index::new(), &Limits::DEFAULT).map(|_| ());
        for (bytes, bad) in [
            (&b""[..], Bad::Empty),
            (b"\r\n\r\n", Bad::Empty),
            (b"\0\0\0\0", Bad::NotSip),
            (b"x", Bad::NotSip),
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Bad::NotSip),
            (b"\x16\x03\x01\x02\0\x01\0", Bad::NotSip),
            (b"INVITE sip:a@b\r\n\r\n", Bad::NotSip),
        ] {
            assert_eq!(read(bytes), Err(bad), "{bytes:?}");
        }
    }
}
