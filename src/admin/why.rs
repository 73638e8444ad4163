//! Why was this phone refused, and would it be now: the decisions an instance's REGISTERs met of late, and what
//! holds at this moment, each with the rule, the revision and the counts (R69). It decides nothing: it says what
//! the engine would.

use super::explain::Question;
use super::live::{Became, Decided, Live, Seat};
use super::view::{Became as Word, Decision, Entitlement, Explanation};
use crate::licence::{Allowance, Now, Standing, Who};
use crate::model::{DeviceClass, Kind, Mode, Seats};
use crate::reason::Refusal;
use crate::route::snapshot::{Instance, Snapshot};
use std::sync::Arc;

/// Decisions of one answer.
const MOST: usize = 100;
/// Accounts of one answer whose present state is told.
const ACCOUNTS: usize = 10;

/// Whose seat it is asked about.
struct Case<'a> {
    instance: &'a Instance,
    account: &'a str,
    /// What the phone said of itself when it was seen last.
    user_agent: &'a str,
}

/// Adds to an explanation what licences have to do with it.
pub(super) fn add(explanation: &mut Explanation, snapshot: &Snapshot, live: &dyn Live, question: &Question) {
    let account = question.account();
    let concerned = |it: &&Arc<Instance>| match (&question.instance, account) {
        (Some(name), _) => it.name.eq_ignore_ascii_case(name),
        (None, Some(_)) => explanation.answers.iter().any(|answer| answer.instance.as_deref() == Some(&*it.name)),
        (None, None) => true,
    };
    let device = question.device.as_ref().map(|text| text.to_lowercase());
    let holds = |text: &str| device.as_ref().is_none_or(|part| text.to_lowercase().contains(part));
    let mut decided: Vec<(&Arc<Instance>, Decided)> = Vec::new();
    let instances: Vec<_> = snapshot.instances.iter().filter(concerned).collect();
    for instance in &instances {
        let found = live.decisions(instance.id, &|told| {
            account.is_none_or(|account| told.account == account)
                && question.call_id.as_ref().is_none_or(|id| told.call_id == *id)
                && (holds(told.user_agent) || holds(told.device))
        });
        decided.extend(found.into_iter().map(|it| (*instance, it)));
    }
    decided.sort_by_key(|(_, it)| std::cmp::Reverse(it.at));
    decided.truncate(MOST);
    explanation.licences = cases(account, &instances, &decided).iter().map(|case| now(case, live)).collect();
    explanation.decisions = decided.into_iter().map(|(instance, it)| show(instance, it)).collect();
}

/// The accounts whose present state is of interest: the one asked about, else those that were decided on.
fn cases<'a>(
    account: Option<&'a str>,
    instances: &[&'a Arc<Instance>],
    decided: &'a [(&'a Arc<Instance>, Decided)],
) -> Vec<Case<'a>> {
    let seen = |instance: &Instance, account: &str| {
        decided.iter().find(|(of, it)| of.id == instance.id && it.account == account)
    };
    let mut cases: Vec<Case<'a>> = Vec::new();
    if let Some(account) = account {
        for instance in instances.iter().take(ACCOUNTS) {
            let user_agent = seen(instance, account).map_or("", |(_, it)| &it.user_agent);
            cases.push(Case { instance, account, user_agent });
        }
        return cases;
    }
    for (instance, it) in decided {
        let known = cases.iter().any(|case| case.instance.id == instance.id && case.account == it.account);
        if !known && cases.len() < ACCOUNTS {
            cases.push(Case { instance, account: &it.account, user_agent: &it.user_agent });
        }
    }
    cases
}

