//! Spans of time as people write them: `250ms`, `10s`, `5m`, `2h`, `7d`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A span of time in whole milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Time(pub u64);

impl Time {
    /// So many seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(n * 1_000)
    }

    /// Its milliseconds.
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// For a runtime.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
        match (number.parse::<u64>(), factor) {
            (Ok(number), Some(factor)) => {
                number.checked_mul(*factor).map(Self).ok_or_else(|| format!("`{text}` is too long a time"))
            }
            _ => Err(format!("`{text}` is no time: write a whole number and ms, s, m, h or d, as in `10s`")),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, factor): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*factor);
        let (unit, factor) = UNITS.iter().rev().find(fits).unwrap_or(&("ms", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (text, ms) in [("250ms", 250), ("10s", 10_000), ("5m", 300_000), ("2h", 7_200_000), ("7d", 604_800_000)] {
            let time: Time = text.parse().unwrap();
            assert_eq!((time.ms(), time.to_string()), (ms, text.to_string()));
        }
        assert_eq!(Time(0).to_string(), "0ms");
        assert_eq!(Time(1500).to_string(), "1500ms");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "10", "s", "1.5s", "-1s", "10 s", "10S", "99999999999999999999s", "18446744073709551615d"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }
}
