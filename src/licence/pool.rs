//! Modes and bookings: what of the licences an instance may be given (R14 to R26). Decisions only, made at every change
//! of an instance.
//!
//! A [`Tally`] is what the *other* instances have; it is kept up by whoever makes many changes at once. Full and light
//! users are summed apart (R48), in 64 bits, so that no sum overflows.

use super::allowance::Allowance;
use super::book::Book;
use super::contract::may_run;
use super::edition::Edition;
use super::refusal::Refusal;
use crate::ids::InstanceId;
use crate::model::{Instance, Mode, Seats, State};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Community instances of one installation (R15).
pub const COMMUNITY_INSTANCES: u32 = 3;

/// Users of each kind, in sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Full users.
    pub full: u64,
    /// Light users.
    pub light: u64,
}

/// What instances have together.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// What this one is laid over.
    base: Option<Arc<Tally>>,
    /// Server licences that are free although the base has them in use.
    free: HashSet<String>,
    community: u32,
    /// Booked by switched-on cloud instances (R24).
    booked: Sum,
    /// Server licences and whose they are (R53).
    servers: HashMap<String, (InstanceId, String)>,
}

impl From<Seats> for Sum {
    fn from(seats: Seats) -> Self {
        Self { full: seats.full.into(), light: seats.light.into() }
    }
}

impl Sum {
    /// Both kinds together.
    pub const fn total(self) -> u64 {
        self.full.saturating_add(self.light)
    }

    fn kinds(self) -> [(&'static str, u64); 2] {
        [("full", self.full), ("light", self.light)]
    }
}

impl Tally {
    /// What these instances have.
    pub fn of<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> Self {
        let mut tally = Self::default();
        instances.into_iter().for_each(|instance| tally.add(instance));
        tally
    }

    /// What these have and what changes from it, at the cost of the change. Whoever has a server licence there has it
    /// before anyone who is added here.
    pub fn over(base: &Arc<Self>) -> Self {
        let Self { community, booked, .. } = **base;
        Self { base: Some(Arc::clone(base)), community, booked, ..Self::default() }
    }

    /// One more.
    pub fn add(&mut self, instance: &Instance) {
        self.community += u32::from(instance.licence.mode == Mode::Community);
        let booked = counted(instance);
        self.booked.full += booked.full;
        self.booked.light += booked.light;
        if let Some(server) = server(instance) {
            self.servers.insert(server.to_owned(), (instance.id, instance.name.clone()));
        }
    }

    /// One less: an instance that was added before, as it was then (R19).
    pub fn remove(&mut self, instance: &Instance) {
        self.community = self.community.saturating_sub(u32::from(instance.licence.mode == Mode::Community));
        let booked = counted(instance);
        self.booked.full = self.booked.full.saturating_sub(booked.full);
        self.booked.light = self.booked.light.saturating_sub(booked.light);
        if let Some(server) = server(instance).filter(|server| self.user_of(server) == Some(instance.id)) {
            if self.based(server).is_some() {
                self.free.insert(server.to_owned());
            } else {
                self.servers.remove(server);
            }
        }
    }

    /// Booked by switched-on cloud instances.
    pub const fn booked(&self) -> Sum {
        self.booked
    }

    /// The name of the instance that uses a server licence.
    pub fn instance_of(&self, server: &str) -> Option<&str> {
        self.user(server).map(|(_, name)| name.as_str())
    }

    fn user_of(&self, server: &str) -> Option<InstanceId> {
        self.user(server).map(|(id, _)| *id)
    }

    fn user(&self, server: &str) -> Option<&(InstanceId, String)> {
        self.based(server).or_else(|| self.servers.get(server))
    }

