//! The `nantucket` program.

fn main() {}
