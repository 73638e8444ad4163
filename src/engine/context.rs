//! The response context (RFC 3261 §16.7): what of the branches' responses the caller gets.

use super::best::{is_better, upstream};
use super::core::{Engine, Moment};
use super::steer::{self, Back, Side};
use super::tables::{ClientId, Owner, ServerId, Way};
use super::transaction::Kind;
use crate::reason::{Drop, Refusal};
use crate::sip::view::{Span, View};

impl Engine {
    /// A branch's transaction passes a response up.
    pub(super) fn on_answer(
        &mut self,
        moment: Moment<'_>,
        id: ServerId,
        from: ClientId,
        view: &View<'_>,
    ) -> Result<(), Drop> {
        let status = view.status();
        let Some(server) = self.tables.server(id) else { return Err(Drop::Late) };
        let current = server.client == Some(from);
        match status {
            // A branch that was given up is being cancelled; only its 2xx still counts.
            100..=199 if !current => Err(Drop::Late),
            300..=699 if !current => Err(Drop::Late),
            200..=299 => {
                if !current {
                    self.cancel_branch(moment, id);
                }
                self.learn(moment, id, view);
                self.pass_back(moment, id, view)
            }
            100..=199 => self.pass_back(moment, id, view),
            _ => self.on_failure_response(moment, id, view),
        }
    }

    fn on_failure_response(&mut self, moment: Moment<'_>, id: ServerId, view: &View<'_>) -> Result<(), Drop> {
        let status = view.status();
        self.learn(moment, id, view);
        if let Some(server) = self.tables.server_mut(id)
            && server.best_status != 0
            && is_better(server.best_status, status)
        {
            self.answer_best(moment, id);
            return Ok(());
        }
        if status == 503 && self.keep_best(id, view) && self.try_next(moment, id) {
            return Ok(());
        }
        let Some(server) = self.tables.server(id) else { return Err(Drop::Late) };
        // RFC 4320 §4.2, T03
        if status == 408 && server.machine.kind == Kind::Other {
            self.close_server(id);
            return Ok(());
        }
        self.pass_back(moment, id, view)
    }

    /// Keeps a response in case no branch has a better one; false if no other branch can follow.
    fn keep_best(&mut self, id: ServerId, view: &View<'_>) -> bool {
        let Some(server) = self.tables.server(id) else { return false };
        if !matches!(server.way, Way::Select(_)) || server.cancelled {
            return false;
        }
        if server.best_status == 0 {
            self.tables.keep_best(id, view.status(), view.message());
        }
        true
    }

    /// Passes the best response of the branches that failed.
    pub(super) fn answer_best(&mut self, moment: Moment<'_>, id: ServerId) {
        let best = self.tables.take_best(id);
        let mut index = std::mem::take(&mut self.room.kept_index);
        if let Ok(view) = View::read(best.bytes(), index.get(), &self.config.limits)
            && let Err(why) = self.pass_back(moment, id, &view)
        {
            self.discard(why);
        }
        self.room.kept_index = index;
        self.tables.buffers.give(best);
    }

    /// Sends a response on to where the request came from.
    fn pass_back(&mut self, moment: Moment<'_>, id: ServerId, view: &View<'_>) -> Result<(), Drop> {
        let Some(server) = self.tables.server(id) else { return Err(Drop::Late) };
        let status = view.status();
        let to = Side::of(server.flow.listener());
        let keys = steer::Keys { ring: &self.ring, now_unix: moment.now.unix };
        let mut rows = std::mem::take(&mut self.room.rows);
        let mut text = std::mem::take(&mut self.room.text);
        let mut index = std::mem::take(&mut self.room.own_index);
        rows.clear();
        text.clear();
        if to == Side::Instance
            && let Ok(request) = View::read(server.request.bytes(), index.get(), &self.config.limits)
        {
            steer::keep_vias(&request, server.flow.peer(), &mut rows);
        }
        let ends = super::ends::of_server(moment, &self.config, server);
        let written = ends.ok_or(()).and_then(|ends| {
            let vias = (to == Side::Instance).then_some(rows.as_slice());
            let back = Back { to, ends, vias };
            steer::response_out(view, &back, keys, &mut self.room.splices, &mut self.room.steer).map_err(|_| ())?;
            if upstream(status) != status {
                self.room.splices.replace(status_line(view), b"500 Server Internal Error");
            }
            self.room.splices.write(view, &mut text).map_err(|_| ())
        });
        if written.is_ok() {
            let sent = self.disguise(moment, id, upstream(status), &mut text);
            if sent != upstream(status) {
                // The gate learns from what the PBX said.
                self.close_registration(moment, id, status);
            }
            self.send_answer(moment, id, sent, &text);
            self.own.responses_forwarded.inc();
        }
        self.room.rows = rows;
        self.room.text = text;
        self.room.own_index = index;
        if written.is_err() && status >= 200 {
            // The caller must not wait for what cannot be written.
            self.answer_own(moment, id, Refusal::Internal);
        }
        written.map_err(|()| Drop::Unsendable)
    }

    /// Cancels the branch that is waited for (C01, T14).
    pub(super) fn cancel_branch(&mut self, moment: Moment<'_>, id: ServerId) {
        let timing = self.config.timing;
        let Some(client_id) = self.tables.server(id).and_then(|server| server.client) else { return };
        let Some(client) = self.tables.client_mut(client_id) else { return };
        if let Some(plan) = client.machine.ask_cancel(&timing) {
            self.tables.apply(Owner::Client(client_id), plan, moment.now.tick);
            self.send_cancel(client_id);
        }
    }
}

/// Status and reason phrase of a response.
fn status_line(view: &View<'_>) -> Span {
    let start = view.span().start + "SIP/2.0 ".len() as u32;
    let end = view.rows().first().map_or(view.headers_end(), |row| row.line.start).saturating_sub(2);
    Span { start, end: end.max(start) }
}
