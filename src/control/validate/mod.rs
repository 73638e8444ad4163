//! What is wrong with a draft of the table: every problem at once, with its field and its reason.
//!
//! Names are claimed as changes are made (`claim_*`), everything else is looked at when all changes
//! are made (`draft`). What makes a row unusable for the data plane is asked of `route`, so that
//! nothing is accepted here that the compiler would leave out. Called by `control::draft`.

mod certificate;
mod instance;
mod licence;
mod names;
mod proxy;
mod users;

use super::draft::Draft;
use crate::route::problem::{Code, Problem};

pub(super) use names::{claim_instance, claim_proxy};
pub(super) use users::{user, users};

/// Everything that is wrong with the rows a draft touches.
pub(super) fn draft(draft: &Draft<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (_, before, after) in draft.instances.changed() {
        match (before, after) {
            (_, Some(new)) => {
                instance::check(draft, &new.row, &mut problems);
                users::check_community(draft, &new.row, &mut problems);
            }
            (Some(old), None) => instance::check_unused(draft, &old.row, &mut problems),
            (None, None) => {}
        }
    }
    for (id, ..) in draft.users.changed().filter(|(id, ..)| !draft.instances.is_changed(*id)) {
        if let Some(owner) = draft.instances.get(id) {
            users::check_community(draft, &owner.row, &mut problems);
        }
    }
    for new in draft.proxies.changed().filter_map(|(_, _, after)| after) {
        proxy::check(draft, &new.row, &mut problems);
    }
    for (name, before, after) in draft.certificates.changed() {
        match (before, after) {
            (_, Some(new)) => certificate::check(&new.row, draft.now, &mut problems),
            (Some(_), None) => certificate::check_unused(draft, name, &mut problems),
            (None, None) => {}
        }
    }
    licence::check(draft, &mut problems);
    problems
}

/// A text people read: short, one line.
fn text(row: &str, field: &str, text: &str, most: usize, problems: &mut Vec<Problem>) {
    let length = text.chars().count();
    if length > most {
        let reason = format!("has {length} characters, at most {most} are allowed");
        problems.push(Problem::new(row, field, Code::TextInvalid, reason));
    }
    if let Some(bad) = text.chars().find(|c| c.is_control()) {
        let reason = format!("holds the control character U+{:04X}", u32::from(bad));
        problems.push(Problem::new(row, field, Code::TextInvalid, reason));
    }
}

/// The most origins of a list.
const MOST_ORIGINS: usize = 64;

/// Origins as browsers send them (W07).
fn origins(row: &str, list: &[String], problems: &mut Vec<Problem>) {
    for (origin, n) in list.iter().zip(0..) {
        if let Err(reason) = crate::route::origin::check(origin) {
            problems.push(Problem::new(row, format!("origins[{n}]"), Code::UrlInvalid, reason));
        }
    }
    count(row, "origins", list.len(), MOST_ORIGINS, problems);
}

/// A list that is not too long.
fn count(row: &str, field: &str, length: usize, most: usize, problems: &mut Vec<Problem>) {
    if length > most {
        let reason = format!("has {length} entries, at most {most} are allowed");
        problems.push(Problem::new(row, field, Code::TooMany, reason));
    }
}

#[cfg(test)]
mod tests;
