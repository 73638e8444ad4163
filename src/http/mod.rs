//! The reverse proxy: browsers and programs reach an instance's web side by its name.
//!
//! [`Server`] accepts connections on listeners that `app` has bound, decides by the snapshot where
//! a request goes (`route`), makes it fit for the instance (`request`), sends it over a kept or new
//! connection (`exchange`, `upstream`), and makes the answer fit for the client (`response`).
//! Bodies flow through without being gathered. It is not a cache, does not compress, and serves no
//! files; pages of its own (`page`) say why something cannot be had.

mod admission;
mod asker;
mod authority;
mod body;
mod config;
mod connection;
mod door;
mod entrance;
mod exchange;
mod framing;
mod front;
mod gate;
mod guarded;
mod handover;
mod lanes;
mod page;
mod pause;
mod plain;
mod pulse;
mod relay;
mod request;
mod response;
mod route;
mod serve;
mod server;
mod sip_socket;
mod stream;
mod tunnel;
mod upload;
mod upstream;
mod verify;
mod websocket;
mod wire;
mod wording;

pub use config::Config;
pub use door::Services;
pub use server::{DoorKey, ListenError, Server};
