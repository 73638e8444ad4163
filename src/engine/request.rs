//! A request came: the steps of RFC 3261 §16.3 to §16.5 in their order.
//!
//! Sound? Known already? Where do its own words send it (steer)? Whose is it (instance), may it pass (admit), and
//! on it goes (forward). ACK and CANCEL have files of their own.

use super::admit::Unfit;
use super::contract::Dest;
use super::core::{Engine, Moment};
use super::ends;
use super::instance::{self, Goal, Nobody};
use super::refusal::Answer;
use super::registry::devices::Place;
use super::reply::{Told, reply_to};
use super::roam::Caller;
use super::seats::Asked;
use super::steer::{self, Arrival, BackendRef, Inbound, Side, SteerError};
use super::tables::{Found, NewServer, Owner, Topic, Way};
use super::target;
use super::token::FlowRef;
use super::transaction::Kind;
use super::transaction::key::Key;
use super::transaction::server::{self, Repeat};
use super::wish::Places;
use crate::ids::{Flow, Transport};
use crate::model::State;
use crate::reason::{Drop, Refusal};
use crate::route::select::account_hash;
use crate::route::snapshot::Instance;
use crate::sip::bad::Bad;
use crate::sip::check::{self, Channel, Verdict};
use crate::sip::method::Method;
use crate::sip::view::View;
use std::sync::Arc;

/// What a request is told by its tokens and the table.
pub(super) struct Decision<'s> {
    /// Whose it is.
    pub instance: &'s Arc<Instance>,
    /// How its next hop is found.
    pub way: Way,
    /// The client's end.
    pub client_end: FlowRef,
    /// The instance's end, as far as it is known before a target is chosen.
    pub backend: Option<BackendRef>,
    /// Whether a token of a dialog or a binding says where it goes.
    pub in_dialog: bool,
}

/// What becomes of a request that does not go on.
pub(super) enum Stop {
    /// It is refused.
    Refuse(Refusal),
    /// It is dropped.
    Discard(Drop),
    /// It is for ourselves.
    Ourselves,
}

impl From<Refusal> for Stop {
    fn from(why: Refusal) -> Self {
        Self::Refuse(why)
    }
}

impl From<Nobody> for Stop {
    fn from(nobody: Nobody) -> Self {
        match nobody {
            Nobody::Refuse(why) => Self::Refuse(why),
            Nobody::Silence => Self::Discard(Drop::UnknownInstance),
        }
    }
}

impl From<SteerError> for Stop {
    fn from(error: SteerError) -> Self {
        Self::Refuse(match error {
            SteerError::Malformed(_) => Refusal::Malformed,
            SteerError::Token(_) | SteerError::Misplaced => Refusal::Token,
            SteerError::ForeignRoute => Refusal::ForeignRoute,
            SteerError::InstanceMismatch => Refusal::InstanceMismatch,
            SteerError::Loop => Refusal::Loop,
            SteerError::Breadth => Refusal::Breadth,
        })
    }
}

impl Engine {
    pub(super) fn on_request(&mut self, moment: Moment<'_>, flow: Flow, view: &View<'_>) {
        self.own.requests.inc();
        let Some(key) = self.keyer.of(view) else { return self.discard(Drop::Unreadable) };
        match check::request(view, channel(flow.transport()), &self.config.limits) {
            Verdict::Ok => {}
            Verdict::Drop(_) => return self.discard(Drop::Unreadable),
            Verdict::Refuse(refusal) => return self.refuse_unsound(flow, view, key, &refusal),
        }
        match view.method() {
            Method::Ack => self.on_ack(moment, flow, view, key),
            _ if self.absorb_repetition(flow, view, key) => {}
            Method::Cancel => self.on_cancel(moment, flow, view, key),
            _ => self.on_new_request(moment, flow, view, key),
        }
    }

    /// T17: what came before is answered as before, and the backend sees it once.
    fn absorb_repetition(&mut self, flow: Flow, view: &View<'_>, key: Key) -> bool {
        let timing = self.config.timing;
        match self.tables.find(key) {
            None => return false,
            // To where it is asked from: a phone may have another address by now.
            Some(Found::Finished(answer)) => {
                if let Ok(via) = view.top_via() {
                    self.out.send(reply_to(flow, &via), 0, |out| out.extend_from_slice(answer));
                }
            }
            Some(Found::Open(id)) => {
                let Some(server) = self.tables.server_mut(id) else { return false };
                if server.machine.repeat(false, &timing) == Repeat::Resend {
                    self.resend_answer(id);
                }
            }
        }
        self.shared.stats.retransmissions_in.inc();
        true
    }

    fn refuse_unsound(&mut self, flow: Flow, view: &View<'_>, key: Key, refusal: &check::Refusal) {
        let why = match refusal.bad {
            Bad::Scheme => Refusal::Scheme,
            Bad::Version => Refusal::Version,
            Bad::Hops => Refusal::TooManyHops,
            Bad::Extension => Refusal::Extension,
            _ if refusal.status == 513 => Refusal::TooLarge,
            _ => Refusal::Malformed,
        };
        let answer = Answer { status: refusal.status, reason: refusal.reason, ..Answer::of(why, view.method()) };
        self.refuse_as(flow, view, key, &Told { why, answer, code: refusal.bad.kind(), instance: None });
        if refusal.close {
            self.out.close(flow);
        }
    }

