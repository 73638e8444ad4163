//! Who is a user of an instance, looked up by account (R49). Built once per change of the list, read for every
//! REGISTER.

use crate::model::{DeviceClass, Kind, User};
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// The users of one instance.
#[derive(Debug, Default)]
pub struct Roster {
    users: Vec<Entry>,
    by_account: HashMap<Box<[u8]>, u32, RandomState>,
}

#[derive(Debug)]
struct Entry {
    name: Box<str>,
    kind: Kind,
    class: DeviceClass,
}

/// A user, as far as a registration asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who<'a> {
    /// The user's name: what a seat is held by.
    pub name: &'a str,
    /// Full or light.
    pub kind: Kind,
    /// What the user's device is said to be.
    pub class: DeviceClass,
}

impl Roster {
    /// The look-up of a list. Of two users with the same account the first keeps it: the control plane refuses such
    /// lists.
    pub fn new(users: &[User]) -> Self {
        let mut by_account = HashMap::default();
        for (user, n) in users.iter().zip(0..) {
            for account in &user.accounts {
                by_account.entry(account.as_bytes().into()).or_insert(n);
            }
        }
        let entry = |user: &User| Entry { name: user.name.as_str().into(), kind: user.kind, class: user.class };
        Self { users: users.iter().map(entry).collect(), by_account }
    }

    /// The user of an account; accounts are compared byte by byte, as SIP has it (RFC 3261 §19.1.4).
    pub fn of_account(&self, account: &[u8]) -> Option<Who<'_>> {
        let entry = self.users.get(usize::try_from(*self.by_account.get(account)?).ok()?)?;
        Some(Who { name: &entry.name, kind: entry.kind, class: entry.class })
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_every_account() {
        // R39 R49
        let user = |name: &str, kind, accounts: &[&str]| User {
            name: name.into(),
            kind,
            accounts: accounts.iter().map(|a| (*a).into()).collect(),
            class: DeviceClass::Phone,
        };
        let roster = Roster::new(&[user("ann", Kind::Full, &["10", "10m"]), user("fax", Kind::Light, &["90"])]);
        assert_eq!(roster.of_account(b"10m").map(|who| who.name), Some("ann"));
        assert_eq!(roster.of_account(b"90").map(|who| who.kind), Some(Kind::Light));
        assert_eq!((roster.of_account(b"11"), roster.len()), (None, 2));
    }
}
