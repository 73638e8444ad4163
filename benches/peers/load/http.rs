//! Browsers in a closed loop: the next request when the last is answered.

use super::connection::{Connection, HOST, frame, trust};
use super::{Window, tenths};
use crate::plan::{Load, Seen, Work};
use memchr::memmem;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rustls::ClientConfig;
use std::io;
use std::sync::Arc;

/// The size of a message through a tunnel.
const MESSAGE: usize = 1024;

/// A browser's GET at one of the tenants.
fn get(tenant: usize, more: &str) -> Vec<u8> {
    format!(
        "GET / HTTP/1.1\r\nHost: t{tenant:05}.pbx.example\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
Cookie: session=0123456789abcdef0123456789abcdef\r\n{more}\r\n"
    )
    .into_bytes()
}

/// The length of the first whole response.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let rows = text.lines().filter_map(|row| row.split_once(':'));
    let length = rows.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(Some(0), |(_, value)| value.trim().parse::<usize>().ok())?;
    (bytes.len() >= head + length).then_some(head + length)
}

fn secure(load: &Load) -> Option<Arc<ClientConfig>> {
    load.over.secure().then(|| trust(load, &[b"http/1.1"]))
}

/// Connections each with one request or message on its way.
struct Loop<'a> {
    window: Window<'a>,
    began: Vec<u64>,
    latencies: Vec<u32>,
    seen: Seen,
}

impl<'a> Loop<'a> {
    fn new(load: &'a Load) -> Self {
        let began = vec![0; load.sockets];
        Self { window: Window::new(load), began, latencies: Vec::new(), seen: Seen::default() }
    }

    /// One unit has ended. The time, unless the window has closed.
    fn ended(&mut self, number: usize, wrong: Option<String>) -> Option<u64> {
        let now = self.window.now();
        let began = std::mem::replace(&mut self.began[number], now);
        if self.window.holds(began) {
            self.seen.begun += 1;
            match wrong {
                None => {
                    self.seen.ok += 1;
                    self.latencies.push(tenths(began, now));
                }
                Some(text) => {
                    self.seen.wrong += 1;
                    self.seen.example.get_or_insert(text);
                }
            }
        }
        (!self.window.is_over()).then_some(now)
    }

    fn account(self) -> Seen {
        self.window.account(self.seen, self.latencies)
    }

    /// Runs all connections; `answered` takes one whole answer from an inbox, and what was wrong with it.
    fn run(
        mut self,
        mut connections: Vec<Connection>,
        mut request: impl FnMut() -> Vec<u8>,
        answered: impl Fn(&mut Vec<u8>) -> Option<Option<String>>,
    ) -> Seen {
        let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
        for (number, connection) in connections.iter_mut().enumerate() {
            connection.nonblocking();
            epoll.add(&connection.socket, EpollEvent::new(EpollFlags::EPOLLIN, number as u64)).unwrap();
            connection.write(&request());
        }
        let mut events = vec![EpollEvent::empty(); 256];
        while !self.window.is_over() {
            let ready = epoll.wait(&mut events, EpollTimeout::from(100u8)).unwrap_or(0);
            self.window.now();
            for event in &events[..ready] {
                let number = event.data() as usize;
                let connection = &mut connections[number];
                connection.fill().expect("the connection stays");
                if let Some(wrong) = answered(&mut connection.inbox) {
                    if self.ended(number, wrong).is_none() {
                        break;
                    }
                    connection.write(&request());
                } else {
                    connection.flush();
                }
            }
        }
        self.account()
    }
}

/// GET on kept connections, over a fifth of the tenants.
pub fn kept(load: &Load) -> Seen {
    let trust = secure(load);
    let connections =
        (0..load.sockets).map(|_| Connection::dial(load, trust.as_ref()).expect("a connection")).collect();
    let requests: Vec<_> = (0..load.tenants.div_ceil(5)).map(|n| get(n * 7_919 % load.tenants, "")).collect();
    let mut next = 0;
    let request = || {
        next = (next + 1) % requests.len();
        requests[next].clone()
    };
    Loop::new(load).run(connections, request, |inbox| {
        let length = whole(inbox)?;
        let wrong = (!inbox.starts_with(b"HTTP/1.1 200")).then(|| String::from_utf8_lossy(inbox).into_owned());
        inbox.drain(..length);
        Some(wrong)
    })
}

/// Messages there and back through WebSocket tunnels.
pub fn tunnels(load: &Load) -> Seen {
    let trust = secure(load);
    let open = |_| {
        let mut connection = Connection::dial(load, trust.as_ref()).expect("a connection");
        connection.upgrade("/ws", "").expect("a tunnel");
        connection
    };
    let message = frame(&[b'x'; MESSAGE - 8]);
    assert_eq!(message.len(), MESSAGE);
    let expected = message.clone();
    Loop::new(load).run(
        (0..load.sockets).map(open).collect(),
        || message.clone(),
        |inbox| {
            (inbox.len() >= MESSAGE).then(|| {
                let wrong = (*inbox != expected).then(|| "other bytes came back".to_owned());
                inbox.clear();
                wrong
            })
        },
    )
}

/// A new connection for each unit, one after the other: a handshake, and a GET if that is the work.
pub fn once(load: &Load) -> Seen {
    let alpn: &[&[u8]] = if load.work == Work::GetOnce { &[b"http/1.1"] } else { &[] };
    let trust = trust(load, alpn);
    let request = get(42, "Connection: close\r\n");
    let mut it = Loop::new(load);
    let unit = || -> io::Result<()> {
        let mut connection = Connection::dial(load, Some(&trust))?;
        if load.work == Work::GetOnce {
            connection.write(&request);
            while whole(&connection.inbox).is_none() {
                connection.fill()?;
            }
            if !connection.inbox.starts_with(b"HTTP/1.1 200") {
                return Err(io::Error::other(String::from_utf8_lossy(&connection.inbox).into_owned()));
            }
        }
        connection.close();
        Ok(())
    };
    while it.ended(0, unit().err().map(|error| error.to_string())).is_some() {
        assert!(it.seen.wrong < 100, "{:?}", it.seen.example);
    }
    it.account()
}

/// Opens the connections, says so, and holds them until the generator is ended.
pub fn idle(load: &Load) -> Seen {
    let trust = trust(load, &[]);
    let mut held: Vec<_> = (0..load.sockets).map(|_| Connection::open(load, Some(&trust)).expect(HOST)).collect();
    held.iter_mut().for_each(Connection::nonblocking);
    println!("{}", serde_json::to_string(&Seen { ok: held.len() as u64, ..Seen::default() }).unwrap());
    loop {
        std::thread::park();
    }
}
