//! The operator's side of the licence book: documents as rows of the store, and what they come to.
//!
//! What a document says and what licences mean is `crate::licence`'s; when a change is refused is `validate`'s and the
//! book's own. Here is what the control plane knows besides the rows (`premises`), how rows become a book (`shelf`),
//! the operations (`desk`, `clerk`, `trial`), and what is shown of them (`view`, `report`, `backup`).

pub mod backup;
mod clerk;
mod desk;
mod premises;
pub mod report;
mod shelf;
mod state;
#[cfg(test)]
pub(crate) mod testing;
mod trial;
pub mod view;

pub use clerk::Settled;
pub use premises::Premises;
pub use shelf::{InstallationRow, LicenceRow};
pub(in crate::control) use shelf::{Shelf, audited};

#[cfg(test)]
mod tests;
