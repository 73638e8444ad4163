//! Requests and answers follow their device: to another connection or port, and to one that it has yet to open.
//!
//! A request from a PBX goes over the flow its token names (P05). Where that is gone and the token names a device,
//! it goes to where the device is now; one that lost its connection a moment ago is waited for, bounded in time and
//! number, and so is one that was connected when the process was started anew. A branch that is out keeps its
//! Via branch when it is sent again, so that the device knows it, and its answers and its CANCEL belong to it.
//! Answers to a device's own requests follow it likewise. Who waits is told by whatever shard sees the device:
//! nobody asks again and again.
//!
//! What moves a device is in `roam` and `learn`; what is known of it in the instance's registry.

use super::branch::Branch;
use super::contract::Dest;
use super::core::{Engine, Moment};
use super::registry::devices::{Place, Search};
use super::steer::{self, Side};
use super::tables::{ClientId, Owner, ServerId, Topic, Way};
use super::target;
use super::token::FlowRef;
use super::transaction::{Change, Plan, client, server};
use crate::clock::Tick;
use crate::ids::{DeviceId, Flow, InstanceId, Shard};
use crate::reason::Refusal;
use crate::sip::view::View;

/// Requests of one instance that may wait for devices.
const WAITING: u64 = 1_000;

impl Engine {
    /// Where the device behind a flow is; `alive` says whether the flow may be tried at all.
    pub(super) fn locate(&self, moment: Moment<'_>, instance: InstanceId, flow: &FlowRef, alive: bool) -> Place {
        let foreign = flow.conn().is_some_and(|conn| conn.boot() != self.config.boot);
        let alive = alive && !foreign;
        let registry = &self.shared.registry;
        let now = moment.now.tick;
        let Some(device) = flow.device() else {
            return match flow.conn().filter(|_| !alive).and_then(|conn| registry.streams.successor(conn)) {
                Some(heir) => Place::There(heir),
                None => Place::Here,
            };
        };
        let Some(table) = moment.snapshot.by_id(instance) else { return Place::Here };
        let room = if foreign { Some(registry.room(table)) } else { registry.find(instance) };
        let shard = self.config.shard;
        let search = Search { device, flow, alive, shard, now, grace: self.config.reconnect };
        let found = room.as_ref().and_then(|room| room.devices(|devices| devices.find(&search)));
        if let Some(place) = found.filter(|place| *place != Place::Gone) {
            return place;
        }
        if alive {
            return found.unwrap_or(Place::Here);
        }
        if let Some(heir) = flow.conn().and_then(|conn| registry.streams.successor(conn)) {
            let heir = heir.of(Some(device));
            if heir.conn().is_some_and(|conn| registry.streams.is_open(conn)) {
                return Place::There(heir);
            }
        }
        // Nothing of an earlier process is known: its devices come back now.
        let end = Tick(self.config.reconnect_start);
        let (Some(room), Some(conn), true) = (room, flow.conn(), foreign && now < end) else { return Place::Gone };
        let until = moment.now.unix.saturating_add(self.config.reconnect_start.div_ceil(1_000));
        let expected = room.devices(|devices| devices.expect(device, shard, until, self.config.bindings));
        let awaited = registry.streams.await_successor(conn, instance, device, moment.now.unix);
        if expected.is_err() || awaited.is_err() {
            self.shared.stats.devices_overflow.inc();
            return Place::Gone;
        }
        Place::Wait(end)
    }

    /// A flow from a token, with its device. A dialog that began before its connection's REGISTER was granted has none
    /// in its tokens; when the connection is gone the registry knows it.
    pub(super) fn with_device(&self, instance: InstanceId, flow: FlowRef) -> FlowRef {
        let Some(conn) = flow.conn().filter(|_| flow.device().is_none()) else { return flow };
        if !self.shared.registry.streams.is_closed(conn) {
            return flow;
        }
        let room = self.shared.registry.find(instance);
        flow.of(room.and_then(|room| room.devices(|devices| devices.only_at(&flow))))
    }

    /// Lets a request, or the answer to one, wait for its device. False if too many wait.
    pub(super) fn begin_wait(&mut self, moment: Moment<'_>, id: ServerId, until: Tick) -> bool {
        let Some(server) = self.tables.server_mut(id) else { return false };
        if !server.away {
            if !server.stats.waiting.inc_within(WAITING) {
                self.shared.stats.waiting_overflow.inc();
                return false;
            }
            server.away = true;
            self.shared.stats.waiting.inc();
        }
        let left = until.since(moment.now.tick).max(1);
        self.tables.apply(Owner::Server(id), end_after(Change::Start(left)), moment.now.tick);
        true
    }

