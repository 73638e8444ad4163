//! The rules of seats, one by one.

use super::*;

const ROOM: Terms = Terms {
    seats: Seats { full: 2, light: 2 },
    total: u32::MAX,
    second_device: SecondDevice::FirstWins,
    closed: false,
    can_save: true,
    shadow: false,
};
const NOW: u64 = 1_000;

fn phone(user: &str) -> Device<'_> {
    Device::Phone { user: user.as_bytes(), agent: b"Phone/1" }
}

fn ask<'a>(account: &'a str, user: &'a str, kind: Kind) -> Ask<'a> {
    let (account, user) = (account.as_bytes(), user.as_bytes());
    let device = Device::Phone { user: account, agent: b"Phone/1" };
    Ask { account, user, kind, device, devices: 1, connected: false, ttl: 600, now: NOW, ticket: 7 }
}

fn full(user: &str) -> Ask<'_> {
    ask(user, user, Kind::Full)
}

fn light(user: &str) -> Ask<'_> {
    ask(user, user, Kind::Light)
}

fn grant<'a>(ask: &Ask<'a>, ttl: u32) -> Grant<'a> {
    let Ask { account, user, kind, device, connected, now, .. } = *ask;
    Grant { account, user, kind, device: Some(device), connected, ttl, now }
}

impl Ledger {
    fn new_hold(&mut self, ask: &Ask<'_>, terms: &Terms) -> Hold {
        let (verdict, _) = self.reserve(ask, terms);
        self.check();
        match verdict {
            Verdict::New(hold) => hold,
            other => panic!("{other:?}"),
        }
    }

    fn register(&mut self, ask: &Ask<'_>, terms: &Terms) -> Result<(), Refusal> {
        match self.reserve(ask, terms).0 {
            Verdict::Refused(why) => return Err(why),
            Verdict::Refresh(hold) | Verdict::New(hold) => self.commit(&grant(ask, ask.ttl), Some(&hold)),
        }
        self.check();
        Ok(())
    }

    fn used(&self) -> (u32, u32) {
        (self.counts.used.full, self.counts.used.light)
    }

    fn changes(&mut self) -> Vec<Change> {
        self.take_changes().collect()
    }

    /// The counters are what counting anew gives.
    fn check(&self) {
        let mut counts = Counts::default();
        for (at, holder) in self.users.iter() {
            let claims = || self.claims.iter().map(|(_, claim)| claim).filter(|claim| claim.user == at);
            assert_eq!(holder.claims as usize, claims().count());
            assert_eq!(holder.committed() as usize, claims().filter(|claim| claim.lasts()).count());
            assert!(holder.claims > 0);
            counts.add(holder);
        }
        assert_eq!(counts, self.counts);
        assert!(self.claims.iter().all(|(_, claim)| claim.in_flight > 0 || claim.lasts()));
        assert!(self.claims.iter().all(|(at, claim)| self.find(&claim.account) == Some(at)));
        assert!(self.claims.iter().all(|(_, claim)| self.users.get(claim.user).is_some()));
        assert!(self.users.iter().all(|(at, holder)| self.find_user(&holder.name) == Some(at)));
    }
}

#[test]
fn seats_are_given_up_to_the_limit_and_not_one_further() {
    // R20 R49 R66
    for limit in [0, 1, 2, 99] {
        let terms = Terms { seats: Seats { full: limit, light: 0 }, ..ROOM };
        let mut ledger = Ledger::default();
        let names: Vec<String> = (0..=limit).map(|n| n.to_string()).collect();
        let results: Vec<_> = names.iter().map(|name| ledger.register(&full(name), &terms)).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count() as u32, limit);
        assert_eq!(results.last(), Some(&Err(Refusal::SeatsExhausted)));
        assert_eq!(ledger.used(), (limit, 0));
    }
}

#[test]
fn three_users_of_any_kind_in_a_community() {
    // R16: the 4th of 3 is refused, whatever its kind
    let terms = Terms { seats: Seats { full: 3, light: 3 }, total: 3, ..ROOM };
    let mut ledger = Ledger::default();
    for ok in [full("a"), light("b"), full("c")] {
        ledger.register(&ok, &terms).unwrap();
    }
    for refused in [full("d"), light("d")] {
        assert_eq!(ledger.register(&refused, &terms), Err(Refusal::SeatsExhausted));
    }
}

