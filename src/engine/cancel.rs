//! A CANCEL came (RFC 3261 §9.2, §16.10). It is answered here and stands for itself; the INVITE it ends is
//! cancelled hop by hop.

use super::contract::Dest;
use super::core::{Engine, Moment};
use super::reply::{Tag, reply_to};
use super::tables::{NewServer, ServerId, Topic};
use super::transaction::key::Key;
use super::transaction::{Kind, server};
use crate::ids::{Flow, Shard};
use crate::reason::Refusal;
use crate::sip::reply::{self, Reply};
use crate::sip::view::View;
use std::sync::Arc;

impl Engine {
    /// C01, C06. One that matches nothing at any shard gets 481 (C02): our branches are drawn at random, so passed on
    /// it would match nothing either, and the PBX would say the same.
    pub(super) fn on_cancel(&mut self, moment: Moment<'_>, flow: Flow, view: &View<'_>, key: Key) {
        let invite = self.keyer.cancelled_by(view).and_then(|invite| self.tables.find_invite(invite));
        let Some((id, server)) = invite.and_then(|id| Some((id, self.tables.server_mut(id)?))) else {
            return self.seek_invite(flow, view, key);
        };
        let open = server.machine.is_open();
        server.cancelled |= open;
        self.confirm_cancel(moment, flow, view, key, id);
        if open && self.is_held(id) {
            // It never went out.
            return self.answer_own(moment, id, Refusal::Cancelled);
        }
        if open {
            self.cancel_branch(moment, id);
        }
    }

    /// A device may have come back at another shard since its INVITE, so each is asked in turn; the last one says that
    /// nobody knows it. A connection that nobody is registered over came in the place of none.
    fn seek_invite(&mut self, flow: Flow, view: &View<'_>, key: Key) {
        let next = Shard((self.config.shard.0 + 1) % self.config.shards.max(1));
        match flow {
            Flow::Stream { conn, .. } if next != conn.shard() && self.shared.registry.streams.is_bound(conn) => {
                self.out.hand_over(next, flow, view.message());
            }
            _ => self.refuse(flow, view, key, Refusal::NoTransaction),
        }
    }

    /// Answers 200 in a transaction of the CANCEL's own, so that its repetition is answered the same when the
    /// INVITE is over; without one where there is no room.
    fn confirm_cancel(&mut self, moment: Moment<'_>, flow: Flow, view: &View<'_>, key: Key, invite: ServerId) {
        let timing = self.config.timing;
        let Some(server) = self.tables.server(invite) else { return };
        // §9.2: the same To-tag as an answer of ours to the INVITE would have.
        let tag = Tag::of(server.key);
        let reply = Reply { status: 200, reason: "OK", to_tag: Some(tag.text()), peer: Some(flow.peer()), rows: b"" };
        let mut text = std::mem::take(&mut self.room.text);
        text.clear();
        reply::write(view, &reply, &mut text);
        let to = view.top_via().map_or(Dest::Flow(flow), |via| reply_to(flow, &via));
        if self.tables.has_room(true) {
            let stats = Arc::clone(&server.stats);
            let new = NewServer {
                machine: server::Machine::new(Kind::Other, flow.transport().is_reliable(), &timing),
                key,
                flow,
                reply: to,
                request: b"",
                wish: None,
                instance: server.instance,
                stats: &stats,
                way: server.way,
                topic: Topic::Other,
                client_end: server.client_end,
                backend: server.backend,
                permit: None,
                roams: false,
            };
            stats.transactions.inc();
            let id = self.tables.open_server(new);
            self.send_answer(moment, id, 200, &text);
        } else {
            self.out.send(to, 0, |out| out.extend_from_slice(&text));
        }
        self.room.text = text;
    }
}
