//! Seats at registration (RULES G): what a REGISTER is as far as licences are concerned, and its claim on the way
//! through the engine.
//!
//! A REGISTER with credentials that binds something is asked about; one that is new is forwarded only when its claim
//! is written down ([`Input::Claimed`](super::contract::Input)). The claim lasts from the PBX's 2xx on ([`learned`]),
//! and is given back exactly once on every other end of the transaction. What is refused is not forwarded, and no
//! other request is looked at here: nothing here ends or hinders a call.

mod asked;
mod learned;

pub(super) use asked::{Asked, DEFAULT_EXPIRES};
pub(super) use learned::Answered;

use super::core::{Engine, Moment};
use super::registry::decisions::told;
use super::registry::{Decision, Outcome, Room};
use super::tables::{Owner, ServerId};
use super::transaction::{Change, Plan};
use crate::clock::Tick;
use crate::ids::Flow;
use crate::licence::ledger::{Ask, Counts, Hold, Terms, Verdict};
use crate::licence::{Now as Standing, light};
use crate::model::{DeviceClass, Kind, State};
use crate::reason::Refusal;
use crate::route::snapshot::Instance;
use crate::sip::view::View;

/// For how long a REGISTER waits for its claim to be written down, in milliseconds.
const PATIENCE: u64 = 4_000;

/// Whose account it is (R49).
#[derive(Clone, Copy)]
struct Party<'a> {
    user: &'a [u8],
    kind: Kind,
    class: DeviceClass,
}

impl<'a> Party<'a> {
    /// The user of an account; without a list every account is a full user of its own.
    fn of(instance: &'a Instance, account: &'a [u8]) -> Option<Self> {
        match &instance.roster {
            None => Some(Self { user: account, kind: Kind::Full, class: DeviceClass::Phone }),
            Some(roster) => {
                let who = roster.of_account(account)?;
                Some(Self { user: who.name.as_bytes(), kind: who.kind, class: who.class })
            }
        }
    }
}

/// A REGISTER before an instance's room.
struct Case<'a> {
    moment: Moment<'a>,
    flow: Flow,
    call_id: &'a [u8],
    asked: Asked<'a>,
    party: Option<Party<'a>>,
    instance: &'a Instance,
    room: &'a Room,
}

impl Engine {
    /// Whether a client's REGISTER that asks for this may go on, and the claim it has to give back; the next server
    /// transaction is its own. Any other request asks for nothing.
    pub(super) fn seat(
        &self,
        moment: Moment<'_>,
        flow: Flow,
        view: &View<'_>,
        instance: &Instance,
        room: Option<&Room>,
        asked: Option<Asked<'_>>,
    ) -> Result<Option<Hold>, Refusal> {
        let (Some(asked), Some(room)) = (asked, room) else { return Ok(None) };
        // R65: the challenge goes through first, except where there is none.
        if !asked.credentials && !room.is_open() {
            return Ok(None);
        }
        let party = Party::of(instance, asked.account);
        let case = Case { moment, flow, call_id: view.call_id(), asked, party, instance, room };
        let judged = self.judge(&case);
        if let Err(why) = judged {
            case.note(Outcome::Refused(why));
        }
        judged
    }

    fn judge(&self, case: &Case<'_>) -> Result<Option<Hold>, Refusal> {
        let Case { moment, asked, instance, room, .. } = case;
        let standing = instance.allowance.standing.at(self.shared.licence_clock.at(moment.now.unix));
        let objection = self.objection(case, standing);
        if let Some(why) = objection {
            case.refuse(why)?;
        }
        let Some(party) = case.party else { return Ok(None) };
        let ask = Ask {
            account: asked.account,
            user: party.user,
            kind: party.kind,
            device: asked.device,
            devices: asked.devices,
            connected: matches!(case.flow, Flow::Stream { .. }),
            ttl: asked.ttl,
            now: moment.now.unix,
            ticket: self.tables.next_server().ticket(self.config.shard),
        };
        let terms = Terms {
            seats: instance.allowance.seats,
            total: instance.allowance.total,
            second_device: instance.second_device,
            closed: standing != Standing::Active,
            can_save: room.can_save(),
            shadow: instance.shadow,
        };
        let (verdict, passed) = room.with(|live| live.ledger.reserve(&ask, &terms));
        if let Some(why) = passed.filter(|_| objection.is_none()) {
            case.refuse(why)?;
        }
        match verdict {
            Verdict::Refresh(hold) | Verdict::New(hold) => Ok(Some(hold)),
            Verdict::Refused(why) => Err(why),
        }
    }

