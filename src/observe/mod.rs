//! A node as seen from outside: metrics, health, logs.
//!
//! It reads what the rooms count and what `app` tells it; it changes nothing. Secrets are taken out of
//! what is logged in one place, [`redact`].

pub mod facts;
pub mod limit;
pub mod log;
pub mod metrics;
pub mod process;
pub mod redact;
pub mod serve;