    fn based(&self, server: &str) -> Option<&(InstanceId, String)> {
        self.base.as_ref().filter(|_| !self.free.contains(server))?.user(server)
    }
}

/// Whether an instance's booking counts against the pool: only while it is switched on (R24).
pub const fn is_on(state: State) -> bool {
    matches!(state, State::On | State::Starting)
}

/// Whether an instance may become what is asked. `others` is without it; `users` are those it has now: who is
/// registered, or on its list, whichever is more.
pub fn may_change(
    book: &Book,
    others: &Tally,
    before: Option<&Instance>,
    after: &Instance,
    users: Sum,
) -> Result<(), Refusal> {
    let switched = before.is_some_and(|before| before.licence.mode != after.licence.mode);
    match after.licence.mode {
        Mode::Community => may_be_community(others, before)?,
        Mode::Cloud => may_book(book, others, before, after)?,
        Mode::Dedicated => may_use_server(book, others, before, after)?,
    }
    if switched { may_switch(&book.allowance(after), users) } else { Ok(()) }
}

/// Whether so many users fit into an allowance: a list of users (R16), or those there are at a change of mode.
pub fn may_hold(allowance: &Allowance, users: Sum) -> Result<(), Refusal> {
    let (rule, code) = match allowance.mode {
        Mode::Community => ("R16", "community-users"),
        Mode::Cloud => ("R20", "booked-users"),
        Mode::Dedicated => ("R56", "server-users"),
    };
    let refused = |what: &str, users: u64, limit: u64| {
        let text = format!("{users} {what}users, but {} are licensed in mode {}", limit, mode(allowance.mode));
        Err(Refusal::new(rule, code, text).with("users", users).with("licensed", limit))
    };
    let total = u64::from(allowance.total);
    if users.total() > total && allowance.total != u32::MAX {
        return refused("", users.total(), total);
    }
    for ((kind, users), (_, limit)) in users.kinds().into_iter().zip(Sum::from(allowance.seats).kinds()) {
        if users > limit {
            return refused(&format!("{kind} "), users, limit);
        }
    }
    Ok(())
}

/// A change of mode re-evaluates at once (R26).
fn may_switch(allowance: &Allowance, users: Sum) -> Result<(), Refusal> {
    may_hold(allowance, users).map_err(|refusal| Refusal {
        rule: "R26",
        code: "mode-too-small",
        text: format!("the mode cannot be changed: {}", refusal.text),
        ..refusal
    })
}

/// At most three community instances (R15).
fn may_be_community(others: &Tally, before: Option<&Instance>) -> Result<(), Refusal> {
    let was = before.is_some_and(|before| before.licence.mode == Mode::Community);
    if was || others.community < COMMUNITY_INSTANCES {
        return Ok(());
    }
    let text =
        format!("there are {} community instances already, and {COMMUNITY_INSTANCES} are allowed", others.community);
    Err(Refusal::new("R15", "community-instances", text)
        .with("instances", others.community)
        .with("allowed", COMMUNITY_INSTANCES))
}

/// The pool covers all bookings of switched-on cloud instances (R18, R22, R24).
fn may_book(book: &Book, others: &Tally, before: Option<&Instance>, after: &Instance) -> Result<(), Refusal> {
    let cloud = before.filter(|before| before.licence.mode == Mode::Cloud);
    let old = cloud.map_or(Sum::default(), |before| before.licence.booked.into());
    let asked = Sum::from(after.licence.booked);
    let licensed = Sum::from(book.pool().unwrap_or_default());
    // What counts now, and whether it begins to count with this change.
    let (on, starts) = (is_on(after.state), is_on(after.state) && !cloud.is_some_and(|before| is_on(before.state)));
    let started = before.is_some() && starts && old == asked;
    let pools = licensed.kinds().into_iter().zip(others.booked.kinds());
    for ((((kind, licensed), (_, elsewhere)), (_, asked)), (_, old)) in pools.zip(asked.kinds()).zip(old.kinds()) {
        let grows = asked > old;
        if !(grows || starts && asked > 0) {
            // R19: less is always allowed.
            continue;
        }
        let now = elsewhere + if on && !starts { old } else { 0 };
        if grows && now > licensed {
            let over = now - licensed;
            let text = format!(
                "the pool of {licensed} {kind} users is over-allocated by {over}: no booking may grow until it is not"
            );
            return Err(Refusal::new("R22", "pool-over-allocated", text).with("licensed", licensed).with("over", over));
        }
        let sum = if on { elsewhere.saturating_add(asked) } else { asked };
        if sum > licensed {
            return Err(exhausted(started, kind, licensed, if on { elsewhere } else { 0 }, asked));
        }
    }
    Ok(())
}

fn exhausted(started: bool, kind: &str, licensed: u64, elsewhere: u64, asked: u64) -> Refusal {
    let missing = elsewhere.saturating_add(asked).saturating_sub(licensed);
    let (rule, code, verb) =
        if started { ("R24", "pool-exhausted", "starts with") } else { ("R18", "pool-exhausted", "asks for") };
    let text = format!(
        "it {verb} {asked} {kind} users, and other instances have booked {elsewhere} of the {licensed} licensed: \
         {missing} are missing"
    );
    Refusal::new(rule, code, text)
        .with("licensed", licensed)
        .with("booked", elsewhere)
        .with("asked", asked)
        .with("missing", missing)
}

/// A server licence is installed and one instance's only, and entitles to its release (R23, R52, R53, R56).
fn may_use_server(book: &Book, others: &Tally, before: Option<&Instance>, after: &Instance) -> Result<(), Refusal> {
    // Without one the instance is unlicensed, and may wait for it.
    let Some(server) = server(after) else { return Ok(()) };
    let Some((terms, entitlement)) = book.server(server) else {
        let text = format!("there is no server licence {server}: install it first");
        return Err(Refusal::new("R53", "no-server-licence", text));
    };
    if let Some(name) = others.instance_of(server) {
        let text = format!("the server licence {server} is used by the instance {name}, and belongs to one only");
        return Err(Refusal::new("R53", "server-licence-used", text));
    }
    let same = |before: &&Instance| !before.version.is_empty() && self::server(before) == Some(server);
    if terms.edition == Edition::Free && before.filter(same).is_some_and(|before| before.version != after.version) {
        let text = "the free edition stays at the release it was installed with";
        return Err(Refusal::new("R52", "free-edition", text));
    }
    may_run(&after.version, entitlement)
}

fn counted(instance: &Instance) -> Sum {
    let counts = instance.licence.mode == Mode::Cloud && is_on(instance.state);
    if counts { instance.licence.booked.into() } else { Sum::default() }
}

fn server(instance: &Instance) -> Option<&str> {
    instance.licence.server.as_deref().filter(|_| instance.licence.mode == Mode::Dedicated)
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Community => "community",
        Mode::Cloud => "cloud",
        Mode::Dedicated => "dedicated",
    }
}

#[cfg(test)]
mod tests;
