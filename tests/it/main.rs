//! Everything on real sockets, in one binary: the node through its interfaces, and with real
//! programs on both sides (`interop`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used, reason = "tests")]
#![allow(missing_docs, reason = "tests")]

mod api;
mod cli;
mod demo;
mod flows;
mod guard;
mod http;
#[path = "../interop/mod.rs"]
mod interop;
mod licence;
mod one_port;
mod operator;
mod process;
mod sip_tcp;
mod sip_tls;
mod sip_udp;
#[path = "../support/mod.rs"]
mod support;
mod torture;
mod usage;
