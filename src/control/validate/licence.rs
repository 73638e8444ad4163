//! What the licences allow (RULES B): how many community instances there are, what is booked of the pool.
//!
//! A change is refused for what it takes, never for what was taken before it: a smaller licence cuts nobody (R22), and
//! rows that the rules find too many of stay as they are.

use crate::control::draft::Draft;
use crate::control::licence;
use crate::model::{Instance, Kind, Mode, Seats, State};
use crate::route::problem::{Code, Problem};
use std::sync::Arc;

/// Community instances of an installation (R15).
const COMMUNITY: usize = 3;
/// Users of a community instance, of whatever kind (R16).
const COMMUNITY_USERS: u32 = 3;

/// Everything that the licences have against a draft.
pub(super) fn check(draft: &Draft<'_>, problems: &mut Vec<Problem>) {
    let Some(usage) = draft.usage else { return };
    let mut checks = Checks { draft, problems };
    for (id, before, after) in draft.instances.changed() {
        let (before, Some(after)) = (before.map(|kept| &*kept.row), after.map(|kept| &*kept.row)) else { continue };
        checks.fields(after);
        if after.licence.mode == Mode::Community && before.is_none_or(|it| it.licence.mode != Mode::Community) {
            checks.community(after, before.map(|_| usage.seats(*id)));
        }
    }
    checks.pool();
}

struct Checks<'a, 'd> {
    draft: &'a Draft<'d>,
    problems: &'a mut Vec<Problem>,
}

impl Checks<'_, '_> {
    fn problem(&mut self, row: &Instance, field: &str, code: Code, reason: String) {
        self.problems.push(Problem::new(format!("instance/{}", row.name), field, code, reason));
    }

    /// A booking is a cloud instance's, a server licence a dedicated one's (R14).
    fn fields(&mut self, row: &Instance) {
        let mode = row.licence.mode;
        if mode != Mode::Cloud && row.licence.booked != Seats::default() {
            let reason = "only a cloud instance is booked users of the volume licence (R18)".into();
            self.problem(row, "licence.booked", Code::ModeMismatch, reason);
        }
        if mode != Mode::Dedicated && row.licence.server.is_some() {
            let reason = "only a dedicated instance has a server licence of its own (R23)".into();
            self.problem(row, "licence.server", Code::ModeMismatch, reason);
        }
    }

    /// An instance that becomes a community one: there are 3 of them (R15), with 3 users each (R16, R26).
    fn community(&mut self, row: &Instance, live: Option<Seats>) {
        let count = self.draft.instances.values().filter(|it| it.row.licence.mode == Mode::Community).count();
        if count > COMMUNITY {
            let reason = format!("would be number {count} of {COMMUNITY} community instances (R15)");
            self.problem(row, "licence.mode", Code::CommunityInstances, reason);
        }
        let users = live.map_or(0, |live| live.full.saturating_add(live.light));
        if users > COMMUNITY_USERS {
            let reason = format!("a community instance has {COMMUNITY_USERS} users, {users} are registered (R26)");
            self.problem(row, "licence.mode", Code::CommunityUsers, reason);
        }
    }

    /// Nobody takes more of the pool than there is (R18, R22, R24).
    fn pool(&mut self) {
        let growing: Vec<(Arc<Instance>, Seats)> = self
            .draft
            .instances
            .changed()
            .filter_map(|(_, before, after)| {
                let row = &after?.row;
                let had = before.map_or(Seats::default(), |kept| demand(&kept.row));
                let wants = demand(row);
                (wants.full > had.full || wants.light > had.light).then(|| (Arc::clone(row), had))
            })
            .collect();
        if growing.is_empty() {
            return;
        }
        let book = licence::book(self.draft.licences.values().map(|kept| &*kept.row));
        let pool = book.pool().unwrap_or_default();
        let booked = self
            .draft
            .instances
            .values()
            .map(|kept| demand(&kept.row))
            .fold([0; 2], |[full, light], one| [full + u64::from(one.full), light + u64::from(one.light)]);
        for (row, had) in growing {
            let wants = demand(&row);
            for (kind, licensed, booked, wants, had) in [
                (Kind::Full, pool.full, booked[0], wants.full, had.full),
                (Kind::Light, pool.light, booked[1], wants.light, had.light),
            ] {
                if let Some(missing) = booked.checked_sub(u64::from(licensed)).filter(|it| *it > 0 && wants > had) {
                    let (kind, field) = match kind {
                        Kind::Full => ("full", "licence.booked.full"),
                        Kind::Light => ("light", "licence.booked.light"),
                    };
                    let others = booked - u64::from(wants);
                    let rule = if had == 0 && row.state != State::Off { "R18, R24" } else { "R18" };
                    let reason = format!(
                        "needs {missing} more {kind} users: {licensed} licensed, {others} booked, {wants} asked ({rule})"
                    );
                    self.problem(&row, field, Code::PoolExhausted, reason);
                }
            }
        }
    }
}

/// What an instance takes from the pool: its booking, while it is on (R24).
fn demand(row: &Instance) -> Seats {
    if row.licence.mode == Mode::Cloud && row.state != State::Off { row.licence.booked } else { Seats::default() }
}
