//! The node: puts the rooms together, in order, and takes them apart again.
//!
//! [`run()`] is the `nantucket run` command; [`Node`] is the same node inside a program (demo, tests).
//! Nothing names this room but the command line.

mod clerk;
mod data;
mod expiry;
mod first;
mod keys;
mod listeners;
mod machine;
mod node;
mod office;
mod plane;
mod ports;
mod run;
mod settings;
mod state;
mod steward;
mod warden;
mod web;

pub use first::FirstError;
pub use node::{Node, StartError};
pub use run::run;
