//! Many phones over TLS in one thread: each has a connection of its own, registers over it with digest, answers calls,
//! and comes back by itself when its connection ends, resuming its TLS session. And callers, who call them over UDP
//! without a pause. Not SIPp, which has no TLS; not [`super::herd`], whose phones share a few datagram sockets.

use super::sip::{status, value};
use nantucket::demo::digest::{Challenge, Claim, Credentials};
use nantucket::sip::frame::{Frame, Framer};
use nantucket::sip::limits::Limits;
use rustls::ClientConfig;
use rustls::client::Resumption;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// What the phones are and where they go.
pub struct Plan {
    /// `host:port` of the node's `sip-tls`.
    pub to: SocketAddr,
    /// The name its certificate has.
    pub name: String,
    pub tls: Arc<ClientConfig>,
    pub domain: String,
    pub phones: usize,
    /// The addresses they are spread over.
    pub from: Vec<Ipv4Addr>,
    /// They begin over this time, and come back over this time.
    pub within: Duration,
    /// Whether one that comes back registers anew, or counts on the registration it has.
    pub registers_again: bool,
}

/// How they fare.
#[derive(Default)]
pub struct Tally {
    /// Connections that are up, their handshake done and their registration, where they make one, granted.
    pub back: AtomicUsize,
    /// Handshakes that were done, and those of them that resumed a session.
    pub handshakes: AtomicUsize,
    pub resumed: AtomicUsize,
    /// Connections that ended or never came to be.
    pub ended: AtomicUsize,
    /// Times one was told to register later.
    pub busy: AtomicUsize,
    /// Calls the callers made, and those of them that were answered and hung up.
    pub placed: AtomicUsize,
    pub done: AtomicUsize,
    /// What the others ended with.
    pub failed: Mutex<BTreeMap<String, usize>>,
    /// The longest that one took to be answered, in milliseconds.
    pub longest: AtomicUsize,
}

