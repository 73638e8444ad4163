//! Licences: what an instance may use, and whether a user may register. Pure: no clock, no socket, no store.
//!
//! `allowance` is what all licences together come to for one instance; `roster` says who is a user there.
//! `ledger` is who has a seat there. Compiled into the snapshot by `route`, asked by `engine` and `http`.

pub mod allowance;
pub mod book;
pub mod clock;
pub mod emergency;
pub mod ledger;
pub mod roster;

pub use allowance::{Allowance, Now, Standing};
pub use book::Book;
pub use roster::{Roster, Who};
