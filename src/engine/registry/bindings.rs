//! Registered contacts of one instance, as its PBX confirmed them: what the 2xx to a REGISTER lists replaces
//! what was known of the account (RFC 3261 §10.3, P16). Not a registrar: nothing is routed by it (tokens do
//! that) and no REGISTER is answered from it (R70). It tells people and the licence ledger who is there.

use super::Overflow;
use crate::ids::{ConnId, Flow};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Contacts one account may have here.
pub const PER_ACCOUNT: usize = 64;
/// User-Agents of which one instance keeps one copy each.
const AGENTS: usize = 32;

/// One registered contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// User part of the address of record.
    pub account: Box<str>,
    /// Contact URI as the device wrote it.
    pub contact: Box<str>,
    /// The way to the device; none for a contact that was registered past this node.
    pub flow: Option<Flow>,
    /// User-Agent of the REGISTER; a fleet of phones has few.
    pub user_agent: Arc<str>,
    /// The device's instance id (`+sip.instance`), if it has one.
    pub device: Option<Box<str>>,
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

/// The bindings of one instance.
#[derive(Default, Debug)]
pub struct Bindings {
    /// In the order of their names, so that a list is read part by part.
    accounts: BTreeMap<Box<[u8]>, Vec<Binding>>,
    count: usize,
    /// User-Agents that several bindings share.
    agents: Vec<Arc<str>>,
    /// No binding ends before this (Unix seconds).
    soonest: Option<u64>,
    /// Accounts that lost their last binding.
    ended: Vec<Box<[u8]>>,
    /// Contacts whose connection ended: they are not shown any more, but until this second (Unix) their account is
    /// not taken for gone.
    away: BTreeMap<Box<[u8]>, Vec<(u64, Binding)>>,
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
        let mut overflow = Ok(());
        let was_away = !self.away.is_empty() && self.away.remove(registration.account).is_some();
        if !self.accounts.contains_key(registration.account) {
            if granted.clone().all(|g| g.expires == 0) {
                if was_away {
                    self.ended.push(registration.account.into());
                }
                return Ok(());
            }
            // Most accounts have one contact.
            self.accounts.insert(registration.account.into(), Vec::with_capacity(1));
        }
        let Some(list) = self.accounts.get_mut(registration.account) else { return Ok(()) };
        let before = list.len();
        list.retain(|b| granted.clone().any(|g| g.expires > 0 && g.contact == b.contact.as_bytes()));
        let mut count = self.count - (before - list.len());
        for g in granted.filter(|g| g.expires > 0) {
            let expires = now.saturating_add(u64::from(g.expires));
            self.soonest = Some(self.soonest.map_or(expires, |soonest| soonest.min(expires)));
            if let Some(known) = list.iter_mut().find(|b| b.contact.as_bytes() == g.contact) {
                known.expires = expires;
                if g.mine {
                    known.flow = Some(registration.flow);
                    if known.user_agent.as_bytes() != registration.user_agent {
                        known.user_agent = share(&mut self.agents, registration.user_agent);
                    }
                    if known.device.as_deref().unwrap_or_default().as_bytes() != registration.device {
                        known.device = device(registration);
                    }
                }
                continue;
            }
            if count >= cap || list.len() >= PER_ACCOUNT {
                overflow = Err(Overflow);
                continue;
            }
            list.reserve_exact(1);
            list.push(Binding {
                account: text(registration.account).into(),
                contact: text(g.contact).into(),
                flow: g.mine.then_some(registration.flow),
                user_agent: share(&mut self.agents, if g.mine { registration.user_agent } else { b"" }),
                device: if g.mine { device(registration) } else { None },
                since: now,
                expires,
            });
            count += 1;
        }
        self.count = count;
        if list.is_empty() {
            self.forget(registration.account);
        }
        overflow
    }

    /// Whether [`Self::expire`] may have something to do.
    pub fn is_due(&self, now: u64) -> bool {
        self.soonest.is_some_and(|soonest| soonest <= now)
    }

    /// Ends what has expired.
    pub fn expire(&mut self, now: u64) {
        if !self.is_due(now) {
            return;
        }
        self.keep(|b| b.expires > now);
        let accounts = &self.accounts;
        let ended = &mut self.ended;
        self.away.retain(|account, list| {
            list.retain(|(until, _)| *until > now);
            if list.is_empty() && !accounts.contains_key(account) {
                ended.push(account.clone());
            }
            !list.is_empty()
        });
        let away = self.away.values().flatten().map(|(until, _)| *until);
        self.soonest = self.iter().map(|b| b.expires).chain(away).min();
    }

    /// Ends what was bound to a connection that closed (RFC 5626 §7). Its accounts are not taken for gone before
    /// `until` (Unix seconds): the device may be on its way back. They are told to `lost`.
    pub fn drop_stream(&mut self, closed: ConnId, until: u64, mut lost: impl FnMut(&[u8])) {
        let (away, count) = (&mut self.away, &mut self.count);
        self.accounts.retain(|account, list| {
            let gone = list.extract_if(.., |b| matches!(b.flow, Some(Flow::Stream { conn, .. }) if conn == closed));
            for binding in gone {
                *count -= 1;
                lost(account);
                match away.get_mut(account) {
                    Some(list) => list.push((until, binding)),
                    None => drop(away.insert(account.clone(), vec![(until, binding)])),
                }
            }
            !list.is_empty()
        });
        if !self.away.is_empty() {
            self.soonest = Some(self.soonest.map_or(until, |soonest| soonest.min(until)));
        }
    }

    /// The device at the end of one flow is at that of another now: what was bound goes along, also what was lost
    /// with the old one a moment ago.
    pub fn follow(&mut self, account: &[u8], old: &Flow, new: Flow, now: u64) {
        if let Some(list) = self.accounts.get_mut(account) {
            for binding in list.iter_mut().filter(|b| b.flow.is_some_and(|flow| is_same(&flow, old))) {
                binding.flow = Some(new);
            }
        }
        let Some((account, lost)) = self.away.remove_entry(account) else { return };
        let (back, away): (Vec<_>, Vec<_>) =
            lost.into_iter().partition(|(_, b)| b.flow.is_some_and(|flow| is_same(&flow, old)) && b.expires > now);
        for (_, binding) in back {
            self.soonest = Some(self.soonest.map_or(binding.expires, |soonest| soonest.min(binding.expires)));
            self.count += 1;
            self.accounts.entry(account.clone()).or_default().push(Binding { flow: Some(new), ..binding });
        }
        if !away.is_empty() {
            self.away.insert(account, away);
        }
    }

    /// Ends what was bound to a UDP peer that cannot be reached.
    pub fn drop_datagrams(&mut self, gone: &Flow) {
        self.keep(|b| {
            !b.flow.is_some_and(|flow| {
                matches!(flow, Flow::Udp { .. })
                    && matches!(gone, Flow::Udp { .. })
                    && flow.peer() == gone.peer()
                    && flow.listener() == gone.listener()
            })
        });
    }

    /// Ends one of an account's contacts.
    pub fn remove(&mut self, account: &[u8], contact: &str) -> Option<Binding> {
        let list = self.accounts.get_mut(account)?;
        let ended = list.remove(list.iter().position(|b| *b.contact == *contact)?);
        if list.is_empty() {
            self.forget(account);
        }
        self.count -= 1;
        Some(ended)
    }

    /// Ends all.
    pub fn clear(&mut self) {
        let all = std::mem::take(self);
        self.ended = all.accounts.into_keys().chain(all.away.into_keys()).collect();
    }

    /// The accounts that lost their last binding since the last call.
    pub fn take_ended(&mut self) -> impl Iterator<Item = Box<[u8]>> + use<'_> {
        let (accounts, away) = (&self.accounts, &self.away);
        self.ended.drain(..).filter(|account| !accounts.contains_key(account) && !away.contains_key(account))
    }

    /// Whether one of an account's contacts is bound to a flow.
    pub fn is_bound(&self, account: &[u8], flow: &Flow) -> bool {
        self.accounts.get(account).is_some_and(|list| list.iter().any(|b| b.flow.as_ref() == Some(flow)))
    }

    /// Each account with its contacts, in the order of accounts, from `first` on.
    pub fn from(&self, first: &[u8]) -> impl Iterator<Item = (&[u8], &[Binding])> {
        let range = self.accounts.range::<[u8], _>((Bound::Included(first), Bound::Unbounded));
        range.map(|(account, list)| (&**account, list.as_slice()))
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.accounts.values().flatten()
    }

    /// Whether an account has one.
    pub fn has(&self, account: &[u8]) -> bool {
        self.accounts.contains_key(account)
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn keep(&mut self, stays: impl Fn(&Binding) -> bool) {
        let ended = &mut self.ended;
        self.accounts.retain(|account, list| {
            list.retain(|b| stays(b));
            if list.is_empty() {
                ended.push(account.clone());
            }
            !list.is_empty()
        });
        self.count = self.accounts.values().map(Vec::len).sum();
    }

    fn forget(&mut self, account: &[u8]) {
        self.ended.extend(self.accounts.remove_entry(account).map(|(account, _)| account));
    }
}

