//! Many phones in one thread: they register with digest over UDP, repeat what is not answered, come back when they
//! were told to, and remember how they fared. Not SIPp, which cannot say when a phone was told to come back.

use super::sip::{status, value};
use crate::support::now;
use nantucket::demo::digest::{Challenge, Claim, Credentials};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Sockets of one herd: the node spreads them over its workers.
const SOCKETS: usize = 4;
/// The first repetition; each further one after twice the time, up to four seconds (RFC 3261, Timer E).
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// After this a phone begins anew (Timer F).
const GIVE_UP: Duration = Duration::from_secs(32);

/// How a phone stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// It has not begun.
    Idle,
    /// It waits for an answer, or for the moment it was told.
    Waiting,
    /// A 2xx came.
    Registered,
    /// A final answer that is not to be tried again: status and Warning.
    Refused(u16, String),
}

/// One phone.
pub struct Phone {
    account: String,
    domain: String,
    password: String,
    agent: String,
    expires: u32,
    state: State,
    cseq: u32,
    credentials: Option<String>,
    sent: Option<Sent>,
    timer: u64,
}

struct Sent {
    text: String,
    began: Instant,
    gap: Duration,
}

/// What happened in one run.
#[derive(Default, Debug)]
pub struct Report {
    /// Phones that got a 2xx in it.
    pub registered: usize,
    /// 503s that told when to come back.
    pub busy: usize,
    /// Requests sent again for want of an answer.
    pub repeated: usize,
    /// Times a phone began anew because nothing came at all.
    pub lost: usize,
    /// The longest that was told.
    pub longest_told: Duration,
    /// How long answers of the PBX took, in the order they came.
    pub answers: Vec<Duration>,
    /// From the first request to the last 2xx.
    pub took: Duration,
}

/// The phones.
pub struct Herd {
    to: String,
    sockets: Vec<UdpSocket>,
    heard: Receiver<String>,
    stop: Arc<AtomicBool>,
    phones: Vec<Phone>,
    timers: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    rng: fastrand::Rng,
}

impl Phone {
    /// A phone with the right password.
    pub fn new(account: &str, domain: &str) -> Self {
        Self {
            account: account.to_owned(),
            domain: domain.to_owned(),
            password: format!("secret-{account}"),
            agent: "Herd/1".to_owned(),
            expires: 600,
            state: State::Idle,
            cseq: 0,
            credentials: None,
            sent: None,
            timer: 0,
        }
    }

    /// With another password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = password.to_owned();
        self
    }

    /// With another User-Agent: another device.
    pub fn agent(mut self, agent: &str) -> Self {
        self.agent = agent.to_owned();
        self
    }

    /// How it stands.
    pub const fn state(&self) -> &State {
        &self.state
    }
}

impl Herd {
    /// Phones at this address whose outbound proxy is `to`.
    pub fn new(ip: Ipv4Addr, to: &str, phones: impl IntoIterator<Item = Phone>) -> Self {
        let (tell, heard) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let sockets: Vec<UdpSocket> = (0..SOCKETS).map(|_| UdpSocket::bind((ip, 0)).unwrap()).collect();
        for socket in &sockets {
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            listen(socket.try_clone().unwrap(), tell.clone(), Arc::clone(&stop));
        }
        Self {
            to: to.to_owned(),
            sockets,
            heard,
            stop,
            phones: phones.into_iter().collect(),
            timers: BinaryHeap::new(),
            rng: fastrand::Rng::with_seed(7),
        }
    }

    /// All phones.
    pub fn phones(&self) -> &[Phone] {
        &self.phones
    }

    /// Phones that are registered.
    pub fn registered(&self) -> usize {
        self.phones.iter().filter(|phone| phone.state == State::Registered).count()
    }

    /// What phones were refused with, and how many by each.
    pub fn refusals(&self) -> std::collections::BTreeMap<String, usize> {
        let mut all = std::collections::BTreeMap::new();
        for phone in &self.phones {
            if let State::Refused(status, warning) = &phone.state {
                // `399 nantucket "code: text"`
                let code = warning.split('"').nth(1).and_then(|text| text.split(':').next()).unwrap_or_default();
                *all.entry(format!("{status} {code}").trim_end().to_owned()).or_default() += 1;
            }
        }
        all
    }

    /// All phones register anew, each beginning at some moment `within`, until none is left waiting.
    #[track_caller]
    pub fn register(&mut self, within: Duration, patience: Duration) -> Report {
        self.begin(within);
        let mut report = Report::default();
        self.go_on(patience, &mut report, |_| true);
        report
    }

    /// All phones begin anew at some moment `within`.
    pub fn begin(&mut self, within: Duration) {
        let start = now();
        for n in 0..self.phones.len() {
            self.phones[n].state = State::Waiting;
            self.phones[n].sent = None;
            self.phones[n].credentials = None;
            let after = within.mul_f64(self.rng.f64());
            self.wake(n, start + after);
        }
    }

