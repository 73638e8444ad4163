//! Registered contacts of one instance, as its PBX confirmed them: what the 2xx to a REGISTER lists replaces
//! what was known of the account (RFC 3261 §10.3, P16). Not a registrar: nothing is routed by it (tokens do
//! that) and no REGISTER is answered from it (R70). It tells people and the licence ledger who is there.

use super::Overflow;
use super::contact::{Agents, Contact, text};
use super::packed::{Key, Packed};
use crate::clock::seconds;
use crate::dense::{Arena, Index, NONE, Name, Order};
use crate::ids::{ConnId, Flow};
use foldhash::fast::RandomState;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::BuildHasher;

/// Contacts one account may have here.
pub const PER_ACCOUNT: usize = 64;

/// One registered contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding<'a> {
    /// User part of the address of record.
    pub account: Cow<'a, str>,
    /// Contact URI as the device wrote it.
    pub contact: Cow<'a, str>,
    /// The way to the device; none for a contact that was registered past this node.
    pub flow: Option<Flow>,
    /// User-Agent of the REGISTER.
    pub user_agent: Cow<'a, str>,
    /// The device's instance id (`+sip.instance`), if it has one.
    pub device: Option<Cow<'a, str>>,
    /// Unix seconds of the first REGISTER seen.
    pub since: u64,
    /// Unix seconds at which it ends unless refreshed.
    pub expires: u64,
}

/// A contact of the answer.
#[derive(Clone, Copy, Debug)]
pub struct Granted<'a> {
    /// Its URI as the device wrote it.
    pub contact: &'a [u8],
    /// Seconds it was granted.
    pub expires: u32,
    /// Whether this REGISTER brought it.
    pub mine: bool,
}

/// What is known of the REGISTER that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Registration<'a> {
    /// User part of its To.
    pub account: &'a [u8],
    /// The way it came.
    pub flow: Flow,
    /// Its User-Agent.
    pub user_agent: &'a [u8],
    /// The instance id of its device; empty without one.
    pub device: &'a [u8],
}

#[derive(Debug)]
struct Account {
    name: Name,
    /// Its oldest contact; the others are linked behind it.
    first: u32,
}

/// The contacts of one account.
#[derive(Clone, Copy)]
struct List {
    all: [u32; PER_ACCOUNT],
    len: usize,
}

/// The bindings of one instance.
#[derive(Default, Debug)]
pub struct Bindings {
    accounts: Arena<Account>,
    by_name: Index,
    /// Accounts in the order of their names, so that a list is read part by part.
    order: Order,
    contacts: Arena<Contact>,
    /// Those that are bound to connections: these end often.
    by_conn: Index,
    hasher: RandomState,
    agents: Agents,
    /// No binding ends before this (Unix seconds).
    soonest: Option<u64>,
    /// Accounts that lost their last binding.
    ended: Vec<Name>,
    /// Contacts whose connection ended: they are not shown any more, but until this second (Unix) their account is
    /// not taken for gone.
    away: BTreeMap<Name, Vec<Away>>,
}

#[derive(Debug)]
struct Away {
    until: u64,
    contact: Contact,
    user_agent: Box<[u8]>,
}