/// What would become of a REGISTER of the account at this moment.
fn now(case: &Case<'_>, live: &dyn Live) -> Entitlement {
    let Case { instance, account, user_agent } = case;
    let Allowance { mode, seats, total, standing, softphones } = instance.allowance;
    let who = match &instance.roster {
        None => Some(Who { name: account, kind: Kind::Full, class: DeviceClass::Phone }),
        Some(roster) => roster.of_account(account.as_bytes()),
    };
    let name = who.map_or(*account, |who| who.name);
    let seat = live.seat(instance.id, account.as_bytes(), name.as_bytes());
    let moment = live.licence_now();
    let mut steps = vec![user_step(instance, account, who), licence_step(instance, moment)];
    let soft = who.and_then(|who| live.soft_client(who.class, account, user_agent));
    let refusal = match who {
        None => Some(Refusal::NotLicensedUser),
        Some(who) => judge(who, &seat, &instance.allowance, soft.is_some(), standing.at(moment)),
    };
    if let Some(sign) = soft {
        steps.push(format!("its {sign} shows a soft client (R46)"));
    }
    if let Some(who) = who {
        steps.push(seat_step(case, who, &seat));
    }
    steps.push(match refusal {
        None => "a REGISTER of it passes".into(),
        Some(why) if instance.shadow => {
            format!("{}, but shadow mode lets it pass", sentence(why, who.map(|who| who.kind), &seat, seats, total))
        }
        Some(why) => {
            let text = sentence(why, who.map(|who| who.kind), &seat, seats, total);
            format!("a new REGISTER of it is refused with {}: {text}", status(why))
        }
    });
    Entitlement {
        instance: instance.name.to_string(),
        account: (*account).to_owned(),
        user: who.map(|who| who.name.to_owned()),
        kind: who.map(|who| who.kind),
        mode,
        seated: seat.has_claim,
        used: seat.used,
        pending: seat.pending,
        licensed: seats,
        total: some_total(total),
        softphones,
        shadow: instance.shadow,
        refusal: refusal.map(|why| why.kind().to_owned()),
        rule: refusal.map(|why| rule(why).to_owned()),
        steps,
    }
}

/// The engine's decision on a phone of which no more is known than its account; the order is the engine's.
fn judge(who: Who<'_>, seat: &Seat, allowance: &Allowance, soft: bool, standing: Now) -> Option<Refusal> {
    if soft {
        match (who.kind, standing) {
            (Kind::Light, _) => return Some(Refusal::LightSoftphone),
            (Kind::Full, Now::Deactivated) => return Some(Refusal::LicenceDeactivated),
            (Kind::Full, Now::Unlicensed) => return Some(Refusal::SoftphoneRight),
            (Kind::Full, Now::Active) if !allowance.softphones => return Some(Refusal::SoftphoneRight),
            (Kind::Full, Now::Active) => {}
        }
    }
    if seat.has_claim {
        return None;
    }
    if standing != Now::Active {
        return Some(Refusal::LicenceDeactivated);
    }
    if !seat.has_seat {
        let (of, all) = (|seats: Seats| seats.of(who.kind), |seats: Seats| seats.full.saturating_add(seats.light));
        let (limit, total) = (allowance.seats.of(who.kind), allowance.total);
        if of(seat.used) >= limit || all(seat.used) >= total {
            return Some(Refusal::SeatsExhausted);
        }
        if of(seat.used) + of(seat.pending) >= limit || all(seat.used) + all(seat.pending) >= total {
            return Some(Refusal::SeatsPending);
        }
    }
    (!seat.can_save).then_some(Refusal::SeatsUnsaved)
}

fn user_step(instance: &Instance, account: &str, who: Option<Who<'_>>) -> String {
    let name = &instance.name;
    match (who, instance.roster.is_some()) {
        (None, _) => format!("no user of {name} has the account {account} (R49)"),
        (Some(_), false) => format!("{name} has no list of users, so {account} is a full user of its own (R49)"),
        (Some(who), true) => format!("{account} is an account of the {} user {}", kind(who.kind), who.name),
    }
}

fn licence_step(instance: &Instance, moment: u64) -> String {
    let mode = match instance.allowance.mode {
        Mode::Community => "community",
        Mode::Cloud => "cloud",
        Mode::Dedicated => "dedicated",
    };
    let what = match (instance.allowance.standing, instance.allowance.standing.at(moment)) {
        (Standing::Until(end), Now::Active) => format!("valid for {} more hours", end.saturating_sub(moment) / 3_600),
        (_, Now::Active) => "valid".into(),
        (_, Now::Unlicensed) => "missing: nobody new may register (R58)".into(),
        (_, Now::Deactivated) => "deactivated: nobody new may register (R63)".into(),
    };
    format!("{} is of mode {mode}, and its licences are {what}", instance.name)
}

