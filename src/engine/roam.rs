//! What moves a device: how a client's request names its device, and what shows that it is there.
//!
//! A REGISTER that the PBX granted is always believed (`learn`), and so is a TLS session that was resumed: only its
//! client has the secret. Any other request must be answered with success, name the device by a sealed token of its
//! dialog or by its Contact, and come from the address the device was last seen at (another port of the same NAT);
//! or, where nothing is known of it, carry credentials of its account. Whoever else shares a dialog knows its
//! tokens, and must not get the other's calls by them.

use super::contract::Greeting;
use super::core::{Engine, Moment};
use super::device;
use super::registry::devices::Sight;
use super::steer::{self, Inbound};
use super::tables::ServerId;
use super::token::FlowRef;
use crate::ids::{DeviceId, Flow};
use crate::route::snapshot::Instance;
use crate::sip::method::Method;
use crate::sip::view::{Name, View};

/// Seconds for which a device is remembered that did not register here.
const MEMORY: u64 = 3_700;

/// The client's end of a request from outside.
pub(super) struct Caller {
    /// Its flow, with the device where that is known.
    pub end: FlowRef,
    /// Whether the device is to be learned there if the request succeeds.
    pub roams: bool,
}

impl Engine {
    /// Who sends a request, as far as its device is concerned.
    pub(super) fn caller(
        &self,
        flow: &Flow,
        view: &View<'_>,
        instance: &Instance,
        inbound: &Inbound,
        end: FlowRef,
    ) -> Caller {
        let found = self.device_of(flow, view, instance, inbound, &end);
        if found.is_some() {
            self.watch_flow(*flow);
        }
        Caller { end: end.of(found.map(|(device, _)| device)), roams: found.is_some_and(|(_, roams)| roams) }
    }

    fn device_of(
        &self,
        flow: &Flow,
        view: &View<'_>,
        instance: &Instance,
        inbound: &Inbound,
        end: &FlowRef,
    ) -> Option<(DeviceId, bool)> {
        let method = view.method();
        let whose = if method == Method::Register { view.to() } else { view.from() };
        let account = whose.ok()?.user().ok()??;
        if method == Method::Register {
            let found = device::of(view, instance.id, account, flow.transport());
            return found.map(|(device, _)| (device, false));
        }
        let shard = self.config.shard;
        let room = self.shared.registry.find(instance.id);
        let sealed = inbound.client.and_then(|client| Some((client, client.device()?)));
        if let Some((client, device)) = sealed {
            let known = |at: bool| Some((device, at));
            if let Some(room) = &room {
                let verdict = room.devices(|devices| {
                    if devices.is_at(device, end) {
                        devices.note_interest(device, shard);
                        return known(false);
                    }
                    if devices.may_move_within(device, flow.peer().ip()) { known(true) } else { None }
                });
                if verdict.is_some() {
                    return verdict;
                }
                if room.devices(|devices| devices.is_live(device)) {
                    return None;
                }
            }
            let same_host = matches!(client, FlowRef::Udp { peer, .. } if peer.ip() == flow.peer().ip());
            return if same_host || has_credentials_of(view, account) { known(true) } else { None };
        }
        if let Some(room) = &room
            && let Some(device) = room.devices(|devices| devices.at(end, account, shard))
        {
            return Some((device, false));
        }
        if method != Method::Invite || !has_credentials_of(view, account) {
            return None;
        }
        let (device, _) = device::of(view, instance.id, account, flow.transport())?;
        let is_free = room.is_none_or(|room| {
            room.devices(|devices| !devices.is_live(device) || devices.may_move_within(device, flow.peer().ip()))
        });
        is_free.then_some((device, true))
    }

    /// A request of a device was answered with success, and came another way than the device was known at.
    pub(super) fn learn_way(&mut self, moment: Moment<'_>, id: ServerId) {
        let Some(server) = self.tables.server_mut(id).filter(|server| server.roams) else { return };
        server.roams = false;
        let (flow, end, owner) = (server.flow, server.client_end, server.instance);
        let (Some(device), Some(instance)) = (end.device(), moment.snapshot.by_id(owner)) else { return };
        let mut index = std::mem::take(&mut self.room.own_index);
        if let Some(server) = self.tables.server(id)
            && let Ok(request) = View::read(server.request.bytes(), index.get(), &self.config.limits)
            && let Ok(Some(account)) = request.from().and_then(|from| from.uri()).map(|uri| uri.user)
        {
            let room = self.shared.registry.room(instance);
            let until = moment.now.unix.saturating_add(MEMORY);
            let sight = Sight { device, account, flow: end, ip: flow.peer().ip(), reg: None, until, nat: false };
            let cap = self.config.bindings;
            let learned = room.with(|live| live.move_device(&sight, flow, moment.now.unix, cap));
            match learned {
                Ok(shards) => self.tell_moved(owner, device, shards),
                Err(_) => self.shared.stats.devices_overflow.inc(),
            }
            self.bind_flow(moment, flow, owner);
        }
        self.room.own_index = index;
    }

    /// A connection carries devices of an instance; one that has ended meanwhile loses them again.
    pub(super) fn bind_flow(&self, moment: Moment<'_>, flow: Flow, owner: crate::ids::InstanceId) {
        if !self.note_flow(flow, owner)
            && let Flow::Stream { conn, .. } = flow
            && let Some(room) = self.shared.registry.find(owner)
        {
            room.with(|live| live.lose_stream(conn, moment.now, self.config.reconnect));
        }
    }

    /// A client resumed the TLS session of an earlier connection: it is the same client, and what was reached over
    /// that one is reached over this one now.
    pub(super) fn on_resumed(&mut self, moment: Moment<'_>, flow: Flow, greeting: &Greeting) {
        let (Some(old), Flow::Stream { .. }) = (greeting.resumed, flow) else { return };
        self.watch_flow(flow);
        let new = steer::flow_ref(&flow, moment.snapshot.listener(flow.listener()));
        let ip = flow.peer().ip();
        let now = moment.now.unix;
        let came = flow;
        let mut told = Vec::new();
        for instance in self.shared.registry.streams.instances(old) {
            let Some(room) = self.shared.registry.find(instance) else { continue };
            room.with(|live| {
                live.succeed(old, new, flow, now, |device, shards| told.push((instance, device, shards)));
            });
            self.bind_flow(moment, flow, instance);
        }
        for (instance, device) in self.shared.registry.streams.succeed(old, new, now) {
            let Some(room) = self.shared.registry.find(instance) else { continue };
            let flow = new.of(Some(device));
            let sight = Sight { device, account: b"", flow, ip, reg: None, until: now + MEMORY, nat: false };
            if let Ok(shards) = room.devices(|devices| devices.learn(&sight, self.config.bindings)) {
                told.push((instance, device, shards));
            }
            self.bind_flow(moment, came, instance);
        }
        for (instance, device, shards) in told {
            self.tell_moved(instance, device, shards);
        }
    }
}

/// Whether a request carries credentials whose user is this account.
fn has_credentials_of(view: &View<'_>, account: &[u8]) -> bool {
    let rows = view.rows_named(Name::Authorization).chain(view.rows_named(Name::ProxyAuthorization));
    rows.filter_map(|row| {
        let text = view.text(row.value);
        let at = memchr::memmem::find(text, b"username=\"")?;
        let rest = text.get(at + b"username=\"".len()..)?;
        rest.split(|byte| *byte == b'"').next()
    })
    .any(|user| !user.is_empty() && user == account)
}
