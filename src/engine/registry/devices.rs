//! The devices of one instance and the ways to them: where a request goes whose token names a device and a flow
//! that is gone. Learned from what the PBX answered with success, never from what a client claims alone.
//!
//! A device has a way for each of its flows: two for one that registers twice with different `reg-id`s (RFC 5626),
//! else one. A way that another one took the place of, or that closed, is remembered, so that what is sent there
//! follows. Not a location service: which device is called is the PBX's business.

use super::Overflow;
use crate::clock::Tick;
use crate::engine::token::FlowRef;
use crate::ids::{ConnId, DeviceId, ListenerId, Shard};
use crate::route::snapshot::Map;
use foldhash::quality::RandomState;
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

#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub flow: FlowRef,
    ip: IpAddr,
    reg: u32,
    pub state: State,
    /// Whether it is known to be behind NAT.
    pub nat: bool,
    /// Keep-alives of ours that were not answered.
    pub unanswered: u8,
}

#[derive(Debug)]
pub(super) struct Device {
    /// Empty while it is only waited for.
    pub account: Box<[u8]>,
    /// The newest last.
    pub ways: Vec<Way>,
    until: u64,
    /// When its last connection ended.
    lost: Option<Tick>,
    /// The shards that have something going on with it.
    interested: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Key {
    Conn(ConnId),
    Peer(ListenerId, SocketAddr),
}

/// Most flows are of one device.
#[derive(Debug)]
#[allow(clippy::box_collection, reason = "the lines of one adapter are rare, and there is an entry for each phone")]
pub(super) enum Owners {
    One(DeviceId),
    Many(Box<Vec<DeviceId>>),
}

/// The devices of one instance.
#[derive(Default, Debug)]
pub struct Devices {
    /// Boxed: half of the places of a table may be empty.
    pub(super) known: Map<DeviceId, Box<Device>>,
    /// By [`Devices::place`]. A hash is enough: what is found is compared with the ways of its device.
    by_flow: Map<u64, Owners>,
    places: RandomState,
    /// No device is to be forgotten before this (Unix seconds).
    soonest: Option<u64>,
}

impl Devices {
    /// Where a device is; `None` if nothing is known of it.
    pub fn find(&mut self, search: &Search<'_>) -> Option<Place> {
        let device = self.known.get_mut(&search.device)?;
        device.interested |= bit(search.shard);
        let own = device.ways.iter().find(|way| way.flow.is_same(search.flow)).map(|way| way.state);
        if own == Some(State::Live) && search.alive {
            return Some(Place::Here);
        }
        let other = |way: &&Way| way.state == State::Live && !way.flow.is_same(search.flow);
        let best = device.ways.iter().rev().find(other);
        Some(match (own, best, search.flow) {
            // A connection that it never registered over, such as one for calls only: it is tried first.
            (None, _, FlowRef::Stream { .. }) if search.alive => Place::Here,
            (_, Some(best), _) => Place::There(best.flow),
            (Some(State::Left) | None, None, _) if search.alive => Place::Here,
            _ => match device.lost.map(|lost| lost.after(search.grace)).filter(|end| *end > search.now) {
                Some(end) => Place::Wait(end),
                None => Place::Gone,
            },
        })
    }

    /// Waits for a device of which nothing is known, and that was reached over a connection before this process was
    /// there.
    pub fn expect(&mut self, device: DeviceId, shard: Shard, until: u64, cap: usize) -> Result<(), Overflow> {
        let full = self.known.len() >= cap;
        if let Some(known) = self.known.get_mut(&device) {
            known.interested |= bit(shard);
            return Ok(());
        }
        if full {
            return Err(Overflow);
        }
        self.soonest = Some(self.soonest.map_or(until, |soonest| soonest.min(until)));
        let expected = Device { account: Box::default(), ways: Vec::new(), until, lost: None, interested: bit(shard) };
        self.known.insert(device, Box::new(expected));
        Ok(())
    }

