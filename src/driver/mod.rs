//! Workers: threads that each own sockets, an engine shard and a timer (DESIGN 7).
//!
//! A worker receives, decides and sends on one thread; what reaches the wrong worker goes by
//! [`mail`]. It knows no rule of SIP and no table: the engine decides, [`front::Front`] is told by
//! `app` what to listen on.

pub mod adopt;
mod alarm;
pub mod claims;
mod command;
mod cork;
mod datagrams;
mod effects;
pub mod front;
pub mod listeners;
pub mod machine;
mod mail;
mod notes;
pub mod options;
mod service;
mod streams;
#[cfg(test)]
mod tests;
mod worker;

pub use front::Front;
pub use machine::Machine;
