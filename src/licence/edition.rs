//! Editions of a server licence: what each includes and how far it grows (R50 to R52).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a server licence was sold as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Edition {
    /// Three users, and that is all of it (R52).
    Free,
    /// Three users, up to twenty with packs (R50, R51).
    Compact,
    /// One user and any number of packs, on a machine of the vendor's.
    Appliance,
    /// One user and any number of packs, on a virtual machine.
    Vm,
    /// One user and any number of packs, hosted.
    Cloud,
}

impl Edition {
    /// Full users that come with it (R50, R52).
    pub const fn included(self) -> u32 {
        match self {
            Self::Free | Self::Compact => 3,
            Self::Appliance | Self::Vm | Self::Cloud => 1,
        }
    }

    /// Users of both kinds it never exceeds (R51, R52); `u32::MAX` without a cap.
    pub const fn cap(self) -> u32 {
        match self {
            Self::Free => 3,
            Self::Compact => 20,
            Self::Appliance | Self::Vm | Self::Cloud => u32::MAX,
        }
    }

    /// Whether packs, features and update contracts can be added (R52).
    pub const fn grows(self) -> bool {
        !matches!(self, Self::Free)
    }

    /// Its name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Compact => "compact",
            Self::Appliance => "appliance",
            Self::Vm => "vm",
            Self::Cloud => "cloud",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_edition_includes_its_users() {
        // R50 R51 R52
        let facts = |edition: Edition| (edition.included(), edition.cap(), edition.grows());
        assert_eq!(facts(Edition::Free), (3, 3, false));
        assert_eq!(facts(Edition::Compact), (3, 20, true));
        for edition in [Edition::Appliance, Edition::Vm, Edition::Cloud] {
            assert_eq!(facts(edition), (1, u32::MAX, true));
            assert_eq!(serde_json::to_value(edition).unwrap(), edition.name());
        }
    }
}
