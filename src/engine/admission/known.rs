//! Which accounts an instance is known to have: those its PBX confirmed within the last day, kept while the
//! instance is off. And who has just been challenged: the answer to a challenge must not wait behind others, or
//! the PBX's work on it was for nothing. Accounts are kept as hashes.

use crate::clock::Tick;
use crate::route::snapshot::Map;
use std::collections::HashSet;

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
    accounts: Map<u64, u64>,
    swept: u64,
}

impl Known {
    /// Notes that an account was confirmed at this Unix second; false if there is no room for another one.
    pub fn confirm(&mut self, account: u64, unix: u64) -> bool {
        if let Some(seen) = self.accounts.get_mut(&account) {
            *seen = unix;
            return true;
        }
        if self.accounts.len() >= ACCOUNTS && unix > self.swept.saturating_add(60) {
            self.swept = unix;
            self.accounts.retain(|_, seen| unix < seen.saturating_add(REMEMBERED));
        }
        let room = self.accounts.len() < ACCOUNTS;
        if room {
            self.accounts.insert(account, unix);
        }
        room
    }

    /// Whether an account is known.
    pub fn has(&self, account: u64, unix: u64) -> bool {
        self.accounts.get(&account).is_some_and(|seen| unix < seen.saturating_add(REMEMBERED))
    }
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
