//! The edge's own keep-alive (`Proxy.keep_alive`): line ends or OPTIONS to devices over UDP behind NAT, whose way
//! would close without them. A device that leaves OPTIONS unanswered is gone: what is bound to it ends.
//!
//! Connections are not looked after here: the kernel probes those. One shard does it for all, with its sweep of each
//! second; answers to it are told by their branch and need no transaction.

use super::branch::Branch;
use super::contract::Dest;
use super::core::{Engine, Moment};
use super::registry::Due;
use super::steer::{self, Place};
use super::token::FlowRef;
use crate::ids::{Flow, InstanceId};
use crate::model::KeepAlive;
use crate::reason::Drop;
use std::hash::BuildHasher;
use std::io::Write as _;
use std::ops::Range;

/// The place in a branch that stands for no transaction: tables end before it.
const PLACE: u32 = 0xff_ffff;
/// Keep-alives sent in one sweep; what is beyond has its turn in the next interval, and is counted.
const AT_ONCE: usize = 10_000;

impl Engine {
    /// Sends what is due in these rooms since the last sweep.
    pub(super) fn keep_alive(&mut self, moment: Moment<'_>, rooms: Range<usize>) {
        let (from, until) = self.sweep.seconds();
        let wanted = |flow: &FlowRef| match flow {
            FlowRef::Udp { listener, .. } => {
                moment.snapshot.proxy_by_id(listener.proxy).map_or(KeepAlive::Off, |proxy| proxy.keep_alive)
            }
            FlowRef::Stream { .. } => KeepAlive::Off,
        };
        if from == 0 || moment.snapshot.proxies.iter().all(|proxy| proxy.keep_alive == KeepAlive::Off) {
            return;
        }
        let due = self.shared.registry.due(rooms, (from, until), self.config.keep_alive / 1_000, wanted);
        for (instance, due) in due {
            if self.sweep.count() > AT_ONCE {
                self.shared.stats.keep_alives_left_out.inc();
                continue;
            }
            match due {
                Due::Lines(flow) => {
                    self.shared.stats.keep_alives_sent.inc();
                    self.out.send(Dest::Flow(flow.flow()), 0, |out| out.extend_from_slice(b"\r\n\r\n"));
                }
                Due::Options(flow, account) => {
                    self.shared.stats.keep_alives_sent.inc();
                    self.ask(moment, instance, flow, &account);
                }
                Due::Gone(flow) => self.lose_silent(instance, &flow),
            }
        }
    }

    fn lose_silent(&self, instance: InstanceId, flow: &FlowRef) {
        self.shared.stats.keep_alives_unanswered.inc();
        if let Some(room) = self.shared.registry.find(instance) {
            room.with(|live| live.lose_datagrams(&flow.flow()));
        }
    }

    fn ask(&mut self, moment: Moment<'_>, instance: InstanceId, flow: FlowRef, account: &[u8]) {
        let Some(proxy) = moment.snapshot.proxy_by_id(flow.listener().proxy) else { return };
        let Some(listener) = moment.snapshot.listener(flow.listener()) else { return };
        let to = flow.flow();
        let outside = Place::outside(listener, &proxy.fqdn, to.local());
        let nonce = self.nonce_of(&flow);
        let branch = Branch { shard: self.config.shard, ack: false, index: PLACE, nonce, loop_hash: instance.0 };
        self.out.send(Dest::Flow(to), 0, |out| {
            // A Vec takes every write.
            out.extend_from_slice(b"OPTIONS sip:");
            out.extend_from_slice(account);
            let _ = write!(out, "@{} SIP/2.0\r\nVia: SIP/2.0/UDP ", to.peer());
            outside.write(out);
            out.extend_from_slice(b";branch=");
            branch.write(out);
            out.extend_from_slice(b";rport\r\nMax-Forwards: 70\r\nFrom: <sip:");
            outside.write(out);
            let _ = write!(out, ">;tag={nonce:08x}\r\nTo: <sip:");
            out.extend_from_slice(account);
            let _ = write!(out, "@{}>\r\nCall-ID: {nonce:08x}@", to.peer());
            outside.write(out);
            out.extend_from_slice(b"\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n");
        });
    }

    /// Takes the answer to a keep-alive of ours; `None` where it is none.
    pub(super) fn hear_keep_alive(&self, moment: Moment<'_>, flow: &Flow, branch: &Branch) -> Option<Result<(), Drop>> {
        if branch.index != PLACE || branch.ack {
            return None;
        }
        let known = steer::flow_ref(flow, moment.snapshot.listener(flow.listener()));
        if branch.nonce != self.nonce_of(&known) {
            return Some(Err(Drop::UnmatchedResponse));
        }
        if let Some(room) = self.shared.registry.find(InstanceId(branch.loop_hash)) {
            room.devices(|devices| devices.hear(&known));
        }
        Some(Ok(()))
    }

    /// Not to be guessed, and the same for each question over a flow.
    fn nonce_of(&self, flow: &FlowRef) -> u32 {
        let FlowRef::Udp { listener, peer, .. } = flow else { return 0 };
        self.shared.registry.dialogs.hash_one((listener, peer)) as u32
    }
}
