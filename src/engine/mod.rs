//! The SIP proxy as a pure machine: bytes and time go in, decisions come out.
//!
//! It owns transactions, timers and tokens; it owns no socket, reads no clock and draws no
//! randomness but from the seed it was given. The driver calls [`Engine::handle`] for everything
//! that happens, drains [`Engine::poll_output`], sleeps until [`Engine::poll_timeout`] and calls
//! [`Engine::handle_timeout`]. One engine is one shard; shards share only what is in
//! [`shared::Shared`].

pub mod branch;
pub mod buffers;
pub mod config;
pub mod contract;
pub mod outbox;
pub mod registry;
pub mod shared;
pub mod steer;
pub mod token;
pub mod transaction;
pub mod wheel;
