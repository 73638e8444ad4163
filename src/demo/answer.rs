//! What a phone does with requests of others: rings, answers, agrees to hold, follows a transfer.
//!
//! One loop per phone; it answers in order and never waits, so that a retransmission always finds
//! the answer of its first copy. Called by `phone`.

use super::call::{Call, Leg};
use super::dialog::Dialog;
use super::endpoint::{Inbox, Incoming};
use super::line::{Answering, Line};
use super::lock;
use super::message::{Field, Method, Request, Response};
use super::phone;
use super::sdp::{self, Direction};
use super::text::Address;
use super::wire::Peer;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// Calls that may ring at once.
const MAX_RINGING: usize = 8;
/// The type of a body that tells how a transfer goes (RFC 3420).
const FRAGMENT: &str = "message/sipfrag;version=2.0";

/// Answers until the sockets close.
pub(super) async fn serve(line: Arc<Line>, mut inbox: Inbox) {
    let transfers = TaskTracker::new();
    while let Some(incoming) = inbox.next().await {
        if let Incoming::Request { request, from } = incoming {
            take(&line, request, from, &transfers).await;
        }
    }
}

async fn take(line: &Arc<Line>, request: Request, from: Peer, transfers: &TaskTracker) {
    let leg = line.leg_of(&request);
    match (request.method, leg) {
        (Method::Ack, _) => {}
        (Method::Invite, Some(leg)) => renegotiated(line, &leg, &request, from).await,
        (Method::Invite, None) if request.fields.to_tag().is_empty() => invited(line, request, from).await,
        (Method::Cancel, _) => cancelled(line, &request, from).await,
        (Method::Bye, Some(leg)) => {
            answer(line, &request, from, 200).await;
            line.forget(&leg);
            leg.state.send_modify(|state| state.ended = true);
        }
        (Method::Refer, Some(leg)) => {
            answer(line, &request, from, 202).await;
            if transfers.len() < MAX_RINGING {
                transfers.spawn(transfer(Arc::clone(line), leg, request));
            }
        }
        (Method::Notify, Some(leg)) => {
            answer(line, &request, from, 200).await;
            notified(&leg, &request);
        }
        (Method::Options, _) | (_, Some(_)) => answer(line, &request, from, 200).await,
        (Method::Message, None) => answer(line, &request, from, 200).await,
        (_, None) => answer(line, &request, from, 481).await,
    }
}

async fn answer(line: &Line, request: &Request, from: Peer, status: u16) {
    let response = request.reply(status, &line.endpoint.token());
    line.endpoint.respond(request, from, response).await;
}

async fn invited(line: &Arc<Line>, request: Request, from: Peer) {
    let tag = line.endpoint.token();
    let answering = *lock(&line.answering);
    if answering == Answering::Refuse {
        return line.endpoint.respond(&request, from, request.reply(486, &tag)).await;
    }
    let ringing = request.reply(180, &tag).with(Field::Contact, line.contact());
    line.endpoint.respond(&request, from, ringing).await;
    if answering == Answering::Ring {
        let pushed_out = {
            let mut ringing = lock(&line.ringing);
            ringing.push((request, from, tag));
            (ringing.len() > MAX_RINGING).then(|| ringing.remove(0))
        };
        if let Some((request, from, tag)) = pushed_out {
            line.endpoint.respond(&request, from, request.reply(480, &tag)).await;
        }
        return;
    }
    let response = accept(line, &request, &tag, 1, Direction::read(&request.body).answer());
    let leg = Dialog::callee(&request, &response).map(Leg::new);
    let Some(leg) = leg.filter(|leg| line.keep(Arc::clone(leg))) else {
        return line.endpoint.respond(&request, from, request.reply(486, &tag)).await;
    };
    line.endpoint.respond(&request, from, response).await;
    let _ = line.arrived.try_send(Call::new(Arc::clone(line), leg));
}

async fn renegotiated(line: &Line, leg: &Leg, request: &Request, from: Peer) {
    let theirs = Direction::read(&request.body);
    let mut version = 0;
    leg.state.send_modify(|state| {
        state.version = state.version.saturating_add(1);
        state.remote = theirs;
        state.local = theirs.answer();
        version = state.version;
    });
    lock(&leg.dialog).retarget(request.fields.first(Field::Contact));
    let response = accept(line, request, "", version, theirs.answer());
    line.endpoint.respond(request, from, response).await;
}

fn accept(line: &Line, request: &Request, tag: &str, version: u32, direction: Direction) -> Response {
    request
        .reply(200, tag)
        .with(Field::Contact, line.contact())
        .with(Field::Allow, "INVITE, ACK, CANCEL, BYE, OPTIONS, REFER, NOTIFY")
        .with_body(sdp::KIND, sdp::write(line.endpoint.local().ip(), version, direction))
}

async fn cancelled(line: &Line, request: &Request, from: Peer) {
    let branch = request.fields.via_param("branch");
    let found = {
        let mut ringing = lock(&line.ringing);
        let at = ringing.iter().position(|(invite, ..)| invite.fields.via_param("branch") == branch);
        at.map(|at| ringing.swap_remove(at))
    };
    let Some((invite, caller, tag)) = found else { return answer(line, request, from, 481).await };
    line.endpoint.respond(request, from, request.reply(200, &tag)).await;
    line.endpoint.respond(&invite, caller, invite.reply(487, &tag)).await;
}

/// Calls whom a REFER names, and tells the referrer how it goes (RFC 3515 §2.4.4).
async fn transfer(line: Arc<Line>, leg: Arc<Leg>, refer: Request) {
    let number = refer.fields.cseq().map_or(0, |(number, _)| number);
    notify(&line, &leg, number, "SIP/2.0 100 Trying", false).await;
    let target = refer.fields.first(Field::REFER_TO).map(|value| Address::read(value).uri).unwrap_or_default();
    let placed = match phone::ring(&line, target, refer.fields.first(Field::REFERRED_BY)).await {
        Ok(ringing) => ringing.answered().await,
        Err(failure) => Err(failure),
    };
    let outcome = match placed {
        Ok(call) => {
            let _ = line.arrived.try_send(call);
            "SIP/2.0 200 OK".to_owned()
        }
        Err(failure) if failure.status() == 0 => "SIP/2.0 480 Temporarily Unavailable".to_owned(),
        Err(failure) => format!("SIP/2.0 {} Failed", failure.status()),
    };
    notify(&line, &leg, number, &outcome, true).await;
}

async fn notify(line: &Line, leg: &Leg, number: u32, outcome: &str, last: bool) {
    let (mut request, to) = {
        let mut dialog = lock(&leg.dialog);
        (dialog.request(Method::Notify), line.hop(&dialog))
    };
    request.fields.push(Field::Contact, line.contact());
    request.fields.push(Field::Event, format!("refer;id={number}"));
    let state = if last { "terminated;reason=noresource" } else { "active;expires=60" };
    request.fields.push(Field::SUBSCRIPTION_STATE, state);
    let request = request.with_body(FRAGMENT, format!("{outcome}\r\n"));
    let _ = line.ask(request, to).await;
}

fn notified(leg: &Leg, request: &Request) {
    let text = String::from_utf8_lossy(&request.body);
    let status = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    let last = request.fields.first(Field::SUBSCRIPTION_STATE).is_some_and(|state| state.starts_with("terminated"));
    if let Some(status) = status {
        leg.state.send_modify(|state| state.transfer = Some((status, last)));
    }
}
