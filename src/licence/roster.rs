//! Who is a user of an instance, looked up by account (R49). Built once per change of the list, read for every
//! REGISTER.

use crate::model::{DeviceClass, Kind, User};
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};

/// The users of one instance.
#[derive(Debug, Default)]
pub struct Roster {
    users: Vec<Entry>,
    by_account: HashMap<Box<[u8]>, u32, RandomState>,
    /// Names and accounts of light users, without case.
    light: HashSet<Box<str>, RandomState>,
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
        let light = light_names(users);
        let entry = |user: &User| Entry { name: user.name.as_str().into(), kind: user.kind, class: user.class };
        Self { users: users.iter().map(entry).collect(), by_account, light }
    }

    /// The user of an account; accounts are compared byte by byte, as SIP has it (RFC 3261 §19.1.4).
    /// What need not be escaped and is, is the same.
    pub fn of_account(&self, account: &[u8]) -> Option<Who<'_>> {
        if let Some(place) = self.by_account.get(account) {
            return self.at(*place);
        }
        let mut room = [0; LONGEST];
        self.at(*self.by_account.get(unescaped(account, &mut room)?)?)
    }

    /// Whether somebody who signs in at the web by this name is a light user: by the user's own name or that of an
    /// account, in any case. Where a full user can be meant as well, it is the full one.
    pub fn is_light(&self, name: &str) -> bool {
        self.light.contains(name.to_lowercase().as_str())
    }

    /// Whether one of them is a light user.
    pub fn has_light(&self) -> bool {
        !self.light.is_empty()
    }

    fn at(&self, place: u32) -> Option<Who<'_>> {
        let entry = self.users.get(usize::try_from(place).ok()?)?;
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

/// The longest account that is looked for without its escapes.
const LONGEST: usize = 64;

/// A text without its escapes (RFC 3261 §19.1.4), if it has any and they are sound.
fn unescaped<'a>(text: &[u8], room: &'a mut [u8; LONGEST]) -> Option<&'a [u8]> {
    if !text.contains(&b'%') {
        return None;
    }
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut rest, mut length) = (text, 0);
    while let Some((byte, mut behind)) = rest.split_first() {
        let mut byte = *byte;
        if byte == b'%' {
            let ([high, low], after) = behind.split_first_chunk::<2>()?;
            byte = hex(*high)? << 4 | hex(*low)?;
            behind = after;
        }
        *room.get_mut(length)? = byte;
        (rest, length) = (behind, length + 1);
    }
    room.get(..length)
}

/// The names by which light users sign in at the web, without those that may mean a full user.
fn light_names(users: &[User]) -> HashSet<Box<str>, RandomState> {
    let names = |kind| {
        let those = users.iter().filter(move |user| user.kind == kind);
        those.flat_map(|user| [&user.name].into_iter().chain(&user.accounts)).map(|name| name.to_lowercase())
    };
    let mut light: HashSet<Box<str>, RandomState> = names(Kind::Light).map(String::into_boxed_str).collect();
    if !light.is_empty() {
        names(Kind::Full).for_each(|name| _ = light.remove(name.as_str()));
    }
    light
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
        assert!(roster.has_light());
        assert_eq!(
            ["ann", "10m", "FAX", "90", "11"].map(|name| roster.is_light(name)),
            [false, false, true, true, false]
        );
        let two = Roster::new(&[user("10", Kind::Light, &["a"]), user("ben", Kind::Full, &["10", "A"])]);
        assert!(!two.is_light("10") && !two.is_light("a"), "a full user is never taken for a light one");
        for escaped in ["%310", "1%30", "%31%30"] {
            assert_eq!(roster.of_account(escaped.as_bytes()).map(|who| who.name), Some("ann"), "{escaped}");
        }
        for other in ["%3", "%", "1%3x", "%31%31", &"%31".repeat(99)] {
            assert_eq!(roster.of_account(other.as_bytes()), None, "{other}");
        }
        assert!(!Roster::new(&[user("ben", Kind::Full, &["10"])]).has_light());
    }
}
