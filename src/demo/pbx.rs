//! A small PBX: registrar, proxy between its accounts, and two extensions that answer themselves.
//!
//! Between accounts it is a stateless record-routing proxy (RFC 3261 §16.11): the least that is
//! correct, since retransmission, hold, REFER and BYE are then the phones' and pass end to end.
//! `echo` answers and holds a dialog; `goodbye` answers and hangs up first. Called by the demo's
//! round and by tests.

use super::dialog::Dialog;
use super::digest::Algorithm;
use super::endpoint::{Config, Endpoint, Inbox, Incoming, Tap, via_address};
use super::lock;
use super::message::{Field, Message, Method, Request, Response};
use super::recent::Recent;
use super::registrar::{Identity, Registrar, user_in};
use super::sdp::{self, Direction};
use super::text::{Address, Uri};
use super::wire::{Bind, Peer};
use crate::ids::Transport;
use sha2::Digest as _;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Dialogs of the extensions, and calls whose requests are counted.
const MEMORY: usize = 1024;
/// Answers, and stays.
pub const ECHO: &str = "echo";
/// Answers, and hangs up as soon as that is confirmed.
pub const GOODBYE: &str = "goodbye";

/// What a PBX is made from.
pub struct Setup {
    /// The instance's name: its SIP domain and realm.
    pub domain: String,
    /// Its name in the tap.
    pub name: String,
    /// Address; the port is free.
    pub ip: IpAddr,
    /// Accounts with their passwords.
    pub accounts: HashMap<String, String>,
    /// The hashes it asks for, in that order.
    pub algorithms: Vec<Algorithm>,
    /// Seed of its tags and nonces.
    pub seed: u64,
    /// Watcher of its messages.
    pub tap: Tap,
}

/// A running PBX. It stops when dropped.
pub struct Pbx {
    office: Arc<Office>,
    _stop: DropGuard,
}

struct Office {
    domain: String,
    endpoint: Endpoint,
    registrar: Mutex<Registrar>,
    /// Dialogs of the extensions by Call-ID, with the extension.
    dialogs: Mutex<Recent<String, Dialog>>,
    /// How often each method was received, by Call-ID.
    journal: Mutex<Recent<String, HashMap<String, u32>>>,
}

impl Pbx {
    /// Opens the sockets and starts to serve.
    pub async fn start(setup: Setup) -> io::Result<Self> {
        let bind = Bind { address: SocketAddr::new(setup.ip, 0), udp: true, tcp: true };
        let config = Config { name: setup.name, bind, trust: None, seed: setup.seed, tap: setup.tap };
        let (endpoint, inbox) = Endpoint::open(config).await?;
        let registrar = Registrar::new(&setup.domain, setup.accounts, setup.algorithms);
        let office = Arc::new(Office {
            domain: setup.domain,
            endpoint,
            registrar: Mutex::new(registrar),
            dialogs: Mutex::new(Recent::new(MEMORY)),
            journal: Mutex::new(Recent::new(MEMORY)),
        });
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve(Arc::clone(&office), inbox)));
        Ok(Self { office, _stop: stop.drop_guard() })
    }

    /// Where it listens, over UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.office.endpoint.local()
    }

    /// Live bindings.
    pub fn bindings(&self) -> usize {
        lock(&self.office.registrar).count()
    }

    /// How many requests of a method it received in a call (retransmissions not counted).
    pub fn saw(&self, call_id: &str, method: Method) -> u32 {
        let journal = lock(&self.office.journal);
        journal.find(&call_id.to_owned()).and_then(|seen| seen.get(&method.to_string())).copied().unwrap_or(0)
    }

    /// Requests of all calls it remembers.
    pub fn requests(&self) -> u64 {
        lock(&self.office.journal).values().flat_map(HashMap::values).map(|count| u64::from(*count)).sum()
    }
}

async fn serve(office: Arc<Office>, mut inbox: Inbox) {
    while let Some(incoming) = inbox.next().await {
        match incoming {
            Incoming::Request { request, from } => office.request(request, from).await,
            Incoming::Stray(response) => office.pass_back(response).await,
        }
    }
}

impl Office {
    async fn request(self: &Arc<Self>, mut request: Request, from: Peer) {
        self.note(&request);
        self.unroute(&mut request);
        if request.method == Method::Register {
            self.register(&request, from).await;
        } else if let Some(extension) = self.extension(&request) {
            self.serve_extension(extension, request, from).await;
        } else if self.is_ours(&request.uri) && request.fields.first(Field::Route).is_none() {
            // The ACK of a refusal is one of these: it goes where its INVITE went.
            self.route(request, from).await;
        } else if !request.fields.to_tag().is_empty() || request.method == Method::Ack {
            self.forward(request, from).await;
        } else {
            self.refuse(&request, from, 404).await;
        }
    }