#[test]
fn a_user_takes_one_seat_with_any_number_of_phones_and_accounts() {
    // R39 R40
    let terms = Terms { seats: Seats { full: 1, light: 0 }, ..ROOM };
    let mut ledger = Ledger::default();
    for account in ["1", "2", "3", "4", "5"] {
        ledger.register(&ask(account, "ann", Kind::Full), &terms).unwrap();
    }
    assert_eq!(ledger.used(), (1, 0));
    assert_eq!(ledger.register(&ask("9", "bob", Kind::Full), &terms), Err(Refusal::SeatsExhausted));
    for account in ["1", "2", "3", "4"] {
        ledger.lapse(account.as_bytes());
        assert_eq!(ledger.used(), (1, 0));
    }
    ledger.lapse(b"5");
    ledger.check();
    assert_eq!((ledger.used(), ledger.users.len(), ledger.claims.len()), ((0, 0), 0, 0));
    ledger.register(&ask("9", "bob", Kind::Full), &terms).unwrap();
}

#[test]
fn kinds_are_counted_apart() {
    // R48 R47
    let terms = Terms { seats: Seats { full: 2, light: 1 }, ..ROOM };
    let mut ledger = Ledger::default();
    ledger.register(&light("fax"), &terms).unwrap();
    assert_eq!(ledger.register(&light("door"), &terms), Err(Refusal::SeatsExhausted));
    ledger.register(&full("ann"), &terms).unwrap();
    ledger.register(&full("bob"), &terms).unwrap();
    assert_eq!(ledger.register(&full("eve"), &terms), Err(Refusal::SeatsExhausted));
    assert_eq!(ledger.used(), (2, 1));
}

#[test]
fn what_is_in_the_balance_is_held_and_given_back() {
    // R66: the last seat in flight is pending; taken it is exhausted; released it is free
    let mut ledger = Ledger::default();
    ledger.register(&full("a"), &ROOM).unwrap();
    let hold = ledger.new_hold(&full("b"), &ROOM);
    assert!(hold.waits);
    assert_eq!(ledger.counts().in_flight, Seats { full: 1, light: 0 });
    assert_eq!(ledger.reserve(&full("c"), &ROOM).0, Verdict::Refused(Refusal::SeatsPending));
    ledger.release(&hold);
    ledger.check();
    assert_eq!(ledger.counts().in_flight, Seats::default());
    let hold = ledger.new_hold(&full("c"), &ROOM);
    ledger.commit(&grant(&full("c"), 60), Some(&hold));
    ledger.check();
    assert_eq!(ledger.reserve(&full("b"), &ROOM).0, Verdict::Refused(Refusal::SeatsExhausted));
}

#[test]
fn two_registers_of_one_account_at_once_share_the_claim() {
    // R66 R39
    let mut ledger = Ledger::default();
    let first = ledger.new_hold(&full("a"), &ROOM);
    let second = ledger.new_hold(&full("a"), &ROOM);
    assert_eq!(ledger.counts().in_flight.full, 1);
    ledger.release(&first);
    assert_eq!(ledger.counts().in_flight.full, 1, "the other is still on its way");
    ledger.commit(&grant(&full("a"), 60), Some(&second));
    ledger.check();
    assert_eq!((ledger.used(), ledger.counts().in_flight.full), ((1, 0), 0));
    let third = ledger.new_hold(&full("b"), &ROOM);
    let fourth = ledger.new_hold(&full("b"), &ROOM);
    ledger.commit(&grant(&full("b"), 60), Some(&third));
    ledger.release(&fourth);
    ledger.check();
    assert_eq!(ledger.used(), (2, 0), "one that fails takes nothing from one that was granted");
}

#[test]
fn a_refresh_passes_whatever_the_limit_and_writes_nothing() {
    // R67 R22
    let mut ledger = Ledger::default();
    ledger.register(&full("a"), &ROOM).unwrap();
    ledger.register(&full("b"), &ROOM).unwrap();
    ledger.changes();
    for limit in [2, 1, 0] {
        let lowered = Terms { seats: Seats { full: limit, light: 0 }, can_save: false, closed: limit == 0, ..ROOM };
        for user in ["a", "b"] {
            assert!(matches!(ledger.reserve(&full(user), &lowered).0, Verdict::Refresh(_)));
            ledger.commit(&grant(&full(user), 600), None);
        }
        assert_eq!(ledger.changes(), []);
        assert!(ledger.register(&full("c"), &lowered).is_err(), "over the limit only new ones are refused");
    }
    assert_eq!(ledger.used(), (2, 0), "nobody is evicted");
}

