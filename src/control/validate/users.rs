//! An instance's list of users (R39, R42, R49): names and accounts that are one user's only, and not too many.

use crate::control::draft::{Draft, fold_user};
use crate::model::{Instance, Mode, User};
use crate::route::problem::{Code, Problem};
use std::collections::HashMap;

/// The most users of one request.
pub(in crate::control) const MOST_ASKED: usize = 10_000;
/// The most users of an instance.
const MOST_USERS: usize = 50_000;
/// The most accounts of a user.
const MOST_ACCOUNTS: usize = 32;
/// The longest name in characters.
const MOST_NAME: usize = 64;
/// The longest account in bytes.
const MOST_ACCOUNT: usize = 64;
/// The users of a community instance, of whatever kind (R16).
const COMMUNITY: usize = 3;
/// The most problems that are told.
const MOST_PROBLEMS: usize = 10_000;

/// What is wrong with users asked for, where `others` stay as they are. Fields begin with `users[n]`.
pub(in crate::control) fn users(instance: &str, asked: &[User], others: &[User]) -> Vec<Problem> {
    let mut list = List::beside(instance, others);
    if asked.len() > MOST_ASKED {
        let reason = format!("has {} entries, at most {MOST_ASKED} are taken at once", asked.len());
        list.problem("users".into(), Code::TooMany, reason);
        return list.problems;
    }
    if asked.len() + others.len() > MOST_USERS {
        let reason = format!("would have {} entries, at most {MOST_USERS} are allowed", asked.len() + others.len());
        list.problem("users".into(), Code::TooMany, reason);
    }
    for (user, n) in asked.iter().zip(0_usize..) {
        if list.problems.len() >= MOST_PROBLEMS {
            let reason =
                format!("has more than {MOST_PROBLEMS} problems; the users from number {n} on were not looked at");
            list.problem("users".into(), Code::TooMany, reason);
            break;
        }
        list.user(&format!("users[{n}]."), user);
    }
    list.problems
}

/// What is wrong with one user, where `others` stay as they are.
pub(in crate::control) fn user(instance: &str, asked: &User, others: &[User]) -> Vec<Problem> {
    let mut list = List::beside(instance, others);
    if others.len() >= MOST_USERS {
        list.problem("users".into(), Code::TooMany, format!("has {MOST_USERS} entries already"));
    }
    list.user("", asked);
    list.problems
}

/// A community instance has three users (R16), also when it becomes one (R26).
pub(super) fn check_community(draft: &Draft<'_>, row: &Instance, problems: &mut Vec<Problem>) {
    let count = draft.users_of(row.id).map_or(0, <[User]>::len);
    if row.licence.mode == Mode::Community && count > COMMUNITY {
        let reason = format!("is community: it has {COMMUNITY} users, its list has {count} (R16)");
        problems.push(Problem::new(format!("instance/{}", row.name), "licence.mode", Code::CommunityUsers, reason));
    }
}

/// Names and accounts as they are given, one after the other.
struct List<'a> {
    place: String,
    problems: Vec<Problem>,
    names: HashMap<String, &'a str>,
    accounts: HashMap<&'a str, &'a str>,
}

impl<'a> List<'a> {
    fn beside(instance: &str, others: &'a [User]) -> Self {
        Self {
            place: format!("users/{instance}"),
            problems: Vec::new(),
            names: others.iter().map(|user| (fold_user(&user.name), user.name.as_str())).collect(),
            accounts: others
                .iter()
                .flat_map(|user| user.accounts.iter().map(|it| (it.as_str(), &*user.name)))
                .collect(),
        }
    }

    fn problem(&mut self, field: String, code: Code, reason: String) {
        self.problems.push(Problem::new(self.place.as_str(), field, code, reason));
    }

    fn user(&mut self, prefix: &str, user: &'a User) {
        let field = format!("{prefix}name");
        if let Err(reason) = name(&user.name) {
            self.problem(field, Code::NameInvalid, reason);
        } else if let Some(other) = self.names.insert(fold_user(&user.name), &user.name) {
            self.problem(field, Code::Duplicate, format!("there is a user \"{other}\" already"));
        }
        let field = format!("{prefix}accounts");
        if user.accounts.is_empty() {
            self.problem(field, Code::Missing, "is empty: a user registers with an account at least".into());
        } else if user.accounts.len() > MOST_ACCOUNTS {
            let reason = format!("has {} entries, at most {MOST_ACCOUNTS} are allowed", user.accounts.len());
            self.problem(field, Code::TooMany, reason);
        }
        for (text, n) in user.accounts.iter().zip(0..) {
            let field = format!("{prefix}accounts[{n}]");
            if let Err(reason) = account(text) {
                self.problem(field, Code::AccountInvalid, reason);
            } else if let Some(owner) = self.accounts.insert(text, &user.name) {
                self.problem(field, Code::Duplicate, format!("\"{text}\" is an account of user \"{owner}\" already"));
            }
        }
    }
}

/// A name begins with a letter or digit, so that no spreadsheet takes it for a formula.
fn name(text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if text.is_empty() {
        return Err("is empty".into());
    }
    if length > MOST_NAME {
        return Err(format!("has {length} characters, at most {MOST_NAME} are allowed"));
    }
    let allowed = |c: char| c.is_alphanumeric() || " .-_@+'(),&".contains(c);
    if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
        return Err(format!("\"{}\" holds {}", text.escape_debug(), called(bad)));
    }
    if !text.starts_with(char::is_alphanumeric) {
        return Err(format!("\"{text}\" does not begin with a letter or a digit"));
    }
    if text.ends_with(' ') {
        return Err(format!("\"{text}\" ends with a blank"));
    }
    Ok(())
}

/// The user part of a SIP address without what would have to be escaped (RFC 3261 §25.1); `,`, `;` and `=`, which lists
/// and spreadsheets take for their own, aside.
fn account(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty".into());
    }
    if text.len() > MOST_ACCOUNT {
        return Err(format!("has {} characters, at most {MOST_ACCOUNT} are allowed", text.len()));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.!~*'()&+$?/".contains(c);
    match text.chars().find(|c| !allowed(*c)) {
        Some('@') => Err(format!("\"{text}\" is a whole address: only what is before the @ is an account")),
        Some(bad) => Err(format!("\"{}\" holds {}", text.escape_debug(), called(bad))),
        None => Ok(()),
    }
}

fn called(bad: char) -> String {
    match bad {
        ' ' => "a blank".into(),
        c if c.is_control() => format!("the control character U+{:04X}", u32::from(c)),
        c => format!("'{c}', which is not allowed"),
    }
}
