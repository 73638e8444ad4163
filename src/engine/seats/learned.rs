//! What the answer to a REGISTER means for seats: a 2xx makes the claim last for what it grants, with the list of the
//! answer and not the one that was asked for (R68, P16).

use super::{Asked, Case, Party};
use crate::engine::core::{Engine, Moment};
use crate::engine::registry::{Granted, Live, Outcome, Registration, Room};
use crate::engine::wish::Wish;
use crate::ids::Flow;
use crate::licence::ledger::{Grant, Hold};
use crate::model::Kind;
use crate::route::snapshot::Instance;

/// A REGISTER that was answered 2xx.
pub(in crate::engine) struct Answered<'a> {
    /// When.
    pub moment: Moment<'a>,
    /// Whose PBX it was.
    pub instance: &'a Instance,
    /// That instance's room.
    pub room: &'a Room,
    /// What was asked.
    pub wish: &'a Wish<'a>,
    /// Who asked.
    pub registration: Registration<'a>,
    /// Its part in a claim.
    pub hold: Option<&'a Hold>,
}

impl Answered<'_> {
    /// Binds what is granted and settles the claim. False if not all bindings could be kept.
    pub fn settle<'g>(&self, granted: impl Iterator<Item = Granted<'g>> + Clone, cap: usize) -> bool {
        let now = self.moment.now.unix;
        let asked = self.wish.asked;
        if asked.is_some_and(|asked| !asked.credentials) {
            self.room.set_open(true);
        }
        let ttl = granted.clone().map(|granted| granted.expires).max().unwrap_or(0);
        self.room.with(|live| {
            let kept = live.bindings.learn(&self.registration, granted, now, cap);
            if !self.commit(live, asked, ttl) {
                if ttl == 0 {
                    live.ledger.lapse(self.registration.account);
                }
                if let Some(hold) = self.hold {
                    live.ledger.release(hold);
                }
            }
            kept.is_ok()
        })
    }

    /// Makes the claim last. A query takes none (R68), nor does an account that is nobody's.
    fn commit(&self, live: &mut Live, asked: Option<Asked<'_>>, ttl: u32) -> bool {
        let account = self.registration.account;
        let was_live = live.ledger.is_live(account);
        let Some(party) = Party::of(self.instance, account).filter(|_| ttl > 0) else { return false };
        if asked.is_none() && !was_live {
            return false;
        }
        let device = asked.filter(|_| party.kind == Kind::Light).map(|asked| asked.device);
        let now = self.moment.now.unix;
        let connected = matches!(self.registration.flow, Flow::Stream { .. });
        let grant = Grant { account, user: party.user, kind: party.kind, device, connected, ttl, now };
        live.ledger.commit(&grant, self.hold);
        if let Some(asked) = asked.filter(|_| !was_live) {
            let case = Case {
                moment: self.moment,
                flow: self.registration.flow,
                call_id: self.wish.call_id,
                asked,
                party: Some(party),
                instance: self.instance,
                room: self.room,
            };
            let decision = case.decision(Outcome::Granted, live.ledger.counts());
            live.decisions.note(decision);
        }
        true
    }
}

impl Engine {
    /// Listens for the keep-alives of a light user's device (R43).
    pub(in crate::engine) fn watch_device(&self, instance: &Instance, account: &[u8], flow: &Flow) {
        let is_light = Party::of(instance, account).is_some_and(|party| party.kind == Kind::Light);
        if is_light && !self.shared.registry.watched.watch(flow, instance.id, account) {
            self.shared.stats.bindings_overflow.inc();
        }
    }
}