    fn on_new_request(&mut self, moment: Moment<'_>, flow: Flow, view: &View<'_>, key: Key) {
        if self.stops_scanner(moment, flow, view) {
            return;
        }
        let mut steering = std::mem::take(&mut self.room.steer);
        let outcome = self.decide(moment, flow, view, &mut steering).and_then(|decided| {
            if !decided.0.in_dialog {
                self.check_greeting(moment, flow, decided.0.instance, view)?;
            }
            Ok(decided)
        });
        self.room.steer = steering;
        match outcome {
            Ok((decision, inbound)) => match self.pass_guard(moment, flow, view, &decision) {
                Ok(()) => self.start(moment, flow, view, key, &decision, &inbound),
                Err(stop) => self.stop(decision.instance, flow, view, key, &stop),
            },
            Err(Stop::Refuse(why)) => {
                self.tell_refusal(moment, flow, view, why);
                self.refuse(flow, view, key, why);
            }
            Err(Stop::Discard(why)) => {
                if why == Drop::UnknownInstance {
                    self.tell_refusal(moment, flow, view, Refusal::UnknownInstance);
                }
                self.discard(why);
            }
            Err(Stop::Ourselves) => self.reply_stateless(flow, view, key, 200, "OK", b"Accept: application/sdp\r\n"),
        }
    }

