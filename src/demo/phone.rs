//! A synthetic phone: registers with digest over any transport, places and takes calls.
//!
//! A real user agent in small: own sockets, transactions and dialogs (RFC 3261), hold (RFC 3264),
//! blind transfer (RFC 3515); no audio. Every method waits at most the phone's patience. Called by
//! the demo's round and by tests.

use super::answer;
use super::call::{Call, Leg};
use super::dialog::Dialog;
use super::digest::Algorithm;
use super::endpoint::{Config, Endpoint, Tap};
use super::line::{Account, Answering, Line, refused};
use super::lock;
use super::message::{Field, Method, Request, Response};
use super::sdp::{self, Direction};
use super::transaction::{Failure, Transaction};
use super::wire::{Bind, Peer, Trust};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Calls that may wait for the owner.
const QUEUE: usize = 16;

/// What a phone is made from.
pub struct Setup {
    /// Its name in the tap.
    pub name: String,
    /// Whose it is.
    pub account: Account,
    /// The address it uses.
    pub ip: IpAddr,
    /// Outbound proxy, with the transport to reach it.
    pub proxy: Peer,
    /// Whether the outbound proxy is also named in Route.
    pub preload: bool,
    /// The hashes it can compute.
    pub algorithms: Vec<Algorithm>,
    /// How long it waits for any answer.
    pub patience: Duration,
    /// Seed of its tags and numbers.
    pub seed: u64,
    /// Watcher of its messages.
    pub tap: Tap,
}

/// A phone. Its sockets close when it and its calls are gone.
pub struct Phone {
    line: Arc<Line>,
    calls: tokio::sync::Mutex<mpsc::Receiver<Call>>,
    registration: Mutex<Request>,
    registered: AtomicBool,
    _stop: DropGuard,
}

/// What a registrar granted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    /// Every contact the registrar knows, as it wrote them.
    pub contacts: Vec<String>,
    /// The hash that was asked for; none when there was no challenge.
    pub algorithm: Option<Algorithm>,
}

/// A call that is being placed and rings.
pub struct Ringing {
    line: Arc<Line>,
    transaction: Transaction,
    last: Response,
}

impl Phone {
    /// Opens the sockets and starts to answer.
    pub async fn start(setup: Setup) -> io::Result<Self> {
        Self::start_trusting(setup, None).await
    }

    /// As [`Self::start`]; needed where the proxy is reached over TLS.
    pub async fn start_trusting(setup: Setup, trust: Option<Trust>) -> io::Result<Self> {
        let streams = setup.proxy.transport.is_reliable();
        let bind = Bind { address: SocketAddr::new(setup.ip, 0), udp: !streams, tcp: streams };
        let (endpoint, inbox) =
            Endpoint::open(Config { name: setup.name, bind, trust, seed: setup.seed, tap: setup.tap }).await?;
        let (arrived, calls) = mpsc::channel(QUEUE);
        let line = Arc::new(Line {
            account: setup.account,
            endpoint,
            proxy: setup.proxy,
            preload: setup.preload,
            algorithms: setup.algorithms,
            patience: setup.patience,
            answering: Mutex::default(),
            legs: Mutex::default(),
            ringing: Mutex::default(),
            arrived,
        });
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(answer::serve(Arc::clone(&line), inbox)));
        let aor = line.account.aor();
        let registration = line.request(Method::Register, &format!("sip:{}", line.account.domain), &aor);
        Ok(Self {
            line,
            calls: tokio::sync::Mutex::new(calls),
            registration: Mutex::new(registration),
            registered: AtomicBool::new(false),
            _stop: stop.drop_guard(),
        })
    }

    /// Whose it is.
    pub fn account(&self) -> &Account {
        &self.line.account
    }

    /// Its outbound proxy and transport.
    pub fn proxy(&self) -> Peer {
        self.line.proxy
    }

    /// Its contact, as it registers it.
    pub fn contact(&self) -> String {
        self.line.contact()
    }

    /// Whether the last REGISTER bound it.
    pub fn registered(&self) -> bool {
        self.registered.load(Relaxed)
    }

    /// Its calls.
    pub fn calls(&self) -> Vec<Call> {
        let legs = lock(&self.line.legs);
        legs.iter().map(|leg| Call::new(Arc::clone(&self.line), Arc::clone(leg))).collect()
    }

    /// Ends its calls, forgets those that wait for the owner, and answers again.
    pub async fn reset(&self) {
        self.answering(Answering::Answer);
        for call in self.calls() {
            let _ = call.hang_up().await;
        }
        while self.calls.lock().await.try_recv().is_ok() {}
    }

    /// Connections that others opened to it. A phone behind NAT could have none.
    pub fn reached_directly(&self) -> u64 {
        self.line.endpoint.accepted()
    }

    /// What it shall do with calls that come in.
    pub fn answering(&self, answering: Answering) {
        *lock(&self.line.answering) = answering;
    }

    /// Registers, or refreshes.
    pub async fn register(&self) -> Result<Registered, Failure> {
        self.bind(300).await
    }

    /// Gives the binding up.
    pub async fn unregister(&self) -> Result<Registered, Failure> {
        self.bind(0).await
    }

    /// Calls, and waits for the answer.
    pub async fn call(&self, target: &str) -> Result<Call, Failure> {
        self.ring(target).await?.answered().await
    }

    /// Calls, and waits until it rings (or is answered at once).
    pub async fn ring(&self, target: &str) -> Result<Ringing, Failure> {
        ring(&self.line, target, None).await
    }

    /// Asks with OPTIONS.
    pub async fn options(&self, uri: &str) -> Result<Response, Failure> {
        let request = self.line.request(Method::Options, uri, uri);
        self.line.ask(request, self.line.proxy).await.map(|(_, response)| response)
    }

    /// Sends a request of the caller's making outside any dialog.
    pub async fn ask(&self, request: Request) -> Result<Response, Failure> {
        self.line.ask(request, self.line.proxy).await.map(|(_, response)| response)
    }

    /// A request to be changed and given to [`Self::ask`].
    pub fn draft(&self, method: Method, uri: &str) -> Request {
        self.line.request(method, uri, uri)
    }

    /// The next call that was answered here (perhaps before its ACK came), or placed for a transfer.
    pub async fn next_call(&self) -> Result<Call, Failure> {
        let mut calls = self.calls.lock().await;
        self.line.patiently(async { calls.recv().await.ok_or(Failure::Timeout) }).await
    }

    /// Closes its stream to the proxy, as a broken connection would.
    pub fn disconnect(&self) {
        self.line.endpoint.close(self.line.proxy.address);
    }

    async fn bind(&self, expires: u32) -> Result<Registered, Failure> {
        let mut request = lock(&self.registration).clone();
        request.fields.set(Field::Contact, format!("{};expires={expires}", self.line.contact()));
        request.fields.set(Field::Supported, "replaces");
        let (asked, response) = self.line.ask(request, self.line.proxy).await?;
        let next = asked.fields.cseq().map_or(1, |(number, _)| number.saturating_add(1));
        lock(&self.registration).fields.set(Field::CSeq, format!("{next} REGISTER"));
        if let Some(failure) = refused(&response) {
            return Err(failure);
        }
        self.registered.store(expires > 0, Relaxed);
        let contacts = response.fields.list(Field::Contact).map(str::to_owned).collect();
        let credentials = asked.fields.first(Field::Authorization).and_then(super::digest::Credentials::read);
        Ok(Registered { contacts, algorithm: credentials.map(|credentials| credentials.algorithm) })
    }
}