    /// Goes on while `go_on`, which is told how many got a 2xx, says so and somebody waits.
    #[track_caller]
    pub fn go_on(&mut self, patience: Duration, report: &mut Report, go_on: impl Fn(usize) -> bool) {
        let start = now();
        while go_on(report.registered) && self.phones.iter().any(|phone| phone.state == State::Waiting) {
            // The look at all phones is not for every message.
            for _ in 0..64 {
                self.step(report, start);
                if !go_on(report.registered) {
                    break;
                }
            }
            let waiting = self.phones.iter().filter(|phone| phone.state == State::Waiting).count();
            assert!(now() - start < patience, "{waiting} phones still wait after {patience:?}: {report:?}");
        }
    }

    fn step(&mut self, report: &mut Report, start: Instant) {
        let next = self.timers.peek().map(|Reverse((at, ..))| *at);
        let at = now();
        if next.is_some_and(|next| next <= at) {
            let Some(Reverse((_, n, timer))) = self.timers.pop() else { return };
            if self.phones[n].timer == timer && self.phones[n].state == State::Waiting {
                self.due(n, report);
            }
            return;
        }
        let wait = next.map_or(Duration::from_millis(20), |next| (next - at).min(Duration::from_millis(20)));
        match self.heard.recv_timeout(wait) {
            Ok(text) => self.hear(&text, report, start),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    fn wake(&mut self, n: usize, at: Instant) {
        self.phones[n].timer += 1;
        self.timers.push(Reverse((at, n, self.phones[n].timer)));
    }

    /// A phone's timer is due: it begins, or repeats, or gives up and begins anew.
    fn due(&mut self, n: usize, report: &mut Report) {
        let at = now();
        let Some(sent) = &mut self.phones[n].sent else { return self.send(n) };
        if at - sent.began >= GIVE_UP {
            report.lost += 1;
            self.phones[n].credentials = None;
            return self.send(n);
        }
        report.repeated += 1;
        sent.gap = (sent.gap * 2).min(T2);
        let next = at + sent.gap;
        let _ = self.sockets[n % SOCKETS].send_to(sent.text.as_bytes(), &self.to);
        self.wake(n, next);
    }

    fn send(&mut self, n: usize) {
        let local = self.sockets[n % SOCKETS].local_addr().unwrap();
        let phone = &mut self.phones[n];
        phone.cseq += 1;
        let Phone { account, domain, agent, cseq, expires, .. } = phone;
        let credentials = phone.credentials.as_ref().map(|text| format!("Authorization: {text}\r\n"));
        let text = format!(
            "REGISTER sip:{domain} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bKh{n}x{cseq};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:{account}@{domain}>;tag=h{n}\r\n\
             To: <sip:{account}@{domain}>\r\n\
             Call-ID: {n}@herd\r\n\
             CSeq: {cseq} REGISTER\r\n\
             Contact: <sip:{account}@{local}>\r\n\
             User-Agent: {agent}\r\n\
             Expires: {expires}\r\n\
             {}Content-Length: 0\r\n\r\n",
            credentials.unwrap_or_default()
        );
        let _ = self.sockets[n % SOCKETS].send_to(text.as_bytes(), &self.to);
        let at = now();
        phone.sent = Some(Sent { text, began: at, gap: T1 });
        self.wake(n, at + T1);
    }

    fn hear(&mut self, text: &str, report: &mut Report, start: Instant) {
        let n = value(text, "Call-ID").split('@').next().and_then(|n| n.parse::<usize>().ok());
        let Some(n) = n.filter(|n| *n < self.phones.len()) else { return };
        let phone = &mut self.phones[n];
        let answered = value(text, "CSeq").split(' ').next() == Some(phone.cseq.to_string().as_str());
        let status = status(text);
        if phone.state != State::Waiting || !answered || status < 200 {
            return;
        }
        let Some(sent) = phone.sent.take() else { return };
        let at = now();
        match status {
            200..=299 => {
                phone.state = State::Registered;
                report.registered += 1;
                report.answers.push(at - sent.began);
                report.took = at - start;
            }
            401 | 407 if phone.credentials.is_none() => {
                report.answers.push(at - sent.began);
                let name = if status == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
                let challenge = Challenge::read(value(text, name)).expect("a digest challenge");
                let uri = format!("sip:{}", phone.domain);
                let (username, password) = (phone.account.as_str(), phone.password.as_str());
                let claim = Claim { username, password, method: "REGISTER", uri: &uri, cnonce: "herd" };
                phone.credentials = Some(Credentials::answer(&challenge, &claim).to_string());
                self.send(n);
            }
            503 => {
                let seconds = value(text, "Retry-After").parse().expect("a Retry-After");
                let told = Duration::from_secs(seconds);
                report.busy += 1;
                report.longest_told = report.longest_told.max(told);
                phone.credentials = None;
                // A phone is up to a second late.
                let late = Duration::from_millis(self.rng.u64(0..1_000));
                self.wake(n, at + told + late);
            }
            _ => phone.state = State::Refused(status, value(text, "Warning").to_owned()),
        }
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn listen(socket: UdpSocket, tell: Sender<String>, stop: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while !stop.load(Ordering::Relaxed) {
            if let Ok((n, _)) = socket.recv_from(&mut buffer)
                && tell.send(String::from_utf8_lossy(&buffer[..n]).into_owned()).is_err()
            {
                return;
            }
        }
    });
}
