//! What the licences come to for one instance, with the moments at which that changes by itself.

use crate::model::{Mode, Seats};
use serde::{Deserialize, Serialize};

/// What an instance may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// The mode it is of (R14).
    pub mode: Mode,
    /// Users of each kind, counted apart (R48).
    pub seats: Seats,
    /// Users of both kinds together (R16, R51); `u32::MAX` where only the kinds are limited.
    pub total: u32,
    /// Whether the licences behind it are valid.
    pub standing: Standing,
    /// Whether soft clients of full users may register: a right of the licences (R58, R62).
    pub softphones: bool,
}

/// Whether licences are valid, and until when. Times are Unix seconds of the licence clock, which never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Valid, without an end.
    Active,
    /// Valid before this moment, deactivated from it on (R60, trials).
    Until(u64),
    /// None is there, or they belong to another machine (R58).
    Unlicensed,
    /// Their time is over (R63).
    Deactivated,
}

/// A standing at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    /// Valid.
    Active,
    /// None.
    Unlicensed,
    /// Over.
    Deactivated,
}

impl Standing {
    /// What holds at a moment of the licence clock.
    pub const fn at(self, now: u64) -> Now {
        match self {
            Self::Active => Now::Active,
            Self::Until(end) if now < end => Now::Active,
            Self::Until(_) | Self::Deactivated => Now::Deactivated,
            Self::Unlicensed => Now::Unlicensed,
        }
    }
}

impl Allowance {
    /// Community: part of every installation, 3 users of whatever kind (R16, R17).
    pub const COMMUNITY: Self = Self {
        mode: Mode::Community,
        seats: Seats { full: 3, light: 3 },
        total: 3,
        standing: Standing::Active,
        softphones: true,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_ends_on_its_second() {
        // R60
        assert_eq!(Standing::Until(100).at(99), Now::Active);
        assert_eq!(Standing::Until(100).at(100), Now::Deactivated);
        assert_eq!(Standing::Active.at(u64::MAX), Now::Active);
    }
}
