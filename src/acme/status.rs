//! How it stands with each certificate of an authority: what people see, and when the next try is.

use super::schedule;
use crate::model::Certificate;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;
use utoipa::ToSchema;

/// How far an order is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It waits for its turn.
    #[default]
    Waiting,
    /// The authority was asked.
    Ordering,
    /// The authority looks whether the names are ours.
    Validating,
    /// The authority makes the certificate.
    Issuing,
    /// It is issued.
    Issued,
    /// The last try failed; there will be another.
    Failed,
}

/// How it stands with one certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// How far it is.
    pub state: State,
    /// Unix seconds of the next order; 0 while one is under way.
    pub next: u64,
    /// Failures in a row.
    pub failures: u32,
    /// What the last failure was; empty after a success.
    pub error: String,
    /// What to do about it.
    pub advice: String,
}

/// The status of all.
#[derive(Debug, Default)]
pub struct Board {
    all: Mutex<HashMap<String, Entry>>,
    rouse: Notify,
}

#[derive(Debug, Default)]
struct Entry {
    status: Status,
    /// Asked for by a person.
    now: bool,
    /// What it was ordered by: other wishes do not wait for the patience that a failure taught.
    wish: Option<crate::model::Acme>,
}

impl Board {
    /// How it stands with a certificate, if it is an authority's and was looked at.
    pub fn of(&self, name: &str) -> Option<Status> {
        self.lock().get(name).map(|entry| entry.status.clone())
    }

    /// Orders a certificate now; false if it is not one of an authority.
    pub fn renew(&self, name: &str) -> bool {
        let mut all = self.lock();
        let entry = all.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let found = entry.map(|(_, entry)| entry.now = true).is_some();
        drop(all);
        self.rouse.notify_one();
        found
    }

    /// Waits until somebody wants something at once.
    pub(super) async fn roused(&self) {
        self.rouse.notified().await;
    }

    /// Forgets those that are gone.
    pub(super) fn keep(&self, stays: impl Fn(&str) -> bool) {
        self.lock().retain(|name, _| stays(name));
    }

    /// Whether a certificate is to be ordered now; notes when, if not.
    pub(super) fn is_due(&self, row: &Certificate, due: u64, now: u64) -> bool {
        let mut all = self.lock();
        let entry = all.entry(row.name.clone()).or_default();
        if entry.wish != row.acme {
            entry.wish.clone_from(&row.acme);
            entry.status = Status::default();
        }
        if std::mem::take(&mut entry.now) {
            return true;
        }
        let status = &mut entry.status;
        if status.failures == 0 {
            status.next = due;
            status.state = if row.is_awaited() { State::Waiting } else { State::Issued };
        }
        status.next <= now
    }

    pub(super) fn begin(&self, name: &str) {
        self.change(name, |status| {
            status.state = State::Ordering;
            status.next = 0;
        });
    }

    pub(super) fn enter(&self, name: &str, state: State) {
        self.change(name, |status| status.state = state);
    }

    pub(super) fn issued(&self, name: &str, next: u64) {
        self.change(name, |status| *status = Status { state: State::Issued, next, ..Status::default() });
    }

    /// Notes a failure; returns when the next try is.
    pub(super) fn failed(&self, name: &str, now: u64, error: &str, advice: &str) -> u64 {
        let mut next = 0;
        self.change(name, |status| {
            status.state = State::Failed;
            status.failures = status.failures.saturating_add(1);
            status.next = now.saturating_add(schedule::wait(status.failures, fastrand::f64()));
            status.error = error.to_owned();
            status.advice = advice.to_owned();
            next = status.next;
        });
        next
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Status)) {
        if let Some(entry) = self.lock().get_mut(name) {
            change(&mut entry.status);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_waited_after_unless_somebody_asks() {
        // R82
        let board = Board::default();
        let row = Certificate { acme: None, ..Certificate::own("a", "chain", "key") };
        assert!(board.is_due(&row, 5, 5) && !board.is_due(&row, 6, 5));
        assert!(board.is_due(&row, 5, 5));
        board.begin("a");
        let next = board.failed("a", 5, "broken", "mend it");
        assert!(next > 5 && !board.is_due(&row, 5, next - 1) && board.is_due(&row, 5, next));
        assert_eq!(board.of("a").unwrap().error, "broken");
        assert!(board.renew("A") && !board.renew("b"));
        assert!(board.is_due(&row, 5, 6), "asked for");
        board.issued("a", 100);
        assert_eq!(board.of("a").unwrap(), Status { state: State::Issued, next: 100, ..Status::default() });
    }
}
