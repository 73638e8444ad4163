//! What strangers did, counted: tables of fixed size behind small locks, asked only when something went wrong.
//!
//! When a part of a table is full, who was silent for longest is forgotten. What is proven and what may be a lie about
//! its source are kept apart, so that a flood of lies makes nothing forgotten that is true.

use super::credit::{about, bit};
use super::kind::{Kind, Report, Short};
use crate::clock::Now;
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};
use utoipa::ToSchema;

/// Locks of a table.
const PARTS: usize = 256;
/// Sources behind each.
const DEPTH: usize = 16;

/// Why somebody is banned, as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// How often what happened.
    pub counts: Vec<Count>,
    /// About how many different accounts or names it was about.
    pub accounts: u32,
    /// Unix seconds of the first time.
    pub first: u64,
    /// Unix seconds of the last time.
    pub last: u64,
    /// The account or name it was about at last.
    pub account: String,
    /// What the sender said of itself at last.
    pub user_agent: String,
    /// The method of the last request.
    pub method: String,
    /// Whether it is certain that it came from there: a datagram's source may be a lie.
    pub proven: bool,
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Count {
    /// What.
    pub kind: Kind,
    /// How often.
    pub times: u32,
}

/// What one source did within a window.
#[derive(Clone, Copy, Default)]
pub(super) struct Record {
    key: u64,
    began: u64,
    first: u64,
    last: u64,
    counts: [u32; Kind::ALL.len()],
    /// Accounts that failed for certain.
    accounts: u64,
    /// Names that nobody has.
    names: u64,
    account: Short<40>,
    user_agent: Short<48>,
    method: Short<12>,
}

impl Record {
    /// How often something happened.
    pub(super) fn count(&self, kind: Kind) -> u32 {
        self.counts.get(kind as usize).copied().unwrap_or(0)
    }

    /// About how many accounts failed.
    pub(super) fn accounts(&self) -> u32 {
        about(self.accounts)
    }

    /// About how many unknown names were asked for.
    pub(super) fn names(&self) -> u32 {
        about(self.names)
    }

    /// As it is shown.
    pub(super) fn evidence(&self, proven: bool) -> Evidence {
        let counts = Kind::ALL.into_iter().map(|kind| Count { kind, times: self.count(kind) });
        Evidence {
            counts: counts.filter(|count| count.times > 0).collect(),
            accounts: about(self.accounts | self.names),
            first: self.first,
            last: self.last,
            account: self.account.show(),
            user_agent: self.user_agent.show(),
            method: self.method.show(),
            proven,
        }
    }

    fn note(&mut self, report: &Report<'_>, account: u64, now: Now) {
        if let Some(count) = self.counts.get_mut(report.kind as usize) {
            *count = count.saturating_add(1);
        }
        match report.kind {
            Kind::UnknownName => self.names |= bit(account),
            Kind::UnknownAccount => self.accounts |= bit(account),
            // An old nonce is refused whatever the password: that says nothing of the account.
            Kind::Credentials | Kind::SignIn if report.fresh => self.accounts |= bit(account),
            Kind::Credentials | Kind::SignIn | Kind::Scanner | Kind::WhileBanned => {}
        }
        self.last = now.unix;
        self.account = Short::of(report.account);
        self.user_agent = Short::of(report.user_agent);
        self.method = Short::of(report.method);
    }
}

/// A table of them.
pub(super) struct Ledger(Box<[Mutex<Vec<Record>>]>);

impl Ledger {
    pub(super) fn new() -> Self {
        Self((0..PARTS).map(|_| Mutex::default()).collect())
    }

    /// Counts a report, and tells what is known now; `account` is a hash. True if somebody was forgotten for it.
    pub(super) fn note(&self, key: u64, report: &Report<'_>, account: u64, window: u64, now: Now) -> (Record, bool) {
        let Some(part) = self.part(key) else { return (Record::default(), false) };
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Record { key, began: now.tick.0, first: now.unix, ..Record::default() };
        let mut forgot = false;
        let at = match part.iter().position(|record| record.key == key) {
            Some(at) => at,
            None if part.len() < DEPTH => {
                part.push(fresh);
                part.len() - 1
            }
            None => {
                let oldest = part.iter().enumerate().min_by_key(|(_, record)| record.last);
                forgot = oldest.is_some_and(|(_, record)| now.tick.0.saturating_sub(record.began) < window);
                let at = oldest.map_or(0, |(at, _)| at);
                if let Some(record) = part.get_mut(at) {
                    *record = fresh;
                }
                at
            }
        };
        let Some(record) = part.get_mut(at) else { return (fresh, forgot) };
        if now.tick.0.saturating_sub(record.began) >= window {
            *record = fresh;
        }
        record.note(report, account, now);
        (*record, forgot)
    }

    /// Forgets what was counted for a key.
    pub(super) fn forget(&self, key: u64) {
        if let Some(part) = self.part(key) {
            part.lock().unwrap_or_else(PoisonError::into_inner).retain(|record| record.key != key);
        }
    }

    /// The most records there can ever be.
    #[cfg(test)]
    pub(super) fn most() -> usize {
        PARTS * DEPTH
    }

    /// How many records there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|part| part.lock().unwrap().len()).sum()
    }

    fn part(&self, key: u64) -> Option<&Mutex<Vec<Record>>> {
        self.0.get(usize::try_from(key % PARTS as u64).unwrap_or(0))
    }
}
