//! The control plane: rows are changed here and nowhere else.
//!
//! `service` validates and commits a change with its audit entry; `store` keeps it; `watch` turns
//! what is stored into the snapshot the data plane reads. It opens no listener and speaks no HTTP:
//! `admin` calls `service`, `app` starts `watch`.

mod acme;
pub mod change;
mod copy;
mod draft;
pub mod error;
pub mod licence;
pub mod offline;
mod overlay;
pub mod plan;
pub mod resolve;
pub mod rows;
pub mod service;
pub mod status;
pub mod store;
mod tickets;
pub mod usage;
mod validate;
pub mod watch;
