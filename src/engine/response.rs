//! A response came: is it one we wait for (RFC 3261 §18.1.2, §17.1.3), and what its transaction makes of it.

use super::branch::Branch;
use super::build;
use super::contract::Dest;
use super::core::{Engine, Moment};
use super::tables::{Client, ClientId, Owner};
use super::transaction::Kind;
use crate::ids::Flow;
use crate::reason::Drop;
use crate::sip::check::{self, Verdict};
use crate::sip::method::Method;
use crate::sip::view::View;

impl Engine {
    pub(super) fn on_response(&mut self, moment: Moment<'_>, flow: Flow, view: &View<'_>, handed_over: bool) {
        self.own.responses.inc();
        if let Err(why) = self.take_response(moment, flow, view, handed_over) {
            self.discard(why);
        }
    }

    fn take_response(
        &mut self,
        moment: Moment<'_>,
        flow: Flow,
        view: &View<'_>,
        handed_over: bool,
    ) -> Result<(), Drop> {
        if check::response(view, &self.config.limits) != Verdict::Ok {
            return Err(Drop::MalformedResponse);
        }
        let via = view.top_via().map_err(|_| Drop::MalformedResponse)?;
        // RFC 3261 §18.1.2, T04: not ours, not forwarded.
        let branch = via.branch().and_then(Branch::read).ok_or(Drop::ForeignVia)?;
        if branch.shard != self.config.shard {
            if handed_over {
                return Err(Drop::WrongShard);
            }
            self.shared.stats.handed_over.inc();
            self.out.hand_over(branch.shard, flow, view.message());
            return Ok(());
        }
        if branch.ack {
            return Err(Drop::UnmatchedResponse);
        }
        if let Some(heard) = self.hear_keep_alive(moment, &flow, &branch) {
            return heard;
        }
        let id = ClientId::of(&branch);
        let sent_by = self.keyer.sent_by(via.host, via.port);
        // RFC 6026 §7.3, T05: without a transaction it is not forwarded.
        let client = self.tables.client(id).ok_or(Drop::UnmatchedResponse)?;
        if client.sent_by != sent_by {
            return Err(Drop::ForeignVia);
        }
        if !client.may_hear(&flow) && !self.is_of_device(moment, id, &flow) {
            return Err(Drop::ResponseSource);
        }
        let client = self.tables.client(id).ok_or(Drop::UnmatchedResponse)?;
        let (_, method) = view.cseq().map_err(|_| Drop::MalformedResponse)?;
        if (client.machine.kind, method) == (Kind::Invite, Method::Cancel) {
            self.on_cancel_answer(moment, id, view.status());
            return Ok(());
        }
        // T04: an answer from inside without another Via than ours is for nobody behind us.
        if matches!(client.dest, Dest::Backend { .. }) && view.vias().nth(1).is_none() {
            return Err(Drop::ViaMismatch);
        }
        match (client.machine.kind, method) {
            (Kind::Invite, Method::Invite) => self.on_transaction_response(moment, id, view),
            (Kind::Invite, _) | (Kind::Other, Method::Invite | Method::Ack | Method::Cancel) => {
                Err(Drop::UnmatchedResponse)
            }
            (Kind::Other, _) => self.on_transaction_response(moment, id, view),
        }
    }

    fn on_transaction_response(&mut self, moment: Moment<'_>, id: ClientId, view: &View<'_>) -> Result<(), Drop> {
        let timing = self.config.timing;
        let status = view.status();
        let heard = self.tables.hear(id, status, &timing).ok_or(Drop::UnmatchedResponse)?;
        let client = self.tables.client(id).ok_or(Drop::UnmatchedResponse)?;
        let (kind, server) = (client.machine.kind, client.server);
        if let Some(health) = &client.health {
            health.hear(moment.now.tick.0);
            health.success(self.config.rise);
        }
        self.tables.apply(Owner::Client(id), heard.plan, moment.now.tick);
        if heard.ack {
            self.send_ack(id, view);
        }
        if heard.cancel {
            self.send_cancel(id);
        }
        let done = match heard.pass {
            true => self.on_answer(moment, server, id, view),
            // RFC 4320 §4.1
            false if kind == Kind::Other && (101..200).contains(&status) => Err(Drop::Provisional),
            false => Ok(()),
        };
        if heard.over {
            self.tables.close_client(id);
        } else if status >= 200 && (kind == Kind::Other || status < 300) {
            // An INVITE that failed is acknowledged again and again.
            self.tables.forget_sent(id);
        }
        done
    }

    fn on_cancel_answer(&mut self, moment: Moment<'_>, id: ClientId, status: u16) {
        if status < 200 {
            return;
        }
        let Some(client) = self.tables.client_mut(id) else { return };
        let plan = client.machine.hear_cancel_answer();
        self.tables.apply(Owner::Client(id), plan, moment.now.tick);
    }

    /// T08: hop by hop, with the branch of the INVITE, where the INVITE went.
    fn send_ack(&mut self, id: ClientId, response: &View<'_>) {
        let mut index = std::mem::take(&mut self.room.kept_index);
        if let Some(client) = self.tables.client(id)
            && let Ok(invite) = View::read(client.request.bytes(), index.get(), &self.config.limits)
        {
            self.out.send(client.dest, 0, |out| build::ack(&invite, response, out));
        }
        self.room.kept_index = index;
    }

    /// C01: with the branch of the INVITE, where the INVITE went.
    pub(super) fn send_cancel(&mut self, id: ClientId) {
        let mut index = std::mem::take(&mut self.room.kept_index);
        if let Some(client) = self.tables.client(id)
            && let Ok(invite) = View::read(client.request.bytes(), index.get(), &self.config.limits)
        {
            self.out.send(client.dest, 0, |out| build::cancel(&invite, out));
        }
        self.room.kept_index = index;
    }
}

impl Client {
    /// Whether a response may come this way: from the side, and from a client's flow, it was sent to. Branches
    /// are hard to guess; this keeps one side from answering for the other even so.
    fn may_hear(&self, flow: &Flow) -> bool {
        let (Dest::Flow(sent) | Dest::Reply { flow: sent, .. }) = self.dest else {
            return flow.listener().is_inside();
        };
        match (sent, flow) {
            (Flow::Udp { listener, peer, .. }, Flow::Udp { listener: other, peer: from, .. }) => {
                listener == *other && peer.ip().to_canonical() == from.ip().to_canonical()
            }
            (Flow::Stream { conn, .. }, Flow::Stream { conn: other, .. }) => conn == *other,
            _ => false,
        }
    }
}
