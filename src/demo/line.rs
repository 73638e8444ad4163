//! A phone's line: one account at one end point, towards an outbound proxy.
//!
//! It makes requests, answers challenges and knows the line's calls; what the other side starts is
//! `answer`'s, what a caller may do with a call is `call`'s. Called by those two and by `phone`.

use super::call::{Call, Leg};
use super::dialog::Dialog;
use super::digest::{Algorithm, Challenge, Claim, Credentials};
use super::endpoint::Endpoint;
use super::lock;
use super::message::{Field, Method, Request, Response};
use super::transaction::Failure;
use super::wire::Peer;
use crate::ids::Transport;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// Calls a line holds at once.
pub const MAX_CALLS: usize = 16;

/// Who registers, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// User part and digest user name.
    pub user: String,
    /// SIP domain: the instance's name.
    pub domain: String,
    /// Secret.
    pub password: String,
}

impl Account {
    /// Address of record.
    pub fn aor(&self) -> String {
        format!("sip:{}@{}", self.user, self.domain)
    }
}

/// What a line does with calls that come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Answering {
    /// Rings and answers at once.
    #[default]
    Answer,
    /// Rings until the caller gives up.
    Ring,
    /// Is busy.
    Refuse,
}

/// The line.
pub struct Line {
    /// Whose it is.
    pub account: Account,
    /// Its sockets.
    pub endpoint: Endpoint,
    /// Where everything is sent that no route set sends elsewhere.
    pub proxy: Peer,
    /// Whether the outbound proxy is also named in Route (RFC 3261 §8.1.2).
    pub preload: bool,
    /// The hashes it can compute.
    pub algorithms: Vec<Algorithm>,
    /// How long it waits for any answer.
    pub patience: Duration,
    /// What it does with calls that come in.
    pub answering: Mutex<Answering>,
    /// Its calls.
    pub legs: Mutex<Vec<Arc<Leg>>>,
    /// INVITEs that ring here, with their tags.
    pub ringing: Mutex<Vec<(Request, Peer, String)>>,
    /// Calls for the owner: answered ones, and those placed by a transfer.
    pub arrived: mpsc::Sender<Call>,
}

impl Line {
    /// The contact of this line.
    pub fn contact(&self) -> String {
        let transport = match self.proxy.transport {
            Transport::Udp => String::new(),
            other => format!(";transport={}", other.uri_name()),
        };
        format!("<sip:{}@{}{transport}>", self.account.user, self.endpoint.local())
    }

    /// The full URI of what a person dials.
    pub fn dialled(&self, target: &str) -> String {
        if target.starts_with("sip:") { target.to_owned() } else { format!("sip:{target}@{}", self.account.domain) }
    }

    /// A request outside any dialog.
    pub fn request(&self, method: Method, uri: &str, to: &str) -> Request {
        let mut request = Request::new(method, uri);
        if self.preload {
            let transport = format!(";transport={}", self.proxy.transport.uri_name());
            request.fields.push(Field::Route, format!("<sip:{}{transport};lr>", self.proxy.address));
        }
        request.fields.push(Field::From, format!("<{}>;tag={}", self.account.aor(), self.endpoint.token()));
        request.fields.push(Field::To, format!("<{to}>"));
        request.fields.push(Field::CallId, self.endpoint.token());
        request.fields.push(Field::CSeq, format!("1 {method}"));
        request.fields.push(Field::UserAgent, "Nantucket synthetic phone");
        request
    }

    /// Sends a request (not an INVITE), answers a challenge, and returns the final response with
    /// the request it belongs to.
    pub async fn ask(&self, mut request: Request, to: Peer) -> Result<(Request, Response), Failure> {
        let mut challenged = false;
        loop {
            let mut transaction = self.endpoint.request(request.clone(), to);
            let response = self.patiently(transaction.last()).await?;
            match self.authorise(&request, &response).filter(|_| !challenged) {
                Some(again) => {
                    challenged = true;
                    request = again;
                }
                None => return Ok((request, response)),
            }
        }
    }

    /// The request again, with an answer to the first challenge whose hash this line can compute
    /// (RFC 8760 §2.4), and the next number.
    pub fn authorise(&self, request: &Request, response: &Response) -> Option<Request> {
        let (asks, answers) = match response.status {
            401 => (Field::WwwAuthenticate, Field::Authorization),
            407 => (Field::ProxyAuthenticate, Field::ProxyAuthorization),
            _ => return None,
        };
        let challenge = response
            .fields
            .rows(asks)
            .filter_map(Challenge::read)
            .find(|challenge| self.algorithms.contains(&challenge.algorithm))?;
        let method = request.method.to_string();
        let cnonce = self.endpoint.token();
        let claim = Claim {
            username: &self.account.user,
            password: &self.account.password,
            method: &method,
            uri: &request.uri,
            cnonce: &cnonce,
        };
        let mut again = request.clone();
        let number = request.fields.cseq()?.0.saturating_add(1);
        again.fields.set(Field::CSeq, format!("{number} {method}"));
        again.fields.set(answers, Credentials::answer(&challenge, &claim).to_string());
        Some(again)
    }

    /// Waits as long as the line waits for anything.
    pub async fn patiently<T>(&self, what: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::time::timeout(self.patience, what).await.unwrap_or(Err(Failure::Timeout))
    }

    /// Sends the ACK of a 2xx to an INVITE, with the credentials of that INVITE (RFC 3261 §22.1).
    pub async fn confirm(&self, leg: &Leg, invite: &Request) -> Result<(), Failure> {
        let (mut ack, to) = {
            let mut dialog = lock(&leg.dialog);
            (dialog.request(Method::Ack), self.hop(&dialog))
        };
        for field in [Field::Authorization, Field::ProxyAuthorization] {
            ack.fields.copy(field, &invite.fields);
        }
        self.endpoint.confirm(ack, to).await.map_err(|error| Failure::Transport(error.to_string()))
    }

    /// Where the next request of a dialog goes: to its first route where that is an address. Over TLS everything goes
    /// to the proxy, over the one connection there is.
    pub fn hop(&self, dialog: &Dialog) -> Peer {
        let secure = matches!(self.proxy.transport, Transport::Tls | Transport::Wss);
        dialog.next_hop().filter(|_| !secure).unwrap_or(self.proxy)
    }

    /// Keeps a call; false when there are too many.
    pub fn keep(&self, leg: Arc<Leg>) -> bool {
        let mut legs = lock(&self.legs);
        let room = legs.len() < MAX_CALLS;
        if room {
            legs.push(leg);
        }
        room
    }

    /// Forgets a call.
    pub fn forget(&self, leg: &Arc<Leg>) {
        lock(&self.legs).retain(|kept| !Arc::ptr_eq(kept, leg));
    }

    /// The call a request belongs to.
    pub fn leg_of(&self, request: &Request) -> Option<Arc<Leg>> {
        lock(&self.legs).iter().find(|leg| lock(&leg.dialog).owns(request)).cloned()
    }
}

/// A refusal as a failure; responses below 300 are none.
pub fn refused(response: &Response) -> Option<Failure> {
    (response.status >= 300).then(|| Failure::Refused {
        status: response.status,
        reason: response.reason.clone(),
        warning: response.fields.first(Field::Warning).unwrap_or_default().to_owned(),
    })
}
