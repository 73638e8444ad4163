//! Nantucket: the front door and control plane of hosted telephony.
//!
//! Phones, soft clients and browsers reach an instance (a customer's private PBX) by its name: as
//! SIP domain or as HTTP host. The pure layers (`sip`, `engine`, `route`, `licence`) decide; the shells
//! (`net`, `driver`, `http`, `control`, …) do.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing))]

pub mod acme;
pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod demo;
pub mod dense;
pub mod driver;
pub mod engine;
pub mod greeting;
pub mod guard;
pub mod health;
pub mod http;
pub mod ids;
pub mod licence;
pub mod model;
pub mod net;
pub mod observe;
pub mod pattern;
pub mod reason;
pub mod route;
pub mod seats;
pub mod sip;
pub mod stats;
pub mod tls;
pub mod usage;
