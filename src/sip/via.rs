//! Via: who sent a message, and where its answer goes (RFC 3261 §18.2, §20.42; RFC 3581).

use super::bad::Bad;
use super::chars::{self, is_lws, is_token, number, skip_lws};
use super::decimal;
use super::host;
use super::list::Item;
use super::params::{Marks, Param, Params};
use super::seek::{self, Word};
use super::span::{Short, Span};
use std::net::{IpAddr, SocketAddr};

/// The `rport` parameter (RFC 3581).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rport {
    /// Not there.
    Absent,
    /// Asked for.
    Empty,
    /// Filled in.
    Port(u16),
    /// There, but no port number.
    Bad,
}

/// One Via value.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    buffer: &'a [u8],
    /// Where the value is.
    pub item: &'a Item,
    /// The transport as written.
    pub transport: &'a [u8],
    /// The host of sent-by, an IPv6 literal with its brackets.
    pub host: &'a [u8],
    /// The port of sent-by, if one is written.
    pub port: Option<u16>,
    parts: &'a Parts,
}

/// The parameters that are asked for often, and their places.
const NAMES: [Word; 5] =
    [Word::new(b"branch"), Word::new(b"rport"), Word::new(b"received"), Word::new(b"maddr"), Word::new(b"keep")];
const BRANCH: usize = 0;
const RPORT: usize = 1;
const RECEIVED: usize = 2;
const MADDR: usize = 3;
const KEEP: usize = 4;

/// The start of every branch since RFC 3261 (§8.1.1.7).
pub const COOKIE: &[u8] = b"z9hG4bK";

/// The protocol that nearly all have.
const USUAL: &[u8] = b"SIP/2.0/";

/// Where the parts of a Via value are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    transport: Short,
    host: Short,
    port: Option<u16>,
    params: u16,
    marks: Marks<5>,
}

impl Parts {
    /// Reads the value at `span` of `buffer`.
    pub(super) fn read(buffer: &[u8], span: Span) -> Result<Self, Bad> {
        if span.len() >= Short::MOST {
            return Err(Bad::Via);
        }
        let text = buffer.get(..span.end as usize).unwrap_or_default();
        let usual = span.text(buffer).starts_with(USUAL);
        let at = if usual { span.start as usize + USUAL.len() } else { protocol(text, span.start as usize)? };
        let (transport, at) = word(text, at)?;
        let transport = Span::new(at - transport.len(), at);
        let start = skip_lws(text, at);
        if start == at {
            return Err(Bad::Via);
        }
        let end = host_end(text, start).ok_or(Bad::Via)?;
        let mut at = skip_lws(text, end);
        let mut port = None;
        if text.get(at) == Some(&b':') {
            let start = skip_lws(text, at + 1);
            let (number, end) = chars::port(text, start);
            port = Some(number.ok_or(Bad::Via)?);
            at = skip_lws(text, end);
        }
        if !matches!(text.get(at), None | Some(b';')) {
            return Err(Bad::Via);
        }
        let marks = Marks::read(Params::new(text, at), span.start, &NAMES);
        let (transport, host) = (Short::of(transport, span.start), Short::of(Span::new(start, end), span.start));
        Ok(Self { transport, host, port, params: (at - span.start as usize) as u16, marks })
    }
}

impl<'a> Via<'a> {
    /// The value at `item` of `buffer`, of which these are the parts.
    #[inline]
    pub(super) fn of(buffer: &'a [u8], item: &'a Item, parts: &'a Parts) -> Self {
        let base = item.span.start;
        let part = |place: Short| place.span(base).map_or(&b""[..], |span| span.text(buffer));
        Self { buffer, item, transport: part(parts.transport), host: part(parts.host), port: parts.port, parts }
    }

