//! From rows to routes: one immutable snapshot for SIP and HTTP.
//!
//! `compile` turns a table of rows into a [`snapshot::Snapshot`] and a list of problems; `domain`
//! answers what a host stands for; `select` orders an instance's targets; `diff` tells what changed
//! between two snapshots; `cell` holds the current one. Pure: called by `engine`, `http` and `app`.

pub mod snapshot;
