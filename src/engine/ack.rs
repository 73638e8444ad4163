//! An ACK came (RFC 3261 §16.6, §17.2.1): for a 3xx-6xx it ends here, for a 2xx it follows its Route set.

use super::branch::Branch;
use super::core::{Engine, Moment};
use super::ends;
use super::registry::devices::Place;
use super::reply::Tag;
use super::tables::{Owner, Way};
use super::target;
use super::transaction::key::Key;
use super::transaction::server::Repeat;
use crate::ids::Flow;
use crate::model::State;
use crate::reason::Drop;
use crate::sip::view::View;

impl Engine {
    pub(super) fn on_ack(&mut self, moment: Moment<'_>, flow: Flow, view: &View<'_>, key: Key) {
        let timing = self.config.timing;
        if let Some(id) = self.tables.find_invite(key)
            && let Some(server) = self.tables.server_mut(id)
        {
            match server.machine.repeat(true, &timing) {
                // C05
                Repeat::Confirm { over: true, .. } => return self.close_server(id),
                Repeat::Confirm { plan, .. } => return self.tables.apply(Owner::Server(id), plan, moment.now.tick),
                Repeat::Resend | Repeat::Absorb => return,
                // Some clients give the ACK for a 2xx the branch of its INVITE.
                Repeat::Pass => {}
            }
        } else if view.to().is_ok_and(|to| to.tag() == Some(Tag::of(key).text())) {
            // For a refusal of ours that had no transaction (RFC 3261 §8.2.7).
            return;
        }
        if let Err(why) = self.pass_ack(moment, flow, view, key) {
            self.discard(why);
        }
    }

    /// C04, C07: without a transaction, with a branch that is the same for each repetition.
    fn pass_ack(&mut self, moment: Moment<'_>, flow: Flow, view: &View<'_>, key: Key) -> Result<(), Drop> {
        let mut steering = std::mem::take(&mut self.room.steer);
        let decided = self.decide(moment, flow, view, &mut steering);
        self.room.steer = steering;
        let (decision, inbound) = decided.map_err(|_| Drop::RefusedAck)?;
        // Only a token says where it goes: an ACK is no call (PROTOCOLS 4, trap 13).
        if !decision.in_dialog || decision.instance.state != State::On {
            return Err(Drop::UnmatchedAck);
        }
        let id = decision.instance.id;
        let (mut way, mut end) = (decision.way, decision.client_end);
        if let Way::Client(flow) = way {
            let flow = self.with_device(id, flow);
            match self.locate(moment, id, &flow, true) {
                Place::Here => {}
                Place::There(to) => (way, end) = (Way::Client(to), to),
                // The 2xx comes again, and with it the ACK.
                Place::Wait(_) | Place::Gone => return Err(Drop::FlowGone),
            }
        }
        let target = target::next(&self.config, id, Some(decision.instance), way, &Default::default());
        let target = target.ok_or(Drop::UnmatchedAck)?;
        let backend = target.backend.or(decision.backend).ok_or(Drop::UnmatchedAck)?;
        let ends = ends::of(moment, &self.config, id, end, backend).ok_or(Drop::Unsendable)?;
        let number = key.tag();
        let branch = Branch {
            shard: self.config.shard,
            ack: true,
            index: number as u32 & 0xff_ffff,
            nonce: (number >> 32) as u32,
            loop_hash: inbound.loop_hash,
        };
        let mut text = std::mem::take(&mut self.room.text);
        text.clear();
        let written = self.write_request(moment, view, &inbound, &branch, &target, &ends, flow.peer(), &mut text);
        if written.is_some() {
            self.out.send(target.dest, 0, |out| out.extend_from_slice(&text));
            self.own.requests_forwarded.inc();
        }
        self.room.text = text;
        written.map(|_| ()).ok_or(Drop::Unsendable)
    }
}
