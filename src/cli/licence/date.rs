//! Moments as people give them: a day, a time, or days from now.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A moment on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// In Unix seconds.
    At(u64),
    /// Days after the document's date.
    Days(u64),
}

impl Moment {
    /// In Unix seconds.
    pub(super) const fn from(self, issued: u64) -> u64 {
        match self {
            Self::At(at) => at,
            Self::Days(days) => issued.saturating_add(days.saturating_mul(86_400)),
        }
    }
}

/// Reads `2027-12-31` (its beginning in UTC), `2027-12-31T12:00:00Z`, or `30d`.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse().ok()) {
        return Ok(Moment::Days(days));
    }
    let day = |date: Date| date.to_zoned(TimeZone::UTC).ok().map(|it| it.timestamp());
    let found = text.parse::<Timestamp>().ok().or_else(|| text.parse::<Date>().ok().and_then(day));
    found
        .and_then(|at| u64::try_from(at.as_second()).ok())
        .map(Moment::At)
        .ok_or_else(|| "a day as in 2027-12-31, a time as in 2027-12-31T12:00:00Z, or days as in 30d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_times_and_spans_are_understood() {
        assert_eq!(moment("2027-12-31"), Ok(Moment::At(1_830_211_200)));
        assert_eq!(moment("2027-12-31T12:00:00Z"), Ok(Moment::At(1_830_254_400)));
        assert_eq!(moment("30d").map(|it| it.from(100)), Ok(100 + 30 * 86_400));
        for wrong in ["", "d", "-1d", "31.12.2027", "2027-13-01", "1960-01-01", "soon"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