    /// What speaks against it whether or not a seat is free.
    fn objection(&self, case: &Case<'_>, standing: Standing) -> Option<Refusal> {
        let Some(party) = case.party else { return Some(Refusal::NotLicensedUser) };
        let device = light::Device {
            class: party.class,
            transport: case.flow.transport(),
            account: case.asked.account,
            user_agent: case.asked.user_agent,
        };
        if !light::is_softphone(&device, &self.shared.softphones.load()) {
            return None;
        }
        match (party.kind, standing) {
            (Kind::Light, _) => Some(Refusal::LightSoftphone),
            (Kind::Full, Standing::Deactivated) => Some(Refusal::LicenceDeactivated),
            (Kind::Full, Standing::Unlicensed) => Some(Refusal::SoftphoneRight),
            (Kind::Full, Standing::Active) => (!case.instance.allowance.softphones).then_some(Refusal::SoftphoneRight),
        }
    }

    /// Gives a transaction its part in a claim. True if the request has to wait for it.
    pub(super) fn take_hold(&mut self, moment: Moment<'_>, id: ServerId, hold: Option<Hold>) -> bool {
        let Some(hold) = hold else { return false };
        let waits = hold.waits;
        if let Some(server) = self.tables.server_mut(id) {
            server.waits = waits;
            server.hold = Some(hold);
        }
        if waits {
            let plan = Plan { resend: Change::Keep, end: Change::Start(PATIENCE) };
            self.tables.apply(Owner::Server(id), plan, moment.now.tick);
            self.out.save();
        }
        waits
    }

    /// A claim is written down, or could not be: its REGISTER goes on or is refused.
    pub(super) fn on_claimed(&mut self, moment: Moment<'_>, ticket: u64, saved: bool) {
        let id = ServerId::from_ticket(ticket);
        let Some(server) = self.tables.server_mut(id).filter(|server| server.waits) else { return };
        server.waits = false;
        let instance = server.instance;
        let plan = Plan { resend: Change::Keep, end: Change::Stop };
        self.tables.apply(Owner::Server(id), plan, moment.now.tick);
        let is_on = moment.snapshot.by_id(instance).is_some_and(|instance| instance.state == State::On);
        let why = match (saved, is_on) {
            (false, _) => Refusal::SeatsUnsaved,
            (true, false) => Refusal::InstanceOff,
            (true, true) if self.proceed(moment, id) => return,
            (true, true) => Refusal::NoTarget,
        };
        self.answer_own(moment, id, why);
    }

    /// Whether a transaction's time was that of its claim; it is refused then.
    pub(super) fn on_patience(&mut self, moment: Moment<'_>, id: ServerId) -> bool {
        let waits = self.tables.server(id).is_some_and(|server| server.waits);
        if waits {
            self.on_claimed(moment, id.ticket(self.config.shard), false);
        }
        waits
    }

    /// Gives a transaction's part in a claim back, if it still has one (R66).
    pub(super) fn give_back(&mut self, id: ServerId) {
        let Some(server) = self.tables.server_mut(id) else { return };
        let Some(hold) = server.hold.take() else { return };
        if let Some(room) = self.shared.registry.find(server.instance) {
            room.with(|live| live.ledger.release(&hold));
        }
    }

    /// Ends a server transaction.
    pub(super) fn close_server(&mut self, id: ServerId) {
        self.give_back(id);
        self.end_wait(id);
        self.tables.close_server(id);
    }

    /// Ends a server transaction of which an answer is to be repeated until then.
    pub(super) fn finish_server(&mut self, id: ServerId, answer: &[u8], until: Tick) {
        self.give_back(id);
        self.end_wait(id);
        self.tables.finish_server(id, answer, until);
    }
}

impl Case<'_> {
    /// An error, unless shadow mode lets it pass.
    fn refuse(&self, why: Refusal) -> Result<(), Refusal> {
        if !self.instance.shadow {
            return Err(why);
        }
        self.instance.stats.shadow(why);
        self.note(Outcome::Shadowed(why));
        Ok(())
    }

    fn note(&self, outcome: Outcome) {
        self.room.with(|live| {
            let decision = self.decision(outcome, live.ledger.counts());
            live.decisions.note(decision);
        });
    }

    fn decision(&self, outcome: Outcome, counts: Counts) -> Decision {
        let Self { moment, flow, call_id, asked, party, instance, .. } = self;
        let is_light = party.is_some_and(|party| party.kind == Kind::Light);
        Decision {
            at: moment.now.unix,
            account: told(asked.account),
            user: party.map(|party| told(party.user)),
            kind: party.map(|party| party.kind),
            device: if is_light { told(&asked.device.keep()) } else { String::new() },
            user_agent: told(asked.user_agent),
            call_id: told(call_id),
            source: flow.peer(),
            transport: flow.transport(),
            outcome,
            counts,
            seats: instance.allowance.seats,
            total: instance.allowance.total,
            revision: moment.snapshot.revision,
        }
    }
}
