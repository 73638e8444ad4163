//! What an answer of a PBX or phone teaches the registry: bindings from a 2xx to REGISTER (P16), calls from
//! INVITE and BYE.

use super::core::{Engine, Moment};
use super::registry::devices::Sight;
use super::registry::{Call, Granted, Registration};
use super::seats::{Answered, Asked, DEFAULT_EXPIRES};
use super::steer::{self, Side};
use super::tables::{ServerId, Topic};
use super::wish::Wish;
use crate::licence::ledger::Hold;
use crate::model::State;
use crate::route::snapshot::Instance;
use crate::sip::uri::Uri;
use crate::sip::view::{View, delta_seconds};
use std::ops::Range;

/// The contacts of an answer, decoded, in reused room.
#[derive(Default)]
pub(super) struct Contacts {
    text: Vec<u8>,
    list: Vec<(Range<usize>, u32, bool)>,
}

impl Contacts {
    /// The most seconds that a contact of this REGISTER was granted.
    fn longest(&self) -> u32 {
        self.list.iter().filter(|(.., mine)| *mine).map(|(_, expires, _)| *expires).max().unwrap_or(0)
    }

    fn granted(&self) -> impl Iterator<Item = Granted<'_>> + Clone {
        self.list.iter().map(|(range, expires, mine)| Granted {
            contact: self.text.get(range.clone()).unwrap_or_default(),
            expires: *expires,
            mine: *mine,
        })
    }
}

impl Engine {
    /// Looks at the final response to a request.
    pub(super) fn learn(&mut self, moment: Moment<'_>, id: ServerId, view: &View<'_>) {
        self.tell_answer(moment, id, view);
        let Some(server) = self.tables.server(id) else { return };
        let success = (200..300).contains(&view.status());
        match server.topic {
            Topic::Register if success => self.learn_bindings(moment, id, view),
            _ if success && server.roams => {
                self.learn_way(moment, id);
                if self.tables.server(id).is_some_and(|server| server.topic == Topic::Invite) {
                    self.learn_call(moment, id, view);
                }
            }
            Topic::Register if matches!(view.status(), 401 | 407) => self.learn_challenge(id),
            Topic::Invite if success => self.learn_call(moment, id, view),
            // A challenge leaves the call alone.
            Topic::Bye(dialog) if !matches!(view.status(), 401 | 407) => {
                if let Some(room) = self.shared.registry.find(server.instance) {
                    room.with(|live| live.calls.end(dialog));
                }
            }
            _ => {}
        }
    }

    fn learn_bindings(&mut self, moment: Moment<'_>, id: ServerId, view: &View<'_>) {
        let hold = self.tables.server_mut(id).and_then(|server| server.hold.take());
        let Some(server) = self.tables.server(id) else { return };
        let (flow, owner) = (server.flow, server.instance);
        let mut settled = false;
        if let Some(instance) = moment.snapshot.by_id(owner).filter(|instance| instance.state == State::On) {
            settled = self.settle_bindings(moment, id, view, instance, hold.as_ref());
        }
        if let Some(hold) = hold.filter(|_| !settled)
            && let Some(room) = self.shared.registry.find(owner)
        {
            room.with(|live| live.ledger.release(&hold));
        }
        self.bind_flow(moment, flow, owner);
    }