    /// Whether a request waits for its device and has not been sent anywhere yet.
    pub(super) fn is_held(&self, id: ServerId) -> bool {
        self.tables.server(id).is_some_and(|server| server.away && server.client.is_none())
    }

    /// It waits no more.
    pub(super) fn end_wait(&mut self, id: ServerId) {
        let Some(server) = self.tables.server_mut(id).filter(|server| server.away) else { return };
        server.away = false;
        server.stats.waiting.dec();
        self.shared.stats.waiting.dec();
    }

    /// Whether a transaction's time was that of its device; it is answered then.
    pub(super) fn on_wait_over(&mut self, moment: Moment<'_>, id: ServerId) -> bool {
        let Some(server) = self.tables.server(id).filter(|server| server.away) else { return false };
        let (open, branch) = (server.machine.is_open(), server.client);
        let of_client = Side::of(server.flow.listener()) == Side::Client;
        self.end_wait(id);
        self.shared.stats.waited_in_vain.inc();
        if !open {
            self.close_server(id);
            return true;
        }
        if of_client {
            // Its answer has not come yet; nobody will hear it.
            return true;
        }
        if let Some(branch) = branch {
            self.tables.close_client(branch);
        }
        self.on_flow_lost(moment, id);
        true
    }

    /// A device is reached another way now: what this shard has going on with it follows.
    pub(super) fn on_moved(&mut self, moment: Moment<'_>, instance: InstanceId, device: DeviceId) {
        for id in self.tables.of_device(device) {
            if self.tables.server(id).is_some_and(|server| server.instance == instance) {
                self.follow(moment, id);
            }
        }
    }

    /// Notes that a device moved. Shards are told when the message at hand is done with.
    pub(super) fn tell_moved(&mut self, instance: InstanceId, device: DeviceId, mut shards: u64) {
        while shards != 0 {
            let shard = Shard(shards.trailing_zeros() as u8);
            shards &= shards - 1;
            if shard == self.config.shard {
                self.moved.push((instance, device));
            } else {
                self.out.tell(shard, instance, device);
            }
        }
    }

    /// Does what is left to do for devices that moved.
    pub(super) fn settle_moved(&mut self, moment: Moment<'_>) {
        while let Some((instance, device)) = self.moved.pop() {
            self.on_moved(moment, instance, device);
        }
    }

    fn follow(&mut self, moment: Moment<'_>, id: ServerId) {
        let Some(server) = self.tables.server(id) else { return };
        let (flow, instance) = (server.client_end, server.instance);
        if Side::of(server.flow.listener()) == Side::Client {
            return self.follow_with_answer(moment, id);
        }
        match server.client {
            None if !server.away => {}
            None => match self.locate(moment, instance, &flow, true) {
                Place::Here => self.go_on(moment, id, flow),
                Place::There(to) => self.go_on(moment, id, to),
                Place::Wait(_) | Place::Gone => {}
            },
            Some(branch) => {
                let alive = !server.away;
                match self.locate(moment, instance, &flow, alive) {
                    Place::There(to) => self.send_again(moment, id, branch, to),
                    // The very same way is back.
                    Place::Here if !alive => self.send_again(moment, id, branch, flow),
                    Place::Here | Place::Wait(_) | Place::Gone => {}
                }
            }
        }
    }

    /// A request that waited has a way to go.
    fn go_on(&mut self, moment: Moment<'_>, id: ServerId, flow: FlowRef) {
        self.end_wait(id);
        let Some(server) = self.tables.server_mut(id) else { return };
        server.way = Way::Client(flow);
        server.client_end = flow;
        server.tried.clear();
        self.tables.apply(Owner::Server(id), end_after(Change::Stop), moment.now.tick);
        self.shared.stats.followed.inc();
        if !self.proceed(moment, id) {
            self.answer_own(moment, id, Refusal::Internal);
        }
    }

