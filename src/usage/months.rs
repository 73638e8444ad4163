//! The most users an instance had at once in each month, by kind (R72). Months are those of UTC.
//!
//! Pure. A [`Mark`] is made each time a month's mark is raised, and is never changed: the marks in their order are
//! the ledger, and the highest of each month, instance and kind is what is reported. Reading them again gives the
//! same.

use crate::ids::InstanceId;
use crate::model::Kind;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use utoipa::ToSchema;

/// A month of the calendar, in UTC; on the wire `2026-11`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Month(u32);

impl Month {
    /// The month of a moment in Unix seconds.
    pub fn of(unix: u64) -> Self {
        // Days to a date, after Howard Hinnant's `civil_from_days`; years begin in March.
        let days = unix / 86_400 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let (year, month) = (year + era * 400, if shifted < 10 { shifted + 3 } else { shifted - 9 });
        let year = if month <= 2 { year + 1 } else { year };
        Self(u32::try_from(year.saturating_mul(100) + month).unwrap_or(u32::MAX))
    }

    /// As a number, `202611`.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// From [`Self::number`].
    pub fn from_number(number: u32) -> Option<Self> {
        (1..=12).contains(&(number % 100)).then_some(Self(number))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 100, self.0 % 100)
    }
}

impl FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = |part: &str, n: usize| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
        let parts = text.split_once('-').filter(|(year, month)| digits(year, 4) && digits(month, 2));
        let number = parts.and_then(|(year, month)| format!("{year}{month}").parse().ok());
        number.and_then(Self::from_number).ok_or_else(|| format!("`{text}` is no month: write it as in 2026-11"))
    }
}

impl Serialize for Month {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Month {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The most users of one kind that an instance had at once in a month, so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mark {
    /// The month, in UTC, as in `2026-11`.
    #[schema(value_type = String)]
    pub month: Month,
    /// The instance's name when the mark was reached.
    pub name: String,
    /// Its id, which stays when it is renamed.
    pub instance: InstanceId,
    /// Full or light.
    pub kind: Kind,
    /// Users with a seat at the same time.
    pub used: u64,
    /// How many it was licensed for then.
    pub licensed: u64,
    /// Unix seconds at which the mark was reached.
    pub at: u64,
}

/// The marks of the month that goes on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Months {
    month: Month,
    used: HashMap<(InstanceId, Kind), u64>,
}

impl Months {
    /// What the ledger's marks of a month come to.
    pub fn replay<'a>(month: Month, marks: impl IntoIterator<Item = &'a Mark>) -> Self {
        let mut all = Self { month, used: HashMap::new() };
        for mark in marks.into_iter().filter(|mark| mark.month == month) {
            all.raise(mark.instance, mark.kind, mark.used);
        }
        all
    }

    /// The month these are of.
    pub const fn month(&self) -> Month {
        self.month
    }

    /// Notes that so many users were there at once in this month; true if that is more than before.
    pub fn raise(&mut self, instance: InstanceId, kind: Kind, used: u64) -> bool {
        // Who has none has no mark.
        if used == 0 {
            return false;
        }
        let mark = self.used.entry((instance, kind)).or_default();
        let more = used > *mark;
        *mark = used.max(*mark);
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_end_on_their_last_second_in_utc() {
        // R72
        let month =
            |text: &str| Month::of(u64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_second()).unwrap());
        for (moment, name) in [
            ("1970-01-01T00:00:00Z", "1970-01"),
            ("2024-02-29T23:59:59Z", "2024-02"),
            ("2024-03-01T00:00:00Z", "2024-03"),
            ("2026-11-30T23:59:59Z", "2026-11"),
            ("2026-12-01T00:00:00Z", "2026-12"),
            ("2026-12-31T23:59:59Z", "2026-12"),
            ("2027-01-01T00:00:00Z", "2027-01"),
            ("2100-02-28T23:59:59Z", "2100-02"),
            ("2100-03-01T00:00:00Z", "2100-03"),
        ] {
            assert_eq!(month(moment).to_string(), name, "{moment}");
            assert_eq!(name.parse::<Month>().unwrap(), month(moment));
            assert_eq!(Month::from_number(month(moment).number()), Some(month(moment)));
        }
        for wrong in ["2026-13", "2026-00", "2026-1", "202611", "26-11", "", "2026-1a", "+026-11"] {
            assert!(wrong.parse::<Month>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_day_of_four_hundred_years_is_in_its_month() {
        for day in 0..146_097u64 {
            let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(i64::try_from(day).unwrap());
            let expected = u32::try_from(i32::from(date.year()) * 100 + i32::from(date.month())).unwrap();
            assert_eq!(Month::of(day * 86_400 + 86_399).number(), expected, "{date}");
        }
    }

    fn mark(month: Month, instance: u32, kind: Kind, used: u64) -> Mark {
        Mark { month, name: "a".into(), instance: InstanceId(instance), kind, used, licensed: 9, at: 0 }
    }

    #[test]
    fn only_what_is_more_raises_a_mark() {
        // R72
        let mut all = Months::default();
        let (one, two) = (InstanceId(1), InstanceId(2));
        let steps = [
            (one, Kind::Full, 0, false),
            (one, Kind::Full, 2, true),
            (one, Kind::Full, 2, false),
            (one, Kind::Full, 1, false),
            (one, Kind::Light, 1, true),
            (two, Kind::Full, 1, true),
            (one, Kind::Full, 3, true),
        ];
        for (instance, kind, used, raises) in steps {
            assert_eq!(all.raise(instance, kind, used), raises, "{instance:?} {kind:?} {used}");
        }
    }

    #[test]
    fn a_replay_gives_the_same() {
        // R72
        let month = Month::of(1_800_000_000);
        let mut random = fastrand::Rng::with_seed(72);
        let (mut live, mut ledger) = (Months::replay(month, []), Vec::new());
        for _ in 0..2_000 {
            let kind = if random.bool() { Kind::Full } else { Kind::Light };
            let (instance, used) = (random.u32(1..9), random.u64(0..50));
            if live.raise(InstanceId(instance), kind, used) {
                ledger.push(mark(month, instance, kind, used));
            }
        }
        ledger.push(mark(Month::of(0), 1, Kind::Full, 1_000));
        assert_eq!(Months::replay(month, &ledger), live);
        assert!(!Months::replay(month, &ledger).raise(InstanceId(1), Kind::Full, 49), "nothing is raised twice");
    }
}