    /// Where a request goes, and on whose behalf.
    pub(super) fn decide<'s>(
        &self,
        moment: Moment<'s>,
        flow: Flow,
        view: &View<'_>,
        scratch: &mut steer::Scratch,
    ) -> Result<(Decision<'s>, Inbound), Stop> {
        let side = Side::of(flow.listener());
        let proxy = moment.snapshot.proxy_by_id(flow.listener().proxy);
        let from = Arrival { side, flow, proxy: proxy.map(|p| &**p), inside: self.config.inside.shared() };
        let keys = steer::Keys { ring: &self.ring, now_unix: moment.now.unix };
        let inbound = steer::analyse(view, &from, keys, moment.snapshot, scratch)?;
        let decision = match side {
            Side::Instance => self.route_from_inside(moment, flow, view, &inbound)?,
            Side::Client => {
                let uri = inbound.uri(view, scratch);
                let proxy = proxy.ok_or(Refusal::UnknownInstance)?;
                route_from_outside(moment, proxy, flow, view, &inbound, uri)?
            }
        };
        if steer::names_other_instance(view, &from, decision.instance.id, keys, moment.snapshot, scratch) {
            return Err(Refusal::InstanceMismatch.into());
        }
        Ok((decision, inbound))
    }

    /// From a PBX: over the flow its token names and no other (P05).
    fn route_from_inside<'s>(
        &self,
        moment: Moment<'s>,
        flow: Flow,
        view: &View<'_>,
        inbound: &Inbound,
    ) -> Result<Decision<'s>, Stop> {
        let (steer::Way::Client(client), Some(id)) = (inbound.way, inbound.instance) else {
            return Err(if self.is_for_us_inside(view) { Stop::Ourselves } else { Refusal::NoToken.into() });
        };
        let instance = moment.snapshot.by_id(id);
        if !inbound.is_from(instance.map(|i| &**i), flow.peer().ip()) {
            return Err(Refusal::ForeignSource.into());
        }
        let instance = instance.ok_or(Refusal::UnknownInstance)?;
        let backend = inbound.backend.or_else(|| ends::backend_at(instance, flow.peer(), flow.transport()));
        Ok(Decision { instance, way: Way::Client(client), client_end: client, backend, in_dialog: true })
    }

    /// An OPTIONS by which a PBX asks whether we are there.
    fn is_for_us_inside(&self, view: &View<'_>) -> bool {
        let Ok(uri) = view.request_uri() else { return false };
        let ours = self.config.inside.shared();
        view.method() == Method::Options
            && uri.user.is_none()
            && uri.ip().is_some_and(|ip| ours.iter().flatten().any(|own| own.ip() == ip))
    }

    fn start(
        &mut self,
        moment: Moment<'_>,
        flow: Flow,
        view: &View<'_>,
        key: Key,
        decision: &Decision<'_>,
        inbound: &Inbound,
    ) {
        let instance = decision.instance;
        let (mut way, mut end, mut wait, mut roams) = (decision.way, decision.client_end, None, false);
        if let Way::Client(flow) = way {
            end = self.with_device(instance.id, flow);
            way = Way::Client(end);
        }
        let place = match way {
            Way::Client(flow) if instance.state == State::On => self.locate(moment, instance.id, &flow, true),
            _ => Place::Here,
        };
        match place {
            Place::There(to) => (way, end) = (Way::Client(to), to),
            Place::Wait(until) => wait = Some(until),
            Place::Here | Place::Gone => {}
        }
        if !flow.listener().is_inside() {
            Caller { end, roams } = self.caller(&flow, view, instance, inbound, end);
        }
        let is_register = view.method() == Method::Register && !flow.listener().is_inside();
        let room = (is_register && instance.state == State::On).then(|| self.shared.registry.room(instance));
        let room = room.as_deref();
        let found = target::next(&self.config, instance.id, Some(instance), way, &Default::default());
        let admitted = match found {
            Some(target) if self.is_barred(view, inbound, &target) => Err(Refusal::SipsNotAllowed.into()),
            Some(_) if place == Place::Gone => Err(Refusal::FlowGone.into()),
            // A full house or a missing target is told at once, without a transaction.
            Some(target) => {
                self.admit(moment, instance, flow, view, room, decision.in_dialog).map(|permit| (target, permit))
            }
            None if instance.state == State::On => Err(Refusal::NoTarget.into()),
            None => Err(Refusal::InstanceOff.into()),
        };
        let (target, permit) = match admitted {
            Ok(admitted) => admitted,
            Err(why) => {
                return match why {
                    Unfit::For(why) => {
                        instance.stats.refuse(why);
                        self.refuse_for(decision.backend.map(|b| b.id), instance, flow, view, key, why);
                    }
                    Unfit::Later(seconds) => {
                        instance.stats.refuse(Refusal::RegistrarBusy);
                        self.refuse_until(instance, flow, view, key, Refusal::RegistrarBusy, seconds);
                    }
                };
            }
        };
        let asked = if is_register { Asked::read(view) } else { None };
        let hold = match self.seat(moment, flow, view, instance, room, asked) {
            Ok(hold) => hold,
            Err(why) => {
                instance.stats.transactions.dec();
                self.tell_unlisted(moment, flow, view, instance, why);
                instance.stats.refuse(why);
                return self.refuse_for(None, instance, flow, view, key, why);
            }
        };
        instance.stats.requests.inc();
        let timing = self.config.timing;
        let kind = if view.method() == Method::Invite { Kind::Invite } else { Kind::Other };
        let topic = self.topic(view);
        if topic == Topic::Register {
            self.watch_flow(flow);
        }
        let machine = server::Machine::new(kind, flow.transport().is_reliable(), &timing);
        let plan = machine.start(&timing);
        let reply = view.top_via().map_or(Dest::Flow(flow), |via| reply_to(flow, &via));
        let wish = asked.and_then(|asked| Places::of(view, &flow, &asked));
        let unknown = BackendRef { id: crate::ids::BackendId(0), address: flow.peer(), transport: flow.transport() };
        let id = self.tables.open_server(NewServer {
            machine,
            key,
            flow,
            reply,
            request: view.message(),
            wish,
            instance: instance.id,
            stats: &instance.stats,
            way,
            topic,
            client_end: end,
            backend: decision.backend.unwrap_or(unknown),
            permit,
            roams,
        });
        self.tables.apply(Owner::Server(id), plan, moment.now.tick);
        if self.take_hold(moment, id, hold) {
            return;
        }
        let gone_on = match wait {
            Some(until) if !self.begin_wait(moment, id, until) => {
                return self.answer_own(moment, id, Refusal::FlowGone);
            }
            Some(_) => true,
            None => self.forward(moment, id, view, inbound, target),
        };
        if !gone_on {
            return self.answer_own(moment, id, Refusal::Internal);
        }
        if kind == Kind::Invite {
            // T01
            self.answer_trying_to(moment, id, view, flow);
        }
    }

    fn topic(&self, view: &View<'_>) -> Topic {
        match view.method() {
            Method::Register => Topic::Register,
            Method::Invite => Topic::Invite,
            Method::Bye => self.keyer.dialog(view).map_or(Topic::Other, Topic::Bye),
            _ => Topic::Other,
        }
    }
}

/// From a client: to the address its token names, or to a target of the instance that is named.
fn route_from_outside<'s>(
    moment: Moment<'s>,
    proxy: &crate::route::snapshot::Proxy,
    flow: Flow,
    view: &View<'_>,
    inbound: &Inbound,
    uri: &[u8],
) -> Result<Decision<'s>, Stop> {
    let client_end = steer::flow_ref(&flow, moment.snapshot.listener(flow.listener()));
    if let (steer::Way::Backend(backend), Some(id)) = (inbound.way, inbound.instance) {
        let instance = moment.snapshot.by_id(id).ok_or(Refusal::UnknownInstance)?;
        let way = Way::Backend(backend);
        return Ok(Decision { instance, way, client_end, backend: Some(backend), in_dialog: true });
    }
    match instance::find(moment, proxy, flow, view, inbound, uri)? {
        Goal::Ourselves => Err(Stop::Ourselves),
        Goal::Instance(instance) => {
            let account = view.from().and_then(|from| from.user()).ok().flatten().unwrap_or_default();
            let way = Way::Select(account_hash(account));
            Ok(Decision { instance, way, client_end, backend: None, in_dialog: false })
        }
    }
}

pub(super) const fn channel(transport: Transport) -> Channel {
    match transport {
        Transport::Udp => Channel::Whole,
        Transport::Ws | Transport::Wss => Channel::Single,
        Transport::Tcp | Transport::Tls => Channel::Stream,
    }
}
