//! The binding of a volume or server licence to a machine (R57 to R63): a state machine that is told the time.
//!
//! A licence is bound for good to the machine it was issued for, or was first installed on, or was confirmed for. On
//! another one it is worth nothing until its key is entered anew and the warning is confirmed; then it lasts 240 hours,
//! or for good once the vendor confirms the move. Who calls: `book`.

use super::hardware::HardwareId;
use super::refusal::Refusal;
use super::terms::moment;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// How long a temporary binding lasts, in seconds (R60).
pub const TEMPORARY: u64 = 240 * 3600;
/// Days before its end at which a warning is due (R60).
pub const WARNINGS: [u64; 3] = [7, 3, 1];

const DAY: u64 = 86_400;

/// What is known of one licence's machines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The machine it is bound to for good.
    bound: Option<HardwareId>,
    /// The machine it is on for a time.
    #[serde(default)]
    temporary: Option<Temporary>,
    /// Machines it was taken from by the vendor (R61).
    #[serde(default)]
    revoked: BTreeSet<HardwareId>,
    /// Date of issue of the confirmation in force.
    #[serde(default)]
    confirmed: Option<u64>,
    /// A backup taken before the move gave soft clients their right back (R62).
    #[serde(default)]
    restored: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Temporary {
    hardware: HardwareId,
    deadline: u64,
}

/// Where a licence is in its life on this machine (R63).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase", tag = "state", content = "until")]
pub enum State {
    /// It belongs to another machine.
    Unlicensed,
    /// Valid before this moment, in Unix seconds of the licence clock.
    Temporary(u64),
    /// Valid.
    Permanent,
    /// The time of the temporary binding is over.
    Deactivated,
}

/// The key of a licence, as it is entered.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The machine it was issued for.
    pub issued_for: Option<HardwareId>,
    /// Its date of issue.
    pub issued: u64,
    /// The operator has read the warning and wants it nevertheless.
    pub confirmed: bool,
}

/// Why entering a key changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// It is bound elsewhere: asks for a second, confirmed submit (R59).
    Warn(String),
    /// It cannot be bound here.
    Refuse(Refusal),
}

impl Binding {
    /// What it is on this machine at this moment.
    pub fn state(&self, here: HardwareId, now: u64) -> State {
        if self.bound == Some(here) {
            return State::Permanent;
        }
        match &self.temporary {
            Some(it) if it.hardware == here && now < it.deadline => State::Temporary(it.deadline),
            Some(it) if it.hardware == here => State::Deactivated,
            _ => State::Unlicensed,
        }
    }

    /// Whether soft clients have their right back: on the machine it is bound to, or under a temporary binding after a
    /// backup from before the move was restored (R58, R62).
    pub fn has_rights(&self, here: HardwareId, now: u64) -> bool {
        match self.state(here, now) {
            State::Permanent => true,
            State::Temporary(_) => self.restored,
            State::Unlicensed | State::Deactivated => false,
        }
    }

    /// Its key was entered on this machine (R59).
    pub fn enter(&self, entry: Entry, here: HardwareId, now: u64) -> Result<Self, Halt> {
        let mut next = self.clone();
        let is_fresh = self.confirmed.is_none_or(|confirmed| entry.issued > confirmed);
        if entry.issued_for == Some(here) && is_fresh {
            // The vendor made it for this machine, which is as good as a confirmation.
            next.bound = entry.issued_for;
            next.temporary = None;
            next.revoked.remove(&here);
            return Ok(next);
        }
        if next.bound.is_none() {
            next.bound = Some(entry.issued_for.unwrap_or(here));
        }
        if next.state(here, now) != State::Unlicensed {
            // R60: re-entering starts nothing anew.
            return Ok(next);
        }
        if self.revoked.contains(&here) {
            let text = "the vendor has confirmed this licence for another machine and revoked this one";
            return Err(Halt::Refuse(Refusal::new("R61", "hardware-revoked", text)));
        }
        if !entry.confirmed {
            return Err(Halt::Warn(next.warning(now)));
        }
        let deadline = self.temporary.as_ref().map_or(now.saturating_add(TEMPORARY), |it| it.deadline);
        next.temporary = Some(Temporary { hardware: here, deadline });
        Ok(next)
    }