    /// What was sent over a flow that is gone follows the device: sent again elsewhere, or left to wait. False if
    /// the device is gone as well.
    pub(super) fn follow_branch(&mut self, moment: Moment<'_>, branch: ClientId) -> bool {
        let Some(client) = self.tables.client(branch) else { return false };
        let id = client.server;
        if let Some((Way::Client(flow), instance)) = self.tables.server(id).map(|server| (server.way, server.instance))
            && let Some(device) = self.with_device(instance, flow).device().filter(|_| flow.device().is_none())
        {
            self.tables.name_device(id, device);
            if let Some(server) = self.tables.server_mut(id) {
                server.way = Way::Client(flow.of(Some(device)));
            }
        }
        let Some(client) = self.tables.client(branch) else { return false };
        let is_owed = client.machine.is_waiting() || client.machine.state == client::State::Accepted;
        let Some(server) = self.tables.server(id) else { return false };
        let Way::Client(flow) = server.way else { return false };
        if !is_owed || flow.device().is_none() || server.client != Some(branch) {
            return false;
        }
        if !client.machine.is_waiting() {
            // Answered with success: it only listens for repetitions, and those may come another way.
            return true;
        }
        match self.locate(moment, server.instance, &flow, false) {
            Place::There(to) => {
                self.send_again(moment, id, branch, to);
                true
            }
            Place::Wait(until) => self.begin_wait(moment, id, until),
            Place::Here | Place::Gone => false,
        }
    }

    /// Sends a branch again, over another flow and with the same Via branch. One that was cancelled is cancelled
    /// there, whether or not the device had shown a sign of life.
    fn send_again(&mut self, moment: Moment<'_>, id: ServerId, branch: ClientId, flow: FlowRef) {
        if self.tables.server(id).is_some_and(|server| server.away) {
            self.end_wait(id);
            self.tables.apply(Owner::Server(id), end_after(Change::Stop), moment.now.tick);
        }
        let Some(server) = self.tables.server_mut(id) else { return };
        server.way = Way::Client(flow);
        server.client_end = flow;
        let dest = Dest::Flow(flow.flow());
        let Some(client) = self.tables.client(branch) else { return };
        if !client.machine.is_waiting() {
            return self.tables.redirect_client(branch, dest);
        }
        self.shared.stats.followed.inc();
        let (kind, cancel, loop_hash) = (client.machine.kind, client.machine.cancel, loop_hash(client.request.bytes()));
        let timing = self.config.timing;
        let mut machine = client::Machine::new(kind, flow.transport().is_reliable(), &timing);
        let plan = machine.start(&timing, false);
        self.tables.redirect_client(branch, dest);
        if cancel != client::Cancel::No {
            if let Some(client) = self.tables.client_mut(branch) {
                client.machine.reliable = machine.reliable;
                let plan = client.machine.cancel_again(&timing);
                self.tables.apply(Owner::Client(branch), plan, moment.now.tick);
            }
            return self.send_cancel(branch);
        }
        let Some(loop_hash) = loop_hash else { return };
        let name = Branch { shard: self.config.shard, ack: false, index: branch.index, nonce: branch.nonce, loop_hash };
        let mut text = std::mem::take(&mut self.room.text);
        text.clear();
        let sent_by = self.rewrite(moment, id, &name, &mut text);
        if let Some(sent_by) = sent_by
            && let Some(client) = self.tables.client_mut(branch)
        {
            client.machine = machine;
            client.sent_by = sent_by;
            self.tables.rewrite_client(branch, &text);
            self.tables.apply(Owner::Client(branch), plan, moment.now.tick);
            self.out.send(dest, branch.ticket(), |out| out.extend_from_slice(&text));
        }
        self.room.text = text;
    }

    /// Writes a request once more, for where its device is now.
    fn rewrite(&mut self, moment: Moment<'_>, id: ServerId, name: &Branch, text: &mut Vec<u8>) -> Option<u64> {
        let server = self.tables.server(id)?;
        let (flow, instance, way) = (server.flow, server.instance, server.way);
        let known = moment.snapshot.by_id(instance).map(|known| &**known);
        let target = target::next(&self.config, instance, known, way, &Default::default())?;
        let ends = super::ends::of_server(moment, &self.config, server)?;
        let request = self.tables.lend_request(id);
        let mut index = std::mem::take(&mut self.room.own_index);
        let mut steering = std::mem::take(&mut self.room.steer);
        let mut written = None;
        if let Ok(view) = View::read(request.bytes(), index.get(), &self.config.limits) {
            let decided = self.decide(moment, flow, &view, &mut steering);
            self.room.steer = std::mem::take(&mut steering);
            if let Ok((_, inbound)) = decided {
                written = self.write_request(moment, &view, &inbound, name, &target, &ends, flow.peer(), text);
            }
        }
        self.room.own_index = index;
        self.tables.return_request(id, request);
        written
    }

