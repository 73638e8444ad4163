//! Licences: what an instance may use, and whether a user may register. Pure: no clock, no socket, no store.
//!
//! `document` reads what a vendor signed, `terms` says what can be in it. `allowance` is what all licences together
//! come to for one instance; `roster` says who is a user there, `ledger` who has a seat there, `light` and `softphones`
//! what a light user has not. Compiled into the snapshot by `route`, asked by `engine` and `http`.

pub mod allowance;
pub mod armour;
mod base32;
pub mod book;
pub mod clock;
pub mod document;
pub mod edition;
pub mod emergency;
pub mod hardware;
pub mod key;
pub mod ledger;
pub mod light;
pub mod release;
pub mod roster;
pub mod softphones;
pub mod terms;

pub use allowance::{Allowance, Now, Standing};
pub use book::Book;
pub use document::{Document, DocumentError};
pub use hardware::HardwareId;
pub use key::{Keys, Signer};
pub use roster::{Roster, Who};
pub use softphones::Softphones;
