//! WebSockets that carry SIP (RFC 6455, RFC 7118), the server's end: bytes in, events out.
//!
//! Own code because it sits on the way of every message: nothing is allocated for one, a message in a frame of its
//! own is unmasked where it was read and handed on from there. It owns no socket: `net::stream` feeds it and sends
//! what it is told. Extensions are never agreed on (W10). Browsers' own WebSockets are tunnelled by `http`.

pub mod close;
pub mod frame;
pub mod reader;
pub mod sip;
pub mod upgrade;

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;

pub use close::{Close, Fault};
pub use frame::{Lead, Opcode};
pub use reader::{Event, Reader};
