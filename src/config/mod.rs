//! The bootstrap configuration: what a node must know before it can read its table.
//!
//! One TOML file, a few environment variables over it, every key with a default. What is in the
//! table (instances, proxies, certificates) is not here. `app` turns it into the options of the
//! rooms; `cli` checks it.

pub mod env;
pub mod error;
pub mod file;
pub mod reload;
pub mod schema;
pub mod sections;
pub mod time;

pub use error::Error;
pub use sections::Config;
