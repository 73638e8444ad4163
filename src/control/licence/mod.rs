//! The operator's side of the licence book: documents as rows of the store, and what they come to.
//!
//! What a document says and what licences mean is `crate::licence`'s; when a change is refused is `validate`'s. Here is
//! what the control plane knows besides the rows (`premises`), and how rows become a book (`row`).

mod desk;
mod premises;
mod row;
#[cfg(test)]
pub(crate) mod testing;
pub mod view;

pub use premises::Premises;
pub use row::LicenceRow;
pub(in crate::control) use row::book;

#[cfg(test)]
mod tests;
