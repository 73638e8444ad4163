//! The devices of one instance and the ways to them: where a request goes whose token names a device and a flow
//! that is gone. Learned from what the PBX answered with success, never from what a client claims alone.
//!
//! A device has a way for each of its flows: two for one that registers twice with different `reg-id`s (RFC 5626),
//! else one. A way that another one took the place of, or that closed, is remembered, so that what is sent there
//! follows. Not a location service: which device is called is the PBX's business.

use super::Overflow;
use super::packed::{Key, Packed};
use crate::clock::{Tick, seconds};
use crate::dense::{Arena, Index, NONE, Name};
use crate::engine::token::FlowRef;
use crate::ids::{ConnId, DeviceId, ListenerId, Shard};
use foldhash::fast::RandomState;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};

/// Ways that are remembered of one device.
const WAYS: usize = 4;
/// Devices that may share one flow: the lines of a large adapter.
const PER_FLOW: usize = 256;

/// Where a device is to be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Over the flow that was asked for.
    Here,
    /// Over this one.
    There(FlowRef),
    /// It may be back until then.
    Wait(Tick),
    /// It is gone.
    Gone,
}

/// What is asked of a device.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// Which.
    pub device: DeviceId,
    /// The flow that leads to it as far as the asker knows.
    pub flow: &'a FlowRef,
    /// Whether that flow may still be there; one that failed is not.
    pub alive: bool,
    /// Who asks, and is told when it moves.
    pub shard: Shard,
    /// Now.
    pub now: Tick,
    /// Milliseconds for which a device that lost its connection is waited for.
    pub grace: u64,
}

/// A way that a device was seen on.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// Which device.
    pub device: DeviceId,
    /// Its account.
    pub account: &'a [u8],
    /// The flow.
    pub flow: FlowRef,
    /// The address at its other end.
    pub ip: IpAddr,
    /// The `reg-id` of the REGISTER, 0 without one; none where it was another request.
    pub reg: Option<u32>,
    /// Unix seconds at which it is forgotten unless seen again.
    pub until: u64,
    /// Whether the REGISTER named another address than it came from.
    pub nat: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Live,
    /// The device has another one now, though this may still be open.
    Left,
    Dead,
}

#[derive(Debug)]
pub(super) struct Way {
    pub flow: Packed,
    reg: u32,
    /// The place of its device.
    device: u32,
    /// The next newer way of the device.
    next: u32,
    pub state: State,
    /// Whether it is known to be behind NAT.
    pub nat: bool,
    /// Keep-alives of ours that were not answered.
    pub unanswered: u8,
}

#[derive(Debug)]
pub(super) struct Device {
    pub id: DeviceId,
    /// Empty while it is only waited for.
    pub account: Name,
    /// The oldest of its ways.
    first: u32,
    /// Unix seconds.
    until: u32,
    /// The shards that have something going on with it.
    interested: u64,
}

/// Places of the ways of one device, the newest last.
#[derive(Clone, Copy)]
pub(super) struct List {
    all: [u32; WAYS],
    len: usize,
}

/// The devices of one instance.
#[derive(Default, Debug)]
pub struct Devices {
    pub(super) known: Arena<Device>,
    by_id: Index,
    pub(super) ways: Arena<Way>,
    by_flow: Index,
    hasher: RandomState,
    /// When the last connection of a device ended, by its place.
    lost: BTreeMap<u32, Tick>,
    /// No device is to be forgotten before this (Unix seconds).
    soonest: Option<u64>,
}

impl Devices {
    /// Where a device is; `None` if nothing is known of it.
    pub fn find(&mut self, search: &Search<'_>) -> Option<Place> {
        let at = self.place(search.device)?;
        let device = self.known.get_mut(at)?;
        device.interested |= bit(search.shard);
        let lost = self.lost.get(&at);
        let key = Key::of_ref(search.flow);
        let list = self.list(at);
        let ways = || list.iter().filter_map(|way| self.ways.get(way));
        let own = ways().find(|way| way.flow.key() == key).map(|way| way.state);
        if own == Some(State::Live) && search.alive {
            return Some(Place::Here);
        }
        let best = ways().filter(|way| way.state == State::Live && way.flow.key() != key).last();
        Some(match (own, best, search.flow) {
            // A connection that it never registered over, such as one for calls only: it is tried first.
            (None, _, FlowRef::Stream { .. }) if search.alive => Place::Here,
            (_, Some(best), _) => Place::There(best.flow.flow_ref(search.device)),
            (Some(State::Left) | None, None, _) if search.alive => Place::Here,
            _ => match lost.map(|lost| lost.after(search.grace)).filter(|end| *end > search.now) {
                Some(end) => Place::Wait(end),
                None => Place::Gone,
            },
        })
    }

