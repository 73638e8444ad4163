//! Releases of the PBX, compared by number: 6.7 < 6.10 < 8.0 (R54 to R56).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A release of one to four numbers; missing ones are 0, so that `8` and `8.0` are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Release([u32; 4]);

/// A text that is no release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no release: one to four numbers with dots between them are expected, as in 8.1")]
pub struct NoRelease(String);

impl FromStr for Release {
    type Err = NoRelease;

    fn from_str(text: &str) -> Result<Self, NoRelease> {
        let wrong = || NoRelease(text.chars().take(40).collect());
        let mut numbers = [0; 4];
        let mut places = numbers.iter_mut();
        for part in text.split('.') {
            let place = places.next().ok_or_else(wrong)?;
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            *place = part.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
        }
        Ok(Self(numbers))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch, build] = self.0;
        write!(f, "{major}.{minor}")?;
        if patch != 0 || build != 0 {
            write!(f, ".{patch}")?;
        }
        if build != 0 {
            write!(f, ".{build}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Release {
    type Error = NoRelease;

    fn try_from(text: String) -> Result<Self, NoRelease> {
        text.parse()
    }
}

impl From<Release> for String {
    fn from(release: Release) -> Self {
        release.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(text: &str) -> Release {
        text.parse().unwrap()
    }

    #[test]
    fn releases_are_compared_by_number() {
        // R54
        for (low, high) in [("6.7", "6.10"), ("6.10", "8.0"), ("8.0", "8.0.1"), ("8.0.1", "8.0.1.1"), ("9", "10")] {
            assert!(release(low) < release(high), "{low} < {high}");
        }
        assert_eq!((release("8"), release("8.0.0")), (release("8.0"), release("8.0.0.0")));
    }

    #[test]
    fn it_is_written_as_people_say_it() {
        for (given, shown) in [("8", "8.0"), ("6.10", "6.10"), ("8.0.3", "8.0.3"), ("8.0.0.2", "8.0.0.2")] {
            assert_eq!(release(given).to_string(), shown);
        }
        assert_eq!(serde_json::to_string(&release("8.1")).unwrap(), "\"8.1\"");
        assert_eq!(serde_json::from_str::<Release>("\"6.7\"").unwrap(), release("6.7"));
    }

    #[test]
    fn what_is_no_release_is_refused() {
        for text in ["", ".", "8.", ".8", "8.x", "+8", "8 ", "-1", "1.2.3.4.5", "4294967296", "v8"] {
            assert!(text.parse::<Release>().is_err(), "{text:?}");
        }
        assert!("4294967295".parse::<Release>().is_ok());
    }
}