#[test]
fn nobody_new_comes_in_while_licences_are_not_valid() {
    // R58 R63
    let closed = Terms { closed: true, ..ROOM };
    let mut ledger = Ledger::default();
    assert_eq!(ledger.register(&full("a"), &closed), Err(Refusal::LicenceDeactivated));
    ledger.register(&full("a"), &ROOM).unwrap();
    ledger.register(&full("a"), &closed).unwrap();
    ledger.lapse(b"a");
    assert_eq!(ledger.register(&full("a"), &closed), Err(Refusal::LicenceDeactivated));
}

#[test]
fn a_claim_ends_on_its_second_and_lives_on_by_what_is_granted() {
    // R68: by the value granted, not the one asked for
    let mut ledger = Ledger::default();
    let hold = ledger.new_hold(&full("a"), &ROOM);
    ledger.commit(&grant(&full("a"), 60), Some(&hold));
    ledger.expire(NOW + 59);
    assert!(ledger.is_live(b"a"));
    ledger.commit(&grant(&Ask { now: NOW + 59, ..full("a") }, 60), None);
    ledger.expire(NOW + 60);
    ledger.expire(NOW + 118);
    assert!(ledger.is_live(b"a"));
    ledger.changes();
    ledger.expire(NOW + 119);
    ledger.check();
    assert!(!ledger.is_live(b"a"));
    assert_eq!(ledger.changes(), [Change::Delete { account: Name::from(&b"a"[..]) }]);
}

#[test]
fn a_claim_that_ends_while_another_register_is_on_its_way() {
    // R66 R68
    let mut ledger = Ledger::default();
    let mut last = light("a");
    ledger.register(&last, &ROOM).unwrap();
    last.device = phone("other");
    let wins = Terms { second_device: SecondDevice::LastWins, ..ROOM };
    let hold = ledger.new_hold(&last, &wins);
    ledger.lapse(b"a");
    ledger.check();
    assert_eq!((ledger.used(), ledger.counts().in_flight.light), ((0, 0), 1));
    ledger.release(&hold);
    ledger.check();
    assert_eq!(ledger.counts(), Counts::default());
}

#[test]
fn a_light_user_has_one_device_until_it_is_gone() {
    // R43
    let mut ledger = Ledger::default();
    let first = light("fax");
    let second = Ask { device: phone("other"), ..first };
    ledger.register(&first, &ROOM).unwrap();
    ledger.register(&first, &ROOM).unwrap();
    assert_eq!(ledger.register(&second, &ROOM), Err(Refusal::LightSecondDevice));
    assert_eq!(ledger.register(&Ask { devices: 2, ..first }, &ROOM), Err(Refusal::LightSecondDevice));
    ledger.lapse(b"fax");
    ledger.register(&second, &ROOM).unwrap();
    assert_eq!(ledger.register(&first, &ROOM), Err(Refusal::LightSecondDevice));
    assert_eq!(ledger.used(), (0, 1));
}

#[test]
fn a_light_users_device_counts_over_all_accounts() {
    // R43
    let mut ledger = Ledger::default();
    let device = Device::Instance(b"<urn:uuid:1>");
    let one = Ask { device, ..ask("1", "fax", Kind::Light) };
    ledger.register(&one, &ROOM).unwrap();
    ledger.register(&Ask { device, ..ask("2", "fax", Kind::Light) }, &ROOM).unwrap();
    assert_eq!(ledger.register(&ask("3", "fax", Kind::Light), &ROOM), Err(Refusal::LightSecondDevice));
    ledger.lapse(b"1");
    assert_eq!(ledger.register(&ask("3", "fax", Kind::Light), &ROOM), Err(Refusal::LightSecondDevice));
    ledger.lapse(b"2");
    ledger.register(&ask("3", "fax", Kind::Light), &ROOM).unwrap();
}

#[test]
fn the_last_device_wins_where_the_instance_says_so() {
    // R43
    let wins = Terms { second_device: SecondDevice::LastWins, ..ROOM };
    let mut ledger = Ledger::default();
    let first = light("fax");
    let second = Ask { device: phone("other"), ..first };
    ledger.register(&first, &wins).unwrap();
    ledger.changes();
    let hold = ledger.new_hold(&second, &wins);
    assert!(!hold.waits, "the claim is written down already");
    ledger.commit(&grant(&second, 600), Some(&hold));
    assert_eq!(ledger.seat(b"fax").unwrap().device, Some(&b"other Phone/1"[..]));
    let [Change::Put { record, ticket: None, .. }] = &ledger.changes()[..] else { panic!() };
    assert_eq!(record.device.as_deref(), Some(&b"other Phone/1"[..]));
    assert_eq!(ledger.register(&Ask { devices: 2, ..second }, &wins), Err(Refusal::LightSecondDevice));
    // A password that is refused changes nothing.
    let hold = ledger.new_hold(&first, &wins);
    ledger.release(&hold);
    ledger.check();
    assert_eq!(ledger.seat(b"fax").unwrap().device, Some(&b"other Phone/1"[..]));
    assert_eq!(ledger.used(), (0, 1));
}