fn seat_step(case: &Case<'_>, who: Who<'_>, seat: &Seat) -> String {
    let (account, limit) = (case.account, case.instance.allowance.seats.of(who.kind));
    let used = format!("{} of {limit} {} users have a seat", seat.used.of(who.kind), kind(who.kind));
    match (seat.has_claim, seat.has_seat) {
        (true, _) => format!("{account} has a seat, and its refreshes pass whatever the limits are (R67); {used}"),
        (false, true) => format!("{} has a seat by another account, so {account} needs none (R39); {used}", who.name),
        (false, false) => used,
    }
}

/// A decision as it is shown.
fn show(instance: &Instance, it: Decided) -> Decision {
    let seat = Seat { used: it.used, pending: it.pending, ..Seat::default() };
    let (became, why) = match it.became {
        Became::Granted => (Word::Granted, None),
        Became::Refused(why) => (Word::Refused, Some(why)),
        Became::Shadowed(why) => (Word::Shadowed, Some(why)),
    };
    let text = match why {
        Some(why) => sentence(why, it.kind, &seat, it.seats, it.total),
        None => counts(it.kind.unwrap_or_default(), &seat, it.seats, it.total),
    };
    Decision {
        at: it.at,
        instance: instance.name.to_string(),
        account: it.account,
        user: it.user,
        kind: it.kind,
        device: it.device,
        user_agent: it.user_agent,
        call_id: it.call_id,
        source: it.source,
        transport: it.transport,
        became,
        reason: why.map(|why| why.kind().to_owned()),
        rule: why.map(|why| rule(why).to_owned()),
        text,
        used: it.used,
        pending: it.pending,
        licensed: it.seats,
        total: some_total(it.total),
        revision: it.revision,
    }
}

/// A refusal in a sentence, with its numbers and its rule.
fn sentence(why: Refusal, of: Option<Kind>, seat: &Seat, seats: Seats, total: u32) -> String {
    let of = of.unwrap_or_default();
    let text = match why {
        Refusal::SeatsExhausted => format!("every seat is taken: {}", counts(of, seat, seats, total)),
        Refusal::SeatsPending => format!("the last seats are being decided on: {}", counts(of, seat, seats, total)),
        Refusal::SeatsUnsaved => "the seat could not be written down".into(),
        Refusal::LightSecondDevice => "a light user has one device, and another one is registered".into(),
        Refusal::LightSoftphone => "a light user has no soft client".into(),
        Refusal::LightMethod => "a light user's licence covers calls only".into(),
        Refusal::NotLicensedUser => "no user on the list has this account".into(),
        Refusal::LicenceDeactivated => "no valid licence is installed".into(),
        Refusal::SoftphoneRight => "soft clients are not licensed".into(),
        other => other.kind().into(),
    };
    format!("{text} ({}, {})", why.kind(), rule(why))
}

fn counts(of: Kind, seat: &Seat, seats: Seats, total: u32) -> String {
    let mut text = format!("{} of {} {} users have a seat", seat.used.of(of), seats.of(of), kind(of));
    if let Some(total) = some_total(total) {
        let all = seat.used.full.saturating_add(seat.used.light);
        text.push_str(&format!(", and {all} of {total} in all"));
    }
    if seat.pending.of(of) > 0 {
        text.push_str(&format!(", {} more are being decided on", seat.pending.of(of)));
    }
    text
}

/// The rule a refusal follows.
const fn rule(why: Refusal) -> &'static str {
    match why {
        Refusal::SeatsExhausted => "R48",
        Refusal::SeatsPending | Refusal::SeatsUnsaved => "R66",
        Refusal::LightSecondDevice => "R43",
        Refusal::LightSoftphone => "R46",
        Refusal::LightMethod => "R45",
        Refusal::NotLicensedUser => "R49",
        Refusal::LicenceDeactivated => "R63",
        Refusal::SoftphoneRight => "R58",
        _ => "R69",
    }
}

/// What a phone gets (R69).
const fn status(why: Refusal) -> u16 {
    match why {
        Refusal::SeatsPending | Refusal::SeatsUnsaved | Refusal::RegistrarBusy => 503,
        _ => 403,
    }
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Full => "full",
        Kind::Light => "light",
    }
}

/// A limit for both kinds together, where there is one.
fn some_total(total: u32) -> Option<u32> {
    Some(total).filter(|total| *total != u32::MAX)
}

#[cfg(test)]
mod tests;
