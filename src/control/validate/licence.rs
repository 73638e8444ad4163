//! What the licences allow an instance (RULES B and E): asked of `licence::pool` for every instance whose licence,
//! release or state changes.
//!
//! A change is refused for what it takes, never for what was taken before it: a smaller licence cuts nobody (R22), and
//! rows that the rules find too many of stay as they are.

use crate::control::draft::Draft;
use crate::ids::InstanceId;
use crate::licence::pool::{Sum, Tally, is_on, may_change};
use crate::model::{Instance, Mode, Seats};
use crate::route::problem::{Code, Problem};
use std::collections::HashSet;

/// Everything that the licences have against a draft.
pub(super) fn check(draft: &Draft<'_>, problems: &mut Vec<Problem>) {
    let Some(usage) = draft.usage else { return };
    let changed = draft.instances.changed().filter_map(|(id, before, after)| {
        let (before, after) = (before.map(|kept| &*kept.row), &*after?.row);
        before.is_none_or(|before| concerns(before, after)).then_some((*id, before, after))
    });
    let changed: Vec<_> = changed.collect();
    if changed.is_empty() {
        return;
    }
    let mut tally = Tally::over(&draft.base.tally);
    draft.instances.changed().filter_map(|(_, before, _)| before).for_each(|before| tally.remove(&before.row));
    changed.iter().for_each(|(.., after)| tally.add(after));
    // Those that stay as they are come last: a server licence is theirs.
    let ids: HashSet<InstanceId> = changed.iter().map(|(id, ..)| *id).collect();
    let others = draft.instances.changed().filter(|(id, ..)| !ids.contains(id));
    others.filter_map(|(.., after)| after).for_each(|after| tally.add(&after.row));
    for (id, before, after) in changed {
        fields(after, problems);
        // Who is registered: a list may be longer than what is licensed, but for a community instance's (`users`).
        let users = Sum::from(usage.seats(id));
        tally.remove(after);
        if let Err(refusal) = may_change(&draft.book, &tally, before, after, users) {
            let field = match refusal.code {
                "pool-exhausted" | "pool-over-allocated" => "licence.booked",
                "version-not-entitled" | "free-edition" => "version",
                "no-server-licence" | "server-licence-used" => "licence.server",
                _ => "licence.mode",
            };
            problems.push(Problem::refused(format!("instance/{}", after.name), field, &refusal));
        }
        tally.add(after);
    }
}

/// Whether a change of a row is any business of the licences'.
fn concerns(before: &Instance, after: &Instance) -> bool {
    before.licence != after.licence || before.version != after.version || is_on(before.state) != is_on(after.state)
}

/// A booking is a cloud instance's, a server licence a dedicated one's (R14).
fn fields(row: &Instance, problems: &mut Vec<Problem>) {
    let mut problem = |field: &str, reason: &str| {
        problems.push(Problem::new(format!("instance/{}", row.name), field, Code::ModeMismatch, reason));
    };
    let mode = row.licence.mode;
    if mode != Mode::Cloud && row.licence.booked != Seats::default() {
        problem("licence.booked", "only a cloud instance is booked users of the volume licence (R18)");
    }
    if mode != Mode::Dedicated && row.licence.server.is_some() {
        problem("licence.server", "only a dedicated instance has a server licence of its own (R23)");
    }
}
