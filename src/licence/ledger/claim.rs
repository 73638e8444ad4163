//! A claim, the user it is for, and what of it is written down.

use super::Name;
use super::device::Device;
use super::pulse::Pulse;
use crate::clock::seconds;
use crate::model::Kind;
use std::num::NonZeroU32;

/// What one account has of its user's seat.
#[derive(Debug)]
pub(super) struct Claim {
    pub account: Name,
    /// The place of its user.
    pub user: u32,
    /// REGISTERs that are being decided on.
    pub in_flight: u32,
    /// When it ends (Unix seconds); none until a 2xx grants something.
    until: Option<NonZeroU32>,
    /// The seconds that are written down for it.
    pub written: u32,
}

impl Claim {
    pub const fn new(account: Name, user: u32) -> Self {
        Self { account, user, in_flight: 0, until: None, written: 0 }
    }

    /// When it ends (Unix seconds), if it lasts.
    pub fn until(&self) -> Option<u64> {
        self.until.map(|until| until.get().into())
    }

    /// It lasts until then, or not at all. Whether it lasted before.
    pub fn set_until(&mut self, until: Option<u64>) -> bool {
        let until = until.map(|until| NonZeroU32::new(seconds(until)).unwrap_or(NonZeroU32::MIN));
        std::mem::replace(&mut self.until, until).is_some()
    }

    /// Whether it lasts.
    pub const fn lasts(&self) -> bool {
        self.until.is_some()
    }

    /// The seconds to be written down when so many were granted. Twice as many leave room for a PBX that grants now
    /// less, now more: a later grant is seldom longer than what is on the disk, and then needs no write. What was
    /// asked for is never passed by that.
    pub fn outlives(&self, granted: u32, first: bool) -> u32 {
        let most = granted.saturating_mul(2);
        match self.written {
            written if written < granted => granted,
            written if first => written.min(most),
            written => written,
        }
    }
}

/// The bit of a light user.
const LIGHT: u32 = 1 << 31;

/// A user that has a seat, or may get one.
#[derive(Debug)]
pub(super) struct Holder {
    pub name: Name,
    /// Accounts with a claim.
    pub claims: u32,
    /// Those of them that last, and the kind in the highest bit: there is one of these for each phone.
    lasting: u32,
    /// A light user's one device (R43); nothing for a full user, of whom there are many.
    only: Option<Box<Only>>,
}

/// What is known of a light user's device.
#[derive(Default, Debug)]
pub(super) struct Only {
    /// The device.
    pub device: Option<Box<[u8]>>,
    /// Whether it is reached over a connection.
    pub connected: bool,
    /// The device that is being decided on.
    pub rival: Option<Rival>,
    /// The keep-alives of the device.
    pub pulse: Pulse,
    /// Whether its connection ended, and it is not back yet.
    pub away: bool,
}

/// A light user's device whose REGISTER is on its way.
#[derive(Debug)]
pub(super) struct Rival {
    pub device: Box<[u8]>,
    pub in_flight: u32,
}

impl Holder {
    pub const fn new(name: Name, kind: Kind) -> Self {
        let lasting = if matches!(kind, Kind::Light) { LIGHT } else { 0 };
        Self { name, claims: 0, lasting, only: None }
    }

    /// What the user is licensed as.
    pub const fn kind(&self) -> Kind {
        if self.lasting & LIGHT == 0 { Kind::Full } else { Kind::Light }
    }

    /// Accounts whose claim lasts.
    pub const fn committed(&self) -> u32 {
        self.lasting & !LIGHT
    }

    /// One more that lasts.
    pub const fn add_lasting(&mut self) {
        self.lasting += 1;
    }

    /// One less.
    pub const fn sub_lasting(&mut self) {
        self.lasting -= 1;
    }

    /// A light user's device.
    pub fn device(&self) -> Option<&[u8]> {
        self.only.as_ref()?.device.as_deref()
    }

    /// A light user's device, if the way to it outlives the process: a connection that is gone holds no place (R43).
    pub fn lasting_device(&self) -> Option<&[u8]> {
        self.only.as_ref().filter(|only| !only.connected)?.device.as_deref()
    }

    /// What is known of a light user's device.
    pub fn only(&self) -> Option<&Only> {
        self.only.as_deref()
    }

    /// As [`Self::only`], to change it.
    pub fn only_mut(&mut self) -> &mut Only {
        self.only.get_or_insert_default()
    }

    /// A sign of life.
    pub fn beat(&mut self, now: u64) {
        if let Some(only) = &mut self.only {
            only.pulse.beat(now);
        }
    }

    /// Its connection ended, or it is back.
    pub fn set_away(&mut self, away: bool) {
        if let Some(only) = &mut self.only {
            only.away = away;
        }
    }

    pub fn enlist(&mut self, device: &Device<'_>) {
        let only = self.only_mut();
        match &mut only.rival {
            Some(rival) if device.is(&rival.device) => rival.in_flight += 1,
            // The last wins.
            Some(rival) => *rival = Rival { device: device.keep(), in_flight: rival.in_flight + 1 },
            None => only.rival = Some(Rival { device: device.keep(), in_flight: 1 }),
        }
    }

    pub fn discharge(&mut self) {
        let Some(only) = &mut self.only else { return };
        if let Some(rival) = &mut only.rival {
            rival.in_flight -= 1;
            if rival.in_flight == 0 {
                only.rival = None;
            }
        }
    }

    /// With the last account the device is gone.
    pub fn forget_device(&mut self) {
        if self.committed() == 0 {
            self.drop_device();
        }
    }

    pub fn become_kind(&mut self, kind: Kind) {
        let kind = if kind == Kind::Light { LIGHT } else { 0 };
        self.lasting = self.committed() | kind;
        self.drop_device();
    }

    fn drop_device(&mut self) {
        let rival = self.only.take().and_then(|only| only.rival);
        if rival.is_some() {
            self.only_mut().rival = rival;
        }
    }
}

/// A REGISTER's part in a claim. It is given back once: with [`super::Ledger::commit`] or
/// [`super::Ledger::release`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// The place of the claim, which stays while there is a part in it.
    pub(super) claim: u32,
    pub(super) epoch: u32,
    /// The light user whose device is being decided on with it.
    pub(super) rivals: Option<Name>,
    /// Whether it must be written down before the REGISTER goes on.
    pub waits: bool,
}

/// A claim as it is written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The user's name.
    pub user: Name,
    /// Full or light.
    pub kind: Kind,
    /// A light user's device; none if it was reached over a connection.
    pub device: Option<Box<[u8]>>,
    /// Seconds it lives without a refresh.
    pub ttl: u32,
}

/// Something to be written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A claim is there, or is another.
    Put {
        /// Whose.
        account: Name,
        /// Which.
        record: Record,
        /// Who waits for it.
        ticket: Option<u64>,
    },
    /// A claim is gone.
    Delete {
        /// Whose.
        account: Name,
    },
    /// All of the instance's are gone.
    Clear,
}