    /// Notes a way to a device. The shards that are to be told, one bit each.
    pub fn learn(&mut self, sight: &Sight<'_>, cap: usize) -> Result<u64, Overflow> {
        let full = self.known.len() >= cap;
        let known = match self.known.get_mut(&sight.device) {
            Some(known) => known,
            None if full => return Err(Overflow),
            None => self.known.entry(sight.device).or_insert_with(|| {
                let (account, until) = (sight.account.into(), sight.until);
                Box::new(Device { account, ways: Vec::with_capacity(1), until, lost: None, interested: 0 })
            }),
        };
        if known.account.is_empty() {
            known.account = sight.account.into();
        }
        if *known.account != *sight.account {
            // Another's device is never moved, whatever two identities have in common.
            return Ok(0);
        }
        known.until = if sight.reg.is_some() { sight.until } else { known.until.max(sight.until) };
        self.soonest = Some(self.soonest.map_or(known.until, |soonest| soonest.min(known.until)));
        if let Some(last) = known.ways.last_mut()
            && last.flow.is_same(&sight.flow)
            && last.state == State::Live
            && sight.reg.is_none_or(|reg| reg == last.reg)
        {
            last.flow = sight.flow;
            last.nat |= sight.nat;
            last.unanswered = 0;
            return Ok(0);
        }
        known.lost = None;
        let before = known.ways.iter().position(|way| way.flow.is_same(&sight.flow)).map(|at| known.ways.remove(at));
        let newest = before.or(known.ways.iter().rev().find(|way| way.state == State::Live).copied());
        let reg = sight.reg.or(newest.map(|way| way.reg)).unwrap_or(0);
        let nat = sight.nat || sight.reg.is_none() && newest.is_some_and(|way| way.nat);
        for way in known.ways.iter_mut().filter(|way| way.reg == reg && way.state == State::Live) {
            way.state = State::Left;
        }
        let mut out = None;
        if known.ways.len() >= WAYS {
            let rank = |state| match state {
                State::Dead => 0,
                State::Left => 1,
                State::Live => 2,
            };
            let oldest = known.ways.iter().enumerate().min_by_key(|(_, way)| rank(way.state)).map(|(at, _)| at);
            out = oldest.map(|at| known.ways.remove(at));
        }
        known.ways.reserve_exact(1);
        known.ways.push(Way { flow: sight.flow, ip: sight.ip, reg, state: State::Live, nat, unanswered: 0 });
        let shards = std::mem::take(&mut known.interested);
        if let Some(out) = out {
            self.disown(&out.flow, sight.device);
        }
        self.own(&sight.flow, sight.device);
        Ok(shards)
    }

