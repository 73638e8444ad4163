//! Phones at a fixed rate, whatever the system does (an open loop), over datagrams or connections.

use super::Window;
use super::connection::{Connection, trust};
use super::sip::{Phones, whole};
use crate::plan::{Load, Seen};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::{TimeSpec, TimeValLike as _};
use std::net::UdpSocket;
use std::os::fd::AsFd;

/// How long answers are waited for after the window.
const DRAIN: u64 = 1_000_000_000;

/// When units are due, and what has been begun too late.
struct Pace<'a> {
    load: &'a Load,
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl<'a> Pace<'a> {
    fn new(load: &'a Load) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
        Self { load, epoll, events: vec![EpollEvent::empty(); 64] }
    }

    fn watch(&self, socket: impl AsFd, number: usize) {
        self.epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, number as u64)).unwrap();
    }

    /// Units that should have begun by now.
    fn due(&self, now: u64, window: &Window<'_>) -> usize {
        (now.min(window.closes()) as f64 * self.load.rate / 1e9) as usize
    }

    /// Waits for a socket or for the next unit's time; `epoll_wait` alone is only exact to milliseconds.
    fn wait(&mut self, begun: usize, now: u64, window: &Window<'_>) -> Vec<usize> {
        let next = ((begun + 1) as f64 * 1e9 / self.load.rate) as u64;
        let next = if window.is_over() { now + 1_000_000 } else { next.min(now + 5_000_000) };
        if next > now {
            let mut fds = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
            let _ = ppoll(&mut fds, Some(TimeSpec::nanoseconds((next - now) as i64)), None);
        }
        let ready = self.epoll.wait(&mut self.events, EpollTimeout::ZERO).unwrap_or(0);
        self.events.iter().take(ready).map(|event| event.data() as usize).collect()
    }

    /// Whether everything is over: the answers are in, or waited for long enough.
    fn is_over(&self, now: u64, window: &Window<'_>, phones: &Phones<'_>) -> bool {
        window.is_over() && (phones.ended >= phones.begun() || now > window.closes() + DRAIN)
    }
}

/// Begins what is due, at most a burst at a time so that answers are read in between.
fn begin(
    pace: &Pace<'_>,
    phones: &mut Phones<'_>,
    now: u64,
    window: &Window<'_>,
    out: &mut Vec<u8>,
    mut send: impl FnMut(usize, &[u8]),
) {
    let due = pace.due(now, window);
    for _ in 0..due.saturating_sub(phones.begun()).min(64) {
        let unit = phones.begun();
        let time = ((unit + 1) as f64 * 1e9 / pace.load.rate) as u64;
        phones.seen.late += u64::from(window.holds(time) && now.saturating_sub(time) > 5_000_000);
        out.clear();
        let socket = phones.socket(unit);
        phones.begin(now, window, out);
        send(socket, out);
    }
}

pub fn over_udp(load: &Load) -> Seen {
    let open = |_| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(load.target).unwrap();
        socket.set_nonblocking(true).unwrap();
        crate::buffers(&socket);
        socket
    };
    let sockets: Vec<UdpSocket> = (0..load.sockets).map(open).collect();
    let mut pace = Pace::new(load);
    sockets.iter().enumerate().for_each(|(number, socket)| pace.watch(socket, number));
    let ports = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
    let mut phones = Phones::new(load, ports);
    let mut window = Window::new(load);
    let (mut out, mut datagram) = (Vec::new(), [0; 8_192]);
    loop {
        let now = window.now();
        if pace.is_over(now, &window, &phones) {
            break;
        }
        begin(&pace, &mut phones, now, &window, &mut out, |socket, message| {
            let _ = sockets[socket].send(message);
        });
        for number in pace.wait(phones.begun(), now, &window) {
            let socket = &sockets[number];
            while let Ok(length) = socket.recv(&mut datagram) {
                let now = window.now();
                phones.hear(&datagram[..length], now, &window, |message| {
                    let _ = socket.send(message);
                });
            }
        }
    }
    let latencies = std::mem::take(&mut phones.latencies);
    window.account(phones.seen, latencies)
}

pub fn over_streams(load: &Load) -> Seen {
    let trust = trust(load, &[]);
    let mut connections: Vec<Connection> =
        (0..load.sockets).map(|_| Connection::open(load, Some(&trust)).expect("a connection")).collect();
    let mut pace = Pace::new(load);
    for (number, connection) in connections.iter_mut().enumerate() {
        connection.nonblocking();
        pace.watch(&connection.socket, number);
    }
    let ports = connections.iter().map(Connection::port).collect();
    let mut phones = Phones::new(load, ports);
    let mut window = Window::new(load);
    let mut out = Vec::new();
    loop {
        let now = window.now();
        if pace.is_over(now, &window, &phones) {
            break;
        }
        begin(&pace, &mut phones, now, &window, &mut out, |number, message| connections[number].send(message));
        for number in pace.wait(phones.begun(), now, &window) {
            let connection = &mut connections[number];
            connection.fill().expect("the connection stays");
            let inbox = std::mem::take(&mut connection.inbox);
            let mut at = 0;
            while let Some(length) = whole(&inbox[at..]) {
                let now = window.now();
                phones.hear(&inbox[at..at + length], now, &window, |message| connection.send(message));
                at += length;
            }
            connection.inbox = inbox;
            connection.inbox.drain(..at);
            connection.flush();
        }
    }
    let latencies = std::mem::take(&mut phones.latencies);
    window.account(phones.seen, latencies)
}