    fn note(&self, request: &Request) {
        let mut journal = lock(&self.journal);
        let key = request.fields.call_id().to_owned();
        if journal.find(&key).is_none() {
            journal.insert(key.clone(), HashMap::new());
        }
        if let Some(seen) = journal.find_mut(&key) {
            *seen.entry(request.method.to_string()).or_default() += 1;
        }
    }

    /// Takes our own entry off Route (RFC 3261 §16.4).
    fn unroute(&self, request: &mut Request) {
        let routes: Vec<String> = request.fields.list(Field::Route).map(str::to_owned).collect();
        let here = |route: &String| {
            let address = Uri::read(Address::read(route).uri).and_then(|uri| uri.address());
            address.is_some_and(|(_, address)| address == self.endpoint.local())
        };
        let rest: Vec<&str> = routes.iter().skip_while(|route| here(route)).map(String::as_str).collect();
        if rest.is_empty() {
            request.fields.remove(Field::Route);
        } else {
            request.fields.replace(Field::Route, rest.into_iter());
        }
    }

    fn is_ours(&self, uri: &str) -> bool {
        let Some(uri) = Uri::read(uri) else { return false };
        let label = uri.host.split('.').next().unwrap_or_default();
        label.eq_ignore_ascii_case(&self.domain)
            || uri.address().is_some_and(|(_, address)| address == self.endpoint.local())
    }

    async fn refuse(&self, request: &Request, from: Peer, status: u16) {
        if request.method != Method::Ack {
            let response = request.reply(status, &self.endpoint.token());
            self.endpoint.respond(request, from, response).await;
        }
    }

    async fn register(&self, request: &Request, from: Peer) {
        let user = user_in(request, Field::To);
        let tag = self.endpoint.token();
        let response = {
            let nonce = self.endpoint.token();
            let mut registrar = lock(&self.registrar);
            match registrar.identify(request, Field::Authorization, &user) {
                Identity::Proven => registrar.register(request, &user, &tag),
                identity => {
                    let stale = identity == Identity::Stale;
                    registrar.challenge(request.reply(401, &tag), Field::WwwAuthenticate, nonce, stale)
                }
            }
        };
        self.endpoint.respond(request, from, response).await;
    }

    /// A request of one account for another that has no route of its own.
    async fn route(&self, mut request: Request, from: Peer) {
        let called = Uri::read(&request.uri).map_or("", |uri| uri.user).to_owned();
        if called.is_empty() {
            let status = if request.method == Method::Options { 200 } else { 404 };
            return self.refuse(&request, from, status).await;
        }
        let follows = matches!(request.method, Method::Cancel | Method::Ack);
        if !follows && !self.admit(&mut request, from).await {
            return;
        }
        let (known, binding) = {
            let registrar = lock(&self.registrar);
            (registrar.knows(&called), registrar.find(&called).cloned())
        };
        let Some(binding) = binding else {
            return self.refuse(&request, from, if known { 480 } else { 404 }).await;
        };
        request.uri = binding.uri;
        if binding.path.is_empty() {
            request.fields.remove(Field::Route);
        } else {
            request.fields.replace(Field::Route, binding.path.iter().map(String::as_str));
        }
        if matches!(request.method, Method::Invite | Method::Subscribe | Method::Refer) {
            self.record(&mut request, from);
        }
        self.forward(request, from).await;
    }

    /// Puts us into the route set, once for each side where their transports differ (RFC 5658).
    fn record(&self, request: &mut Request, from: Peer) {
        let here = |transport: Transport| match transport {
            Transport::Udp => format!("<sip:{};lr>", self.endpoint.local()),
            other => format!("<sip:{};transport={};lr>", self.endpoint.local(), other.uri_name()),
        };
        request.fields.push_front(Field::RecordRoute, here(from.transport));
        match next_hop(request) {
            Some(to) if to.transport != from.transport => {
                request.fields.push_front(Field::RecordRoute, here(to.transport));
            }
            _ => {}
        }
    }

