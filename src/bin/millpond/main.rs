//! The `millpond` daemon.
fn main() {}