impl Bindings {
    /// Replaces what is known of the account by what the answer lists.
    pub fn learn<'a>(
        &mut self,
        registration: &Registration<'_>,
        granted: impl Iterator<Item = Granted<'a>> + Clone,
        now: u64,
        cap: usize,
    ) -> Result<(), Overflow> {
        let was_away = !self.away.is_empty() && self.away.remove(registration.account).is_some();
        let granted = granted.filter(|granted| granted.expires > 0);
        let account = match self.find(registration.account) {
            Some(account) => account,
            None if granted.clone().next().is_none() => {
                if was_away {
                    self.ended.push(registration.account.into());
                }
                return Ok(());
            }
            None => self.open(registration.account),
        };
        if let Some((only, granted)) = self.only(account, granted.clone()) {
            let expires = now.saturating_add(u64::from(granted.expires));
            self.wake(expires);
            self.refresh(only, registration, granted.mine, expires);
            return Ok(());
        }
        let mut list = self.list(account);
        self.drop_others(&mut list, granted.clone());
        let mut overflow = Ok(());
        let mut next = 0;
        for granted in granted {
            let expires = now.saturating_add(u64::from(granted.expires));
            self.wake(expires);
            if let Some(place) = self.position(&list, next, granted.contact) {
                next = place + 1;
                self.refresh(list.get(place), registration, granted.mine, expires);
            } else if self.contacts.len() >= cap || list.len >= PER_ACCOUNT {
                overflow = Err(Overflow);
            } else {
                let agent = self.agents.share(if granted.mine { registration.user_agent } else { b"" });
                let device = if granted.mine { registration.device } else { b"" };
                let flow = granted.mine.then(|| Packed::new(&registration.flow));
                let contact = Contact::new(account, granted.contact, device, agent, (now, expires));
                list.push(self.insert(contact, flow));
            }
        }
        self.set_list(account, &list);
        if list.len == 0 {
            let closed = self.close(account);
            self.ended.extend(closed);
        }
        overflow
    }

    /// Nearly always an account has one contact, and the answer lists that one.
    fn only<'a>(&self, account: u32, mut granted: impl Iterator<Item = Granted<'a>>) -> Option<(u32, Granted<'a>)> {
        let at = self.accounts.get(account)?.first;
        let contact = self.contacts.get(at).filter(|contact| contact.next == NONE)?;
        let one = granted.next().filter(|one| one.contact == contact.uri())?;
        granted.next().is_none().then_some((at, one))
    }

    /// Drops what an answer does not list any more.
    fn drop_others<'a>(&mut self, list: &mut List, granted: impl Iterator<Item = Granted<'a>>) {
        let (mut listed, mut next) = (0_u64, 0);
        for granted in granted {
            if let Some(place) = self.position(list, next, granted.contact) {
                next = place + 1;
                listed |= 1 << place;
            }
        }
        let before = std::mem::replace(list, List::NONE);
        for (place, contact) in before.iter().enumerate() {
            if listed >> place & 1 == 1 {
                list.push(contact);
            } else {
                self.take(contact);
            }
        }
    }

    /// Where a contact is in a list. Most answers list contacts in the order they are known in: it is looked for from
    /// where the next one should be.
    fn position(&self, list: &List, next: usize, contact: &[u8]) -> Option<usize> {
        let is_it = |place: &usize| self.contacts.get(list.get(*place)).is_some_and(|known| known.uri() == contact);
        (next..list.len).find(is_it).or_else(|| (0..next.min(list.len)).find(is_it))
    }

    fn refresh(&mut self, at: u32, registration: &Registration<'_>, mine: bool, expires: u64) {
        let Some(known) = self.contacts.get_mut(at) else { return };
        known.expires = seconds(expires);
        if !mine {
            return;
        }
        known.change(registration.device, registration.user_agent, &mut self.agents);
        let flow = Packed::new(&registration.flow);
        if known.flow.as_ref() != Some(&flow) {
            self.set_flow(at, Some(flow));
        }
    }

    /// Whether [`Self::expire`] may have something to do.
    pub fn is_due(&self, now: u64) -> bool {
        self.soonest.is_some_and(|soonest| soonest <= now)
    }

    fn wake(&mut self, at: u64) {
        self.soonest = Some(self.soonest.map_or(at, |soonest| soonest.min(at)));
    }

    /// Ends what has expired.
    pub fn expire(&mut self, now: u64) {
        if !self.is_due(now) {
            return;
        }
        let over = |contact: &Contact| u64::from(contact.expires) <= now;
        let ended: Vec<u32> = self.contacts.iter().filter(|(_, it)| over(it)).map(|(at, _)| at).collect();
        for contact in ended {
            self.end(contact);
        }
        let gone = self.away.extract_if(.., |_, list| {
            list.retain(|away| away.until > now);
            list.is_empty()
        });
        self.ended.extend(gone.map(|(account, _)| account));
        let away = self.away.values().flatten().map(|away| away.until);
        self.soonest = self.contacts.iter().map(|(_, it)| it.expires.into()).chain(away).min();
    }

    /// Ends what was bound to a connection that closed (RFC 5626 §7). Its accounts are not taken for gone before
    /// `until` (Unix seconds): the device may be on its way back. They are told to `lost`.
    pub fn drop_stream(&mut self, closed: ConnId, until: u64, mut lost: impl FnMut(&[u8])) {
        let is_there = |contact: &Contact| contact.flow.as_ref().is_some_and(|flow| flow.conn() == Some(closed));
        let all = self.by_conn.all(self.hasher.hash_one(closed));
        let all: Vec<u32> = all.filter(|at| self.contacts.get(*at).is_some_and(is_there)).collect();
        for at in all {
            let Some(account) = self.contacts.get(at).map(|contact| contact.account) else { continue };
            let known = self.contacts.get(at).map(|it| (it.flow.clone(), self.agents.text(it.agent).into()));
            let Some((flow, user_agent)) = known else { continue };
            let Some(mut contact) = self.unlink(at) else { continue };
            contact.flow = flow;
            let Some(name) = self.accounts.get(account).map(|it| it.name.clone()) else { continue };
            lost(&name);
            if self.list(account).len == 0 {
                self.close(account);
            }
            self.away.entry(name).or_default().push(Away { until, contact, user_agent });
            self.wake(until);
        }
    }

    /// The device at the end of one flow is at that of another now: what was bound goes along, also what was lost
    /// with the old one a moment ago.
    pub fn follow(&mut self, account: &[u8], old: &Flow, new: Flow, now: u64) {
        let (old, flow) = (Key::of(old), Packed::new(&new));
        if let Some(known) = self.find(account) {
            let is_there = |contact: &Contact| contact.flow.as_ref().is_some_and(|flow| flow.key() == old);
            for contact in self.list(known).iter() {
                if self.contacts.get(contact).is_some_and(is_there) {
                    self.set_flow(contact, Some(flow.clone()));
                }
            }
        }
        let Some((account, lost)) = self.away.remove_entry(account) else { return };
        let (back, away): (Vec<_>, Vec<_>) = lost.into_iter().partition(|Away { contact, .. }| {
            u64::from(contact.expires) > now && contact.flow.as_ref().is_some_and(|flow| flow.key() == old)
        });
        for Away { mut contact, user_agent, .. } in back {
            self.wake(contact.expires.into());
            let known = self.find(&account).unwrap_or_else(|| self.open(&account));
            let mut list = self.list(known);
            if list.len < PER_ACCOUNT {
                (contact.account, contact.flow) = (known, None);
                contact.agent = self.agents.share(&user_agent);
                list.push(self.insert(contact, Some(flow.clone())));
                self.set_list(known, &list);
            }
        }
        if !away.is_empty() {
            self.away.insert(account, away);
        }
    }

    /// Ends what was bound to a UDP peer that cannot be reached.
    pub fn drop_datagrams(&mut self, gone: &Flow) {
        if matches!(gone, Flow::Udp { .. }) {
            let key = Key::of(gone);
            let is_there = |contact: &Contact| contact.flow.as_ref().is_some_and(|flow| flow.key() == key);
            let all: Vec<u32> = self.contacts.iter().filter(|(_, it)| is_there(it)).map(|(at, _)| at).collect();
            all.into_iter().for_each(|contact| self.end(contact));
        }
    }

    /// Ends one of an account's contacts.
    pub fn remove(&mut self, account: &[u8], contact: &str) -> Option<Binding<'static>> {
        let list = self.list(self.find(account)?);
        let at = list.iter().find(|at| self.contacts.get(*at).is_some_and(|it| text(it.uri()) == contact))?;
        let ended = self.binding(at)?.into_owned();
        self.end(at);
        Some(ended)
    }

    /// Ends all.
    pub fn clear(&mut self) {
        let mut all = std::mem::take(self);
        self.ended = all.accounts.take().map(|account| account.name).chain(all.away.into_keys()).collect();
    }

    /// The accounts that lost their last binding since the last call.
    pub fn take_ended(&mut self) -> impl Iterator<Item = Name> + use<> {
        let ended = std::mem::take(&mut self.ended);
        let gone: Vec<Name> =
            ended.into_iter().filter(|account| !self.has(account) && !self.away.contains_key(account)).collect();
        gone.into_iter()
    }

    /// Whether one of an account's contacts is bound to a flow.
    pub fn is_bound(&self, account: &[u8], flow: &Flow) -> bool {
        let Some(account) = self.find(account) else { return false };
        let flow = Some(Packed::new(flow));
        self.list(account).iter().any(|at| self.contacts.get(at).is_some_and(|contact| contact.flow == flow))
    }

    /// Each account with its contacts, in the order of accounts, from `first` on.
    pub fn from(&self, first: &[u8]) -> impl Iterator<Item = (&[u8], Vec<Binding<'_>>)> {
        let before = |at| self.accounts.get(at).is_some_and(|account| *account.name < *first);
        self.order.from(before).filter_map(|at| {
            let list = self.list(at);
            Some((&*self.accounts.get(at)?.name, list.iter().filter_map(|contact| self.binding(contact)).collect()))
        })
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Binding<'_>> {
        self.contacts.iter().filter_map(|(at, _)| self.binding(at))
    }

    /// Whether an account has one.
    pub fn has(&self, account: &[u8]) -> bool {
        self.find(account).is_some()
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.contacts.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.contacts.is_empty()
    }

    fn binding(&self, at: u32) -> Option<Binding<'_>> {
        let contact = self.contacts.get(at)?;
        Some(Binding {
            account: text(&self.accounts.get(contact.account)?.name),
            contact: text(contact.uri()),
            flow: contact.flow.as_ref().map(Packed::flow),
            user_agent: text(self.agents.text(contact.agent)),
            device: contact.device(),
            since: contact.since.into(),
            expires: contact.expires.into(),
        })
    }

    fn find(&self, account: &[u8]) -> Option<u32> {
        let is_it = |at| self.accounts.get(at).is_some_and(|known| *known.name == *account);
        self.by_name.find(self.hasher.hash_one(account), is_it)
    }

    fn open(&mut self, name: &[u8]) -> u32 {
        let at = self.accounts.insert(Account { name: name.into(), first: NONE });
        let Self { accounts, hasher, .. } = self;
        let hash_of = |at| accounts.get(at).map_or(0, |account| hasher.hash_one(&*account.name));
        self.by_name.insert(hasher.hash_one(name), at, hash_of);
        self.order.insert(at, |at| accounts.get(at).is_some_and(|account| *account.name < *name));
        at
    }

    /// An account without contacts goes. Its name.
    fn close(&mut self, at: u32) -> Option<Name> {
        let name = self.accounts.get(at)?.name.clone();
        self.by_name.remove(self.hasher.hash_one(&*name), at);
        let accounts = &self.accounts;
        self.order.remove(at, |at| accounts.get(at).is_some_and(|account| *account.name < *name));
        self.accounts.remove(at);
        Some(name)
    }

    fn list(&self, account: u32) -> List {
        let mut list = List::NONE;
        let mut at = self.accounts.get(account).map_or(NONE, |account| account.first);
        while let Some(contact) = self.contacts.get(at) {
            list.push(at);
            at = contact.next;
        }
        list
    }

    fn set_list(&mut self, account: u32, list: &List) {
        if let Some(account) = self.accounts.get_mut(account) {
            account.first = list.get(0);
        }
        for (place, at) in list.iter().enumerate() {
            if let Some(contact) = self.contacts.get_mut(at) {
                contact.next = list.get(place + 1);
            }
        }
    }

    fn insert(&mut self, contact: Contact, flow: Option<Packed>) -> u32 {
        let at = self.contacts.insert(contact);
        self.set_flow(at, flow);
        at
    }

    /// Takes a contact out of its account's list.
    fn unlink(&mut self, at: u32) -> Option<Contact> {
        let account = self.contacts.get(at)?.account;
        let mut list = List::NONE;
        self.list(account).iter().filter(|other| *other != at).for_each(|other| list.push(other));
        self.set_list(account, &list);
        self.take(at)
    }

    fn take(&mut self, at: u32) -> Option<Contact> {
        self.set_flow(at, None);
        let contact = self.contacts.remove(at)?;
        self.agents.release(contact.agent);
        Some(contact)
    }

    /// Ends a contact, and with the last one its account.
    fn end(&mut self, at: u32) {
        let Some(account) = self.unlink(at).map(|contact| contact.account) else { return };
        if self.list(account).len == 0 {
            let closed = self.close(account);
            self.ended.extend(closed);
        }
    }

    fn set_flow(&mut self, at: u32, flow: Option<Packed>) {
        let Some(contact) = self.contacts.get_mut(at) else { return };
        let conn = flow.as_ref().and_then(Packed::conn);
        let old = std::mem::replace(&mut contact.flow, flow).and_then(|old| old.conn());
        if old == conn {
            return;
        }
        if let Some(old) = old {
            self.by_conn.remove(self.hasher.hash_one(old), at);
        }
        let Self { contacts, hasher, .. } = self;
        let conn_of = |at| contacts.get(at).and_then(|it| it.flow.as_ref()).and_then(Packed::conn);
        if let Some(conn) = conn {
            self.by_conn.insert(hasher.hash_one(conn), at, |at| conn_of(at).map_or(0, |it| hasher.hash_one(it)));
        }
    }
}

impl Binding<'_> {
    /// With texts of its own.
    pub fn into_owned(self) -> Binding<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Binding {
            account: own(self.account),
            contact: own(self.contact),
            flow: self.flow,
            user_agent: own(self.user_agent),
            device: self.device.map(own),
            since: self.since,
            expires: self.expires,
        }
    }
}

impl List {
    const NONE: Self = Self { all: [NONE; PER_ACCOUNT], len: 0 };

    fn push(&mut self, contact: u32) {
        if let Some(place) = self.all.get_mut(self.len) {
            *place = contact;
            self.len += 1;
        }
    }

    fn get(&self, place: usize) -> u32 {
        self.all.get(place).copied().filter(|_| place < self.len).unwrap_or(NONE)
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        self.all.iter().take(self.len).copied()
    }
}

#[cfg(test)]
mod tests;
