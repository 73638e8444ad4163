use super::*;
use crate::model::{self, Mode};
use crate::route::testing::{compiled, instance, proxy, table};
use crate::usage::crossings::CALM;

const START: u64 = 1_795_000_000;
const COMMUNITY: Seats = Seats { full: 3, light: 3 };

struct Stage {
    watcher: Watcher,
    rows: Vec<model::Instance>,
    snapshot: Snapshot,
    moment: Moment,
    said: Vec<(String, u64)>,
}

impl Stage {
    fn new(instances: u32) -> Self {
        let rows: Vec<_> = (1..=instances).map(|n| instance(n, &format!("i{n}"))).collect();
        let snapshot = compiled(&table(rows.clone(), [proxy(1, "front")]));
        let moment = Moment { now: START, licence: START, over: Seats::default() };
        let watcher = Watcher::new(Months::replay(Month::of(START), []), &[]);
        Self { watcher, rows, snapshot, moment, said: Vec::new() }
    }

    fn allow(&mut self, n: usize, seats: Seats, total: u32, standing: Standing) {
        let allowance = Allowance { mode: Mode::Cloud, seats, total, standing, softphones: true };
        self.snapshot.instances.edit(n, |row| row.allowance = allowance);
    }

    fn set(&self, n: usize, kind: Kind, used: u64) {
        self.snapshot.instances[n].stats.set_seats(kind, used);
    }

    fn look(&mut self) -> Notes {
        let turn = (Month::of(self.moment.now) != self.watcher.month())
            .then(|| Months::replay(Month::of(self.moment.now), []));
        let notes = self.watcher.look(&self.snapshot, self.moment, turn);
        for (key, value) in &notes.given {
            self.said.retain(|(known, _)| known != key);
            self.said.extend(value.map(|value| (key.clone(), value)));
        }
        notes
    }

    fn events(&mut self) -> Vec<Event> {
        self.look().events.into_iter().map(|(_, event)| event).collect()
    }

    /// Warnings of a look: instance, what, percent.
    fn warnings(&mut self) -> Vec<(u32, Counted, u8)> {
        let of = |event| match event {
            Event::SeatsWarning { instance_id, kind, percent, .. } => (instance_id.0, kind, percent),
            other => panic!("{other:?}"),
        };
        self.events().into_iter().map(of).collect()
    }

    fn restart(&mut self) {
        self.watcher = Watcher::new(Months::replay(Month::of(self.moment.now), []), &self.said);
    }
}

#[test]
fn instances_and_kinds_are_warned_of_apart() {
    // R72 R12 R10 R48
    let mut stage = Stage::new(2);
    stage.allow(0, Seats { full: 10, light: 5 }, u32::MAX, Standing::Active);
    stage.allow(1, Seats { full: 10, light: 0 }, u32::MAX, Standing::Active);
    stage.set(0, Kind::Full, 7);
    stage.set(1, Kind::Full, 8);
    assert_eq!(stage.warnings(), [(2, Counted::Full, 80)]);
    stage.set(0, Kind::Full, 8);
    stage.set(0, Kind::Light, 5);
    assert_eq!(stage.warnings(), [(1, Counted::Full, 80), (1, Counted::Light, 80), (1, Counted::Light, 100)]);
    assert_eq!(stage.warnings(), []);
}

#[test]
fn a_peak_between_two_looks_is_not_missed() {
    // R72
    let mut stage = Stage::new(1);
    stage.allow(0, Seats { full: 10, light: 0 }, u32::MAX, Standing::Active);
    stage.set(0, Kind::Full, 10);
    stage.set(0, Kind::Full, 1);
    let notes = stage.look();
    assert_eq!(notes.marks.iter().map(|mark| mark.used).collect::<Vec<_>>(), [10]);
    assert_eq!(notes.events.len(), 3);
}

#[test]
fn both_kinds_together_are_warned_of_where_they_are_limited_together() {
    // R72 R16
    let mut stage = Stage::new(1);
    stage.allow(0, COMMUNITY, 3, Standing::Active);
    stage.set(0, Kind::Full, 3);
    assert_eq!(stage.warnings(), [(1, Counted::Full, 100)]);
    let mut stage = Stage::new(1);
    stage.allow(0, COMMUNITY, 3, Standing::Active);
    stage.set(0, Kind::Full, 2);
    stage.set(0, Kind::Light, 1);
    assert_eq!(stage.warnings(), [(1, Counted::All, 100)]);
}

#[test]
fn a_restart_warns_of_nothing_twice() {
    // R72
    let mut stage = Stage::new(1);
    stage.allow(0, Seats { full: 10, light: 0 }, u32::MAX, Standing::Until(START + 3 * DAY));
    stage.moment.over = Seats { full: 4, light: 0 };
    stage.set(0, Kind::Full, 9);
    assert_eq!(stage.events().len(), 4, "two steps, a deadline, an over-allocation");
    stage.restart();
    assert_eq!(stage.events(), []);
    stage.set(0, Kind::Full, 7);
    stage.look();
    for _ in 0..CALM {
        stage.look();
    }
    assert!(!stage.said.iter().any(|(key, _)| key.starts_with("seats")), "{:?}", stage.said);
    stage.restart();
    stage.set(0, Kind::Full, 8);
    assert_eq!(stage.warnings(), [(1, Counted::Full, 80)]);
}

