//! The ledger of an instance, and its phones in turn.

use nantucket::licence::ledger::{Ask, Device, Grant, Hold, Ledger, Terms, Verdict};
use nantucket::model::{Kind, Seats, SecondDevice};

pub struct Office {
    ledger: Ledger,
    names: Vec<String>,
    guests: Vec<String>,
    next: usize,
    now: u64,
}

const TERMS: Terms = Terms {
    seats: Seats { full: 100_000, light: 0 },
    total: u32::MAX,
    second_device: SecondDevice::FirstWins,
    closed: false,
    can_save: true,
    shadow: false,
};

impl Office {
    /// With so many users, each with a seat.
    pub fn of(users: usize) -> Self {
        let names = (0..users).map(|user| format!("{}", 1_000 + user)).collect();
        // As many as users, so that where a table puts one by its seed is not what all others cost.
        let guests = (0..users).map(|guest| format!("guest{guest}")).collect();
        let mut it = Self { ledger: Ledger::default(), names, guests, next: 0, now: super::NOW };
        (0..users).for_each(|_| it.refresh());
        it
    }

    /// The next user's REGISTER and its 200.
    pub fn refresh(&mut self) {
        self.next = (self.next + 1) % self.names.len();
        let name = self.names[self.next].clone();
        let hold = self.reserve(name.as_bytes());
        self.commit(name.as_bytes(), &hold);
    }

    /// A new user registers, and leaves.
    pub fn come_and_go(&mut self) {
        self.next = (self.next + 1) % self.guests.len();
        let guest = self.guests[self.next].clone();
        let hold = self.reserve(guest.as_bytes());
        self.commit(guest.as_bytes(), &hold);
        self.ledger.lapse(guest.as_bytes());
        self.ledger.take_changes().for_each(drop);
    }

    fn reserve(&mut self, name: &[u8]) -> Hold {
        self.now += 1;
        let (account, user, device) = (name, name, device(name));
        let (kind, now) = (Kind::Full, self.now);
        let ask = Ask { account, user, kind, device, devices: 1, connected: false, ttl: 600_000, now, ticket: 1 };
        match self.ledger.reserve(&ask, &TERMS).0 {
            Verdict::Refresh(hold) | Verdict::New(hold) => hold,
            Verdict::Refused(why) => panic!("{why:?}"),
        }
    }

    fn commit(&mut self, name: &[u8], hold: &Hold) {
        let (account, user, device) = (name, name, Some(device(name)));
        let (kind, now) = (Kind::Full, self.now);
        self.ledger.commit(&Grant { account, user, kind, device, connected: false, ttl: 600_000, now }, Some(hold));
        self.ledger.take_changes().for_each(drop);
    }
}

fn device(user: &[u8]) -> Device<'_> {
    Device::Phone { user, agent: b"Phone/1" }
}
