//! The messages of many phones, and what becomes of each unit of work.
//!
//! A phone keeps its `+sip.instance`, Call-ID and tag, and counts its CSeq up, as real ones do; the branch of each
//! request says which unit it belongs to, and in which of its steps.

use super::{Window, tenths};
use crate::plan::{Load, Over, Seen, Work};
use memchr::memmem;
use std::io::Write as _;

/// What every branch of ours begins with, before eight hexadecimal digits and the letter of the step.
const BRANCH: &[u8] = b"z9hG4bKpeers";

const SDP: &str = "v=0\r\no=- 3838 3838 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
m=audio 49170 RTP/AVP 9 8 0 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

const ALLOW: &str = "INVITE, ACK, OPTIONS, BYE, CANCEL, REFER, NOTIFY, INFO, PRACK, UPDATE, MESSAGE";

/// How far a unit is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    First,
    Second,
    Over,
}

/// All phones of a generator.
pub struct Phones<'a> {
    load: &'a Load,
    /// The port of each socket.
    ports: Vec<u16>,
    via: &'static str,
    parameter: &'static str,
    /// Tells this run's dialogs from those of earlier runs.
    run: u32,
    units: Vec<(u64, Step)>,
    pub latencies: Vec<u32>,
    pub seen: Seen,
    pub ended: usize,
}

impl<'a> Phones<'a> {
    pub fn new(load: &'a Load, ports: Vec<u16>) -> Self {
        let (via, parameter) = match load.over {
            Over::Udp => ("UDP", ""),
            Over::Tcp => ("TCP", ";transport=tcp"),
            Over::Tls => ("TLS", ";transport=tls"),
            Over::Ws => ("WS", ";transport=ws"),
            Over::Wss => ("WSS", ";transport=ws"),
        };
        Self {
            load,
            ports,
            via,
            parameter,
            run: std::process::id(),
            units: Vec::new(),
            latencies: Vec::new(),
            seen: Seen::default(),
            ended: 0,
        }
    }

    /// Units begun so far.
    pub fn begun(&self) -> usize {
        self.units.len()
    }

    /// The socket of a unit's phone.
    pub fn socket(&self, unit: usize) -> usize {
        self.phone(unit) % self.ports.len()
    }

    fn phone(&self, unit: usize) -> usize {
        unit % self.load.tenants
    }

    /// The next unit's first message.
    pub fn begin(&mut self, now: u64, window: &Window<'_>, out: &mut Vec<u8>) {
        let unit = self.units.len();
        self.units.push((now, Step::First));
        self.seen.begun += u64::from(window.holds(now));
        match self.load.work {
            Work::Call => self.invite(unit, out),
            work => self.register(unit, work == Work::Register, 'r', out),
        }
    }

    /// A response has come in. Writes what its unit sends next, each message with a call of `send`.
    pub fn hear(&mut self, response: &[u8], now: u64, window: &Window<'_>, mut send: impl FnMut(&[u8])) {
        let Some((unit, step, code)) = self.read(response) else {
            return self.wrong(response, true);
        };
        let Some((began, at)) = self.units.get(unit).copied() else { return };
        let counted = window.holds(began);
        let mut out = Vec::new();
        let next = match (step, at) {
            _ if code < 200 => return,
            (b'r', Step::First) if self.load.work == Work::Digest && code == 401 => {
                self.register(unit, true, 'a', &mut out);
                send(&out);
                Step::Second
            }
            (b'i', Step::First) if code == 200 => {
                for method in ["ACK", "BYE"] {
                    out.clear();
                    self.in_dialog(unit, method, response, &mut out);
                    send(&out);
                }
                Step::Second
            }
            (b'r', Step::First) | (b'a' | b'b', Step::Second) | (b'i', Step::First) => {
                let done = self.load.work == Work::Register || step != b'r' && step != b'i';
                if code == 200 && done {
                    self.seen.ok += u64::from(counted);
                    if counted {
                        self.latencies.push(tenths(began, now));
                    }
                } else {
                    self.wrong(response, counted);
                }
                self.ended += 1;
                Step::Over
            }
            // a retransmission
            _ => return,
        };
        if let Some(entry) = self.units.get_mut(unit) {
            entry.1 = next;
        }
    }

    fn wrong(&mut self, response: &[u8], counted: bool) {
        self.seen.wrong += u64::from(counted);
        self.seen.example.get_or_insert_with(|| String::from_utf8_lossy(response).into_owned());
    }

    /// The unit, the step and the status.
    fn read(&self, response: &[u8]) -> Option<(usize, u8, u16)> {
        let code = response.strip_prefix(b"SIP/2.0 ")?.get(..3)?;
        let code = std::str::from_utf8(code).ok()?.parse().ok()?;
        let rest = response.get(memmem::find(response, BRANCH)? + BRANCH.len()..)?;
        let unit = usize::from_str_radix(std::str::from_utf8(rest.get(..8)?).ok()?, 16).ok()?;
        Some((unit, *rest.get(8)?, code))
    }

    /// The rows that every request has, up to its CSeq.
    fn head(&self, unit: usize, step: char, out: &mut Vec<u8>) {
        let port = self.ports[self.socket(unit)];
        let (via, run) = (self.via, self.run);
        let branch = std::str::from_utf8(BRANCH).unwrap_or_default();
        let _ = write!(
            out,
            "Via: SIP/2.0/{via} 127.0.0.1:{port};branch={branch}{unit:08x}{step}{run:x};rport\r\nMax-Forwards: 70\r\n"
        );
    }

