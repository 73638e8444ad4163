//! Whether an instance's targets answer: apart from configuration, so that a reload resets nothing.
//!
//! `state` decides when to probe and what an answer means; the probing itself is a shell's.

mod options;
pub mod probe;
pub mod state;