#[test]
fn of_two_devices_at_once_the_first_is_decided_on_first() {
    // R43 R66
    let mut ledger = Ledger::default();
    let (first, second) = (light("fax"), Ask { device: phone("other"), ..light("fax") });
    let hold = ledger.new_hold(&first, &ROOM);
    assert_eq!(ledger.register(&second, &ROOM), Err(Refusal::SeatsPending));
    let again = ledger.new_hold(&first, &ROOM);
    ledger.release(&hold);
    assert_eq!(ledger.register(&second, &ROOM), Err(Refusal::SeatsPending));
    ledger.release(&again);
    ledger.register(&second, &ROOM).unwrap();
}

#[test]
fn a_device_that_is_silent_past_its_keep_alive_is_taken_over() {
    // R43
    let mut ledger = Ledger::default();
    let first = light("fax");
    ledger.register(&first, &ROOM).unwrap();
    for at in [NOW + 10, NOW + 40] {
        ledger.hear(b"fax", at);
    }
    let second = |now| Ask { device: phone("other"), now, ..light("fax") };
    assert_eq!(ledger.register(&second(NOW + 40 + 90), &ROOM), Err(Refusal::LightSecondDevice));
    ledger.hear(b"nobody", NOW + 100);
    ledger.register(&second(NOW + 40 + 91), &ROOM).unwrap();
    assert_eq!(ledger.register(&Ask { now: NOW + 132, ..first }, &ROOM), Err(Refusal::LightSecondDevice));
    assert_eq!(ledger.used(), (0, 1));
}

#[test]
fn what_is_written_down() {
    // R66
    let mut ledger = Ledger::default();
    let a = Name::from(&b"a"[..]);
    let record = |ttl| Record { user: a.clone(), kind: Kind::Full, device: None, ttl };
    let hold = ledger.new_hold(&full("a"), &ROOM);
    assert_eq!(ledger.changes(), [Change::Put { account: a.clone(), record: record(600), ticket: Some(7) }]);
    ledger.commit(&grant(&full("a"), 60), Some(&hold));
    let put = |ttl| Change::Put { account: a.clone(), record: record(ttl), ticket: None };
    assert_eq!(ledger.changes(), [put(120)], "twice what is granted, and no more than was asked for");
    for ttl in [60, 59, 119, 120, 1] {
        ledger.commit(&grant(&full("a"), ttl), None);
        assert_eq!(ledger.changes(), []);
    }
    ledger.commit(&grant(&full("a"), 121), None);
    assert_eq!(ledger.changes(), [put(121)]);
    let hold = ledger.new_hold(&full("b"), &ROOM);
    ledger.changes();
    ledger.commit(&grant(&full("b"), 300), Some(&hold));
    assert_eq!(ledger.changes(), [], "what is on the disk already is long enough");
    ledger.lapse(b"a");
    ledger.lapse(b"a");
    assert_eq!(ledger.changes(), [Change::Delete { account: a.clone() }]);
    let hold = ledger.new_hold(&full("a"), &ROOM);
    ledger.release(&hold);
    assert_eq!(ledger.changes().last(), Some(&Change::Delete { account: a }));
}

#[test]
fn what_cannot_be_written_down_is_no_claim() {
    // R69
    let mut ledger = Ledger::default();
    let full_disk = Terms { can_save: false, ..ROOM };
    assert_eq!(ledger.register(&full("a"), &full_disk), Err(Refusal::SeatsUnsaved));
    ledger.register(&full("a"), &ROOM).unwrap();
    ledger.register(&full("a"), &full_disk).unwrap();
}

