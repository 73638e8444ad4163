//! Responses of our own: refusals before there is a transaction, and answers inside one.

use super::contract::Dest;
use super::core::{Engine, Moment};
use super::refusal::{Answer, write_retry_after, write_warning};
use super::tables::{Owner, ServerId};
use super::transaction::key::Key;
use crate::ids::{BackendId, Flow, InstanceId, Transport};
use crate::reason::{Drop, Refusal};
use crate::route::snapshot::Instance;
use crate::sip::method::Method;
use crate::sip::reply::{self, Reply};
use crate::sip::via::{Rport, Via};
use crate::sip::view::View;
use std::io::Write as _;
use std::net::SocketAddr;

/// Where the responses to a request go (RFC 3261 §18.2.2, RFC 3581): back to the address it came from, over the
/// same socket or connection; to the port of sent-by where the sender did not ask for `rport`. `maddr` is not
/// believed.
pub(super) fn reply_to(flow: Flow, via: &Via<'_>) -> Dest {
    let written = via.port.filter(|port| *port != 0).unwrap_or(5060);
    match flow {
        Flow::Udp { listener, local, peer } => {
            // X04
            let port = if via.rport() == Rport::Absent { written } else { peer.port() };
            let peer = SocketAddr::new(peer.ip(), port);
            Dest::Reply { flow: Flow::Udp { listener, local, peer }, fallback: None }
        }
        // X05: a WebSocket or TLS client cannot be called back.
        Flow::Stream { transport: Transport::Tcp, peer, .. } => {
            Dest::Reply { flow, fallback: Some(SocketAddr::new(peer.ip(), written)) }
        }
        Flow::Stream { .. } => Dest::Reply { flow, fallback: None },
    }
}

/// What a refused request is told.
pub(super) struct Told<'a> {
    /// Why.
    pub why: Refusal,
    /// In which words.
    pub answer: Answer,
    /// The code in `Warning`.
    pub code: &'a str,
    /// On whose behalf, as far as that is known.
    pub instance: Option<InstanceId>,
}

/// A To-tag of ours, from the transaction it belongs to.
pub(super) struct Tag([u8; 18]);

impl Tag {
    pub fn of(key: Key) -> Self {
        let mut text = *b"nt0000000000000000";
        let mut room = text.get_mut(2..).unwrap_or_default();
        // Sixteen digits fit.
        let _ = write!(room, "{:016x}", key.tag());
        Self(text)
    }

    pub const fn text(&self) -> &[u8] {
        &self.0
    }
}

impl Engine {
    /// Refuses a request that has no transaction, and makes none: a repetition is refused again, with the same
    /// To-tag.
    pub(super) fn refuse(&mut self, flow: Flow, view: &View<'_>, key: Key, why: Refusal) {
        let answer = Answer::of(why, view.method());
        self.refuse_as(flow, view, key, &Told { why, answer, code: why.kind(), instance: None });
    }

    /// As [`Self::refuse`], on behalf of an instance, in its language and as the backend that asks knows it.
    pub(super) fn refuse_for(
        &mut self,
        asker: Option<BackendId>,
        instance: &Instance,
        flow: Flow,
        view: &View<'_>,
        key: Key,
        why: Refusal,
    ) {
        let answer = Answer::of(why, view.method()).in_language(why, instance.language).known_to(why, instance, asker);
        self.refuse_as(flow, view, key, &Told { why, answer, code: why.kind(), instance: Some(instance.id) });
    }

    /// As [`Self::refuse_for`], for something that may be tried again after these seconds.
    pub(super) fn refuse_until(
        &mut self,
        instance: &Instance,
        flow: Flow,
        view: &View<'_>,
        key: Key,
        why: Refusal,
        seconds: u32,
    ) {
        let answer = Answer { retry: Some(seconds), ..Answer::of(why, view.method()) };
        let answer = answer.in_language(why, instance.language);
        self.refuse_as(flow, view, key, &Told { why, answer, code: why.kind(), instance: Some(instance.id) });
    }

    /// As [`Self::refuse`], with another answer and code than the reason's own.
    pub(super) fn refuse_as(&mut self, flow: Flow, view: &View<'_>, key: Key, told: &Told<'_>) {
        if view.method() == Method::Ack {
            return self.discard(Drop::RefusedAck);
        }
        let answer = &told.answer;
        self.note_refusal(told.why, told.instance);
        let mut rows = std::mem::take(&mut self.room.rows);
        rows.clear();
        write_rows(answer, self.retry_after(told.why), told.code, &mut rows);
        if answer.status == 420 {
            rows.extend_from_slice(b"Unsupported: ");
            for (number, tag) in crate::sip::check::unsupported(view).enumerate() {
                rows.extend_from_slice(if number == 0 { b"" } else { b", " });
                rows.extend_from_slice(tag);
            }
            rows.extend_from_slice(b"\r\n");
        }
        self.reply_stateless(flow, view, key, answer.status, answer.reason, &rows);
        self.room.rows = rows;
    }

