//! The guard: finds out who is up to no good, and keeps them out, without ever locking an office out for one wrong
//! password.
//!
//! Failures are counted by instance, account and source. Only what proves something counts: a challenge is none, nor
//! credentials with an old nonce. One account that fails again and again from one source is banned *there* (scope
//! `account`); only many different accounts ban the source (scope `instance`, then `source`), and where phones are
//! registered, twice as many more may fail. A datagram's source may be a lie: what is not proven by a nonce that was
//! sent there, or by a stream, bans datagrams only, for a short time, and never where phones are registered.
//!
//! Pure: it is told what happened and what time it is. The driver and the HTTP front ask [`Guard::admits`] before they
//! read anything, the engine [`Guard::lets`] when it knows the instance; both tell it what became of requests. The API
//! lists and lifts bans. All tables are of fixed size; where nobody is banned, asking costs one load.

mod book;
mod credit;
mod evidence;
mod kind;
mod nonces;
mod policy;
mod scanners;
mod slots;
mod stats;
#[cfg(test)]
mod tests;

pub use book::{Ban, Origin};
pub use evidence::{Count, Evidence};
pub use kind::{Kind, Report, Scope, source_address};
pub use policy::{Mode, Policy, Treatment, holds};
pub use scanners::{BUILT_IN, Scanners};
pub use stats::GuardStats;

use crate::clock::{Now, Tick};
use crate::ids::{InstanceId, source_key};
use arc_swap::ArcSwap;
use book::Book;
use credit::Credit;
use evidence::{Ledger, Record};
use foldhash::quality::RandomState;
use nonces::Nonces;
use slots::Slots;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places for the keys of bans; more than twice the most bans.
const KEYS: usize = 32_768;
/// The most bans that may be configured.
pub const MOST_BANS: usize = 12_000;
/// An unproven ban is at most so many times as long as the first.
const UNPROVEN: u64 = 5;
/// The ban of an account where phones are registered is at most so many times as long as the first.
const HOME: u64 = 10;
/// Failures, other than unknown names, in one window that ban a source without registrations.
const MANY: u32 = 1_000;
/// Requests during the ban of an account that ban their source, where no phones are registered.
const STUBBORN: u32 = 100;
/// Events that wait to be told.
const EVENTS: usize = 256;

/// What whoever watches is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A ban was made.
    Banned(Ban),
    /// One was lifted by a person.
    Lifted(Ban),
}

/// A ban that a person makes.
#[derive(Clone, Debug)]
pub struct NewBan<'a> {
    /// Where from.
    pub source: IpAddr,
    /// At which instance; all if absent.
    pub instance: Option<InstanceId>,
    /// Which account, of an instance; all if absent.
    pub account: Option<&'a str>,
    /// For how many seconds.
    pub seconds: u64,
    /// Why.
    pub reason: &'a str,
}

/// No more bans can be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// The guard of a node.
pub struct Guard {
    policy: ArcSwap<Policy>,
    hasher: RandomState,
    /// Whether any ban may be live; without one nothing else is looked at.
    bans: AtomicBool,
    keys: Slots,
    book: Mutex<Book>,
    credit: Credit,
    nonces: Nonces,
    /// By account and by source; what is proven, and what is not.
    accounts: [Ledger; 2],
    sources: [Ledger; 2],
    /// Whether anything was ever counted for an account: else a success has nothing to forget.
    counted: AtomicBool,
    events: Mutex<VecDeque<Event>>,
    /// What it counts.
    pub stats: GuardStats,
}

impl Default for Guard {
    fn default() -> Self {
        Self::new(Policy::default())
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guard")
    }
}