    /// A device has de-registered one of its flows.
    pub fn leave(&mut self, device: DeviceId, reg: u32) {
        let Some(known) = self.known.get_mut(&device) else { return };
        for way in known.ways.iter_mut().filter(|way| way.reg == reg && way.state == State::Live) {
            // What is going on may end over it.
            way.state = State::Left;
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
        let Some(owners) = self.by_flow.get(&self.places.hash_one(key)) else { return };
        let one;
        let owners = match owners {
            Owners::One(device) => {
                one = [*device];
                &one[..]
            }
            Owners::Many(devices) => devices.as_slice(),
        };
        for device in owners {
            let Some(known) = self.known.get_mut(device) else { continue };
            let mut was_live = false;
            for way in known.ways.iter_mut().filter(|way| key_of(&way.flow) == key) {
                was_live |= way.state == State::Live;
                way.state = State::Dead;
            }
            if was_live && known.ways.iter().all(|way| way.state != State::Live) {
                known.lost = lost;
            }
        }
    }

    /// A connection takes the place of another, of the same client. Each device with the shards that are to be told.
    ///
    /// One whose old connection is open at the same address stays there: phones with several accounts, and all pages
    /// of a browser, share their TLS sessions, so the new connection may well be another account's.
    pub fn succeed(&mut self, old: ConnId, flow: FlowRef, ip: IpAddr, mut moved: impl FnMut(DeviceId, &[u8], u64)) {
        let devices = match self.by_flow.get(&self.places.hash_one(Key::Conn(old))) {
            Some(Owners::One(device)) => vec![*device],
            Some(Owners::Many(devices)) => devices.to_vec(),
            None => return,
        };
        for device in devices {
            let Some(known) = self.known.get(&device) else { continue };
            let Some(way) = known.ways.iter().find(|way| way.flow.conn() == Some(old)) else { continue };
            if way.state == State::Live && way.ip == ip {
                continue;
            }
            // One that has gone elsewhere since is not brought back.
            let newer = known.ways.iter().any(|other| other.state == State::Live && other.reg == way.reg);
            if newer && way.state != State::Live {
                continue;
            }
            let (account, reg) = (known.account.clone(), Some(way.reg));
            let flow = flow.of(Some(device));
            let sight = Sight { device, account: &account, flow, ip, reg, until: known.until, nat: false };
            if let Ok(shards) = self.learn(&sight, usize::MAX) {
                moved(device, &account, shards);
            }
        }
    }

    /// The device of an account that is reached over a flow.
    pub fn at(&mut self, flow: &FlowRef, account: &[u8], shard: Shard) -> Option<DeviceId> {
        let place = self.place(flow);
        let known = &mut self.known;
        let mut is_it = |device: DeviceId| {
            let known = known.get_mut(&device)?;
            let there = known.ways.iter().any(|way| way.state == State::Live && way.flow.is_same(flow));
            (there && *known.account == *account).then(|| {
                known.interested |= bit(shard);
                device
            })
        };
        match self.by_flow.get(&place)? {
            Owners::One(device) => is_it(*device),
            Owners::Many(devices) => devices.iter().find_map(|device| is_it(*device)),
        }
    }

    /// A shard has something going on with a device.
    pub fn note_interest(&mut self, device: DeviceId, shard: Shard) {
        if let Some(known) = self.known.get_mut(&device) {
            known.interested |= bit(shard);
        }
    }

    /// The flow of a device's newest way.
    pub fn newest(&self, device: DeviceId) -> Option<FlowRef> {
        let known = self.known.get(&device)?;
        known.ways.iter().rev().find(|way| way.state == State::Live).or(known.ways.last()).map(|way| way.flow)
    }

    /// The device of an account that was reached over a flow, also where that is gone.
    pub fn was_at(&self, flow: &FlowRef, account: &[u8]) -> Option<DeviceId> {
        let is_it = |device: &DeviceId| self.known.get(device).is_some_and(|known| *known.account == *account);
        match self.by_flow.get(&self.place(flow))? {
            Owners::One(device) => is_it(device).then_some(*device),
            Owners::Many(devices) => devices.iter().copied().find(is_it),
        }
    }

    /// The one device that was reached over a flow; none if there were several.
    pub fn only_at(&self, flow: &FlowRef) -> Option<DeviceId> {
        match self.by_flow.get(&self.place(flow))? {
            Owners::One(device) => Some(*device),
            Owners::Many(_) => None,
        }
    }

    /// Whether a flow is one of a device's ways now.
    pub fn is_at(&self, device: DeviceId, flow: &FlowRef) -> bool {
        let known = self.known.get(&device);
        known.is_some_and(|known| known.ways.iter().any(|way| way.state == State::Live && way.flow.is_same(flow)))
    }

    /// Whether a device has a way that is there, as far as is known.
    pub fn is_live(&self, device: DeviceId) -> bool {
        self.known.get(&device).is_some_and(|known| known.ways.iter().any(|way| way.state == State::Live))
    }

    /// Whether a device was last seen at this address, over datagrams or over a connection that is gone.
    pub fn may_move_within(&self, device: DeviceId, ip: IpAddr) -> bool {
        let Some(known) = self.known.get(&device) else { return false };
        let connected = |way: &Way| way.state == State::Live && way.flow.conn().is_some();
        !known.ways.iter().any(connected) && known.ways.last().is_some_and(|way| way.ip == ip)
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
        self.known.retain(|_, device| device.until > now);
        let known = &self.known;
        self.by_flow.retain(|_, owners| match owners {
            Owners::One(device) => known.contains_key(device),
            Owners::Many(devices) => {
                devices.retain(|device| known.contains_key(device));
                !devices.is_empty()
            }
        });
        self.soonest = self.known.values().map(|device| device.until).min();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The devices that are reached over a flow.
    pub(super) fn owners(&self, flow: &FlowRef) -> Option<&Owners> {
        self.by_flow.get(&self.place(flow))
    }

    fn place(&self, flow: &FlowRef) -> u64 {
        self.places.hash_one(key_of(flow))
    }

    fn own(&mut self, flow: &FlowRef, device: DeviceId) {
        let place = self.place(flow);
        match self.by_flow.get_mut(&place) {
            None => {
                self.by_flow.insert(place, Owners::One(device));
            }
            Some(Owners::One(other)) if *other == device => {}
            Some(owners @ Owners::One(_)) => {
                let Owners::One(other) = *owners else { return };
                *owners = Owners::Many(Box::new(vec![other, device]));
            }
            Some(Owners::Many(devices)) => {
                if devices.len() < PER_FLOW && !devices.contains(&device) {
                    devices.push(device);
                }
            }
        }
    }

    fn disown(&mut self, flow: &FlowRef, device: DeviceId) {
        let place = self.place(flow);
        let empty = match self.by_flow.get_mut(&place) {
            None => return,
            Some(Owners::One(other)) => *other == device,
            Some(Owners::Many(devices)) => {
                devices.retain(|other| *other != device);
                devices.is_empty()
            }
        };
        if empty {
            self.by_flow.remove(&place);
        }
    }
}

const fn key_of(flow: &FlowRef) -> Key {
    match flow {
        FlowRef::Udp { listener, peer, .. } => Key::Peer(*listener, *peer),
        FlowRef::Stream { conn, .. } => Key::Conn(*conn),
    }
}

const fn bit(shard: Shard) -> u64 {
    1 << (shard.0 & 63)
}
