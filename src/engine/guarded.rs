//! What the guard is asked before a client's request goes on, and what it is told of how requests ended.
//!
//! Only new requests are asked about: what belongs to a dialog goes on, and so does an emergency call (R71), wherever
//! it comes from. Bans of a whole source are not looked at here; nothing of such a source gets this far.

use super::budget::Share;
use super::core::{Engine, Moment};
use super::request::{Decision, Stop};
use super::tables::{Server, ServerId, Topic, Way};
use super::transaction::key::Key;
use crate::guard::{self, Kind, Report};
use crate::ids::Flow;
use crate::licence::emergency::is_emergency;
use crate::reason::{Drop, Refusal};
use crate::route::snapshot::Instance;
use crate::sip::auth;
use crate::sip::method::Method;
use crate::sip::view::{Name, View};

/// The two fields of a challenge.
const CHALLENGES: [&[u8]; 2] = [b"WWW-Authenticate", b"Proxy-Authenticate"];

impl Engine {
    /// Drops a scanner's request. Phones that are registered are not looked at.
    pub(super) fn stops_scanner(&mut self, moment: Moment<'_>, flow: Flow, view: &View<'_>) -> bool {
        let (guard, source) = (&self.shared.guard, flow.peer().ip());
        if flow.listener().is_inside() || guard.has_credit(source, moment.now.tick) {
            return false;
        }
        let agent = view.value(Name::UserAgent).unwrap_or_default();
        if agent.is_empty() || !guard.is_scanner(source, agent) {
            return false;
        }
        guard.note(&report(Kind::Scanner, &flow, view, account(view)), &[], moment.now);
        let drops = guard.drops_scanners();
        if drops {
            self.discard(Drop::Scanner);
            if flow.transport().is_reliable() {
                self.out.close(flow);
            }
        }
        drops
    }

    /// Whether a client's new request may go on to its instance: from there, in spite of its failures, and within the
    /// instance's share.
    pub(super) fn pass_guard(
        &mut self,
        moment: Moment<'_>,
        flow: Flow,
        view: &View<'_>,
        decision: &Decision<'_>,
    ) -> Result<(), Stop> {
        if decision.in_dialog || flow.listener().is_inside() {
            return Ok(());
        }
        let (instance, now) = (&**decision.instance, moment.now);
        if view.method() == Method::Invite && is_emergency(view.uri(), &instance.emergency_numbers) {
            return Ok(());
        }
        let share = self.budgets.take(instance.id, now.tick);
        let forgotten = self.budgets.take_forgotten();
        if forgotten > 0 {
            self.shared.stats.budgets_overflow.add(forgotten);
        }
        match share {
            Share::Within => {}
            Share::Over => return Err(Refusal::InstanceRate.into()),
            Share::FarOver => {
                self.note_flood(moment, flow, view, instance.id);
                return Err(Stop::Discard(Drop::InstanceRate));
            }
        }
        let (guard, source) = (&self.shared.guard, flow.peer().ip());
        if !instance.only_from.is_empty() && !guard::holds(&instance.only_from, source) {
            return Err(Refusal::SourceRefused.into());
        }
        let is_stream = flow.transport().is_reliable();
        if guard.is_idle() || guard.lets(source, is_stream, instance.id, account(view), &instance.never_ban, now.tick) {
            return Ok(());
        }
        let report = Report { instance: Some(instance.id), ..report(Kind::WhileBanned, &flow, view, account(view)) };
        guard.note(&report, &instance.never_ban, now);
        // Where phones are, people look for the reason; a stranger's datagrams are not worth an answer.
        if is_stream || guard.has_credit(source, now.tick) {
            return Err(Refusal::Banned.into());
        }
        Err(Stop::Discard(Drop::Banned))
    }

    /// Carries out what [`Self::pass_guard`] said.
    pub(super) fn stop(&mut self, instance: &Instance, flow: Flow, view: &View<'_>, key: Key, stop: &Stop) {
        match *stop {
            Stop::Refuse(why) => {
                instance.stats.refuse(why);
                self.refuse_for(None, instance, flow, view, key, why);
            }
            Stop::Discard(why) => {
                instance.stats.refused.inc();
                self.discard(why);
            }
            Stop::Ourselves => {}
        }
    }

    /// A client's request was refused before it was any instance's: was it for a name that nobody has?
    pub(super) fn tell_refusal(&self, moment: Moment<'_>, flow: Flow, view: &View<'_>, why: Refusal) {
        if why != Refusal::UnknownInstance || flow.listener().is_inside() {
            return;
        }
        let host = view.request_uri().map_or(&b""[..], |uri| uri.host);
        self.shared.guard.note(&report(Kind::UnknownName, &flow, view, host), &[], moment.now);
    }

