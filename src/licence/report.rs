//! The report of the pool (R25): licensed users, and where they are. Pure; live counts are given in.

use super::book::Book;
use super::pool::{Sum, is_on};
use crate::model::{Instance, Mode, Seats};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where the users of the volume licence are. Licensed is always the sum of unassigned, unused and used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// Full users.
    pub full: Figures,
    /// Light users.
    pub light: Figures,
    /// Every instance, in the order given.
    pub instances: Vec<Line>,
}

/// Users of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Figures {
    /// In the volume licence.
    pub licensed: u64,
    /// Booked by no switched-on instance; less than 0 while the pool is over-allocated.
    pub unassigned: i64,
    /// Booked, and nobody registered.
    pub assigned_unused: u64,
    /// Booked and registered.
    pub assigned_used: u64,
    /// Booked beyond what is licensed (R22).
    pub over_allocated: u64,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Line {
    /// Its name.
    pub instance: String,
    /// Where its users come from.
    pub mode: Mode,
    /// Whether it is switched on: only then its booking counts (R24).
    pub on: bool,
    /// Users it may have: of a cloud instance those booked.
    pub licensed: Seats,
    /// Users registered.
    pub used: Seats,
    /// Users registered beyond what is licensed now: nobody is evicted (R67).
    pub beyond: Seats,
    /// Licensed users by weight: a light one counts half (R47).
    pub weight: f64,
}

/// Makes the report; `used` says who is registered.
pub fn report<'a>(
    book: &Book,
    instances: impl IntoIterator<Item = &'a Instance>,
    mut used: impl FnMut(&Instance) -> Seats,
) -> Report {
    let lines: Vec<Line> = instances.into_iter().map(|it| line(it, book.allowance(it).seats, used(it))).collect();
    let licensed = Sum::from(book.pool().unwrap_or_default());
    let counted = || lines.iter().filter(|line| line.mode == Mode::Cloud && line.on);
    let figures = |licensed: u64, of: fn(Seats) -> u32| {
        let booked: u64 = counted().map(|line| u64::from(of(line.licensed))).sum();
        let used: u64 = counted().map(|line| u64::from(of(line.used).min(of(line.licensed)))).sum();
        Figures {
            licensed,
            unassigned: i64::try_from(i128::from(licensed) - i128::from(booked)).unwrap_or(i64::MIN),
            assigned_unused: booked.saturating_sub(used),
            assigned_used: used,
            over_allocated: booked.saturating_sub(licensed),
        }
    };
    let (full, light) = (figures(licensed.full, |seats| seats.full), figures(licensed.light, |seats| seats.light));
    Report { full, light, instances: lines }
}

/// Users by weight: a light one counts half of a full one. In reports only (R47).
pub fn weight(seats: Seats) -> f64 {
    f64::from(seats.full) + f64::from(seats.light) / 2.0
}

fn line(instance: &Instance, licensed: Seats, used: Seats) -> Line {
    let beyond =
        Seats { full: used.full.saturating_sub(licensed.full), light: used.light.saturating_sub(licensed.light) };
    Line {
        instance: instance.name.clone(),
        mode: instance.licence.mode,
        on: is_on(instance.state),
        licensed,
        used,
        beyond,
        weight: weight(licensed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::State;

    fn instance(name: &str, full: u32, light: u32, state: State) -> Instance {
        let mut instance = Instance::named(name);
        instance.state = state;
        instance.licence.mode = Mode::Cloud;
        instance.licence.booked = Seats { full, light };
        instance
    }

    fn seats(full: u32, light: u32) -> Seats {
        Seats { full, light }
    }

    #[test]
    fn licensed_is_the_sum_of_its_parts() {
        // R25 R24
        let book = Book::demo(seats(100, 10));
        let mut own = instance("own", 7, 0, State::On);
        own.licence.mode = Mode::Community;
        let instances = [
            instance("a", 30, 4, State::On),
            instance("b", 20, 0, State::Starting),
            instance("off", 40, 5, State::Off),
            own,
        ];
        let made = report(&book, &instances, |it| if it.name == "a" { seats(12, 4) } else { seats(1, 0) });
        let full = Figures { licensed: 100, unassigned: 50, assigned_unused: 37, assigned_used: 13, over_allocated: 0 };
        let light = Figures { licensed: 10, unassigned: 6, assigned_unused: 0, assigned_used: 4, over_allocated: 0 };
        assert_eq!((made.full, made.light), (full, light));
        for it in [made.full, made.light] {
            let sum = it.unassigned + i64::try_from(it.assigned_unused + it.assigned_used).unwrap();
            assert_eq!(sum, i64::try_from(it.licensed).unwrap());
        }
        assert_eq!(made.instances.len(), 4);
    }

    #[test]
    fn an_over_allocated_pool_shows_by_how_much() {
        // R22
        for (licensed, over, unassigned) in [(29, 1, -1), (30, 0, 0), (31, 0, 1)] {
            let made = report(&Book::demo(seats(licensed, 0)), &[instance("a", 30, 0, State::On)], |_| seats(30, 0));
            assert_eq!((made.full.over_allocated, made.full.unassigned), (over, unassigned), "{licensed}");
            assert_eq!(made.full.assigned_used, 30, "nobody is cut");
        }
    }

    #[test]
    fn users_beyond_a_lowered_booking_are_told_apart() {
        // R67
        let made = report(&Book::demo(seats(100, 0)), &[instance("a", 10, 0, State::On)], |_| seats(13, 0));
        assert_eq!((made.full.assigned_used, made.full.assigned_unused, made.full.unassigned), (10, 0, 90));
        assert_eq!(made.instances[0].beyond, seats(3, 0));
    }

    #[test]
    fn a_light_seat_weighs_half() {
        // R47
        assert_eq!((weight(seats(1, 1)), weight(seats(0, 2)), weight(seats(0, 3))), (1.5, 1.0, 1.5));
    }
}
