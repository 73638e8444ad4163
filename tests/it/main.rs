//! Real sockets, one binary.
fn main() {}
