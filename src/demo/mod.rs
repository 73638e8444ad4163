//! `nantucket demo`: a whole platform in one process, and its proof.
//!
//! [`run()`] is the command. Synthetic phones ([`phone`]) and small PBXs ([`pbx`], [`web`]) have real
//! sockets, transactions and dialogs of their own; integration tests use them too. Nothing of the
//! product names this room but the command line.

use std::sync::{Mutex, MutexGuard, PoisonError};

mod answer;
pub mod call;
pub mod dialog;
pub mod digest;
pub mod endpoint;
pub mod feed;
pub mod fetch;
pub mod line;
pub mod message;
pub mod pbx;
pub mod phone;
mod ports;
mod recent;
mod registrar;
mod round;
mod run;
pub mod sdp;
mod stage;
pub mod text;
pub mod transaction;
mod view;
pub mod web;
pub mod wire;

pub use run::run;

/// Show everything at work.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Stop after the first round: exit code 0 if everything worked, else 1
    #[arg(long)]
    pub once: bool,
    /// Print lines even on a terminal
    #[arg(long)]
    pub plain: bool,
    /// Seed of tags, numbers and who calls whom; a run is told its own
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Port of SIP over UDP and TCP on the loopback; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub sip_port: u16,
    /// Port of SIP over TLS
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub sip_tls_port: u16,
    /// Port of HTTP
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub http_port: u16,
    /// Port of HTTPS, and of SIP over WebSocket
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub https_port: u16,
    /// Port of the API
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub api_port: u16,
    /// Port of the metrics
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub metrics_port: u16,
}

/// Locks; what a panicking holder left is taken as it is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
