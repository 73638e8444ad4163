//! Which accounts an instance is known to have: those its PBX confirmed within the last day, kept while the
//! instance is off. And who has just been challenged: the answer to a challenge must not wait behind others, or
//! the PBX's work on it was for nothing. Accounts are kept as hashes; those known, of whom there are many, as half of
//! one: that two of them are taken for each other is of no consequence.

use crate::clock::{Tick, seconds};
use crate::dense::{Arena, Index};
use std::collections::HashSet;
use std::num::NonZeroU32;

/// Accounts remembered for one instance.
pub const ACCOUNTS: usize = 65_536;
/// Seconds an account is remembered after the last confirmation.
pub const REMEMBERED: u64 = 24 * 3_600;
/// Challenges remembered for one instance, in each of two halves.
const CHALLENGES: usize = 2_048;
/// Milliseconds after which the older half is forgotten.
const HALF: u64 = 8_000;

/// The memory of one instance.
#[derive(Default, Debug)]
pub struct Known {
    accounts: Arena<Account, 8>,
    by_hash: Index,
    swept: u64,
}

#[derive(Debug)]
struct Account {
    hash: u32,
    /// Unix seconds of the last confirmation.
    seen: NonZeroU32,
}

impl Known {
    /// Notes that an account was confirmed at this Unix second; false if there is no room for another one.
    pub fn confirm(&mut self, account: u64, unix: u64) -> bool {
        let (hash, seen) = (half(account), NonZeroU32::new(seconds(unix)).unwrap_or(NonZeroU32::MIN));
        if let Some(known) = self.find(hash).and_then(|at| self.accounts.get_mut(at)) {
            known.seen = seen;
            return true;
        }
        if self.accounts.len() >= ACCOUNTS && unix > self.swept.saturating_add(60) {
            self.swept = unix;
            self.sweep(unix);
        }
        let room = self.accounts.len() < ACCOUNTS;
        if room {
            let at = self.accounts.insert(Account { hash, seen });
            let accounts = &self.accounts;
            self.by_hash.insert(hash.into(), at, |at| accounts.get(at).map_or(0, |it| it.hash.into()));
        }
        room
    }

    fn sweep(&mut self, unix: u64) {
        let over: Vec<u32> = self.accounts.iter().filter(|(_, it)| !it.is_known(unix)).map(|(at, _)| at).collect();
        for at in over {
            if let Some(account) = self.accounts.remove(at) {
                self.by_hash.remove(account.hash.into(), at);
            }
        }
    }

    /// Whether an account is known.
    pub fn has(&self, account: u64, unix: u64) -> bool {
        self.find(half(account)).and_then(|at| self.accounts.get(at)).is_some_and(|it| it.is_known(unix))
    }

    fn find(&self, hash: u32) -> Option<u32> {
        self.by_hash.find(hash.into(), |at| self.accounts.get(at).is_some_and(|it| it.hash == hash))
    }
}

impl Account {
    fn is_known(&self, unix: u64) -> bool {
        unix < u64::from(self.seen.get()).saturating_add(REMEMBERED)
    }
}

const fn half(hash: u64) -> u32 {
    hash as u32
}

/// Who has just been challenged.
#[derive(Default, Debug)]
pub struct Challenged {
    young: HashSet<u64, foldhash::fast::RandomState>,
    old: HashSet<u64, foldhash::fast::RandomState>,
    turned: Tick,
}

impl Challenged {
    /// Notes a challenge. Beyond the bound it is not noted: its answer waits as any other.
    pub fn note(&mut self, now: Tick, account: u64) {
        self.turn(now);
        if self.young.len() < CHALLENGES {
            self.young.insert(account);
        }
    }

    /// Whether an account was challenged, which is said once.
    pub fn take(&mut self, now: Tick, account: u64) -> bool {
        self.turn(now);
        self.young.remove(&account) || self.old.remove(&account)
    }

    fn turn(&mut self, now: Tick) {
        if now.since(self.turned) >= HALF {
            if now.since(self.turned) >= 2 * HALF {
                self.young.clear();
            }
            self.turned = now;
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_known_for_a_day() {
        let mut known = Known::default();
        assert!(!known.has(1, 100));
        assert!(known.confirm(1, 100));
        assert!(known.has(1, 100 + REMEMBERED - 1));
        assert!(!known.has(1, 100 + REMEMBERED));
        assert!(known.confirm(1, 200));
        assert!(known.has(1, 100 + REMEMBERED));
    }

    #[test]
    fn the_bound_holds_and_old_ones_make_room() {
        let mut known = Known::default();
        (0..ACCOUNTS as u64).for_each(|account| assert!(known.confirm(account, 1_000)));
        assert!(!known.confirm(u64::MAX, 1_100));
        assert!(known.confirm(7, 1_000 + REMEMBERED), "a known one stays");
        assert!(known.confirm(u64::MAX, 1_000 + REMEMBERED));
        assert!(known.has(7, 1_001 + REMEMBERED) && !known.has(8, 1_001 + REMEMBERED));
    }

    #[test]
    fn a_challenge_is_remembered_for_a_while_and_once() {
        let mut challenged = Challenged::default();
        challenged.note(Tick(100_000), 1);
        assert!(!challenged.take(Tick(100_000), 2));
        assert!(challenged.take(Tick(100_000), 1));
        assert!(!challenged.take(Tick(100_000), 1));
        challenged.note(Tick(100_000), 1);
        assert!(challenged.take(Tick(100_000 + HALF), 1));
        challenged.note(Tick(200_000), 1);
        assert!(!challenged.take(Tick(200_000 + 2 * HALF), 1));
        challenged.note(Tick(300_000), 1);
        challenged.take(Tick(300_000 + HALF), 9);
        assert!(!challenged.take(Tick(300_000 + 2 * HALF), 1), "the second turn forgets it");
        (0..2 * CHALLENGES as u64).for_each(|account| challenged.note(Tick(400_000), account));
        assert!(!challenged.take(Tick(400_000), 2 * CHALLENGES as u64 - 1));
    }
}