    /// Whether the sender is an account; if not, it is challenged. OPTIONS need none.
    async fn admit(&self, request: &mut Request, from: Peer) -> bool {
        if request.method == Method::Options {
            return true;
        }
        let user = user_in(request, Field::From);
        let (tag, nonce) = (self.endpoint.token(), self.endpoint.token());
        let refusal = {
            let mut registrar = lock(&self.registrar);
            match registrar.identify(request, Field::ProxyAuthorization, &user) {
                Identity::Proven => None,
                identity => {
                    let stale = identity == Identity::Stale;
                    Some(registrar.challenge(request.reply(407, &tag), Field::ProxyAuthenticate, nonce, stale))
                }
            }
        };
        request.fields.remove(Field::ProxyAuthorization);
        let admitted = refusal.is_none();
        if let Some(refusal) = refusal {
            self.endpoint.respond(request, from, refusal).await;
        }
        admitted
    }

    /// Sends a request on to its first route or its Request-URI. The branch follows from the one it
    /// came with, so that copies, CANCEL and ACK get the same (RFC 3261 §16.11).
    async fn forward(&self, mut request: Request, from: Peer) {
        let hops = request.fields.first(Field::MaxForwards).and_then(|value| value.trim().parse::<u32>().ok());
        let Some(hops) = hops.unwrap_or(70).checked_sub(1) else { return self.refuse(&request, from, 483).await };
        request.fields.set(Field::MaxForwards, hops.to_string());
        let Some(to) = next_hop(&request) else { return self.refuse(&request, from, 404).await };
        let top = request.fields.list(Field::Via).next().unwrap_or_default();
        let digest = sha2::Sha256::digest(top.split(";received=").next().unwrap_or_default());
        let branch: String = digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
        request.fields.push_front(Field::Via, self.endpoint.via(to.transport, &branch));
        let _ = self.endpoint.send(&Message::Request(request), to).await;
    }

    /// Sends a response on by its next Via.
    async fn pass_back(&self, mut response: Response) {
        let vias: Vec<String> = response.fields.list(Field::Via).skip(1).map(str::to_owned).collect();
        let Some(to) = vias.first().and_then(|via| via_address(via)) else { return };
        response.fields.replace(Field::Via, vias.iter().map(String::as_str));
        let _ = self.endpoint.send(&Message::Response(response), to).await;
    }

    /// The extension a request is for.
    fn extension(&self, request: &Request) -> Option<&'static str> {
        let user = Uri::read(&request.uri).filter(|_| self.is_ours(&request.uri)).map_or("", |uri| uri.user);
        [ECHO, GOODBYE].into_iter().find(|extension| user == *extension)
    }

    async fn serve_extension(self: &Arc<Self>, extension: &'static str, mut request: Request, from: Peer) {
        let key = request.fields.call_id().to_owned();
        let known = lock(&self.dialogs).find(&key).is_some_and(|dialog| dialog.owns(&request));
        match (request.method, known) {
            (Method::Invite, _) => {
                if !known && !self.admit(&mut request, from).await {
                    return;
                }
                let response = self.accept(extension, &request, from, known);
                if let (false, Some(dialog)) = (known, Dialog::callee(&request, &response)) {
                    lock(&self.dialogs).insert(key, dialog);
                }
                self.endpoint.respond(&request, from, response).await;
            }
            (Method::Ack, true) if extension == GOODBYE => {
                let bye = lock(&self.dialogs).remove(&key).and_then(|mut dialog| {
                    let request = dialog.request(Method::Bye);
                    dialog.next_hop().map(|to| (request, to))
                });
                if let Some((bye, to)) = bye {
                    drop(self.endpoint.request(bye, to));
                }
            }
            (Method::Ack, _) => {}
            (Method::Bye, true) => {
                lock(&self.dialogs).remove(&key);
                self.refuse(&request, from, 200).await;
            }
            (Method::Options, _) | (_, true) => self.refuse(&request, from, 200).await,
            (_, false) => self.refuse(&request, from, 481).await,
        }
    }

    fn accept(&self, extension: &str, request: &Request, from: Peer, again: bool) -> Response {
        let direction = Direction::read(&request.body).answer();
        let local = self.endpoint.local();
        let version = request.fields.cseq().map_or(1, |(number, _)| number);
        request
            .reply(200, &if again { String::new() } else { self.endpoint.token() })
            .with(Field::Contact, format!("<sip:{extension}@{local};transport={}>", from.transport.uri_name()))
            .with_body(sdp::KIND, sdp::write(local.ip(), version, direction))
    }
}

/// Where a request goes: its first route, else its Request-URI.
fn next_hop(request: &Request) -> Option<Peer> {
    let route = request.fields.list(Field::Route).next().map(|route| Address::read(route).uri);
    let (transport, address) = Uri::read(route.unwrap_or(&request.uri))?.address()?;
    Some(Peer { transport, address })
}

#[cfg(test)]
#[path = "pbx_tests.rs"]
mod tests;