/// The phones, and their callers.
pub struct Lines {
    pub tally: Arc<Tally>,
    end: CancellationToken,
    quiet_callers: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lines {
    /// Starts the phones, and so many callers at `caller_ip` that call one after the other over UDP by way of
    /// `caller_to`, as soon as all phones are there.
    pub fn start(plan: Plan, callers: usize, caller_ip: Ipv4Addr, caller_to: SocketAddr) -> Self {
        let tally = Arc::<Tally>::default();
        let end = CancellationToken::new();
        let quiet_callers = Arc::<AtomicBool>::default();
        let (told, stop, quiet) = (Arc::clone(&tally), end.clone(), Arc::clone(&quiet_callers));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let plan = Arc::new(plan);
            runtime.block_on(async {
                for n in 0..plan.phones {
                    tokio::spawn(Phone::new(n, Arc::clone(&plan), Arc::clone(&told)).live());
                }
                for n in 0..callers {
                    let (plan, told, quiet) = (Arc::clone(&plan), Arc::clone(&told), Arc::clone(&quiet));
                    tokio::spawn(async move {
                        while told.back.load(Ordering::Relaxed) < plan.phones {
                            sleep(Duration::from_millis(10)).await;
                        }
                        let socket = UdpSocket::bind((caller_ip, 0)).await.unwrap();
                        let mut caller = Caller { n, calls: 0, socket, to: caller_to, plan, tally: told };
                        loop {
                            while quiet.load(Ordering::Relaxed) {
                                sleep(Duration::from_millis(5)).await;
                            }
                            caller.call().await;
                        }
                    });
                }
                stop.cancelled().await;
            });
        });
        Self { tally, end, quiet_callers, thread: Some(thread) }
    }

    /// How many are back.
    pub fn back(&self) -> usize {
        self.tally.back.load(Ordering::Relaxed)
    }

    /// Calls so far, and those that are done.
    pub fn calls(&self) -> (usize, usize) {
        (self.tally.placed.load(Ordering::Relaxed), self.tally.done.load(Ordering::Relaxed))
    }

    /// No further calls for now, or calls again; those that are placed go on.
    pub fn hush(&self, quiet: bool) {
        self.quiet_callers.store(quiet, Ordering::Relaxed);
    }

    /// Waits until every call that was placed has ended, well or not.
    #[track_caller]
    pub fn wait_calls(&self) {
        super::until("all calls have ended", super::PATIENCE * 4, || {
            let (placed, done) = self.calls();
            done + self.tally.failed.lock().unwrap().values().sum::<usize>() == placed
        });
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Phone {
    n: usize,
    plan: Arc<Plan>,
    tally: Arc<Tally>,
    connector: TlsConnector,
    credentials: Option<String>,
    cseq: u32,
    registered: bool,
}

impl Phone {
    fn new(n: usize, plan: Arc<Plan>, tally: Arc<Tally>) -> Self {
        // Each resumes its own session and nobody else's.
        let mut tls = ClientConfig::clone(&plan.tls);
        tls.resumption = Resumption::in_memory_sessions(4);
        Self { n, plan, tally, connector: Arc::new(tls).into(), credentials: None, cseq: 0, registered: false }
    }

    async fn live(mut self) {
        let mut pause = self.plan.within.mul_f64(fastrand::f64());
        loop {
            sleep(pause).await;
            let mut counted = false;
            let wait = self.session(&mut counted).await;
            self.tally.ended.fetch_add(1, Ordering::Relaxed);
            if counted {
                self.tally.back.fetch_sub(1, Ordering::Relaxed);
            }
            pause = match wait {
                Some(told) => told,
                None if counted => self.plan.within.mul_f64(fastrand::f64()),
                None => {
                    Duration::from_millis(200) + self.plan.within.mul_f64(fastrand::f64()).min(Duration::from_secs(2))
                }
            };
        }
    }

    /// One connection until its end; for how long it was told to stay away.
    async fn session(&mut self, counted: &mut bool) -> Option<Duration> {
        let plan = Arc::clone(&self.plan);
        let socket = TcpSocket::new_v4().unwrap();
        // Many ports of one address may be in use towards one port.
        socket.set_reuseaddr(true).unwrap();
        socket.bind((plan.from[self.n % plan.from.len()], 0).into()).ok()?;
        let socket = timeout(Duration::from_secs(10), socket.connect(plan.to)).await.ok()?.ok()?;
        let local = socket.local_addr().ok()?;
        let name = plan.name.clone().try_into().unwrap();
        let stream = timeout(Duration::from_secs(20), self.connector.connect(name, socket)).await.ok()?.ok()?;
        self.tally.handshakes.fetch_add(1, Ordering::Relaxed);
        if stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
            self.tally.resumed.fetch_add(1, Ordering::Relaxed);
        }
        let (mut reads, mut writes) = tokio::io::split(stream);
        if plan.registers_again || !self.registered {
            writes.write_all(self.register(local).as_bytes()).await.ok()?;
        } else {
            *counted = true;
            self.tally.back.fetch_add(1, Ordering::Relaxed);
        }
        let (mut framer, mut begun, mut room) = (Framer::new(Limits::DEFAULT), Vec::new(), [0; 4_096]);
        loop {
            let n = reads.read(&mut room).await.ok().filter(|n| *n > 0)?;
            begun.extend_from_slice(&room[..n]);
            loop {
                let taken = match framer.next(&begun) {
                    Frame::Partial => break,
                    Frame::Ping(taken) | Frame::Blank(taken) => {
                        begun.drain(..taken);
                        continue;
                    }
                    Frame::Message(taken) => taken,
                    odd => panic!("a phone got a stream it cannot frame: {odd:?}"),
                };
                let message = String::from_utf8(begun.drain(..taken).collect()).unwrap();
                if !message.starts_with("SIP/2.0 ") {
                    if let Some(answer) = self.answer(&message) {
                        writes.write_all(answer.as_bytes()).await.ok()?;
                    }
                    continue;
                }
                match status(&message) {
                    200 if !*counted => {
                        (*counted, self.registered) = (true, true);
                        self.tally.back.fetch_add(1, Ordering::Relaxed);
                    }
                    401 => {
                        let challenge = Challenge::read(value(&message, "WWW-Authenticate")).expect("a challenge");
                        self.credentials =
                            Some(credentials(&challenge, self.n, "REGISTER", &format!("sip:{}", plan.domain)));
                        writes.write_all(self.register(local).as_bytes()).await.ok()?;
                    }
                    503 => {
                        self.tally.busy.fetch_add(1, Ordering::Relaxed);
                        let told = value(&message, "Retry-After").parse().expect("a Retry-After");
                        sleep(Duration::from_secs(told) + Duration::from_secs(1).mul_f64(fastrand::f64())).await;
                        writes.write_all(self.register(local).as_bytes()).await.ok()?;
                    }
                    100..=199 => {}
                    other => panic!("u{} was answered {other}: {message}", self.n),
                }
            }
        }
    }

    fn register(&mut self, local: SocketAddr) -> String {
        self.cseq += 1;
        let Self { n, cseq, plan, .. } = self;
        let domain = &plan.domain;
        let authorization = self.credentials.as_ref().map(|text| format!("Authorization: {text}\r\n"));
        format!(
            "REGISTER sip:{domain} SIP/2.0\r\nVia: SIP/2.0/TLS {local};branch=z9hG4bKl{n}x{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u{n}@{domain}>;tag=l{n}\r\nTo: <sip:u{n}@{domain}>\r\n\
             Call-ID: {n}@lines\r\nCSeq: {cseq} REGISTER\r\n\
             Contact: <sip:u{n}@lines.invalid;transport=tls>;+sip.instance=\"<urn:uuid:{n}>\"\r\n\
             Supported: path, outbound\r\nUser-Agent: Lines/1\r\nExpires: 3600\r\n{}Content-Length: 0\r\n\r\n",
            authorization.unwrap_or_default()
        )
    }

    /// Every call is answered at once, every other request too.
    fn answer(&self, request: &str) -> Option<String> {
        if request.starts_with("ACK ") {
            return None;
        }
        let n = self.n;
        let answer = super::sip::response(request, "200 OK").replace(";tag=b\r\n", &tagged(request, n));
        let contact = format!("Contact: <sip:u{n}@lines.invalid;transport=tls>\r\nContent-Length: 0");
        Some(answer.replace("Content-Length: 0", &contact))
    }
}