#[test]
fn a_claim_that_ends_while_its_refresh_is_decided_on_keeps_its_seat() {
    // R66 R67
    let one = Terms { seats: Seats { full: 1, light: 0 }, ..ROOM };
    for granted in [true, false] {
        let mut ledger = Ledger::default();
        ledger.register(&full("a"), &one).unwrap();
        let late = Ask { now: NOW + 599, ..full("a") };
        let (Verdict::Refresh(hold), None) = ledger.reserve(&late, &one) else { panic!() };
        ledger.expire(NOW + 600);
        ledger.check();
        assert!(!ledger.is_live(b"a"));
        let other = Ask { now: NOW + 600, ..full("b") };
        assert_eq!(ledger.register(&other, &one), Err(Refusal::SeatsPending));
        if granted {
            ledger.commit(&grant(&late, 600), Some(&hold));
            assert_eq!(ledger.register(&other, &one), Err(Refusal::SeatsExhausted));
        } else {
            ledger.release(&hold);
            ledger.register(&other, &one).unwrap();
        }
        ledger.check();
        assert_eq!((ledger.used(), ledger.counts().in_flight.full), ((1, 0), 0));
    }
}

#[test]
fn a_restart_forgets_nothing_and_keeps_nothing_too_long() {
    // R12 R68
    let mut before = Ledger::default();
    before.register(&full("a"), &ROOM).unwrap();
    before.register(&light("fax"), &ROOM).unwrap();
    let put = |change| if let Change::Put { account, record, .. } = change { Some((account, record)) } else { None };
    let rows: Vec<_> = before.changes().into_iter().filter_map(put).collect();

    let alive = NOW + 5;
    for (back, is_live) in [(alive, true), (alive + GRACE + 599, true), (alive + GRACE + 600, false)] {
        let mut after = Ledger::default();
        after.restore(rows.clone(), alive, back);
        after.check();
        assert_eq!((after.is_live(b"a"), after.is_live(b"fax")), (is_live, is_live));
        assert_eq!(after.changes().len(), if is_live { 0 } else { 2 }, "what is over is deleted");
        if is_live {
            let other = Ask { device: phone("other"), now: back, ..light("fax") };
            assert_eq!(after.register(&other, &ROOM), Err(Refusal::LightSecondDevice));
            let (Verdict::Refresh(hold), _) = after.reserve(&Ask { now: back, ..light("fax") }, &ROOM) else {
                panic!()
            };
            after.release(&hold);
            after.expire(alive + GRACE + 599);
            assert_eq!(after.used(), (1, 1));
            after.expire(alive + GRACE + 600);
            assert_eq!((after.used(), after.changes().len()), ((0, 0), 2));
        }
    }
    // A connection ended with the process: the seat waits for its user, whatever the device (R43).
    let mut tcp = Ledger::default();
    let over_tcp = Ask { connected: true, ..light("fax") };
    tcp.register(&over_tcp, &ROOM).unwrap();
    let rows: Vec<_> = tcp.changes().into_iter().filter_map(put).collect();
    assert!(rows.len() == 1 && rows[0].1.device.is_none(), "{rows:?}");
    let mut after = Ledger::default();
    after.restore(rows.clone(), alive, alive);
    let other = Ask { device: phone("other"), now: alive, ..light("fax") };
    after.register(&other, &ROOM).unwrap();
    let kept: Vec<_> = after.changes().into_iter().filter_map(put).collect();
    assert!(kept.iter().any(|(_, record)| record.device.is_some()), "the place is the new device's: {kept:?}");
    assert_eq!(after.register(&Ask { now: alive, ..light("fax") }, &ROOM), Err(Refusal::LightSecondDevice));
    // One that is here again already keeps what it has now.
    let mut here = Ledger::default();
    here.register(&full("a"), &ROOM).unwrap();
    here.restore(rows.clone(), NOW - 600, NOW);
    here.check();
    here.expire(NOW + 599);
    assert_eq!(here.used(), (1, 0));
    // A clock that was ahead and was set right does not lengthen anything.
    let mut after = Ledger::default();
    after.restore(rows, NOW + 1_000_000, NOW);
    after.expire(NOW + GRACE + 600);
    assert_eq!(after.used(), (0, 0));
}

#[test]
fn an_instance_that_is_off_has_no_claims() {
    // R34
    let mut ledger = Ledger::default();
    ledger.register(&full("a"), &ROOM).unwrap();
    let hold = ledger.new_hold(&full("b"), &ROOM);
    ledger.changes();
    ledger.clear();
    ledger.check();
    assert_eq!((ledger.counts(), ledger.changes()), (Counts::default(), vec![Change::Clear]));
    ledger.clear();
    assert_eq!(ledger.changes(), [], "there was nothing left");
    // On again: what is given back of before is void.
    let again = ledger.new_hold(&full("b"), &ROOM);
    ledger.release(&hold);
    assert_eq!(ledger.counts().in_flight.full, 1);
    ledger.commit(&grant(&full("b"), 60), Some(&again));
    ledger.check();
}