    /// Binds what the answer grants; false if it cannot be told whose it is.
    fn settle_bindings(
        &mut self,
        moment: Moment<'_>,
        id: ServerId,
        view: &View<'_>,
        instance: &Instance,
        hold: Option<&Hold>,
    ) -> bool {
        let Some(server) = self.tables.server(id) else { return false };
        let mut index = std::mem::take(&mut self.room.own_index);
        let mut contacts = std::mem::take(&mut self.room.contacts);
        let (mut settled, mut moved) = (false, None);
        // A client's request was told its device when it came.
        let told = server.client_end.device().filter(|_| !server.flow.listener().is_inside());
        let places = server.wish.filter(|_| told.is_some() && !server.request.is_empty());
        let wish = match places {
            Some(places) => Some(places.wish(server.request.bytes())),
            None => View::read(server.request.bytes(), index.get(), &self.config.limits)
                .ok()
                .and_then(|request| Wish::read(&request, &server.flow)),
        };
        if let Some(wish) = wish {
            let account = wish.account;
            let keys = steer::Keys { ring: &self.ring, now_unix: moment.now.unix };
            contacts.read(&wish, view, keys, &mut self.room.steer);
            self.tell_registered(moment, instance, &server.flow, account, contacts.longest());
            let registration =
                Registration { account, flow: server.flow, user_agent: wish.user_agent, device: wish.instance_id };
            let room = self.shared.registry.room(instance);
            let answered = Answered { moment, instance, room: &room, wish: &wish, registration, hold };
            if !answered.settle(contacts.granted(), self.config.bindings) {
                self.shared.stats.bindings_overflow.inc();
            }
            let seen = match told {
                Some(device) => Some((device, wish.registration)),
                None => wish.device(instance.id, server.flow.transport()),
            };
            let granted = contacts.granted().filter(|granted| granted.mine).map(|granted| granted.expires).max();
            match (seen, granted.unwrap_or(0)) {
                (None, _) => {}
                (Some((device, reg)), 0) => room.devices(|devices| devices.leave(device, reg)),
                (Some((device, reg)), seconds) => {
                    let until = moment.now.unix.saturating_add(u64::from(seconds));
                    let (flow, ip) = (server.client_end.of(Some(device)), server.flow.peer().ip());
                    let sight = Sight { device, account, flow, ip, reg: Some(reg), until, nat: wish.is_behind_nat };
                    match room.devices(|devices| devices.learn(&sight, self.config.bindings)) {
                        Ok(shards) => moved = Some((device, shards)),
                        Err(_) => self.shared.stats.devices_overflow.inc(),
                    }
                }
            }
            self.watch_device(instance, account, &server.flow);
            settled = true;
        }
        self.room.own_index = index;
        self.room.contacts = contacts;
        if let Some((device, shards)) = moved {
            self.tell_moved(instance.id, device, shards);
        }
        settled
    }

    /// A REGISTER without credentials was challenged: the instance is no open one (R65).
    fn learn_challenge(&mut self, id: ServerId) {
        let Some(server) = self.tables.server(id) else { return };
        let Some(room) = self.shared.registry.find(server.instance).filter(|room| room.is_open()) else { return };
        let mut index = std::mem::take(&mut self.room.own_index);
        if let Ok(request) = View::read(server.request.bytes(), index.get(), &self.config.limits)
            && Asked::read(&request).is_some_and(|asked| !asked.credentials)
        {
            room.set_open(false);
        }
        self.room.own_index = index;
    }

    fn learn_call(&mut self, moment: Moment<'_>, id: ServerId, view: &View<'_>) {
        let Some(server) = self.tables.server(id) else { return };
        let Some(instance) = moment.snapshot.by_id(server.instance) else { return };
        let Some(dialog) = self.keyer.dialog(view) else { return };
        let now = moment.now.unix;
        let call = || Call {
            call_id: text(view.call_id()),
            from: user(view.from().ok().and_then(|from| from.uri().ok())),
            to: user(view.to().ok().and_then(|to| to.uri().ok())),
            from_instance: Side::of(server.flow.listener()) == Side::Instance,
            backend: server.backend.id,
            address: server.backend.address,
            since: now,
            seen: now,
        };
        let room = self.shared.registry.room(instance);
        if room.with(|live| live.calls.begin(dialog, now, self.config.calls, call)).is_err() {
            self.shared.stats.calls_overflow.inc();
        }
    }
}

impl Contacts {
    fn read(&mut self, wish: &Wish<'_>, answer: &View<'_>, keys: steer::Keys<'_>, scratch: &mut steer::Scratch) {
        self.text.clear();
        self.list.clear();
        let default = answer.expires().or(wish.expires).unwrap_or(DEFAULT_EXPIRES);
        for contact in answer.contacts().flatten().filter(|contact| !contact.is_star()) {
            let own = steer::own_contact(&contact, keys, scratch);
            let mine = wish.names(own);
            let granted = contact.expires().and_then(delta_seconds);
            let start = self.text.len();
            self.text.extend_from_slice(own);
            self.list.push((start..self.text.len(), granted.unwrap_or(default), mine));
        }
    }
}

fn user(uri: Option<Uri<'_>>) -> String {
    text(uri.and_then(|uri| uri.user).unwrap_or_default())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
