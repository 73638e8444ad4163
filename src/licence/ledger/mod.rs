//! The seats of one instance: who has one, who is being decided on, and for how long (RULES G).
//!
//! A *claim* is an account's hold on the seat of its user; a user has a seat while any of its accounts has a claim
//! (R39). A claim is made by [`Ledger::reserve`] for a REGISTER on its way, becomes lasting by [`Ledger::commit`]
//! when the PBX's 2xx grants something, and goes by [`Ledger::release`], [`Ledger::lapse`] or [`Ledger::expire`].
//! What has to outlive the process is told as [`Change`]s in their order.
//!
//! Pure: time is given, nothing is written here, no contact is kept here. Kept by `engine::registry` beside the
//! bindings of the instance, under their lock.

mod claim;
mod counts;
mod device;
mod pulse;
#[cfg(test)]
mod tests;

pub use claim::{Change, Hold, Record};
pub use counts::Counts;
pub use device::Device;

use crate::dense::{Arena, Index, NONE};
use crate::model::{Kind, Seats, SecondDevice};
use crate::reason::Refusal;
use claim::{Claim, Holder};
use foldhash::fast::RandomState;
use std::hash::BuildHasher;

/// Seconds by which the durable moment of last life may be behind: a restored claim lives that much longer.
pub const GRACE: u64 = 10;

/// A name as it came from a device or the list of users.
pub use crate::dense::Name;

/// A REGISTER that binds something, as far as seats are concerned.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// User part of its To.
    pub account: &'a [u8],
    /// Whose account that is; the account itself where there is no list of users (R49).
    pub user: &'a [u8],
    /// What the user is licensed as.
    pub kind: Kind,
    /// The device, told apart for light users only.
    pub device: Device<'a>,
    /// How many devices its contacts are (R68, P10).
    pub devices: usize,
    /// Whether it came over a connection, which does not outlive the process.
    pub connected: bool,
    /// Seconds it asks for.
    pub ttl: u32,
    /// Now, in Unix seconds.
    pub now: u64,
    /// Comes back with the change to be written.
    pub ticket: u64,
}

/// What holds for the instance at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Users of each kind (R48).
    pub seats: Seats,
    /// Users of both kinds (R16, R51).
    pub total: u32,
    /// What becomes of a light user's second device (R43).
    pub second_device: SecondDevice,
    /// Whether nobody new may register (R58, R63).
    pub closed: bool,
    /// Whether a claim can be written down.
    pub can_save: bool,
    /// Let pass what would be refused.
    pub shadow: bool,
}

/// What a REGISTER may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It goes on: its account has a claim that lasts (R67). Should the claim end while the PBX decides, its seat is
    /// not given to another meanwhile; the hold has to be given back.
    Refresh(Hold),
    /// It goes on once its claim is written down, and has to give the hold back.
    New(Hold),
    /// It is refused.
    Refused(Refusal),
}

/// What the PBX granted an account.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// The account.
    pub account: &'a [u8],
    /// Its user.
    pub user: &'a [u8],
    /// What the user is licensed as.
    pub kind: Kind,
    /// The device; none leaves the one that is known.
    pub device: Option<Device<'a>>,
    /// Whether the device is reached over a connection.
    pub connected: bool,
    /// Seconds of the contact that was granted most.
    pub ttl: u32,
    /// Now, in Unix seconds.
    pub now: u64,
}

/// A seat that is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seat<'a> {
    /// The user who has it.
    pub user: &'a [u8],
    /// What the user has it as.
    pub kind: Kind,
    /// A light user's device.
    pub device: Option<&'a [u8]>,
}

/// The seats of one instance.
#[derive(Default, Debug)]
pub struct Ledger {
    claims: Arena<Claim>,
    by_account: Index,
    users: Arena<Holder>,
    by_user: Index,
    hasher: RandomState,
    counts: Counts,
    changes: Vec<Change>,
    /// No claim ends before this.
    soonest: Option<u64>,
    /// How often all was cleared: a hold of before is void.
    epoch: u32,
}

impl Ledger {
    /// Decides on a REGISTER that binds something. The second value is what shadow mode let pass.
    pub fn reserve(&mut self, ask: &Ask<'_>, terms: &Terms) -> (Verdict, Option<Refusal>) {
        let claim = self.find(ask.account);
        let live = claim.is_some_and(|at| self.lasts(at));
        let user = self.find_user(ask.user);
        let objection = self.objection(ask, terms, live, user);
        if let Some(why) = objection.filter(|_| !terms.shadow) {
            return (Verdict::Refused(why), None);
        }
        match claim.filter(|_| live && self.is_same_device(ask, user)) {
            Some(claim) => (Verdict::Refresh(self.keep(claim)), objection),
            None => (Verdict::New(self.hold(ask, terms.can_save, live)), objection),
        }
    }