/// Places a call on a line, `referrer` being who asked for it.
pub(super) async fn ring(line: &Arc<Line>, target: &str, referrer: Option<&str>) -> Result<Ringing, Failure> {
    let uri = line.dialled(target);
    let mut request = line.request(Method::Invite, &uri, &uri);
    request.fields.push(Field::Contact, line.contact());
    if let Some(referrer) = referrer {
        request.fields.push(Field::REFERRED_BY, referrer);
    }
    let mut request = request.with_body(sdp::KIND, sdp::write(line.endpoint.local().ip(), 1, Direction::Both));
    let mut challenged = false;
    let mut transaction = line.endpoint.request(request.clone(), line.proxy);
    loop {
        let response = line.patiently(transaction.next()).await?;
        match response.status {
            ..=100 => {}
            101..=299 => return Ok(Ringing { line: Arc::clone(line), transaction, last: response }),
            _ => match line.authorise(&request, &response).filter(|_| !challenged) {
                Some(again) => {
                    challenged = true;
                    request = again;
                    transaction = line.endpoint.request(request.clone(), line.proxy);
                }
                None => return Err(refused(&response).unwrap_or(Failure::Timeout)),
            },
        }
    }
}

impl Ringing {
    /// Waits for the answer and confirms it.
    pub async fn answered(mut self) -> Result<Call, Failure> {
        while self.last.status < 200 {
            self.last = self.line.patiently(self.transaction.next()).await?;
        }
        if let Some(failure) = refused(&self.last) {
            return Err(failure);
        }
        let no_dialog = || Failure::Unexpected("a 200 without Contact".into());
        let dialog = Dialog::caller(&self.transaction.request, &self.last).ok_or_else(no_dialog)?;
        let leg = Leg::new(dialog);
        self.line.confirm(&leg, &self.transaction.request).await?;
        if !self.line.keep(Arc::clone(&leg)) {
            return Err(Failure::Unexpected("too many calls".into()));
        }
        Ok(Call::new(self.line, leg))
    }

    /// Gives up; returns how the call ended, which should be 487.
    pub async fn cancel(mut self) -> Result<u16, Failure> {
        let mut cancel = self.transaction.cancel();
        let answer = self.line.patiently(cancel.last()).await?;
        if let Some(failure) = refused(&answer) {
            return Err(failure);
        }
        self.line.patiently(self.transaction.last()).await.map(|response| response.status)
    }
}