    /// The vendor's word on where it belongs (R61), the latest one counts.
    pub fn confirm(&self, hardware: HardwareId, revoked: Option<HardwareId>, issued: u64) -> Self {
        if self.confirmed.is_some_and(|confirmed| confirmed >= issued) {
            return self.clone();
        }
        let mut next = Self { bound: Some(hardware), confirmed: Some(issued), ..self.clone() };
        next.temporary = None;
        next.revoked.extend(revoked.into_iter().chain(self.bound));
        next.revoked.remove(&hardware);
        next
    }

    /// The machine changed (R58): what a backup had restored belongs to the machine before.
    pub fn moved(&self, here: HardwareId) -> Self {
        let stays = self.bound == Some(here) || self.temporary.as_ref().is_some_and(|it| it.hardware == here);
        Self { restored: self.restored && stays, ..self.clone() }
    }

    /// A backup was restored (R62). Its rights count if it was taken where the licence was bound for good; a deadline
    /// is never put off by it.
    pub fn restore(&self, backup: &Self, taken_on: HardwareId) -> Self {
        let mut next = if self.bound.is_none() { backup.clone() } else { self.clone() };
        next.restored = self.restored || backup.bound == Some(taken_on);
        next.revoked.extend(&backup.revoked);
        if let Some(bound) = next.bound {
            next.revoked.remove(&bound);
        }
        let deadlines = [&self.temporary, &backup.temporary].into_iter().flatten().map(|it| it.deadline);
        if let (Some(temporary), Some(deadline)) = (&mut next.temporary, deadlines.min()) {
            temporary.deadline = deadline;
        }
        next
    }

    /// What of it the vendor's documents bear out: where it is bound is theirs to say if they say anything. For a
    /// backup, which anybody may have written.
    pub fn attested(
        &self,
        issued_for: Option<HardwareId>,
        issued: u64,
        confirmations: &[(HardwareId, Option<HardwareId>, u64)],
    ) -> Self {
        let first = Self { bound: issued_for.or(self.bound), ..Self::default() };
        let confirmed = confirmations.iter();
        let mut next =
            confirmed.fold(first, |it, (hardware, revoked, issued)| it.confirm(*hardware, *revoked, *issued));
        if issued_for.is_some() && next.confirmed.is_some_and(|confirmed| issued > confirmed) {
            next.bound = issued_for;
        }
        next.temporary.clone_from(&self.temporary);
        next
    }

    /// The next moment after this one at which something is due on this machine: a warning, or the end.
    pub fn next(&self, here: HardwareId, now: u64) -> Option<u64> {
        let State::Temporary(deadline) = self.state(here, now) else { return None };
        moments(deadline).map(|(_, at)| at).chain([deadline]).filter(|at| *at > now).min()
    }

    /// The machine it is bound to for good.
    pub const fn bound(&self) -> Option<HardwareId> {
        self.bound
    }

    fn warning(&self, now: u64) -> String {
        let elsewhere = self.bound.map_or_else(String::new, |bound| format!(" ({bound})"));
        let end = self.temporary.as_ref().map_or_else(|| now.saturating_add(TEMPORARY), |it| it.deadline);
        format!(
            "the licence is bound to another machine{elsewhere}. If it is entered here nevertheless, it is valid until {}, \
             and for good only with the vendor's confirmation. Confirm to go on",
            moment(end)
        )
    }
}

/// The warning that became due after `before`, up to and including `now`: days left, the fewest (R60).
pub fn warning_due(deadline: u64, before: u64, now: u64) -> Option<u64> {
    let due = moments(deadline).filter(|(_, at)| *at > before && *at <= now && now < deadline);
    due.map(|(days, _)| days).min()
}

fn moments(deadline: u64) -> impl Iterator<Item = (u64, u64)> {
    WARNINGS.into_iter().map(move |days| (days, deadline.saturating_sub(days * DAY)))
}

#[cfg(test)]
mod tests;