    fn objection(&self, ask: &Ask<'_>, terms: &Terms, live: bool, user: Option<u32>) -> Option<Refusal> {
        if !live && terms.closed {
            return Some(Refusal::LicenceDeactivated);
        }
        let device = if ask.kind == Kind::Light { self.second_device(ask, terms, user) } else { None };
        if live || device.is_some() {
            return device;
        }
        let seat = if user.is_some() { None } else { self.counts.full(ask.kind, terms) };
        seat.or((!terms.can_save).then_some(Refusal::SeatsUnsaved))
    }

    /// R43: a light user has one device. One that is silent past its keep-alive, or whose connection ended, is taken
    /// over.
    fn second_device(&self, ask: &Ask<'_>, terms: &Terms, user: Option<u32>) -> Option<Refusal> {
        if ask.devices > 1 {
            return Some(Refusal::LightSecondDevice);
        }
        let holder = self.users.get(user?)?;
        if terms.second_device == SecondDevice::LastWins {
            return None;
        }
        let only = holder.only()?;
        if only.device.as_deref().is_some_and(|kept| !ask.device.is(kept))
            && !only.away
            && !only.pulse.is_silent(ask.now)
        {
            return Some(Refusal::LightSecondDevice);
        }
        // Of two that come at once the first is decided on before the second.
        let rival = only.rival.as_ref().filter(|rival| !ask.device.is(&rival.device));
        rival.map(|_| Refusal::SeatsPending)
    }

    fn is_same_device(&self, ask: &Ask<'_>, user: Option<u32>) -> bool {
        let kept = user.and_then(|user| self.users.get(user)?.device());
        ask.kind == Kind::Full || kept.is_none_or(|kept| ask.device.is(kept))
    }

    fn hold(&mut self, ask: &Ask<'_>, can_save: bool, live: bool) -> Hold {
        let (at, user) = self.claim(ask.account, ask.user, ask.kind);
        let mut hold = self.keep(at);
        if ask.kind == Kind::Light {
            self.change(user, |holder| holder.enlist(&ask.device));
            hold.rivals = self.users.get(user).map(|holder| holder.name.clone());
        }
        // A device that takes another's place has the claim already.
        hold.waits = can_save && !live;
        if hold.waits
            && let Some(claim) = self.claims.get_mut(at)
            && let Some(holder) = self.users.get(user)
        {
            claim.written = claim.written.max(ask.ttl);
            let record = Record {
                user: holder.name.clone(),
                kind: ask.kind,
                device: (ask.kind == Kind::Light && !ask.connected).then(|| ask.device.keep()),
                ttl: claim.written,
            };
            self.changes.push(Change::Put { account: claim.account.clone(), record, ticket: Some(ask.ticket) });
        }
        hold
    }

    /// A part in a claim that is there.
    fn keep(&mut self, claim: u32) -> Hold {
        if let Some(claim) = self.claims.get_mut(claim) {
            claim.in_flight += 1;
        }
        Hold { claim, epoch: self.epoch, rivals: None, waits: false }
    }

    /// The REGISTER of a hold was not granted anything.
    pub fn release(&mut self, hold: &Hold) {
        if hold.epoch != self.epoch {
            return;
        }
        if let Some(user) = hold.rivals.as_ref().and_then(|user| self.find_user(user)) {
            self.change(user, Holder::discharge);
        }
        let Some(claim) = self.claims.get_mut(hold.claim) else { return };
        claim.in_flight = claim.in_flight.saturating_sub(1);
        if claim.in_flight == 0 && !claim.lasts() {
            self.remove(hold.claim);
        }
    }

    /// The PBX granted something to an account, asked for by this hold or by nobody (a refresh, or a REGISTER that
    /// was let through). It has a claim from now on, whatever the limits say.
    pub fn commit(&mut self, grant: &Grant<'_>, hold: Option<&Hold>) {
        let (at, user) = self.claim(grant.account, grant.user, grant.kind);
        let mut write = self.settle(user, grant);
        let until = grant.now.saturating_add(u64::from(grant.ttl));
        self.soonest = Some(self.soonest.map_or(until, |soonest| soonest.min(until)));
        if let Some(claim) = self.claims.get_mut(at) {
            let first = !claim.set_until(Some(until));
            let written = claim.outlives(grant.ttl, first);
            write |= written != claim.written;
            claim.written = written;
            if first {
                self.change(user, Holder::add_lasting);
            }
        }
        if write {
            self.write(at);
        }
        if let Some(hold) = hold {
            self.release(hold);
        }
    }