/// The end of the To row: it has its tag within a dialog.
fn tagged(request: &str, n: usize) -> String {
    if value(request, "To").contains(";tag=") { "\r\n".to_owned() } else { format!(";tag=p{n}\r\n") }
}

fn credentials(challenge: &Challenge, n: usize, method: &str, uri: &str) -> String {
    let (username, password) = (&format!("u{n}"), &format!("secret-u{n}"));
    Credentials::answer(challenge, &Claim { username, password, method, uri, cnonce: "lines" }).to_string()
}

/// One who calls.
struct Caller {
    n: usize,
    calls: usize,
    socket: UdpSocket,
    to: SocketAddr,
    plan: Arc<Plan>,
    tally: Arc<Tally>,
}

impl Caller {
    /// One call to somebody, from the INVITE to the answered BYE.
    async fn call(&mut self) {
        self.calls += 1;
        self.tally.placed.fetch_add(1, Ordering::Relaxed);
        let began = crate::support::now();
        match self.through().await {
            Ok(answered) => {
                let took = (answered - began).as_millis() as usize;
                self.tally.longest.fetch_max(took, Ordering::Relaxed);
                self.tally.done.fetch_add(1, Ordering::Relaxed);
            }
            Err(why) => *self.tally.failed.lock().unwrap().entry(why).or_default() += 1,
        }
    }

