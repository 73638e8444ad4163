//! TLS at the front: which certificate a client gets, and the self-signed one everybody starts with.
//!
//! It opens no socket: `http` and `admin` accept connections with the [`rustls::ServerConfig`] made
//! by [`Certificates::server_config`]. Certificates of operators come parsed in the snapshot
//! (`route::compile`); `app` hands each new snapshot to [`Certificates::apply`].

mod certificates;
pub mod challenges;
pub mod client;
pub mod devices;
pub mod failures;
pub mod hello;
pub mod identity;
mod resolver;
pub mod resumption;
mod self_signed;
pub mod tickets;

pub use certificates::Certificates;

use std::path::PathBuf;

/// Why TLS could not be set up. Always the node's own side: its disk, or its cryptography.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate could not be made.
    #[error("making the self-signed certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// A key or configuration was refused.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The date does not fit a certificate.
    #[error("the clock shows no date a certificate can carry")]
    Date,
}
