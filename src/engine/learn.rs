//! What an answer of a PBX or phone teaches the registry: bindings from a 2xx to REGISTER (P16), calls from
//! INVITE and BYE.

use super::core::{Engine, Moment};
use super::registry::{Call, Granted, Registration};
use super::steer::{self, Side};
use super::tables::{ServerId, Topic};
use crate::ids::Flow;
use crate::sip::uri::Uri;
use crate::sip::view::{Name, View, delta_seconds};
use std::ops::Range;

/// Seconds a contact is bound for where nobody says (RFC 3261 §10.2.1.1).
const DEFAULT_EXPIRES: u32 = 3_600;

/// The contacts of an answer, decoded, in reused room.
#[derive(Default)]
pub(super) struct Contacts {
    text: Vec<u8>,
    list: Vec<(Range<usize>, u32, bool)>,
}

impl Contacts {
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
        let Some(server) = self.tables.server(id) else { return };
        let success = (200..300).contains(&view.status());
        match server.topic {
            Topic::Register if success => self.learn_bindings(moment, id, view),
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
        let Some(server) = self.tables.server(id) else { return };
        let Some(instance) = moment.snapshot.by_id(server.instance) else { return };
        let mut index = std::mem::take(&mut self.room.own_index);
        let mut contacts = std::mem::take(&mut self.room.contacts);
        if let Ok(request) = View::read(server.request.bytes(), &mut index, &self.config.limits)
            && let Ok(Some(account)) = request.to().and_then(|to| to.uri()).map(|uri| uri.user)
        {
            let keyring = self.shared.keys.load();
            let keys = steer::Keys { ring: &keyring, now_unix: moment.now.unix };
            contacts.read(&request, view, keys, &mut self.room.steer);
            let user_agent = request.value(Name::UserAgent).unwrap_or_default();
            let registration = Registration { account, flow: server.flow, user_agent };
            let room = self.shared.registry.room(instance);
            let cap = self.config.bindings;
            let done = room.with(|live| live.bindings.learn(&registration, contacts.granted(), moment.now.unix, cap));
            if done.is_err() {
                self.shared.stats.bindings_overflow.inc();
            }
        }
        self.room.own_index = index;
        self.room.contacts = contacts;
        let (flow, id) = (server.flow, server.instance);
        if !self.note_flow(flow, id)
            && let Flow::Stream { conn, .. } = flow
            && let Some(room) = self.shared.registry.find(id)
        {
            room.with(|live| live.bindings.drop_stream(conn));
        }
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
    fn read(&mut self, request: &View<'_>, answer: &View<'_>, keys: steer::Keys<'_>, scratch: &mut steer::Scratch) {
        self.text.clear();
        self.list.clear();
        let default = answer.expires().or(request.expires()).unwrap_or(DEFAULT_EXPIRES);
        for contact in answer.contacts().flatten().filter(|contact| !contact.is_star()) {
            let own = steer::own_contact(&contact, keys, scratch);
            let mine = request.contacts().flatten().any(|asked| is_same(asked.uri_text(), own));
            let granted = contact.param(b"expires").and_then(|param| delta_seconds(param.value?));
            let start = self.text.len();
            self.text.extend_from_slice(own);
            self.list.push((start..self.text.len(), granted.unwrap_or(default), mine));
        }
    }
}

/// Whether a contact in an answer is the one that was asked for: PBXs may write its parameters anew.
fn is_same(asked: &[u8], answered: &[u8]) -> bool {
    if asked == answered {
        return true;
    }
    let (Ok(asked), Ok(answered)) = (Uri::parse(asked), Uri::parse(answered)) else { return false };
    asked.scheme == answered.scheme
        && asked.user == answered.user
        && asked.host_eq(answered.host)
        && asked.port == answered.port
}

fn user(uri: Option<Uri<'_>>) -> String {
    text(uri.and_then(|uri| uri.user).unwrap_or_default())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