    /// Nothing is bound to an account any more (R68).
    pub fn lapse(&mut self, account: &[u8]) {
        if let Some(claim) = self.find(account) {
            self.end(claim);
        }
    }

    /// A claim lasts no more.
    fn end(&mut self, at: u32) {
        let Some(claim) = self.claims.get_mut(at).filter(|claim| claim.lasts()) else { return };
        if claim.in_flight == 0 {
            return self.remove(at);
        }
        claim.set_until(None);
        let user = claim.user;
        self.change(user, |holder| {
            holder.sub_lasting();
            holder.forget_device();
        });
    }

    /// Whether [`Self::expire`] may have something to do.
    pub fn is_due(&self, now: u64) -> bool {
        self.soonest.is_some_and(|soonest| soonest <= now)
    }

    /// Ends what has expired.
    pub fn expire(&mut self, now: u64) {
        if !self.is_due(now) {
            return;
        }
        let over = |claim: &Claim| claim.until().is_some_and(|until| until <= now);
        let ended: Vec<u32> = self.claims.iter().filter(|(_, claim)| over(claim)).map(|(at, _)| at).collect();
        for claim in ended {
            self.end(claim);
        }
        self.soonest = self.claims.iter().filter_map(|(_, claim)| claim.until()).min();
    }

    /// Takes back what was written down, after the node was last alive at `last_alive`: a claim lives as long as it
    /// would have lived had it been refreshed then.
    pub fn restore(&mut self, claims: impl IntoIterator<Item = (Name, Record)>, last_alive: u64, now: u64) {
        let alive = last_alive.min(now).saturating_add(GRACE);
        for (account, record) in claims {
            let until = alive.saturating_add(u64::from(record.ttl));
            if until <= now {
                self.changes.push(Change::Delete { account });
                continue;
            }
            if self.find(&account).is_some() {
                // It came back before its claim could be read.
                continue;
            }
            let (at, user) = self.claim(&account, &record.user, record.kind);
            if let Some(claim) = self.claims.get_mut(at) {
                claim.set_until(Some(until));
                claim.written = record.ttl;
            }
            self.change(user, |holder| {
                holder.add_lasting();
                if record.kind == Kind::Light {
                    let only = holder.only_mut();
                    only.device = record.device.or(only.device.take());
                    only.connected = only.device.is_none();
                }
            });
            self.soonest = Some(self.soonest.map_or(until, |soonest| soonest.min(until)));
        }
    }

    /// Ends all: the instance is off (R34).
    pub fn clear(&mut self) {
        if self.claims.is_empty() {
            return;
        }
        let (epoch, mut changes) = (self.epoch.wrapping_add(1), std::mem::take(&mut self.changes));
        changes.push(Change::Clear);
        *self = Self { epoch, changes, ..Self::default() };
    }

    /// A sign of life on the flow of an account's device.
    pub fn hear(&mut self, account: &[u8], now: u64) {
        if let Some(holder) = self.holder_of(account) {
            holder.beat(now);
        }
    }

    /// The connection of an account's device ended (R43), or the device is back on another one.
    pub fn set_away(&mut self, account: &[u8], away: bool) {
        if let Some(holder) = self.holder_of(account) {
            holder.set_away(away);
        }
    }

    /// Whether an account has a claim that lasts.
    pub fn is_live(&self, account: &[u8]) -> bool {
        self.find(account).is_some_and(|claim| self.lasts(claim))
    }

