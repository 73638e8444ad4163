//! The SIP proxy as a pure machine: bytes and time go in, decisions come out.
//!
//! It owns transactions, timers and tokens; it owns no socket, reads no clock and draws no
//! randomness but from the seed it was given. The driver calls [`Engine::handle`] for everything
//! that happens, drains [`Engine::poll_output`], sleeps until [`Engine::poll_timeout`] and calls
//! [`Engine::handle_timeout`]. One engine is one shard; shards share only what is in
//! [`shared::Shared`].

mod ack;
pub mod admission;
mod admit;
mod best;
pub mod branch;
pub mod budget;
pub mod buffers;
mod build;
mod cancel;
pub mod config;
mod context;
pub mod contract;
mod core;
pub mod deadlines;
mod device;
mod ends;
mod failure;
mod follow;
mod forward;
mod greeting;
mod guarded;
mod identity;
mod instance;
mod keepalive;
mod learn;
mod light;
mod mask;
pub mod outbox;
mod refusal;
pub mod registry;
mod reply;
mod request;
mod response;
mod roam;
mod seats;
pub mod shared;
mod shed;
pub mod steer;
mod sweep;
mod tables;
mod target;
mod timers;
pub mod token;
pub mod transaction;
mod wish;

pub use self::core::Engine;

#[cfg(test)]
mod sim;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
