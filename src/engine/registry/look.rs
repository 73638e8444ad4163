//! The registrations of one instance read part by part, and ended one by one: for people. A look takes the room's
//! lock for a bounded number of contacts at a time and copies only what is wanted.

use super::bindings::Binding;
use super::room::Room;

/// Contacts looked at while the lock is held.
pub const AT_ONCE: usize = 512;

/// Where a list goes on: behind this contact of this account.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// User part of the address of record, byte by byte.
    pub account: Vec<u8>,
    /// Contact URI.
    pub contact: String,
}

impl Room {
    /// Shows contacts to `wanted` in the order of accounts and contacts, from behind a place on (of one account
    /// only, if it is named), until `most` are found. `None` as second value: that was all.
    pub fn look(
        &self,
        account: Option<&[u8]>,
        after: Option<&Place>,
        most: usize,
        wanted: &dyn Fn(&Binding<'_>) -> bool,
    ) -> (Vec<(Place, Binding<'static>)>, Option<Place>) {
        let mut found = Vec::new();
        let mut after = after.cloned();
        while found.len() < most {
            let (seen, last) = self.look_once(account, after.as_ref(), most, wanted, &mut found);
            if seen < AT_ONCE && found.len() < most {
                return (found, None);
            }
            after = last.or(after);
        }
        (found, after)
    }

    /// One hold of the lock: how many contacts it saw, and the last of them.
    fn look_once(
        &self,
        account: Option<&[u8]>,
        after: Option<&Place>,
        most: usize,
        wanted: &dyn Fn(&Binding<'_>) -> bool,
        found: &mut Vec<(Place, Binding<'static>)>,
    ) -> (usize, Option<Place>) {
        self.with(|live| {
            let (mut seen, mut last) = (0, None);
            let first = after.map_or(account.unwrap_or_default(), |place| place.account.as_slice());
            'all: for (name, list) in live.bindings.from(first) {
                if account.is_some_and(|account| account != name) {
                    break;
                }
                let mut list = list;
                list.sort_unstable_by(|a, b| a.contact.cmp(&b.contact));
                let behind = |binding: &Binding<'_>| {
                    after.is_none_or(|place| {
                        (name, &*binding.contact) > (place.account.as_slice(), place.contact.as_str())
                    })
                };
                for binding in list.into_iter().filter(|binding| behind(binding)) {
                    if seen == AT_ONCE || found.len() == most {
                        break 'all;
                    }
                    seen += 1;
                    if wanted(&binding) {
                        found.push((place(name, &binding), binding.clone().into_owned()));
                    }
                    last = Some((name, binding));
                }
            }
            (seen, last.map(|(name, binding)| place(name, &binding)))
        })
    }

    /// Counts contacts that are wanted.
    pub fn count(&self, account: Option<&[u8]>, wanted: &dyn Fn(&Binding<'_>) -> bool) -> usize {
        let counted = std::cell::Cell::new(0);
        let count = |binding: &Binding<'_>| {
            counted.set(counted.get() + usize::from(wanted(binding)));
            false
        };
        self.look(account, None, usize::MAX, &count);
        counted.get()
    }

    /// Ends one contact; with the last of an account its claim on a seat goes (R68).
    pub fn end(&self, place: &Place) -> Option<Binding<'static>> {
        self.with(|live| live.bindings.remove(&place.account, &place.contact))
    }
}

fn place(name: &[u8], binding: &Binding<'_>) -> Place {
    Place { account: name.into(), contact: binding.contact.as_ref().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::registry::{Granted, Registration, Registry};
    use crate::ids::{Flow, ListenerId, ProxyId};
    use crate::route::testing::{compiled, instance, table};
    use std::sync::Arc;

    fn room(accounts: usize, contacts: usize) -> Arc<Room> {
        let snapshot = compiled(&table([instance(1, "acme")], []));
        let room = Registry::default().room(&snapshot.instances[0]);
        let local = "192.0.2.1:5060".parse().unwrap();
        let listener = ListenerId { proxy: ProxyId(1), number: 1 };
        let flow = Flow::Udp { listener, local, peer: "198.51.100.7:5060".parse().unwrap() };
        for n in 0..accounts {
            let account = format!("u{n:06}");
            let texts: Vec<String> = (0..contacts).rev().map(|n| format!("sip:x@10.0.0.{n}")).collect();
            let granted = texts.iter().map(|text| Granted { contact: text.as_bytes(), expires: 60, mine: true });
            let registration = Registration { account: account.as_bytes(), flow, user_agent: b"Phone/1", device: b"" };
            room.with(|live| live.bindings.learn(&registration, granted, 0, usize::MAX)).unwrap();
        }
        room
    }

    /// All that is wanted, read in parts of `most`.
    fn read(room: &Room, most: usize, wanted: &dyn Fn(&Binding<'_>) -> bool) -> (Vec<Place>, usize) {
        let (mut all, mut after, mut parts) = (Vec::new(), None, 0);
        loop {
            let (found, next) = room.look(None, after.as_ref(), most, wanted);
            assert!(found.len() <= most);
            all.extend(found.into_iter().map(|(place, _)| place));
            parts += 1;
            match next {
                Some(next) => after = Some(next),
                None => return (all, parts),
            }
        }
    }

    #[test]
    fn the_parts_together_are_the_list_in_order() {
        let room = room(700, 2);
        for most in [1, 7, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 1_400, 1_401] {
            let (all, _) = read(&room, most, &|_| true);
            assert_eq!(all.len(), 1_400, "{most}");
            assert!(all.is_sorted_by(|a, b| a < b), "{most}");
        }
        let (some, parts) = read(&room, 100, &|binding| binding.account.ends_with("13"));
        assert_eq!((some.len(), parts), (14, 1));
        assert_eq!(room.count(None, &|_| true), 1_400);
        assert_eq!(room.count(None, &|binding| binding.contact.ends_with(".1")), 700);
    }

    #[test]
    fn one_account_is_found_without_the_others() {
        let room = room(700, 2);
        let looked = std::cell::Cell::new(0);
        let wanted = |_: &Binding<'_>| {
            looked.set(looked.get() + 1);
            true
        };
        let (found, next) = room.look(Some(b"u000300"), None, 10, &wanted);
        assert_eq!((found.len(), next, looked.get()), (2, None, 2));
        assert_eq!(room.look(Some(b"u0003"), None, 10, &wanted), (vec![], None));
        let (found, next) = room.look(Some(b"u000300"), None, 1, &wanted);
        let (rest, end) = room.look(Some(b"u000300"), next.as_ref(), 1, &wanted);
        assert_eq!((found[0].0.contact.as_str(), rest[0].0.contact.as_str()), ("sip:x@10.0.0.0", "sip:x@10.0.0.1"));
        assert_eq!(room.look(Some(b"u000300"), end.as_ref(), 1, &wanted), (vec![], None));
    }

    #[test]
    fn a_list_goes_on_when_its_place_is_gone() {
        let room = room(10, 1);
        let (first, next) = room.look(None, None, 3, &|_| true);
        assert!(room.end(&first[2].0).is_some());
        assert!(room.end(&first[2].0).is_none());
        let (second, _) = room.look(None, next.as_ref(), 3, &|_| true);
        assert_eq!(second[0].0.account, b"u000003");
    }

    #[test]
    fn the_lock_is_held_for_a_bounded_number() {
        let room = room(3 * AT_ONCE, 1);
        let mut found = Vec::new();
        let (seen, last) = room.look_once(None, None, usize::MAX, &|_| false, &mut found);
        assert_eq!((seen, last.unwrap().account), (AT_ONCE, format!("u{:06}", AT_ONCE - 1).into_bytes()));
    }

    #[test]
    fn a_hundred_thousand_are_read_part_by_part() {
        let room = room(100_000, 1);
        assert_eq!(room.count(None, &|_| true), 100_000);
        let (page, next) =
            room.look(None, Some(&Place { account: b"u090000".into(), contact: "z".into() }), 100, &|_| true);
        assert_eq!((page.len(), page[0].0.account.as_slice()), (100, b"u090001".as_slice()));
        assert!(next.is_some());
    }
}