    /// Who holds an account's seat.
    pub fn seat(&self, account: &[u8]) -> Option<Seat<'_>> {
        let claim = self.claims.get(self.find(account)?)?;
        let holder = self.users.get(claim.user)?;
        Some(Seat { user: &holder.name, kind: holder.kind(), device: holder.device() })
    }

    /// Whether a user has a seat, by whatever account.
    pub fn has_seat(&self, user: &[u8]) -> bool {
        self.find_user(user).and_then(|user| self.users.get(user)).is_some_and(|holder| holder.committed() > 0)
    }

    /// Users with a seat, and with one in the balance.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether something is to be written down.
    pub const fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// What is to be written down, oldest first.
    pub fn take_changes(&mut self) -> impl Iterator<Item = Change> + '_ {
        self.changes.drain(..)
    }

    fn find(&self, account: &[u8]) -> Option<u32> {
        let is_it = |at| self.claims.get(at).is_some_and(|claim| *claim.account == *account);
        self.by_account.find(self.hasher.hash_one(account), is_it)
    }

    fn find_user(&self, user: &[u8]) -> Option<u32> {
        let is_it = |at| self.users.get(at).is_some_and(|holder| *holder.name == *user);
        self.by_user.find(self.hasher.hash_one(user), is_it)
    }

    fn lasts(&self, claim: u32) -> bool {
        self.claims.get(claim).is_some_and(Claim::lasts)
    }

    fn holder_of(&mut self, account: &[u8]) -> Option<&mut Holder> {
        let user = self.claims.get(self.find(account)?)?.user;
        self.users.get_mut(user)
    }

    /// The places of an account's claim and its user, with a claim of the account on the user's seat.
    fn claim(&mut self, account: &[u8], user: &[u8], kind: Kind) -> (u32, u32) {
        if let Some(at) = self.find(account) {
            let old = self.claims.get(at).map_or(NONE, |claim| claim.user);
            if self.users.get(old).is_some_and(|holder| *holder.name == *user) {
                return (at, old);
            }
            return (at, self.hand_over(at, old, user, kind));
        }
        let user = self.user(user, kind);
        let at = self.claims.insert(Claim::new(account.into(), user));
        let Self { claims, hasher, .. } = self;
        let hash_of = |at| claims.get(at).map_or(0, |claim| hasher.hash_one(&*claim.account));
        self.by_account.insert(hasher.hash_one(account), at, hash_of);
        self.change(user, |holder| holder.claims += 1);
        (at, user)
    }

    /// The account is another user's now (R49): its claim goes along.
    fn hand_over(&mut self, at: u32, old: u32, user: &[u8], kind: Kind) -> u32 {
        let user = self.user(user, kind);
        let Some(claim) = self.claims.get_mut(at) else { return user };
        let lasts = claim.lasts();
        claim.user = user;
        self.change(user, |holder| {
            holder.claims += 1;
            if lasts {
                holder.add_lasting();
            }
        });
        self.change(old, |holder| {
            holder.claims -= 1;
            if lasts {
                holder.sub_lasting();
            }
        });
        user
    }

    /// The place of a user; one that was not there has no claims yet.
    fn user(&mut self, user: &[u8], kind: Kind) -> u32 {
        if let Some(known) = self.find_user(user) {
            return known;
        }
        let at = self.users.insert(Holder::new(user.into(), kind));
        let Self { users, hasher, .. } = self;
        let hash_of = |at| users.get(at).map_or(0, |holder| hasher.hash_one(&*holder.name));
        self.by_user.insert(hasher.hash_one(user), at, hash_of);
        at
    }

    /// What a 2xx says of the user; true if that has to be written down.
    fn settle(&mut self, user: u32, grant: &Grant<'_>) -> bool {
        let Some(holder) = self.users.get(user) else { return false };
        let mut changed = false;
        if holder.kind() != grant.kind {
            self.change(user, |holder| holder.become_kind(grant.kind));
            changed = true;
        }
        let Some(holder) = self.users.get_mut(user).filter(|_| grant.kind == Kind::Light) else { return changed };
        if let Some(device) = &grant.device {
            let only = holder.only_mut();
            let (known, was_connected) = (only.device.is_some(), only.connected);
            only.connected = grant.connected;
            only.away = false;
            only.pulse.hear(grant.now);
            if !only.device.as_deref().is_some_and(|kept| device.is(kept)) {
                changed |= only.device.is_some();
                only.device = Some(device.keep());
                only.pulse = pulse::Pulse::default();
            }
            changed |= (known || was_connected) && was_connected != grant.connected;
        }
        changed
    }

    fn write(&mut self, at: u32) {
        let Some(claim) = self.claims.get(at) else { return };
        let Some(holder) = self.users.get(claim.user) else { return };
        let record = Record {
            user: holder.name.clone(),
            kind: holder.kind(),
            device: holder.lasting_device().map(Into::into),
            ttl: claim.written,
        };
        self.changes.push(Change::Put { account: claim.account.clone(), record, ticket: None });
    }

    fn remove(&mut self, at: u32) {
        let Some(claim) = self.claims.remove(at) else { return };
        self.by_account.remove(self.hasher.hash_one(&*claim.account), at);
        let lasts = claim.lasts();
        self.change(claim.user, |holder| {
            holder.claims -= 1;
            if lasts {
                holder.sub_lasting();
            }
            holder.forget_device();
        });
        self.changes.push(Change::Delete { account: claim.account });
    }

    /// Changes a user, and what the user counts for; one without claims goes.
    fn change(&mut self, at: u32, work: impl FnOnce(&mut Holder)) {
        let Some(holder) = self.users.get_mut(at) else { return };
        self.counts.sub(holder);
        work(holder);
        self.counts.add(holder);
        if holder.claims == 0 {
            self.by_user.remove(self.hasher.hash_one(&*holder.name), at);
            self.users.remove(at);
        }
    }
}