/// Whether two are one flow; a token does not tell all of its addresses.
fn is_same(one: &Flow, other: &Flow) -> bool {
    match (one, other) {
        (Flow::Udp { listener, peer, .. }, Flow::Udp { listener: its, peer: to, .. }) => listener == its && peer == to,
        (Flow::Stream { conn, .. }, Flow::Stream { conn: other, .. }) => conn == other,
        _ => false,
    }
}

fn device(registration: &Registration<'_>) -> Option<Box<str>> {
    (!registration.device.is_empty()).then(|| text(registration.device).into())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One copy of a User-Agent for all who have it, as far as they are among those that are remembered.
fn share(agents: &mut Vec<Arc<str>>, bytes: &[u8]) -> Arc<str> {
    if let Some(known) = agents.iter().find(|known| known.as_bytes() == bytes) {
        return Arc::clone(known);
    }
    let agent = Arc::from(text(bytes));
    if agents.len() >= AGENTS {
        agents.retain(|known| Arc::strong_count(known) > 1);
    }
    if agents.len() < AGENTS {
        agents.push(Arc::clone(&agent));
    }
    agent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ListenerId, ProxyId, Shard, Transport};

    const LISTENER: ListenerId = ListenerId { proxy: ProxyId(1), number: 1 };

    fn udp(port: u16) -> Flow {
        let local = "192.0.2.1:5060".parse().unwrap();
        Flow::Udp { listener: LISTENER, local, peer: ([198, 51, 100, 7], port).into() }
    }

    fn tcp(serial: u32) -> Flow {
        let local = "192.0.2.1:5060".parse().unwrap();
        let peer = "198.51.100.7:40000".parse().unwrap();
        let conn = ConnId::new(1, Shard(0), serial);
        Flow::Stream { listener: LISTENER, conn, transport: Transport::Tcp, local, peer }
    }

    fn learn(all: &mut Bindings, account: &str, flow: Flow, list: &[(&str, u32, bool)], now: u64) {
        let registration =
            Registration { account: account.as_bytes(), flow, user_agent: b"Phone/1", device: b"<urn:uuid:1>" };
        let granted = list.iter().map(|(c, e, m)| Granted { contact: c.as_bytes(), expires: *e, mine: *m });
        all.learn(&registration, granted, now, 100).unwrap();
    }

    fn contacts(all: &Bindings) -> Vec<&str> {
        let mut list: Vec<&str> = all.iter().map(|b| &*b.contact).collect();
        list.sort_unstable();
        list
    }

    #[test]
    fn the_answer_replaces_the_list() {
        // P16 P15
        let mut all = Bindings::default();
        learn(&mut all, "bob", udp(1), &[("sip:bob@10.0.0.1", 60, true)], 1_000);
        learn(&mut all, "bob", tcp(1), &[("sip:bob@10.0.0.1", 50, false), ("sip:bob@10.0.0.2", 70, true)], 1_010);
        assert_eq!(contacts(&all), ["sip:bob@10.0.0.1", "sip:bob@10.0.0.2"]);
        let first = all.iter().find(|b| b.contact.ends_with(".1")).unwrap();
        assert_eq!((first.flow, first.expires, first.since), (Some(udp(1)), 1_060, 1_000));
        assert_eq!(first.device.as_deref(), Some("<urn:uuid:1>"));
        learn(&mut all, "bob", udp(1), &[("sip:bob@10.0.0.2", 60, false)], 1_020);
        assert_eq!((contacts(&all), all.len()), (vec!["sip:bob@10.0.0.2"], 1));
        learn(&mut all, "bob", udp(1), &[], 1_021);
        assert!(all.is_empty());
        assert!(all.accounts.is_empty(), "no account is kept without a binding");
    }

    #[test]
    fn a_refresh_moves_the_flow_and_no_second_binding_appears() {
        let mut all = Bindings::default();
        learn(&mut all, "bob", udp(1), &[("sip:bob@10.0.0.1", 60, true)], 1_000);
        learn(&mut all, "bob", udp(2), &[("sip:bob@10.0.0.1", 60, true)], 1_030);
        assert_eq!((all.len(), all.iter().next().unwrap().flow), (1, Some(udp(2))));
    }

    #[test]
    fn each_ends_on_its_second() {
        let mut all = Bindings::default();
        learn(&mut all, "bob", udp(1), &[("sip:bob@10.0.0.1", 60, true)], 1_000);
        learn(&mut all, "eve", udp(2), &[("sip:eve@10.0.0.3", 90, true)], 1_000);
        all.expire(1_059);
        assert_eq!(all.len(), 2);
        all.expire(1_060);
        assert_eq!(contacts(&all), ["sip:eve@10.0.0.3"]);
        all.expire(1_090);
        assert!(all.is_empty());
    }

    #[test]
    fn a_closed_flow_takes_its_bindings_along() {
        // P07
        let mut all = Bindings::default();
        learn(&mut all, "bob", tcp(1), &[("sip:bob@10.0.0.1", 60, true)], 0);
        learn(&mut all, "eve", tcp(2), &[("sip:eve@10.0.0.3", 60, true)], 0);
        learn(&mut all, "joe", udp(9), &[("sip:joe@10.0.0.4", 60, true)], 0);
        all.drop_stream(ConnId::new(1, Shard(0), 1), 10, |account| assert_eq!(account, b"bob"));
        assert_eq!(contacts(&all), ["sip:eve@10.0.0.3", "sip:joe@10.0.0.4"]);
        all.drop_datagrams(&udp(8));
        assert_eq!(all.len(), 2);
        all.drop_datagrams(&udp(9));
        assert_eq!(contacts(&all), ["sip:eve@10.0.0.3"]);
    }

    #[test]
    fn an_account_that_may_be_on_its_way_back_is_not_taken_for_gone() {
        // P07 R68
        let mut all = Bindings::default();
        let ended =
            |all: &mut Bindings| all.take_ended().map(|a| String::from_utf8(a.into()).unwrap()).collect::<Vec<_>>();
        for (account, serial) in [("bob", 1), ("eve", 2), ("joe", 3)] {
            learn(&mut all, account, tcp(serial), &[("sip:x@10.0.0.1", 600, true)], 1_000);
            all.drop_stream(ConnId::new(1, Shard(0), serial), 1_010, |_| ());
        }
        assert_eq!((all.len(), ended(&mut all)), (0, vec![]), "not shown, and not gone");
        // One registers again, one resumes its connection, one stays away.
        learn(&mut all, "bob", tcp(4), &[("sip:x@10.0.0.1", 600, true)], 1_005);
        all.follow(b"eve", &tcp(2), tcp(5), 1_005);
        all.expire(1_009);
        assert_eq!((all.len(), ended(&mut all)), (2, vec![]));
        all.expire(1_010);
        assert_eq!((all.len(), ended(&mut all)), (2, vec!["joe".to_owned()]));
        assert_eq!(all.from(b"eve").next().unwrap().1[0].flow, Some(tcp(5)));
        // What de-registers while it is away is gone at once.
        all.drop_stream(ConnId::new(1, Shard(0), 5), 1_030, |_| ());
        learn(&mut all, "eve", tcp(6), &[], 1_020);
        assert_eq!((all.len(), ended(&mut all)), (1, vec!["eve".to_owned()]));
    }

    #[test]
    fn the_list_goes_on_where_it_was_left() {
        let mut all = Bindings::default();
        for account in ["eve", "bob", "joe"] {
            learn(&mut all, account, udp(1), &[("sip:x@10.0.0.2", 60, true), ("sip:x@10.0.0.1", 60, true)], 0);
        }
        let accounts =
            |first: &str| all.from(first.as_bytes()).map(|(name, list)| (name, list.len())).collect::<Vec<_>>();
        assert_eq!(accounts(""), [(b"bob".as_slice(), 2), (b"eve", 2), (b"joe", 2)]);
        assert_eq!(accounts("eve"), [(b"eve".as_slice(), 2), (b"joe", 2)]);
        assert_eq!(accounts("evf"), [(b"joe".as_slice(), 2)]);
        assert!(accounts("joe2").is_empty());
    }

    #[test]
    fn one_is_ended_and_the_others_stay() {
        let mut all = Bindings::default();
        learn(&mut all, "bob", udp(1), &[("sip:x@10.0.0.1", 60, true), ("sip:x@10.0.0.2", 60, true)], 0);
        assert_eq!(all.remove(b"bob", "sip:x@10.0.0.1").map(|b| b.flow), Some(Some(udp(1))));
        assert_eq!((contacts(&all), all.len()), (vec!["sip:x@10.0.0.2"], 1));
        assert_eq!(all.remove(b"bob", "sip:x@10.0.0.1"), None);
        assert_eq!(all.remove(b"eve", "sip:x@10.0.0.1"), None);
        assert!(all.remove(b"bob", "sip:x@10.0.0.2").is_some());
        assert!(all.is_empty() && all.accounts.is_empty());
    }

    #[test]
    fn the_bounds_hold() {
        // T19
        let mut all = Bindings::default();
        fn registration(account: &[u8]) -> Registration<'_> {
            Registration { account, flow: udp(1), user_agent: b"", device: b"" }
        }
        let contact = |n: usize| format!("sip:u@10.0.0.{n}");
        for n in 0..3 {
            let text = contact(n);
            let granted = [Granted { contact: text.as_bytes(), expires: 9, mine: true }];
            let account = [b'a' + n as u8];
            assert_eq!(all.learn(&registration(&account), granted.iter().copied(), 0, 2).is_ok(), n < 2);
        }
        assert_eq!((all.len(), all.accounts.len()), (2, 2));
        let texts: Vec<String> = (0..=PER_ACCOUNT).map(contact).collect();
        let granted = texts.iter().map(|t| Granted { contact: t.as_bytes(), expires: 9, mine: true });
        assert_eq!(all.learn(&registration(b"a"), granted, 0, 1_000), Err(Overflow));
        assert_eq!(all.len(), PER_ACCOUNT + 1);
    }
}
