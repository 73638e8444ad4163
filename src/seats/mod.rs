//! Durable claims of seats: what the engine's journal says is on the disk before a new phone's REGISTER goes on, and
//! is read back before the first listener opens (R66).
//!
//! One thread writes, in batches that grow with the load; it also notes every few seconds that the node is alive, so
//! that after a restart a claim lives as long as it would have lived without one, and a refresh has nothing to write.
//! A file of its own: the table's store is not written to by phones. Not a judge: `licence::ledger` decides. Started
//! by `app`; asked by nobody.

mod batch;
mod keeper;
mod sqlite;

pub use keeper::{Keeper, Running, Wiring};
pub use sqlite::Sqlite;

use crate::engine::registry::Kept;
pub use batch::Batch;

/// Where claims are kept. Another implementation may keep them for several nodes at once.
pub trait Store: Send {
    /// All claims, and the last moment at which the node was alive (Unix seconds of the licence clock).
    fn load(&mut self) -> Result<(Vec<Kept>, u64), Error>;
    /// Makes a batch and the present moment durable, all or nothing.
    fn write(&mut self, batch: &Batch, alive: u64) -> Result<(), Error>;
}

/// Why claims could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite would not.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The file could not be made.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is somebody else's.
    #[error("the file belongs to another program or version (application {application:#x}, schema {version})")]
    Foreign {
        /// Its mark.
        application: i64,
        /// Its schema.
        version: i64,
    },
}
