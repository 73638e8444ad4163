//! A PBX that answers everything with 200 and tells what it got, byte by byte.

use nantucket::sip::frame::{Frame, Framer};
use nantucket::sip::limits::Limits;
use nantucket::sip::method::Method;
use nantucket::sip::name::Name;
use nantucket::sip::reply::{self, Reply};
use nantucket::sip::view::{Index, View};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// A request row that asks for an answer out of the corpus: `X-Answer: <name>`.
pub const ANSWER: &str = "X-Answer";

/// On UDP and TCP, port 5060 of its address.
pub struct Pbx {
    /// Requests in the order they came; no probes and no ACKs.
    pub requests: Receiver<Vec<u8>>,
    pub address: String,
}

impl Pbx {
    pub fn start(ip: Ipv4Addr) -> Self {
        let (sender, requests) = channel();
        let udp = UdpSocket::bind((ip, 5060)).unwrap();
        let tcp = TcpListener::bind((ip, 5060)).unwrap();
        let told = sender.clone();
        thread::spawn(move || datagrams(&udp, &told));
        thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                let told = sender.clone();
                thread::spawn(move || connection(stream, &told));
            }
        });
        Self { requests, address: format!("{ip}:5060") }
    }

    /// What came so far.
    pub fn drain(&self) -> Vec<Vec<u8>> {
        self.requests.try_iter().collect()
    }
}

fn datagrams(socket: &UdpSocket, told: &Sender<Vec<u8>>) {
    let mut room = vec![0; 65_536];
    while let Ok((length, from)) = socket.recv_from(&mut room) {
        for answer in answers(&room[..length], told) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn connection(mut stream: TcpStream, told: &Sender<Vec<u8>>) {
    let (mut framer, mut buffer, mut room) = (Framer::new(Limits::DEFAULT), Vec::new(), vec![0; 65_536]);
    while let Ok(length @ 1..) = stream.read(&mut room) {
        buffer.extend_from_slice(&room[..length]);
        loop {
            match framer.next(&buffer) {
                Frame::Partial => break,
                Frame::Ping(taken) | Frame::Blank(taken) => drop(buffer.drain(..taken)),
                Frame::Message(taken) => {
                    let message: Vec<u8> = buffer.drain(..taken).collect();
                    for answer in answers(&message, told) {
                        let _ = stream.write_all(&answer);
                    }
                }
                // V10: what we get can always be framed.
                odd => panic!("the PBX got a stream it cannot frame: {odd:?}: {}", buffer.escape_ascii()),
            }
        }
    }
}

fn answers(bytes: &[u8], told: &Sender<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut index = Index::new();
    let Ok(view) = View::read(bytes, &mut index, &Limits::DEFAULT) else {
        let _ = told.send(bytes.to_vec());
        return Vec::new();
    };
    if !view.is_request() {
        return Vec::new();
    }
    let is_probe = view.value(Name::UserAgent) == Some(b"nantucket") && view.method() == Method::Options;
    if !is_probe && view.method() != Method::Ack {
        let _ = told.send(bytes.to_vec());
    }
    if view.method() == Method::Ack {
        return Vec::new();
    }
    let mut out = Vec::new();
    reply::write(&view, &Reply { status: 200, reason: "OK", to_tag: Some(b"pbx"), peer: None, rows: b"" }, &mut out);
    match view.rows_labelled(ANSWER.as_bytes()).next().map(|row| view.text(row.value)) {
        Some(name) => vec![dressed(&super::corpus(std::str::from_utf8(name).unwrap()), &view), out],
        None => vec![out],
    }
}

/// A response of the corpus as an answer to `request`: its status line, its own rows and its body,
/// with the request's dialog and Via values. Its second Via stays where it has one.
fn dressed(response: &[u8], request: &View<'_>) -> Vec<u8> {
    let mut index = Index::new();
    let view = View::read(response, &mut index, &Limits::DEFAULT).unwrap();
    let first_row = view.rows()[0].line.start as usize;
    let mut out = response[..first_row].to_vec();
    let own = view.rows_named(Name::Via).skip(1).map(|row| view.text(row.line));
    let top = request.rows_named(Name::Via).take(1).map(|row| request.text(row.line));
    let rest = request.rows_named(Name::Via).skip(1).map(|row| request.text(row.line));
    if view.count(Name::Via) > 1 {
        top.chain(own).for_each(|line| out.extend_from_slice(line));
    } else {
        top.chain(rest).for_each(|line| out.extend_from_slice(line));
    }
    for name in [Name::From, Name::To, Name::CallId] {
        out.extend_from_slice(request.text(request.first(name).unwrap().line));
    }
    // `scalarlg`: its CSeq is what is wrong with it.
    let cseq = if view.cseq().is_ok() { request } else { &view };
    out.extend_from_slice(cseq.text(cseq.first(Name::CSeq).unwrap().line));
    for row in view.rows() {
        if ![Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq].contains(&row.name) {
            out.extend_from_slice(view.text(row.line));
        }
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(view.body());
    out
}
