//! Containers for very many small things: few bytes for each beside what it is, and no moment at which one more of
//! them makes all the others be copied or hashed anew. A message pays for its own entry only, whether there are a
//! hundred or a million.
//!
//! Handles are plain numbers: whoever keeps one across a removal checks that it still means the same. Not for what
//! is small or rare: there the collections of the standard library are the better choice. Used by `engine` and
//! `licence`.

mod arena;
mod chunks;
mod index;
mod name;
mod order;

pub use arena::Arena;
pub use chunks::Chunks;
pub use index::Index;
pub use name::Name;
pub use order::Order;

/// No handle.
pub const NONE: u32 = u32::MAX;