impl Guard {
    /// A guard that knows nobody.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy: ArcSwap::from_pointee(policy),
            hasher: RandomState::default(),
            bans: AtomicBool::new(false),
            keys: Slots::new(KEYS),
            book: Mutex::default(),
            credit: Credit::new(),
            nonces: Nonces::new(),
            accounts: [Ledger::new(), Ledger::new()],
            sources: [Ledger::new(), Ledger::new()],
            counted: AtomicBool::new(false),
            events: Mutex::default(),
            stats: GuardStats::default(),
        }
    }

    /// Takes another policy; bans that there are go on as they were made.
    pub fn set_policy(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }

    /// The policy.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    // ── asked on the way of messages ─────────────────────────────────────────────────────────────────────────

    /// Whether anything from a source may come in at all. Asked before a byte of it is read; `stream` tells that its
    /// address is no lie.
    pub fn admits(&self, source: IpAddr, stream: bool, now: Tick) -> bool {
        !self.bans.load(Relaxed) || !self.is_hit(self.key(source, None, None), Scope::Source, source, stream, now)
    }

    /// Whether a request may go to an instance, as far as bans at that instance are concerned. `never_ban` are the
    /// instance's own exceptions.
    pub fn lets(
        &self,
        source: IpAddr,
        stream: bool,
        instance: InstanceId,
        account: &[u8],
        never_ban: &[ipnet::IpNet],
        now: Tick,
    ) -> bool {
        if !self.bans.load(Relaxed) || holds(never_ban, source) {
            return true;
        }
        let whole = self.key(source, Some(instance), None);
        let one = self.key(source, Some(instance), Some(account));
        !self.is_hit(whole, Scope::Instance, source, stream, now)
            && !self.is_hit(one, Scope::Account, source, stream, now)
    }

    fn is_hit(&self, key: u64, scope: Scope, source: IpAddr, stream: bool, now: Tick) -> bool {
        let Some(slot) = self.keys.find(key, now.0) else { return false };
        let is_proven = slot.value.load(Relaxed) & 1 == 1;
        // What may be a lie keeps out nobody whose address is certain, nor where phones are registered.
        if !is_proven && (stream || self.credit.has(self.source(source), now.0)) {
            return false;
        }
        let policy = self.policy.load();
        if policy.mode != Mode::Enforce || policy.allows(source) {
            return false;
        }
        slot.value.fetch_add(2, Relaxed);
        self.stats.hit(scope);
        true
    }

    /// Whether nobody is banned at all.
    pub fn is_idle(&self) -> bool {
        !self.bans.load(Relaxed)
    }

    /// Whether phones are registered from there now.
    pub fn has_credit(&self, source: IpAddr, now: Tick) -> bool {
        self.credit.has(self.source(source), now.0)
    }

    /// About how many accounts are registered from there now.
    pub fn registered(&self, source: IpAddr, now: Tick) -> u32 {
        self.credit.accounts(self.source(source), now.0)
    }

    /// Whether a request is a scanner's.
    pub fn is_scanner(&self, source: IpAddr, user_agent: &[u8]) -> bool {
        let policy = self.policy.load();
        policy.mode != Mode::Off && policy.scanners.has(user_agent) && !policy.allows(source)
    }

    /// Whether scanners are dropped.
    pub fn drops_scanners(&self) -> bool {
        let policy = self.policy.load();
        policy.mode == Mode::Enforce && policy.scanner == Treatment::Drop
    }

    /// Whether strangers are answered the same for accounts that exist and that do not.
    pub fn masks(&self, source: IpAddr, never_ban: &[ipnet::IpNet], now: Tick) -> bool {
        let policy = self.policy.load();
        policy.mode == Mode::Enforce
            && policy.mask
            && !self.has_credit(source, now)
            && !policy.allows(source)
            && !holds(never_ban, source)
    }

    /// Takes a place for a connection that is held; false if enough are. To be given back with [`Self::release`].
    pub fn hold(&self) -> bool {
        let held = self.stats.tarpits.inc_within(self.policy.load().tarpits.into());
        if !held {
            self.stats.tarpits_full.inc();
        }
        held
    }

    /// Gives the place of a held connection back.
    pub fn release(&self) {
        self.stats.tarpits.dec();
    }

    // ── told what became of them ─────────────────────────────────────────────────────────────────────────────

    /// A challenge with this nonce goes to an address.
    pub fn challenged(&self, source: IpAddr, nonce: &[u8], now: Tick) {
        self.nonces.sent(self.hasher.hash_one((source_key(source), nonce)), now);
    }

    /// Whether a challenge with this nonce was sent to that address a short while ago.
    pub fn was_challenged(&self, source: IpAddr, nonce: &[u8], now: Tick) -> bool {
        self.nonces.is_fresh(self.hasher.hash_one((source_key(source), nonce)), now)
    }

    /// A challenge with this nonce goes to an address, and no instance ever made it.
    pub fn make_up(&self, source: IpAddr, nonce: &[u8], now: Tick) {
        self.nonces.sent(self.hasher.hash_one((source_key(source), nonce, "made up")), now);
        self.challenged(source, nonce, now);
    }

    /// Whether a nonce was made up for that address a short while ago.
    pub fn was_made_up(&self, source: IpAddr, nonce: &[u8], now: Tick) -> bool {
        self.nonces.is_fresh(self.hasher.hash_one((source_key(source), nonce, "made up")), now)
    }

    /// An account was registered from a source for so many seconds. What was counted of it is forgotten.
    pub fn registered_for(&self, source: IpAddr, instance: InstanceId, account: &[u8], seconds: u32, now: Now) {
        let until = now.tick.after(u64::from(seconds) * 1_000).0;
        let one = self.hasher.hash_one((instance.0, account));
        self.credit.note(self.source(source), one, until, now.tick.0);
        self.signed_in(source, instance, account);
    }

    /// An account's password was right: what was counted of it is forgotten.
    pub fn signed_in(&self, source: IpAddr, instance: InstanceId, account: &[u8]) {
        if self.counted.load(Relaxed) {
            let key = self.key(source, Some(instance), Some(account));
            self.accounts.iter().for_each(|ledger| ledger.forget(key));
        }
    }

    /// Something that may be no good. `never_ban` are the exceptions of the instance it was about.
    pub fn note(&self, report: &Report<'_>, never_ban: &[ipnet::IpNet], now: Now) {
        let policy = self.policy.load();
        if policy.mode == Mode::Off || policy.allows(report.source) || holds(never_ban, report.source) {
            return;
        }
        self.stats.report(report.kind);
        let live = self.registered(report.source, now.tick);
        let case = Case { guard: self, policy: &policy, report, live, now };
        case.account();
        case.instance();
        case.source();
    }

    // ── people ───────────────────────────────────────────────────────────────────────────────────────────────

    /// All bans that have not ended, the newest first.
    pub fn bans(&self, now: Now) -> Vec<Ban> {
        let book = self.lock();
        let mut bans: Vec<_> = book.all(now.unix).map(|(key, ban)| self.with_hits(key, ban, now)).collect();
        bans.sort_unstable_by_key(|ban| std::cmp::Reverse(ban.id));
        bans
    }

    /// Lifts a ban; what was counted for it is forgotten.
    pub fn lift(&self, id: u64, now: Now) -> Option<Ban> {
        let (key, ban) = self.lock().strike(id, now.unix)?;
        let ban = self.with_hits(key, &ban, now);
        self.keys.remove(key);
        self.accounts.iter().chain(&self.sources).for_each(|ledger| ledger.forget(key));
        self.tell(Event::Lifted(ban.clone()));
        self.sweep(now);
        Some(ban)
    }

    /// Makes a ban by hand.
    pub fn add(&self, new: &NewBan<'_>, now: Now) -> Result<Ban, Full> {
        let scope = match (new.instance, new.account) {
            (Some(_), Some(_)) => Scope::Account,
            (Some(_), None) => Scope::Instance,
            (None, _) => Scope::Source,
        };
        let account = new.account.filter(|_| scope == Scope::Account);
        let key = self.key(new.source, new.instance, account.map(str::as_bytes));
        let ban = Ban {
            id: 0,
            scope,
            source: source_address(new.source),
            instance: new.instance,
            account: account.map(str::to_owned),
            origin: Origin::Manual,
            reason: new.reason.to_owned(),
            level: 0,
            since: now.unix,
            until: now.unix.saturating_add(new.seconds),
            hits: 0,
            evidence: Evidence { proven: true, ..Evidence::default() },
        };
        self.enter(key, ban, now).ok_or(Full)
    }

    /// Events since the last call.
    pub fn take_events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// What to write down for the next start: bans, and those of late.
    pub fn to_keep(&self, now: Now) -> Vec<Ban> {
        let memory = self.policy.load().memory / 1_000;
        self.lock().remembered(now.unix, memory).map(|(key, ban)| self.with_hits(key, ban, now)).collect()
    }

    /// Takes back what was written down.
    pub fn restore(&self, kept: Vec<Ban>, now: Now) {
        let mut book = self.lock();
        for ban in kept.into_iter().take(MOST_BANS) {
            let key = self.key(ban.source, ban.instance, ban.account.as_deref().map(str::as_bytes));
            if ban.until > now.unix {
                self.arm(key, &ban, now);
            }
            book.restore(key, ban);
        }
        self.stats.live.set(book.counts(now.unix).1 as u64);
    }

    /// Looks after what ended by itself; to be called every now and then.
    pub fn sweep(&self, now: Now) {
        let book = self.lock();
        let live = book.counts(now.unix).1;
        self.stats.live.set(live as u64);
        // Under the lock, so that no ban that is just made is passed over.
        self.bans.store(live > 0, Relaxed);
    }

    // ── inside ───────────────────────────────────────────────────────────────────────────────────────────────

    fn source(&self, source: IpAddr) -> u64 {
        self.hasher.hash_one(source_key(source)) | 1
    }

    /// What a ban, and what is counted for it, is found by.
    fn key(&self, source: IpAddr, instance: Option<InstanceId>, account: Option<&[u8]>) -> u64 {
        self.hasher.hash_one((source_key(source), instance.map(|id| id.0), account)) | 1
    }

    fn with_hits(&self, key: u64, ban: &Ban, now: Now) -> Ban {
        let hits = self.keys.find(key, now.tick.0).map_or(ban.hits, |slot| slot.value.load(Relaxed) >> 1);
        Ban { hits, ..ban.clone() }
    }

    /// Lets a ban count from now on.
    fn arm(&self, key: u64, ban: &Ban, now: Now) {
        let until = now.tick.after(ban.until.saturating_sub(now.unix) * 1_000).0;
        if self.keys.put(key, until, ban.hits << 1 | u64::from(ban.evidence.proven), now.tick.0) {
            self.stats.overflows.inc();
        }
        self.bans.store(true, Relaxed);
    }

    /// Writes a ban down and lets it count; none where there is no room. Sources that may be a lie get a quarter of it.
    fn enter(&self, key: u64, ban: Ban, now: Now) -> Option<Ban> {
        let policy = self.policy.load();
        let most = policy.bans.min(MOST_BANS);
        let mut book = self.lock();
        let (lies, _) = book.counts(now.unix);
        let is_crowded = !ban.evidence.proven && lies >= most / 4;
        if is_crowded || !book.has_room(most, now.unix, policy.memory / 1_000) {
            self.stats.overflows.inc();
            return None;
        }
        self.arm(key, &ban, now);
        self.stats.ban(ban.scope);
        let id = book.write(key, ban.clone());
        self.stats.live.set(book.counts(now.unix).1 as u64);
        drop(book);
        let ban = Ban { id, ..ban };
        self.tell(Event::Banned(ban.clone()));
        Some(ban)
    }

    fn tell(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() < EVENTS { events.push_back(event) } else { self.stats.untold.inc() }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A report before the guard.
struct Case<'a> {
    guard: &'a Guard,
    policy: &'a Policy,
    report: &'a Report<'a>,
    /// About how many accounts are registered from its source.
    live: u32,
    now: Now,
}