    /// The way for an answer to a device's own request whose connection is gone; true if the answer has to wait.
    pub(super) fn redirect_answer(&mut self, moment: Moment<'_>, id: ServerId) -> bool {
        self.name_late(id);
        let Some(server) = self.tables.server(id) else { return false };
        let (end, instance) = (server.client_end, server.instance);
        let Some(conn) = end.conn().filter(|_| end.device().is_some()) else { return false };
        // After a REGISTER's connection the device registers anew.
        if server.flow.listener().is_inside()
            || server.topic == Topic::Register
            || self.shared.registry.streams.is_open(conn)
        {
            return false;
        }
        match self.locate(moment, instance, &end, false) {
            Place::There(to) => {
                if let Some(server) = self.tables.server_mut(id) {
                    server.client_end = to;
                    server.reply = Dest::Flow(to.flow());
                    self.shared.stats.followed.inc();
                }
                false
            }
            Place::Wait(until) => self.begin_wait(moment, id, until),
            Place::Here | Place::Gone => false,
        }
    }

    /// A request that came before its connection's REGISTER was granted named no device. When that connection is
    /// gone it does.
    fn name_late(&mut self, id: ServerId) {
        let Some(server) = self.tables.server(id) else { return };
        let end = server.client_end;
        let Some(conn) = end.conn().filter(|_| end.device().is_none()) else { return };
        if server.flow.listener().is_inside() || !self.shared.registry.streams.is_closed(conn) {
            return;
        }
        let Some(room) = self.shared.registry.find(server.instance) else { return };
        let mut index = std::mem::take(&mut self.room.own_index);
        let mut found = None;
        if let Ok(request) = View::read(server.request.bytes(), index.get(), &self.config.limits)
            && let Ok(Some(account)) = request.from().and_then(|from| from.uri()).map(|uri| uri.user)
        {
            found = room.devices(|devices| devices.was_at(&end, account));
        }
        self.room.own_index = index;
        if let Some(device) = found {
            self.tables.name_device(id, device);
        }
    }

    /// The device of a request is elsewhere now: the last answer is told there again, for nobody knows whether it
    /// was heard.
    fn follow_with_answer(&mut self, moment: Moment<'_>, id: ServerId) {
        let Some(server) = self.tables.server(id) else { return };
        if server.topic == Topic::Register {
            return;
        }
        let (end, instance, away) = (server.client_end, server.instance, server.away);
        let alive = end.conn().is_none_or(|conn| self.shared.registry.streams.is_open(conn));
        let Place::There(to) = self.locate(moment, instance, &end, alive) else { return };
        self.end_wait(id);
        if let Some(server) = self.tables.server_mut(id) {
            server.client_end = to;
            server.reply = Dest::Flow(to.flow());
        }
        self.shared.stats.followed.inc();
        let says_something = self.tables.server(id).is_some_and(|server| {
            let told = server.machine.state != server::State::Accepted || away;
            told && !server.answer.bytes().starts_with(b"SIP/2.0 100 ")
        });
        // Over datagrams whoever misses an answer asks again.
        if end.conn().is_some() && says_something {
            self.resend_answer(id);
        }
        if away {
            let patience = Change::Start(self.config.timing.patience());
            self.tables.apply(Owner::Server(id), end_after(patience), moment.now.tick);
        }
    }

    /// Whether a response that came over another flow than its request went is the device's all the same; the
    /// branch is the device's there from now on.
    pub(super) fn is_of_device(&mut self, moment: Moment<'_>, branch: ClientId, flow: &Flow) -> bool {
        let Some(client) = self.tables.client(branch) else { return false };
        let Some(server) = self.tables.server(client.server) else { return false };
        let (Way::Client(known), instance) = (server.way, server.instance) else { return false };
        let Some(device) = known.device() else { return false };
        let came = steer::flow_ref(flow, moment.snapshot.listener(flow.listener())).of(Some(device));
        let room = self.shared.registry.find(instance);
        if !room.is_some_and(|room| room.devices(|devices| devices.is_at(device, &came))) {
            return false;
        }
        self.tables.redirect_client(branch, Dest::Flow(came.flow()));
        true
    }
}

const fn end_after(end: Change) -> Plan {
    Plan { resend: Change::Keep, end }
}

/// The loop hash in the branch of a request that was sent.
fn loop_hash(request: &[u8]) -> Option<u32> {
    Branch::find(request).map(|branch| branch.loop_hash)
}