    /// The whole value as written.
    pub fn text(&self) -> &'a [u8] {
        self.item.span.text(self.buffer)
    }

    /// The parameters.
    pub fn params(&self) -> Params<'a> {
        let at = self.item.span.start as usize + usize::from(self.parts.params);
        Params::new(self.buffer.get(..self.item.span.end as usize).unwrap_or_default(), at)
    }

    /// A parameter.
    pub fn param(&self, name: &[u8]) -> Option<Param<'a>> {
        self.params().find(name)
    }

    /// The branch as written.
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.value(BRANCH)
    }

    fn value(&self, number: usize) -> Option<&'a [u8]> {
        self.parts.marks.get(number).value(self.item.span.start).map(|span| span.text(self.buffer))
    }

    /// Whether its parameters can be read, and are not more than these.
    pub(super) fn sound(&self, most: usize) -> Result<(), Bad> {
        self.parts.marks.sound(most)
    }

    /// The branch if it identifies a transaction: with the cookie and something behind it. `None`
    /// is matched as RFC 2543 did (T16, `badbranch`).
    pub fn unique_branch(&self) -> Option<&'a [u8]> {
        self.branch().filter(|branch| branch.len() > COOKIE.len() && branch.starts_with(COOKIE))
    }

    /// The address in `received`, with or without brackets (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        host::ip(self.value(RECEIVED)?)
    }

    /// `rport`.
    pub fn rport(&self) -> Rport {
        if self.parts.marks.get(RPORT).span(self.item.span.start).is_none() {
            return Rport::Absent;
        }
        match self.value(RPORT) {
            None | Some(b"") => Rport::Empty,
            Some(port) => number(port).map_or(Rport::Bad, Rport::Port),
        }
    }

    /// Where `keep` is (RFC 6223), and whether it has a value.
    pub fn keep(&self) -> Option<(Span, bool)> {
        let (keep, base) = (self.parts.marks.get(KEEP), self.item.span.start);
        keep.span(base).map(|span| (span, keep.value(base).is_some()))
    }

    /// `maddr` as written.
    pub fn maddr(&self) -> Option<&'a [u8]> {
        self.value(MADDR)
    }

    /// The address of a sent-by that is an IP literal.
    pub fn ip(&self) -> Option<IpAddr> {
        host::ip(self.host)
    }

    /// What is changed in the topmost Via of a request from `peer` (X03): `rport` is filled where it
    /// is there, and `received` is added with it, or where sent-by is a name or another address. A
    /// `received` that a client wrote itself is replaced.
    pub fn stamp(&self, peer: SocketAddr) -> Stamp {
        let address = peer.ip().to_canonical();
        let base = self.item.span.start;
        let (rport, received) = (self.parts.marks.get(RPORT).span(base), self.parts.marks.get(RECEIVED).span(base));
        let rport_change = rport.map(|span| (span, Mark::Rport(peer.port())));
        let received_change = match received {
            Some(span) => Some((span, Mark::Received(address))),
            None if rport.is_some() || self.ip() != Some(address) => {
                Some((Span::at(self.item.span.end), Mark::Received(address)))
            }
            None => None,
        };
        match (rport_change, received_change) {
            (Some(one), Some(other)) if one.0.start > other.0.start => Stamp([Some(other), Some(one)]),
            changes => Stamp(changes.into()),
        }
    }
}

/// Up to two changes of a Via value, in order of their places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp([Option<(Span, Mark)>; 2]);

/// A parameter that the receiver of a request writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// `;rport=`
    Rport(u16),
    /// `;received=`, an IPv6 address without brackets (RFC 5118 §4.5).
    Received(IpAddr),
}

impl Stamp {
    /// What each change replaces (maybe nothing), and what by.
    pub fn changes(&self) -> impl Iterator<Item = (Span, Mark)> + use<> {
        self.0.into_iter().flatten()
    }
}

impl Mark {
    /// Appends it.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Rport(port) => {
                out.extend_from_slice(b";rport=");
                decimal::write(port.into(), out);
            }
            Self::Received(address) => {
                out.extend_from_slice(b";received=");
                host::write(address, out);
            }
        }
    }
}

/// Any protocol of any version: an answer can be sent by it all the same. Where what is behind it begins.
fn protocol(text: &[u8], from: usize) -> Result<usize, Bad> {
    let (_, at) = word(text, from)?;
    let at = slash(text, at)?;
    let (_, at) = word(text, at)?;
    slash(text, at)
}

fn word(text: &[u8], from: usize) -> Result<(&[u8], usize), Bad> {
    let start = skip_lws(text, from);
    let rest = text.get(start..).unwrap_or_default();
    let length = rest.iter().position(|b| !is_token(*b)).unwrap_or(rest.len());
    if length == 0 {
        return Err(Bad::Via);
    }
    Ok((rest.get(..length).unwrap_or_default(), start + length))
}

fn slash(text: &[u8], from: usize) -> Result<usize, Bad> {
    let at = skip_lws(text, from);
    if text.get(at) == Some(&b'/') { Ok(at + 1) } else { Err(Bad::Via) }
}