    /// Waits for a device of which nothing is known, and that was reached over a connection before this process was
    /// there.
    pub fn expect(&mut self, device: DeviceId, shard: Shard, until: u64, cap: usize) -> Result<(), Overflow> {
        if let Some(known) = self.place(device).and_then(|at| self.known.get_mut(at)) {
            known.interested |= bit(shard);
            return Ok(());
        }
        if self.known.len() >= cap {
            return Err(Overflow);
        }
        self.wake(until);
        self.add(Device { interested: bit(shard), ..Device::new(device, Name::default(), until) });
        Ok(())
    }

    /// Notes a way to a device. The shards that are to be told, one bit each.
    pub fn learn(&mut self, sight: &Sight<'_>, cap: usize) -> Result<u64, Overflow> {
        let at = match self.place(sight.device) {
            Some(at) => at,
            None if self.known.len() >= cap => return Err(Overflow),
            None => self.add(Device::new(sight.device, sight.account.into(), sight.until)),
        };
        let Some(known) = self.known.get_mut(at) else { return Ok(0) };
        if known.account.is_empty() {
            known.account = sight.account.into();
        }
        if *known.account != *sight.account {
            // Another's device is never moved, whatever two identities have in common.
            return Ok(0);
        }
        let until = seconds(sight.until);
        known.until = if sight.reg.is_some() { until } else { known.until.max(until) };
        let until = known.until.into();
        self.wake(until);
        let (flow, key) = (Packed::of(&sight.flow, sight.ip), Key::of_ref(&sight.flow));
        let last = self.list(at).last();
        if let Some(last) = self.ways.get_mut(last)
            && last.flow.key() == key
            && last.state == State::Live
            && sight.reg.is_none_or(|reg| reg == last.reg)
        {
            last.flow = flow;
            last.nat |= sight.nat;
            last.unanswered = 0;
            return Ok(0);
        }
        self.change_way(at, sight, flow, key);
        self.lost.remove(&at);
        Ok(self.known.get_mut(at).map_or(0, |known| std::mem::take(&mut known.interested)))
    }

    /// The newest way of a device is another one.
    fn change_way(&mut self, at: u32, sight: &Sight<'_>, flow: Packed, key: Key) {
        let list = self.list(at);
        let ways = || list.iter().filter_map(|way| Some((way, self.ways.get(way)?)));
        let before = ways().find(|(_, way)| way.flow.key() == key);
        let newest = before.or(ways().filter(|(_, way)| way.state == State::Live).last()).map(|(_, way)| way);
        let reg = sight.reg.or(newest.map(|way| way.reg)).unwrap_or(0);
        let nat = sight.nat || sight.reg.is_none() && newest.is_some_and(|way| way.nat);
        let mut out = before.map(|(place, _)| place);
        if out.is_none() && list.len == WAYS {
            let rank = |way: &Way| match way.state {
                State::Dead => 0,
                State::Live if way.reg != reg => 2,
                State::Left | State::Live => 1,
            };
            out = ways().min_by_key(|(_, way)| rank(way)).map(|(place, _)| place);
        }
        let mut new = List::NONE;
        list.iter().filter(|way| Some(*way) != out).for_each(|way| new.push(way));
        for way in new.iter() {
            if let Some(way) = self.ways.get_mut(way).filter(|way| way.reg == reg && way.state == State::Live) {
                way.state = State::Left;
            }
        }
        if let Some(out) = out {
            self.disown(out);
        }
        new.push(self.own(Way { flow, reg, device: at, next: NONE, state: State::Live, nat, unanswered: 0 }, key));
        self.set_list(at, &new);
    }

    /// A device has de-registered one of its flows.
    pub fn leave(&mut self, device: DeviceId, reg: u32) {
        let Some(at) = self.place(device) else { return };
        for way in self.list(at).iter() {
            if let Some(way) = self.ways.get_mut(way).filter(|way| way.reg == reg && way.state == State::Live) {
                // What is going on may end over it.
                way.state = State::Left;
            }
        }
    }

    /// A connection ended.
    pub fn lose_stream(&mut self, conn: ConnId, now: Tick) {
        self.lose(Key::Conn(conn), Some(now));
    }

    /// A UDP peer cannot be reached: it is not waited for.
    pub fn lose_datagrams(&mut self, listener: ListenerId, peer: SocketAddr) {
        self.lose(Key::Peer(listener, peer), None);
    }