    fn register(&self, unit: usize, credentials: bool, step: char, out: &mut Vec<u8>) {
        let (phone, port, run) = (self.phone(unit), self.ports[self.socket(unit)], self.run);
        let round = unit / self.load.tenants;
        let cseq = 2 * round + if step == 'a' { 2 } else { 1 };
        let user = "p1";
        // Tells the PBX which of them it has to challenge.
        let kind = if self.load.work == Work::Digest { "ask" } else { "reg" };
        let _ = write!(out, "REGISTER sip:t{phone:05}.pbx.example SIP/2.0\r\n");
        self.head(unit, step, out);
        let _ = write!(
            out,
            "From: \"Phone {phone}\" <sip:{user}@t{phone:05}.pbx.example>;tag=f{phone:05}{run:x}\r\n\
To: \"Phone {phone}\" <sip:{user}@t{phone:05}.pbx.example>\r\n\
Call-ID: {phone:08x}-{run:x}-{kind}@127.0.0.1\r\n\
CSeq: {cseq} REGISTER\r\n\
Contact: <sip:{user}@127.0.0.1:{port}{};ob>;+sip.instance=\"<urn:uuid:5f7dab04-cf2c-4e4a-b5d1-{phone:012x}>\";reg-id=1\r\n\
User-Agent: Yealink SIP-T46U 108.86.0.75\r\nSupported: path, outbound, gruu, replaces\r\nAllow: {ALLOW}\r\nExpires: 3600\r\n",
            self.parameter
        );
        if credentials {
            let _ = write!(
                out,
                "Authorization: Digest username=\"{user}\", realm=\"pbx\", nonce=\"1763740287/6d0d0e8b1f63b1a2\", \
uri=\"sip:t{phone:05}.pbx.example\", response=\"e6f99bf42fe01fc304d3d4eb2dfb4a6f\", algorithm=MD5, \
cnonce=\"0a4f113b\", qop=auth, nc={cseq:08x}\r\n"
            );
        }
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }

    /// The rows that tell a call.
    fn dialog(&self, unit: usize, to: &[u8], cseq: u32, method: &str, out: &mut Vec<u8>) {
        let (phone, port, run) = (self.phone(unit), self.ports[self.socket(unit)], self.run);
        let _ = write!(out, "From: \"Phone {phone}\" <sip:p1@t{phone:05}.pbx.example>;tag=c{unit:08x}\r\n");
        out.extend_from_slice(to);
        let _ = write!(
            out,
            "\r\nCall-ID: {unit:08x}-{run:x}-call@127.0.0.1\r\nCSeq: {cseq} {method}\r\n\
Contact: <sip:p1@127.0.0.1:{port}{}>\r\nUser-Agent: Yealink SIP-T46U 108.86.0.75\r\n",
            self.parameter
        );
    }

    fn invite(&self, unit: usize, out: &mut Vec<u8>) {
        let phone = self.phone(unit);
        let _ = write!(out, "INVITE sip:7001@t{phone:05}.pbx.example SIP/2.0\r\n");
        self.head(unit, 'i', out);
        self.dialog(unit, format!("To: <sip:7001@t{phone:05}.pbx.example>").as_bytes(), 1, "INVITE", out);
        let _ = write!(
            out,
            "Supported: replaces, 100rel, timer\r\nAllow: {ALLOW}\r\nContent-Type: application/sdp\r\n\
Content-Length: {}\r\n\r\n{SDP}",
            SDP.len()
        );
    }

    /// ACK or BYE in the dialog that a 200 has made.
    fn in_dialog(&self, unit: usize, method: &str, answer: &[u8], out: &mut Vec<u8>) {
        let (mut to, mut target, mut routes) = (&b""[..], &b""[..], Vec::new());
        for row in rows(answer) {
            match name(row) {
                Some(b"To") => to = row,
                Some(b"Contact") => target = addresses(row).first().copied().unwrap_or_default(),
                Some(b"Record-Route") => routes.extend(addresses(row)),
                _ => {}
            }
        }
        let _ = write!(out, "{method} ");
        out.extend_from_slice(target);
        out.extend_from_slice(b" SIP/2.0\r\n");
        self.head(unit, if method == "ACK" { 'k' } else { 'b' }, out);
        for route in routes.iter().rev() {
            out.extend_from_slice(b"Route: <");
            out.extend_from_slice(route);
            out.extend_from_slice(b">\r\n");
        }
        self.dialog(unit, to, if method == "ACK" { 1 } else { 2 }, method, out);
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}

/// The rows of a message's head, without the start line.
pub fn rows(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let all = message.split(|byte| *byte == b'\n').map(|row| row.strip_suffix(b"\r").unwrap_or(row));
    all.skip(1).take_while(|row| !row.is_empty())
}

/// The name of a row.
pub fn name(row: &[u8]) -> Option<&[u8]> {
    row.get(..memchr::memchr(b':', row)?)
}

/// What stands between `<` and `>`.
fn addresses(row: &[u8]) -> Vec<&[u8]> {
    let parts = row.split(|byte| *byte == b'<').skip(1);
    parts.filter_map(|part| part.get(..memchr::memchr(b'>', part)?)).collect()
}

/// The length of the first whole message of a stream.
pub fn whole(bytes: &[u8]) -> Option<usize> {
    let head = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let length = rows(bytes).find(|row| name(row) == Some(b"Content-Length"))?;
    let length = std::str::from_utf8(length.get(15..)?).ok()?.trim().parse::<usize>().ok()?;
    (bytes.len() >= head + length).then_some(head + length)
}
