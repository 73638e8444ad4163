//! One SIP end point: its sockets with the transactions of RFC 3261 §17, and nothing of dialogs.
//!
//! Client transactions are [`Transaction`]s; server transactions are a bounded memory of the last
//! responses, from which [`Inbox::next`] answers retransmissions. Requests and stray responses
//! (whose branch is not ours) go to the owner. Called by `phone` and `pbx`.

use super::lock;
use super::message::{Field, Fields, Message, Method, Request, Response};
use super::recent::Recent;
use super::transaction::{self, Transaction};
use super::wire::{Arrival, Bind, Peer, Trust, Wire};
use crate::ids::Transport;
use crate::stats::Counter;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Arrivals that may wait for the owner.
const QUEUE: usize = 1024;
/// Server transactions and acknowledgements remembered.
const MEMORY: usize = 512;
/// Client transactions at once.
const MAX_PENDING: usize = 512;

/// One message as a watcher sees it.
pub struct Glance<'a> {
    /// The end point's name.
    pub who: &'a str,
    /// Whether it was sent, not received.
    pub sent: bool,
    /// The other side.
    pub peer: Peer,
    /// The message.
    pub message: &'a Message,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Is shown every message of an end point.
pub type Tap = Arc<dyn Fn(&Glance<'_>) + Send + Sync>;

/// What an end point is made from.
pub struct Config {
    /// Its name in the tap.
    pub name: String,
    /// Where it listens.
    pub bind: Bind,
    /// Whom it opens streams under TLS to.
    pub trust: Option<Trust>,
    /// Seed of its tags, branches and numbers.
    pub seed: u64,
    /// Watcher.
    pub tap: Tap,
}

/// Something for the owner of an end point.
pub enum Incoming {
    /// A request that is no retransmission. An ACK is here only if it confirms a 2xx or belongs to
    /// a request that the owner passed on.
    Request {
        /// The request, its top Via stamped with `received` and `rport`.
        request: Request,
        /// Who sent it.
        from: Peer,
    },
    /// A response to no request of ours.
    Stray(Response),
}

/// A handle; the sockets close with the last one.
#[derive(Clone)]
pub struct Endpoint {
    core: Arc<Core>,
}

/// The receiving half: exactly one, polled by the owner.
pub struct Inbox {
    arrivals: mpsc::Receiver<Arrival>,
    core: Endpoint,
}

struct Core {
    name: String,
    wire: Wire,
    random: Mutex<fastrand::Rng>,
    tap: Tap,
    memory: Mutex<Memory>,
    unreadable: Counter,
}

struct Memory {
    /// Client transactions by branch and method.
    pending: Recent<String, mpsc::Sender<Response>>,
    /// ACKs by the response they confirm.
    acks: Recent<String, (Request, Peer)>,
    /// Last responses by server transaction.
    served: Recent<String, (Response, Peer)>,
    /// Final responses that are repeated until their ACK comes.
    unconfirmed: Recent<String, CancellationToken>,
}

impl Endpoint {
    /// Opens the sockets.
    pub async fn open(config: Config) -> io::Result<(Self, Inbox)> {
        let (sender, arrivals) = mpsc::channel(QUEUE);
        let wire = Wire::open(config.bind, config.trust, sender).await?;
        let core = Core {
            name: config.name,
            wire,
            random: Mutex::new(fastrand::Rng::with_seed(config.seed)),
            tap: config.tap,
            memory: Mutex::new(Memory {
                pending: Recent::new(MAX_PENDING),
                acks: Recent::new(MEMORY),
                served: Recent::new(MEMORY),
                unconfirmed: Recent::new(MEMORY),
            }),
            unreadable: Counter::default(),
        };
        let endpoint = Self { core: Arc::new(core) };
        Ok((endpoint.clone(), Inbox { arrivals, core: endpoint }))
    }

    /// Where it listens.
    pub fn local(&self) -> SocketAddr {
        self.core.wire.local()
    }

    /// Streams that others opened to here.
    pub fn accepted(&self) -> u64 {
        self.core.wire.accepted()
    }

    /// Arrivals that were no messages, or too many.
    pub fn lost(&self) -> u64 {
        self.core.unreadable.read() + self.core.wire.dropped()
    }

    /// Closes the stream to a peer.
    pub fn close(&self, peer: SocketAddr) {
        self.core.wire.close(peer);
    }

    /// A word that no one else uses: for tags, Call-IDs and numbers used once.
    pub fn token(&self) -> String {
        format!("{:016x}", lock(&self.core.random).u64(..))
    }

    /// A Via of ours with a new branch.
    pub fn via(&self, transport: Transport, branch: &str) -> String {
        format!("SIP/2.0/{} {};branch=z9hG4bK{branch};rport", transport.via_name(), self.local())
    }

    /// Starts a client transaction. Via is added here.
    pub fn request(&self, mut request: Request, to: Peer) -> Transaction {
        let branch = self.token();
        request.fields.push_front(Field::Via, self.via(to.transport, &branch));
        transaction::start(self.clone(), request, to)
    }

    /// Sends the ACK of a 2xx, now and whenever that 2xx comes again (RFC 3261 §13.2.2.4).
    pub async fn confirm(&self, mut ack: Request, to: Peer) -> io::Result<()> {
        ack.fields.push_front(Field::Via, self.via(to.transport, &self.token()));
        let bytes = Message::Request(ack.clone());
        self.remember_ack(ack, to);
        self.send(&bytes, to).await
    }

    /// Answers a request. Final answers to INVITE are repeated until the ACK comes.
    pub async fn respond(&self, request: &Request, from: Peer, response: Response) {
        let to = reply_address(&request.fields, from);
        let (status, reliable) = (response.status, to.transport.is_reliable());
        {
            let mut memory = lock(&self.core.memory);
            memory.served.insert(transaction_key(&request.fields, request.method), (response.clone(), to));
        }
        let key = dialog_key(&response.fields);
        let message = Message::Response(response);
        if request.method == Method::Invite && status >= 200 && (status < 300 || !reliable) {
            self.repeat(key, message.clone(), to);
        }
        let _ = self.send(&message, to).await;
    }

    /// Sends a message as it is, outside any transaction.
    pub async fn send(&self, message: &Message, to: Peer) -> io::Result<()> {
        let bytes = match message {
            Message::Request(request) => request.write(),
            Message::Response(response) => response.write(),
        };
        self.glance(true, to, message, &bytes);
        self.core.wire.send(to, &bytes).await
    }

    pub(super) fn expect(&self, key: String, sender: mpsc::Sender<Response>) {
        lock(&self.core.memory).pending.insert(key, sender);
    }

    pub(super) fn forget(&self, key: &String) {
        lock(&self.core.memory).pending.remove(key);
    }

    pub(super) fn remember_ack(&self, ack: Request, to: Peer) {
        lock(&self.core.memory).acks.insert(dialog_key(&ack.fields), (ack, to));
    }

    fn glance(&self, sent: bool, peer: Peer, message: &Message, bytes: &[u8]) {
        (self.core.tap)(&Glance { who: &self.core.name, sent, peer, message, bytes });
    }

    /// Repeats a final response to INVITE (RFC 3261 §13.3.1.4, timer G) for 64·T1.
    fn repeat(&self, key: String, response: Message, to: Peer) {
        let stop = CancellationToken::new();
        if let Some(old) = lock(&self.core.memory).unconfirmed.insert(key, stop.clone()) {
            old.cancel();
        }
        let endpoint = self.clone();
        let repeat = async move {
            for wait in transaction::waits(false) {
                tokio::time::sleep(wait).await;
                let _ = endpoint.send(&response, to).await;
            }
        };
        tokio::spawn(stop.run_until_cancelled_owned(repeat));
    }
}

impl Inbox {
    /// The next thing that is the owner's business; `None` when the sockets are gone.
    pub async fn next(&mut self) -> Option<Incoming> {
        loop {
            let arrival = self.arrivals.recv().await?;
            let Ok(message) = Message::read(&arrival.bytes) else {
                self.core.core.unreadable.inc();
                continue;
            };
            self.core.glance(false, arrival.from, &message, &arrival.bytes);
            let incoming = match message {
                Message::Request(request) => self.core.take_request(request, arrival.from).await,
                Message::Response(response) => self.core.take_response(response).await,
            };
            if incoming.is_some() {
                return incoming;
            }
        }
    }
}

impl Endpoint {
    async fn take_request(&self, mut request: Request, from: Peer) -> Option<Incoming> {
        stamp(&mut request.fields, from);
        let again = {
            let mut memory = lock(&self.core.memory);
            if request.method == Method::Ack {
                if let Some(repeating) = memory.unconfirmed.remove(&dialog_key(&request.fields)) {
                    repeating.cancel();
                }
                let served = memory.served.find(&transaction_key(&request.fields, Method::Invite));
                if served.is_some_and(|(response, _)| response.status >= 300) {
                    return None;
                }
                None
            } else {
                memory.served.find(&transaction_key(&request.fields, request.method)).cloned()
            }
        };
        match again {
            Some((response, to)) => {
                let _ = self.send(&Message::Response(response), to).await;
                None
            }
            None => Some(Incoming::Request { request, from }),
        }
    }

    async fn take_response(&self, response: Response) -> Option<Incoming> {
        let key = format!("{} {}", response.fields.via_param("branch").unwrap_or_default(), response.method());
        let (pending, ack) = {
            let memory = lock(&self.core.memory);
            let confirmed = response.status >= 200 && response.method() == "INVITE";
            let ack = memory.acks.find(&dialog_key(&response.fields)).filter(|_| confirmed).cloned();
            (memory.pending.find(&key).cloned(), ack)
        };
        if let Some(pending) = pending {
            let _ = pending.try_send(response);
            None
        } else if let Some((ack, to)) = ack {
            let _ = self.send(&Message::Request(ack), to).await;
            None
        } else {
            Some(Incoming::Stray(response))
        }
    }
}

/// The key of a transaction: branch, sent-by, method (RFC 3261 §17.2.3).
fn transaction_key(fields: &Fields, method: Method) -> String {
    let sent_by = fields.list(Field::Via).next().and_then(|via| via.split(';').next()).unwrap_or_default();
    format!("{} {sent_by} {method}", fields.via_param("branch").unwrap_or_default())
}

/// What a final response to INVITE and its ACK have in common.
fn dialog_key(fields: &Fields) -> String {
    let number = fields.cseq().map_or(0, |(number, _)| number);
    format!("{} {} {} {number}", fields.call_id(), fields.from_tag(), fields.to_tag())
}

/// Writes where a request really came from into its top Via (RFC 3261 §18.2.1, RFC 3581 §4).
fn stamp(fields: &mut Fields, from: Peer) {
    let vias: Vec<String> = fields.list(Field::Via).map(str::to_owned).collect();
    let Some((top, rest)) = vias.split_first() else { return };
    let port = from.address.port();
    let wanted = fields.via_param("rport") == Some("");
    let stamped: Vec<String> = top
        .split(';')
        .filter(|part| !part.trim_start().starts_with("received="))
        .map(|part| if wanted && part.trim() == "rport" { format!("rport={port}") } else { part.trim().to_owned() })
        .chain([format!("received={}", from.address.ip())])
        .collect();
    let stamped = stamped.join(";");
    fields.replace(Field::Via, [stamped.as_str()].into_iter().chain(rest.iter().map(String::as_str)));
}

/// Where a response goes: over the stream, else to `received` and `rport` or the port of sent-by.
fn reply_address(fields: &Fields, from: Peer) -> Peer {
    if from.transport.is_reliable() {
        return from;
    }
    let top = fields.list(Field::Via).next().unwrap_or_default();
    via_address(top).unwrap_or(from)
}

/// The address a Via with `received` leads to (RFC 3261 §18.2.2).
pub fn via_address(via: &str) -> Option<Peer> {
    let (sent, parameters) = via.split_once(';')?;
    let (protocol, sent_by) = sent.trim().split_once(' ')?;
    let transport = if protocol.ends_with("/TCP") { Transport::Tcp } else { Transport::Udp };
    let ip: IpAddr = super::text::param(parameters, "received")?.trim_matches(['[', ']']).parse().ok()?;
    let port = match super::text::param(parameters, "rport").filter(|port| !port.is_empty()) {
        Some(port) => port.parse().ok()?,
        None => super::text::Uri::read(&format!("sip:{}", sent_by.trim()))?.port.unwrap_or(5060),
    };
    Some(Peer { transport, address: SocketAddr::new(ip, port) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// An end point and the summaries of what it received.
    async fn open(name: &str) -> (Endpoint, Inbox, mpsc::UnboundedReceiver<String>) {
        let (sender, seen) = mpsc::unbounded_channel();
        let tap: Tap = Arc::new(move |glance| {
            if !glance.sent {
                let _ = sender.send(glance.message.summary());
            }
        });
        let bind = Bind { address: "127.0.0.1:0".parse().unwrap(), udp: true, tcp: true };
        let (endpoint, inbox) =
            Endpoint::open(Config { name: name.into(), bind, trust: None, seed: 7, tap }).await.unwrap();
        (endpoint, inbox, seen)
    }

    fn invite() -> Request {
        let mut request = Request::new(Method::Invite, "sip:b@harbor");
        request.fields.push(Field::From, "<sip:a@harbor>;tag=1");
        request.fields.push(Field::To, "<sip:b@harbor>");
        request.fields.push(Field::CallId, "c");
        request.fields.push(Field::CSeq, "1 INVITE");
        request
    }

    async fn next(inbox: &mut Inbox) -> Incoming {
        tokio::time::timeout(Duration::from_secs(40), inbox.next()).await.unwrap().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_repeated_until_answered_and_its_refusal_confirmed() {
        // T15 T17
        let (client, mut client_inbox, _) = open("client").await;
        tokio::spawn(async move { while client_inbox.next().await.is_some() {} });
        let (server, mut inbox, mut seen) = open("server").await;
        let mut call = client.request(invite(), Peer { transport: Transport::Udp, address: server.local() });
        for _ in 0..2 {
            next(&mut inbox).await;
        }
        let Incoming::Request { request, from } = next(&mut inbox).await else { panic!("a response") };
        assert_eq!(request.fields.via_param("received"), Some("127.0.0.1"));
        assert_eq!(request.fields.via_param("rport"), Some(client.local().port().to_string().as_str()));
        server.respond(&request, from, request.reply(486, "t")).await;
        let acknowledged = async {
            while seen.recv().await.unwrap() != "ACK" {}
            call.last().await.unwrap().status
        };
        tokio::select! {
            status = acknowledged => assert_eq!(status, 486),
            _ = next(&mut inbox) => panic!("a copy, or the ACK of a refusal, reached the owner"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_acceptance_is_repeated_until_its_ack_and_every_copy_confirmed() {
        // T06 T08
        let (client, mut client_inbox, mut answers) = open("client").await;
        tokio::spawn(async move { while client_inbox.next().await.is_some() {} });
        let (server, mut inbox, _) = open("server").await;
        let to = Peer { transport: Transport::Udp, address: server.local() };
        let mut call = client.request(invite(), to);
        let Incoming::Request { request, from } = next(&mut inbox).await else { panic!("a response") };
        server.respond(&request, from, request.reply(200, "t")).await;
        assert_eq!(call.last().await.unwrap().status, 200);
        for _ in 0..3 {
            assert_eq!(answers.recv().await.unwrap(), "200 INVITE");
        }
        let mut ack = invite();
        ack.method = Method::Ack;
        ack.fields.set(Field::To, "<sip:b@harbor>;tag=t");
        ack.fields.set(Field::CSeq, "1 ACK");
        client.confirm(ack, to).await.unwrap();
        let Incoming::Request { request: ack, .. } = next(&mut inbox).await else { panic!("a response") };
        assert_eq!(ack.method, Method::Ack);
        while answers.try_recv().is_ok() {}
        server.send(&Message::Response(request.reply(200, "t")), from).await.unwrap();
        let Incoming::Request { request: again, .. } = next(&mut inbox).await else { panic!("a response") };
        assert_eq!(again.fields.via_param("branch"), ack.fields.via_param("branch"));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_request_after_64_t1() {
        let (client, mut client_inbox, _) = open("client").await;
        tokio::spawn(async move { while client_inbox.next().await.is_some() {} });
        let (server, _inbox, _) = open("server").await;
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut call = client.request(invite(), Peer { transport, address: server.local() });
            assert_eq!(call.last().await, Err(super::transaction::Failure::Timeout));
        }
    }

    #[test]
    fn responses_go_where_received_and_rport_say() {
        // X04
        let udp = via_address("SIP/2.0/UDP host:5061;branch=z9hG4bK1;rport=7000;received=10.0.0.1").unwrap();
        assert_eq!(udp.to_string(), "udp:10.0.0.1:7000");
        let tcp = via_address("SIP/2.0/TCP [::1]:5062;rport;received=::1").unwrap();
        assert_eq!(tcp.to_string(), "tcp:[::1]:5062");
        assert_eq!(via_address("SIP/2.0/UDP host;branch=z9hG4bK1"), None);
    }
}