    /// Answers a request that has no transaction, and makes none.
    pub(super) fn reply_stateless(
        &mut self,
        flow: Flow,
        view: &View<'_>,
        key: Key,
        status: u16,
        reason: &str,
        rows: &[u8],
    ) {
        let Ok(via) = view.top_via() else { return };
        let tag = Tag::of(key);
        let reply = Reply { status, reason, to_tag: Some(tag.text()), peer: Some(flow.peer()), rows };
        self.out.send(reply_to(flow, &via), 0, |out| reply::write(view, &reply, out));
    }

    /// Answers in a transaction.
    pub(super) fn answer_own(&mut self, moment: Moment<'_>, id: ServerId, why: Refusal) {
        let mut index = std::mem::take(&mut self.room.kept_index);
        let mut rows = std::mem::take(&mut self.room.rows);
        let mut text = std::mem::take(&mut self.room.text);
        rows.clear();
        text.clear();
        let after = self.retry_after(why);
        let mut status = 0;
        if let Some(server) = self.tables.server(id)
            && let Ok(view) = View::read(server.request.bytes(), index.get(), &self.config.limits)
        {
            let answer = self.answer_of(moment, id, why, view.method());
            status = answer.status;
            self.note_refusal(why, Some(server.instance));
            server.stats.refuse(why);
            write_rows(&answer, after, why.kind(), &mut rows);
            let tag = Tag::of(server.key);
            let peer = Some(server.flow.peer());
            let reply = Reply { status, reason: answer.reason, to_tag: Some(tag.text()), peer, rows: &rows };
            reply::write(&view, &reply, &mut text);
        }
        self.room.kept_index = index;
        self.room.rows = rows;
        // Nothing is written where the request is over and forgotten.
        if status > 0 {
            self.send_answer(moment, id, status, &text);
        }
        self.room.text = text;
    }

    /// Sends 100 in a transaction (T02).
    pub(super) fn answer_trying(&mut self, moment: Moment<'_>, id: ServerId) {
        let mut index = std::mem::take(&mut self.room.kept_index);
        let mut text = std::mem::take(&mut self.room.text);
        text.clear();
        if let Some(server) = self.tables.server(id)
            && let Ok(view) = View::read(server.request.bytes(), index.get(), &self.config.limits)
        {
            write_trying(&view, server.flow, &mut text);
        }
        self.room.kept_index = index;
        self.send_answer(moment, id, 100, &text);
        self.room.text = text;
    }

    /// Sends 100 in the transaction of the request at hand, which came over `flow` (T01).
    pub(super) fn answer_trying_to(&mut self, moment: Moment<'_>, id: ServerId, request: &View<'_>, flow: Flow) {
        let mut text = std::mem::take(&mut self.room.text);
        text.clear();
        write_trying(request, flow, &mut text);
        self.send_answer(moment, id, 100, &text);
        self.room.text = text;
    }

    /// Sends a written response in a transaction, if its state allows.
    pub(super) fn send_answer(&mut self, moment: Moment<'_>, id: ServerId, status: u16, text: &[u8]) {
        let timing = self.config.timing;
        if status >= 200 {
            self.close_registration(moment, id, status);
        }
        let waits = self.redirect_answer(moment, id);
        let Some(server) = self.tables.server_mut(id) else { return };
        if server.away && !waits && (status >= 200 || !server.flow.listener().is_inside()) {
            self.end_wait(id);
        }
        let Some(step) = self.tables.answer(id, status, &timing, moment.now.tick) else { return };
        if status >= 200 {
            self.give_back(id);
        }
        if !step.send {
            return self.discard(Drop::Late);
        }
        if waits {
            // Told when the device is back; the end of the wait is the end of the transaction.
            return self.tables.keep_answer(id, text);
        }
        let Some(server) = self.tables.server(id) else { return };
        let reply = server.reply;
        self.out.send(reply, 0, |out| out.extend_from_slice(text));
        if step.over {
            return self.close_server(id);
        }
        if let Some(left) = step.left {
            return self.finish_server(id, text, moment.now.tick.after(left));
        }
        if step.keep {
            self.tables.keep_answer(id, text);
        }
        self.tables.apply(Owner::Server(id), step.plan, moment.now.tick);
    }

    /// Sends the last response again (T17).
    pub(super) fn resend_answer(&mut self, id: ServerId) {
        let Some(server) = self.tables.server(id) else { return };
        if !server.answer.is_empty() {
            self.out.send(server.reply, 0, |out| out.extend_from_slice(server.answer.bytes()));
        }
    }

    /// Seconds after which a refused client may try again. Those who were told the same must not come back in the
    /// same second.
    fn retry_after(&mut self, why: Refusal) -> u32 {
        let seconds = self.config.retry_after;
        let jitter = if why.passes() { self.rng.u32(0..=seconds) } else { 0 };
        seconds.saturating_add(jitter)
    }
}

fn write_trying(request: &View<'_>, flow: Flow, text: &mut Vec<u8>) {
    let reply = Reply { status: 100, reason: "Trying", to_tag: None, peer: Some(flow.peer()), rows: b"" };
    reply::write(request, &reply, text);
}

fn write_rows(answer: &Answer, retry_after: u32, code: &str, rows: &mut Vec<u8>) {
    if answer.status == 503 {
        write_retry_after(answer.retry.unwrap_or(retry_after), rows);
    }
    write_warning(code, answer.text, rows);
}
