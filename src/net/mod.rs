//! Sockets: datagrams and streams that carry SIP, and what must be answered below SIP.
//!
//! It knows keep-alives, framing, queues and limits of sockets; it does not know what a message
//! means. `driver` puts messages into the engine and carries out what the engine decides.

pub mod admission;
pub mod adopted;
pub mod codec;
pub mod counters;
pub mod demux;
pub mod guests;
pub mod layer;
pub mod outbox;
pub mod proxy_protocol;
pub mod socket;
mod stray;
pub mod stream;
pub mod stun;
pub mod tcp;
pub mod udp;
pub mod ws;
