//! SIP on the wire: read by offsets, changed by splices, never rebuilt.
//!
//! Pure: no socket, no clock, no allocation once the reused buffers have grown. `view` reads one
//! message into an [`view::Index`]; the typed readers (`uri`, `name_addr`, `via`, …) borrow from
//! it; `edit` collects splices and writes the changed message; `frame` cuts messages out of a stream;
//! `check` decides what is answered when a message is not sound (RFC 3261 §16.3, PROTOCOLS 2.1).
//! Called by `engine` and `net`.

pub mod auth;
pub mod bad;
mod chars;
pub mod check;
pub mod compare;
pub mod cseq;
pub mod decimal;
pub mod edit;
pub mod frame;
pub mod host;
mod index;
pub mod limits;
pub mod list;
pub mod method;
pub mod name;
pub mod name_addr;
pub mod params;
#[cfg(test)]
mod prop;
mod read;
pub mod reply;
mod seek;
pub mod span;
#[cfg(test)]
mod torture;
pub mod uri;
pub mod via;
pub mod view;