impl Case<'_> {
    /// One account fails again and again.
    fn account(&self) {
        let Report { kind, source, instance: Some(instance), account, .. } = *self.report else { return };
        if !matches!(kind, Kind::Credentials | Kind::SignIn) {
            return;
        }
        self.guard.counted.store(true, Relaxed);
        let key = self.guard.key(source, Some(instance), Some(account));
        let record = self.count(&self.guard.accounts, key);
        if record.count(Kind::Credentials) + record.count(Kind::SignIn) >= self.policy.failures {
            let reason = "one account failed again and again".to_owned();
            if self.ban(key, Scope::Account, &record, reason) {
                self.guard.accounts.iter().for_each(|ledger| ledger.forget(key));
            }
        }
    }

    /// Many accounts fail at one instance.
    fn instance(&self) {
        let Report { source, instance: Some(instance), .. } = *self.report else { return };
        let key = self.guard.key(source, Some(instance), None);
        let record = self.count(&self.guard.sources, key);
        if record.accounts() > self.policy.accounts + 2 * self.live {
            self.ban(
                key,
                Scope::Instance,
                &record,
                format!("about {} accounts failed at one instance", record.accounts()),
            );
        }
    }

    /// Scans, names that nobody has, and what adds up over instances.
    fn source(&self) {
        let key = self.guard.key(self.report.source, None, None);
        let record = self.count(&self.guard.sources, key);
        // The same wrong name again and again is a device that somebody set up wrongly.
        let failures = Kind::ALL.into_iter().filter(|kind| *kind != Kind::UnknownName);
        let all: u32 = failures.map(|kind| record.count(kind)).sum();
        let scans = record.count(Kind::Scanner);
        let reason = if scans >= self.policy.scans && self.live == 0 {
            format!("{scans} requests of a scanner")
        } else if record.accounts() > 2 * self.policy.accounts + 4 * self.live {
            format!("about {} accounts failed", record.accounts())
        } else if record.names() > self.policy.names + 2 * self.live {
            format!("about {} unknown names were asked for", record.names())
        } else if record.count(Kind::WhileBanned) >= STUBBORN && self.live == 0 {
            "it went on while its account was banned".to_owned()
        } else if all >= MANY && self.live == 0 {
            format!("{all} failures")
        } else {
            if scans >= self.policy.scans {
                self.guard.stats.spared.inc();
            }
            return;
        };
        self.ban(key, Scope::Source, &record, reason);
    }

    fn count(&self, ledgers: &[Ledger; 2], key: u64) -> Record {
        let [lies, truths] = ledgers;
        let ledger = if self.report.proven { truths } else { lies };
        let account = self.guard.hasher.hash_one((self.report.instance.map(|id| id.0), self.report.account));
        let (record, forgot) = ledger.note(key, self.report, account, self.policy.window, self.now);
        if forgot {
            self.guard.stats.forgotten.inc();
        }
        record
    }

    /// Bans, unless that is not to be; false if nobody was banned.
    fn ban(&self, key: u64, scope: Scope, record: &Record, reason: String) -> bool {
        let Self { guard, policy, report, live, now } = self;
        if !report.proven && *live > 0 {
            guard.stats.spared.inc();
            return false;
        }
        let level = {
            let book = guard.lock();
            if book.live(key, now.unix).is_some_and(|ban| ban.evidence.proven || !report.proven) {
                return false;
            }
            book.level(key)
        };
        let first = policy.first_ban;
        let longest = match scope {
            _ if !report.proven => UNPROVEN * first,
            Scope::Account if *live > 0 => HOME * first,
            Scope::Account | Scope::Instance | Scope::Source => policy.longest_ban,
        };
        let length = first.saturating_mul(1 << level.min(30)).min(longest.min(policy.longest_ban)).max(1_000);
        let ban = Ban {
            id: 0,
            scope,
            source: source_address(report.source),
            instance: report.instance.filter(|_| scope != Scope::Source),
            account: (scope == Scope::Account).then(|| String::from_utf8_lossy(report.account).into_owned()),
            origin: Origin::Automatic,
            reason,
            level,
            since: now.unix,
            until: now.unix + length / 1_000,
            hits: 0,
            evidence: record.evidence(report.proven),
        };
        guard.enter(key, ban, *now).is_some()
    }
}
