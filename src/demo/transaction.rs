//! Client transactions (RFC 3261 §17.1): one task each, which repeats a request over UDP, confirms
//! refusals of INVITE, and hands every response on.
//!
//! A task per transaction is right for a few phones, and wrong for the proxy, which has timers as data.
//! Called by `endpoint`.

use super::endpoint::Endpoint;
use super::message::{Message, Method, Request, Response};
use super::wire::Peer;
use std::time::Duration;
use tokio::sync::mpsc;

/// T1: an estimate of the round trip.
const T1: Duration = Duration::from_millis(500);
/// T2: the longest wait between repetitions.
const T2: Duration = Duration::from_secs(4);
/// 64·T1: timers B, F, H and L.
pub const LIFETIME: Duration = Duration::from_secs(32);
/// How long an INVITE may ring after a provisional response: timer C of the proxies before it.
const RINGING: Duration = Duration::from_secs(180);
/// Responses that may wait for the owner of a transaction.
const QUEUE: usize = 32;

/// Why a request came to nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// No final response in time.
    #[error("no answer")]
    Timeout,
    /// It could not be sent.
    #[error("not sent: {0}")]
    Transport(String),
    /// Refused: status, reason phrase, and the text of Warning if there is one.
    #[error("{status} {reason}{}{warning}", if warning.is_empty() { "" } else { ", " })]
    Refused {
        /// Status code.
        status: u16,
        /// Reason phrase.
        reason: String,
        /// Warning, or nothing.
        warning: String,
    },
    /// The other side did what it should not.
    #[error("{0}")]
    Unexpected(String),
}

impl Failure {
    /// The status of a refusal, else 0.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Refused { status, .. } => *status,
            _ => 0,
        }
    }
}

/// A request on its way.
pub struct Transaction {
    /// The request as sent, with its Via.
    pub request: Request,
    to: Peer,
    endpoint: Endpoint,
    responses: mpsc::Receiver<Result<Response, Failure>>,
}

impl Transaction {
    /// The next response, provisional ones too.
    pub async fn next(&mut self) -> Result<Response, Failure> {
        self.responses.recv().await.unwrap_or(Err(Failure::Timeout))
    }

    /// The final response, whatever it says.
    pub async fn last(&mut self) -> Result<Response, Failure> {
        loop {
            let response = self.next().await?;
            if response.status >= 200 {
                return Ok(response);
            }
        }
    }

    /// Starts a CANCEL of this INVITE.
    pub fn cancel(&self) -> Self {
        start(self.endpoint.clone(), self.request.cancel(), self.to)
    }

    /// Where it was sent.
    pub fn to(&self) -> Peer {
        self.to
    }
}

/// The waits between repetitions: doubling from T1 (`capped`: up to T2, as for everything but a
/// waiting INVITE), 64·T1 in all.
pub fn waits(invite: bool) -> impl Iterator<Item = Duration> {
    let mut next = T1;
    let mut spent = Duration::ZERO;
    std::iter::from_fn(move || {
        let wait = next;
        spent += wait;
        next = if invite { wait * 2 } else { (wait * 2).min(T2) };
        (spent < LIFETIME).then_some(wait)
    })
}

/// Starts a transaction for a request that has its Via.
pub(super) fn start(endpoint: Endpoint, request: Request, to: Peer) -> Transaction {
    let (sender, responses) = mpsc::channel(QUEUE);
    let (events, heard) = mpsc::channel(QUEUE);
    let key = format!("{} {}", request.fields.via_param("branch").unwrap_or_default(), request.method);
    endpoint.expect(key.clone(), events);
    let task = Task { endpoint: endpoint.clone(), request: request.clone(), to, heard, sender };
    tokio::spawn(async move {
        let endpoint = task.endpoint.clone();
        task.run().await;
        endpoint.forget(&key);
    });
    Transaction { request, to, endpoint, responses }
}

struct Task {
    endpoint: Endpoint,
    request: Request,
    to: Peer,
    heard: mpsc::Receiver<Response>,
    sender: mpsc::Sender<Result<Response, Failure>>,
}

impl Task {
    async fn run(mut self) {
        let message = Message::Request(self.request.clone());
        if let Err(error) = self.endpoint.send(&message, self.to).await {
            let _ = self.sender.send(Err(Failure::Transport(error.to_string()))).await;
            return;
        }
        let invite = self.request.method == Method::Invite;
        let reliable = self.to.transport.is_reliable();
        let mut waits = waits(invite);
        let mut proceeding = false;
        loop {
            let wait = match (proceeding, reliable) {
                (true, _) if invite => RINGING,
                (_, true) => LIFETIME,
                (slow, false) => match waits.next() {
                    Some(wait) if slow => wait.max(T2),
                    Some(wait) => wait,
                    None => return,
                },
            };
            let repeat = !(reliable || invite && proceeding);
            tokio::select! {
                heard = self.heard.recv() => {
                    let Some(response) = heard else { return };
                    proceeding = true;
                    if self.answered(response).await {
                        return;
                    }
                }
                () = tokio::time::sleep(wait) => {
                    if !repeat {
                        return;
                    }
                    let _ = self.endpoint.send(&message, self.to).await;
                }
            }
        }
    }

    /// Hands a response on; true when it was the last.
    async fn answered(&mut self, response: Response) -> bool {
        let last = response.status >= 200;
        if self.request.method == Method::Invite && response.status >= 300 {
            let ack = self.request.acknowledge(&response);
            self.endpoint.remember_ack(ack.clone(), self.to);
            let _ = self.endpoint.send(&Message::Request(ack), self.to).await;
        }
        let _ = self.sender.send(Ok(response)).await;
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_double_and_end_within_64_t1() {
        // T15
        let invite: Vec<_> = waits(true).map(|wait| wait.as_millis()).collect();
        assert_eq!(invite, [500, 1000, 2000, 4000, 8000, 16000]);
        let other: Vec<_> = waits(false).map(|wait| wait.as_millis()).collect();
        assert_eq!(other, [500, 1000, 2000, 4000, 4000, 4000, 4000, 4000, 4000, 4000]);
    }
}
