//! Licences: what an instance may use, and whether a user may register. Pure: no clock, no socket, no store.
//!
//! `document` reads what a vendor signed, `terms` says what can be in it, `book` holds all of them: `binding` ties them
//! to machines, `contract` to releases, `pool` gives their users to instances. `allowance` is what they come to for one
//! instance; `roster` says who is a user there, `ledger` who has a seat there, `light` and `softphones` what a light
//! user has not. Compiled into the snapshot by `route`, asked by `engine` and `http`, changed by `control`.

pub mod allowance;
pub mod armour;
mod base32;
pub mod binding;
pub mod book;
pub mod clock;
pub mod contract;
pub mod document;
pub mod edition;
pub mod emergency;
pub mod hardware;
pub mod key;
pub mod ledger;
pub mod light;
pub mod pool;
pub mod refusal;
pub mod release;
pub mod report;
pub mod roster;
pub mod sizing;
pub mod softphones;
pub mod terms;

pub use allowance::{Allowance, Now, Standing};
pub use book::{Book, Installed};
pub use document::{Document, DocumentError};
pub use hardware::HardwareId;
pub use key::{Keys, Signer};
pub use refusal::Refusal;
pub use roster::{Roster, Who};
pub use softphones::Softphones;