#[test]
fn shadow_mode_counts_and_lets_pass() {
    // R69, shadow
    let shadow = Terms { seats: Seats { full: 1, light: 1 }, shadow: true, ..ROOM };
    let mut ledger = Ledger::default();
    ledger.register(&full("a"), &shadow).unwrap();
    let (verdict, would) = ledger.reserve(&full("b"), &shadow);
    let Verdict::New(hold) = verdict else { panic!("{verdict:?}") };
    assert_eq!(would, Some(Refusal::SeatsExhausted));
    ledger.commit(&grant(&full("b"), 60), Some(&hold));
    assert_eq!(ledger.used(), (2, 0));
    let (verdict, would) = ledger.reserve(&full("c"), &Terms { can_save: false, ..shadow });
    let Verdict::New(hold) = verdict else { panic!("{verdict:?}") };
    assert_eq!((hold.waits, would), (false, Some(Refusal::SeatsExhausted)));
    ledger.release(&hold);
    ledger.register(&light("fax"), &shadow).unwrap();
    let other = Ask { device: phone("other"), ..light("fax") };
    assert_eq!(ledger.reserve(&other, &shadow).1, Some(Refusal::LightSecondDevice));
    ledger.check();
}

#[test]
fn a_user_list_that_changes_takes_the_claims_along() {
    // R49 R48: another kind, another user; nobody is evicted
    let mut ledger = Ledger::default();
    ledger.register(&full("a"), &ROOM).unwrap();
    ledger.register(&light("a"), &ROOM).unwrap();
    assert_eq!(ledger.used(), (0, 1));
    ledger.register(&ask("a", "ann", Kind::Full), &ROOM).unwrap();
    assert_eq!((ledger.used(), ledger.users.len()), ((1, 0), 1));
    ledger.register(&ask("b", "ann", Kind::Full), &ROOM).unwrap();
    ledger.register(&ask("b", "bob", Kind::Full), &Terms { seats: Seats::default(), ..ROOM }).unwrap();
    assert_eq!(ledger.used(), (2, 0));
    ledger.lapse(b"a");
    ledger.lapse(b"b");
    ledger.check();
    assert_eq!(ledger.counts(), Counts::default());
}

#[test]
fn random_steps_keep_the_books_straight() {
    // R66
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut ledger = Ledger::default();
        let mut holds: Vec<(&str, Hold)> = Vec::new();
        let mut now = NOW;
        for _ in 0..300 {
            let account = ["a", "b", "c", "d", "e"][rng.usize(0..5)];
            let user = if rng.bool() { account } else { ["x", "y"][rng.usize(0..2)] };
            let kind = if rng.bool() { Kind::Full } else { Kind::Light };
            let device = phone(["p", "q"][rng.usize(0..2)]);
            let ask = Ask { device, now, ..ask(account, user, kind) };
            let second_device = if rng.bool() { SecondDevice::FirstWins } else { SecondDevice::LastWins };
            let terms = Terms { second_device, can_save: rng.u8(0..8) > 0, shadow: rng.u8(0..8) == 0, ..ROOM };
            match rng.u8(0..8) {
                0..=3 => {
                    if let (Verdict::New(hold) | Verdict::Refresh(hold), _) = ledger.reserve(&ask, &terms) {
                        holds.push((account, hold));
                    }
                }
                4 if !holds.is_empty() => {
                    let (account, hold) = holds.swap_remove(rng.usize(0..holds.len()));
                    let ask = Ask { account: account.as_bytes(), user: account.as_bytes(), ..ask };
                    ledger.commit(&grant(&ask, rng.u32(1..100)), Some(&hold));
                }
                5 if !holds.is_empty() => ledger.release(&holds.swap_remove(rng.usize(0..holds.len())).1),
                6 => ledger.lapse(account.as_bytes()),
                7 if rng.u8(0..8) == 0 => ledger.clear(),
                _ => {
                    now += rng.u64(0..40);
                    ledger.expire(now);
                }
            }
            ledger.check();
        }
        for (_, hold) in holds {
            ledger.release(&hold);
        }
        ledger.expire(u64::MAX);
        ledger.check();
        assert_eq!((ledger.claims.len(), ledger.users.len(), ledger.counts()), (0, 0, Counts::default()));
    }
}