    /// A REGISTER was refused for its seat: is it for an account that is on no list?
    pub(super) fn tell_unlisted(
        &self,
        moment: Moment<'_>,
        flow: Flow,
        view: &View<'_>,
        instance: &Instance,
        why: Refusal,
    ) {
        if why == Refusal::NotLicensedUser {
            let report =
                Report { instance: Some(instance.id), ..report(Kind::UnknownAccount, &flow, view, account(view)) };
            self.shared.guard.note(&report, &instance.never_ban, moment.now);
        }
    }

    /// An account is registered for so many seconds; 0 for one that was looked up or removed.
    pub(super) fn tell_registered(
        &self,
        moment: Moment<'_>,
        instance: &Instance,
        flow: &Flow,
        account: &[u8],
        seconds: u32,
    ) {
        let (guard, source) = (&self.shared.guard, flow.peer().ip());
        if seconds > 0 {
            guard.registered_for(source, instance.id, account, seconds, moment.now);
        } else {
            guard.signed_in(source, instance.id, account);
        }
    }

    /// An instance answered a client's new request for good.
    pub(super) fn tell_answer(&mut self, moment: Moment<'_>, id: ServerId, answer: &View<'_>) {
        let Some(server) = self.tables.server(id).filter(|server| is_new(server)) else { return };
        let status = answer.status();
        if !matches!(status, 401 | 407 | 403 | 404 | 410 | 604) {
            return;
        }
        let Some(instance) = moment.snapshot.by_id(server.instance) else { return };
        let mut index = std::mem::take(&mut self.room.own_index);
        if let Ok(request) = View::read(server.request.bytes(), index.get(), &self.config.limits) {
            self.tell_failure(moment, server, instance, &request, answer);
        }
        self.room.own_index = index;
    }

    fn tell_failure(
        &self,
        moment: Moment<'_>,
        server: &Server,
        instance: &Instance,
        request: &View<'_>,
        answer: &View<'_>,
    ) {
        let (guard, flow, now) = (&self.shared.guard, &server.flow, moment.now);
        let source = flow.peer().ip();
        let challenge = matches!(answer.status(), 401 | 407);
        let mut stale = false;
        let nonce = credentials(request);
        // Asked before the new challenge is noted.
        let fresh = nonce.is_some_and(|nonce| guard.was_challenged(source, nonce, now.tick));
        if challenge {
            for challenge in challenges(answer) {
                stale |= auth::param(challenge, b"stale").is_some_and(|(text, _)| text.eq_ignore_ascii_case(b"true"));
                if let Some((nonce, _)) = auth::param(challenge, b"nonce") {
                    guard.challenged(source, nonce, now.tick);
                }
            }
        }
        let register = server.topic == Topic::Register;
        let kind = match answer.status() {
            401 | 407 if nonce.is_some() && !stale => Kind::Credentials,
            403 if nonce.is_some() && register => Kind::Credentials,
            // Who is registered may dial a wrong number; so may who has a password.
            404 | 410 | 604 if register || (nonce.is_none() && !guard.has_credit(source, now.tick)) => {
                Kind::UnknownAccount
            }
            _ => return,
        };
        let proven = flow.transport().is_reliable() || fresh;
        let asked = if kind == Kind::Credentials || register { account(request) } else { callee(request) };
        let report = Report { instance: Some(instance.id), proven, fresh, ..report(kind, flow, request, asked) };
        guard.note(&report, &instance.never_ban, now);
    }
}

/// Whether a request came from a client and belongs to no dialog.
pub(super) fn is_new(server: &Server) -> bool {
    matches!(server.way, Way::Select(_)) && !server.flow.listener().is_inside()
}

/// The values of an answer's challenges.
pub(super) fn challenges<'a>(answer: &View<'a>) -> impl Iterator<Item = &'a [u8]> {
    let answer = *answer;
    CHALLENGES.into_iter().flat_map(move |name| answer.rows_labelled(name)).map(move |row| answer.text(row.value))
}

/// The nonce of a request's credentials; empty for credentials without one.
pub(super) fn credentials<'a>(request: &View<'a>) -> Option<&'a [u8]> {
    let value = request.value(Name::Authorization).or_else(|| request.value(Name::ProxyAuthorization))?;
    Some(auth::param(value, b"nonce").map_or(&b""[..], |(nonce, _)| nonce))
}

/// Whose request it is: the address that registers, or the one that calls.
pub(super) fn account<'a>(view: &View<'a>) -> &'a [u8] {
    let address = if view.method() == Method::Register { view.to() } else { view.from() };
    address.and_then(|address| address.user()).ok().flatten().unwrap_or_default()
}

/// Whom it is for.
fn callee<'a>(view: &View<'a>) -> &'a [u8] {
    view.request_uri().ok().and_then(|uri| uri.user).unwrap_or_default()
}

fn report<'a>(kind: Kind, flow: &Flow, view: &View<'a>, account: &'a [u8]) -> Report<'a> {
    Report {
        kind,
        source: flow.peer().ip(),
        proven: flow.transport().is_reliable(),
        fresh: false,
        instance: None,
        account,
        user_agent: view.value(Name::UserAgent).unwrap_or_default(),
        method: view.method().text(),
    }
}