    fn lose(&mut self, key: Key, lost: Option<Tick>) {
        let ways: Vec<u32> = self.at_key(key).map(|(place, _)| place).collect();
        for way in ways {
            let Some(way) = self.ways.get_mut(way) else { continue };
            let (device, was_live) = (way.device, way.state == State::Live);
            way.state = State::Dead;
            if was_live && !self.has_live(device) {
                match lost {
                    Some(lost) => self.lost.insert(device, lost),
                    None => self.lost.remove(&device),
                };
            }
        }
    }

    /// A connection takes the place of another, of the same client. Each device with the shards that are to be told.
    ///
    /// One whose old connection is open at the same address stays there: phones with several accounts, and all pages
    /// of a browser, share their TLS sessions, so the new connection may well be another account's.
    pub fn succeed(&mut self, old: ConnId, flow: FlowRef, ip: IpAddr, mut moved: impl FnMut(DeviceId, &[u8], u64)) {
        let ways: Vec<u32> = self.at_key(Key::Conn(old)).map(|(place, _)| place).collect();
        for way in ways {
            let Some(way) = self.ways.get(way) else { continue };
            if way.state == State::Live && way.flow.ip() == ip {
                continue;
            }
            let Some(known) = self.known.get(way.device) else { continue };
            // One that has gone elsewhere since is not brought back.
            let mut ways = self.list(way.device).iter().filter_map(|other| self.ways.get(other));
            let newer = ways.any(|other| other.state == State::Live && other.reg == way.reg);
            if newer && way.state != State::Live {
                continue;
            }
            let (device, account, reg) = (known.id, known.account.clone(), Some(way.reg));
            let (flow, until) = (flow.of(Some(device)), known.until.into());
            let sight = Sight { device, account: &account, flow, ip, reg, until, nat: false };
            if let Ok(shards) = self.learn(&sight, usize::MAX) {
                moved(device, &account, shards);
            }
        }
    }

    /// The device of an account that is reached over a flow.
    pub fn at(&mut self, flow: &FlowRef, account: &[u8], shard: Shard) -> Option<DeviceId> {
        let is_it = |way: &Way| {
            way.state == State::Live && self.known.get(way.device).is_some_and(|known| *known.account == *account)
        };
        let found = self.at_key(Key::of_ref(flow)).find(|(_, way)| is_it(way)).map(|(_, way)| way.device)?;
        let known = self.known.get_mut(found)?;
        known.interested |= bit(shard);
        Some(known.id)
    }

    /// A shard has something going on with a device.
    pub fn note_interest(&mut self, device: DeviceId, shard: Shard) {
        if let Some(known) = self.place(device).and_then(|at| self.known.get_mut(at)) {
            known.interested |= bit(shard);
        }
    }

    /// The flow of a device's newest way.
    pub fn newest(&self, device: DeviceId) -> Option<FlowRef> {
        let list = self.list(self.place(device)?);
        let ways = || list.iter().filter_map(|way| self.ways.get(way));
        let live = ways().filter(|way| way.state == State::Live).last();
        live.or(ways().last()).map(|way| way.flow.flow_ref(device))
    }

    /// The device of an account that was reached over a flow, also where that is gone.
    pub fn was_at(&self, flow: &FlowRef, account: &[u8]) -> Option<DeviceId> {
        let mut known = self.at_key(Key::of_ref(flow)).filter_map(|(_, way)| self.known.get(way.device));
        known.find(|known| *known.account == *account).map(|known| known.id)
    }

    /// The one device that was reached over a flow; none if there were several.
    pub fn only_at(&self, flow: &FlowRef) -> Option<DeviceId> {
        let mut ways = self.at_key(Key::of_ref(flow));
        let (first, second) = (ways.next(), ways.next());
        if second.is_some() { None } else { self.known.get(first?.1.device).map(|known| known.id) }
    }

    /// Whether a flow is one of a device's ways now.
    pub fn is_at(&self, device: DeviceId, flow: &FlowRef) -> bool {
        let key = Key::of_ref(flow);
        let Some(at) = self.place(device) else { return false };
        let mut ways = self.list(at).iter().filter_map(|way| self.ways.get(way));
        ways.any(|way| way.state == State::Live && way.flow.key() == key)
    }

    /// Whether a device has a way that is there, as far as is known.
    pub fn is_live(&self, device: DeviceId) -> bool {
        self.place(device).is_some_and(|at| self.has_live(at))
    }

    /// Whether a device was last seen at this address, over datagrams or over a connection that is gone.
    pub fn may_move_within(&self, device: DeviceId, ip: IpAddr) -> bool {
        let Some(at) = self.place(device) else { return false };
        let list = self.list(at);
        let connected = |way: &Way| way.state == State::Live && way.flow.conn().is_some();
        !list.iter().filter_map(|way| self.ways.get(way)).any(connected)
            && self.ways.get(list.last()).is_some_and(|way| way.flow.ip() == ip)
    }