    async fn through(&self) -> Result<std::time::Instant, String> {
        let domain = self.plan.domain.clone();
        let callee = fastrand::usize(..self.plan.phones);
        let uri = format!("sip:u{callee}@{domain}");
        let invite = |cseq, more: &str| self.request("INVITE", &uri, &format!("<{uri}>"), cseq, more);
        let first = self.ask(&invite(1, "")).await?;
        let ok = if status(&first) == 407 {
            self.send(&self.request("ACK", &uri, value(&first, "To"), 1, "").replace("CSeq: 1 INVITE", "CSeq: 1 ACK"))
                .await;
            let challenge = Challenge::read(value(&first, "Proxy-Authenticate")).expect("a challenge");
            let text = credentials(&challenge, self.plan.phones + self.n, "INVITE", &uri);
            self.ask(&invite(2, &format!("Proxy-Authorization: {text}\r\n"))).await?
        } else {
            first
        };
        if status(&ok) != 200 {
            return Err(format!("{} {}", status(&ok), value(&ok, "Warning")));
        }
        let answered = crate::support::now();
        let target = value(&ok, "Contact").split(['<', '>']).nth(1).expect("a Contact").to_owned();
        let mut routes: Vec<&str> = ok.split("\r\n").filter_map(|row| row.strip_prefix("Record-Route: ")).collect();
        routes.reverse();
        let routes: String = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        self.send(&self.request("ACK", &target, value(&ok, "To"), 2, &routes)).await;
        let bye = self.ask(&self.request("BYE", &target, value(&ok, "To"), 3, &routes)).await?;
        if status(&bye) == 200 { Ok(answered) } else { Err(format!("BYE {}", status(&bye))) }
    }

    fn request(&self, method: &str, uri: &str, to: &str, cseq: u32, more: &str) -> String {
        let (n, calls, domain) = (self.plan.phones + self.n, self.calls, &self.plan.domain);
        let local = self.socket.local_addr().unwrap();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKc{n}x{calls}x{cseq}{};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u{n}@{domain}>;tag=c{n}x{calls}\r\nTo: {to}\r\nCall-ID: {n}x{calls}@callers\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:u{n}@{local}>\r\n{more}Content-Length: 0\r\n\r\n",
            // The ACK of a 2xx is a transaction of its own.
            if method == "ACK" && cseq == 2 { "a" } else { "" }
        )
    }

    async fn send(&self, request: &str) {
        let _ = self.socket.send_to(request.as_bytes(), self.to).await;
    }

    /// Sends until a final answer comes, as RFC 3261 says (timers A, B, E and F).
    async fn ask(&self, request: &str) -> Result<String, String> {
        let method = request.split(' ').next().unwrap_or_default();
        let branch = value(request, "Via").split(';').nth(1).unwrap_or_default().to_owned();
        let (mut gap, mut provisional, mut waited) = (Duration::from_millis(500), false, Duration::ZERO);
        let mut room = vec![0; 65_536];
        self.send(request).await;
        loop {
            let began = crate::support::now();
            match timeout(gap, self.socket.recv_from(&mut room)).await {
                Ok(Ok((length, _))) => {
                    waited += began.elapsed();
                    let text = String::from_utf8_lossy(&room[..length]).into_owned();
                    if !text.starts_with("SIP/2.0 ") || !value(&text, "Via").contains(&format!("{branch};")) {
                        continue;
                    }
                    match status(&text) {
                        100..=199 => provisional = true,
                        _ => return Ok(text),
                    }
                }
                // Nobody listens there at the moment.
                Ok(Err(_)) => {}
                Err(_) => {
                    waited += gap;
                    if waited >= Duration::from_secs(64) || (!provisional && waited >= Duration::from_secs(32)) {
                        return Err(format!("{method}: nothing came, provisional {provisional}"));
                    }
                    if !provisional || method != "INVITE" {
                        self.send(request).await;
                    }
                    gap = (gap * 2).min(if method == "INVITE" {
                        Duration::from_secs(32)
                    } else {
                        Duration::from_secs(4)
                    });
                }
            }
        }
    }
}