#[test]
fn a_month_begins_with_who_is_there() {
    // R72
    let mut stage = Stage::new(1);
    let december: u64 = "2026-12-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second().try_into().unwrap();
    stage.moment.now = december - 1;
    stage.set(0, Kind::Full, 2);
    stage.look();
    stage.set(0, Kind::Full, 3);
    stage.set(0, Kind::Full, 1);
    stage.moment.now = december;
    let marks: Vec<_> = stage.look().marks.iter().map(|mark| (mark.month.to_string(), mark.used)).collect();
    assert_eq!(marks, [("2026-11".to_owned(), 3), ("2026-12".to_owned(), 1)]);
    assert!(stage.look().marks.is_empty());
}

#[test]
fn deadlines_are_warned_of_at_seven_three_and_one_day() {
    // R60
    let end = START + 10 * DAY;
    let mut stage = Stage::new(3);
    for n in 0..2 {
        stage.allow(n, COMMUNITY, u32::MAX, Standing::Until(end));
    }
    let mut warned = Vec::new();
    let moments =
        [10, 7, 3, 1].into_iter().flat_map(|days| [end - days * DAY - 1, end - days * DAY, end - days * DAY + 1]);
    for licence in moments {
        stage.moment.licence = licence;
        for event in stage.events() {
            let Event::LicenceDeadline { days, deadline, count, .. } = event else { panic!("{event:?}") };
            assert_eq!((licence + days * DAY, deadline, count), (end, end, 2));
            warned.push(days);
        }
    }
    assert_eq!(warned, DAYS);
    stage.moment.licence = end - 1;
    assert_eq!(stage.events(), []);
    stage.moment.licence = end;
    let [Event::LicenceState { state, instances, count: 2 }] = &stage.events()[..] else { panic!() };
    assert_eq!((state.as_str(), instances.as_slice()), ("deactivated", ["i1".to_owned(), "i2".to_owned()].as_slice()));
    assert_eq!(stage.events(), []);
    stage.restart();
    assert_eq!(stage.events(), [], "said before");
}

#[test]
fn a_node_that_was_away_warns_of_the_nearest_deadline_only() {
    // R60
    let mut stage = Stage::new(1);
    stage.allow(0, COMMUNITY, u32::MAX, Standing::Until(START + 2 * DAY));
    let [Event::LicenceDeadline { days: 3, .. }] = &stage.events()[..] else { panic!() };
    // Another licence ends another day.
    stage.allow(0, COMMUNITY, u32::MAX, Standing::Until(START + 6 * DAY));
    let [Event::LicenceDeadline { days: 7, .. }] = &stage.events()[..] else { panic!() };
    assert_eq!(stage.said, [(format!("deadline/{}", START + 6 * DAY), 7)]);
}

#[test]
fn licences_come_and_go() {
    // R58 R63
    let mut stage = Stage::new(1);
    let state = |stage: &mut Stage| match &stage.events()[..] {
        [] => "nothing".to_owned(),
        [Event::LicenceState { state, .. }] => state.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(state(&mut stage), "nothing");
    for (standing, said) in [
        (Standing::Unlicensed, "unlicensed"),
        (Standing::Unlicensed, "nothing"),
        (Standing::Deactivated, "deactivated"),
        (Standing::Active, "active"),
        (Standing::Active, "nothing"),
    ] {
        stage.allow(0, COMMUNITY, u32::MAX, standing);
        assert_eq!(state(&mut stage), said, "{standing:?}");
    }
}

#[test]
fn over_allocation_is_told_when_it_changes() {
    // R22
    let mut stage = Stage::new(1);
    for (by, told) in [(0, 0), (2, 1), (2, 0), (1, 1), (0, 1), (0, 0)] {
        stage.moment.over = Seats { full: 0, light: by };
        let events = stage.events();
        assert_eq!(events.len(), told);
        assert!(events.iter().all(|event| *event == Event::OverAllocated { kind: Kind::Light, by }));
    }
}

#[test]
fn a_deleted_instance_is_forgotten() {
    let mut stage = Stage::new(2);
    for n in 0..2 {
        stage.allow(n, COMMUNITY, u32::MAX, Standing::Unlicensed);
        stage.set(n, Kind::Full, 3);
    }
    stage.look();
    assert_eq!(stage.said.len(), 4);
    stage.rows.truncate(1);
    stage.snapshot = compiled(&table(stage.rows.clone(), [proxy(1, "front")]));
    stage.look();
    assert!(stage.said.iter().all(|(key, _)| !key.contains("/2")), "{:?}", stage.said);
    assert_eq!(stage.watcher.crossings.len() + stage.watcher.standings.len(), 2 - 1);
}
