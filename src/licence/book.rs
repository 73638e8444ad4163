//! The licence book: every licence installed, and what they come to for each instance.

use super::allowance::{Allowance, Standing};
use crate::model::{Instance, Mode, Seats};
use serde::{Deserialize, Serialize};

/// All licences of an installation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// Users of the volume licence (R18); none without one.
    pub pool: Option<Seats>,
}

impl Book {
    /// What an instance may use at this moment or later.
    pub fn allowance(&self, instance: &Instance) -> Allowance {
        match instance.licence.mode {
            Mode::Community => Allowance::COMMUNITY,
            Mode::Cloud | Mode::Dedicated => Allowance {
                mode: instance.licence.mode,
                seats: instance.licence.booked,
                total: u32::MAX,
                standing: if self.pool.is_some() { Standing::Active } else { Standing::Unlicensed },
                softphones: self.pool.is_some(),
            },
        }
    }
}
