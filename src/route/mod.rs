//! From rows to routes: one immutable snapshot for SIP and HTTP.
//!
//! `compile` turns a table of rows into a [`snapshot::Snapshot`] and a list of problems; `domain`
//! answers what a host stands for; `select` orders an instance's targets; `diff` tells what changed
//! between two snapshots; `cell` holds the current one. Pure: called by `engine`, `http` and `app`.

mod build;
pub mod cell;
pub mod certificate;
pub mod compile;
pub mod diff;
pub mod domain;
pub mod endpoint;
pub mod handles;
mod hosts;
pub mod instances;
pub mod lastgood;
mod names;
pub mod origin;
pub mod patch;
pub mod problem;
pub mod resolved;
mod same;
pub mod select;
pub mod snapshot;
mod sum;
#[cfg(test)]
pub mod testing;
mod text;
mod trie;

pub use build::{check_instance, conflicts, shares};
pub use certificate::life as certificate_life;
pub use compile::{Compiled, compile, compile_patch};
pub use diff::{Diff, diff};
pub use hosts::News;
