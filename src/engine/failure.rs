//! A branch failed: nothing came in time, or it could not be delivered (RFC 3261 §16.8, §16.9).

use super::branch::Branch;
use super::contract::{Dest, SendError};
use super::core::{Engine, Moment};
use super::refusal::Answer;
use super::tables::{ClientId, ServerId, Way};
use super::token::FlowRef;
use super::transaction::Kind;
use crate::ids::{BackendId, Flow};
use crate::model::Profile;
use crate::reason::{Drop, Refusal};
use crate::route::snapshot::Instance;
use crate::sip::method::Method;
use std::net::SocketAddr;

/// Why a branch failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// Timer B or F, or no answer to a CANCEL.
    Timeout,
    /// An ICMP error, or a connection that is not there.
    Transport,
}

impl Engine {
    /// A connection ended: what was sent over it is not answered any more (X06), and what is bound to it is void
    /// (P07). A PBX that has answered already may call back for the rest.
    pub(super) fn on_flow_closed(&mut self, moment: Moment<'_>, flow: Flow) {
        let Flow::Stream { conn, peer, listener, .. } = flow else { return };
        if !listener.is_inside() {
            self.shared.registry.lose_stream(conn, moment.now, self.config.reconnect);
        }
        for id in self.tables.branches_over(conn) {
            if !self.follow_branch(moment, id) {
                self.on_branch_failed(moment, id, Failure::Transport);
                self.tables.close_client(id);
            }
        }
        if listener.is_inside() {
            let lost: Vec<ClientId> = self.tables.unanswered_at(peer).collect();
            for id in lost {
                self.on_branch_failed(moment, id, Failure::Transport);
            }
        }
    }

    /// An ICMP error: our branch is in what it quotes (X06).
    pub(super) fn on_unreachable(&mut self, moment: Moment<'_>, peer: SocketAddr, quoted: &[u8]) {
        let Some(branch) = Branch::find(quoted) else { return };
        if branch.ack || branch.shard != self.config.shard {
            return;
        }
        let id = ClientId::of(&branch);
        let Some(client) = self.tables.client(id) else { return };
        // What was sent elsewhere is not ended by an error from here.
        if client.address().is_some_and(|address| address.ip().to_canonical() != peer.ip().to_canonical()) {
            return;
        }
        // Nor is what followed its device to another port by one from the old port.
        if matches!(client.dest, Dest::Flow(flow) if flow.peer().port() != peer.port()) {
            return;
        }
        self.on_branch_failed(moment, id, Failure::Transport);
    }

    /// The driver could not send.
    pub(super) fn on_send_failed(&mut self, moment: Moment<'_>, ticket: u64, why: SendError) {
        self.discard(Drop::Unsendable);
        let Some(id) = ClientId::from_ticket(ticket) else { return };
        let reliable = self.tables.client(id).is_some_and(|client| client.machine.reliable);
        // A full buffer of a datagram socket passes; the retransmission comes.
        if why == SendError::Refused && !reliable {
            return;
        }
        self.on_branch_failed(moment, id, Failure::Transport);
    }

    /// The branch has failed: the next target, or the end.
    pub(super) fn on_branch_failed(&mut self, moment: Moment<'_>, id: ClientId, why: Failure) {
        let Some(client) = self.tables.client(id) else { return };
        if !client.machine.is_waiting() {
            return;
        }
        let server = client.server;
        match why {
            Failure::Transport => {
                if let Some(health) = &client.health {
                    health.failure(self.config.fall);
                }
            }
            // One that was given up has been counted then.
            Failure::Timeout if client.machine.abandoned => {}
            Failure::Timeout => client.count_silence(self.config.fall),
        }
        if why == Failure::Transport
            && let Some(Way::Client(flow)) = self.tables.server(server).map(|context| context.way)
        {
            self.forget_flow(moment, server, flow);
            if self.follow_branch(moment, id) {
                return;
            }
        }
        self.tables.close_client(id);
        let Some(context) = self.tables.server(server) else { return };
        if context.client == Some(id) && context.machine.is_open() {
            self.on_no_branch(moment, server, why);
        }
    }

    /// A target stays silent and there is another one: it is tried, while this one may still answer.
    pub(super) fn on_silence(&mut self, moment: Moment<'_>, id: ClientId) {
        let Some(client) = self.tables.client(id) else { return };
        client.count_silence(self.config.fall);
        let server = client.server;
        self.on_no_branch(moment, server, Failure::Timeout);
    }

    /// No branch is left that could answer.
    fn on_no_branch(&mut self, moment: Moment<'_>, id: ServerId, why: Failure) {
        if self.try_next(moment, id) {
            return;
        }
        let Some(server) = self.tables.server(id) else { return };
        if server.cancelled {
            return self.answer_own(moment, id, Refusal::Cancelled);
        }
        if server.best_status != 0 {
            return self.answer_best(moment, id);
        }
        match (why, server.machine.kind, server.way) {
            (Failure::Timeout, Kind::Invite, _) => self.answer_own(moment, id, Refusal::Timeout),
            // RFC 4320 §4.2, T03: nothing is answered; the caller has timed out as well.
            (Failure::Timeout, Kind::Other, _) => self.close_server(id),
            (Failure::Transport, _, Way::Client(_)) => self.answer_own(moment, id, Refusal::FlowGone),
            (Failure::Transport, _, _) => self.answer_own(moment, id, Refusal::Unreachable),
        }
    }

    /// The device a request is for is gone for good.
    pub(super) fn on_flow_lost(&mut self, moment: Moment<'_>, id: ServerId) {
        let cancelled = self.tables.server(id).is_some_and(|server| server.cancelled);
        self.answer_own(moment, id, if cancelled { Refusal::Cancelled } else { Refusal::FlowGone });
    }

    /// P07: what is bound to a flow that is gone is void.
    fn forget_flow(&self, moment: Moment<'_>, id: ServerId, flow: FlowRef) {
        let Some(server) = self.tables.server(id) else { return };
        let Some(room) = self.shared.registry.find(server.instance) else { return };
        room.with(|live| match flow.flow() {
            Flow::Stream { conn, .. } => live.lose_stream(conn, moment.now, self.config.reconnect),
            gone @ Flow::Udp { .. } => live.lose_datagrams(&gone),
        });
    }

    /// The answer for a reason in a transaction: a PBX that does not know 430 gets 480 (P04).
    pub(super) fn answer_of(&self, moment: Moment<'_>, id: ServerId, why: Refusal, method: Method<'_>) -> Answer {
        let mut answer = Answer::of(why, method);
        if let Some(instance) = self.tables.server(id).and_then(|server| moment.snapshot.by_id(server.instance)) {
            answer = answer.in_language(why, instance.language);
        }
        let server = self.tables.server(id);
        let instance = server.and_then(|server| moment.snapshot.by_id(server.instance));
        match (server, instance) {
            (Some(server), Some(instance)) => answer.known_to(why, instance, Some(server.backend.id)),
            _ => answer,
        }
    }
}

impl Answer {
    /// The same as the PBX that asked knows it: one that does not know 430 gets 480 (P04).
    pub(super) fn known_to(self, why: Refusal, instance: &Instance, asker: Option<BackendId>) -> Self {
        if why != Refusal::FlowGone {
            return self;
        }
        let backend = instance.backends.iter().find(|b| Some(b.id) == asker);
        match backend.or(instance.backends.first()).map(|b| b.profile) {
            Some(Profile::AsteriskPjsip | Profile::AsteriskSip) => {
                Self { status: 480, reason: "Temporarily Unavailable", ..self }
            }
            _ => self,
        }
    }
}