/// The end of a name or an IP literal.
fn host_end(text: &[u8], start: usize) -> Option<usize> {
    let rest = text.get(start..)?;
    if rest.first() == Some(&b'[') {
        let length = memchr::memchr(b']', rest)? + 1;
        host::ip(rest.get(..length)?)?;
        return Some(start + length);
    }
    let end = seek::host_end(text, start);
    let ends = text.get(end).is_none_or(|b| matches!(b, b':' | b';') || is_lws(*b));
    (end > start && ends).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::edit::Splices;
    use crate::sip::limits::Limits;
    use crate::sip::view::{Index, View};

    fn with_via<T>(via: &str, then: impl FnOnce(&View<'_>) -> T) -> T {
        let message = format!("OPTIONS sip:a@b SIP/2.0\r\nVia: {via}\r\n\r\n");
        let mut index = Index::new();
        then(&View::read(message.as_bytes(), &mut index, &Limits::DEFAULT).unwrap())
    }

    fn stamped(via: &str, peer: &str) -> String {
        with_via(via, |view| {
            let mut splices = Splices::new();
            splices.stamp(&view.top_via().unwrap().stamp(peer.parse().unwrap()));
            let mut out = Vec::new();
            splices.write(view, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            text.strip_prefix("OPTIONS sip:a@b SIP/2.0\r\nVia: ").unwrap().strip_suffix("\r\n\r\n").unwrap().to_owned()
        })
    }

    #[test]
    fn received_and_rport_are_what_the_receiver_saw() {
        // X03 X13
        for (via, peer, expected) in [
            ("SIP/2.0/UDP 192.0.2.1;branch=x", "192.0.2.1:5060", "SIP/2.0/UDP 192.0.2.1;branch=x"),
            ("SIP/2.0/UDP 192.0.2.1", "192.0.2.2:5060", "SIP/2.0/UDP 192.0.2.1;received=192.0.2.2"),
            ("SIP/2.0/UDP h;branch=x", "192.0.2.2:9", "SIP/2.0/UDP h;branch=x;received=192.0.2.2"),
            (
                "SIP/2.0/UDP 192.0.2.1;rport;branch=x",
                "192.0.2.1:9",
                "SIP/2.0/UDP 192.0.2.1;rport=9;branch=x;received=192.0.2.1",
            ),
            (
                "SIP/2.0/TCP 192.0.2.1;branch=x;RPORT",
                "192.0.2.1:65535",
                "SIP/2.0/TCP 192.0.2.1;branch=x;rport=65535;received=192.0.2.1",
            ),
            ("SIP/2.0/UDP h;rport=99999", "192.0.2.1:9", "SIP/2.0/UDP h;rport=9;received=192.0.2.1"),
            ("SIP/2.0/UDP h;received=10.0.0.1;rport;a", "192.0.2.1:9", "SIP/2.0/UDP h;received=192.0.2.1;rport=9;a"),
            (
                "SIP/2.0/UDP [2001:db8::1]:7;rport",
                "[2001:db8::1]:9",
                "SIP/2.0/UDP [2001:db8::1]:7;rport=9;received=2001:db8::1",
            ),
            ("SIP/2.0/UDP [2001:db8::1]", "[2001:db8::1]:9", "SIP/2.0/UDP [2001:db8::1]"),
            ("SIP/2.0/UDP 192.0.2.1", "[::ffff:192.0.2.1]:9", "SIP/2.0/UDP 192.0.2.1"),
            (
                "SIP/2.0/UDP h;received=\"10.0.0.1;rport\", SIP/2.0/UDP i",
                "192.0.2.1:9",
                "SIP/2.0/UDP h;received=192.0.2.1, SIP/2.0/UDP i",
            ),
        ] {
            assert_eq!(stamped(via, peer), expected);
        }
    }

    #[test]
    fn rport_has_four_faces() {
        // X03
        for (via, rport) in [
            ("SIP/2.0/UDP h", Rport::Absent),
            ("SIP/2.0/UDP h;rport", Rport::Empty),
            ("SIP/2.0/UDP h;rport=", Rport::Empty),
            ("SIP/2.0/UDP h;rport=5060", Rport::Port(5060)),
            ("SIP/2.0/UDP h;rport=99999", Rport::Bad),
            ("SIP/2.0/UDP h;rport=x", Rport::Bad),
        ] {
            with_via(via, |view| assert_eq!(view.top_via().unwrap().rport(), rport, "{via}"));
        }
    }

    #[test]
    fn what_no_via_may_be() {
        // V01
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0 h",
            "SIP/2.0/UDP ;x",
            "SIP/2.0/UDP h x",
            "SIP/2.0/UDP h:;x",
            "SIP/2.0/UDP h:70000",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP ::1",
            "SIP/2.0/UDP h;;x",
            "SIP/2.0/UDP h;",
            "SIP/2.0/UDP h;=x",
            "SIP//UDP h",
            "SIP/2.0/UDP h:5060 x",
            "SIP/2.0/UDP h;a=\"b",
            "SIP/2.0/UDP h;a b",
            "SIP/2.0/UDP\u{1} h",
        ] {
            with_via(bad, |view| {
                let faulty = view.top_via().and_then(|via| via.params().collect::<Result<Vec<_>, _>>());
                assert!(faulty.is_err(), "{bad:?}");
            });
        }
    }
}