    /// Whether [`Self::expire`] may have something to do.
    pub fn is_due(&self, now: u64) -> bool {
        self.soonest.is_some_and(|soonest| soonest <= now)
    }

    /// Forgets what has expired.
    pub fn expire(&mut self, now: u64) {
        if !self.is_due(now) {
            return;
        }
        let over = |device: &Device| u64::from(device.until) <= now;
        let ended: Vec<u32> = self.known.iter().filter(|(_, it)| over(it)).map(|(at, _)| at).collect();
        for at in ended {
            self.list(at).iter().for_each(|way| self.disown(way));
            self.lost.remove(&at);
            if let Some(device) = self.known.remove(at) {
                self.by_id.remove(self.hasher.hash_one(device.id), at);
            }
        }
        self.soonest = self.known.iter().map(|(_, device)| device.until.into()).min();
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The way by which a flow is kept open: the lines of one phone have one flow.
    pub(super) fn first_at(&self, key: Key) -> Option<u32> {
        self.at_key(key).filter(|(_, way)| way.state == State::Live).map(|(place, _)| place).min()
    }

    /// The ways that are a flow.
    fn at_key(&self, key: Key) -> impl Iterator<Item = (u32, &Way)> {
        let all = self.by_flow.all(self.hasher.hash_one(key));
        all.filter_map(move |place| self.ways.get(place).filter(|way| way.flow.key() == key).map(|way| (place, way)))
    }

    fn wake(&mut self, at: u64) {
        self.soonest = Some(self.soonest.map_or(at, |soonest| soonest.min(at)));
    }

    fn place(&self, device: DeviceId) -> Option<u32> {
        let is_it = |at| self.known.get(at).is_some_and(|known| known.id == device);
        self.by_id.find(self.hasher.hash_one(device), is_it)
    }

    fn add(&mut self, device: Device) -> u32 {
        let hash = self.hasher.hash_one(device.id);
        let at = self.known.insert(device);
        let Self { known, hasher, .. } = self;
        self.by_id.insert(hash, at, |at| known.get(at).map_or(0, |known| hasher.hash_one(known.id)));
        at
    }

    fn has_live(&self, at: u32) -> bool {
        self.list(at).iter().any(|way| self.ways.get(way).is_some_and(|way| way.state == State::Live))
    }

    pub(super) fn list(&self, device: u32) -> List {
        let mut list = List::NONE;
        let mut at = self.known.get(device).map_or(NONE, |known| known.first);
        while let Some(way) = self.ways.get(at) {
            list.push(at);
            at = way.next;
        }
        list
    }

    fn set_list(&mut self, device: u32, list: &List) {
        if let Some(known) = self.known.get_mut(device) {
            known.first = list.get(0);
        }
        for (place, at) in list.iter().enumerate() {
            if let Some(way) = self.ways.get_mut(at) {
                way.next = list.get(place + 1);
            }
        }
    }

    fn own(&mut self, way: Way, key: Key) -> u32 {
        let hash = self.hasher.hash_one(key);
        let at = self.ways.insert(way);
        let Self { ways, hasher, .. } = self;
        if self.by_flow.all(hash).take(PER_FLOW).count() < PER_FLOW {
            self.by_flow.insert(hash, at, |at| ways.get(at).map_or(0, |way| hasher.hash_one(way.flow.key())));
        }
        at
    }

    fn disown(&mut self, at: u32) {
        if let Some(way) = self.ways.remove(at) {
            self.by_flow.remove(self.hasher.hash_one(way.flow.key()), at);
        }
    }
}

impl Device {
    fn new(id: DeviceId, account: Name, until: u64) -> Self {
        Self { id, account, first: NONE, until: seconds(until), interested: 0 }
    }
}

impl List {
    const NONE: Self = Self { all: [NONE; WAYS], len: 0 };

    fn push(&mut self, way: u32) {
        if let Some(place) = self.all.get_mut(self.len) {
            *place = way;
            self.len += 1;
        }
    }

    fn get(&self, place: usize) -> u32 {
        self.all.get(place).copied().filter(|_| place < self.len).unwrap_or(NONE)
    }

    fn last(&self) -> u32 {
        self.len.checked_sub(1).map_or(NONE, |last| self.get(last))
    }

    pub fn iter(self) -> impl Iterator<Item = u32> {
        self.all.into_iter().take(self.len)
    }
}

const fn bit(shard: Shard) -> u64 {
    1 << (shard.0 & 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_few_bytes() {
        assert_eq!((size_of::<Device>(), size_of::<Way>()), (40, 40));
    }
}
